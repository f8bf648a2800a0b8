//! A load test from flags: the same specification that a file would hold, so that both are checked by the same rules.

use std::collections::BTreeMap;
use std::path::Path;

use anyhow::Context as _;
use chaos_core::api::{Arrival, BodyCheck, HttpProbe, HttpSuccess, HttpVersion, LoadFlow, LoadTestSpec, Stage};
use chaos_core::model::LoadTest;
use chaos_core::units::{Duration, Rate};
use chaos_core::validate::{self, Meta};

use crate::cli::{ArrivalArg, LoadArgs, RequestArgs};
use crate::exit::Failure;

/// The name of the one flow.
const NAME: &str = "load";
const RATE: &str = "100/s";

/// The test that the flags describe.
pub(super) fn test(args: &LoadArgs) -> Result<LoadTest, Failure> {
    let spec = LoadTestSpec {
        duration: args.duration.unwrap_or(Duration::from_secs(10)),
        flows: vec![LoadFlow { name: NAME.into(), http: http(&args.target, &args.request)?, thresholds: Vec::new() }],
        seed: args.seed,
    };
    let meta = Meta { name: NAME.into(), namespace: "default".into(), uid: String::new() };
    validate::load(&spec, &meta).map_err(|problems| {
        let told: Vec<String> = problems
            .iter()
            .map(|problem| {
                let field = problem.path.to_string().replace("spec.flows[0].http.", "").replace("spec.", "");
                let hint = problem.hint.as_ref().map(|hint| format!("; hint: {hint}")).unwrap_or_default();
                format!("{field}: {}{hint}", problem.message)
            })
            .collect();
        Failure::invalid(anyhow::anyhow!("{}", told.join("\n")))
    })
}

fn http(target: &str, args: &RequestArgs) -> Result<HttpProbe, Failure> {
    let (url, path) = split(target);
    let rate = match args.rate {
        Some(rate) => rate,
        None => RATE.parse::<Rate>().context("failed to read the default rate")?,
    };
    let headers: BTreeMap<String, String> = args.headers.iter().cloned().collect();
    let body = args.body.as_deref().map(body).transpose()?;
    let method = args.method.clone().unwrap_or_else(|| if body.is_some() { "POST" } else { "GET" }.to_owned());
    Ok(HttpProbe {
        service: None,
        namespace: None,
        port: None,
        url: Some(url.to_owned()),
        // --ca-cert is for a file's flows as well.
        ca_file: None,
        server_name: None,
        method: method.to_uppercase(),
        path: path.to_owned(),
        headers,
        body,
        rate,
        stages: args.stages.iter().map(|(span, to)| Stage { for_: *span, to: *to }).collect(),
        arrival: match args.arrival {
            Some(ArrivalArg::Poisson) => Arrival::Poisson,
            Some(ArrivalArg::Constant) | None => Arrival::Constant,
        },
        timeout: args.timeout.unwrap_or(Duration::from_secs(5)),
        max_lag: args.max_lag.unwrap_or(Duration::from_millis(50)),
        keep_alive: !args.no_keep_alive,
        version: if args.http2 { HttpVersion::Http2 } else { HttpVersion::Http1 },
        success: HttpSuccess {
            status: args.status.clone(),
            body: args.contains.clone().map(|text| BodyCheck { contains: Some(text), ..BodyCheck::default() }),
            within: args.within,
            ..HttpSuccess::default()
        },
        extract: BTreeMap::new(),
        then: Vec::new(),
        exposure: None,
    })
}

/// The base URL and the path with its query.
fn split(target: &str) -> (&str, &str) {
    let host = target.find("://").map_or(0, |at| at + 3);
    match target[host..].find(['/', '?']) {
        Some(at) if target[host + at..].starts_with('/') => target.split_at(host + at),
        // A query without a path: told as no base URL, with the rule.
        _ => (target, "/"),
    }
}

fn body(text: &str) -> Result<String, Failure> {
    let Some(path) = text.strip_prefix('@') else { return Ok(text.to_owned()) };
    chaos_engine::given::text(Path::new(path))
        .with_context(|| format!("failed to read the body from {path}"))
        .map_err(Failure::invalid)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_url_is_split_where_its_path_begins() {
        for (url, expected) in [
            ("http://h:80", ("http://h:80", "/")),
            ("http://h/", ("http://h", "/")),
            ("https://h/a/{{seq}}?b=c", ("https://h", "/a/{{seq}}?b=c")),
            ("http://[::1]:8080/x", ("http://[::1]:8080", "/x")),
            ("http://h?a=b", ("http://h?a=b", "/")),
        ] {
            assert_eq!(split(url), expected, "{url}");
        }
    }
}
