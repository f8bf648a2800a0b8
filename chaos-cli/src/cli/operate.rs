//! Arguments of the commands by which people look at what an operator does, and hold it.

use clap::{Args, Subcommand};

use super::Format;

#[derive(Debug, Args)]
pub(crate) struct StatusArgs {
    /// All namespaces
    #[arg(short = 'A', long)]
    pub(crate) all_namespaces: bool,
    /// Go on, and print again whatever changes
    #[arg(short, long)]
    pub(crate) watch: bool,
    /// Output format; with --watch a document for each change
    #[arg(short = 'o', long = "output", default_value = "table")]
    pub(crate) format: Format,
}

#[derive(Debug, Args)]
pub(crate) struct ListArgs {
    /// All namespaces
    #[arg(short = 'A', long)]
    pub(crate) all_namespaces: bool,
    /// Output format
    #[arg(short = 'o', long = "output", default_value = "table")]
    pub(crate) format: Format,
}

#[derive(Debug, Args)]
pub(crate) struct MonkeyArgs {
    #[command(subcommand)]
    pub(crate) command: MonkeyCommand,
}

#[derive(Debug, Subcommand)]
pub(crate) enum MonkeyCommand {
    /// List them: what they did, and when they strike next
    List(ListArgs),
    /// List the strikes that are planned, with their ids
    Upcoming {
        /// One monkey; absent: all of the namespace
        name: Option<String>,
        /// All namespaces
        #[arg(short = 'A', long, conflicts_with = "name")]
        all_namespaces: bool,
        /// Output format
        #[arg(short = 'o', long = "output", default_value = "table")]
        format: Format,
    },
    /// Call strikes off, and wait until the operator has done so
    Cancel {
        /// The monkey
        name: String,
        /// Ids of strikes, as `upcoming` lists them
        #[arg(required = true)]
        ids: Vec<String>,
    },
    /// Put strikes off, and wait until the operator has done so
    #[command(group(clap::ArgGroup::new("when").required(true).args(["by", "until"])))]
    Postpone {
        /// The monkey
        name: String,
        /// Ids of strikes, as `upcoming` lists them
        #[arg(required = true)]
        ids: Vec<String>,
        /// By so much (2h, 1d): each from its own instant, one that is due already from now
        #[arg(long, value_name = "SPAN")]
        by: Option<humantime::Duration>,
        /// Until this instant (2026-12-01T09:00:00Z); what is due later stays where it is
        #[arg(long, value_name = "INSTANT")]
        until: Option<jiff::Timestamp>,
    },
    /// Plan and kill nothing, until resumed
    Suspend {
        /// The monkey
        name: String,
    },
    /// Plan and kill again
    Resume {
        /// The monkey
        name: String,
    },
}
