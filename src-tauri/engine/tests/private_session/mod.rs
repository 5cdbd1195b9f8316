//! A D-Bus session of its own with a real gnome-keyring in it, and a second process inside that session: a process
//! cannot change its own environment while it runs. Nothing of the person's own session is touched, and everything
//! that was started is ended when the value is dropped.

#![allow(dead_code, reason = "each test uses a part")]

use std::io::{BufRead as _, BufReader, Write as _};
use std::path::Path;
use std::process::{Child, Command, Stdio};

use tempfile::TempDir;

/// The password of the keyring.
pub const KEYRING_PASSWORD: &str = "keyring-password";

/// What the bus lets its clients do.
#[derive(Clone, Copy, PartialEq, Eq)]
pub enum Policy {
    /// Everything.
    Open,
    /// Not to speak to the keyring, as a sandbox would have it.
    KeyringDenied,
}

/// A bus, with or without a keyring on it.
pub struct Session {
    home: TempDir,
    bus: Child,
    address: String,
    keyring: Option<Child>,
}

impl Session {
    /// A bus with an unlocked keyring.
    pub fn with_keyring(policy: Policy) -> Self {
        let mut session = Self::without_keyring(policy);
        let mut keyring = session
            .command("gnome-keyring-daemon")
            .args(["--foreground", "--unlock", "--components=secrets"])
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(Stdio::null())
            .spawn()
            .expect("gnome-keyring-daemon (package gnome-keyring)");
        let mut stdin = keyring.stdin.take().expect("stdin");
        stdin.write_all(KEYRING_PASSWORD.as_bytes()).expect("password");
        drop(stdin);
        session.keyring = Some(keyring);
        // It is ready when it has its name on the bus.
        let ready = session
            .command("gdbus")
            .args(["wait", "--session", "--timeout", "20", "org.freedesktop.secrets"])
            .status()
            .expect("gdbus (package libglib2.0-bin)");
        assert!(ready.success(), "gnome-keyring did not come up");
        session
    }

    /// A bus that nobody is on, and that starts nobody.
    pub fn without_keyring(policy: Policy) -> Self {
        let home = tempfile::tempdir().expect("home");
        for folder in ["run", "data", "config", "vault"] {
            std::fs::create_dir(home.path().join(folder)).expect("folder");
        }
        #[cfg(unix)]
        {
            use std::os::unix::fs::PermissionsExt as _;
            let mode = std::fs::Permissions::from_mode(0o700);
            std::fs::set_permissions(home.path().join("run"), mode).expect("mode");
        }
        let denied = match policy {
            Policy::Open => "",
            Policy::KeyringDenied => r#"<deny send_destination="org.freedesktop.secrets"/>"#,
        };
        let config = format!(
            r#"<!DOCTYPE busconfig PUBLIC "-//freedesktop//DTD D-Bus Bus Configuration 1.0//EN"
  "http://www.freedesktop.org/standards/dbus/1.0/busconfig.dtd">
<busconfig><type>session</type><listen>unix:tmpdir={}</listen><auth>EXTERNAL</auth>
<policy context="default"><allow send_destination="*" eavesdrop="true"/><allow eavesdrop="true"/><allow own="*"/>{denied}</policy>
</busconfig>"#,
            home.path().join("run").display()
        );
        let file = home.path().join("bus.conf");
        std::fs::write(&file, config).expect("written");
        let mut bus = Command::new("dbus-daemon")
            .arg(format!("--config-file={}", file.display()))
            .args(["--nofork", "--print-address=1"])
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .spawn()
            .expect("dbus-daemon (package dbus-daemon)");
        let mut address = String::new();
        let stdout = bus.stdout.take().expect("stdout");
        BufReader::new(stdout).read_line(&mut address).expect("address");
        Self { home, bus, address: address.trim().to_owned(), keyring: None }
    }

    /// Runs the test `case` of this file in a process inside the session. Returns what it printed.
    pub fn run(&self, case: &str) -> String {
        let exe = std::env::current_exe().expect("this test");
        let mut command = self.command(exe.to_str().expect("path"));
        command.args([case, "--exact", "--ignored", "--nocapture", "--test-threads=1"]);
        command.env("PRIVATE_SESSION_FOLDER", self.folder());
        if let Some(keyring) = &self.keyring {
            command.env("PRIVATE_SESSION_KEYRING", keyring.id().to_string());
        }
        let output = command.output().expect("run");
        let text =
            format!("{}{}", String::from_utf8_lossy(&output.stdout), String::from_utf8_lossy(&output.stderr));
        assert!(output.status.success() && text.contains("1 passed"), "{case} failed:\n{text}");
        text
    }

