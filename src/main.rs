//! The `knotwork` program.

use std::process::ExitCode;

fn main() -> ExitCode {
    knotwork::cli::main()
}
