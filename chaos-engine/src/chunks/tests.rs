//! Packing and unpacking, and writing to a server whose answers get lost; what a whole cluster makes of it is tested with the
//! operator.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex};

use chaos_core::prober::{Reached, Report};
use chaos_core::record::{Event, RunTime};
use http::{Method, StatusCode};
use jiff::{SignedDuration, Timestamp};
use serde_json::Value;

use super::*;
use crate::kube::{Caller, fixture};

fn note(text: &str) -> Event {
    Event::Note { at: RunTime(1), text: text.to_owned() }
}

#[test]
fn events_come_back_and_batches_may_be_joined() {
    let (first, second) = (vec![note("a"), note("b\nc")], vec![note(&"d".repeat(10_000))]);
    let bytes = encode(&first).unwrap();
    assert_eq!(decode(&bytes).unwrap(), first);
    let joined = [bytes, encode(&second).unwrap()].concat();
    assert!(joined.len() < 1_000, "it is packed: {}", joined.len());
    assert_eq!(decode(&joined).unwrap(), [first, second].concat());
    assert!(matches!(decode(&joined[..joined.len() - 5]), Err(CodecError::Unpack(_))));
}

#[test]
fn hostile_bytes_are_refused_and_newer_events_are_left_out() {
    use std::io::Write as _;
    let pack = |text: &[u8]| {
        let mut gzip = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::best());
        gzip.write_all(text).unwrap();
        gzip.finish().unwrap()
    };
    assert!(matches!(decode(b"not gzip at all"), Err(CodecError::Unpack(_))));
    // 65 MiB of zeros are a few dozen KiB.
    let bomb = pack(&vec![b'0'; 65 << 20]);
    assert!(bomb.len() < 200_000);
    assert!(matches!(decode(&bomb), Err(CodecError::TooLarge)));
    assert!(matches!(decode(&pack(b"{\"note\":{}}\n")), Err(CodecError::Line { line: 1, .. })));
    assert!(matches!(decode(&pack(b"\n[1]\n")), Err(CodecError::Line { line: 2, .. })));
    let newer = pack(b"{\"somethingNew\":{\"at\":1}}\n{\"note\":{\"at\":1,\"text\":\"x\"}}\n");
    assert_eq!(decode(&newer).unwrap(), [note("x")]);
}

#[test]
fn names_are_unique_to_a_run_and_a_row() {
    let run = RunKey { namespace: "n".into(), name: "r".into(), uid: "u-1".into() };
    assert_eq!(run.chunk(Role::Operator, 3), "run-u-1-operator-3");
    assert_eq!(run.chunk(Role::Prober, 0), "run-u-1-prober-0");
    assert_eq!(run.owner().block_owner_deletion, None, "the run can be deleted whatever becomes of its evidence");
}

/// An API server that holds ConfigMaps. Some answers get lost, after what was asked for was done.
#[derive(Clone, Default)]
struct Server(Arc<Mutex<State>>);

#[derive(Default)]
struct State {
    /// By name.
    objects: BTreeMap<String, Value>,
    /// Requests (`POST name`) whose answers get lost, and how many of them.
    lost: BTreeMap<String, usize>,
}

impl Server {
    /// Loses the next answers to such requests.
    fn lose(&self, request: &str, answers: usize) {
        self.0.lock().unwrap().lost.insert(request.to_owned(), answers);
    }

    fn caller(&self) -> Caller {
        let server = self.clone();
        Caller::new(fixture::client("n", move |method, path, body| server.answer(method, path, body)))
    }

    fn answer(&self, method: &Method, path: &str, body: &[u8]) -> (StatusCode, Value) {
        let mut state = self.0.lock().unwrap();
        let sent: Option<Value> = serde_json::from_slice(body).ok();
        let name = sent.as_ref().map_or(path.rsplit('/').next(), |sent| sent["metadata"]["name"].as_str());
        let name = name.unwrap_or_default().to_owned();
        let known = state.objects.get(&name).cloned();
        let answer = match (sent, known) {
            (Some(_), Some(_)) => (StatusCode::CONFLICT, Value::Null),
            (Some(sent), None) => {
                state.objects.insert(name.clone(), sent.clone());
                (StatusCode::CREATED, sent)
            }
            (None, Some(known)) => (StatusCode::OK, known),
            (None, None) => (StatusCode::NOT_FOUND, Value::Null),
        };
        let Some(left) = state.lost.get_mut(&format!("{method} {name}")).filter(|left| **left > 0) else {
            return answer;
        };
        *left -= 1;
        (StatusCode::GATEWAY_TIMEOUT, Value::Null)
    }

    /// A writer of the prober's row.
    fn writer(&self, process: &str) -> ChunkWriter {
        ChunkWriter::new(self.caller(), self.caller(), key(), Role::Prober, process.to_owned())
    }

    /// What whoever reads that row sees.
    async fn read(&self) -> (Vec<Event>, Vec<Report>) {
        let chunks = ChunkReader::new(self.caller(), key(), Role::Prober).rest().await.unwrap();
        let reports = chunks.iter().filter_map(|chunk| chunk.report.clone()).collect();
        (chunks.into_iter().flat_map(|chunk| chunk.events).collect(), reports)
    }
}

