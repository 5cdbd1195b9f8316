//! `helio`: Heliograph on the command line. In: words. Out: what the engine says, for people or machines, and
//! an exit status: 0 done, 1 other trouble, 2 wrong usage or a bad file, 3 no connection, 4 refused, 130 interrupted. Decides nothing about MQTT.

mod args;
mod bench;
mod broker;
mod cert;
mod failure;
mod live;
mod output;
mod probe;
mod profiles;
mod publish;
mod replay;
mod report;
mod subscribe;
mod target;
mod trace;
mod transfer;
mod vault;

use std::path::Path;
use std::process::ExitCode;

use heliograph_engine::logging;

use clap::{CommandFactory as _, Parser as _};

use crate::args::{Cli, Command};
use crate::failure::{Ending, status_of};

fn main() -> ExitCode {
    let runtime = match tokio::runtime::Runtime::new() {
        Ok(runtime) => runtime,
        Err(error) => {
            output::error(&format!("No runtime can be started: {error}"));
            return ExitCode::FAILURE;
        }
    };
    let status = runtime.block_on(run());
    // A name lookup that was given up cannot be ended; nobody waits for it.
    runtime.shutdown_background();
    status
}

async fn run() -> ExitCode {
    // Libraries log what we report as a failure anyway: only for those who ask.
    let wanted = std::env::var("HELIOGRAPH_LOG").unwrap_or_else(|_| "off".into());
    let filter = logging::directives(&wanted);
    tracing_subscriber::fmt().with_env_filter(filter).with_writer(std::io::stderr).init();
    let result = match Cli::parse().command {
        Command::Trace(args) => trace::run(args).await,
        Command::Probe(args) => probe::run(args).await,
        Command::Sub(args) => subscribe::run(args).await,
        Command::Bench(command) => bench::run(command).await,
        Command::Pub(args) => publish::run(args).await,
        Command::Replay(args) => replay::run(args).await,
        Command::Profiles(command) => profiles::run(command),
        Command::Broker(args) => broker::run(args).await,
        Command::Cert { command } => cert::run(command),
        Command::Completions { shell } => {
            let mut script = Vec::new();
            clap_complete::generate(shell, &mut Cli::command(), "helio", &mut script);
            output::print(&String::from_utf8_lossy(&script));
            Ok(())
        }
        Command::Man { command, dir } => manual(&command, dir.as_deref()),
    };
    let status = match result {
        Ok(()) => 0,
        Err(ending) => report(&ending),
    };
    match output::unprinted() {
        Some(why) if status == 0 => {
            output::error(&format!("Standard output took no more: {why}"));
            ExitCode::FAILURE
        }
        _ => ExitCode::from(status),
    }
}

/// Prints the manual page of a command, or writes all of them into a folder.
fn manual(words: &[String], dir: Option<&Path>) -> Result<(), Ending> {
    let cannot = |error: std::io::Error| Ending::Other(format!("The manual cannot be written: {error}"));
    let mut command = Cli::command();
    if let Some(dir) = dir {
        return clap_mangen::generate_to(command, dir).map_err(cannot);
    }
    command.build();
    let mut name = "helio".to_owned();
    for word in words {
        let Some(found) = command.find_subcommand(word).cloned() else {
            return Err(Ending::Usage(format!("There is no command {name} {word}")));
        };
        name = format!("{name} {word}");
        command = found;
    }
    let mut page = Vec::new();
    clap_mangen::Man::new(command).render(&mut page).map_err(cannot)?;
    output::print(&String::from_utf8_lossy(&page));
    Ok(())
}

fn report(ending: &Ending) -> u8 {
    match ending {
        Ending::Shown(status) => *status,
        Ending::Usage(text) => {
            output::error(text);
            2
        }
        Ending::Connection(failure) => {
            output::failure(failure);
            status_of(failure)
        }
        Ending::Refused(text) => {
            output::error(text);
            4
        }
        Ending::Other(text) => {
            output::error(text);
            1
        }
    }
}
