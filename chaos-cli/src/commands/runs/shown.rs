//! Runs as people and as machines read them: a line each, or one with what it waits for, what it claims, its conditions and
//! where its evidence is.

use chaos_core::api::{EvidenceRecord, ExperimentRun, ExperimentRunStatus, Mode, RunClaim, RunPhase, RunVerdict};
use chaos_core::validate::experiment_name;
use comfy_table::{Table, presets};
use jiff::Timestamp;
use k8s_openapi::apimachinery::pkg::apis::meta::v1::Condition;
use kube::ResourceExt as _;
use serde::Serialize;

use crate::output;

/// A run in a line.
#[derive(Debug, Serialize)]
#[serde(rename_all = "camelCase")]
pub(in super::super) struct RunLine {
    namespace: String,
    name: String,
    /// Of which experiment it is, as its reports say.
    experiment: String,
    mode: Mode,
    /// Absent: no operator has taken it up.
    phase: Option<RunPhase>,
    kills: u64,
    skips: u64,
    started_at: Option<Timestamp>,
    finished_at: Option<Timestamp>,
    verdict: Option<RunVerdict>,
}

/// One run.
#[derive(Debug, Serialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct RunView {
    #[serde(flatten)]
    line: RunLine,
    uid: String,
    /// Absent: it is over.
    waits_for: Option<String>,
    plan_digest: Option<String>,
    claims: Vec<RunClaim>,
    conditions: Vec<Condition>,
    evidence: Option<EvidenceRecord>,
    /// The command that fetches the evidence and tells it.
    report: String,
}

/// Runs as a table.
pub(in super::super) fn table(runs: &[RunLine], namespace: Option<&str>) -> String {
    if runs.is_empty() {
        return output::none("runs", namespace);
    }
    let mut rows = output::columns(&["RUN", "MODE", "PHASE", "KILLS", "VERDICT", "REASON", "STARTED"]);
    for run in runs {
        let verdict = run.verdict.as_ref();
        rows.add_row([
            run.full_name(),
            run.mode.as_str().to_owned(),
            run.phase_word(),
            run.kills.to_string(),
            verdict.map_or_else(none, |verdict| verdict.outcome.clone()),
            verdict.map_or_else(none, |verdict| verdict.reason_code.clone()),
            run.started_at.map_or_else(none, |at| at.to_string()),
        ]);
    }
    format!("{}\n", rows.trim_fmt())
}

/// What stands where there is nothing to say.
fn none() -> String {
    "-".to_owned()
}

impl RunLine {
    pub(in super::super) fn of(run: &ExperimentRun) -> Self {
        let status = run.status.clone().unwrap_or_default();
        Self {
            namespace: run.namespace().unwrap_or_default(),
            name: run.name_any(),
            experiment: experiment_name(run).to_owned(),
            mode: run.spec.mode,
            phase: status.phase,
            kills: status.kills,
            skips: status.skips,
            started_at: status.started_at.map(|at| at.0),
            finished_at: status.finished_at.map(|at| at.0),
            verdict: status.verdict,
        }
    }

    fn full_name(&self) -> String {
        format!("{}/{}", self.namespace, self.name)
    }

    fn phase_word(&self) -> String {
        self.phase.map_or_else(none, |phase| phase.as_str().to_owned())
    }
}

impl RunView {
    pub(super) fn of(run: &ExperimentRun) -> Self {
        let line = RunLine::of(run);
        let status = run.status.clone().unwrap_or_default();
        Self {
            uid: run.uid().unwrap_or_default(),
            waits_for: waits_for(&status),
            plan_digest: status.resolved.map(|resolved| resolved.plan_digest),
            claims: status.claims,
            conditions: status.conditions,
            evidence: status.evidence,
            report: format!("chaos report crun/{} -n {}", line.name, line.namespace),
            line,
        }
    }

    /// Where it is, in a line.
    pub(super) fn progress(&self) -> String {
        let (phase, kills) = (self.line.phase_word(), self.line.kills);
        match &self.waits_for {
            Some(what) => format!("{phase}, {kills} kills; waits for {what}"),
            None => format!("{phase}, {kills} kills"),
        }
    }

