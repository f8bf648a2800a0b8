//! The command line: clap types only. What each command does stands in `commands/`.

mod gameday;
mod init;
mod install;
mod load;
mod operate;
mod runs;

use std::path::PathBuf;

use clap::{Args, Parser, Subcommand, ValueEnum};

pub(crate) use gameday::{GameDayArgs, GameDayCommand, StepArgs};
pub(crate) use init::{InitArgs, WorkloadKind};
pub(crate) use install::{InstallArgs, UninstallArgs};
pub(crate) use load::{ArrivalArg, LoadArgs, LoadFormat, RequestArgs};
pub(crate) use operate::{ListArgs, MonkeyArgs, MonkeyCommand, StatusArgs};
pub(crate) use runs::{RunsArgs, RunsCommand};

/// Kills parts of a platform on purpose and says, with evidence, whether it kept its promise.
#[derive(Debug, Parser)]
#[command(name = "chaos", version, propagate_version = true, max_term_width = 110)]
pub(crate) struct Cli {
    #[command(flatten)]
    pub(crate) global: Global,
    #[command(subcommand)]
    pub(crate) command: Command,
}

/// Where the folders of runs are made if nothing else is said, and the variable that says otherwise.
pub(crate) const OUT: &str = "chaos-out";
pub(crate) const OUT_ENV: &str = "CHAOS_OUT";

/// What flags of every command stand under in a help, apart from the command's own.
const EVERYWHERE: &str = "Options of every command";

/// Exit codes of what ends as a run does; `docs/manifests.md` says each at length.
const EXIT_CODES: &str = "Exit codes: 0 the hypothesis held, 1 it failed, 2 usage or a file that is not valid, 3 out of reach, \
4 refused by a safety rule, 5 stopped, 6 wound down incompletely (a person must act), 7 inconclusive, 8 invalid run. Of several \
files the worst counts: 6 > 1 > 5 > 3 > 4 > 2 > 8 > 7 > 0.";

