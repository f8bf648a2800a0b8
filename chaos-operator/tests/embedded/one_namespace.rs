//! What is installed for one namespace: the same work there, by Roles, and no right anywhere else.

use super::permissions::{free_address, get};
use super::*;

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_operator_of_one_namespace_works_there_and_has_no_right_elsewhere() {
    let fixture = Fixture::of_one_namespace().await;
    let address = free_address();
    let listen = address.to_string();
    let args = ["test", "--listen", listen.as_str(), "--pod-name", "a", "--watch-namespace", NS];
    let operator = fixture.operator_of(&args);
    fixture.monkey(|_| ()).await;
    let monkey = fixture.until("three kills", |monkey| kills(monkey) >= 3).await;
    assert_eq!(condition(&monkey, "Permitted"), ("True", "Permitted"));
    eventually("a /readyz that lacks nothing", || async {
        let answer = get(address, "/readyz").await;
        if answer.starts_with("HTTP/1.1 200") { Ok(()) } else { Err(answer) }
    })
    .await;
    let metrics = get(address, "/metrics").await;
    assert!(metrics.contains("chaos_permissions_missing 0"), "{metrics}");
    for account in ["chaos-operator", "chaos-prober"] {
        let client = fixture.server.client(Identity::service_account("chaos-system", account));
        let elsewhere: Api<Pod> = Api::namespaced(client.clone(), "default");
        for pods in [elsewhere, Api::all(client.clone())] {
            let refused = pods.list(&ListParams::default()).await.unwrap_err();
            assert!(matches!(&refused, kube::Error::Api(status) if status.code == 403), "{account}: {refused}");
        }
        let here: Api<Pod> = Api::namespaced(client, NS);
        assert!(here.list(&ListParams::default()).await.is_ok(), "{account}");
    }
    operator.end().await;
}
