//! The `chaos` command: parses, hands over to one command, and turns its end into an exit code. Decides nothing.

mod apply;
mod cli;
mod commands;
mod config;
mod context;
mod exit;
mod files;
#[cfg(feature = "bundled")]
mod held;
mod image;
mod output;
mod permissions;
mod progress;
#[cfg(feature = "bundled")]
mod ready;
mod refusal;
mod signals;

use std::process::ExitCode;

use clap::Parser as _;

/// Runs the command line of this process to its end.
pub fn main() -> ExitCode {
    #[cfg(feature = "bundled")]
    if let Some(code) = commands::bundled::dispatch(std::env::args_os()) {
        return code;
    }
    if rustls::crypto::ring::default_provider().install_default().is_err() {
        tracing::debug!("a TLS provider was chosen already");
    }
    let cli = cli::Cli::parse();
    output::init(&cli.global);
    if !cli.command.is_service() {
        output::init_logs();
    }
    let runtime = match tokio::runtime::Builder::new_multi_thread().enable_all().build() {
        Ok(runtime) => runtime,
        Err(error) => {
            return exit::Failure::could_not_run(anyhow::Error::new(error).context("failed to start the runtime"))
                .report();
        }
    };
    let outcome = runtime.block_on(commands::run(cli));
    // Threads that still block (a name look-up, a file) must not keep a finished command alive.
    runtime.shutdown_timeout(std::time::Duration::from_millis(200));
    match outcome {
        Ok(code) if output::is_lost() => code.worse(exit::Exit::STOPPED).into(),
        Ok(code) => code.into(),
        Err(failure) => failure.report(),
    }
}
