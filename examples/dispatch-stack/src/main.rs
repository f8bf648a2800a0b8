//! The `dispatch` program: one binary for every role of the platform. All it does is hand its arguments to the library.

use std::process::ExitCode;

fn main() -> ExitCode {
    dispatch_stack::main_with_args(std::env::args_os())
}
