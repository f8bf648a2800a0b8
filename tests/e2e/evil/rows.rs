//! The table: each row an evil input, the exit code and the reason that must come of it, and how it is played.

use std::fmt::Write as _;
use std::path::Path;
use std::sync::OnceLock;
use std::time::Duration;

use nix::sys::signal::Signal;
use serde_json::json;

use super::draft::Draft;
use super::field::Field;
use super::script::{Play, forbid_evictions};
use super::stand_in::{Alert, App, Checker, Metric, Scene};

/// An evil input and what must come of it.
pub(crate) struct Row {
    /// What is evil about it.
    pub(crate) name: &'static str,
    /// The exit code; `None`: a signal ended the program.
    pub(crate) code: Option<i32>,
    /// The `reasonCode` of the result; `None`: no single run was judged.
    pub(crate) reason: Option<&'static str>,
    /// What the output must say.
    pub(crate) says: &'static str,
    /// The cluster it is played on.
    pub(crate) ground: Ground,
    /// What the stand-in answers at first.
    pub(crate) scene: fn(&mut Scene),
    /// What is done to the cluster before the program starts.
    pub(crate) before: fn(&Field, &str),
    /// The manifests.
    pub(crate) files: fn(Draft) -> Vec<String>,
    /// Further arguments; `HOME` is the row's own folder.
    pub(crate) flags: &'static [&'static str],
    /// A shell that starts the program, as `"$0" "$@"`.
    pub(crate) shell: Option<&'static str>,
    /// What happens while it runs.
    pub(crate) meanwhile: fn(&mut Play<'_>),
    /// What must hold afterwards.
    pub(crate) after: Option<fn(&Play<'_>)>,
}

/// The cluster that a row is played on.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Ground {
    /// That of all rows.
    Shared,
    /// One of its own, with these arguments of `chaos cluster up`: it is broken, or its switches are thrown.
    Own(&'static [&'static str]),
}

impl Row {
    /// A row of the experiment that passes, if nothing else is said.
    const fn new(name: &'static str, code: i32, reason: &'static str) -> Self {
        Self {
            name,
            code: Some(code),
            reason: Some(reason),
            says: "",
            ground: Ground::Shared,
            scene: |_| (),
            before: |_, _| (),
            files: |draft| vec![draft.yaml()],
            flags: &[],
            shell: None,
            meanwhile: |_| (),
            after: None,
        }
    }

    /// One that is refused before a run begins.
    const fn refused(name: &'static str, code: i32, says: &'static str) -> Self {
        Self { reason: None, ..Self::new(name, code, "").says(says) }
    }

    const fn says(self, says: &'static str) -> Self {
        Self { says, ..self }
    }

    const fn scene(self, scene: fn(&mut Scene)) -> Self {
        Self { scene, ..self }
    }

    const fn before(self, before: fn(&Field, &str)) -> Self {
        Self { before, ..self }
    }

    const fn on(self, ground: Ground) -> Self {
        Self { ground, ..self }
    }

    const fn files(self, files: fn(Draft) -> Vec<String>) -> Self {
        Self { files, ..self }
    }

