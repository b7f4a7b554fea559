//! The binary `loadgen`: arguments and exit codes around the library.

mod cli;

use std::process::ExitCode;

use clap::Parser;
use loadgen::report::{LoadReport, compare};

use crate::cli::{Args, Command, CompareArgs};

/// sysexits.h: the command line is wrong.
const USAGE: u8 = 64;
/// sysexits.h: something that is needed is not there.
const UNAVAILABLE: u8 = 69;

fn main() -> ExitCode {
    let args = match Args::try_parse() {
        Ok(args) => args,
        Err(error) => {
            // Help and version come this way as well.
            let code = if error.use_stderr() { USAGE } else { 0 };
            let _ = error.print();
            return ExitCode::from(code);
        }
    };
    match args.command {
        Command::Run(args) => match args.settings() {
            Ok(settings) => finish(loadgen::run::run(settings), UNAVAILABLE),
            Err(error) => finish(Err(error), USAGE),
        },
        Command::Compare(args) => finish(compare(&args), USAGE),
    }
}

/// Makes the exit status: 0 where every bound was kept, 1 where one was not, `code` where there was an error.
fn finish(result: Result<bool, String>, code: u8) -> ExitCode {
    match result {
        Ok(passed) => ExitCode::from(u8::from(!passed)),
        Err(error) => {
            eprintln!("loadgen: {error}");
            ExitCode::from(code)
        }
    }
}

fn compare(args: &CompareArgs) -> Result<bool, String> {
    let (text, worse) = compare::compare(&LoadReport::read(&args.before)?, &LoadReport::read(&args.after)?);
    print!("{text}");
    Ok(!worse)
}
