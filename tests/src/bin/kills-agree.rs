//! Compares what the records of a run tell of its kills, and says where they differ. Exit code 0: they agree; 1: they do not;
//! 2: a record could not be read.
//!
//! usage: kills-agree --audit LOG [--events FILE] [--result FILE] [--monkeys FILE] [--user NAME]...
//!   --audit    audit log of the API server, real or embedded
//!   --events   `kubectl get events.events.k8s.io -A -o json`
//!   --result   `result.json` of the run; given again: of several
//!   --monkeys  `kubectl get chaosmonkeys -A -o json`, where they still are; else the status is read from the log's bodies
//!   --user     whose kills; default: the operator's

#![allow(clippy::print_stdout, clippy::print_stderr, reason = "a small program for scripts")]

use std::process::ExitCode;

use anyhow::{Context as _, bail};
use chaos_tests::json;
use chaos_tests::kills::{Kills, disagreements, histories_in_audit};
use serde_json::Value;

/// The records to compare.
#[derive(Default)]
struct Records {
    audit: Vec<Value>,
    events: Option<Value>,
    results: Vec<Value>,
    monkeys: Option<Value>,
    users: Vec<String>,
}

fn main() -> ExitCode {
    match Records::read(std::env::args().skip(1)).and_then(|records| records.compare()) {
        Ok(true) => ExitCode::SUCCESS,
        Ok(false) => ExitCode::FAILURE,
        Err(error) => {
            eprintln!("error: {error:#}");
            ExitCode::from(2)
        }
    }
}

impl Records {
    fn read(mut args: impl Iterator<Item = String>) -> anyhow::Result<Self> {
        let mut records = Self::default();
        while let Some(flag) = args.next() {
            let value = args.next().with_context(|| format!("{flag} wants a value"))?;
            match flag.as_str() {
                "--audit" => records.audit = lines(&value)?,
                "--events" => records.events = Some(json(&value)?),
                "--result" => records.results.push(json(&value)?),
                "--monkeys" => records.monkeys = Some(json(&value)?),
                "--user" => records.users.push(value),
                _ => bail!("unknown argument {flag}; hint: see the head of this program's file"),
            }
        }
        anyhow::ensure!(!records.audit.is_empty(), "no line of an audit log was read; hint: --audit LOG");
        if records.users.is_empty() {
            records.users.push(chaos_operator::manifests::user());
        }
        Ok(records)
    }

    fn compare(&self) -> anyhow::Result<bool> {
        let users: Vec<_> = self.users.iter().map(String::as_str).collect();
        let mut told = vec![("the audit log", Kills::of_audit(&self.audit, &users))];
        let histories: Vec<&Value> = match &self.monkeys {
            Some(list) => list["items"].as_array().into_iter().flatten().map(|m| &m["status"]["history"]).collect(),
            None => histories_in_audit(&self.audit),
        };
        told.push(("the status", Kills::of_histories(histories)));
        if let Some(events) = &self.events {
            told.push(("the Events", Kills::of_events(events)));
        }
        if !self.results.is_empty() {
            let rows: Vec<_> =
                self.results.iter().filter_map(|result| result["killRows"].as_array()).flatten().collect();
            told.push(("the journal", Kills::of_result(&serde_json::json!({"killRows": rows}))));
        }
        for (record, kills) in &told {
            println!("{record}: {} kills", kills.pods.len());
        }
        let told: Vec<_> = told.iter().map(|(record, kills)| (*record, kills)).collect();
        let found = disagreements(&told);
        found.iter().for_each(|difference| eprintln!("{difference}"));
        Ok(found.is_empty())
    }
}

/// A line that is just being written is left out; only the last one can be.
fn lines(path: &str) -> anyhow::Result<Vec<Value>> {
    let text = std::fs::read_to_string(path).with_context(|| format!("failed to read {path}"))?;
    let complete = text.rfind('\n').map_or("", |end| &text[..end]);
    complete
        .lines()
        .map(|line| serde_json::from_str(line).with_context(|| format!("failed to parse a line of {path}")))
        .collect()
}
