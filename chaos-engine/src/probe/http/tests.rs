//! Load against servers that misbehave, each on a socket of its own. Conditions are waited for, never a time; where a test
//! is about time, it compares with what the server saw.

mod floods;
mod requests;
mod server;
mod versions;

use std::collections::BTreeMap;
use std::time::{Duration, Instant};

use chaos_core::model::{BodyCheck, HeaderCheck, HttpVersion};
use chaos_core::record::{BadClass, BadSlot, Bin, Event, RateStage};

use self::server::{Reply, Server};
use super::worker::is_of_time;
use super::*;
use crate::journal::Redactor;
use crate::probe::Trust;

fn context() -> LoadContext {
    LoadContext { recorder: Recorder::in_memory(Redactor::default()), clock: RunClock::start(), seed: 1, run: 2 }
}

fn plan(name: &str, url: &str) -> HttpPlan {
    HttpPlan {
        name: name.into(),
        origin: url.parse().unwrap(),
        steps: vec![StepPlan::get("/{{seq}}/{{uuid}}".parse().unwrap())],
        rate: 100.0,
        stages: Vec::new(),
        poisson: false,
        timeout: Duration::from_secs(20),
        // This machine may be busy with other tests: these are not about its speed.
        max_lag: Duration::from_secs(10),
        latency_bound: None,
        within: None,
        keep_alive: true,
        version: HttpVersion::Http1,
        trust: Trust::default(),
        server_name: None,
        exposure: None,
    }
}

/// Everything that was told, by probe.
fn told(recorder: &Recorder) -> (BTreeMap<String, Vec<Bin>>, BTreeMap<String, Vec<BadSlot>>) {
    let (mut bins, mut bad) = (BTreeMap::<_, Vec<_>>::new(), BTreeMap::<_, Vec<_>>::new());
    for event in recorder.events() {
        match event {
            Event::Bin(bin) => bins.entry(bin.probe.clone()).or_default().push(bin),
            Event::Bad(slot) => bad.entry(slot.probe.clone()).or_default().push(slot),
            _ => {}
        }
    }
    (bins, bad)
}

#[tokio::test(flavor = "multi_thread")]
async fn every_slot_is_sent_once_and_counted_once() {
    let server = Server::start(|_| Reply::ok()).await;
    let context = context();
    let mut poisson = plan("poisson", &server.url());
    poisson.poisson = true;
    let mut closing = plan("closing", &server.url());
    closing.keep_alive = false;
    let load = Load::start(vec![plan("even", &server.url()), poisson, closing], &context).unwrap();
    server.until_asked(200).await;
    load.stop().await.unwrap();

    let (bins, bad) = told(&context.recorder);
    assert_eq!(bad, BTreeMap::new());
    let slots: u64 = bins.values().flatten().map(|bin| bin.slots).sum();
    let asked = server.asked();
    assert_eq!(asked.len() as u64, slots);
    let unique: std::collections::BTreeSet<_> = asked.iter().collect();
    assert_eq!(unique.len(), asked.len(), "each request carries an identity of its own");
    for bin in bins.values().flatten() {
        assert_eq!(bin.good, bin.slots);
        for counts in [&bin.latency, &bin.lag] {
            assert_eq!(counts.iter().map(|(_, count)| count).sum::<u64>(), bin.slots);
        }
    }
    let schedules = context.recorder.events();
    let schedules: Vec<_> = schedules
        .iter()
        .filter_map(|event| if let Event::Schedule(schedule) = event { Some(schedule) } else { None })
        .collect();
    assert!(schedules[1].poisson_seed.is_some() && schedules[0].poisson_seed.is_none());
    for schedule in schedules {
        let second = &bins[&schedule.probe][0];
        assert_eq!(second.at, schedule.due_times().next().unwrap(), "the schedule alone says when slots were due");
    }
    assert!(server.connections() > bins["closing"][0].slots, "one connection for each request of that probe");
}

