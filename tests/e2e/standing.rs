//! A cluster that stays, and runs on it: every record of a kill tells the same, and a tool that is killed stops its monkey.

use std::path::PathBuf;
use std::time::{Duration, Instant};

use chaos_core::api::{ChaosMonkey, Outcome};
use chaos_tests::kills::{Kills, disagreements};
use chaos_tests::{Chaos, Ended};
use k8s_openapi::api::events::v1::Event;
use kube::api::ListParams;
use kube::config::{KubeConfigOptions, Kubeconfig};
use kube::{Api, Client, Config, ResourceExt as _};
use nix::sys::signal::Signal;
use serde_json::Value;
use tokio::runtime::Runtime;

use crate::{SHORT, alone, beside, chaos, manifest};

/// Whatever takes longer on a debug build and a busy machine hangs.
const LONG: Duration = Duration::from_secs(240);
/// Time between two looks at the monkey's status, which remembers more kills than happen meanwhile.
const LOOK: Duration = Duration::from_millis(100);
/// Time between two heartbeats of a run.
const BEAT: Duration = Duration::from_secs(2);

/// A standing cluster with the stack on it.
struct Standing {
    chaos: Chaos,
    runtime: Runtime,
    client: Client,
    /// The cluster's own folder.
    folder: PathBuf,
}

impl Standing {
    fn up() -> Self {
        let chaos = chaos();
        // In a pipeline, as in `eval "$(chaos cluster up)"`.
        let up = chaos.run_within(["cluster", "up", "--dispatch", "resilient", "--rides", "10"], LONG);
        assert_eq!(up.code, Some(0), "{}", up.stderr);
        let kubeconfig = PathBuf::from(up.stdout.trim().strip_prefix("export KUBECONFIG=").expect("a line to eval"));
        let _ = rustls::crypto::ring::default_provider().install_default();
        let runtime = Runtime::new().unwrap();
        let client = runtime.block_on(async {
            let read = Kubeconfig::read_from(&kubeconfig).unwrap();
            let config = Config::from_custom_kubeconfig(read, &KubeConfigOptions::default()).await.unwrap();
            Client::try_from(config).unwrap()
        });
        Self { chaos, runtime, client, folder: kubeconfig.parent().unwrap().to_path_buf() }
    }

    /// The only run-owned monkey, if there is one now.
    fn monkey(&self) -> Option<ChaosMonkey> {
        let monkeys: Api<ChaosMonkey> = Api::namespaced(self.client.clone(), "dispatch");
        self.runtime.block_on(async { monkeys.list(&ListParams::default()).await.unwrap().items.into_iter().next() })
    }

    fn told_by_events(&self) -> Kills {
        let events: Api<Event> = Api::namespaced(self.client.clone(), "dispatch");
        let events = self.runtime.block_on(async { events.list(&ListParams::default()).await.unwrap() });
        Kills::of_events(&serde_json::to_value(events).unwrap())
    }

    fn told_by_audit(&self) -> Kills {
        let log = std::fs::read_to_string(self.folder.join("audit.jsonl")).unwrap();
        let lines: Vec<Value> = log.lines().map(|line| serde_json::from_str(line).unwrap()).collect();
        Kills::of_audit(&lines, &["system:serviceaccount:chaos-system:chaos-operator"])
    }

    fn down(self) {
        let down: Ended = self.chaos.run_within(["cluster", "down"], LONG);
        assert_eq!(down.code, Some(0), "{}", down.stderr);
        self.chaos.expect_nothing_left(Duration::from_secs(5));
    }
}

#[test]
fn status_events_journal_and_audit_log_tell_the_same_kills() {
    let _machine = alone();
    let standing = Standing::up();
    let chaos = &standing.chaos;
    let mut running = chaos.start(["run", "--local", &manifest(chaos, SHORT)]);
    // The monkey goes with its run: its status is read for as long as it is there.
    let mut histories = Vec::new();
    let end = loop {
        let status = standing.monkey().and_then(|monkey| monkey.status);
        histories.extend(status.map(|status| serde_json::to_value(status.history).unwrap()));
        if let Some(end) = running.end() {
            break end;
        }
        std::thread::sleep(LOOK);
    };
    // A busy machine may cost the evidence for a pass, even the pass itself, but no record.
    assert!(matches!(end, Some(0 | 1 | 7)), "{}", running.output());
    let journal = Kills::of_result(&crate::verdicts::result(chaos));
    assert!(journal.pods.len() >= 3, "{journal:?}");
    let status = Kills::of_histories(&histories);
    let (events, audit) = (standing.told_by_events(), standing.told_by_audit());
    let told = [("status", &status), ("journal", &journal), ("Events", &events), ("audit log", &audit)];
    assert_eq!(disagreements(&told), Vec::<String>::new());
    assert!(standing.monkey().is_none(), "the run removes its monkey");
    standing.down();
}

