//! A real Prometheus under whole runs: it is well, dies, hangs, comes back with nothing or with what is old, or has nothing to
//! scrape any more. It must be on PATH: ignored unless asked for (`.ci/prometheus`), so that a machine without it does not
//! pretend to have asked one.

use std::fmt::Write as _;
use std::io::{BufRead as _, BufReader};
use std::net::SocketAddr;
use std::path::Path;
use std::process::{Child, Command, Stdio};

use chaos_core::record::{Answer, Event, Sample};
use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;

use super::draft::Draft;
use super::field::{Field, LONG};
use super::play_all;
use super::rows::namespace_of;
use super::script::{Play, verdict_of};
use super::stand_in::Metric;

/// Kills of a run that nothing stops.
const KILLS: u64 = 3;
/// What is scraped every second is older than this only where it is not scraped any more.
const MAX_AGE: &str = "4s";
const RULES: &str = "groups: [{name: rides, rules: [{alert: RidesLost, expr: rides_assigned < 1}]}]\n";

/// What becomes of a Prometheus in mid-run, and what must come of the run.
struct Case {
    /// What becomes of it, as the table says.
    name: &'static str,
    code: i32,
    reason: &'static str,
    /// What the output must say.
    says: &'static str,
    /// What the probe is told last, as of [`told`]; empty: there is no probe but the load.
    last: &'static str,
    /// The manifest, of the URL of the Prometheus.
    manifest: fn(Draft, &str) -> String,
    /// What happens after the first kill. None follows until its replacement is Ready, and none becomes Ready meanwhile.
    turn: fn(&Play<'_>, &mut Prometheus),
}

impl Case {
    /// A run that asks for a value, if nothing else is said.
    const fn new(name: &'static str, (code, reason): (i32, &'static str), says: &'static str) -> Self {
        Self {
            name,
            code,
            reason,
            says,
            last: "",
            manifest: |draft, url| draft.asks_prometheus_at(url).yaml(),
            turn: |_, _| (),
        }
    }

    const fn last(self, last: &'static str) -> Self {
        Self { last, ..self }
    }

    const fn manifest(self, manifest: fn(Draft, &str) -> String) -> Self {
        Self { manifest, ..self }
    }

