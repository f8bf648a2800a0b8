//! Servers that keep a connection busy and give no answer. The load has one thread: what they cost is their own requests, and
//! nobody else's.

use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpListener;

use super::*;

const HINT: &str = "HTTP/1.1 103 Early Hints\r\nlink: </a>\r\n\r\n";
const OK: &str = "HTTP/1.1 200 OK\r\ncontent-length: 2\r\n\r\n{}";
const SETTINGS: &[u8] = &[0, 0, 0, 4, 0, 0, 0, 0, 0];
const PING: &[u8] = &[0, 0, 8, 6, 0, 0, 0, 0, 0, 1, 2, 3, 4, 5, 6, 7, 8];

/// Says this once it is asked, and then that for ever.
async fn endless(first: &'static [u8], again: &'static [u8]) -> String {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let url = format!("http://{}", listener.local_addr().unwrap());
    tokio::spawn(async move {
        while let Ok((mut stream, _)) = listener.accept().await {
            tokio::spawn(async move {
                let again = again.repeat(1_000);
                if stream.read(&mut [0; 4096]).await.is_ok() && stream.write_all(first).await.is_ok() {
                    while stream.write_all(&again).await.is_ok() {}
                }
            });
        }
    });
    url
}

/// What was told of half a second of these.
async fn load(plans: Vec<HttpPlan>) -> (BTreeMap<String, Vec<Bin>>, BTreeMap<String, Vec<BadSlot>>) {
    let context = context();
    let mut load = Load::start_for(plans, Duration::from_millis(500), &context).unwrap();
    load.finished().await.unwrap();
    told(&context.recorder)
}

#[tokio::test(flavor = "multi_thread")]
async fn a_server_that_says_something_for_ever_fails_alone() {
    for (version, first, again, part) in [
        (HttpVersion::Http1, &b""[..], HINT.as_bytes(), "informational responses"),
        (HttpVersion::Http2, SETTINGS, PING, "bring nothing of an answer"),
    ] {
        let flooding = HttpPlan { version, ..plan("flooded", &endless(first, again).await) };
        let server = Server::start(|_| Reply::ok()).await;
        let (bins, bad) = load(vec![flooding, plan("other", &server.url())]).await;
        assert_eq!(bad.keys().collect::<Vec<_>>(), ["flooded"], "{part}: {:?}", bad.get("other"));
        let flooded = &bad["flooded"];
        assert_eq!(flooded.len() as u64, bins["flooded"].iter().map(|bin| bin.slots).sum::<u64>(), "{part}");
        let named = |slot: &BadSlot| slot.class == BadClass::Other && slot.detail.contains(part);
        assert!(flooded.iter().all(named), "{part}: {:?}", flooded.iter().find(|slot| !named(slot)));
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_few_informational_answers_cost_nothing() {
    let large = format!("HTTP/1.1 103 Early Hints\r\nlink: {}\r\n\r\n", "a".repeat(30_000));
    for (informational, class) in [
        (HINT.repeat(32), None),
        (HINT.repeat(33), Some(BadClass::Other)),
        (large.repeat(2), None),
        (large.repeat(3), Some(BadClass::Other)),
    ] {
        let reply = Reply::raw(&(informational + OK));
        let server = Server::start(move |_| reply.clone()).await;
        let (_, bad) = load(vec![plan("p", &server.url())]).await;
        let classes: Vec<_> = bad.get("p").into_iter().flatten().map(|slot| slot.class).collect();
        match class {
            None => assert!(classes.is_empty(), "{:?}", bad["p"].first()),
            Some(class) => assert_eq!(classes, [class; 50], "{class:?}"),
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn informational_answers_on_http2_have_a_bound_too() {
    for (hints, class) in [(10, None), (10_000, Some(BadClass::Other))] {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let url = format!("http://{}", listener.local_addr().unwrap());
        tokio::spawn(async move {
            while let Ok((stream, _)) = listener.accept().await {
                tokio::spawn(async move {
                    let Ok(mut connection) = h2::server::handshake(stream).await else { return };
                    while let Some(Ok((_, mut respond))) = connection.accept().await {
                        let hint = || http::Response::builder().status(103).body(()).unwrap();
                        // Whoever asked may be gone by now.
                        let told = (0..hints).try_for_each(|_| respond.send_informational(hint()));
                        let _ = told.and_then(|()| respond.send_response(http::Response::new(()), true).map(drop));
                    }
                });
            }
        });
        let (bins, bad) = load(vec![HttpPlan { version: HttpVersion::Http2, ..plan("p", &url) }]).await;
        let classes: Vec<_> = bad.get("p").into_iter().flatten().map(|slot| slot.class).collect();
        assert_eq!(bins["p"].iter().map(|bin| bin.slots).sum::<u64>(), 50);
        match class {
            None => assert!(classes.is_empty(), "{:?}", bad["p"].first()),
            Some(class) => assert_eq!(classes, [class; 50], "{:?}", bad["p"].first()),
        }
    }
}
