//! Servers that are healthy, ill, absent, or no gRPC servers at all.

use proptest::prelude::*;
use tokio::net::TcpListener;

use super::*;

/// What a server answers: its head's headers, the body, and trailers.
#[derive(Clone)]
struct Reply {
    status: u16,
    kind: &'static str,
    body: Vec<u8>,
    trailers: Vec<(&'static str, &'static str)>,
}

fn health(status: u8) -> Reply {
    grpc(vec![0, 0, 0, 0, 2, 0x08, status], vec![("grpc-status", "0")])
}

fn grpc(body: Vec<u8>, trailers: Vec<(&'static str, &'static str)>) -> Reply {
    Reply { status: 200, kind: "application/grpc+proto", body, trailers }
}

/// Answers one kind of reply; tells what it was sent.
async fn server(reply: Reply) -> (Origin, tokio::sync::mpsc::UnboundedReceiver<(String, Vec<u8>)>) {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let origin = format!("http://{}", listener.local_addr().unwrap()).parse().unwrap();
    let (tell, told) = tokio::sync::mpsc::unbounded_channel();
    tokio::spawn(async move {
        while let Ok((stream, _)) = listener.accept().await {
            let (reply, tell) = (reply.clone(), tell.clone());
            tokio::spawn(async move {
                let mut connection = h2::server::handshake(stream).await.unwrap();
                while let Some(Ok((request, mut respond))) = connection.accept().await {
                    let (reply, tell) = (reply.clone(), tell.clone());
                    tokio::spawn(async move {
                        let (head, mut body) = request.into_parts();
                        let mut sent = Vec::new();
                        while let Some(Ok(chunk)) = body.data().await {
                            sent.extend_from_slice(&chunk);
                        }
                        let _ = tell.send((head.uri.path().to_owned(), sent));
                        let response = http::Response::builder().status(reply.status).header(CONTENT_TYPE, reply.kind);
                        let mut stream = respond.send_response(response.body(()).unwrap(), false).unwrap();
                        stream.send_data(reply.body.into(), false).unwrap();
                        let trailers = reply.trailers.into_iter();
                        let trailers = trailers.map(|(name, value)| (name.parse().unwrap(), value.parse().unwrap()));
                        stream.send_trailers(trailers.collect()).unwrap();
                    });
                }
            });
        }
    });
    (origin, told)
}

async fn ask(origin: Origin, service: &str) -> Result<Value, &'static str> {
    let look = GrpcLook::new(origin, &Trust::default(), service, Duration::from_secs(20)).unwrap();
    look.value().await.map_err(|cause| cause.reason)
}

#[tokio::test]
async fn a_server_says_how_it_is_and_is_asked_by_the_standard_call() {
    let (origin, mut told) = server(health(1)).await;
    assert_eq!(ask(origin.clone(), "").await, Ok(json!({"serving": true, "status": "SERVING"})));
    assert_eq!(told.recv().await.unwrap(), (METHOD.to_owned(), vec![0, 0, 0, 0, 0]));
    assert!(ask(origin, "rides").await.is_ok());
    assert_eq!(told.recv().await.unwrap().1, b"\0\0\0\0\x07\x0a\x05rides");
    for (status, word) in [(0, "UNKNOWN"), (2, "NOT_SERVING")] {
        let (origin, _told) = server(health(status)).await;
        assert_eq!(ask(origin, "").await, Ok(json!({"serving": false, "status": word})));
    }
    // proto3 leaves out what is zero, and a later version may add fields.
    let (origin, _told) = server(grpc(vec![0, 0, 0, 0, 0], vec![("grpc-status", "0")])).await;
    assert_eq!(ask(origin, "").await.unwrap()["status"], "UNKNOWN");
    let (origin, _told) = server(grpc(vec![0, 0, 0, 0, 5, 0x12, 1, b'x', 0x08, 1], vec![("grpc-status", "0")])).await;
    assert_eq!(ask(origin, "").await.unwrap()["serving"], true);
}

