//! The program: parse the command line, call `ops`; nothing else.

use std::process::ExitCode;

fn main() -> ExitCode {
    ExitCode::from(encke::ops::run())
}
