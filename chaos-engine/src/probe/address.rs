//! Opens a connection to a host. Of a name with several addresses one of each family is tried, the resolver's first: a second one of
//! a family would be a second try, and hide from a probe that the first is down.

use std::io;
use std::net::{IpAddr, SocketAddr};

use tokio::net::{TcpStream, lookup_host};

/// Connects to an address, or to what a name stands for. The caller bounds the time.
pub(in crate::probe) async fn connect(host: &str, port: u16) -> io::Result<TcpStream> {
    match host.parse::<IpAddr>() {
        Ok(address) => TcpStream::connect(SocketAddr::new(address, port)).await,
        Err(_) => TcpStream::connect(&one_of_each_family(lookup_host((host, port)).await?)[..]).await,
    }
}

fn one_of_each_family(found: impl Iterator<Item = SocketAddr>) -> Vec<SocketAddr> {
    let mut tried: Vec<SocketAddr> = Vec::with_capacity(2);
    for address in found {
        if tried.iter().all(|other| other.is_ipv4() != address.is_ipv4()) {
            tried.push(address);
        }
    }
    tried
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn no_second_address_of_a_family_is_tried() {
        let addresses = |texts: &[&str]| texts.iter().map(|text| text.parse().unwrap()).collect::<Vec<SocketAddr>>();
        for (found, tried) in [
            (&["10.0.0.1:80", "10.0.0.2:80", "10.0.0.3:80"][..], &["10.0.0.1:80"][..]),
            (&["[::1]:80", "127.0.0.1:80"], &["[::1]:80", "127.0.0.1:80"]),
            (&["10.0.0.1:80", "[fd00::1]:80", "10.0.0.2:80", "[fd00::2]:80"], &["10.0.0.1:80", "[fd00::1]:80"]),
            (&[], &[]),
        ] {
            assert_eq!(one_of_each_family(addresses(found).into_iter()), addresses(tried));
        }
    }

    #[tokio::test]
    async fn a_name_and_an_address_are_both_reached() {
        let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
        let port = listener.local_addr().unwrap().port();
        for host in ["127.0.0.1", "localhost"] {
            assert!(connect(host, port).await.is_ok(), "{host}");
        }
    }
}