#[tokio::test]
async fn what_cannot_say_is_no_answer() {
    let call = |status: &'static str| grpc(Vec::new(), vec![("grpc-status", status)]);
    for (reply, reason) in [
        (health(3), "unknownService"),
        (health(9), "unparsable"),
        (call("5"), "unknownService"),
        (call("12"), "unimplemented"),
        (call("16"), "refused"),
        (call("13"), "failed"),
        (call("zero"), "unparsable"),
        (call("0"), "unparsable"),
        (grpc(vec![0, 0, 0, 0, 2, 0x08, 1], vec![]), "unparsable"),
        (grpc(vec![1, 0, 0, 0, 2, 0x08, 1], vec![("grpc-status", "0")]), "unparsable"),
        (grpc(vec![0, 0, 0, 0, 9, 0x08, 1], vec![("grpc-status", "0")]), "unparsable"),
        (grpc(vec![0; 5_000], vec![("grpc-status", "0")]), "tooLarge"),
        (Reply { kind: "text/html", ..health(1) }, "notGrpc"),
        (Reply { status: 404, ..health(1) }, "notGrpc"),
    ] {
        let shown = format!("{} {:?} {:?}", reply.status, reply.body, reply.trailers);
        let (origin, _told) = server(reply).await;
        assert_eq!(ask(origin, "a").await, Err(reason), "{shown}");
    }
}

#[tokio::test]
async fn that_nobody_serves_is_an_answer() {
    let closed = std::net::TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap();
    let refused = ask(format!("http://{closed}").parse().unwrap(), "").await.unwrap();
    assert_eq!(refused["serving"], false);
    assert!(refused["error"].as_str().unwrap().contains("refused"), "{refused}");

    for reply in [grpc(Vec::new(), vec![("grpc-status", "14")]), Reply { status: 503, ..health(1) }] {
        let (origin, _told) = server(reply).await;
        assert_eq!(ask(origin, "").await.unwrap()["serving"], false);
    }
    // It accepts and says nothing.
    let silent = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let origin = format!("http://{}", silent.local_addr().unwrap()).parse().unwrap();
    let look = GrpcLook::new(origin, &Trust::default(), "", Duration::from_millis(200)).unwrap();
    let slow = look.value().await.unwrap();
    assert!(slow["error"].as_str().unwrap().contains("200 ms"), "{slow}");
}

#[tokio::test]
async fn whoever_cannot_be_reached_does_not_serve_whatever_the_network_says_of_it() {
    // Nobody can be connected to at the address of a group: the kernel says that the network is unreachable.
    let unreachable = ask("http://224.0.0.1:1".parse().unwrap(), "").await;
    assert_eq!(unreachable.map(|value| value["serving"].clone()), Ok(json!(false)));
}

/// Takes connections and says this on each: at once, or once it was asked. Then it closes; what it did not read makes that a reset.
async fn talker(says: &'static [u8], asked: bool) -> Origin {
    use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let origin = format!("http://{}", listener.local_addr().unwrap()).parse().unwrap();
    tokio::spawn(async move {
        while let Ok((mut stream, _)) = listener.accept().await {
            let ready = !asked || stream.read(&mut [0; 1]).await.is_ok();
            let _ = ready && stream.write_all(says).await.is_ok();
        }
    });
    origin
}

#[tokio::test]
async fn what_speaks_something_else_is_no_answer_whatever_is_noticed_first() {
    for (says, asked) in [
        (&b"HTTP/1.1 400 Bad Request\r\nconnection: close\r\n\r\n"[..], true),
        (b"HTTP/1.1 505 HTTP Version Not Supported\r\n\r\n", false),
        (b"SSH-2.0-x\r\n", false),
    ] {
        let origin = talker(says, asked).await;
        for _ in 0..50 {
            assert_eq!(ask(origin.clone(), "").await, Err("notGrpc"), "{asked}");
        }
    }
    // One that says nothing may be a server that is about to go.
    let gone = talker(b"", true).await;
    for _ in 0..50 {
        assert_eq!(ask(gone.clone(), "").await.unwrap()["serving"], false);
    }
}

proptest! {
    #[test]
    fn no_answer_makes_the_parser_panic(bytes in proptest::collection::vec(any::<u8>(), 0..64)) {
        let mut framed = vec![0, 0, 0, 0, u8::try_from(bytes.len()).unwrap()];
        framed.extend(&bytes);
        let _ = parse(&framed);
        let _ = parse(&bytes);
    }

    #[test]
    fn numbers_are_read_as_they_are_written(value: u64) {
        let mut bytes = BytesMut::new();
        put_varint(value, &mut bytes);
        prop_assert_eq!(varint(&mut &bytes[..]), Some(value));
    }
}
