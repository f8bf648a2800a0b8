//! Mutation test of the verdict rule: seeds one error at a time into a copy of the sources and expects the crate's own
//! tests to fail. `cargo run -p chaos-core --example mutants [NUMBER…] > docs/mutants.md` prints the table; the exit code
//! says whether every error was caught. CI tries some of them every day (`.ci/mutants`).

#![expect(clippy::print_stdout, reason = "a program whose product is its output")]
#![expect(clippy::disallowed_methods, reason = "a program around the crate, not a part of it")]

use std::path::{Path, PathBuf};
use std::process::{Command, ExitCode, Stdio};

/// One seeded error: what it is, where, and the text that is replaced (which must occur exactly once).
struct Mutant {
    what: &'static str,
    file: &'static str,
    from: &'static str,
    to: &'static str,
}

const fn mutant(what: &'static str, file: &'static str, from: &'static str, to: &'static str) -> Mutant {
    Mutant { what, file, from, to }
}

const MUTANTS: [Mutant; 26] = [
    mutant(
        "budget: `<` for `≤`",
        "verdict/rule.rs",
        "bad as f64 <= allowed + ROUNDING",
        "(bad as f64) < allowed - ROUNDING",
    ),
    mutant(
        "requests of unknown outcome counted as good when passing",
        "verdict/promise.rs",
        "bad_at_worst: bad_for_sure + trial.counts.unknown",
        "bad_at_worst: bad_for_sure",
    ),
    mutant(
        "requests of unknown outcome counted as bad when failing",
        "verdict/rule.rs",
        "betting.observe(window.requests, window.bad_for_sure)",
        "betting.observe(window.requests, window.bad_at_worst)",
    ),
    mutant(
        "exposure ignored",
        "verdict/promise.rs",
        "exposed: trial.exposure == Exposure::Yes",
        "exposed: trial.exposure >= Exposure::No",
    ),
    mutant(
        "unknown exposure counted as exposure",
        "verdict/promise.rs",
        "exposed: trial.exposure == Exposure::Yes",
        "exposed: trial.exposure != Exposure::No",
    ),
    mutant(
        "a harmless kill may cost one request less than said",
        "verdict/rule.rs",
        "loss(window) > max_loss",
        "loss(window) >= max_loss",
    ),
    mutant(
        "the declared worst loss refutes itself",
        "verdict/rule.rs",
        "window.bad_for_sure > bound(window)",
        "window.bad_for_sure >= bound(window)",
    ),
    mutant(
        "Bonferroni forgotten",
        "verdict/rule.rs",
        "(1.0 - RECOVERY) * alpha / tests.max(1) as f64",
        "(1.0 - RECOVERY) * alpha / tests.min(1) as f64",
    ),
    mutant(
        "Bonferroni applied to passing",
        "verdict/rule.rs",
        "clopper_pearson_upper(bad, kills, terms.alpha)",
        "clopper_pearson_upper(bad, kills, terms.alpha / terms.tests as f64)",
    ),
    mutant(
        "betting forgets its peak",
        "stats/betting.rs",
        "self.highest = self.highest.max(self.e_value());",
        "self.highest = self.e_value();",
    ),
    mutant("the declaration may be the proof", "stats/bounded_mean.rs", "|| bound >= 1.0", "|| bound > 1.0"),
    mutant("Bentkus without its factor e", "stats/bounded_mean.rs", "std::f64::consts::E * at_most", "0.1 * at_most"),
    mutant(
        "windows off by one: a slot due at the instant of a kill belongs to the window before",
        "evidence/load.rs",
        "at >= trial.span.end",
        "at > trial.span.end",
    ),
    mutant("a kill at the instant of Ready merged", "evidence/windows.rs", "kill.at < ready", "kill.at <= ready"),
    mutant(
        "overlapping kills counted as trials of their own",
        "evidence/windows.rs",
        "open.recovered.is_none_or(|ready| kill.at < ready)",
        "open.recovered.is_none_or(|ready| kill.at < ready) && open.kills.is_empty()",
    ),
    mutant(
        "replacements matched without their owner",
        "evidence/timeline.rs",
        "pod.owner_uid == kill.victim.owner_uid",
        "!pod.owner_uid.is_empty()",
    ),
    mutant(
        "pods older than the kill taken for replacements",
        "evidence/timeline.rs",
        "pod.at.0.saturating_add(kill.uncertainty) >= kill.at.0",
        "pod.at.0.saturating_add(1_000_000_000_000) >= kill.at.0",
    ),
    mutant(
        "traffic of more than five seconds ago counted as exposure",
        "evidence/exposure.rs",
        "const LOOK_BACK_NANOS: u64 = 5_000_000_000;",
        "const LOOK_BACK_NANOS: u64 = 6_000_000_000;",
    ),
    mutant(
        "a failure of a late request blamed on the system",
        "evidence/load.rs",
        "if late || slot.class.is_unknown()",
        "if slot.class.is_unknown()",
    ),
    mutant(
        "slots that nobody recorded counted as good",
        "evidence/load.rs",
        "None => State::Unknown,",
        "None => State::Good,",
    ),
    mutant(
        "a run without kills may pass",
        "verdict/findings.rs",
        "if done < spec.strikes_min.max(1) {",
        "if done < spec.strikes_min {",
    ),
    mutant(
        "a stopped run told before a refuted promise",
        "verdict/outcome.rs",
        "ExitCode::Failed => 1,",
        "ExitCode::Failed => 4,",
    ),
    mutant(
        "a burst across two seconds of the recovery counted as two",
        "verdict/rule/quiet.rs",
        "slice.number % 2 == odd",
        "slice.number % 1 == odd",
    ),
    mutant(
        "both tests of the recovery given its whole part of α",
        "verdict/rule/quiet.rs",
        "terms.alpha_to_fail / TESTS",
        "terms.alpha_to_fail / TESTS.min(1.0)",
    ),
    mutant(
        "what the first kill cuts off counted for the baseline in which it was due",
        "evidence/load.rs",
        "counts_for(judged, slot.due, slot.over_at())",
        "counts_for(judged, slot.due, None)",
    ),
    mutant(
        "a look that was not answered counted as one that was off",
        "verdict/expectation.rs",
        "spell.since = None",
        "spell.least = spell.least",
    ),
];

