//! The binary `loadgen`: arguments and exit codes around the library.

mod cli;

use std::process::ExitCode;

use clap::Parser;
use loadgen::report::{LoadReport, compare};
use loadgen::verdict::Finding;

use crate::cli::{Args, Command, CompareArgs};

/// No bound is missed, but the run does not show whether one of them is kept.
const NOT_JUDGEABLE: u8 = 2;
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

/// Makes the exit status of what was found, or `code` where there was an error.
fn finish(result: Result<Finding, String>, code: u8) -> ExitCode {
    match result {
        Ok(Finding::Kept) => ExitCode::SUCCESS,
        Ok(Finding::Missed) => ExitCode::FAILURE,
        Ok(Finding::NotJudgeable) => ExitCode::from(NOT_JUDGEABLE),
        Err(error) => {
            eprintln!("loadgen: {error}");
            ExitCode::from(code)
        }
    }
}

fn compare(args: &CompareArgs) -> Result<Finding, String> {
    let (text, finding) = compare::compare(&LoadReport::read(&args.before)?, &LoadReport::read(&args.after)?);
    print!("{text}");
    Ok(finding)
}
