//! The command line of `replay`.

use std::process::ExitCode;

fn main() -> ExitCode {
    replay::cli::main()
}
