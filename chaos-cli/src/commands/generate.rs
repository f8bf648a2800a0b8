//! `crds`, `schema`, `completions`: text made from the code itself.

use clap::CommandFactory as _;

use crate::cli::{Cli, SchemaArgs};
use crate::exit::{Exit, Failure};
use crate::output;

pub(super) fn crds() -> Result<Exit, Failure> {
    output::data(&chaos_core::schema::crds_yaml());
    Ok(Exit::OK)
}

pub(super) fn schema(args: &SchemaArgs) -> Result<Exit, Failure> {
    let schema = if args.result {
        chaos_core::schema::result_json_schema()
    } else {
        chaos_core::schema::experiment_json_schema()
    };
    output::data(&schema);
    Ok(Exit::OK)
}

pub(super) fn completions(shell: clap_complete::Shell) -> Result<Exit, Failure> {
    let mut script = Vec::new();
    clap_complete::generate(shell, &mut Cli::command(), "chaos", &mut script);
    output::data(&String::from_utf8_lossy(&script));
    Ok(Exit::OK)
}