    const fn turn(self, turn: fn(&Play<'_>, &mut Prometheus)) -> Self {
        Self { turn, ..self }
    }

    fn namespace(&self) -> String {
        namespace_of(self.name)
    }
}

#[test]
#[ignore = "a real Prometheus must be on PATH"]
fn a_run_rests_on_what_a_real_prometheus_could_answer() {
    let _machine = crate::alone();
    let field = Field::up(&[]);
    // All are started first: it takes one some seconds until it scrapes.
    let started = |case: Case| (case.name, (Prometheus::start(field.stand_in, &case.namespace()), case));
    let wrong = play_all(cases().map(started).collect(), |(prometheus, case)| play(&field, prometheus, &case));
    field.down();
    assert!(wrong.is_empty(), "these runs end otherwise, as printed above: {wrong:?}");
}

/// All of them as Markdown.
pub(crate) fn table() -> String {
    let mut table = "| the Prometheus, in mid-run | exit | reason | the output says |\n|---|---:|---|---|\n".to_owned();
    for Case { name, code, reason, says, .. } in cases() {
        let _ = writeln!(table, "| {name} | {code} | `{reason}` | {says} |");
    }
    table
}

fn cases() -> impl Iterator<Item = Case> {
    probed().into_iter().chain(guarded())
}

/// Runs that ask it for a value.
fn probed() -> Vec<Case> {
    let unknown = |name, says| Case::new(name, (7, "ProbeUnanswered"), says);
    vec![
        Case::new("well to the end", (0, "HypothesisHeld"), "PASS")
            .last("met")
            .turn(|play, _| until_told(play, "met", 3)),
        unknown("killed by SIGKILL", "rides could not answer (unreachable)").last("unreachable").turn(
            |play, prometheus| {
                prometheus.end();
                until_told(play, "unreachable", 1);
            },
        ),
        // It answers well to the end, and still nobody knows what was in between.
        unknown("killed, and started again with nothing stored", "rides could not answer (unreachable)")
            .last("met")
            .turn(|play, prometheus| {
                prometheus.end();
                until_told(play, "unreachable", 1);
                prometheus.forget();
                prometheus.start_again();
                until_told(play, "met", 1);
            }),
        // For five minutes it gives the value that it had stored, of a target that it has not reached since its start.
        unknown("killed, and started again with old values only", "rides could not answer (unreachable)")
            .last("stale")
            .manifest(|draft, url| draft.asks_prometheus_of(MAX_AGE, url).yaml())
            .turn(|play, prometheus| {
                prometheus.end();
                until_told(play, "unreachable", 1);
                play.scene(|scene| scene.metric = Metric::Dead);
                prometheus.start_again();
                until_told(play, "stale", 1);
            }),
        unknown("stopped by SIGSTOP, so that it hangs", "rides could not answer (timeout)").last("timeout").turn(
            |play, prometheus| {
                prometheus.signal(Signal::SIGSTOP);
                until_told(play, "timeout", 1);
            },
        ),
        // A look between whose questions the value goes has another cause than those after it.
        unknown("loses what it scrapes", "rides could not answer").last("noData").turn(|play, _| {
            play.scene(|scene| scene.metric = Metric::Dead);
            until_told(play, "noData", 1);
        }),
        Case::new("tells less than is expected", (1, "ExpectationBroken"), "rides was 0.5").last("unmet").turn(
            |play, _| {
                play.scene(|scene| scene.metric = Metric::Value("0.5"));
                until_told(play, "unmet", 1);
            },
        ),
    ]
}

/// Runs that one of its alerts guards.
fn guarded() -> Vec<Case> {
    // So many kills that the run is still at them.
    fn guarded(draft: Draft, url: &str) -> String {
        draft.kills(60, 2).guarded_at(url, "RidesLost").short_sighted().yaml()
    }
    let stops = |name, says| Case::new(name, (5, "GuardTripped"), says).manifest(guarded);
    vec![
        stops("its alert, which is a guard, fires", "alert fires")
            .turn(|play, _| play.scene(|scene| scene.metric = Metric::Value("0.5"))),
        stops("killed, and its alerts are a guard", "no alert could be read").turn(|_, prometheus| prometheus.end()),
    ]
}

fn play(field: &Field, mut prometheus: Prometheus, case: &Case) {
    let namespace = case.namespace();
    field.prepare(&namespace);
    let scraped = || {
        let mut scraped = 0;
        field.stage.set(&namespace, |scene| scraped = scene.scraped);
        scraped
    };
    // What was scraped first is stored before it scrapes again.
    assert!(chaos_tests::wait(LONG, || scraped() > 1), "{}: it does not scrape", case.name);
    field.stage.set(&namespace, |scene| scene.gate_open = false);
    let manifest = (case.manifest)(Draft::new(&namespace, field.stand_in), &prometheus.url());
    let mut play = Play::run(field, &namespace, &manifest);
    play.until("kill 1/");
    (case.turn)(&play, &mut prometheus);
    play.scene(|scene| scene.gate_open = true);
    let code = play.running.expect_end(LONG);
    let output = play.running.output();
    let found = (code, verdict_of(&play.chaos).map(|verdict| verdict.reason_code));
    let wanted = (Some(case.code), Some(case.reason.to_owned()));
    assert!(found == wanted, "{}: ended with {found:?}, not with {wanted:?}\n{output}", case.name);
    assert!(play.output().contains(case.says), "{}: the output does not say {:?}\n{output}", case.name, case.says);
    if !case.last.is_empty() {
        answers_are_told(&play, case);
    }
    field.clear(&namespace);
}

/// The result has every look at the Prometheus as it was, and claims no more than they give.
fn answers_are_told(play: &Play<'_>, case: &Case) {
    let (answers, result) = (answers(play), play.result());
    assert_eq!(answers.last().map(told), Some(case.last), "{}: {answers:?}", case.name);
    let shown = &result["expectations"][0];
    let counts = [("met", Some(true)), ("unmet", Some(false)), ("errors", None)];
    for (name, met) in counts {
        let count = answers.iter().filter(|answer| answer.met == met).count();
        assert_eq!(shown[name], count, "{}, {name}: {shown}", case.name);
    }
    let claim = result["claims"].as_array().into_iter().flatten().find(|claim| claim["probe"] == "rides");
    let holds = claim.and_then(|claim| claim["holds"].as_str());
    let wanted = match case.code {
        0 => "Yes",
        1 => "No",
        _ => "Undecided",
    };
    assert_eq!(holds, Some(wanted), "{}: {claim:?}", case.name);
    // It went on, and killed, whoever answered.
    assert_eq!(result["kills"]["done"], KILLS, "{}: {}", case.name, result["kills"]);
}

/// What the probe was told so far.
fn answers(play: &Play<'_>) -> Vec<Sample> {
    let journal = play.journals().pop().expect("the journal of the run");
    let events = chaos_engine::journal::read(&journal).expect("it can be read").events;
    let sample = |event| if let Event::Sample(sample) = event { Some(sample) } else { None };
    events.into_iter().filter_map(sample).filter(|sample| sample.probe == "rides").collect()
}

/// The cause of a look without an answer, else whether the answer is what is expected.
fn told(sample: &Sample) -> &str {
    match (&sample.answer, sample.met) {
        (Answer::Error { reason, .. }, _) => reason,
        (Answer::Value(_), Some(true)) => "met",
        (Answer::Value(_), _) => "unmet",
    }
}

/// Waits until the probe was told this so many times more.
fn until_told(play: &Play<'_>, what: &str, more: usize) {
    let count = || answers(play).iter().filter(|answer| told(answer) == what).count();
    let wanted = count() + more;
    assert!(chaos_tests::wait(LONG, || count() >= wanted), "{}: not told {what:?}: {:?}", play.row, answers(play));
}

/// A real Prometheus, which scrapes what the stand-in shows of one row.
struct Prometheus {
    process: Child,
    port: u16,
    folder: tempfile::TempDir,
}

impl Drop for Prometheus {
    fn drop(&mut self) {
        self.end();
    }
}

impl Prometheus {
    /// Starts one on a port of its own choice.
    fn start(stand_in: SocketAddr, row: &str) -> Self {
        let folder = tempfile::tempdir().expect("a folder");
        let config = format!(
            "global: {{scrape_interval: 1s, evaluation_interval: 1s}}\nrule_files: [rules.yml]\n\
             scrape_configs: [{{job_name: app, metrics_path: /{row}/metrics, static_configs: [{{targets: ['{stand_in}']}}]}}]\n"
        );
        for (name, text) in [("prometheus.yml", config.as_str()), ("rules.yml", RULES)] {
            std::fs::write(folder.path().join(name), text).expect("its configuration is written");
        }
        let (process, port) = listening(folder.path(), 0);
        Self { process, port, folder }
    }

