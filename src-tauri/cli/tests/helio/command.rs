//! `helio` as a child process with a data directory of its own. What it prints is read line by line while it
//! runs; nothing is waited for longer than [`BOUND`].

use std::io::{BufRead, BufReader, Read, Write};
use std::path::Path;
use std::process::{Child, ChildStdin, Command, ExitStatus, Stdio};
use std::sync::mpsc::{Receiver, RecvTimeoutError, channel};
use std::time::{Duration, Instant};

use serde_json::Value;
use tempfile::TempDir;

use crate::brokers::{Mosquitto, MosquittoOptions, PASSWORD, Pki, USER};

pub const BOUND: Duration = Duration::from_secs(30);

/// A data directory, and certificates.
pub struct Bench {
    pub dir: TempDir,
    pub pki: Pki,
}

impl Bench {
    pub fn new() -> Self {
        let dir = tempfile::tempdir().expect("directory");
        let pki = Pki::make(dir.path());
        Self { dir, pki }
    }

    pub fn mosquitto(&self, options: &MosquittoOptions) -> Mosquitto {
        Mosquitto::start(&self.pki, options)
    }

    pub fn path(&self, name: &str) -> String {
        self.dir.path().join(name).to_str().expect("a path in UTF-8").to_owned()
    }

    /// `helio` with these words, its input closed.
    pub fn helio(&self, words: &[&str]) -> Helio {
        Helio::start(self.command(words).stdin(Stdio::null()))
    }

    /// Runs `helio` to its end.
    pub fn run(&self, words: &[&str]) -> Ended {
        self.helio(words).end()
    }

    /// Runs `helio` to its end with this standard input.
    pub fn run_with_input(&self, words: &[&str], input: &[u8]) -> Ended {
        let mut helio = Helio::start(self.command(words).stdin(Stdio::piped()));
        let mut stdin = helio.stdin();
        // It may end before it has read everything.
        let _ = stdin.write_all(input);
        drop(stdin);
        helio.end()
    }

    /// The command, to be changed before it is started.
    pub fn command(&self, words: &[&str]) -> Command {
        let mut command = Command::new(env!("CARGO_BIN_EXE_helio"));
        command.args(words).env("HELIOGRAPH_DATA_DIR", self.dir.path().join("data"));
        for name in ["HELIO_PASSWORD", "HELIO_KEY_PASSWORD", "HELIO_PROXY_PASSWORD", "HELIOGRAPH_LOG"] {
            command.env_remove(name);
        }
        command
    }
}

/// The words of a login that the servers know.
pub fn login() -> Vec<&'static str> {
    vec!["-u", USER, "-P", PASSWORD]
}

/// The words of a client certificate.
pub fn certificate(pki: &Pki) -> Vec<&str> {
    vec!["--cert", text(&pki.client.cert), "--key", text(&pki.client.key)]
}

pub fn text(path: &Path) -> &str {
    path.to_str().expect("a path in UTF-8")
}

/// A running `helio`.
pub struct Helio {
    child: Child,
    out: Lines,
    err: Lines,
}

/// How it ended, and what it printed.
#[derive(Debug)]
pub struct Ended {
    pub status: i32,
    pub out: String,
    pub err: String,
}

impl Ended {
    /// Each line of standard output as JSON.
    pub fn json(&self) -> Vec<Value> {
        let parse = |line| serde_json::from_str(line).unwrap_or_else(|e| panic!("{e}: {self:#?}"));
        self.out.lines().map(parse).collect()
    }

    #[track_caller]
    pub fn assert_status(self, status: i32) -> Self {
        assert_eq!(self.status, status, "{self:#?}");
        self
    }

    #[track_caller]
    pub fn assert_says(self, words: &str) -> Self {
        assert!(self.err.contains(words), "no “{words}” in {self:#?}");
        self
    }
}

impl Helio {
    pub fn start(command: &mut Command) -> Self {
        let mut child =
            command.stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().expect("helio is started");
        let out = Lines::of(child.stdout.take().expect("stdout"));
        let err = Lines::of(child.stderr.take().expect("stderr"));
        Self { child, out, err }
    }

    pub fn stdin(&mut self) -> ChildStdin {
        self.child.stdin.take().expect("stdin")
    }

    /// The next line of standard output.
    #[track_caller]
    pub fn line(&mut self) -> String {
        self.out.wait_for("").unwrap_or_else(|| panic!("no line; standard error: {}", self.err.seen))
    }

    /// Waits for a line of standard error with these words.
    #[track_caller]
    pub fn says(&mut self, words: &str) -> String {
        let line = self.err.wait_for(words);
        line.unwrap_or_else(|| panic!("never “{words}”, but: {}", self.err.seen))
    }

    pub fn signal(&self, name: &str) {
        let id = self.child.id().to_string();
        let sent = Command::new("kill").args(["-s", name, &id]).status().expect("kill");
        assert!(sent.success(), "the process is there");
    }

    /// Stops reading what it prints, as `head` does after the last line it wants.
    pub fn stop_reading(&mut self) {
        self.out = Lines { lines: channel().1, seen: std::mem::take(&mut self.out.seen) };
    }

    /// Waits for its end.
    #[track_caller]
    pub fn end(mut self) -> Ended {
        let status = self.wait();
        let (out, err) = (self.out.rest(), self.err.rest());
        // A signal that was not handled has no code.
        Ended { status: status.code().unwrap_or(-1), out, err }
    }

    fn wait(&mut self) -> ExitStatus {
        let deadline = Instant::now() + BOUND;
        loop {
            if let Some(status) = self.child.try_wait().expect("a child") {
                return status;
            }
            if Instant::now() > deadline {
                panic!("helio never ended; standard error: {}", self.err.rest_so_far());
            }
            std::thread::sleep(Duration::from_millis(5));
        }
    }
}

impl Drop for Helio {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// A stream of lines, read by a thread as they come.
struct Lines {
    lines: Receiver<String>,
    seen: String,
}

impl Lines {
    fn of(stream: impl Read + Send + 'static) -> Self {
        let (sender, lines) = channel();
        std::thread::spawn(move || {
            let mut reader = BufReader::new(stream);
            let mut line = Vec::new();
            while reader.read_until(b'\n', &mut line).is_ok_and(|count| count > 0) {
                // The stream is closed when nobody wants its lines any more.
                if sender.send(String::from_utf8_lossy(&line).into_owned()).is_err() {
                    return;
                }
                line.clear();
            }
        });
        Self { lines, seen: String::new() }
    }

    fn wait_for(&mut self, words: &str) -> Option<String> {
        let deadline = Instant::now() + BOUND;
        loop {
            let line = self.lines.recv_timeout(deadline.saturating_duration_since(Instant::now())).ok()?;
            self.seen.push_str(&line);
            if line.contains(words) {
                return Some(line.trim_end_matches('\n').to_owned());
            }
        }
    }

    /// Everything, once the process has ended.
    fn rest(&mut self) -> String {
        loop {
            match self.lines.recv_timeout(BOUND) {
                Ok(line) => self.seen.push_str(&line),
                Err(RecvTimeoutError::Disconnected) => return std::mem::take(&mut self.seen),
                Err(RecvTimeoutError::Timeout) => panic!("the stream never ended: {}", self.seen),
            }
        }
    }

    fn rest_so_far(&mut self) -> &str {
        self.seen.extend(self.lines.try_iter());
        &self.seen
    }
}