/// Flags of every command.
#[derive(Debug, Clone, Args)]
pub(crate) struct Global {
    /// Kubeconfig file; else KUBECONFIG, ~/.kube/config, or the pod's own account
    #[arg(long, global = true, help_heading = EVERYWHERE, value_name = "FILE")]
    pub(crate) kubeconfig: Option<PathBuf>,
    /// Context of the kubeconfig
    #[arg(long, global = true, help_heading = EVERYWHERE, value_name = "NAME")]
    pub(crate) context: Option<String>,
    /// Namespace: of what is listed, shown or stopped, and of manifests that name none; else the context's
    #[arg(short, long, global = true, help_heading = EVERYWHERE)]
    pub(crate) namespace: Option<String>,
    /// Answer yes where a confirmation is asked for; counts only together with --context or --local
    #[arg(short, long, global = true, help_heading = EVERYWHERE)]
    pub(crate) yes: bool,
    /// Use the embedded cluster that `chaos cluster up` started
    #[arg(long, global = true, help_heading = EVERYWHERE, conflicts_with_all = ["kubeconfig", "context"])]
    pub(crate) local: bool,
    /// Print data and errors only
    #[arg(short, long, global = true, help_heading = EVERYWHERE)]
    pub(crate) quiet: bool,
    /// Colours; `NO_COLOR` is honoured
    #[arg(long, global = true, help_heading = EVERYWHERE, default_value = "auto")]
    pub(crate) color: Color,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub(crate) enum Color {
    Auto,
    Always,
    Never,
}

#[derive(Debug, Subcommand)]
pub(crate) enum Command {
    /// Start an embedded cluster, kill a dispatch stack's pods at random under load, and judge it
    #[cfg(feature = "bundled")]
    Demo(DemoArgs),
    /// Run experiments against a cluster and judge them
    Run(RunArgs),
    /// Send requests on a fixed schedule, without faults, and judge thresholds
    Load(LoadArgs),
    /// Write a first experiment for a workload of yours, from what is on the cluster; changes nothing
    Init(InitArgs),
    /// Say what a run would do, whether it could prove its hypothesis and whether it would start; touches nothing
    Plan(PlanArgs),
    /// Check manifests and report every error at once; needs no cluster
    Validate(ValidateArgs),
    /// Say for a pod and each filter, label, window, limit and permission whether it lets this pod be killed
    Explain(ExplainArgs),
    /// The embedded cluster for this machine
    #[cfg(feature = "bundled")]
    Cluster(ClusterArgs),
    /// Rebuild every report of a run from its journal, or from the evidence of a run or a game day on the cluster
    Report(ReportArgs),
    /// Plan a recorded run again from its seed and population; exit code 1 if anything differs
    Replay(ReplayArgs),
    /// Say whether a platform has become better or worse at being killed; exit code 1 if worse, 7 if that cannot be told
    Diff(DiffArgs),
    /// Say whether chaos may happen on the cluster, who does it, and what became of it
    Status(StatusArgs),
    /// List and show runs of the operator, follow one to its end, or end it early
    Runs(RunsArgs),
    /// Look at what monkeys plan, and call it off
    Monkey(MonkeyArgs),
    /// Stop all chaos on the cluster, or in one namespace
    Stop(StopArgs),
    /// Let chaos happen again
    Resume(StopArgs),
    /// List and show game days, start, abort or suspend one, approve or reject the step that one waits for
    #[command(name = "gameday")]
    GameDay(GameDayArgs),
    /// Install the CRDs, the permissions and the operator
    Install(InstallArgs),
    /// Remove what `install` made
    Uninstall(UninstallArgs),
    /// Write the container images of the operator and of the dispatch stack; needs no container engine
    Image(ImageArgs),
    /// Print the CRDs
    Crds,
    /// Print a JSON schema: of experiment files for editors, or of results
    Schema(SchemaArgs),
    /// Run the operator (inside a cluster)
    Operator(chaos_operator::OperatorArgs),
    /// Run the prober, which measures for the runs of an operator (inside a cluster)
    Prober(chaos_operator::ProberArgs),
    /// Print completions for a shell
    Completions {
        /// The shell
        shell: clap_complete::Shell,
    },
}

impl Command {
    /// Runs for as long as its cluster wants it, and logs for those who operate that.
    pub(crate) const fn is_service(&self) -> bool {
        matches!(self, Self::Operator(_) | Self::Prober(_))
    }
}

#[cfg(feature = "bundled")]
#[derive(Debug, Args)]
#[command(after_help = EXIT_CODES)]
pub(crate) struct DemoArgs {
    /// Run the same experiment against the fragile overlay of the stack, which must fail it
    #[arg(long)]
    pub(crate) fragile: bool,
    #[command(flatten)]
    pub(crate) out: OutArgs,
    /// The experiment to run instead of the shipped one
    #[arg(long, value_name = "FILE")]
    pub(crate) experiment: Option<PathBuf>,
    /// Make victims and instants repeatable
    #[arg(long, allow_negative_numbers = true)]
    pub(crate) seed: Option<i64>,
    /// How the cluster behaves: as quick as processes allow, or with a Kubernetes' lags
    #[arg(long, default_value = "fast")]
    pub(crate) profile: ClusterProfile,
    /// Rides a second that the stack's own riders request beside the experiment's load, at most 1000; absent: what its
    /// manifests say
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u32).range(1..=1000))]
    pub(crate) rides: Option<u32>,
    /// Leave the cluster running until Ctrl-C and print how to reach it
    #[arg(long)]
    pub(crate) keep: bool,
}

#[cfg(feature = "bundled")]
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub(crate) enum ClusterProfile {
    Fast,
    KubernetesLike,
}

