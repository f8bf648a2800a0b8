//! An HTTP/1.1 server that notes when each request arrived, so that load generators are compared by a clock that is none of
//! theirs. Needs the standard library alone: `tests/speed/run` compiles it by itself, optimised. It must stay faster than what
//! it measures: a thread for each connection, one read, one write, nothing parsed beyond the first line.
//!
//! `GET /NAME…` is answered 200, and its arrival noted under NAME. `GET /-/NAME/RATE` gives as JSON how late the requests of
//! NAME were against the even schedule of RATE a second that makes the earliest of them late by nothing.

#![allow(clippy::print_stdout, reason = "tells its address")]

use std::collections::BTreeMap;
use std::io::{self, Read as _, Write as _};
use std::net::{TcpListener, TcpStream};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Instant;

const HEAD_END: &[u8] = b"\r\n\r\n";
/// Requests at the beginning that are not counted: connections are opened then.
const WARM_UP: usize = 1_000;

/// Arrivals of each load generator, in nanoseconds since the start.
type Arrivals = Arc<Mutex<BTreeMap<String, Vec<u64>>>>;

fn main() -> io::Result<()> {
    let listener = TcpListener::bind(("127.0.0.1", 0))?;
    println!("{}", listener.local_addr()?);
    let arrivals = Arrivals::default();
    let start = Instant::now();
    for stream in listener.incoming() {
        let (stream, arrivals) = (stream?, Arc::clone(&arrivals));
        std::thread::spawn(move || serve(stream, start, &arrivals));
    }
    Ok(())
}

/// Answers a connection until its peer closes it. A peer that goes away is no error here.
fn serve(mut stream: TcpStream, start: Instant, arrivals: &Arrivals) {
    let mut buffer = Vec::with_capacity(4_096);
    let mut chunk = [0; 4_096];
    if stream.set_nodelay(true).is_err() {
        return;
    }
    while let Ok(read @ 1..) = stream.read(&mut chunk) {
        let at = u64::try_from(start.elapsed().as_nanos()).unwrap_or(u64::MAX);
        buffer.extend_from_slice(&chunk[..read]);
        while let Some(end) = buffer.windows(HEAD_END.len()).position(|bytes| bytes == HEAD_END) {
            let head: Vec<u8> = buffer.drain(..end + HEAD_END.len()).collect();
            let body = answer(&String::from_utf8_lossy(&head), at, arrivals);
            let response = format!("HTTP/1.1 200 OK\r\ncontent-length: {}\r\n\r\n{body}", body.len());
            if stream.write_all(response.as_bytes()).is_err() {
                return;
            }
        }
    }
}

/// The body that answers a request.
fn answer(head: &str, at: u64, arrivals: &Arrivals) -> String {
    let path = head.split(' ').nth(1).unwrap_or_default();
    let mut parts = path.trim_start_matches('/').split('/');
    let name = parts.next().unwrap_or_default();
    let mut arrivals = arrivals.lock().unwrap_or_else(PoisonError::into_inner);
    if name != "-" {
        arrivals.entry(name.to_owned()).or_default().push(at);
        return "ok".to_owned();
    }
    let (name, rate) = (parts.next().unwrap_or_default(), parts.next().and_then(|rate| rate.parse().ok()));
    let seen = arrivals.get(name).map(Vec::as_slice).unwrap_or_default();
    rate.map_or_else(|| "{}".to_owned(), |rate| lags(seen, rate))
}

/// How late arrivals were, in microseconds. Which request is which does not matter: the k-th arrival is held to the k-th slot.
fn lags(arrivals: &[u64], rate: f64) -> String {
    let mut arrivals = arrivals.to_vec();
    arrivals.sort_unstable();
    let counted = arrivals.get(WARM_UP..).unwrap_or_default();
    let off = |(slot, at): (usize, &u64)| *at as f64 / 1e3 - slot as f64 * 1e6 / rate;
    let mut lags: Vec<f64> = counted.iter().enumerate().map(off).collect();
    lags.sort_by(f64::total_cmp);
    let Some(earliest) = lags.first().copied() else { return "{\"requests\": 0}".to_owned() };
    let quantile = |share: f64| {
        #[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "a rank; `as` saturates")]
        let rank = (lags.len() as f64 * share).ceil() as usize;
        lags[rank.clamp(1, lags.len()) - 1] - earliest
    };
    format!(
        "{{\"requests\": {}, \"p50Micros\": {:.0}, \"p99Micros\": {:.0}, \"p999Micros\": {:.0}, \"maxMicros\": {:.0}}}",
        lags.len(),
        quantile(0.5),
        quantile(0.99),
        quantile(0.999),
        quantile(1.0)
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_even_schedule_is_late_by_nothing_and_a_stall_shows() {
        let even: Vec<u64> = (0..3_000).map(|slot| 5_000_000 + slot * 1_000_000).collect();
        assert!(lags(&even, 1_000.0).contains("\"requests\": 2000, \"p50Micros\": 0, \"p99Micros\": 0,"));
        let stalled: Vec<u64> = even.iter().map(|at| if *at > 2_500_000_000 { at + 7_000_000 } else { *at }).collect();
        let lags = lags(&stalled, 1_000.0);
        assert!(lags.contains("\"p50Micros\": 0, \"p99Micros\": 7000,"), "{lags}");
    }

    #[test]
    fn who_asked_is_told_by_the_path() {
        let arrivals = Arrivals::default();
        for _ in 0..=WARM_UP {
            assert_eq!(answer("GET /one/17 HTTP/1.1\r\n\r\n", 4, &arrivals), "ok");
        }
        assert!(answer("GET /-/one/1000 HTTP/1.1\r\n\r\n", 4, &arrivals).contains("\"requests\": 1,"));
        assert_eq!(answer("GET /-/other/1000 HTTP/1.1\r\n\r\n", 4, &arrivals), "{\"requests\": 0}");
    }
}
