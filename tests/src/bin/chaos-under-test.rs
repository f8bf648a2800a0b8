//! The `chaos` binary under a name of this package, so that cargo builds it for the suites and tells them where it is.

fn main() -> std::process::ExitCode {
    chaos_cli::main()
}
