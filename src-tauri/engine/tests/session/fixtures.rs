//! A client that tells all it sees, a sink, and servers: a real mosquitto, one that plays a script, a relay.

#![allow(dead_code, reason = "no test uses all of it")]

use std::collections::VecDeque;
use std::io::Write as _;
use std::net::SocketAddr;
use std::path::PathBuf;
use std::pin::Pin;
use std::process::{Child, Command, Stdio};
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use bytes::Bytes;
use heliograph_engine::endpoint::{Endpoint, Scheme};
use heliograph_engine::message::{Direction, EventKind, Item, Message, MessageSink};
use heliograph_engine::profile::{
    MqttVersion, Profile, ProfileId, Qos, Settings, Subscription, UserProperty,
};
use heliograph_engine::secret::Secrets;
use heliograph_engine::session::{
    self, Phase, Publication, SessionConfig, SessionEvent, SessionHandle, SubscriptionState,
};
use heliograph_engine::trace::{Connack, StageDetail, Trace};
use tempfile::TempDir;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::{Notify, mpsc};
use tokio::time::timeout;

pub const VERSIONS: [MqttVersion; 2] = [MqttVersion::V5, MqttVersion::V311];
pub const BOUND: Duration = Duration::from_secs(20);

/// A client and all that it tells.
pub struct Client {
    pub handle: SessionHandle,
    pub sink: Arc<Collector>,
    pub events: mpsc::UnboundedReceiver<SessionEvent>,
    pub phases: VecDeque<Phase>,
    pub seen: Vec<SessionEvent>,
    messages_read: usize,
}

impl Client {
    pub fn start(config: SessionConfig) -> Self {
        Self::start_with(config, Collector::with_room(usize::MAX / 2))
    }

    pub fn start_with(config: SessionConfig, sink: Arc<Collector>) -> Self {
        let (tell, events) = mpsc::unbounded_channel();
        let tell = Arc::new(move |event| {
            let _ = tell.send(event);
        });
        let handle = session::spawn(config, sink.clone(), tell);
        Self { handle, sink, events, phases: VecDeque::new(), seen: Vec::new(), messages_read: 0 }
    }

    pub async fn connected(config: SessionConfig) -> Self {
        let mut client = Self::start(config);
        loop {
            match client.phase().await {
                Phase::Connecting { .. } => {}
                Phase::Connected { .. } => return client,
                other => unreachable!("not connected: {other:?}"),
            }
        }
    }

    /// The next event, remembered.
    pub async fn event(&mut self) -> Option<SessionEvent> {
        let event = timeout(BOUND, self.events.recv()).await.expect("an event in time")?;
        self.seen.push(event.clone());
        Some(event)
    }

    pub async fn phase(&mut self) -> Phase {
        if let Some(phase) = self.phases.pop_front() {
            return phase;
        }
        loop {
            if let SessionEvent::Phase(phase) = self.event().await.expect("a phase") {
                return phase;
            }
        }
    }

    pub async fn waiting(&mut self) {
        loop {
            match self.phase().await {
                Phase::Waiting { .. } => return,
                other => assert!(matches!(other, Phase::Connecting { .. }), "{other:?}"),
            }
        }
    }

    pub async fn last_phase(&mut self) -> Phase {
        let mut last = self.phases.pop_back();
        while let Some(event) = self.event().await {
            match event {
                SessionEvent::Phase(phase) => last = Some(phase),
                SessionEvent::Ended => break,
                _ => {}
            }
        }
        last.expect("a phase")
    }

    pub async fn round_trip(&mut self) {
        while !matches!(self.event().await.expect("a round trip"), SessionEvent::RoundTrip { .. }) {}
    }

    /// Waits until a subscription is granted; phases that pass meanwhile are kept.
    pub async fn granted(&mut self, filter: &str) {
        let granted = |event: &SessionEvent| match event {
            SessionEvent::Subscriptions(states) => states
                .iter()
                .any(|(s, state)| s.filter == filter && matches!(state, SubscriptionState::Granted { .. })),
            _ => false,
        };
        let latest = |event: &&SessionEvent| matches!(event, SessionEvent::Subscriptions(_));
        if self.seen.iter().rev().find(latest).is_some_and(granted) {
            return;
        }
        loop {
            let event = self.event().await.expect("subscriptions");
            if let SessionEvent::Phase(phase) = &event {
                self.phases.push_back(phase.clone());
            }
            if granted(&event) {
                return;
            }
        }
    }

    /// The next message that came in.
    pub async fn message(&mut self) -> Message {
        let wanted = self.messages_read;
        self.messages_read += 1;
        timeout(BOUND, async {
            loop {
                let changed = self.sink.changed.notified();
                if let Some(message) = self.sink.messages(Direction::In).into_iter().nth(wanted) {
                    return message;
                }
                changed.await;
            }
        })
        .await
        .expect("a message in time")
    }

    pub fn trace(&self) -> Trace {
        let traces = self.seen.iter().rev().find_map(|event| match event {
            SessionEvent::Trace(trace) => Some(trace.clone()),
            _ => None,
        });
        traces.expect("a trace")
    }
}

