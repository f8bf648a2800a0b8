//! The command line and the environment: everything a pod is told. Types only; no behaviour.

use std::fmt;
use std::net::IpAddr;
use std::path::PathBuf;
use std::time::Duration;

use clap::{Args, Parser, Subcommand};

use crate::fragile::Fragile;

/// A small ride-dispatch platform, one role a process.
#[derive(Debug, Parser)]
#[command(name = "dispatch", version)]
pub struct Cli {
    /// Which part of the platform this process is.
    #[command(subcommand)]
    pub role: Role,
    /// What every role is told.
    #[command(flatten)]
    pub pod: PodArgs,
}

/// The parts of the platform.
#[derive(Debug, Subcommand)]
pub enum Role {
    /// HTTP API of riders and drivers
    Gateway(GatewayArgs),
    /// Moves rides from state to state
    Trips(TripsArgs),
    /// Pairs waiting rides with idle drivers
    Matcher(MatcherArgs),
    /// Knows where drivers are
    Location,
    /// Quotes price and driving time
    Eta,
    /// Keeps rides on disk
    Store(StoreArgs),
    /// Plays riders and drivers, and audits what they were promised
    Sim(SimArgs),
}

impl Role {
    /// The role's name, as in labels and metrics.
    pub fn name(&self) -> &'static str {
        match self {
            Self::Gateway(_) => "gateway",
            Self::Trips(_) => "trips",
            Self::Matcher(_) => "matcher",
            Self::Location => "location",
            Self::Eta => "eta",
            Self::Store(_) => "store",
            Self::Sim(_) => "sim",
        }
    }

    /// The port it listens on unless told otherwise.
    pub fn default_port(&self) -> u16 {
        match self {
            Self::Gateway(_) => 8080,
            Self::Trips(_) => 8081,
            Self::Matcher(_) => 8082,
            Self::Location => 8083,
            Self::Eta => 8084,
            Self::Store(_) => 8085,
            Self::Sim(_) => 8086,
        }
    }
}

/// Identity, address and shutdown of a pod.
#[derive(Clone, Debug, Args)]
pub struct PodArgs {
    /// Address to listen on
    #[arg(long, env = "POD_IP", default_value = "127.0.0.1", global = true)]
    pub pod_ip: IpAddr,
    /// Port to listen on; each role has its own default
    #[arg(long, env = "PORT", global = true)]
    pub port: Option<u16>,
    /// Name given in answers and in the ledger; the role's name by default
    #[arg(long, env = "POD_NAME", global = true)]
    pub pod_name: Option<String>,
    /// How long to go on accepting after SIGTERM, while others notice that this pod is leaving
    #[arg(long, env = "DRAIN_DELAY", default_value = "200ms", value_parser = humantime::parse_duration, global = true)]
    pub drain_delay: Duration,
    /// Weaknesses to switch on, separated by commas
    #[arg(long, env = "FRAGILE", default_value = "", global = true)]
    pub fragile: Fragile,
}

/// Where trips is.
#[derive(Clone, Debug, Args)]
pub struct TripsPeer {
    /// URL of the trips Service
    #[arg(long, env = "TRIPS_URL")]
    pub trips_url: String,
}

/// Where location is.
#[derive(Clone, Debug, Args)]
pub struct LocationPeer {
    /// URL of the location Service
    #[arg(long, env = "LOCATION_URL")]
    pub location_url: String,
}

/// Where the store is.
#[derive(Clone, Debug, Args)]
pub struct StorePeer {
    /// URL of the store Service
    #[arg(long, env = "STORE_URL")]
    pub store_url: String,
}

/// What the gateway is told.
#[derive(Clone, Debug, Args)]
pub struct GatewayArgs {
    /// Rides.
    #[command(flatten)]
    pub trips: TripsPeer,
    /// Positions.
    #[command(flatten)]
    pub location: LocationPeer,
    /// URL of the eta Service
    #[arg(long, env = "ETA_URL")]
    pub eta_url: String,
    /// What a request may take before it is answered with 503
    #[arg(long, env = "REQUEST_DEADLINE", default_value = "900ms", value_parser = humantime::parse_duration)]
    pub deadline: Duration,
}

/// What trips is told.
#[derive(Clone, Debug, Args)]
pub struct TripsArgs {
    /// The database.
    #[command(flatten)]
    pub store: StorePeer,
}

/// What the matcher is told.
#[derive(Clone, Debug, Args)]
pub struct MatcherArgs {
    /// Rides.
    #[command(flatten)]
    pub trips: TripsPeer,
    /// Positions.
    #[command(flatten)]
    pub location: LocationPeer,
}

/// What the store is told: exactly one of a folder and a server.
#[derive(Clone, Debug, Args)]
pub struct StoreArgs {
    /// Folder of the database; must outlive the pod
    #[arg(long, env = "DATA_DIR")]
    pub data_dir: Option<PathBuf>,
    /// PostgreSQL server that keeps the database instead, as postgres://USER:PASSWORD@HOST:PORT/NAME?sslmode=require
    #[arg(long, env = "DATABASE_URL", hide_env_values = true)]
    pub database_url: Option<Secret>,
    /// PEM file of the certificate authorities that the server is trusted by; the system's by default
    #[arg(long, env = "DATABASE_CA_FILE")]
    pub database_ca_file: Option<PathBuf>,
}

/// A text that nobody is shown. Reading it cannot fail, since the error would repeat it.
#[derive(Clone)]
pub struct Secret(String);

impl Secret {
    /// The text, for whoever it is meant for.
    pub fn reveal(&self) -> &str {
        &self.0
    }
}

impl From<String> for Secret {
    fn from(text: String) -> Self {
        Self(text)
    }
}

impl fmt::Debug for Secret {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Secret(…)")
    }
}

/// What the simulator is told.
#[derive(Clone, Debug, Args)]
pub struct SimArgs {
    /// URL of the gateway Service
    #[arg(long, env = "GATEWAY_URL")]
    pub gateway_url: String,
    /// The ledger that is audited.
    #[command(flatten)]
    pub store: StorePeer,
    /// Rides asked for each second, whatever the answers
    #[arg(long, env = "RIDES_PER_SECOND", default_value_t = 100.0)]
    pub rides_per_second: f64,
    /// Drivers on the road: enough for 200 rides a second of about two seconds, and as many again
    #[arg(long, env = "DRIVERS", default_value_t = 1000)]
    pub drivers: usize,
    /// Share of rides that the rider cancels after the answer
    #[arg(long, env = "CANCEL_SHARE", default_value_t = 0.02)]
    pub cancel_share: f64,
    /// A ride that has not ended and has not moved for this long is stuck (invariant I6)
    #[arg(long, env = "STUCK_AFTER", default_value = "20s", value_parser = humantime::parse_duration)]
    pub stuck_after: Duration,
    /// File that the client history is appended to, as JSON lines; in memory only by default
    #[arg(long, env = "HISTORY_FILE")]
    pub history_file: Option<PathBuf>,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_secret_is_in_no_output_of_the_command_line() {
        let told = ["dispatch", "store", "--database-url", "postgres://u:hidden@h/d"];
        let shown = format!("{:?}", Cli::try_parse_from(told).unwrap());
        assert!(shown.contains("Secret") && !shown.contains("hidden"), "{shown}");
        let wrong = Cli::try_parse_from(told.into_iter().chain(["--no-such-flag"])).unwrap_err().to_string();
        assert!(!wrong.contains("hidden"), "{wrong}");
    }
}
