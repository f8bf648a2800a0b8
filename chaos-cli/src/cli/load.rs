//! The flags of `chaos load`.

use std::path::PathBuf;
use std::time::Duration;

use chaos_core::load::Threshold;
use chaos_core::units;
use clap::{Args, ValueEnum};

#[derive(Debug, Args)]
#[command(after_help = "Exit codes: 0 all thresholds hold, 1 one was crossed, 2 usage or a file that is not valid, \
3 the target is out of reach, 5 stopped by a signal, 7 undecided (the load generator was too weak), 8 nothing was measured.")]
pub(crate) struct LoadArgs {
    /// Where requests go (http://… or https://…, with path; placeholders such as {{seq}} allowed), or a LoadTest file
    #[arg(value_name = "URL|FILE")]
    pub(crate) target: String,
    /// For how long requests are due (30s, 5m); with a file: instead of what it says [default for a URL: 10s]
    #[arg(short, long, value_name = "DURATION")]
    pub(crate) duration: Option<units::Duration>,
    /// What must hold at the end, such as 'p99<300ms' or 'success>99.9%'; may be repeated; with a file: in every flow, too
    #[arg(short, long = "threshold", value_name = "CONDITION")]
    pub(crate) thresholds: Vec<Threshold>,
    /// Make arrivals and drawn values repeatable
    #[arg(long, allow_negative_numbers = true)]
    pub(crate) seed: Option<i64>,
    /// Trust the certificates of this PEM file instead of the machine's own
    #[arg(long, value_name = "FILE")]
    pub(crate) ca_cert: Option<PathBuf>,
    /// Give up on a target that accepts no connection for this long
    #[arg(long, default_value = "5s", value_parser = humantime::parse_duration, value_name = "DURATION")]
    pub(crate) connect_timeout: Duration,
    /// How the result is printed
    #[arg(short = 'o', long = "output", default_value = "text")]
    pub(crate) format: LoadFormat,
    #[command(flatten)]
    pub(crate) request: RequestArgs,
}

/// What a URL needs and a file says by itself.
#[derive(Debug, Default, Args)]
#[command(next_help_heading = "Options for a URL")]
pub(crate) struct RequestArgs {
    /// Requests in a second, whatever the answers do [default: 100/s]
    #[arg(short, long, value_name = "RATE")]
    pub(crate) rate: Option<units::Rate>,
    /// Let the rate change evenly: SPAN:RATE, such as 30s:500/s; may be repeated, one after the other
    #[arg(long = "stage", value_name = "SPAN:RATE", value_parser = parse_stage)]
    pub(crate) stages: Vec<(units::Duration, units::Rate)>,
    /// Spacing of the requests [default: constant]
    #[arg(long)]
    pub(crate) arrival: Option<ArrivalArg>,
    /// Method [default: GET, with a body POST]
    #[arg(short = 'X', long)]
    pub(crate) method: Option<String>,
    /// A request header; may be repeated
    #[arg(short = 'H', long = "header", value_name = "NAME: VALUE", value_parser = parse_header)]
    pub(crate) headers: Vec<(String, String)>,
    /// Body, or @FILE
    #[arg(short = 'b', long, value_name = "TEXT|@FILE")]
    pub(crate) body: Option<String>,
    /// A request without a whole answer by then is a failure [default: 5s]
    #[arg(long, value_name = "DURATION")]
    pub(crate) timeout: Option<units::Duration>,
    /// A request sent later than this after its due time says nothing about the target [default: 50ms]
    #[arg(long, value_name = "DURATION")]
    pub(crate) max_lag: Option<units::Duration>,
    /// Speak HTTP/2 (without TLS: by prior knowledge)
    #[arg(long)]
    pub(crate) http2: bool,
    /// Open a connection for each request
    #[arg(long)]
    pub(crate) no_keep_alive: bool,
    /// Statuses that are a success [default: 200 to 299]
    #[arg(long = "status", value_name = "STATUS", value_delimiter = ',')]
    pub(crate) status: Vec<u16>,
    /// The body of a success contains this
    #[arg(long, value_name = "TEXT")]
    pub(crate) contains: Option<String>,
    /// An answer later than this after the request was due is a failure
    #[arg(long, value_name = "DURATION")]
    pub(crate) within: Option<units::Duration>,
}

impl RequestArgs {
    /// The first flag that was given, if any was.
    pub(crate) fn first_given(&self) -> Option<&'static str> {
        let given = [
            (self.rate.is_some(), "--rate"),
            (!self.stages.is_empty(), "--stage"),
            (self.arrival.is_some(), "--arrival"),
            (self.method.is_some(), "--method"),
            (!self.headers.is_empty(), "--header"),
            (self.body.is_some(), "--body"),
            (self.timeout.is_some(), "--timeout"),
            (self.max_lag.is_some(), "--max-lag"),
            (self.http2, "--http2"),
            (self.no_keep_alive, "--no-keep-alive"),
            (!self.status.is_empty(), "--status"),
            (self.contains.is_some(), "--contains"),
            (self.within.is_some(), "--within"),
        ];
        given.into_iter().find_map(|(given, flag)| given.then_some(flag))
    }
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub(crate) enum ArrivalArg {
    Constant,
    Poisson,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub(crate) enum LoadFormat {
    Text,
    Json,
}

fn parse_stage(text: &str) -> Result<(units::Duration, units::Rate), String> {
    let (span, rate) = text.split_once(':').ok_or("write SPAN:RATE, such as 30s:500/s")?;
    let told = |error: units::UnitError| error.to_string();
    Ok((span.parse().map_err(told)?, rate.parse().map_err(told)?))
}

fn parse_header(text: &str) -> Result<(String, String), String> {
    let (name, value) = text.split_once(':').ok_or("write NAME: VALUE")?;
    Ok((name.trim().to_owned(), value.trim().to_owned()))
}
