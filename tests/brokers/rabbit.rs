//! RabbitMQ with its MQTT and Web-MQTT plug-ins, plain and TLS, as a node of its own that shares nothing with
//! an installed one. Debian 12 has 3.10, which speaks MQTT 3.1.1 and takes QoS 2 as QoS 1.

use std::path::{Path, PathBuf};
use std::process::Command;

use tempfile::TempDir;

use super::Pki;
use super::process::{self, Process, free_port};

/// How to run it.
#[derive(Debug, Clone)]
pub struct RabbitOptions {
    /// TLS listeners refuse clients without a certificate.
    pub fail_if_no_peer_cert: bool,
}

impl Default for RabbitOptions {
    fn default() -> Self {
        Self { fail_if_no_peer_cert: true }
    }
}

/// A running RabbitMQ. Anonymous clients and `guest` with password `guest` may connect.
pub struct Rabbit {
    pub mqtt: u16,
    pub mqtts: u16,
    pub ws: u16,
    pub wss: u16,
    pub process: Process,
    _port_mapper: Process,
    _dir: TempDir,
}

impl Rabbit {
    /// The path of its WebSocket listeners.
    pub const PATH: &str = "/ws";

    /// Starts it and waits until all listeners accept.
    pub fn start(pki: &Pki, options: &RabbitOptions) -> Self {
        process::start(|| Self::attempt(pki, options))
    }

    fn attempt(pki: &Pki, options: &RabbitOptions) -> Result<Self, String> {
        let dir = tempfile::tempdir().expect("directory");
        let [mqtt, mqtts, ws, wss, epmd, distribution] = std::array::from_fn(|_| free_port());

        // Erlang would start a port mapper by itself, which nobody ends.
        let mut mapper = Command::new("epmd");
        mapper.args(["-address", "127.0.0.1", "-port", &epmd.to_string()]);
        let mut port_mapper = Process::spawn("epmd", &mut mapper, dir.path());
        port_mapper.wait_for(&[epmd])?;

        write(dir.path(), "enabled_plugins", "[rabbitmq_mqtt,rabbitmq_web_mqtt].\n");
        write(dir.path(), "environment", "");
        let config = write(dir.path(), "rabbitmq.conf", &config(pki, options, [mqtt, mqtts, ws], dir.path()));
        let advanced = write(dir.path(), "advanced.config", &advanced_config(pki, options, wss));

        let mut command = Command::new("/usr/lib/rabbitmq/bin/rabbitmq-server");
        command
            .current_dir(dir.path())
            .env("HOME", dir.path())
            .env("ERL_EPMD_PORT", epmd.to_string())
            .env("ERL_EPMD_ADDRESS", "127.0.0.1")
            .env("RABBITMQ_NODENAME", format!("heliograph-{distribution}@localhost"))
            .env("RABBITMQ_DIST_PORT", distribution.to_string())
            .env("RABBITMQ_CONFIG_FILE", config)
            .env("RABBITMQ_ADVANCED_CONFIG_FILE", advanced)
            .env("RABBITMQ_CONF_ENV_FILE", dir.path().join("environment"))
            .env("RABBITMQ_ENABLED_PLUGINS_FILE", dir.path().join("enabled_plugins"))
            .env("RABBITMQ_MNESIA_BASE", dir.path().join("mnesia"))
            .env("RABBITMQ_LOG_BASE", dir.path())
            .env("RABBITMQ_PID_FILE", dir.path().join("rabbit.pid"))
            .env("RABBITMQ_FEATURE_FLAGS_FILE", dir.path().join("feature_flags"))
            .env("RABBITMQ_SERVER_ADDITIONAL_ERL_ARGS", "+S 2:2 +sbwt none");
        let mut process =
            Process::spawn("rabbitmq", &mut command, dir.path()).with_log(dir.path().join("rabbit.log"));
        process.wait_for(&[mqtt, mqtts, ws, wss])?;
        process.wait_for_line("Server startup complete")?;
        Ok(Self { mqtt, mqtts, ws, wss, process, _port_mapper: port_mapper, _dir: dir })
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

fn config(pki: &Pki, options: &RabbitOptions, [mqtt, mqtts, ws]: [u16; 3], dir: &Path) -> String {
    let (ca, cert, key) = (pki.ca.display(), pki.server.cert.display(), pki.server.key.display());
    let (fail, path, dir) = (options.fail_if_no_peer_cert, Rabbit::PATH, dir.display());
    format!(
        "listeners.tcp = none\n\
         log.dir = {dir}\n\
         log.file = rabbit.log\n\
         log.file.level = info\n\
         ssl_options.cacertfile = {ca}\n\
         ssl_options.certfile = {cert}\n\
         ssl_options.keyfile = {key}\n\
         ssl_options.verify = verify_peer\n\
         ssl_options.fail_if_no_peer_cert = {fail}\n\
         mqtt.allow_anonymous = true\n\
         mqtt.listeners.tcp.1 = 127.0.0.1:{mqtt}\n\
         mqtt.listeners.ssl.1 = 127.0.0.1:{mqtts}\n\
         web_mqtt.tcp.ip = 127.0.0.1\n\
         web_mqtt.tcp.port = {ws}\n\
         web_mqtt.ws_path = {path}\n"
    )
}

/// What `rabbitmq.conf` has no words for in 3.10: client certificates on wss.
fn advanced_config(pki: &Pki, options: &RabbitOptions, wss: u16) -> String {
    let (ca, cert, key) = (pki.ca.display(), pki.server.cert.display(), pki.server.key.display());
    let fail = options.fail_if_no_peer_cert;
    format!(
        "[{{rabbitmq_web_mqtt, [{{ssl_config, [\n\
         {{ip, \"127.0.0.1\"}}, {{port, {wss}}},\n\
         {{cacertfile, \"{ca}\"}}, {{certfile, \"{cert}\"}}, {{keyfile, \"{key}\"}},\n\
         {{verify, verify_peer}}, {{fail_if_no_peer_cert, {fail}}}\n\
         ]}}]}}].\n"
    )
}

fn write(dir: &Path, name: &str, content: &str) -> PathBuf {
    let path = dir.join(name);
    std::fs::write(&path, content).expect("configuration");
    path
}