    const fn meanwhile(self, meanwhile: fn(&mut Play<'_>)) -> Self {
        Self { meanwhile, ..self }
    }

    const fn after(self, after: fn(&Play<'_>)) -> Self {
        Self { after: Some(after), ..self }
    }

    /// A run that is not even started, for a reason that a plan can know: not one of the flags of a run.
    pub(crate) const fn is_foreseen(&self) -> bool {
        self.reason.is_none() && self.flags.is_empty() && matches!(self.code, Some(2 | 3 | 4 | 8))
    }

    /// A namespace of its own.
    pub(crate) fn namespace(&self) -> String {
        let letters: String =
            self.name.chars().map(|c| if c.is_ascii_alphanumeric() { c.to_ascii_lowercase() } else { '-' }).collect();
        letters.split('-').filter(|word| !word.is_empty()).collect::<Vec<_>>().join("-").chars().take(60).collect()
    }
}

/// The table as Markdown.
pub(crate) fn table() -> String {
    let mut table = "| input | exit | reason |\n|---|---:|---|\n".to_owned();
    for row in rows() {
        let code = row.code.map_or_else(|| "killed".to_owned(), |code| code.to_string());
        let reason = match (row.reason, row.code) {
            (Some(reason), _) => format!("`{reason}`"),
            (None, None | Some(130)) => "`Orphaned`, as `chaos report` tells".to_owned(),
            (None, Some(1)) => "the worst of the three".to_owned(),
            (None, Some(_)) => "nothing was started".to_owned(),
        };
        let _ = writeln!(table, "| {} | {code} | {reason} |", row.name);
    }
    table
}

/// All rows.
pub(crate) fn rows() -> Vec<Row> {
    [metrics(), requests(), guards(), answers(), cluster(), broken_cluster(), machine(), input()]
        .into_iter()
        .flatten()
        .collect()
}

/// A run does not differ from itself, whichever of its files is read; what is no run is said so.
fn compares_with_itself(play: &Play<'_>) {
    let journal = play.journals().remove(0);
    let result = journal.with_file_name("result.json");
    let [journal, result] = [journal, result].map(|path| path.to_string_lossy().into_owned());
    let same = play.chaos.run(["diff", &journal, &result, "-o", "json"]);
    assert_eq!(same.code, Some(0), "{}{}", same.stdout, same.stderr);
    let comparison: serde_json::Value = serde_json::from_str(&same.stdout).expect("JSON");
    assert_eq!(comparison["standing"], "noDifference");
    assert!(comparison["figures"].as_array().is_some_and(|figures| figures.len() >= 3), "{comparison:#}");
    let manifest = play.chaos.path("experiment-0.yaml").to_string_lossy().into_owned();
    assert_eq!(play.chaos.run(["diff", &journal, &manifest]).code, Some(2));
}

/// A Prometheus that lies, or is not there.
fn metrics() -> Vec<Row> {
    fn asks(draft: Draft) -> Vec<String> {
        vec![draft.asks_prometheus().yaml()]
    }
    let lies = |name, metric: fn(&mut Scene), cause| {
        Row::new(name, 7, "ProbeUnanswered").says(cause).files(asks).scene(metric)
    };
    let turns = |name, code, reason, turn: fn(&mut Play<'_>)| Row::new(name, code, reason).files(asks).meanwhile(turn);
    vec![
        Row::new("nothing evil: everything answers as it should", 0, "HypothesisHeld")
            .files(|draft| vec![draft.kills(6, 2).asks_prometheus().asks_rules().yaml()])
            .after(compares_with_itself),
        lies("no data: a metric that is misspelt", |scene| scene.metric = Metric::Empty, "noData"),
        lies("NaN", |scene| scene.metric = Metric::Value("NaN"), "nan"),
        lies("+Inf", |scene| scene.metric = Metric::Value("+Inf"), "infinite"),
        lies("two series where one is meant", |scene| scene.metric = Metric::Two, "severalSeries"),
        lies("a stale series", |scene| scene.metric = Metric::Stale, "stale"),
        Row::refused("a proxy's login page instead of Prometheus", 3, "gives no answer")
            .files(asks)
            .scene(|scene| scene.metric = Metric::Login),
        turns("a metric that is renamed in mid-run", 7, "ProbeUnanswered", |play| {
            play.until("kill 1/");
            play.scene(|scene| scene.metric = Metric::Empty);
        }),
        turns("Prometheus dies in mid-run", 7, "ProbeUnanswered", |play| {
            play.until("kill 1/");
            play.scene(|scene| scene.metric = Metric::Dead);
        }),
        turns("Prometheus hangs in mid-run", 7, "ProbeUnanswered", |play| {
            play.until("kill 1/");
            play.scene(|scene| scene.metric = Metric::Hangs);
        }),
        turns("a metric that falls below what is expected in mid-run", 1, "ExpectationBroken", |play| {
            play.until("kill 1/");
            play.scene(|scene| scene.metric = Metric::Value("0.5"));
        }),
        Row::new("a metric that is too low from the beginning", 8, "NotSteady")
            .files(asks)
            .scene(|scene| scene.metric = Metric::Value("0.5")),
        Row::refused("Prometheus is out of reach at the start", 3, "out of reach")
            .files(|draft| vec![draft.asks_prometheus_at("http://127.0.0.1:1").yaml()]),
    ]
}

/// So many kills that the run is still at them when something happens to it.
fn many(draft: Draft) -> Vec<String> {
    vec![draft.kills(60, 2).yaml()]
}

/// An application that fails, and traffic that proves nothing.
fn requests() -> Vec<Row> {
    /// An outage in the recovery is in one kill window, the last one, after which no kill asks whether the promise is
    /// refuted. A window that is all bad makes at most 17 of the 25 that the betting test takes (99 %), and the recovery
    /// alone is refuted by a tenth of its requests.
    fn recovers(phases: &'static str, draft: Draft) -> Draft {
        draft.with(|draft| (draft.rate, draft.promise, draft.phases) = ("50/s", "availability: 99%", phases))
    }
    /// The promise was refuted while pods were still to be killed, and no more of them were.
    fn cut_short(play: &Play<'_>) {
        let result = play.result();
        let (kills, findings) = (&result["kills"], &result["verdict"]["findings"]);
        let (done, planned) = (kills["done"].as_u64().expect("kills"), kills["planned"].as_u64().expect("a plan"));
        assert!(done < planned, "{kills}");
        assert!(findings.to_string().contains("refuted while pods were still being killed"), "{findings}");
    }
    fn healed(play: &Play<'_>, seconds: f64) {
        let result = play.result();
        let outage = result["probes"][0]["worstOutage"]["durationUs"].as_f64().expect("an outage") / 1e6;
        assert!((0.5 * seconds..1.5 * seconds).contains(&outage), "{outage} s instead of {seconds} s");
        let last = result["series"][0]["seconds"].as_array().and_then(|seconds| seconds.last()).expect("a second");
        assert!(last["good"].as_u64() > Some(0) && last["failed"] == 0, "it did not heal: {last}");
    }
    vec![
        Row::new("credentials in the manifest, which nobody may read in what is kept", 0, "HypothesisHeld")
            .files(|draft| {
                let secret = |draft: &mut Draft| {
                    draft.headers = "{Authorization: Bearer very-secret-1, X-Api-Key: very-secret-2, accept: \"*/*\"}";
                };
                vec![draft.with(secret).yaml()]
            })
            .after(|play| {
                let folder = play.journals()[0].parent().expect("a folder").to_path_buf();
                for file in
                    std::fs::read_dir(&folder).expect("the folder of the run").map(|file| file.expect("a file").path())
                {
                    let bytes = std::fs::read(&file).expect("a file of the run");
                    assert!(!String::from_utf8_lossy(&bytes).contains("very-secret"), "{}", file.display());
                }
                // What is hidden costs no evidence: the journal is still judged, and planned, the same.
                for command in ["report", "replay"] {
                    let end = play.chaos.run([command, play.journals()[0].to_str().expect("a path")]);
                    assert_eq!(end.code, Some(0), "{command}: {}{}", end.stdout, end.stderr);
                }
            }),
        Row::new("the probe's target is never up", 8, "NotSteady")
            .files(|draft| vec![draft.with(|draft| draft.url = Some("http://127.0.0.1:1".into())).yaml()]),
        Row::new("the baseline is red already", 8, "NotSteady").scene(|scene| scene.app = App::LosesEvery(2)),
        Row::new("no request is due while pods die", 8, "NoSample")
            .files(|draft| vec![draft.with(|draft| draft.rate = "1/m").yaml()]),
        Row::new("one sample", 7, "TooLittleExposure").files(|draft| {
            let one = |draft: &mut Draft| {
                draft.rate = "10/m";
                draft.phases = "{baseline: 1s, fault: 60s, recovery: 6s}";
                draft.evidence = "harmlessKills: {share: 20%, maxLoss: 0}";
            };
            vec![draft.with(one).yaml()]
        }),
        Row::new("an outage of 100 ms that heals", 7, "BudgetExceeded")
            .says("not beyond chance")
            .files(|draft| {
                // Five are above the budget of any run that is over within 100 s.
                vec![draft.with(|draft| (draft.rate, draft.promise) = ("50/s", "availability: 99.9%")).yaml()]
            })
            // Until the gate opens nothing more is killed: all of the outage is in the first kill window.
            .scene(|scene| scene.gate_open = false)
            .meanwhile(|play| {
                play.until("kill 1/");
                play.scene(|scene| scene.app = App::Losing(5));
                // So many requests in that window that five bad ones of them are not beyond chance.
                play.until_asked(100);
                play.scene(|scene| scene.gate_open = true);
            }),
        Row::new("an outage of 1 s that heals", 1, "RecoveryRefuted")
            .files(|draft| vec![recovers("{baseline: 1s, fault: 60s, recovery: 5s}", draft).yaml()])
            .meanwhile(|play| {
                play.until("phase recovery");
                play.scene(|scene| scene.app = App::Losing(50));
            })
            .after(|play| healed(play, 1.0)),
        Row::new("an outage of 30 s that heals", 1, "RecoveryRefuted")
            .files(|draft| vec![recovers("{baseline: 1s, fault: 60s, recovery: 36s}", draft).yaml()])
            .meanwhile(|play| {
                play.until("phase recovery");
                play.scene(|scene| scene.app = App::Losing(1_500));
            })
            .after(|play| healed(play, 30.0)),
        Row::new("an outage that does not heal", 1, "SloRefuted")
            .files(many)
            .meanwhile(|play| {
                play.until("kill 1/");
                play.scene(|scene| scene.app = App::Gone);
            })
            .after(cut_short),
        Row::new("a kill that costs more than is declared", 1, "WorstLossExceeded")
            .files(|draft| {
                let declares = |draft: &mut Draft| {
                    draft.evidence = "availability: {worstLossPerKill: 4, source: \"a guess\"}";
                    draft.promise = "availability: 80%";
                };
                vec![draft.kills(9, 2).with(declares).yaml()]
            })
            .meanwhile(|play| {
                play.until("kill 1/");
                play.scene(|scene| scene.app = App::Losing(20));
            }),
        Row::new("200 with a body that is not what was asked for", 1, "SloRefuted").files(many).meanwhile(|play| {
            play.until("kill 1/");
            play.scene(|scene| scene.app = App::WrongBody);
        }),
        Row::new("a redirect to a place that answers well", 1, "SloRefuted").files(many).meanwhile(|play| {
            play.until("kill 1/");
            play.scene(|scene| scene.app = App::Redirects);
        }),
        Row::new("good answers that are too slow for the promise", 1, "SloRefuted")
            .files(|draft| {
                let fast = |draft: &mut Draft| draft.promise = "latency: {under: 300ms, share: 95%}";
                vec![draft.kills(60, 2).with(fast).yaml()]
            })
            .meanwhile(|play| {
                play.until("kill 1/");
                play.scene(|scene| scene.app = App::Slow(900));
            }),
        Row::new("victims without traffic", 7, "TooLittleExposure")
            .scene(|scene| scene.served_by = Some("somebody-else"))
            .files(|draft| {
                let asks = |draft: &mut Draft| draft.evidence = "harmlessKills: {share: 20%, maxLoss: 0}";
                vec![draft.with(asks).yaml()]
            }),
        Row::new("a burn-rate guard that trips", 5, "GuardTripped")
            .files(|draft| {
                let guarded = |draft: &mut Draft| {
                    draft.abort = "[{burnRate: {probe: ride, factor: 1, long: 1s, short: 500ms}}]".to_owned();
                    // So little of a promise that nothing refutes it.
                    draft.promise = "availability: 60%";
                };
                vec![draft.kills(40, 2).with(guarded).yaml()]
            })
            .scene(|scene| scene.app = App::Well)
            .meanwhile(|play| {
                play.until("kill 2/");
                play.scene(|scene| scene.app = App::LosesEvery(2));
            }),
    ]
}

/// Alerts that guard a run, and a source of them that lies low.
fn guards() -> Vec<Row> {
    fn guarded(draft: Draft) -> Vec<String> {
        vec![draft.kills(60, 2).guarded_by("RidesLost").yaml()]
    }
    fn short_sighted(draft: Draft) -> Vec<String> {
        let limits = "{maxUnavailable: 1, minReady: 1, maxKills: 60, minInterval: 200ms, recoverWithin: 60s, \
                      maxBlind: 5s, allowForce: false}";
        vec![draft.kills(60, 2).guarded_by("RidesLost").with(|draft| draft.limits = limits).yaml()]
    }
    vec![
        Row::new("an alert that fires in mid-run", 5, "GuardTripped").says("alert fires").files(guarded).meanwhile(
            |play| {
                play.until("kill 1/");
                play.scene(|scene| scene.alert = Alert::Fires);
            },
        ),
        Row::refused("an alert that fires already", 4, "a guard would stop the run at once")
            .files(guarded)
            .scene(|scene| scene.alert = Alert::Fires),
        Row::refused("an alert that no rule can give", 2, "such a guard would never stop anything")
            .files(|draft| vec![draft.guarded_by("RidesLots").yaml()]),
        Row::refused("alerts that cannot be read at the start", 3, "gives no answer")
            .files(guarded)
            .scene(|scene| scene.alert = Alert::Dead),
        Row::new("alerts that cannot be read any more in mid-run", 5, "GuardTripped")
            .says("no alert could be read")
            .files(short_sighted)
            .meanwhile(|play| {
                play.until("kill 1/");
                play.scene(|scene| scene.alert = Alert::Dead);
            }),
    ]
}

/// Checkers, programs and objects that answer badly or not at all.
fn answers() -> Vec<Row> {
    fn rules(draft: Draft) -> Vec<String> {
        vec![draft.asks_rules().yaml()]
    }
    let says = |name, code, reason, scene: fn(&mut Scene)| Row::new(name, code, reason).files(rules).scene(scene);
    vec![
        says("a business rule is broken", 1, "InvariantBroken", |scene| scene.checker = Checker::Broken)
            .says("ride 3 was acknowledged and is gone"),
        says("a checker that looked at nothing", 7, "NothingChecked", |scene| scene.checker = Checker::Idle),
        says("a checker that answers something else", 7, "ProbeUnanswered", |scene| scene.checker = Checker::Garbage),
        says("a checker that is not there", 7, "ProbeUnanswered", |scene| scene.checker = Checker::Dead),
        Row::new("an object that never becomes what is expected", 8, "NotSteady").files(|draft| {
            let object = "kubernetes: {resource: apps/v1/Deployment, name: app, jsonPath: $.status.readyReplicas}";
            vec![draft.probe(&format!("{{name: replicas, {object}, expect: {{min: 30}}}}")).yaml()]
        }),
        Row::new("an object that does not exist", 7, "ProbeUnanswered").files(|draft| {
            let object = "kubernetes: {resource: apps/v1/Deployment, name: ap, jsonPath: $.status.readyReplicas}";
            vec![draft.probe(&format!("{{name: replicas, {object}, expect: {{min: 1}}}}")).yaml()]
        }),
        Row::new("a program that says no", 1, "ExpectationBroken").files(|draft| {
            let program = "command: {argv: [\"false\"], timeout: 10s}, when: After, expect: {exitCode: 0}";
            vec![draft.probe(&format!("{{name: own-check, {program}}}")).yaml()]
        }),
        Row::refused("a program that is not there", 3, "no-such-program").files(|draft| {
            let program = "command: {argv: [no-such-program], timeout: 10s}, when: After, expect: {exitCode: 0}";
            vec![draft.probe(&format!("{{name: own-check, {program}}}")).yaml()]
        }),
    ]
}

/// A cluster that does not do what is meant.
fn cluster() -> Vec<Row> {
    vec![
        Row::refused("zero victims: the target means no pod", 8, "no pod is meant by the target")
            .files(|draft| vec![draft.with(|draft| draft.selector = "app: ap").yaml()]),
        Row::refused("a target that names a workload which is not there", 8, "did you mean app?").files(|draft| {
            let misspelt = "target: {workloads: [{kind: Deployment, name: ap}], selector";
            vec![draft.yaml().replacen("target: {selector", misspelt, 1)]
        }),
        Row::refused("a target in another environment", 4, "EnvironmentMismatch")
            .files(|draft| vec![draft.yaml().replacen("target: {selector", "target: {environment: moon, selector", 1)]),
        Row::refused("a probe of a Service that is not there", 3, "failed to read Service").files(|draft| {
            let url = format!("url: \"http://{}\"", draft.stand_in);
            vec![draft.yaml().replacen(&url, "service: nobody", 1)]
        }),
        Row::refused("pods that are not opted in", 4, "NamespaceNotEnabled").before(|field, row| {
            field.apply(json!({"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": row, "labels": {}}}));
        }),
        Row::refused("the operator is not installed", 3, "chaos install")
            .files(|draft| vec![draft.with(|draft| draft.fault = MONKEY.to_owned()).yaml()]),
        Row::new("fewer victims than planned: a budget forbids all evictions", 7, "TooFewKills")
            .says("last reason to wait: DisruptionBudget")
            .files(|draft| vec![draft.with(|draft| draft.phases = "{baseline: 1s, fault: 3s, recovery: 1s}").yaml()])
            .before(forbid_evictions),
        Row::new("fewer victims than planned: a budget forbids evictions in mid-run", 7, "TooFewKills")
            .says("it takes")
            .files(|draft| {
                let short = |draft: &mut Draft| draft.phases = "{baseline: 1s, fault: 15s, recovery: 1s}";
                vec![draft.kills(40, 40).with(short).yaml()]
            })
            .meanwhile(|play| {
                play.until("kill 2/");
                play.forbid_evictions();
            }),
        Row::new("victims that did not die", 7, "TooFewKills").says("still there").before(|field, row| {
            let hook = json!({"preStop": {"sleep": {"seconds": 100}}});
            field.apply(field.deployment(row, 100, &hook));
            field.await_pods(row);
        }),
        Row::new("a reservation that a run has left which died", 0, "HypothesisHeld").says("which died").before(|field, row| {
            let held = r#"{"reservations": [{"run": "gone", "strike": 3, "victimUid": "u", "since": "2026-01-01T00:00:00Z"}]}"#;
            field.apply(json!({
                "apiVersion": "coordination.k8s.io/v1", "kind": "Lease",
                "metadata": {"name": "chaos-left", "namespace": row, "annotations": {"chaos.dispatch.dev/budget": held}},
            }));
        }),
        Row::new("a replacement that never becomes Ready", 5, "NotRecovered")
            .files(|draft| {
                let limits = "{maxUnavailable: 1, minReady: 1, maxKills: 60, minInterval: 200ms, recoverWithin: 3s, \
                              maxBlind: 30s, allowForce: false}";
                vec![draft.with(|draft| draft.limits = limits).yaml()]
            })
            .meanwhile(|play| {
                play.until("phase baseline");
                play.scene(|scene| scene.gate_open = false);
            }),
        Row::new("chaos is stopped in the namespace in mid-run", 5, "Switched")
            .files(|draft| vec![draft.kills(60, 2).yaml()])
            .meanwhile(|play| {
                play.until("kill 1/");
                let annotations = json!({"chaos.dispatch.dev/stop": "true"});
                let labels = json!({"chaos.dispatch.dev/enabled": "true"});
                play.field.apply(json!({
                    "apiVersion": "v1", "kind": "Namespace",
                    "metadata": {"name": play.row, "labels": labels, "annotations": annotations},
                }));
            }),
    ]
}

/// The operator kills.
const MONKEY: &str = "monkey: {meanTimeBetweenKills: 800ms, minTimeBetweenKills: 400ms, strikes: {target: 6, min: 2}, \
                      killMode: Evict, group: Namespace}";

/// A cluster that goes away, is stopped, or has another idea of the time.
fn broken_cluster() -> Vec<Row> {
    const LIMITS: &str = "{maxUnavailable: 1, minReady: 1, maxKills: 60, minInterval: 200ms, recoverWithin: 60s, \
                          maxBlind: 3s, allowForce: false}";
    fn short_sighted(draft: Draft) -> Draft {
        draft.kills(60, 2).with(|draft| draft.limits = LIMITS)
    }
    fn the_cluster_dies(play: &mut Play<'_>) {
        play.until("kill 1/");
        play.field.kill_cluster();
    }
    vec![
        Row::refused("the stop switch says stop", 4, "stop switch").on(Ground::Own(&[])).before(|field, _| {
            field.switch("Stopped");
        }),
        Row::new("the stop switch is thrown in mid-run", 5, "Switched")
            .on(Ground::Own(&[]))
            .files(|draft| vec![draft.kills(60, 2).yaml()])
            .meanwhile(|play| {
                play.until("kill 1/");
                play.field.switch("Stopped");
            }),
        Row::new("the cluster dies in mid-run; this process killed", 5, "BlindTooLong")
            .on(Ground::Own(&[]))
            .files(|draft| vec![short_sighted(draft).yaml()])
            .meanwhile(the_cluster_dies),
        Row::new("the cluster dies in mid-run; the operator killed", 6, "WindDownIncomplete")
            .says("delete ChaosMonkey")
            .on(Ground::Own(&["--operator"]))
            .files(|draft| vec![short_sighted(draft).with(|draft| draft.fault = MONKEY.to_owned()).yaml()])
            .meanwhile(the_cluster_dies),
        Row::new("the operator's clock jumps in mid-run", 7, "ClockUncertain")
            .on(Ground::Own(&[]))
            .files(|draft| vec![draft.with(|draft| draft.fault = MONKEY.to_owned()).yaml()])
            .before(|field, row| {
                field.install_kinds();
                field.runtime.spawn(super::operator::drive(field.client.clone(), row.to_owned(), 3));
            }),
    ]
}

/// What the program says when nothing is left to be done but to ask and to clean up.
const WIND_DOWN: &str = "phase winding down";

/// A machine that starves, fills up or ends the program.
fn machine() -> Vec<Row> {
    fn signalled(play: &mut Play<'_>, phase: &str, signal: Signal) {
        play.until(phase);
        play.signal(signal);
    }
    fn slow_recovery(draft: Draft) -> Vec<String> {
        vec![draft.with(|draft| draft.phases = "{baseline: 1s, fault: 60s, recovery: 30s}").yaml()]
    }
    /// Its wind-down takes some seconds: that is how long the last question takes.
    fn slow_end(draft: Draft) -> Vec<String> {
        let program = "command: {argv: [sleep, \"5\"], timeout: 60s}, when: After, expect: {exitCode: 0}";
        vec![draft.probe(&format!("{{name: slow-check, {program}}}")).yaml()]
    }
    /// The journal ends before its run did, and still tells of it.
    fn torn(play: &Play<'_>) {
        let journals = play.journals();
        assert_eq!(journals.len(), 1, "one journal");
        tells(play, &journals[0]);
    }
    fn tells(play: &Play<'_>, journal: &Path) {
        let end = play.chaos.run(["report", journal.to_str().expect("a path")]);
        assert_eq!(end.code, Some(5), "{}", end.stderr);
        assert!(end.stdout.contains("Orphaned"), "{}", end.stdout);
    }
    fn orphaned(play: &Play<'_>) {
        let journals = play.journals();
        assert_eq!(journals.len(), 1, "one journal");
        // The next start says so, once, and reports what the run had seen.
        let said = || play.again("{baseline: 1s, fault: 20s, recovery: 1s}").stderr;
        let first = said();
        assert!(first.contains("has no end: whoever drove it died"), "{first}");
        assert!(journals[0].with_file_name("result.json").is_file());
        assert!(!said().contains("has no end"), "it is told once");
        tells(play, &journals[0]);
    }
    let killed = |name, meanwhile: fn(&mut Play<'_>)| {
        Row { code: None, reason: None, ..Row::new(name, 0, "") }.files(many).meanwhile(meanwhile).after(orphaned)
    };
    let stopped =
        |name, meanwhile: fn(&mut Play<'_>)| Row::new(name, 5, "Interrupted").files(many).meanwhile(meanwhile);
    vec![
        Row::new("a load generator that is starved of CPU", 7, "TooMuchLag")
            .files(|draft| {
                let prompt = |draft: &mut Draft| (draft.max_lag, draft.promise) = ("250ms", "availability: 99%");
                vec![draft.kills(8, 2).with(prompt).yaml()]
            })
            .meanwhile(|play| {
                play.until("kill 1/");
                play.starve(Duration::from_secs(2));
            }),
        Row {
            shell: Some("trap '' XFSZ; ulimit -f 64; exec \"$0\" \"$@\""),
            ..Row::new("the disk is full under the journal", 5, "JournalFailed")
        }
        .files(|draft| vec![draft.kills(60, 2).with(|draft| draft.rate = "500/s").yaml()])
        .scene(|scene| scene.app = App::Well)
        .meanwhile(|play| {
            play.until("kill 1/");
            play.scene(|scene| scene.app = App::LosesEvery(20));
        }),
        stopped("SIGINT in the baseline", |play| signalled(play, "phase baseline", Signal::SIGINT)),
        stopped("SIGINT while pods die", |play| signalled(play, "kill 2/", Signal::SIGINT)),
        stopped("SIGTERM in the baseline", |play| signalled(play, "phase baseline", Signal::SIGTERM)),
        stopped("SIGTERM while pods die", |play| signalled(play, "kill 2/", Signal::SIGTERM)),
        stopped("SIGINT in the recovery", |play| signalled(play, "phase recovery", Signal::SIGINT))
            .files(slow_recovery),
        stopped("SIGTERM in the recovery", |play| signalled(play, "phase recovery", Signal::SIGTERM))
            .files(slow_recovery),
        // Everything was measured: the run is judged by that.
        Row::new("SIGINT in the wind-down", 0, "HypothesisHeld")
            .says("once more to leave at once")
            .files(slow_end)
            .meanwhile(|play| signalled(play, WIND_DOWN, Signal::SIGINT)),
        Row::refused("SIGINT twice", 130, "SIGINT again: leaving at once")
            .files(slow_end)
            .meanwhile(|play| {
                signalled(play, WIND_DOWN, Signal::SIGINT);
                signalled(play, "SIGINT: winding down", Signal::SIGINT);
            })
            .after(torn),
        killed("SIGKILL in the baseline", |play| signalled(play, "phase baseline", Signal::SIGKILL)),
        killed("SIGKILL while pods die", |play| signalled(play, "kill 2/", Signal::SIGKILL)),
        killed("SIGKILL in the recovery", |play| signalled(play, "phase recovery", Signal::SIGKILL))
            .files(slow_recovery),
        killed("SIGKILL in the wind-down", |play| signalled(play, WIND_DOWN, Signal::SIGKILL))
            .files(slow_end)
            .after(torn),
        killed("SIGKILL at a random moment", killed_at_a_random_moment).after(reported_the_same_twice),
    ]
}

/// What a moment is made of. `EVIL_SEED` gives it again.
fn seed() -> u64 {
    static SEED: OnceLock<u64> = OnceLock::new();
    let given = || std::env::var("EVIL_SEED").ok().and_then(|seed| seed.parse().ok());
    *SEED.get_or_init(|| given().unwrap_or_else(|| jiff::Timestamp::now().as_microsecond().unsigned_abs()))
}

/// Within five seconds of its start: before it reads anything, or in any phase but the last.
fn killed_at_a_random_moment(play: &mut Play<'_>) {
    let moment = Duration::from_millis(seed() % 5_000);
    let ended = chaos_tests::wait(moment, || play.running.end().is_some());
    assert!(!ended, "EVIL_SEED={}: it ended by itself\n{}", seed(), play.running.output());
    play.signal(Signal::SIGKILL);
}

/// Whatever is left of a journal is told, and twice the same; only what does not even tell of a start is refused.
fn reported_the_same_twice(play: &Play<'_>) {
    let Some(journal) = play.journals().pop() else { return };
    let journal = journal.to_string_lossy().into_owned();
    let report = |folder: &str| {
        let out = play.chaos.path(folder);
        let end = play.chaos.run(["report", journal.as_str(), "--out", out.to_str().expect("a path")]);
        let read = |name: &str| std::fs::read(out.join(name)).ok();
        (end, ["report.html", "result.json", "junit.xml", "summary.md"].map(read))
    };
    let ((first, told), (second, again)) = (report("first"), report("second"));
    let said = format!("EVIL_SEED={}: {}{}\n{}", seed(), first.stdout, first.stderr, play.output());
    assert_eq!(first.code, second.code, "{said}");
    assert!(told == again, "the second report differs: {said}");
    // A kill is on the disk before it is made.
    let was_started = play.output().contains("kill 1/");
    assert!(first.code == Some(5) || first.code == Some(2) && !was_started, "ended with {:?}: {said}", first.code);
    assert!(told.iter().all(|file| file.is_some() == (first.code == Some(5))), "a report is missing: {said}");
}

/// Files that cannot be, and several of them.
fn input() -> Vec<Row> {
    vec![
        Row::refused("a manifest with a misspelt field", 2, "hypotesis")
            .files(|draft| vec![draft.yaml().replacen("hypothesis:", "hypotesis:", 1)]),
        Row::refused("more kills than the window holds", 2, "the fault phase ends after").files(|draft| {
            vec![draft.with(|draft| draft.phases = "{baseline: 1s, fault: 500ms, recovery: 1s}").yaml()]
        }),
        Row::refused("fewer kills planned than the claim needs", 2, "59 kills")
            .files(|draft| vec![draft.with(|draft| draft.evidence = "harmlessKills: {share: 95%, maxLoss: 0}").yaml()]),
        Row::refused("a declaration that would be the proof", 2, "that would be the proof itself").files(|draft| {
            let declares = |draft: &mut Draft| {
                draft.evidence = "availability: {worstLossPerKill: 1, source: \"a guess\"}";
                draft.promise = "availability: 50%";
            };
            vec![draft.with(declares).yaml()]
        }),
        Row::refused("a promise that a killed pod breaks by design", 2, "fail by design").files(|draft| {
            let by_design = |draft: &mut Draft| {
                draft.promise = "availability: 99%, declared: {detection: 500ms, rescued: 0%}";
            };
            vec![draft.with(by_design).yaml()]
        }),
        Row {
            flags: &["--out", "HOME/chaos"],
            ..Row::refused("a folder for results that is a file", 3, "failed to make")
        },
        Row::refused("three files: one holds, one is inconclusive, one fails", 1, "exit code 7 (TooLittleExposure)")
            .files(|draft| {
                let second = draft.clone().with(|draft| draft.evidence = "harmlessKills: {share: 20%, maxLoss: 0}");
                let third = draft.clone().probe(
                    "{name: own-check, command: {argv: [\"false\"], timeout: 10s}, when: After, expect: {exitCode: 0}}",
                );
                let unexposed = second.yaml().replacen("header: x-served-by", "header: x-nobody", 1);
                vec![draft.yaml(), unexposed, third.yaml()]
            })
            .after(|play| {
                let summary = play.output();
                for end in ["exit code 0 (HypothesisHeld)", "exit code 1 (ExpectationBroken)"] {
                    assert!(summary.contains(end), "{end}: {summary}");
                }
            }),
    ]
}