#[tokio::test(flavor = "multi_thread")]
async fn what_goes_wrong_is_classified_by_who_is_to_blame() {
    let other = Server::start(|_| Reply::ok()).await;
    let redirect = format!("{}/elsewhere", other.url());
    let cases: Vec<(&str, BadClass, Reply)> = vec![
        (
            "reset-mid-body",
            BadClass::Reset,
            Reply::raw("HTTP/1.1 200 OK\r\ncontent-length: 100\r\n\r\nabc").then_close(),
        ),
        ("no-answer", BadClass::Reset, Reply::raw("").then_close()),
        ("never", BadClass::Timeout, Reply::raw("HTTP/1.1 200 OK\r\ncontent-length: 9\r\n\r\nabc")),
        ("error", BadClass::Status, Reply::raw("HTTP/1.1 500 Oops\r\ncontent-length: 0\r\n\r\n")),
        (
            "redirect",
            BadClass::Status,
            Reply::raw(&format!("HTTP/1.1 302 Go\r\nlocation: {redirect}\r\ncontent-length: 0\r\n\r\n")),
        ),
        ("not-http", BadClass::Other, Reply::raw("hello, this is an ftp server\r\n").then_close()),
        ("wrong-body", BadClass::Body, Reply::raw("HTTP/1.1 200 OK\r\ncontent-length: 9\r\n\r\n{\"id\": 7}")),
        ("wrong-header", BadClass::Header, Reply::ok()),
        ("too-slow", BadClass::TooSlow, Reply::ok().after(Duration::from_millis(100))),
        ("tls", BadClass::Tls, Reply::raw("HTTP/1.1 400 Bad\r\ncontent-length: 0\r\n\r\n").then_close()),
    ];
    let context = context();
    let (mut servers, mut plans) = (Vec::new(), Vec::new());
    for (name, class, reply) in &cases {
        let reply = reply.clone();
        let server = Server::start(move |_| reply.clone()).await;
        let scheme = if *class == BadClass::Tls { "https" } else { "http" };
        let mut plan = plan(name, &server.url().replace("http", scheme));
        plan.rate = 25.0;
        if *class == BadClass::Timeout {
            plan.timeout = Duration::from_millis(150);
        }
        if *class == BadClass::Body {
            plan.steps[0].success.bodies = vec![BodyCheck::Equals("$.id".parse().unwrap(), 8.into())];
        }
        if *class == BadClass::Header {
            plan.steps[0].success.headers = vec![("x-cache".into(), HeaderCheck::Equals("HIT".into()))];
        }
        if *class == BadClass::TooSlow {
            plan.within = Some(Duration::from_millis(50));
            plan.latency_bound = Some(Duration::from_millis(20));
        }
        plans.push(plan);
        servers.push(server);
    }
    let closed = std::net::TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap();
    plans.push(plan("refused", &format!("http://{closed}")));
    let load = Load::start(plans, &context).unwrap();
    for server in &servers {
        server.until_asked(5).await;
    }
    load.stop().await.unwrap();

    let (bins, bad) = told(&context.recorder);
    let expected = cases.iter().map(|(name, class, _)| (*name, *class)).chain([("refused", BadClass::Refused)]);
    for (name, class) in expected {
        let slots: u64 = bins[name].iter().map(|bin| bin.slots).sum();
        assert!(slots >= 5, "{name}");
        let classes: Vec<_> = bad[name].iter().map(|slot| slot.class).collect();
        // A machine that is busy elsewhere may hold the generator up, which it must then say of what is about time.
        let fitting = |found: &BadClass| *found == class || (is_of_time(class) && *found == BadClass::UnknownOutcome);
        assert!(classes.iter().all(fitting) && classes.contains(&class), "{name}: {:?}", bad[name].first());
        assert_eq!(classes.len() as u64, slots, "{name}: no second try made it good");
        assert!(bad[name].iter().all(|slot| slot.latency.is_some() == slot.class.has_latency()));
        let cut = |slot: &&BadSlot| slot.class.is_failure() && !slot.class.has_latency();
        assert!(bad[name].iter().all(|slot| slot.failed_after.is_some() == cut(&slot)), "when it was cut off");
        if class == BadClass::Timeout {
            let bound = bad[name]
                .iter()
                .filter(|slot| slot.class == class)
                .all(|slot| slot.latency == slot.lag.map(|lag| lag + 150_000_000));
            assert!(bound, "a timeout is a sample at its bound");
        }
    }
    assert!(other.asked().is_empty(), "no redirect is followed");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_connection_that_the_server_closed_while_it_was_idle_costs_nothing() {
    // The answer promises to keep the connection, and then it is closed without a word.
    let server = Server::start(|_| Reply::raw("HTTP/1.1 200 OK\r\ncontent-length: 0\r\n\r\n").then_close()).await;
    let context = context();
    let mut plan = plan("p", &server.url());
    plan.rate = 20.0;
    let load = Load::start(vec![plan], &context).unwrap();
    server.until_asked(15).await;
    load.stop().await.unwrap();
    assert_eq!(told(&context.recorder).1, BTreeMap::new());
    assert!(server.connections() >= 15);
}

#[tokio::test(flavor = "multi_thread")]
async fn what_a_hang_opened_is_closed_after_it() {
    let server = Server::start(|_| Reply::ok()).await;
    let context = context();
    let load = Load::start(vec![plan("p", &server.url())], &context).unwrap();
    server.until_asked(3).await;
    server.freeze_for(Duration::from_millis(400)).await;
    server.until_asked(45).await;
    assert!(server.connections() > 20, "{} connections", server.connections());
    // Requests still come, faster than a connection grows old.
    tokio::time::timeout(Duration::from_secs(60), server.until_open_at_most(10)).await.unwrap();
    load.stop().await.unwrap();
    assert_eq!(told(&context.recorder).1, BTreeMap::new());
}

#[tokio::test(flavor = "multi_thread")]
async fn what_is_in_flight_at_the_end_is_waited_for() {
    let server = Server::start(|_| Reply::ok().after(Duration::from_millis(400))).await;
    let context = context();
    let load = Load::start(vec![plan("p", &server.url())], &context).unwrap();
    server.until_asked(3).await;
    load.stop().await.unwrap();
    let (bins, bad) = told(&context.recorder);
    assert_eq!(bad, BTreeMap::new());
    assert_eq!(bins["p"].iter().map(|bin| bin.good).sum::<u64>(), server.asked().len() as u64);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_stall_is_seen_by_every_slot_that_was_due_in_it() {
    // The server freezes for 300 ms and then answers everybody: a closed loop would report one slow request.
    let freeze = Duration::from_millis(300);
    let server = Server::start(|_| Reply::ok()).await;
    let context = context();
    let mut plan = plan("p", &server.url());
    plan.latency_bound = Some(Duration::from_millis(60));
    let load = Load::start(vec![plan], &context).unwrap();
    server.until_asked(30).await;
    let (from, to) = server.freeze_for(freeze).await;
    server.until_asked(90).await;
    load.stop().await.unwrap();

    let (from, to) = (context.clock.at(from).0, context.clock.at(to).0);
    let (_, bad) = told(&context.recorder);
    let seen: BTreeMap<u64, &BadSlot> = bad["p"].iter().map(|slot| (slot.slot, slot)).collect();
    let Some(Event::Schedule(schedule)) = context.recorder.events().into_iter().next() else { panic!("no schedule") };
    let due = schedule.due_times().take(90).map(|due| due.0).enumerate();
    let inside: Vec<_> = due.filter(|(_, due)| *due > from && *due + 80_000_000 < to).collect();
    assert!(inside.len() >= 15, "{} of the 22 slots that the bound leaves", inside.len());
    for (slot, due) in inside {
        let slot = seen[&(slot as u64)];
        assert!(matches!(slot.class, BadClass::Slow | BadClass::UnknownOutcome), "{slot:?}");
        let latency = slot.latency.map_or(u64::MAX, |latency| due + latency);
        assert!(latency >= to, "latency counts from the due time: {slot:?}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn an_outage_costs_the_slots_that_were_due_in_it() {
    let server = Server::start(|_| Reply::ok()).await;
    let context = context();
    let mut plan = plan("p", &server.url());
    plan.keep_alive = false;
    let load = Load::start(vec![plan], &context).unwrap();
    server.until_asked(30).await;
    let from = Instant::now();
    server.fail(true);
    while context.recorder.live().borrow().probes.get("p").is_none_or(|probe| probe.failed < 29) {
        context.recorder.live().changed().await.unwrap();
    }
    server.fail(false);
    let to = Instant::now();
    server.until_asked(server.asked().len() + 20).await;
    load.stop().await.unwrap();

    let (_, bad) = told(&context.recorder);
    let failed = bad["p"].len();
    let slots = (to - from).as_secs_f64() * 100.0;
    assert!(bad["p"].iter().all(|slot| slot.class == BadClass::Reset), "{:?}", bad["p"]);
    // What the generator sent in the outage, give or take the requests that were on their way at its edges.
    let edge = 3.0 + bad["p"].iter().filter_map(|slot| slot.lag).max().unwrap_or(0) as f64 / 1e7;
    assert!((failed as f64 - slots).abs() <= edge, "{failed} slots failed in an outage of {slots:.1} slots");
}

#[tokio::test(flavor = "multi_thread")]
async fn pods_that_served_are_told() {
    let unavailable = "HTTP/1.1 503 No\r\nx-served-by: gateway-1, trips-2\r\ncontent-length: 0\r\n\r\n";
    let server = Server::start(move |_| Reply::raw(unavailable)).await;
    let context = context();
    let mut plan = plan("p", &server.url());
    plan.exposure = Some("x-served-by".parse().unwrap());
    let load = Load::start(vec![plan], &context).unwrap();
    server.until_asked(2).await;
    load.stop().await.unwrap();
    let events = context.recorder.events().into_iter();
    let pods: Vec<_> =
        events.filter_map(|event| if let Event::Served { pod, .. } = event { Some(pod) } else { None }).collect();
    assert_eq!(pods[..2], ["gateway-1", "trips-2"], "also where the answer was bad");
}

#[test]
fn base_urls_are_strict() {
    for (url, display) in [
        ("http://10.0.0.1:8080", "http://10.0.0.1:8080"),
        ("https://host", "https://host"),
        ("http://[::1]:80/base/", "http://[::1]/base"),
    ] {
        assert_eq!(url.parse::<Origin>().unwrap().to_string(), display);
    }
    for url in ["host:80", "ftp://h", "http://", "http://u:p@h", "http://h/?q=1", ""] {
        assert!(url.parse::<Origin>().is_err(), "{url}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_ramp_is_sent_as_it_is_scheduled_and_ends_when_it_should() {
    let server = Server::start(|_| Reply::ok()).await;
    let context = context();
    let mut plan = plan("p", &server.url());
    plan.rate = 10.0;
    plan.stages = vec![RateStage { span: 500_000_000, to: 100.0 }, RateStage { span: 0, to: 50.0 }];
    let mut load = Load::start_for(vec![plan], Duration::from_secs(1), &context).unwrap();
    load.finished().await.unwrap();
    let (bins, bad) = told(&context.recorder);
    assert_eq!(bad, BTreeMap::new());
    // Half a second at a mean of 55 a second, and half a second at 50.
    let slots: u64 = bins["p"].iter().map(|bin| bin.slots).sum();
    assert!((52..=54).contains(&slots) && server.asked().len() as u64 == slots, "{slots}");
}
