//! The proxy over real sockets on addresses of the test's own.

use std::net::Ipv4Addr;

use tokio::io::{AsyncReadExt, AsyncWriteExt};

use super::*;

/// A server that answers every connection with its own port.
async fn backend() -> SocketAddrV4 {
    let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).await.unwrap();
    let port = listener.local_addr().unwrap().port();
    tokio::spawn(async move {
        loop {
            let (mut stream, _) = listener.accept().await.unwrap();
            tokio::spawn(async move {
                stream.write_all(port.to_string().as_bytes()).await.unwrap();
                let mut rest = Vec::new();
                let _ = stream.read_to_end(&mut rest).await;
                let _ = stream.write_all(&rest).await;
            });
        }
    });
    SocketAddrV4::new(Ipv4Addr::LOCALHOST, port)
}

/// A port that was free a moment ago.
async fn free_address() -> SocketAddrV4 {
    let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).await.unwrap();
    SocketAddrV4::new(Ipv4Addr::LOCALHOST, listener.local_addr().unwrap().port())
}

async fn ask(address: SocketAddrV4) -> std::io::Result<String> {
    let mut stream = TcpStream::connect(address).await?;
    stream.write_all(b"!").await?;
    stream.shutdown().await?;
    let mut answer = String::new();
    stream.read_to_string(&mut answer).await?;
    Ok(answer)
}

fn key() -> ObjectKey {
    ObjectKey::new("ns", "trips")
}

#[tokio::test]
async fn connections_take_turns_and_carry_both_directions() {
    let (service, one, two) = (free_address().await, backend().await, backend().await);
    let mut table = Table::default();
    assert!(table.apply(&key(), Routes::from([(service, vec![one, two])])).await.is_empty());
    let mut answers = vec![ask(service).await.unwrap(), ask(service).await.unwrap()];
    answers.sort();
    let mut expected = vec![format!("{}!", one.port()), format!("{}!", two.port())];
    expected.sort();
    assert_eq!(answers, expected);
    table.close().await;
    assert_eq!(ask(service).await.unwrap_err().kind(), std::io::ErrorKind::ConnectionRefused);
}

#[tokio::test]
async fn a_service_without_endpoints_refuses_and_comes_back() {
    let (service, one) = (free_address().await, backend().await);
    let mut table = Table::default();
    table.apply(&key(), Routes::from([(service, vec![one])])).await;
    let mut open = TcpStream::connect(service).await.unwrap();
    let mut first = vec![0; one.port().to_string().len()];
    open.read_exact(&mut first).await.unwrap();

    table.apply(&key(), Routes::from([(service, Vec::new())])).await;
    assert_eq!(ask(service).await.unwrap_err().kind(), std::io::ErrorKind::ConnectionRefused);
    open.write_all(b"still here").await.unwrap();
    open.shutdown().await.unwrap();
    let mut rest = String::new();
    open.read_to_string(&mut rest).await.unwrap();
    assert_eq!(rest, "still here", "existing connections stay");

    table.apply(&key(), Routes::from([(service, vec![one])])).await;
    assert!(ask(service).await.is_ok());
}

#[tokio::test]
async fn an_endpoint_that_is_dead_resets_the_client() {
    let (service, dead) = (free_address().await, free_address().await);
    let mut table = Table::default();
    table.apply(&key(), Routes::from([(service, vec![dead])])).await;
    assert!(ask(service).await.is_err());
}

#[tokio::test]
async fn an_address_that_is_taken_is_reported() {
    let taken = backend().await;
    let mut table = Table::default();
    let failures = table.apply(&key(), Routes::from([(taken, vec![taken])])).await;
    assert_eq!(failures.len(), 1);
}