fn key() -> RunKey {
    RunKey { namespace: "n".into(), name: "r".into(), uid: "u-1".into() }
}

/// A report that was written so many seconds after the start.
fn report(seconds: i64) -> Report {
    let started_at = Timestamp::UNIX_EPOCH;
    Report {
        prober: "prober/1".into(),
        tool_digest: None,
        reached: Reached::Claimed,
        queued: false,
        started_at,
        written_at: started_at + SignedDuration::from_secs(seconds),
        heard: None,
    }
}

#[tokio::test(start_paused = true)]
async fn what_was_written_though_no_answer_said_so_is_known_as_ones_own_and_not_written_again() {
    for (posts, gets, failures) in [(0, 0, 0), (1, 0, 0), (3, 0, 0), (4, 0, 1), (9, 0, 2), (1, 1, 1), (4, 2, 3)] {
        let server = Server::default();
        server.lose("POST run-u-1-prober-0", posts);
        server.lose("GET run-u-1-prober-0", gets);
        let (mut writer, mut events, mut tries) = (server.writer("prober/1"), vec![note("a")], 0);
        while let Err(error) = writer.append(&events, Some(&report(tries))).await {
            assert!(error.may_pass(), "{posts} {gets}: {error}");
            // Meanwhile more happens, and more time passes.
            tries += 1;
            events.push(note(&tries.to_string()));
        }
        assert_eq!(tries, failures, "{posts} {gets}");
        let (told, reports) = server.read().await;
        assert_eq!(told, events, "{posts} {gets}");
        assert!(reports.first() == Some(&report(0)) && reports.last() == Some(&report(tries)), "{reports:?}");
        writer.append(&[note("z")], None).await.unwrap();
        assert_eq!(server.read().await.0.last(), Some(&note("z")));
    }
}

/// A text that cannot be packed: three ConfigMaps of it.
fn three_configmaps() -> String {
    let mut state = 7_u64;
    let letters = std::iter::repeat_with(|| {
        state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        char::from(b'0' + u8::try_from(state >> 58).unwrap())
    });
    letters.take(2_200_000).collect()
}

#[tokio::test(start_paused = true)]
async fn a_row_whose_writer_was_lost_in_the_middle_of_a_batch_is_gone_on_with() {
    let server = Server::default();
    let text = three_configmaps();
    server.writer("operator/1").append(&[note("first")], Some(&report(0))).await.unwrap();
    let reader = || ChunkReader::new(server.caller(), key(), Role::Prober);
    // Each of them is lost in the same way, the one who began anew too.
    for (number, process) in [(2, "operator/1"), (4, "operator/2"), (6, "operator/2")] {
        let mut row = reader();
        row.rest().await.unwrap();
        assert_eq!(row.is_torn(), number > 2);
        server.lose(&format!("POST run-u-1-prober-{number}"), 4);
        let mut lost = server.writer(process).behind(&row);
        lost.append(&[note(&text)], Some(&report(1))).await.unwrap_err();
    }
    let mut row = reader();
    row.rest().await.unwrap();
    assert!(row.is_torn());
    let mut next = server.writer("operator/3").behind(&row);
    next.append(&[note("anew")], Some(&report(2))).await.unwrap();
    next.append(&[note("on")], Some(&report(3))).await.unwrap();
    let (told, reports) = server.read().await;
    assert_eq!(told, [note("first"), note("anew"), note("on")]);
    assert_eq!(reports, [report(0), report(2), report(3)]);
    assert_eq!(next.written(), 9);
}

#[tokio::test(start_paused = true)]
async fn a_batch_of_several_configmaps_goes_on_where_it_was_left() {
    let text = three_configmaps();
    let server = Server::default();
    server.lose("POST run-u-1-prober-1", 4);
    let mut writer = server.writer("prober/1");
    let mut events = vec![note(&text)];
    writer.append(&events, Some(&report(0))).await.unwrap_err();
    events.push(note("more"));
    writer.append(&events, Some(&report(1))).await.unwrap();
    assert_eq!(writer.written(), 4);
    assert_eq!(server.read().await, (events, vec![report(0), report(1)]));
}

#[tokio::test(start_paused = true)]
async fn what_somebody_else_wrote_is_never_taken_for_ones_own() {
    // Another process, and one that came before this in the same: what it measured is gone with it.
    for (process, written_at) in [("prober/2", 0), ("prober/1", 5)] {
        let server = Server::default();
        server.writer("prober/1").append(&[], Some(&report(0))).await.unwrap();
        server.lose("POST run-u-1-prober-0", 4);
        let mut other = server.writer(process);
        let silent = other.append(&[], Some(&report(written_at))).await.unwrap_err();
        assert!(silent.may_pass(), "{silent}");
        for _ in 0..2 {
            let taken = other.append(&[], Some(&report(written_at))).await;
            assert!(matches!(taken, Err(WriteError::Taken)), "{taken:?}");
        }
        assert_eq!(server.read().await.1, [report(0)]);
    }
}
