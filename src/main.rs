//! The command line of `replay`.

use std::process::ExitCode;

#[global_allocator]
static ALLOCATOR: kvreplay::cli::Allocator = kvreplay::cli::Allocator;

fn main() -> ExitCode {
    kvreplay::cli::main()
}
