//! mosquitto with all four listeners.

use std::fmt::Write as _;
use std::io::{Read, Write as _};
use std::net::{Ipv4Addr, TcpStream};
use std::path::Path;
use std::process::Command;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread::JoinHandle;
use std::time::Duration;

use tempfile::TempDir;

use super::process::{self, Process, free_port};
use super::{Identity, PASSWORD, Pki, USER};

const CONFIG: &str = "mosquitto.conf";
const LOG: &str = "mosquitto.log";

/// How to run it.
#[derive(Debug, Clone, Default)]
pub struct MosquittoOptions {
    /// Clients must log in as [`USER`] with [`PASSWORD`].
    pub password: bool,
    /// mqtts and wss demand a client certificate of the CA.
    pub require_certificate: bool,
    /// Another certificate than `Pki::server`.
    pub server: Option<Identity>,
    /// Further lines of configuration.
    pub extra: String,
}

/// A running mosquitto.
pub struct Mosquitto {
    pub mqtt: u16,
    pub mqtts: u16,
    pub ws: u16,
    pub wss: u16,
    pub process: Process,
    dir: TempDir,
}

impl Mosquitto {
    /// Starts it and waits until all four listeners accept.
    pub fn start(pki: &Pki, options: &MosquittoOptions) -> Self {
        process::start(|| Self::attempt(pki, options))
    }

    fn attempt(pki: &Pki, options: &MosquittoOptions) -> Result<Self, String> {
        let dir = tempfile::tempdir().expect("directory");
        let [mqtt, mqtts, ws, wss] = std::array::from_fn(|_| free_port());
        let log = dir.path().join(LOG);

        let server = options.server.as_ref().unwrap_or(&pki.server);
        let tls = format!(
            "cafile {}\ncertfile {}\nkeyfile {}\nrequire_certificate {}\nuse_identity_as_username false\n",
            pki.ca.display(),
            server.cert.display(),
            server.key.display(),
            options.require_certificate,
        );
        let mut config = format!(
            "user root\npersistence false\nlog_dest file {}\nlog_type error\nlog_type warning\n\
             log_type notice\nlog_type information\nmax_queued_messages 0\nmax_queued_bytes 0\n\
             max_inflight_messages 0\nallow_anonymous {}\n",
            log.display(),
            !options.password,
        );
        if options.password {
            let file = dir.path().join("passwords");
            make_password_file(&file);
            writeln!(config, "password_file {}", file.display()).expect("text");
        }
        for (port, websockets, tls) in
            [(mqtt, false, ""), (mqtts, false, &tls), (ws, true, ""), (wss, true, &tls)]
        {
            let protocol = if websockets { "websockets" } else { "mqtt" };
            write!(config, "listener {port} 127.0.0.1\nprotocol {protocol}\n{tls}").expect("text");
        }
        config.push_str(&options.extra);
        std::fs::write(dir.path().join(CONFIG), config).expect("configuration");

        let mut process = spawn(dir.path());
        process.wait_for(&[mqtt, mqtts, ws, wss])?;
        Ok(Self { mqtt, mqtts, ws, wss, process, dir })
    }

    /// Ends it without a word to its clients, and starts it again on the same ports.
    pub fn restart(&mut self) {
        self.stop();
        self.process = spawn(self.dir.path());
        let ports = [self.mqtt, self.mqtts, self.ws, self.wss];
        self.process.wait_for(&ports).expect("the same ports");
    }

    /// Ends it without a word to its clients.
    pub fn stop(&mut self) {
        self.process.kill();
    }

    /// What it has logged so far.
    pub fn log(&self) -> String {
        std::fs::read_to_string(self.dir.path().join(LOG)).unwrap_or_default()
    }

    /// The port of a transport by its URL scheme.
    pub fn port(&self, scheme: &str) -> u16 {
        match scheme {
            "mqtt" => self.mqtt,
            "mqtts" => self.mqtts,
            "ws" => self.ws,
            "wss" => self.wss,
            other => panic!("no transport {other}"),
        }
    }
}

/// Keeps mosquitto's loop turning until it is dropped.
///
/// Version 2.0.11 writes a message to a WebSocket client in pieces of 4 KiB, one a turn, and its loop turns
/// ten times a second when nothing happens: a message of 1 MiB takes it 26 seconds. A client that pings a
/// thousand times a second makes that a quarter of a second.
pub struct Turning {
    stop: Arc<AtomicBool>,
    thread: Option<JoinHandle<()>>,
}

impl Mosquitto {
    /// See [`Turning`].
    pub fn keep_turning(&self) -> Turning {
        let stop = Arc::new(AtomicBool::new(false));
        let (port, stopped) = (self.mqtt, Arc::clone(&stop));
        let thread = std::thread::spawn(move || {
            let mut stream = TcpStream::connect((Ipv4Addr::LOCALHOST, port)).expect("connected");
            stream.set_read_timeout(Some(Duration::from_secs(30))).expect("a time bound");
            stream.write_all(&connect_packet()).expect("CONNECT");
            let mut answer = [0; 4];
            stream.read_exact(&mut answer).expect("CONNACK");
            assert_eq!(answer, [0x20, 2, 0, 0], "CONNACK");
            while !stopped.load(Ordering::Relaxed) {
                stream.write_all(&[0xC0, 0]).expect("PINGREQ");
                stream.read_exact(&mut answer[..2]).expect("PINGRESP");
                std::thread::sleep(Duration::from_millis(1));
            }
        });
        Turning { stop, thread: Some(thread) }
    }
}

impl Drop for Turning {
    fn drop(&mut self) {
        self.stop.store(true, Ordering::Relaxed);
        let ended = self.thread.take().map(JoinHandle::join);
        assert!(std::thread::panicking() || matches!(ended, Some(Ok(()))), "the pinging client failed");
    }
}

/// MQTT 3.1.1 with the login, which a broker without one lets pass.
fn connect_packet() -> Vec<u8> {
    let mut body = b"\0\x04MQTT\x04\xC2\0\0".to_vec();
    for text in ["pinging", USER, PASSWORD] {
        body.extend(u16::try_from(text.len()).expect("short").to_be_bytes());
        body.extend(text.as_bytes());
    }
    let length = u8::try_from(body.len()).expect("less than 128 bytes");
    [vec![0x10, length], body].concat()
}

fn spawn(dir: &Path) -> Process {
    let mut command = Command::new(program());
    command.arg("-c").arg(dir.join(CONFIG));
    Process::spawn("mosquitto", &mut command, dir).with_log(dir.join(LOG))
}

/// Debian keeps it out of the path of ordinary users.
fn program() -> &'static str {
    if Path::new("/usr/sbin/mosquitto").exists() { "/usr/sbin/mosquitto" } else { "mosquitto" }
}

fn make_password_file(file: &Path) {
    let made = Command::new("mosquitto_passwd")
        .args(["-b", "-c"])
        .arg(file)
        .args([USER, PASSWORD])
        .output()
        .expect("mosquitto_passwd");
    assert!(made.status.success(), "{}", String::from_utf8_lossy(&made.stderr));
}