/// Where reports go.
#[derive(Debug, Clone, Args)]
pub(crate) struct OutArgs {
    /// Folder for journal and reports; a run makes a folder of its own in it
    #[arg(long, value_name = "DIR", default_value = OUT, env = OUT_ENV)]
    pub(crate) out: PathBuf,
    /// A further copy of an output: json=FILE, junit=FILE, html=FILE, markdown=FILE, github=FILE (annotations of GitHub
    /// Actions); `-` is standard output. Several runs are one file, but for html
    #[arg(short, long = "output", value_name = "KIND=FILE", value_parser = parse_output)]
    pub(crate) outputs: Vec<(OutputKind, PathBuf)>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub(crate) enum OutputKind {
    Json,
    Junit,
    Html,
    Markdown,
    Github,
}

#[derive(Debug, Args)]
#[command(after_help = EXIT_CODES)]
pub(crate) struct RunArgs {
    /// Experiment files
    #[arg(required = true, value_name = "FILE")]
    pub(crate) files: Vec<PathBuf>,
    #[command(flatten)]
    pub(crate) out: OutArgs,
    /// Make victims and instants repeatable
    #[arg(long, allow_negative_numbers = true)]
    pub(crate) seed: Option<i64>,
    /// Submit to the operator, which kills while a prober measures, and follow
    #[arg(long)]
    pub(crate) in_cluster: bool,
    /// Number of this attempt at the same manifest; it stands in the result
    #[arg(long, value_name = "N", default_value_t = 1, value_parser = clap::value_parser!(u32).range(1..))]
    pub(crate) attempt: u32,
    /// Give up on a cluster that does not answer for this long
    #[arg(long, value_name = "DURATION", default_value = "10s", value_parser = humantime::parse_duration)]
    pub(crate) connect_timeout: std::time::Duration,
}

#[derive(Debug, Args)]
#[command(
    after_help = "Exit codes: 0 a run would start, 2 a file is not valid or arithmetic rules the plan out, 3 operator, a \
Service or metrics out of reach, 4 stopped or not opted in, 8 nobody is meant."
)]
pub(crate) struct PlanArgs {
    /// Experiment files
    #[arg(required = true, value_name = "FILE")]
    pub(crate) files: Vec<PathBuf>,
    /// Output format
    #[arg(short = 'o', long = "output", default_value = "table")]
    pub(crate) format: Format,
    /// Plan with this seed
    #[arg(long, allow_negative_numbers = true)]
    pub(crate) seed: Option<i64>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub(crate) enum Format {
    Table,
    Json,
    Yaml,
}

#[derive(Debug, Args)]
pub(crate) struct ValidateArgs {
    /// Files, or folders of them; `-` reads standard input
    #[arg(required = true, value_name = "FILE")]
    pub(crate) files: Vec<PathBuf>,
}

#[derive(Debug, Args)]
pub(crate) struct ExplainArgs {
    /// The pod: NAME, NAMESPACE/NAME or pod/NAME
    pub(crate) pod: String,
    /// The experiment (or `ChaosMonkey`) file to explain it for
    #[arg(short, long, value_name = "FILE")]
    pub(crate) file: PathBuf,
    /// Output format
    #[arg(short = 'o', long = "output", default_value = "table")]
    pub(crate) format: Format,
}

#[derive(Debug, Args)]
#[command(after_help = "The exit code is that of the run, or of a game day the worst of its runs; 3 while it goes on.")]
pub(crate) struct ReportArgs {
    /// Journal of a run, or its folder; or crun/NAME: a run on the cluster that is over; or gameday/NAME: the last execution of a
    /// game day that is over, with each of its runs, on one page
    #[arg(value_name = "JOURNAL|crun/NAME|gameday/NAME")]
    pub(crate) run: PathBuf,
    /// Folder for the reports; default: the journal's own. Of what was on the cluster: makes a folder of its own in it (default:
    /// `CHAOS_OUT`, else chaos-out)
    #[arg(long, value_name = "DIR")]
    pub(crate) out: Option<PathBuf>,
}

#[derive(Debug, Args)]
pub(crate) struct DiffArgs {
    /// The run to compare with: its result.json, its journal or its folder
    #[arg(value_name = "OLD")]
    pub(crate) old: PathBuf,
    /// The run to judge
    #[arg(value_name = "NEW")]
    pub(crate) new: PathBuf,
    /// Output format
    #[arg(short = 'o', long = "output", default_value = "table")]
    pub(crate) format: Format,
}

#[derive(Debug, Args)]
pub(crate) struct SchemaArgs {
    /// The schema of result.json
    #[arg(long)]
    pub(crate) result: bool,
}

#[derive(Debug, Args)]
pub(crate) struct ReplayArgs {
    /// Journal of a run, or the run's folder
    #[arg(value_name = "JOURNAL")]
    pub(crate) journal: PathBuf,
    /// Output format
    #[arg(short = 'o', long = "output", default_value = "table")]
    pub(crate) format: Format,
}

#[derive(Debug, Args)]
pub(crate) struct StopArgs {
    /// The whole cluster (else the namespace of --namespace)
    #[arg(long)]
    pub(crate) all: bool,
}

#[derive(Debug, Args)]
pub(crate) struct ImageArgs {
    /// The archive to write: an OCI image layout that `docker load` reads as well
    #[arg(short, long, value_name = "FILE", default_value = "chaos-images.tar")]
    pub(crate) output: PathBuf,
    /// Name of the operator's image
    #[arg(long, value_name = "IMAGE", default_value = chaos_operator::manifests::IMAGE)]
    pub(crate) name: String,
    /// Name of the dispatch stack's image
    #[cfg(feature = "bundled")]
    #[arg(long, value_name = "IMAGE", default_value = crate::commands::bundled::DISPATCH_IMAGE)]
    pub(crate) stack_name: String,
    /// The static program to put into the images instead of this one
    #[arg(long, value_name = "FILE")]
    pub(crate) program: Option<PathBuf>,
}

#[cfg(feature = "bundled")]
#[derive(Debug, Args)]
pub(crate) struct ClusterArgs {
    #[command(subcommand)]
    pub(crate) command: ClusterCommand,
}

#[cfg(feature = "bundled")]
#[derive(Debug, Subcommand)]
pub(crate) enum ClusterCommand {
    /// Start it and leave it running
    Up {
        /// How it behaves
        #[arg(long, default_value = "fast")]
        profile: ClusterProfile,
        /// Install the operator
        #[arg(long)]
        operator: bool,
        /// Deploy the bundled dispatch stack: resilient or fragile
        #[arg(long, value_name = "OVERLAY")]
        dispatch: Option<Overlay>,
        /// Rides that its simulator requests in a second, at most 1000 (default: what the overlay says)
        #[arg(long, value_name = "N", requires = "dispatch", value_parser = clap::value_parser!(u32).range(1..=1000))]
        rides: Option<u32>,
    },
    /// Hold a cluster until told to end; what `up` starts
    #[command(hide = true)]
    Hold {
        /// How it behaves
        #[arg(long, default_value = "fast")]
        profile: ClusterProfile,
    },
    /// Say whether it runs, and what runs on it
    Status,
    /// Print its kubeconfig
    Kubeconfig,
    /// Print the log of a pod
    Logs {
        /// The pod
        pod: String,
        /// Go on printing
        #[arg(short, long)]
        follow: bool,
    },
    /// Stop it and remove everything it made
    Down,
}

#[cfg(feature = "bundled")]
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub(crate) enum Overlay {
    Resilient,
    Fragile,
}

/// The word by which the command line knows a value.
#[cfg(feature = "bundled")]
pub(crate) fn word(value: &impl ValueEnum) -> String {
    value.to_possible_value().map(|value| value.get_name().to_owned()).unwrap_or_default()
}

fn parse_output(text: &str) -> Result<(OutputKind, PathBuf), String> {
    let (kind, path) = text.split_once('=').ok_or("write KIND=FILE, such as junit=report.xml")?;
    let kind = OutputKind::from_str(kind, false)
        .map_err(|_| format!("{kind:?} is not json, junit, html, markdown or github"))?;
    if path.is_empty() { Err("the file is missing after =".to_owned()) } else { Ok((kind, path.into())) }
}

#[cfg(test)]
mod tests {
    use clap::{CommandFactory as _, Parser as _};