#[test]
fn the_monkey_of_a_killed_tool_stops_within_two_heartbeats() {
    let _machine = beside();
    let standing = Standing::up();
    let chaos = &standing.chaos;
    let mut running = chaos.start(["run", "--local", &manifest(chaos, SHORT)]);
    running.expect_output("kill 2/", LONG);
    running.signal(Signal::SIGKILL);
    assert_eq!(running.expect_end(Duration::from_secs(5)), None);
    let killed_at = Instant::now();
    let ended = chaos_tests::wait(LONG, || standing.monkey().unwrap().status.unwrap().ended.is_some());
    assert!(ended, "it goes on without its run");
    let monkey = standing.monkey().unwrap();
    let status = monkey.status.as_ref().unwrap();
    let end = status.ended.as_ref().unwrap();
    assert_eq!(end.reason, "HeartbeatLost", "{end:?}");
    let last_beat = status.clock.as_ref().unwrap().read_at.0;
    // One that came too late at the last moment was not sent, stands there as failed, and is no kill.
    for kill in status.history.iter().filter(|kill| kill.outcome != Outcome::Failed) {
        let silent = kill.at.0.duration_since(last_beat);
        assert!(silent <= jiff::SignedDuration::try_from(BEAT * 2).unwrap(), "a kill {silent:#} after the last beat");
    }
    // Half a beat for the way of the last one, and what a busy machine takes to look.
    assert!(killed_at.elapsed() < BEAT * 3 + Duration::from_secs(5), "{:?}", killed_at.elapsed());
    let history = serde_json::to_value(&status.history).unwrap();
    let (told, sent) = (Kills::of_histories([&history]), standing.told_by_audit());
    assert_eq!(disagreements(&[("status", &told), ("audit log", &sent)]), Vec::<String>::new());
    // The next start finds both the journal without an end and the monkey; that it has no victim changes nothing about that.
    let nobody = SHORT
        .replace("name: gateway}", "name: none}")
        .replace("{kind: Deployment, name: trips}", "{kind: Deployment, name: nil}");
    let next = chaos.run(["run", "--local", &manifest(chaos, &nobody)]);
    assert_eq!(next.code, Some(8), "{}", next.stderr);
    let left = format!("ChaosMonkey dispatch/{} is left of run", monkey.name_any());
    assert!(next.stderr.contains(&left) && next.stderr.contains("has no end"), "{}", next.stderr);
    standing.down();
}

#[test]
fn of_two_clusters_that_are_started_at_once_one_runs_and_the_other_is_refused() {
    let _machine = beside();
    let chaos = chaos();
    let up = || chaos.run_within(["cluster", "up"], LONG);
    let (one, other) = std::thread::scope(|scope| {
        let (one, other) = (scope.spawn(up), scope.spawn(up));
        (one.join().unwrap(), other.join().unwrap())
    });
    let mut codes = [one.code, other.code];
    codes.sort_unstable();
    assert_eq!(codes, [Some(0), Some(4)], "{one:?} {other:?}");
    let down = chaos.run_within(["cluster", "down"], LONG);
    assert_eq!(down.code, Some(0), "{}", down.stderr);
    chaos.expect_nothing_left(Duration::from_secs(5));
}

#[test]
fn a_runtime_folder_that_is_none_is_not_made_where_one_happens_to_be() {
    let chaos = chaos();
    for none in ["", "below"] {
        let status = chaos.command(["cluster", "status"]).env("XDG_RUNTIME_DIR", none).output().unwrap();
        assert_eq!(status.status.code(), Some(0), "{status:?}");
        assert!(!chaos.path("below").exists());
    }
    chaos.expect_nothing_left(Duration::ZERO);
}
