//! A child process that listens on ports, and ends with its value.

use std::collections::HashSet;
use std::fs::File;
use std::net::{Ipv4Addr, SocketAddr, TcpListener, TcpStream};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::sync::Mutex;
use std::time::{Duration, Instant};

/// Another process may take a free port before the server does.
const ATTEMPTS: usize = 3;
const READY_BOUND: Duration = Duration::from_secs(60);
const POLL: Duration = Duration::from_millis(10);

/// A free port on 127.0.0.1, handed out once in this process.
pub fn free_port() -> u16 {
    static GIVEN: Mutex<Option<HashSet<u16>>> = Mutex::new(None);
    let mut given = GIVEN.lock().expect("ports");
    let given = given.get_or_insert_default();
    loop {
        let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).expect("a free port");
        let port = listener.local_addr().expect("its address").port();
        if given.insert(port) {
            return port;
        }
    }
}

/// Starts a server, with other ports when it does not come up.
pub fn start<T>(attempt: impl Fn() -> Result<T, String>) -> T {
    let mut last = String::new();
    for _ in 0..ATTEMPTS {
        match attempt() {
            Ok(server) => return server,
            Err(error) => last = error,
        }
    }
    panic!("{last}");
}

/// A running server.
pub struct Process {
    name: &'static str,
    child: Child,
    output: PathBuf,
    logs: Vec<PathBuf>,
}

impl Process {
    /// Starts it in a process group of its own, with its output in `dir`.
    pub fn spawn(name: &'static str, command: &mut Command, dir: &Path) -> Self {
        use std::os::unix::process::CommandExt;
        let output = dir.join(format!("{name}.out"));
        let file = File::create(&output).expect("output file");
        let child = command
            .process_group(0)
            .stdin(Stdio::null())
            .stdout(file.try_clone().expect("output file"))
            .stderr(file)
            .spawn()
            .unwrap_or_else(|e| panic!("{name} cannot be started (is the package installed?): {e}"));
        Self { name, child, output, logs: Vec::new() }
    }

    /// A file that the server writes, shown when it fails.
    pub fn with_log(mut self, log: PathBuf) -> Self {
        self.logs.push(log);
        self
    }

    /// Its process id.
    pub fn id(&self) -> u32 {
        self.child.id()
    }

    /// Returns when every port accepts connections.
    ///
    /// # Errors
    /// The server ended, or took too long; with what it wrote.
    pub fn wait_for(&mut self, ports: &[u16]) -> Result<(), String> {
        let deadline = Instant::now() + READY_BOUND;
        for port in ports {
            self.wait_until(deadline, &format!("port {port}"), || {
                let address = SocketAddr::from((Ipv4Addr::LOCALHOST, *port));
                TcpStream::connect_timeout(&address, Duration::from_secs(1)).is_ok()
            })?;
        }
        // Whoever answered was not ours if it is gone.
        self.wait_until(deadline, "ready", || true)
    }

    /// Returns when a line of one of its logs contains `text`.
    ///
    /// # Errors
    /// The server ended, or took too long; with what it wrote.
    pub fn wait_for_line(&mut self, text: &str) -> Result<(), String> {
        let deadline = Instant::now() + READY_BOUND;
        let files: Vec<_> = self.logs.iter().chain([&self.output]).cloned().collect();
        let logged = || files.iter().any(|file| read(file).contains(text));
        self.wait_until(deadline, text, logged)
    }

    fn wait_until(
        &mut self,
        deadline: Instant,
        what: &str,
        mut ready: impl FnMut() -> bool,
    ) -> Result<(), String> {
        loop {
            let is_ready = ready();
            if let Some(status) = self.child.try_wait().expect("child") {
                return Err(format!("{} ended ({status}) before {what}\n{}", self.name, self.log()));
            }
            if is_ready {
                return Ok(());
            }
            if Instant::now() > deadline {
                return Err(format!("{} never came to {what}\n{}", self.name, self.log()));
            }
            std::thread::sleep(POLL);
        }
    }

    /// Ends it at once, with what it started itself.
    pub fn kill(&mut self) {
        // The group holds what the server started itself; its id is that of our child, which is not reaped yet.
        if self.child.try_wait().is_ok_and(|ended| ended.is_none()) {
            let group = format!("-{}", self.child.id());
            let _ = Command::new("kill").args(["-KILL", "--", &group]).stderr(Stdio::null()).status();
        }
        let _ = self.child.kill();
        let _ = self.child.wait();
    }

    /// Everything it wrote.
    pub fn log(&self) -> String {
        self.logs.iter().chain([&self.output]).map(|path| read(path)).collect::<Vec<_>>().join("\n")
    }
}

impl Drop for Process {
    fn drop(&mut self) {
        self.kill();
        if std::thread::panicking() {
            eprintln!("--- {}\n{}", self.name, self.log());
        }
    }
}

fn read(path: &Path) -> String {
    std::fs::read(path).map(|bytes| String::from_utf8_lossy(&bytes).into_owned()).unwrap_or_default()
}