/// A sink that keeps everything it has room for.
pub struct Collector {
    items: Mutex<Vec<Item>>,
    room: AtomicUsize,
    keeps: bool,
    pub count: AtomicUsize,
    pub dropped: AtomicUsize,
    changed: Notify,
    freed: Notify,
}

impl Collector {
    pub fn with_room(room: usize) -> Arc<Self> {
        Arc::new(Self {
            items: Mutex::default(),
            room: AtomicUsize::new(room),
            keeps: true,
            count: AtomicUsize::new(0),
            dropped: AtomicUsize::new(0),
            changed: Notify::new(),
            freed: Notify::new(),
        })
    }

    /// Counts and forgets.
    pub fn counting() -> Arc<Self> {
        let mut sink = Self::with_room(usize::MAX);
        Arc::get_mut(&mut sink).expect("alone").keeps = false;
        sink
    }

    pub fn make_room(&self, items: usize) {
        self.room.fetch_add(items, Ordering::SeqCst);
        self.freed.notify_waiters();
    }

    /// Waits until it holds so many items.
    pub async fn holds(&self, wanted: usize) {
        let complete = async {
            loop {
                let changed = self.changed.notified();
                if self.items.lock().expect("no panic").len() >= wanted {
                    return;
                }
                changed.await;
            }
        };
        timeout(BOUND, complete).await.expect("all of them in time");
    }

    pub fn messages(&self, direction: Direction) -> Vec<Message> {
        let items = self.items.lock().expect("no panic");
        let messages = items.iter().filter_map(|item| match item {
            Item::Message(message) if message.direction == direction => Some(message.clone()),
            _ => None,
        });
        messages.collect()
    }

    pub fn kinds(&self) -> Vec<EventKind> {
        let items = self.items.lock().expect("no panic");
        let kinds = items.iter().filter_map(|item| match item {
            Item::Event { kind, .. } => Some(*kind),
            Item::Message(_) => None,
        });
        kinds.collect()
    }
}

impl MessageSink for Collector {
    fn try_accept(&self, item: Item) -> Result<(), Item> {
        let taken = self.room.fetch_update(Ordering::SeqCst, Ordering::SeqCst, |room| room.checked_sub(1));
        if taken.is_err() {
            return Err(item);
        }
        self.count.fetch_add(1, Ordering::Relaxed);
        if self.keeps {
            self.items.lock().expect("no panic").push(item);
            self.changed.notify_waiters();
        }
        Ok(())
    }

    fn room(&self) -> Pin<Box<dyn Future<Output = ()> + Send + '_>> {
        Box::pin(async {
            let freed = self.freed.notified();
            if self.room.load(Ordering::SeqCst) == 0 {
                freed.await;
            }
        })
    }

    fn dropped(&self, _: Item) {
        self.dropped.fetch_add(1, Ordering::Relaxed);
    }
}

/// A real broker on a free port, stopped when dropped.
pub struct Mosquitto {
    child: Option<Child>,
    pub port: u16,
    config: PathBuf,
    _dir: TempDir,
}

impl Mosquitto {
    pub async fn start(extra: &str) -> Self {
        let dir = tempfile::tempdir().expect("a folder");
        Self::start_in(dir, &format!("allow_anonymous true\n{extra}")).await
    }

    pub async fn with_login(acl: &str, user: &str, password: &[u8]) -> Self {
        use std::os::unix::ffi::OsStrExt as _;
        let dir = tempfile::tempdir().expect("a folder");
        let (passwords, rules) = (dir.path().join("passwords"), dir.path().join("acl"));
        let status = Command::new("mosquitto_passwd")
            .args(["-b", "-c"])
            .arg(&passwords)
            .arg(user)
            .arg(std::ffi::OsStr::from_bytes(password))
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .status();
        assert!(status.expect("mosquitto_passwd").success());
        std::fs::write(&rules, format!("user {user}\n{acl}\n")).expect("written");
        let config = format!(
            "allow_anonymous false\npassword_file {}\nacl_file {}",
            passwords.display(),
            rules.display()
        );
        Self::start_in(dir, &config).await
    }

    pub async fn start_in(dir: TempDir, settings: &str) -> Self {
        let port = free_port();
        let config = dir.path().join("mosquitto.conf");
        let mut file = std::fs::File::create(&config).expect("created");
        writeln!(file, "user root\nlistener {port} 127.0.0.1\n{settings}").expect("written");
        let mut broker = Self { child: None, port, config, _dir: dir };
        broker.restart().await;
        broker
    }

    pub async fn restart(&mut self) {
        let mut command = Command::new("mosquitto");
        command.arg("-c").arg(&self.config).stdout(Stdio::null()).stderr(Stdio::null());
        self.child = Some(command.spawn().expect("mosquitto"));
        listening(self.port).await;
    }

    /// Kills it.
    pub fn stop(&mut self) {
        if let Some(mut child) = self.child.take() {
            child.kill().expect("killed");
            child.wait().expect("ended");
        }
    }

