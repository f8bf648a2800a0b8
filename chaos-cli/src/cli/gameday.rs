//! Flags of `chaos gameday`.

use clap::{Args, Subcommand};

use super::Format;

#[derive(Debug, Args)]
pub(crate) struct GameDayArgs {
    #[command(subcommand)]
    pub(crate) command: GameDayCommand,
}

#[derive(Debug, Subcommand)]
pub(crate) enum GameDayCommand {
    /// The game days of the namespace: when they start next, what is under way, what the last one proved
    List {
        /// All namespaces
        #[arg(short = 'A', long)]
        all_namespaces: bool,
        /// Output format
        #[arg(short = 'o', long = "output", default_value = "table")]
        format: Format,
    },
    /// One game day: its steps with what each waits for, and slots that were not started with their reasons
    Show {
        /// The game day
        name: String,
        /// Output format
        #[arg(short = 'o', long = "output", default_value = "table")]
        format: Format,
    },
    /// Start a game day now, by the rules of its calendar: suspension, blackout, stop switch, what is under way
    Start {
        /// The game day
        name: String,
        /// A name for this start, which starts it once however often it is given; absent: one of its own
        #[arg(long)]
        id: Option<String>,
    },
    /// Approve the step that a game day waits for
    Approve {
        /// The game day
        name: String,
        /// The step; may be left out where one alone waits
        step: Option<String>,
        /// The execution; needed where the step waits in several
        #[arg(long)]
        execution: Option<String>,
    },
    /// Say no to the step that a game day waits for, which ends its execution
    Reject {
        /// The game day
        name: String,
        /// The step; may be left out where one alone waits
        step: Option<String>,
        /// The execution; needed where the step waits in several
        #[arg(long)]
        execution: Option<String>,
    },
    /// End what is under way: its runs wind down, and no further step starts
    Abort {
        /// The game day
        name: String,
        /// The execution; needed where several are under way
        #[arg(long)]
        execution: Option<String>,
    },
    /// Start nothing until resumed; what is under way goes on
    Suspend {
        /// The game day
        name: String,
    },
    /// Start by the calendar again; what was due meanwhile is not made up for
    Resume {
        /// The game day
        name: String,
    },
}
