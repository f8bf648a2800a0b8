//! The programs that this binary carries for its embedded cluster: the supervisor of process pods, and the dispatch stack.
//! They are chosen before anything else happens, as they bring their own runtimes and read no flag of ours.

use std::ffi::{OsStr, OsString};
use std::process::ExitCode;

/// Hidden first argument: supervise the process pods of a cluster.
pub(crate) const SUPERVISE: &str = "__supervise";
/// First argument: a role of the dispatch stack.
pub(crate) const DISPATCH: &str = "dispatch";
/// What the image of the dispatch stack is called in manifests.
pub(crate) const DISPATCH_IMAGE: &str = "dispatch.local/stack:dev";

/// Runs a carried program, if the first argument names one.
pub(crate) fn dispatch(mut args: impl Iterator<Item = OsString>) -> Option<ExitCode> {
    let _program = args.next();
    let first = args.next()?;
    if first == OsStr::new(SUPERVISE) {
        return Some(local_cluster::supervisor::run());
    }
    if first == OsStr::new(DISPATCH) {
        return Some(dispatch_stack::main_with_args(std::iter::once(first).chain(args)));
    }
    None
}

/// What container images mean on the embedded cluster: this binary, playing a part.
pub(crate) fn images(program: &str) -> Vec<local_cluster::Image> {
    let image = |name: &str, argv: &[&str]| local_cluster::Image {
        name: name.to_owned(),
        argv: argv.iter().map(|part| (*part).to_owned()).collect(),
    };
    vec![image(chaos_operator::manifests::IMAGE, &[program]), image(DISPATCH_IMAGE, &[program, DISPATCH])]
}

/// The path of this binary, as pods and the supervisor are started with.
pub(crate) fn program() -> anyhow::Result<String> {
    let path =
        std::env::current_exe().map_err(|error| anyhow::anyhow!("failed to find this program's own file: {error}"))?;
    path.into_os_string().into_string().map_err(|path| {
        anyhow::anyhow!("the path of this program is not UTF-8: {}", std::path::Path::new(&path).display())
    })
}
