//! One file per command. Each parses nothing and prints through `output`; what it does stands in the engine.

#[cfg(feature = "bundled")]
pub(crate) mod bundled;
#[cfg(feature = "bundled")]
mod cluster;
#[cfg(feature = "bundled")]
mod demo;
mod diff;
mod evidence;
mod explain;
mod fetched;
mod followed;
mod gameday;
mod generate;
mod image;
mod in_cluster;
mod init;
mod install;
mod load;
mod monkey;
mod operator;
mod orphans;
mod plan;
mod recorded;
mod replay;
mod report;
mod run;
mod runs;
mod status;
mod switch;
mod validate;

use crate::cli::{Cli, Command};
use crate::exit::{Exit, Failure};

/// Runs the one command that was asked for.
pub(crate) async fn run(cli: Cli) -> Result<Exit, Failure> {
    let global = &cli.global;
    match cli.command {
        #[cfg(feature = "bundled")]
        Command::Demo(args) => demo::demo(args).await,
        Command::Run(args) => run::run(global, args).await,
        Command::Load(args) => load::load(global, args).await,
        Command::Init(args) => init::init(global, &args).await,
        Command::Plan(args) => plan::plan(global, args).await,
        Command::Validate(args) => validate::validate(&args),
        Command::Explain(args) => explain::explain(global, args).await,
        #[cfg(feature = "bundled")]
        Command::Cluster(args) => cluster::cluster(global, args).await,
        Command::Report(args) => report::report(global, &args).await,
        Command::Replay(args) => replay::replay(&args),
        Command::Diff(args) => diff::diff(&args),
        Command::Status(args) => status::status(global, &args).await,
        Command::Runs(args) => runs::runs(global, args.command).await,
        Command::Monkey(args) => monkey::monkey(global, args.command).await,
        Command::Stop(args) => switch::set(global, &args, switch::Wanted::Stopped).await,
        Command::Resume(args) => switch::set(global, &args, switch::Wanted::Running).await,
        Command::GameDay(args) => gameday::gameday(global, &args).await,
        Command::Install(args) => install::install(global, &args).await,
        Command::Uninstall(args) => install::uninstall(global, &args).await,
        Command::Image(args) => image::image(&args),
        Command::Crds => generate::crds(),
        Command::Schema(args) => generate::schema(&args),
        Command::Operator(args) => operator::operator(args).await,
        Command::Prober(args) => operator::prober(args).await,
        Command::Completions { shell } => generate::completions(shell),
    }
}
