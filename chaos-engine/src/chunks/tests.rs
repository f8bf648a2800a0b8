//! Packing and unpacking; what the cluster makes of it is tested with the operator.

use chaos_core::record::{Event, RunTime};

use super::*;

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