    /// For people.
    pub(super) fn text(&self) -> String {
        let (line, verdict) = (&self.line, self.line.verdict.as_ref());
        let mut head = Table::new();
        head.load_style(presets::NOTHING);
        head.add_row(["run".to_owned(), line.full_name()]);
        head.add_row(["experiment".to_owned(), line.experiment.clone()]);
        head.add_row(["mode".to_owned(), line.mode.as_str().to_owned()]);
        head.add_row(["phase".to_owned(), line.phase_word()]);
        let facts = [
            ("waits for", self.waits_for.clone()),
            ("to approve", self.approval()),
            ("kills", Some(format!("{}, skipped strikes: {}", line.kills, line.skips))),
            ("started", line.started_at.map(|at| at.to_string())),
            ("over", line.finished_at.map(|at| at.to_string())),
            ("verdict", verdict.map(|verdict| format!("{}, exit code {}", verdict.outcome, verdict.exit_code))),
            ("reason", verdict.map(|verdict| format!("{}: {}", verdict.reason_code, verdict.reason_text))),
            ("evidence", self.evidence.as_ref().map(evidence)),
            ("report", verdict.map(|_| self.report.clone())),
        ];
        for (what, value) in facts {
            if let Some(value) = value {
                head.add_row([what.to_owned(), value]);
            }
        }
        let mut parts = vec![head.trim_fmt()];
        if !self.claims.is_empty() {
            let mut claims = output::columns(&["PROBE", "HOLDS", "CLAIM"]);
            for claim in &self.claims {
                claims.add_row([&claim.probe, &claim.holds, &claim.claim]);
            }
            parts.push(claims.trim_fmt());
        }
        if !self.conditions.is_empty() {
            let mut conditions = output::columns(&["CONDITION", "STATUS", "SINCE", "REASON", "MESSAGE"]);
            for Condition { type_, status, last_transition_time: since, reason, message, .. } in &self.conditions {
                conditions.add_row([type_, status, &since.0.to_string(), reason, message]);
            }
            parts.push(conditions.trim_fmt());
        }
        format!("{}\n", parts.join("\n\n"))
    }

    /// How to approve the plan, where somebody has to.
    fn approval(&self) -> Option<String> {
        let digest = self.plan_digest.as_ref().filter(|_| self.line.phase == Some(RunPhase::AwaitingApproval))?;
        let approve = serde_json::json!({"approve": {"runUid": self.uid, "planDigest": digest}});
        let patch = serde_json::json!({"spec": {"control": approve}});
        Some(format!("kubectl patch crun {} -n {} --type merge -p '{patch}'", self.line.name, self.line.namespace))
    }
}

fn evidence(evidence: &EvidenceRecord) -> String {
    let EvidenceRecord { operator, prober, digest } = evidence;
    let digest = digest.as_ref().map(|digest| format!(", digest {digest}")).unwrap_or_default();
    format!("{operator} ConfigMaps of the operator, {prober} of the prober{digest}")
}

/// What a run waits for at present; nothing once it is over.
fn waits_for(status: &ExperimentRunStatus) -> Option<String> {
    let progress = status.progress.clone().unwrap_or_default();
    let until = progress.until.map(|until| format!(", until {:.0} at the latest", until.0)).unwrap_or_default();
    let what = match status.phase {
        Some(RunPhase::Completed) => return None,
        None => "an operator that takes it up".to_owned(),
        Some(RunPhase::Resolving) => format!("an answer to who may be killed{until}"),
        Some(RunPhase::AwaitingApproval) => format!("somebody who approves its plan{until}"),
        Some(RunPhase::Preparing) => match progress.since {
            Some(since) => format!("its turn since {:.0}: the prober measures as many runs as it may at once", since.0),
            None => format!("a prober that is ready{until}"),
        },
        Some(RunPhase::Starting) => "its record to be begun".to_owned(),
        Some(RunPhase::Asking) => "the answers of the probes that look before the fault".to_owned(),
        Some(RunPhase::Baseline) => format!("the end of the baseline{until}"),
        Some(RunPhase::Fault) => {
            let strikes = status.resolved.as_ref().map(|resolved| format!(", {} planned", resolved.strikes));
            format!("its strikes{}{until}", strikes.unwrap_or_default())
        }
        Some(RunPhase::Settling) => "the last kills to recover".to_owned(),
        Some(RunPhase::Recovery) => format!("the end of the recovery{until}"),
        Some(RunPhase::WindingDown) => match progress.stop {
            Some(stop) => format!("its wind-down, stopped early: {}: {}", stop.cause, stop.message),
            None => "its wind-down".to_owned(),
        },
        Some(RunPhase::Judging) => "its verdict".to_owned(),
    };
    Some(what)
}

#[cfg(test)]
mod tests {
    use serde_json::{Value, json};

    use super::*;

    fn run(status: Value) -> ExperimentRun {
        let run = json!({
            "apiVersion": "chaos.dispatch.dev/v1alpha1", "kind": "ExperimentRun",
            "metadata": {"name": "r", "namespace": "n", "uid": "u-1"},
            "spec": {"experimentRef": {"name": "e"}, "mode": "Live"}, "status": status,
        });
        serde_json::from_value(run).unwrap()
    }

    fn over() -> ExperimentRun {
        run(json!({
            "phase": "Completed", "kills": 4, "skips": 1,
            "startedAt": "2026-11-28T09:00:00Z", "finishedAt": "2026-11-28T09:01:17Z",
            "resolved": {"experimentDigest": "e", "planDigest": "p", "seed": 7, "candidates": 3, "excluded": 0, "strikes": 4},
            "verdict": {"outcome": "pass", "exitCode": 0, "reasonCode": "HypothesisHeld", "reasonText": "all of it held"},
            "claims": [{"claim": "90 % answered", "probe": "ask", "holds": "Yes"}],
            "conditions": [{"type": "Complete", "status": "True", "reason": "HypothesisHeld", "message": "all of it held",
                "lastTransitionTime": "2026-11-28T09:01:17Z"}],
            "evidence": {"operator": 5, "prober": 3, "digest": "d"},
        }))
    }