fn main() -> std::io::Result<ExitCode> {
    let chosen: Vec<usize> = std::env::args().skip(1).filter_map(|number| number.parse().ok()).collect();
    let copy = Workspace::copy()?;
    // All of them, whatever is chosen: one whose text is gone is found at once, and not on its day.
    MUTANTS.iter().try_for_each(|mutant| copy.source(mutant).map(drop))?;
    println!("# Seeded errors of the verdict rule\n");
    println!("Each error is seeded alone into a copy of the sources; the tests of `chaos-core` itself must fail.\n");
    println!("Regenerate: `cargo run -p chaos-core --example mutants > docs/mutants.md`.\n");
    println!("| | seeded error | file | caught by |\n|---:|---|---|---|");
    let mut escaped = 0;
    for (number, mutant) in (1..).zip(&MUTANTS) {
        if chosen.is_empty() || chosen.contains(&number) {
            let caught = copy.caught(mutant)?;
            escaped += usize::from(caught.is_empty());
            println!("| {number} | {} | `{}` | {} |", mutant.what, mutant.file, named(&caught));
        }
    }
    println!("\nNot caught: {escaped}.");
    Ok(if escaped == 0 { ExitCode::SUCCESS } else { ExitCode::FAILURE })
}

fn named(tests: &[String]) -> String {
    match tests {
        [] => "**nothing**".to_owned(),
        [first] => format!("`{first}`"),
        [first, more @ ..] => format!("`{first}` and {} more", more.len()),
    }
}

/// A copy of the workspace's sources in a temporary folder, removed at the end.
struct Workspace {
    root: PathBuf,
}

impl Workspace {
    fn copy() -> std::io::Result<Self> {
        let original = Path::new(env!("CARGO_MANIFEST_DIR")).join("..");
        let root = std::env::temp_dir().join(format!("chaos-mutants-{}", std::process::id()));
        let listed = Command::new("git").args(["ls-files", "-z"]).current_dir(&original).output()?;
        for name in String::from_utf8_lossy(&listed.stdout).split('\0').filter(|name| !name.is_empty()) {
            let (from, to) = (original.join(name), root.join(name));
            if from.is_file() {
                std::fs::create_dir_all(to.parent().unwrap_or(&root))?;
                std::fs::copy(from, to)?;
            }
        }
        Ok(Self { root })
    }

    /// The file that an error is seeded into, and what stands in it.
    fn source(&self, mutant: &Mutant) -> std::io::Result<(PathBuf, String)> {
        let path = self.root.join("chaos-core/src").join(mutant.file);
        let source = std::fs::read_to_string(&path)?;
        match source.matches(mutant.from).count() {
            1 => Ok((path, source)),
            _ => Err(std::io::Error::other(format!("{:?} must occur once in {}", mutant.from, mutant.file))),
        }
    }

    /// Names of the tests that fail with this error in place.
    fn caught(&self, mutant: &Mutant) -> std::io::Result<Vec<String>> {
        let (path, source) = self.source(mutant)?;
        std::fs::write(&path, source.replacen(mutant.from, mutant.to, 1))?;
        let output = Command::new(env!("CARGO"))
            .args(["test", "--quiet", "-p", "chaos-core", "--lib", "--", "evidence::", "stats::", "verdict::"])
            .current_dir(&self.root)
            .stderr(Stdio::inherit())
            .output()?;
        std::fs::write(&path, source)?;
        let failed = failed_tests(&String::from_utf8_lossy(&output.stdout));
        if !output.status.success() && failed.is_empty() {
            return Err(std::io::Error::other(format!("{:?} does not compile", mutant.what)));
        }
        Ok(failed)
    }
}

impl Drop for Workspace {
    fn drop(&mut self) {
        // What cannot be removed lies in the system's temporary folder.
        let _ = std::fs::remove_dir_all(&self.root);
    }
}

/// The names in the list that the test harness ends with.
fn failed_tests(output: &str) -> Vec<String> {
    let Some((_, list)) = output.rsplit_once("\nfailures:\n") else {
        return Vec::new();
    };
    list.lines().map_while(|line| line.strip_prefix("    ")).map(|name| name.trim().to_owned()).collect()
}
