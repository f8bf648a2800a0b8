//! Flags of `chaos gameday`.

use clap::{Args, Subcommand};

use super::{Format, ListArgs};

#[derive(Debug, Args)]
pub(crate) struct GameDayArgs {
    #[command(subcommand)]
    pub(crate) command: GameDayCommand,
}

#[derive(Debug, Subcommand)]
pub(crate) enum GameDayCommand {
    /// The game days of the namespace: when they start next, what is under way, what the last one proved
    List(ListArgs),
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
    Approve(StepArgs),
    /// Say no to the step that a game day waits for, which ends its execution
    Reject(StepArgs),
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

#[derive(Debug, Args)]
pub(crate) struct StepArgs {
    /// The game day
    pub(crate) name: String,
    /// The step; may be left out where one alone waits
    pub(crate) step: Option<String>,
    /// The execution; needed where the step waits in several
    #[arg(long)]
    pub(crate) execution: Option<String>,
}