    fn line() -> Value {
        json!({
            "namespace": "n", "name": "r", "experiment": "e", "mode": "Live", "phase": "Completed", "kills": 4, "skips": 1,
            "startedAt": "2026-11-28T09:00:00Z", "finishedAt": "2026-11-28T09:01:17Z",
            "verdict": {"outcome": "pass", "exitCode": 0, "reasonCode": "HypothesisHeld", "reasonText": "all of it held"},
        })
    }

    #[test]
    fn machines_read_the_same_keys_whatever_there_is_to_say() {
        assert_eq!(serde_json::to_value(RunLine::of(&over())).unwrap(), line());
        let mut shown = line();
        for (key, value) in [
            ("uid", json!("u-1")),
            ("waitsFor", Value::Null),
            ("planDigest", json!("p")),
            ("claims", json!([{"claim": "90 % answered", "probe": "ask", "holds": "Yes"}])),
            (
                "conditions",
                json!([{"type": "Complete", "status": "True", "reason": "HypothesisHeld", "message": "all of it held",
                    "lastTransitionTime": "2026-11-28T09:01:17Z"}]),
            ),
            ("evidence", json!({"operator": 5, "prober": 3, "digest": "d"})),
            ("report", json!("chaos report crun/r -n n")),
        ] {
            shown[key] = value;
        }
        assert_eq!(serde_json::to_value(RunView::of(&over())).unwrap(), shown);
        let new = serde_json::to_value(RunView::of(&run(json!({})))).unwrap();
        let keys = |value: &Value| value.as_object().unwrap().keys().cloned().collect::<Vec<_>>();
        assert_eq!(keys(&new), keys(&serde_json::to_value(RunView::of(&over())).unwrap()));
        assert_eq!((&new["phase"], &new["verdict"]), (&Value::Null, &Value::Null));
        assert_eq!(new["waitsFor"], "an operator that takes it up");
    }

    #[test]
    fn people_read_a_line_each_and_all_of_one() {
        let runs = [RunLine::of(&over()), RunLine::of(&run(json!({})))];
        let listed = table(&runs, None);
        let words: Vec<Vec<&str>> = listed.lines().map(|line| line.split_whitespace().collect()).collect();
        assert_eq!(words[1], ["n/r", "Live", "Completed", "4", "pass", "HypothesisHeld", "2026-11-28T09:00:00Z"]);
        assert_eq!(words[2], ["n/r", "Live", "-", "0", "-", "-", "-"]);
        assert_eq!(table(&[], Some("n")), "no runs in namespace n; -A for all namespaces\n");
        let shown = RunView::of(&over()).text();
        for part in [
            "4, skipped strikes: 1",
            "pass, exit code 0",
            "HypothesisHeld: all of it held",
            "5 ConfigMaps of the operator, 3 of the prober, digest d",
            "chaos report crun/r -n n",
            "90 % answered",
            "Complete",
        ] {
            assert!(shown.contains(part), "{part}:\n{shown}");
        }
        assert!(!shown.contains("waits for"), "{shown}");
        let says = |words: [&str; 2]| shown.lines().any(|line| line.split_whitespace().eq(words));
        assert!(says(["run", "n/r"]) && says(["experiment", "e"]), "{shown}");
    }

    #[test]
    fn a_run_says_what_it_waits_for() {
        let waits = |status: Value| RunView::of(&run(status)).waits_for.unwrap_or_default();
        let until = json!({"until": "2026-11-28T09:00:00.123456Z"});
        assert_eq!(
            waits(json!({"phase": "Baseline", "progress": until})),
            "the end of the baseline, until 2026-11-28T09:00:00Z at the latest"
        );
        let queued = json!({"phase": "Preparing", "progress": {"since": "2026-11-28T09:00:00.000000Z"}});
        assert!(waits(queued).starts_with("its turn since 2026-11-28T09:00:00Z"));
        let stop = json!({"cause": "Signal", "message": "spec.control.abort"});
        let stopped = json!({"phase": "WindingDown", "progress": {"next": "StopKiller", "stop": stop}});
        assert!(waits(stopped).ends_with("Signal: spec.control.abort"));
        assert_eq!(waits(json!({"phase": "Completed"})), "");
    }

    #[test]
    fn whoever_has_to_approve_a_plan_is_told_how() {
        let resolved = json!({"experimentDigest": "e", "planDigest": "p", "seed": 7, "candidates": 3, "excluded": 0,
            "strikes": 4});
        let shown = RunView::of(&run(json!({"phase": "AwaitingApproval", "resolved": resolved}))).text();
        assert!(shown.contains("kubectl patch crun r -n n --type merge -p"), "{shown}");
        assert!(shown.contains("\"runUid\":\"u-1\"") && shown.contains("\"planDigest\":\"p\""), "{shown}");
    }
}
