//! Writes manual pages and shell completions of the proxy's command line, made from it: `manual FOLDER NAME`, where NAME is what the
//! program is called once it is installed. `make dist` packs them.

use std::error::Error;
use std::fs;
use std::path::Path;

use clap_complete::Shell;
use proxy::daemon::cli;

/// Writes the pages into `folder/man` and the completions into `folder/completions`.
///
/// # Errors
/// Those of the file system.
pub(crate) fn write(folder: &Path, name: &'static str) -> Result<(), Box<dyn Error>> {
    let (man, completions) = (folder.join("man"), folder.join("completions"));
    fs::create_dir_all(&man)?;
    fs::create_dir_all(&completions)?;
    // Without it there would be a page for `help` and one for each command behind it.
    let command = cli::command_line(name).disable_help_subcommand(true);
    clap_mangen::generate_to(command.clone(), &man)?;
    for shell in [Shell::Bash, Shell::Zsh, Shell::Fish] {
        clap_complete::generate_to(shell, &mut command.clone(), name, &completions)?;
    }
    Ok(())
}

fn main() -> Result<(), Box<dyn Error>> {
    let mut args = std::env::args().skip(1);
    let (Some(folder), Some(name)) = (args.next(), args.next()) else { return Err("usage: manual FOLDER NAME".into()) };
    // Of one run, and clap keeps it for as long.
    write(Path::new(&folder), name.leak())
}
