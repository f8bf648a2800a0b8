//! What is sent, to the letter; and that what is the same in every request is made once.

use bytes::Bytes;
use chaos_core::placeholder::{Extracted, SlotKey};
use futures::FutureExt as _;
use http::header::{ACCEPT, HOST};
use http::{Method, Request};
use http_body_util::{BodyExt as _, Full};

use super::super::request::Requests;
use super::*;

fn make(requests: &Requests, slot: u64) -> Result<Request<Full<Bytes>>, String> {
    requests.request(&requests.steps[0], SlotKey { slot, seed: 1, run: 2 }, &Extracted::new())
}

/// Method and target, the headers in their order, and the body.
fn written(plan: &HttpPlan, slot: u64) -> Vec<String> {
    let (head, body) = make(&Requests::new(plan).unwrap(), slot).unwrap().into_parts();
    let body = body.collect().now_or_never().unwrap().unwrap().to_bytes();
    let headers = head.headers.iter().map(|(name, value)| format!("{name}: {}", value.to_str().unwrap()));
    let first = format!("{} {}", head.method, head.uri);
    std::iter::once(first).chain(headers).chain([String::from_utf8(body.to_vec()).unwrap()]).collect()
}

#[test]
fn requests_are_written_as_their_plan_says() {
    let agent = concat!("user-agent: chaos/", env!("CARGO_PKG_VERSION"));
    let mut plan = plan("p", "http://h:8080/base/");
    plan.steps = vec![StepPlan {
        method: Method::POST,
        headers: vec![(ACCEPT, "text/plain".parse().unwrap()), ("x-slot".parse().unwrap(), "{{seq}}".parse().unwrap())],
        body: Some("ride {{seq}}".parse().unwrap()),
        ..StepPlan::get("/rides/{{seq}}?all".parse().unwrap())
    }];
    let own = ["accept: text/plain", "x-slot: 7", "ride 7"];
    let head = ["POST /base/rides/7?all", "host: h:8080", agent];
    assert_eq!(written(&plan, 7), [&head[..], &own].concat());

    plan.keep_alive = false;
    let head = ["POST /base/rides/7?all", "host: h:8080", "connection: close", agent];
    assert_eq!(written(&plan, 7), [&head[..], &own].concat());

    plan.version = HttpVersion::Http2;
    plan.origin = "https://[::1]/base".parse().unwrap();
    let head = ["POST https://[::1]/base/rides/7?all", agent];
    assert_eq!(written(&plan, 7), [&head[..], &own].concat());

    plan.steps = vec![StepPlan::get("/fixed".parse().unwrap())];
    assert_eq!(written(&plan, 7), ["GET https://[::1]/base/fixed", agent, ""]);
}

#[test]
fn what_is_the_same_in_every_request_is_made_once() {
    let mut plan = plan("p", "http://h:8080/base");
    let headers = vec![(ACCEPT, "text/plain".parse().unwrap())];
    plan.steps = vec![StepPlan { headers, ..StepPlan::get("/fixed".parse().unwrap()) }];
    let requests = Requests::new(&plan).unwrap();
    let (one, other) = (make(&requests, 1).unwrap(), make(&requests, 2).unwrap());
    for name in [HOST, ACCEPT] {
        let at = |request: &Request<Full<Bytes>>| request.headers()[&name].as_bytes().as_ptr();
        assert_eq!(at(&one), at(&other), "{name}");
    }
    assert_eq!(one.uri().path().as_ptr(), other.uri().path().as_ptr());

    plan.version = HttpVersion::Http2;
    let requests = Requests::new(&plan).unwrap();
    let (one, other) = (make(&requests, 1).unwrap(), make(&requests, 2).unwrap());
    let at = |request: &Request<Full<Bytes>>| request.uri().authority().unwrap().as_str().as_ptr();
    assert_eq!(at(&one), at(&other));
}

#[test]
fn what_is_not_valid_is_told_with_its_request() {
    let mut plan = plan("p", "http://h");
    for (path, header, part) in [("/", "a\nb", "header accept: "), ("/ \n", "a", "path: ")] {
        let headers = vec![(ACCEPT, header.parse().unwrap())];
        plan.steps = vec![StepPlan { headers, ..StepPlan::get(path.parse().unwrap()) }];
        let error = make(&Requests::new(&plan).unwrap(), 0).unwrap_err();
        assert!(error.starts_with(part), "{error}");
        assert_eq!(Requests::check(&plan), Err(error));
    }
}
