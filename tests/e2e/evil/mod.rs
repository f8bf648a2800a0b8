//! Evil inputs through the whole program: what lies, hangs, dies or is missing, and the documented exit code that must come
//! of it. The table is [`rows`]; `docs/evil-inputs.md` shows it and is held equal to it.
//!
//! The program, the cluster and the kills are real; who answers is a stand-in that each row tells how to lie.

mod draft;
mod field;
mod operator;
mod real_prometheus;
mod rows;
mod script;
mod stand_in;

use std::collections::VecDeque;
use std::sync::{Mutex, PoisonError};

use chaos_engine::journal::Redactor;
use draft::Draft;
use field::{Field, LONG};
use rows::{Ground, Row, rows};
use script::{Play, verdict_of};

/// Rows that are played at the same time: more would starve each other on a small machine.
const AT_ONCE: usize = 3;

#[test]
fn every_evil_input_ends_as_the_table_says() {
    let _machine = crate::beside();
    // One row alone, while working on it: EVIL=name.
    let wanted = std::env::var("EVIL").ok();
    let chosen = rows().into_iter().filter(|row| wanted.as_deref().is_none_or(|wanted| row.name.contains(wanted)));
    let field = Field::up(&[]);
    let wrong = play_all(chosen.map(|row| (row.name, row)).collect(), |row| play(&field, &row));
    field.down();
    assert!(wrong.is_empty(), "these rows end otherwise, as printed above: {wrong:?}");
}

/// Plays everything, some of it at the same time; gives the names of what did not end as it should.
fn play_all<T: Send>(all: VecDeque<(&'static str, T)>, play: impl Fn(T) + Sync) -> Vec<&'static str> {
    let (left, wrong) = (Mutex::new(all), Mutex::new(Vec::new()));
    std::thread::scope(|scope| {
        for _ in 0..AT_ONCE {
            scope.spawn(|| {
                let next = || left.lock().unwrap_or_else(PoisonError::into_inner).pop_front();
                while let Some((name, what)) = next() {
                    let played = std::panic::catch_unwind(std::panic::AssertUnwindSafe(|| play(what)));
                    if played.is_err() {
                        wrong.lock().unwrap_or_else(PoisonError::into_inner).push(name);
                    }
                }
            });
        }
    });
    wrong.into_inner().unwrap_or_else(PoisonError::into_inner)
}

/// Plays a row on the cluster that it asks for.
fn play(shared: &Field, row: &Row) {
    match row.ground {
        Ground::Shared => play_on(shared, row),
        Ground::Own(args) => play_on(&Field::up(args), row),
    }
}

/// Plays a row and compares how it ends.
fn play_on(field: &Field, row: &Row) {
    let namespace = row.namespace();
    field.prepare(&namespace);
    let mut play = Play::start(field, &namespace, row);
    (row.meanwhile)(&mut play);
    let code = play.running.expect_end(LONG);
    let output = play.running.output();
    let found = (code, verdict_of(&play.chaos).map(|verdict| verdict.reason_code));
    let wanted = (row.code, row.reason.map(str::to_owned));
    assert!(found == wanted, "{}: ended with {found:?}, the table says {wanted:?}\n{output}", row.name);
    assert!(play.output().contains(row.says), "{}: the output does not say {:?}\n{output}", row.name, row.says);
    if row.is_foreseen() {
        let plan = play.plan();
        assert_eq!(plan.code, row.code, "{}: the plan says otherwise\n{}{}", row.name, plan.stdout, plan.stderr);
        assert!(!plan.stdout.contains("the first at , "), "{}: {}", row.name, plan.stdout);
    }
    if let Some(after) = row.after {
        after(&play);
    }
    field.clear(&namespace);
}

/// The record of a run is all that is left of it: no manifest of the table may lose its meaning on the way there.
#[test]
fn every_experiment_of_the_table_can_be_judged_by_its_record() {
    let stand_in = "127.0.0.1:8080".parse().expect("an address");
    let mut checked = 0;
    for row in rows() {
        for text in (row.files)(Draft::new(&row.namespace(), stand_in)) {
            // Some rows are about manifests that are not valid.
            let Ok(experiments) = chaos_core::validate::experiment_file("row", &text) else { continue };
            for experiment in &experiments {
                let recorded = Redactor::of(&experiment.probes).check(&text, experiment);
                assert!(recorded.is_ok(), "{}: {recorded:?}\n{text}", row.name);
                checked += 1;
            }
        }
    }
    assert!(checked > 40, "{checked}");
}

#[test]
fn the_documented_tables_are_these() {
    let path = std::path::Path::new(env!("CARGO_MANIFEST_DIR")).join("../docs/evil-inputs.md");
    let found = std::fs::read_to_string(&path).unwrap_or_default();
    let tables = [("table", rows::table()), ("real Prometheus", real_prometheus::table())];
    let wanted = tables.iter().fold(found.clone(), |page, (mark, table)| with_table(&page, mark, table));
    if std::env::var_os("CHAOS_WRITE").is_some() {
        std::fs::write(&path, &wanted).expect("the page is written");
    }
    let found = std::fs::read_to_string(&path).unwrap_or_default();
    assert!(
        found == wanted,
        "docs/evil-inputs.md differs; hint: CHAOS_WRITE=1 cargo test -p chaos-tests --test e2e evil"
    );
}

/// The page with this table behind its mark.
fn with_table(page: &str, mark: &str, table: &str) -> String {
    let (mark, end) = (format!("<!-- {mark} -->\n"), "<!-- end -->\n");
    let (before, rest) = page.split_once(&mark).unwrap_or((page, ""));
    let after = rest.split_once(end).map_or("", |(_, after)| after);
    format!("{before}{mark}{table}{end}{after}")
}
