//! What the window's processes take together: the window itself and those of its web view.

use std::collections::HashSet;
use std::fs;

use anyhow::{Context as _, Result};

/// Bytes of a process and all that it started, pages that several share counted in parts (proportional set size,
/// proc(5)), and how many processes that are.
pub fn pss(process: u32) -> Result<(u64, usize)> {
    let mut family = HashSet::from([process]);
    loop {
        let before = family.len();
        for entry in fs::read_dir("/proc")? {
            let Some(id) = entry?.file_name().to_str().and_then(|name| name.parse::<u32>().ok()) else {
                continue;
            };
            // Gone meanwhile, perhaps.
            let stat = fs::read_to_string(format!("/proc/{id}/stat")).unwrap_or_default();
            let parent =
                stat.rsplit_once(')').and_then(|(_, rest)| rest.split_whitespace().nth(1)?.parse().ok());
            if parent.is_some_and(|parent| family.contains(&parent)) {
                family.insert(id);
            }
        }
        if family.len() == before {
            break;
        }
    }
    let mut bytes = 0;
    for id in &family {
        let rollup = fs::read_to_string(format!("/proc/{id}/smaps_rollup")).unwrap_or_default();
        let line = rollup.lines().find_map(|line| line.strip_prefix("Pss:"));
        bytes += line.map_or(Ok(0), |line| line.trim().trim_end_matches(" kB").parse::<u64>())? << 10;
    }
    Ok((bytes, family.len()))
}

/// When a process was started, in seconds since the machine was.
pub fn started(process: u32) -> Result<f64> {
    let stat = fs::read_to_string(format!("/proc/{process}/stat"))?;
    let ticks = stat.rsplit_once(')').and_then(|(_, rest)| rest.split_whitespace().nth(19));
    Ok(ticks.context("proc(5)")?.parse::<f64>()? / 100.0)
}

/// Seconds since the machine was started.
pub fn uptime() -> Result<f64> {
    let text = fs::read_to_string("/proc/uptime")?;
    Ok(text.split_whitespace().next().context("proc(5)")?.parse()?)
}