    #[test]
    fn no_two_flags_of_a_command_are_the_same() {
        super::Cli::command().debug_assert();
    }

    /// A help tells first what a command takes by itself, and then what every command does.
    #[test]
    fn flags_of_every_command_stand_apart_from_its_own() {
        let mut command = super::Cli::command();
        command.build();
        for name in ["run", "plan", "load", "status", "install"] {
            let help = command.find_subcommand_mut(name).unwrap().render_help().to_string();
            let (own, everywhere) = help.split_once(super::EVERYWHERE).unwrap();
            assert!(own.contains("\nOptions:") && !own.contains("--kubeconfig"), "{name}: {help}");
            assert!(everywhere.contains("--kubeconfig") && everywhere.contains("--namespace"), "{name}: {help}");
        }
    }

    #[test]
    fn numbers_that_mean_nothing_are_refused() {
        let parses = |line: &[&str]| super::Cli::try_parse_from(["chaos"].iter().chain(line)).is_ok();
        assert!(!parses(&["run", "x.yaml", "--attempt", "0"]) && parses(&["run", "x.yaml", "--attempt", "2"]));
        #[cfg(feature = "bundled")]
        for (rides, is_fine) in [("0", false), ("1", true), ("1000", true), ("1001", false)] {
            assert_eq!(parses(&["demo", "--rides", rides]), is_fine, "{rides}");
        }
    }

    #[test]
    fn a_seed_may_be_below_zero() {
        for command in [vec!["run", "x.yaml"], vec!["plan", "x.yaml"], vec!["load", "http://h"]] {
            let line = ["chaos"].into_iter().chain(command).chain(["--seed", "-3"]);
            let parsed = super::Cli::try_parse_from(line);
            assert!(parsed.is_ok(), "{}", parsed.err().map(|error| error.to_string()).unwrap_or_default());
        }
    }
}
