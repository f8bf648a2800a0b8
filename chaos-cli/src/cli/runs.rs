//! Flags of `chaos runs`.

use clap::{Args, Subcommand};

use super::{Format, ListArgs};

#[derive(Debug, Args)]
pub(crate) struct RunsArgs {
    #[command(subcommand)]
    pub(crate) command: RunsCommand,
}

#[derive(Debug, Subcommand)]
pub(crate) enum RunsCommand {
    /// The runs of the namespace: where each is, and what it proved
    List(ListArgs),
    /// One run: where it is, what it waits for, what it proved, and where its evidence is
    Show {
        /// The run
        name: String,
        /// Output format
        #[arg(short = 'o', long = "output", default_value = "table")]
        format: Format,
    },
    /// Follow a run until it is over, then show it; the exit code is the run's. Ctrl-C ends the following, not the run
    Watch {
        /// The run
        name: String,
        /// Output format of what is shown in the end
        #[arg(short = 'o', long = "output", default_value = "table")]
        format: Format,
    },
    /// Have the operator wind a run down, and wait until it does
    Abort {
        /// The run
        name: String,
        /// Why; its verdict repeats it
        #[arg(long, value_name = "TEXT")]
        reason: Option<String>,
    },
}
