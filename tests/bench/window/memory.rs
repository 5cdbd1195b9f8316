//! What the window's processes take together: the window itself and those of its web view.

use std::collections::HashSet;
use std::fs;
use std::time::Duration;

use anyhow::{Context as _, Result};

use crate::machine;

/// Bytes of a window's processes; pages that several share are counted in parts (proportional set size, proc(5)).
#[derive(Debug, Clone, Copy)]
pub struct Memory {
    pub own: u64,
    pub web: u64,
    pub processes: usize,
}

impl Memory {
    pub fn all(&self) -> u64 {
        self.own + self.web
    }
}

/// Of a process, and of all that it started.
pub fn pss(process: u32) -> Result<Memory> {
    let family = family(process)?;
    let mut memory = Memory { own: 0, web: 0, processes: family.len() };
    for id in family {
        let rollup = fs::read_to_string(format!("/proc/{id}/smaps_rollup")).unwrap_or_default();
        let line = rollup.lines().find_map(|line| line.strip_prefix("Pss:"));
        let bytes = line.map_or(Ok(0), |line| line.trim().trim_end_matches(" kB").parse::<u64>())? << 10;
        *if id == process { &mut memory.own } else { &mut memory.web } += bytes;
    }
    Ok(memory)
}

/// Processor time of a process, and of those that it started.
pub fn cpu(process: u32) -> Result<(Duration, Duration)> {
    let (mut own, mut web) = (Duration::ZERO, Duration::ZERO);
    for id in family(process)? {
        *if id == process { &mut own } else { &mut web } += machine::cpu(&id.to_string());
    }
    Ok((own, web))
}

fn family(process: u32) -> Result<HashSet<u32>> {
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
            return Ok(family);
        }
    }
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
