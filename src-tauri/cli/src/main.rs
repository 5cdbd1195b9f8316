//! `helio`: Heliograph on the command line. In: words. Out: what the engine says, for people or machines, and
//! an exit status: 0 done, 2 wrong usage or a bad file, 3 no connection, 4 refused. Decides nothing about MQTT.

mod args;
mod broker;
mod failure;
mod live;
mod output;
mod probe;
mod publish;
mod subscribe;
mod target;
mod trace;

use std::process::ExitCode;

use clap::{CommandFactory as _, Parser as _};

use crate::args::{Cli, Command};
use crate::failure::{Ending, status_of};

#[tokio::main]
async fn main() -> ExitCode {
    // Libraries log what we report as a failure anyway: only for those who ask.
    let filter =
        tracing_subscriber::EnvFilter::try_from_env("HELIOGRAPH_LOG").unwrap_or_else(|_| "off".into());
    tracing_subscriber::fmt().with_env_filter(filter).with_writer(std::io::stderr).init();
    let result = match Cli::parse().command {
        Command::Trace(args) => trace::run(args).await,
        Command::Probe(args) => probe::run(args).await,
        Command::Sub(args) => subscribe::run(args).await,
        Command::Pub(args) => publish::run(args).await,
        Command::Broker(args) => broker::run(args).await,
        Command::Completions { shell } => {
            clap_complete::generate(shell, &mut Cli::command(), "helio", &mut std::io::stdout());
            Ok(())
        }
        Command::Man => clap_mangen::Man::new(Cli::command())
            .render(&mut std::io::stdout())
            .map_err(|error| Ending::Other(format!("The manual page cannot be written: {error}"))),
    };
    match result {
        Ok(()) => ExitCode::SUCCESS,
        Err(ending) => ExitCode::from(report(&ending)),
    }
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
