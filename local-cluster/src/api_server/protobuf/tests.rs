//! Bodies as clients send them, and hostile ones.

use super::*;

/// A field that is a run of bytes.
fn bytes(number: u8, content: &[u8]) -> Vec<u8> {
    assert!(content.len() < 128 * 128);
    let mut field = vec![(number << 3) | 2];
    if content.len() < 128 {
        field.push(u8::try_from(content.len()).unwrap());
    } else {
        field.extend([u8::try_from(content.len() % 128).unwrap() | 0x80, u8::try_from(content.len() / 128).unwrap()]);
    }
    field.extend(content);
    field
}

fn number(number: u8, value: u8) -> Vec<u8> {
    vec![number << 3, value]
}

fn body(api_version: &str, kind: &str, object: &[u8]) -> Vec<u8> {
    let type_meta = [bytes(1, api_version.as_bytes()), bytes(2, kind.as_bytes())].concat();
    [MAGIC.to_vec(), bytes(1, &type_meta), bytes(2, object), bytes(3, b""), bytes(4, b"")].concat()
}

#[test]
fn a_namespace_is_read_and_what_says_nothing_is_left_out() {
    // Go writes every text that is no pointer, empty ones too, and an empty message for no instant.
    let metadata = [bytes(1, b"x"), bytes(3, b""), number(7, 0), bytes(8, b"")].concat();
    let sent = body("v1", "Namespace", &[bytes(1, &metadata), bytes(2, b""), bytes(3, &bytes(1, b""))].concat());
    let read = decode(&sent).unwrap();
    assert_eq!(
        read,
        json!({"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": "x"}, "spec": {}, "status": {}})
    );
}

#[test]
fn maps_bytes_and_pointers_to_zero_are_read() {
    let entry = |key: &[u8], value: &[u8]| [bytes(1, key), bytes(2, value)].concat();
    let secret = [bytes(2, &entry(b"a", b"\x00\xff")), bytes(3, b"Opaque"), number(5, 0)].concat();
    let read = decode(&body("v1", "Secret", &secret)).unwrap();
    assert_eq!(read["data"], json!({"a": "AP8="}));
    assert_eq!(read["immutable"], json!(false), "a pointer to false says something");
    let spec = [number(1, 0), number(5, 0)].concat();
    let read = decode(&body("apps/v1", "Deployment", &bytes(2, &spec))).unwrap();
    assert_eq!(read["spec"], json!({"replicas": 0}), "replicas is a pointer, minReadySeconds is none");
}

#[test]
fn times_quantities_and_ports_are_texts_and_numbers_in_json() {
    let time = bytes(8, &[number(1, 100), number(2, 0)].concat());
    let read = decode(&body("v1", "Namespace", &bytes(1, &time))).unwrap();
    assert_eq!(read["metadata"]["creationTimestamp"], "1970-01-01T00:01:40Z");
    let hard = bytes(1, &[bytes(1, b"pods"), bytes(2, &bytes(1, b"10"))].concat());
    let read = decode(&body("v1", "ResourceQuota", &bytes(2, &hard))).unwrap();
    assert_eq!(read["spec"]["hard"]["pods"], "10");
    let half = [number(1, 1), bytes(3, b"50%")].concat();
    let read = decode(&body("policy/v1", "PodDisruptionBudget", &bytes(2, &bytes(1, &half)))).unwrap();
    assert_eq!(read["spec"]["minAvailable"], "50%");
}

#[test]
fn inlined_messages_stand_in_their_object_and_options_under_any_version() {
    let source = bytes(2, &bytes(2, b""));
    let volume = bytes(1, &[bytes(1, b"v"), source].concat());
    let read = decode(&body("v1", "Pod", &bytes(2, &volume))).unwrap();
    assert_eq!(read["spec"]["volumes"], json!([{"name": "v", "emptyDir": {}}]));
    let read = decode(&body("policy/v1", "DeleteOptions", &number(1, 0))).unwrap();
    assert_eq!(read["gracePeriodSeconds"], 0);
}

#[test]
fn what_is_not_known_is_an_error_and_nothing_panics() {
    assert_eq!(decode(b"{}"), Err(ProtobufError::NotKubernetes));
    let unknown = decode(&body("x.dev/v1", "Thing", b""));
    assert!(matches!(unknown, Err(ProtobufError::UnknownMessage(_))), "{unknown:?}");
    let field = decode(&body("v1", "ConfigMap", &bytes(15, b"")));
    assert_eq!(field, Err(ProtobufError::UnknownField { message: "core.v1.ConfigMap", number: 15 }));
    let wrong = decode(&body("v1", "ConfigMap", &number(1, 1)));
    assert!(matches!(wrong, Err(ProtobufError::WrongType { .. })), "{wrong:?}");
    let whole = body("v1", "Secret", &bytes(2, &bytes(1, b"key")));
    for length in 0..whole.len() {
        let _ = decode(&whole[..length]);
        let mut flipped = whole.clone();
        for bit in 0..8 {
            flipped[length] ^= 1 << bit;
            let _ = decode(&flipped);
        }
    }
}
