//! What the figures are measured with: processor time, load, child processes, and lines of a table. Linux only, as the
//! servers are.

use std::fs;
use std::io::{BufRead, BufReader, Read as _};
use std::process::{Child, ChildStdin, Command, Stdio};
use std::time::{Duration, Instant};

use crate::flood::{Flood, FloodServer, ServerTls};

/// Wall time and processor time of this process since it was started.
pub struct Stopwatch {
    began: Instant,
    cpu: Duration,
}

impl Stopwatch {
    pub fn start() -> Self {
        Self { began: Instant::now(), cpu: cpu("self") }
    }

    pub fn stop(&self, messages: u64) -> Rate {
        Rate { messages, wall: self.began.elapsed(), cpu: cpu("self").saturating_sub(self.cpu) }
    }
}

/// How fast something went.
#[derive(Debug, Clone, Copy)]
pub struct Rate {
    pub messages: u64,
    pub wall: Duration,
    /// Of whoever is measured; zero where that cannot be told.
    pub cpu: Duration,
}

impl Rate {
    pub fn a_second(&self) -> f64 {
        self.messages as f64 / self.wall.as_secs_f64()
    }

    /// What a core would do that does nothing else.
    pub fn a_core_second(&self) -> f64 {
        self.messages as f64 / self.cpu.as_secs_f64().max(0.01)
    }
}

/// Prints one line: a name, the rate, and how it compares: by the clock, and where both are known by processor time,
/// which a busy machine distorts less.
pub fn print(name: &str, rate: Rate, peer: Option<(&str, Rate)>) {
    let busy = if rate.cpu.is_zero() {
        String::new()
    } else {
        format!("{:>10} per core-second", thousands(rate.a_core_second()))
    };
    let ratio = peer.map_or(String::new(), |(name, peer)| {
        let by_core = match rate.cpu.is_zero() || peer.cpu.is_zero() {
            true => String::new(),
            false => format!(", {:.2} by core", rate.a_core_second() / peer.a_core_second()),
        };
        format!("  {:.2} of {name}{by_core}", rate.a_second() / peer.a_second())
    });
    println!("  {name:<44} {:>10}/s {busy:<25}{ratio}", thousands(rate.a_second()));
}

pub fn thousands(number: f64) -> String {
    let digits = format!("{number:.0}");
    let mut text = String::new();
    for (at, digit) in digits.chars().enumerate() {
        if at > 0 && (digits.len() - at).is_multiple_of(3) {
            text.push(',');
        }
        text.push(digit);
    }
    text
}

/// The load of the last minute, to be said beside figures.
pub fn load() -> String {
    let text = fs::read_to_string("/proc/loadavg").unwrap_or_default();
    text.split(' ').next().unwrap_or("?").to_owned()
}

/// Ends when nobody holds its input any more: the child process of [`FloodProcess`].
pub fn serve_flood(words: &[String]) {
    let [messages, qos, rate, telemetry] = [0, 1, 2, 3].map(|at| words[at].parse::<u64>().expect("a number"));
    let flood = Flood { rate, telemetry: telemetry > 0, ..Flood::of(messages, qos as u8) };
    let tls = (words.len() > 4).then(|| ServerTls {
        cert: words[4].clone().into(),
        key: words[5].clone().into(),
        ca: words[6].clone().into(),
    });
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().expect("a runtime");
    let server = runtime.block_on(FloodServer::start(flood, tls));
    println!("{}", server.address.port());
    std::thread::spawn(|| {
        let _ = std::io::stdin().read_to_end(&mut Vec::new());
        std::process::exit(0);
    });
    runtime.block_on(std::future::pending::<()>());
}

/// Processor time of a process, its threads together.
pub fn cpu(process: &str) -> Duration {
    times(process, 11)
}

/// Of the children of this process that have ended and were waited for.
pub fn children_cpu() -> Duration {
    times("self", 13)
}

/// User and system time, in hundredths of a second, as they stand behind the name in brackets (proc(5)).
fn times(process: &str, first: usize) -> Duration {
    let text = fs::read_to_string(format!("/proc/{process}/stat")).unwrap_or_default();
    let rest = text.rsplit_once(')').map_or("", |(_, rest)| rest);
    let ticks: u64 = rest.split_whitespace().skip(first).take(2).filter_map(|t| t.parse::<u64>().ok()).sum();
    Duration::from_millis(ticks * 10)
}

/// A flood server in a process of its own, so that its work is not taken for the client's. It ends with its value.
pub struct FloodProcess {
    pub port: u16,
    child: Child,
    _stdin: Option<ChildStdin>,
}

impl FloodProcess {
    pub fn start(flood: Flood, tls: Option<&ServerTls>) -> Self {
        let mut command = Command::new(std::env::current_exe().expect("this program"));
        command.arg("serve-flood").args(
            [flood.messages, flood.qos.into(), flood.rate, flood.telemetry.into()].map(|n| n.to_string()),
        );
        if let Some(tls) = tls {
            command.arg(&tls.cert).arg(&tls.key).arg(&tls.ca);
        }
        let mut child = command.stdin(Stdio::piped()).stdout(Stdio::piped()).spawn().expect("a child");
        let mut line = String::new();
        BufReader::new(child.stdout.take().expect("its output")).read_line(&mut line).expect("a line");
        let port = line.trim().parse().expect("a port");
        Self { port, _stdin: child.stdin.take(), child }
    }

    /// Processor time it has used.
    pub fn cpu(&self) -> Duration {
        cpu(&self.child.id().to_string())
    }
}

impl Drop for FloodProcess {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}
