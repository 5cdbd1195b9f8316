//! The native file choosers (GTK), used by their keys: xdotool types what a person would.

use std::process::{Command, Output};
use std::time::Duration;

use anyhow::{Result, bail};
use tokio::time::{Instant, sleep};

use crate::window::PATIENCE;

/// The location entry appears with the first key and takes a moment to listen; a path that was typed too early
/// is typed again.
const TRIES: u32 = 5;
const CLOSES_WITHIN: Duration = Duration::from_secs(2);

/// Types `path` into the open chooser with this title, and accepts it: a file to open, or where to save one,
/// also over a file that is there.
pub async fn choose(title: &str, path: &str) -> Result<()> {
    let id = opened(title).await?;
    for attempt in 1..=TRIES {
        xdotool(&["windowfocus", "--sync", &id])?;
        xdotool(&["key", "slash"])?;
        sleep(Duration::from_millis(200 * u64::from(attempt))).await;
        xdotool(&["key", "ctrl+a"])?;
        xdotool(&["type", "--delay", "25", path])?;
        xdotool(&["key", "Return"])?;
        if closed(title).await? {
            return Ok(());
        }
        // What it says about a path that lost a letter is confirmed away; and a file that is there is replaced.
        xdotool(&["key", "Return"])?;
        if closed(title).await? {
            return Ok(());
        }
    }
    bail!("the file dialog {title:?} did not take {path}")
}

/// Leaves the open chooser with this title by Escape.
pub async fn cancel(title: &str) -> Result<()> {
    let id = opened(title).await?;
    for _ in 1..=TRIES {
        xdotool(&["windowfocus", "--sync", &id])?;
        xdotool(&["key", "Escape"])?;
        if closed(title).await? {
            return Ok(());
        }
    }
    bail!("the file dialog {title:?} cannot be left")
}

async fn opened(title: &str) -> Result<String> {
    let started = Instant::now();
    loop {
        if let Some(id) = windows(title)?.pop() {
            return Ok(id);
        }
        if started.elapsed() > PATIENCE {
            bail!("the file dialog {title:?} did not open");
        }
        sleep(Duration::from_millis(25)).await;
    }
}

async fn closed(title: &str) -> Result<bool> {
    let asked = Instant::now();
    while asked.elapsed() < CLOSES_WITHIN {
        if windows(title)?.is_empty() {
            return Ok(true);
        }
        sleep(Duration::from_millis(25)).await;
    }
    Ok(false)
}

fn windows(title: &str) -> Result<Vec<String>> {
    let found = xdotool(&["search", "--onlyvisible", "--name", &format!("^{title}$")])?;
    Ok(String::from_utf8_lossy(&found.stdout).split_whitespace().map(str::to_owned).collect())
}

fn xdotool(args: &[&str]) -> Result<Output> {
    Ok(Command::new("xdotool").args(args).output()?)
}
