//! A small ride-dispatch platform: gateway, trips, matcher, location, eta, a durable store, and a simulator of riders and
//! drivers that audits what the platform promised. One program, one role a process; see the README for the API.
//!
//! The platform is an ordinary application. It knows nothing of whoever kills its pods.

pub mod api;
pub mod args;
pub mod eta;
pub mod fragile;
pub mod gateway;
pub mod location;
pub mod matcher;
pub mod metrics;
pub mod net;
pub mod ride;
pub mod roles;
pub mod sim;
pub mod store;
pub mod trips;

use std::ffi::OsString;
use std::process::ExitCode;

use clap::Parser;

/// The Kubernetes manifests of the platform, rendered from `deploy/`.
pub mod manifests {
    /// Replicas, budgets, spreading and a drain: keeps its promises while pods die.
    pub const RESILIENT: &str = include_str!("../deploy/resilient.yaml");
    /// The same platform with mistakes switched on: loses and doubles rides when pods die.
    pub const FRAGILE: &str = include_str!("../deploy/fragile.yaml");
}

/// Runs the role that `args` name (the first is the program's own name) until SIGTERM or SIGINT.
pub fn main_with_args(args: impl IntoIterator<Item = OsString>) -> ExitCode {
    let cli = match args::Cli::try_parse_from(args) {
        Ok(cli) => cli,
        Err(error) => {
            // Nothing is left to tell when the terminal is gone.
            let _ = error.print();
            return ExitCode::from(u8::try_from(error.exit_code()).unwrap_or(2));
        }
    };
    let filter = tracing_subscriber::EnvFilter::try_from_default_env().unwrap_or_else(|_| "info".into());
    // A host program may have installed its own.
    let _ = tracing_subscriber::fmt().with_env_filter(filter).with_writer(std::io::stderr).with_ansi(false).try_init();
    let runtime = match tokio::runtime::Builder::new_current_thread().enable_all().build() {
        Ok(runtime) => runtime,
        Err(error) => {
            tracing::error!(%error, "failed to start the runtime");
            return ExitCode::FAILURE;
        }
    };
    let result = runtime.block_on(roles::run_until_signal(cli));
    // Tasks that still run are background work of a role that has ended.
    runtime.shutdown_background();
    match result {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            tracing::error!("{error}");
            ExitCode::FAILURE
        }
    }
}
