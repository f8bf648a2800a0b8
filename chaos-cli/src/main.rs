//! The `chaos` binary. Everything stands in the library, so that tests can carry the same program under their own name.

fn main() -> std::process::ExitCode {
    chaos_cli::main()
}