    /// Ends it with SIGTERM, so that it writes its sessions down where it is told to keep them.
    pub fn end_in_order(&mut self) {
        let Some(mut child) = self.child.take() else { return };
        let asked = Command::new("kill").arg("-TERM").arg(child.id().to_string()).status();
        assert!(asked.expect("kill").success());
        child.wait().expect("ended");
    }

    pub fn config(&self, version: MqttVersion, client_id: &str) -> SessionConfig {
        let mut config = config_at(self.port, version);
        config.profile.settings.session.client_id = client_id.into();
        config
    }
}

impl Drop for Mosquitto {
    fn drop(&mut self) {
        self.stop();
    }
}

pub enum Step {
    /// Reads one packet, whose first byte is this.
    Expect(u8),
    Send(Vec<u8>),
    Hang,
    Close,
}

/// A server that plays one script, for one connection.
pub struct Scripted {
    pub address: SocketAddr,
    received: tokio::sync::Mutex<mpsc::UnboundedReceiver<Vec<u8>>>,
}

impl Scripted {
    pub async fn start(script: Vec<Step>) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.expect("a port");
        let address = listener.local_addr().expect("an address");
        let (tell, received) = mpsc::unbounded_channel();
        tokio::spawn(async move {
            let (mut stream, _) = listener.accept().await.expect("a client");
            let mut unread = Vec::new();
            for step in script {
                match step {
                    Step::Expect(first) => {
                        while unread.len() < 2 || unread.len() < 2 + usize::from(unread[1]) {
                            assert!(stream.read_buf(&mut unread).await.expect("bytes") > 0);
                        }
                        let packet: Vec<u8> = unread.drain(..2 + usize::from(unread[1])).collect();
                        assert_eq!(packet[0], first);
                        let _ = tell.send(packet);
                    }
                    Step::Send(bytes) => stream.write_all(&bytes).await.expect("sent"),
                    Step::Hang => std::future::pending().await,
                    Step::Close => return,
                }
            }
            let _ = stream.read_buf(&mut unread).await;
        });
        Self { address, received: tokio::sync::Mutex::new(received) }
    }

    pub async fn received(&self) -> Vec<u8> {
        let mut received = self.received.lock().await;
        timeout(BOUND, received.recv()).await.expect("in time").expect("a packet")
    }

    pub fn config(&self, version: MqttVersion) -> SessionConfig {
        let mut config = config_at(self.address.port(), version);
        config.profile.settings.session.client_id = "scripted".into();
        config
    }
}

/// Passes connections on to a broker, until they are cut.
pub struct Relay {
    pub port: u16,
    cut: Arc<Notify>,
}

impl Relay {
    pub async fn start(broker: u16) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.expect("a port");
        let port = listener.local_addr().expect("an address").port();
        let cut = Arc::new(Notify::new());
        let notice = cut.clone();
        tokio::spawn(async move {
            while let Ok((mut client, _)) = listener.accept().await {
                let notice = notice.clone();
                tokio::spawn(async move {
                    let mut server = TcpStream::connect(("127.0.0.1", broker)).await.expect("the broker");
                    tokio::select! {
                        _ = tokio::io::copy_bidirectional(&mut client, &mut server) => {}
                        () = notice.notified() => {}
                    }
                });
            }
        });
        Self { port, cut }
    }

    pub fn cut(&self) {
        self.cut.notify_waiters();
    }
}

pub fn config_at(port: u16, version: MqttVersion) -> SessionConfig {
    let endpoint = endpoint(&format!("mqtt://127.0.0.1:{port}"));
    let mut settings = Settings::default();
    settings.session.version = version;
    SessionConfig {
        profile: Profile { id: ProfileId::random(), name: "test".into(), endpoint, settings },
        secrets: Secrets::default(),
        keep_trying: false,
    }
}

pub fn endpoint(url: &str) -> Endpoint {
    Endpoint::parse_url(url, Scheme::Mqtt).expect("a URL").endpoint
}

pub async fn listening(port: u16) {
    let connected = async {
        while TcpStream::connect(("127.0.0.1", port)).await.is_err() {
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
    };
    timeout(BOUND, connected).await.expect("a server listens");
}

pub fn free_port() -> u16 {
    std::net::TcpListener::bind("127.0.0.1:0").and_then(|l| l.local_addr()).expect("a port").port()
}

pub fn subscription(filter: &str, qos: Qos) -> Subscription {
    Subscription { filter: filter.into(), enabled: true, qos, ..Subscription::default() }
}

pub fn publication(topic: &str, payload: &str, qos: Qos) -> Publication {
    Publication {
        topic: topic.into(),
        payload: Bytes::copy_from_slice(payload.as_bytes()),
        qos,
        ..Publication::default()
    }
}

pub fn pair(name: &str, value: &str) -> UserProperty {
    UserProperty { name: name.into(), value: value.into() }
}

pub fn mqtt(trace: &Trace) -> (heliograph_engine::trace::MqttDetail, Option<Connack>) {
    let detail = trace.stages.iter().find_map(|report| match &report.detail {
        StageDetail::Mqtt(detail) => Some(detail.clone()),
        _ => None,
    });
    let detail = detail.expect("the MQTT stage");
    (detail.clone(), detail.connack)
}