    fn url(&self) -> String {
        format!("http://127.0.0.1:{}", self.port)
    }

    fn signal(&self, signal: Signal) {
        kill(Pid::from_raw(self.process.id().cast_signed()), signal).expect("it runs");
    }

    /// Kills it by SIGKILL, also one that is stopped, and waits for its end.
    fn end(&mut self) {
        let _ = self.process.kill();
        let _ = self.process.wait();
    }

    /// Removes all that it has stored.
    fn forget(&self) {
        std::fs::remove_dir_all(data(self.folder.path())).expect("it had stored something");
    }

    /// Starts it where it was.
    fn start_again(&mut self) {
        (self.process, self.port) = listening(self.folder.path(), self.port);
    }
}

fn data(folder: &Path) -> std::path::PathBuf {
    folder.join("data")
}

/// A process that listens, and where: at this port, if it is not 0.
fn listening(folder: &Path, port: u16) -> (Child, u16) {
    let mut process = Command::new("prometheus")
        .arg(format!("--config.file={}", folder.join("prometheus.yml").display()))
        .arg(format!("--storage.tsdb.path={}", data(folder).display()))
        .arg(format!("--web.listen-address=127.0.0.1:{port}"))
        .arg("--log.level=info")
        .stderr(Stdio::piped())
        .spawn()
        .expect("prometheus is on PATH");
    let mut lines = BufReader::new(process.stderr.take().expect("its log")).lines().map_while(Result::ok);
    let found = lines.find_map(|line| {
        let address = line.contains("Listening on").then(|| line.split("address=127.0.0.1:").nth(1))??;
        address.split(|c: char| !c.is_ascii_digit()).next()?.parse().ok()
    });
    // Its log must be read on, or it would wait for the reader.
    std::thread::spawn(move || lines.for_each(drop));
    (process, found.expect("it says where it listens"))
}
