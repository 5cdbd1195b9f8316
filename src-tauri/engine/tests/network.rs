//! The network goes away and comes back, for real: a broker behind a cable of its own (two network namespaces and
//! the virtual cable between them), which is pulled at the broker's end, where nobody here is told, and at ours.
//! Skipped, and said so, where namespaces cannot be made.

#[path = "../../../tests/brokers/mod.rs"]
mod brokers;
#[path = "../../../tests/faults/mod.rs"]
mod faults;
#[path = "session/fixtures.rs"]
mod fixtures;

use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::time::Duration;

use fixtures::{Client, VERSIONS, config_at, endpoint, subscription};
use heliograph_engine::failure::{Failure, FailureCode};
use heliograph_engine::profile::{MqttVersion, Qos};
use heliograph_engine::session::{Phase, SessionConfig};
use tokio::net::TcpStream;

const OURS: &str = "10.77.0.1";
const BROKER: &str = "10.77.0.2";

/// A broker in a network of its own, at the other end of the cable `near` to `far`.
struct Far {
    broker: Child,
    _folder: tempfile::TempDir,
}

impl Far {
    async fn start() -> Self {
        let folder = tempfile::tempdir().expect("folder");
        let config = folder.path().join("mosquitto.conf");
        std::fs::write(&config, format!("user root\nlistener 1883 {BROKER}\nallow_anonymous true\n"))
            .expect("written");
        // The broker is that process itself in the end, so that its id names the network.
        let script = "until ip link show far >/dev/null 2>&1; do sleep 0.05; done
            ip addr add $BROKER/24 dev far && ip link set lo up && ip link set far up && exec mosquitto -c \"$CONFIG\"";
        let broker = Command::new("unshare")
            .args(["--net", "sh", "-c", script])
            .env("BROKER", BROKER)
            .env("CONFIG", &config)
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .spawn()
            .expect("unshare");
        let far = Self { broker, _folder: folder };
        far.wait_for_its_network();
        let id = far.broker.id().to_string();
        run("ip", &["link", "add", "near", "type", "veth", "peer", "name", "far", "netns", &id]);
        run("ip", &["addr", "add", &format!("{OURS}/24"), "dev", "near"]);
        run("ip", &["link", "set", "near", "up"]);
        let listening = async {
            while TcpStream::connect((BROKER, 1883)).await.is_err() {
                tokio::time::sleep(Duration::from_millis(20)).await;
            }
        };
        tokio::time::timeout(fixtures::BOUND, listening).await.expect("a broker at the other end");
        far
    }

    /// Until `unshare` has done its work, the process is still in our network.
    fn wait_for_its_network(&self) {
        let network = |id: &str| std::fs::read_link(Path::new("/proc").join(id).join("ns/net")).ok();
        let id = self.broker.id().to_string();
        while network(&id).is_none_or(|its| Some(its) == network("self")) {
            std::thread::sleep(Duration::from_millis(5));
        }
    }

    /// Runs a command in the broker's network.
    fn run(&self, words: &[&str]) {
        let id = self.broker.id().to_string();
        run("nsenter", &[&["-t", &id, "-n"], words].concat());
    }

    fn publish(&self, payload: &str) {
        self.run(&["mosquitto_pub", "-h", BROKER, "-t", "news", "-q", "1", "-m", payload]);
    }
}

impl Drop for Far {
    fn drop(&mut self) {
        let _ = self.broker.kill();
        let _ = self.broker.wait();
        let _ = Command::new("ip").args(["link", "del", "near"]).stderr(Stdio::null()).status();
    }
}

fn run(program: &str, words: &[&str]) {
    let status = Command::new(program).args(words).status().expect("a program");
    assert!(status.success(), "{program} {words:?}");
}

fn config(version: MqttVersion) -> SessionConfig {
    let mut config = config_at(1883, version);
    config.profile.endpoint = endpoint(&format!("mqtt://{BROKER}"));
    let settings = &mut config.profile.settings;
    settings.session.keep_alive_s = 1;
    settings.subscriptions = vec![subscription("news", Qos::AtLeastOnce)];
    settings.timing.connect_timeout_s = 1;
    settings.timing.reconnect_initial_s = 1;
    settings.timing.reconnect_max_s = 1;
    config
}

/// The failure that the next wait is for.
async fn failure(client: &mut Client) -> Failure {
    loop {
        if let Phase::Waiting { failure, .. } = client.phase().await {
            return failure;
        }
    }
}

#[test]
fn networks_come_and_go() {
    faults::run_in_namespace("inside_a_network_of_its_own");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
#[ignore = "networks_come_and_go runs it in a network of its own"]
async fn inside_a_network_of_its_own() {
    if !faults::inside_namespace() {
        return;
    }
    let far = Far::start().await;
    for version in VERSIONS {
        let mut client = Client::connected(config(version)).await;
        client.granted("news").await;
        far.publish("before");
        assert_eq!(client.message().await.payload, "before");

        // At the broker's end: packets go nowhere, and nobody says so.
        far.run(&["ip", "link", "set", "far", "down"]);
        let lost = failure(&mut client).await;
        assert_eq!(lost.code, FailureCode::KeepAliveTimeout, "{lost:?}");
        assert!(lost.message.contains(BROKER) && lost.retryable, "{lost:?}");
        // Silence at first; once nobody tells the broker's hardware address either, the host is unreachable.
        let silent = failure(&mut client).await;
        let named = matches!(silent.code, FailureCode::ConnectTimeout | FailureCode::HostUnreachable);
        assert!(named, "{silent:?}");
        far.run(&["ip", "link", "set", "far", "up"]);
        back(&far, &mut client, "after the silence").await;

        // At ours: the way to the broker is gone, and the operating system knows.
        run("ip", &["link", "set", "near", "down"]);
        let lost = failure(&mut client).await;
        assert_eq!(lost.code, FailureCode::KeepAliveTimeout, "{lost:?}");
        let unreachable = failure(&mut client).await;
        assert_eq!(unreachable.code, FailureCode::NetworkUnreachable, "{unreachable:?}");
        assert_eq!(unreachable.evidence["errno"], 101, "{unreachable:?}");
        run("ip", &["link", "set", "near", "up"]);
        back(&far, &mut client, "after the cable").await;
        client.handle.disconnect(0).await;
    }
}

/// Connected again, and subscribed again: a message comes.
async fn back(far: &Far, client: &mut Client, payload: &str) {
    client.seen.clear();
    while !matches!(client.phase().await, Phase::Connected { .. }) {}
    client.granted("news").await;
    far.publish(payload);
    assert_eq!(client.message().await.payload, payload);
}
