//! The command line of `replay`.

use std::process::ExitCode;

fn main() -> ExitCode {
    kvreplay::cli::main()
}
