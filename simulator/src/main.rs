//! The binary: it reads the command line, runs the command, and ends with its exit code.

mod cli;

use std::process::ExitCode;

use clap::Parser;
use simulator::scenario;

use cli::arguments::{Cli, Command};
use cli::failure::{Failed, STALLED, USAGE};
use cli::{conformance, engines, files, incident, matrix, play, results, search};

fn main() -> ExitCode {
    let cli = match Cli::try_parse() {
        Ok(cli) => cli,
        Err(error) => {
            // Help and version come this way as well.
            let code = if error.use_stderr() { USAGE } else { 0 };
            let _ = error.print();
            return ExitCode::from(code);
        }
    };
    simulator::world::end_when_stalled(|text| {
        eprintln!("{text}");
        std::process::exit(i32::from(STALLED));
    });
    let ended = match cli.command {
        Command::Run(args) => play::run_many(&args),
        Command::Replay(one) => play::replay(&one),
        Command::Check { paths, engine } => engines::check(&paths, engine),
        Command::List(args) => engines::list(&args),
        Command::Parity(args) => engines::parity(&args),
        Command::Trace(one) => play::trace(&one),
        Command::Timeline(args) => play::timeline(&args),
        Command::Sweep(args) => search::sweep(&args),
        Command::Merge(args) => results::merge(&args),
        Command::Conformance(args) => conformance::conformance(&args),
        Command::Matrix(args) => matrix::matrix(&args),
        Command::Coverage(args) => results::coverage(&args),
        Command::Shrink(args) => search::shrink(&args),
        Command::Diff { one, other, results } => play::diff(&one, &other, results.as_deref()),
        Command::Record(args) => incident::record(&args),
        Command::Fidelity(args) => incident::fidelity(&args),
        Command::WhatIf(args) => incident::what_if(&args),
        Command::New(args) => incident::new(&args),
        Command::Schema => files::print(&format!("{:#}\n", scenario::schema().as_value())),
    };
    match ended {
        Ok(code) => ExitCode::from(code),
        Err(Failed { code, text }) => {
            eprint!("{text}");
            ExitCode::from(code)
        }
    }
}
