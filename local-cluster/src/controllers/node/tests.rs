//! What follows from a kubelet's silence.

use serde_json::{Value, json};

use super::*;
use crate::controllers::fixtures::{ago, from, now, pod};

const TIMINGS: NodeTimings =
    NodeTimings { renew: Duration::from_secs(10), grace: Duration::from_secs(50), eviction: Duration::from_secs(300) };

fn node(ready: &str, tainted: Option<i64>) -> Node {
    let taints: Vec<Value> = tainted
        .map(|seconds| json!({"key": UNREACHABLE, "effect": "NoExecute", "timeAdded": ago(seconds)}))
        .into_iter()
        .collect();
    from(json!({
        "metadata": {"name": "a", "creationTimestamp": ago(1000)},
        "spec": {"taints": taints},
        "status": {"conditions": [{"type": "Ready", "status": ready}]},
    }))
}

fn decide(node: &Node, silent: i64, pods: &[Arc<Pod>]) -> Vec<Action> {
    let renewed = now() - SignedDuration::from_secs(silent);
    sync(node, Some(renewed), pods, TIMINGS, now())
}

#[test]
fn a_node_that_renews_is_left_alone_until_its_grace_is_over() {
    let wake = Action::WakeAfter(Duration::from_millis(40_010));
    assert_eq!(decide(&node("True", None), 10, &[]), std::slice::from_ref(&wake));
    assert_eq!(decide(&node("Unknown", Some(30)), 10, &[]), [Action::Untaint, wake]);
}

#[test]
fn a_silent_node_is_marked_and_its_pods_distrusted_then_evicted() {
    let ready = pod("a", true, &json!({}));
    let first = decide(&node("True", None), 51, std::slice::from_ref(&ready));
    assert_eq!(first, [Action::MarkUnreachable, Action::Distrust(ready), Action::WakeAfter(Duration::from_secs(300))]);
    let unready = pod("a", false, &json!({}));
    assert_eq!(
        decide(&node("Unknown", Some(100)), 151, std::slice::from_ref(&unready)),
        [Action::WakeAfter(Duration::from_secs(200))]
    );
    assert_eq!(decide(&node("Unknown", Some(300)), 351, std::slice::from_ref(&unready)), [Action::Evict(unready)]);
}

#[test]
fn tolerations_prolong_a_pods_stay() {
    let tolerating = |seconds: &Value| {
        let toleration =
            json!({"key": UNREACHABLE, "operator": "Exists", "effect": "NoExecute", "tolerationSeconds": seconds});
        pod("a", false, &json!({"spec": {"tolerations": [toleration]}}))
    };
    let patience = |seconds: Value| patience(&tolerating(&seconds), TIMINGS.eviction);
    assert_eq!(patience(json!(300)), Some(TIMINGS.eviction), "what every pod gets is the profile's to shorten");
    assert_eq!(patience(json!(5)), Some(Duration::from_secs(5)));
    assert_eq!(patience(json!(null)), None);
}