    /// Ends the keyring; the bus stays.
    pub fn end_keyring(&mut self) {
        if let Some(mut keyring) = self.keyring.take() {
            signal("CONT", keyring.id());
            let _ = keyring.kill();
            let _ = keyring.wait();
        }
    }

    /// Locks the keyring, as a screen saver may.
    pub fn lock_keyring(&self) {
        use zbus::zvariant::ObjectPath;
        let all = vec![ObjectPath::try_from(COLLECTION).expect("path")];
        let service = Some("org.freedesktop.Secret.Service");
        self.bus().call_method(Some(NAME), PATH, service, "Lock", &(all,)).expect("locked");
    }

    /// Unlocks it from outside, as logging in does.
    pub fn unlock_keyring(&self) {
        unlock(&self.bus());
    }

    fn bus(&self) -> zbus::blocking::Connection {
        let builder = zbus::blocking::connection::Builder::address(self.address.as_str()).expect("address");
        builder.build().expect("bus")
    }

    /// A data folder for the case.
    pub fn folder(&self) -> std::path::PathBuf {
        self.home.path().join("vault")
    }

    /// A command whose session is this one, without a display.
    pub fn command(&self, program: &str) -> Command {
        let mut command = Command::new(program);
        self.enter(&mut command);
        command.env_remove("DISPLAY").env_remove("WAYLAND_DISPLAY");
        command
    }

    /// Puts a command into this session.
    pub fn enter(&self, command: &mut Command) {
        command
            .env("DBUS_SESSION_BUS_ADDRESS", &self.address)
            .env("HOME", self.home.path())
            .env("XDG_RUNTIME_DIR", self.home.path().join("run"))
            .env("XDG_DATA_HOME", self.home.path().join("data"))
            .env("XDG_CONFIG_HOME", self.home.path().join("config"))
            .env_remove("GNOME_KEYRING_CONTROL")
            .env_remove("HELIOGRAPH_KEYRING");
    }
}

impl Drop for Session {
    fn drop(&mut self) {
        self.end_keyring();
        let _ = self.bus.kill();
        let _ = self.bus.wait();
    }
}

/// Sends a signal to a process that was started here.
pub fn signal(name: &str, process: u32) {
    let _ = Command::new("kill").args([&format!("-{name}"), &process.to_string()]).status();
}

/// Inside the session: the data folder of the case.
pub fn inner_folder() -> std::path::PathBuf {
    std::env::var_os("PRIVATE_SESSION_FOLDER").expect("inside a private session").into()
}

/// Inside the session: the process of the keyring.
pub fn inner_keyring() -> u32 {
    std::env::var("PRIVATE_SESSION_KEYRING").expect("a keyring").parse().expect("a number")
}

const NAME: &str = "org.freedesktop.secrets";
const PATH: &str = "/org/freedesktop/secrets";
const COLLECTION: &str = "/org/freedesktop/secrets/collection/login";

/// Inside the session: unlocks the keyring, as logging in does.
pub fn unlock_keyring() {
    unlock(&zbus::blocking::Connection::session().expect("bus"));
}

fn unlock(bus: &zbus::blocking::Connection) {
    use zbus::zvariant::{ObjectPath, OwnedObjectPath, OwnedValue, Value};
    let open = (("plain"), Value::from(""));
    let reply =
        bus.call_method(Some(NAME), PATH, Some("org.freedesktop.Secret.Service"), "OpenSession", &open);
    let (_, session): (OwnedValue, OwnedObjectPath) =
        reply.expect("session").body().deserialize().expect("session");
    let collection = ObjectPath::try_from(COLLECTION).expect("path");
    let password = (session, Vec::<u8>::new(), KEYRING_PASSWORD.as_bytes(), "text/plain");
    bus.call_method(
        Some(NAME),
        PATH,
        Some("org.gnome.keyring.InternalUnsupportedGuiltRiddenInterface"),
        "UnlockWithMasterPassword",
        &(collection, password),
    )
    .expect("unlocked");
}

/// Whether a file contains these bytes.
pub fn contains(path: &Path, bytes: &[u8]) -> bool {
    std::fs::read(path).is_ok_and(|file| file.windows(bytes.len()).any(|part| part == bytes))
}
