//! What is in flight when the network is cut, or the broker restarted: QoS 1 arrives at least once and QoS 2
//! exactly once as long as the broker keeps the session (MQTT 5, 4.1 and 4.4), and nothing is called
//! acknowledged that was not. Against a real mosquitto, through a relay that cuts anywhere within a packet.

#[path = "session/fixtures.rs"]
mod fixtures;

use std::collections::{BTreeMap, BTreeSet};
use std::pin::Pin;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use fixtures::{Mosquitto, VERSIONS, config_at, publication, subscription};
use heliograph_engine::error::ErrorCode;
use heliograph_engine::message::{Direction, Item, MessageSink};
use heliograph_engine::profile::{MqttVersion, Qos};
use heliograph_engine::session::{self, Phase, SessionConfig, SessionEvent, SessionHandle};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::{Notify, Semaphore, watch};
use tokio::time::timeout;

/// For a whole stream with all its cuts.
const BOUND: Duration = Duration::from_secs(120);
/// For messages that are on their way.
const PATIENCE: Duration = Duration::from_secs(20);
/// Publications under way at once.
const WINDOW: usize = 24;
const UNLIMITED: &str = "max_inflight_messages 0\nmax_queued_messages 0";

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn hundreds_of_cuts_cost_no_acknowledged_message_and_double_no_qos_2() {
    let broker = Mosquitto::start(UNLIMITED).await;
    let wanted = wanted_cuts();
    let (mut cuts, mut acknowledged, mut doubled) = (0, 0, 0);
    for (seed, version) in (1..).zip(VERSIONS.into_iter().cycle()) {
        if seed > 4 && cuts >= wanted {
            break;
        }
        let near = Cutter::start(broker.port, seed).await;
        let far = Cutter::start(broker.port, seed + 1000).await;
        let mut reader = lasting(far.port, version, &format!("reader-{seed}"));
        let topic = format!("cut/{seed}");
        reader.profile.settings.subscriptions = vec![subscription(&topic, Qos::ExactlyOnce)];
        let reader = Peer::connected(reader).await;
        reader.granted().await;
        let writer = Peer::connected(lasting(near.port, version, &format!("writer-{seed}"))).await;

        let told = timeout(BOUND, stream(&writer, &topic, 800)).await.expect("all are answered in time");
        near.stop_cutting();
        far.stop_cutting();
        cuts += near.cuts() + far.cuts();
        assert!(told.lost.is_empty(), "seed {seed}: the broker kept the session: {:?}", told.lost);
        reader.holds(&told.acknowledged, &far.sent_wrongly()).await;
        acknowledged += told.acknowledged.len();
        doubled += far.sent_wrongly().len();
        for peer in [writer, reader] {
            peer.leave().await;
        }
    }
    println!(
        "{cuts} cuts: {acknowledged} publications acknowledged, none lost; {doubled} sent anew by the broker after their PUBREL"
    );
    assert!(cuts >= 200, "{cuts} cuts only");
}

/// How often the network is cut at least; `./dev fuzz` cuts thousands of times.
fn wanted_cuts() -> usize {
    std::env::var("HELIOGRAPH_CUTS").map_or(200, |cuts| cuts.parse().expect("HELIOGRAPH_CUTS is a number"))
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_broker_that_keeps_its_sessions_over_restarts_loses_nothing() {
    let dir = tempfile::tempdir().expect("a folder");
    let settings = format!(
        "allow_anonymous true\npersistence true\npersistence_location {}/\n{UNLIMITED}",
        dir.path().display()
    );
    for version in VERSIONS {
        let mut broker = Mosquitto::start_in(tempfile::tempdir().expect("a folder"), &settings).await;
        let [mut reader, mut writer] = ["reader", "writer"].map(|id| lasting(broker.port, version, id));
        for config in [&mut reader, &mut writer] {
            // This mosquitto does not write down the session of a client that last connected with Clean Start.
            config.profile.settings.session.clean_start = false;
        }
        reader.profile.settings.subscriptions = vec![subscription("kept", Qos::ExactlyOnce)];
        let reader = Peer::connected(reader).await;
        reader.granted().await;
        let writer = Arc::new(Peer::connected(writer).await);
        let streaming = tokio::spawn({
            let writer = writer.clone();
            async move { stream(&writer, "kept", 3_000).await }
        });
        for part in 1..=4 {
            reader.received(part * 400).await;
            broker.end_in_order();
            broker.restart().await;
        }
        let told = timeout(BOUND, streaming).await.expect("in time").expect("no panic");
        assert!(told.lost.is_empty(), "{:?}", told.lost);
        // No more than that: after a restart this mosquitto sends PUBLISH again where it had sent PUBREL.
        reader.holds_at_least(&told.acknowledged).await;
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_broker_that_is_killed_leaves_no_publication_without_an_answer() {
    for version in VERSIONS {
        let mut broker = Mosquitto::start(UNLIMITED).await;
        let writer = Arc::new(Peer::connected(lasting(broker.port, version, "writer")).await);
        let mut reader = lasting(broker.port, version, "reader");
        reader.profile.settings.subscriptions = vec![subscription("gone", Qos::ExactlyOnce)];
        let reader = Peer::connected(reader).await;
        reader.granted().await;
        let streaming = tokio::spawn({
            let writer = writer.clone();
            async move { stream(&writer, "gone", 2_000).await }
        });
        for part in 1..=3 {
            reader.received(part * 300).await;
            broker.stop();
            broker.restart().await;
        }
        let told = timeout(BOUND, streaming).await.expect("in time").expect("no panic");
        // Its sessions die with it: what was in flight is said to be lost, and both go on.
        assert_eq!(told.acknowledged.len() + told.lost.len(), 2_000);
        assert!(told.lost.len() <= 3 * WINDOW, "{} lost", told.lost.len());
        reader.granted().await;
        let last = writer.handle.publish(publication("gone", "1000000", Qos::ExactlyOnce));
        assert_eq!(timeout(BOUND, last).await.expect("in time").expect("connected").code, Some(0));
        reader.holds_at_least(&BTreeMap::from([(1_000_000, Qos::ExactlyOnce)])).await;
    }
}

/// What became of a stream of publications, by number.
#[derive(Default)]
struct Told {
    acknowledged: BTreeMap<u32, Qos>,
    lost: Vec<u32>,
}

/// Publishes numbers, QoS 1 and 2 in turn, and never gives up for want of a connection.
async fn stream(peer: &Peer, topic: &str, count: u32) -> Told {
    let told = Arc::new(Mutex::new(Told::default()));
    let window = Arc::new(Semaphore::new(WINDOW));
    for number in 0..count {
        let permit = window.clone().acquire_owned().await.expect("open");
        let qos = if number % 2 == 0 { Qos::AtLeastOnce } else { Qos::ExactlyOnce };
        let (handle, mut online, told) = (peer.handle.clone(), peer.online.clone(), told.clone());
        let topic = topic.to_owned();
        tokio::spawn(async move {
            let _permit = permit;
            loop {
                match handle.publish(publication(&topic, &number.to_string(), qos)).await {
                    Ok(outcome) => {
                        assert!(outcome.code.is_some_and(|code| code < 0x80), "{outcome:?}");
                        told.lock().expect("no panic").acknowledged.insert(number, qos);
                        return;
                    }
                    // Nothing was sent.
                    Err(error) if error.code == ErrorCode::NotConnected => {
                        online.wait_for(|online| *online).await.expect("the session goes on");
                        tokio::task::yield_now().await;
                    }
                    Err(error) => {
                        assert_eq!(error.code, ErrorCode::ConnectionLost, "{error}");
                        told.lock().expect("no panic").lost.push(number);
                        return;
                    }
                }
            }
        });
    }
    let _all = window.acquire_many(WINDOW as u32).await.expect("open");
    std::mem::take(&mut *told.lock().expect("no panic"))
}

/// A session that reconnects at once, for ever.
struct Peer {
    handle: SessionHandle,
    online: watch::Receiver<bool>,
    granted: watch::Receiver<bool>,
    tally: Arc<Tally>,
}

impl Peer {
    async fn connected(config: SessionConfig) -> Self {
        let tally = Arc::new(Tally::default());
        let (tell, mut events) = tokio::sync::mpsc::unbounded_channel();
        let tell = Arc::new(move |event| _ = tell.send(event));
        let handle = session::spawn(config, tally.clone(), tell);
        let ((now_online, mut online), (now_granted, granted)) =
            (watch::channel(false), watch::channel(false));
        let follower = handle.clone();
        tokio::spawn(async move {
            while let Some(event) = events.recv().await {
                match event {
                    SessionEvent::Phase(phase) => {
                        now_online.send_replace(matches!(phase, Phase::Connected { .. }));
                        match phase {
                            Phase::Waiting { .. } => follower.retry_now(),
                            Phase::Failed { failure } => unreachable!("the session gave up: {failure:?}"),
                            _ => {}
                        }
                    }
                    SessionEvent::Subscriptions(states) => {
                        let granted = |state: &_| matches!(state, session::SubscriptionState::Granted { .. });
                        now_granted.send_replace(states.iter().all(|(_, state)| granted(state)));
                    }
                    SessionEvent::Ended => return,
                    _ => {}
                }
            }
        });
        timeout(BOUND, online.wait_for(|online| *online)).await.expect("in time").expect("connected");
        Self { handle, online, granted, tally }
    }

    async fn granted(&self) {
        let mut granted = self.granted.clone();
        timeout(BOUND, granted.wait_for(|granted| *granted)).await.expect("in time").expect("granted");
    }

    /// Waits for so many messages.
    async fn received(&self, count: usize) {
        self.tally.until(|numbers| numbers.len() >= count).await;
    }

    /// Waits until all of these have come, and sees that QoS 2 came once, but for what the broker sent anew.
    async fn holds(&self, sent: &BTreeMap<u32, Qos>, sent_wrongly: &BTreeSet<u32>) {
        self.holds_at_least(sent).await;
        for (number, arrivals) in self.tally.numbers.lock().expect("no panic").iter() {
            if number % 2 == 1 && !sent_wrongly.contains(number) {
                assert_eq!(*arrivals, 1, "QoS 2 message {number} came {arrivals} times");
            }
        }
    }

    /// Waits until all of these have come.
    async fn holds_at_least(&self, sent: &BTreeMap<u32, Qos>) {
        let missing = |numbers: &BTreeMap<u32, usize>| -> Vec<_> {
            sent.keys().filter(|number| !numbers.contains_key(number)).copied().collect()
        };
        let all = self.tally.until(|numbers| missing(numbers).is_empty());
        if timeout(PATIENCE, all).await.is_err() {
            let missing = missing(&self.tally.numbers.lock().expect("no panic"));
            unreachable!("acknowledged, but never came: {missing:?}");
        }
    }

    async fn leave(self) {
        timeout(BOUND, self.handle.disconnect(0)).await.expect("in time");
    }
}

/// How often each number came.
#[derive(Default)]
struct Tally {
    numbers: Mutex<BTreeMap<u32, usize>>,
    changed: Notify,
}

impl Tally {
    async fn until(&self, condition: impl Fn(&BTreeMap<u32, usize>) -> bool) {
        let wait = async {
            loop {
                let changed = self.changed.notified();
                tokio::pin!(changed);
                changed.as_mut().enable();
                if condition(&self.numbers.lock().expect("no panic")) {
                    return;
                }
                changed.await;
            }
        };
        timeout(BOUND, wait).await.expect("in time");
    }
}

impl MessageSink for Tally {
    fn try_accept(&self, item: Item) -> Result<(), Item> {
        let Item::Message(message) = item else { return Ok(()) };
        if message.direction == Direction::In {
            let number = std::str::from_utf8(&message.payload).ok().and_then(|text| text.parse().ok());
            *self.numbers.lock().expect("no panic").entry(number.expect("a number")).or_default() += 1;
            self.changed.notify_waiters();
        }
        Ok(())
    }

    fn room(&self) -> Pin<Box<dyn Future<Output = ()> + Send + '_>> {
        Box::pin(std::future::ready(()))
    }

    fn dropped(&self, item: Item) {
        unreachable!("there is always room: {item:?}");
    }
}

/// A configuration whose session outlives its connections.
fn lasting(port: u16, version: MqttVersion, client_id: &str) -> SessionConfig {
    let mut config = config_at(port, version);
    let settings = &mut config.profile.settings;
    settings.session.client_id = client_id.into();
    settings.session.session_expiry_s = Some(3600);
    settings.session.clean_start = version == MqttVersion::V5;
    config
}

/// Passes connections on to a broker and cuts each after some bytes, wherever that is in a packet: half of them
/// in order, half with a reset.
struct Cutter {
    port: u16,
    cuts: Arc<AtomicUsize>,
    spare: Arc<AtomicBool>,
    watched: Arc<Mutex<Watched>>,
}

/// What the broker's side sent, as far as it concerns QoS 2: mosquitto 2.0.11 at times sends a PUBLISH again
/// although it had sent PUBREL for it, when writing that failed (against MQTT-4.3.3-6). No client can tell.
#[derive(Default)]
struct Watched {
    released: BTreeSet<u16>,
    sent_wrongly: BTreeSet<u32>,
}

impl Watched {
    /// Takes whole packets out of what a connection brought.
    fn read(&mut self, unread: &mut Vec<u8>) {
        let id = |bytes: &[u8]| u16::from_be_bytes([bytes[0], bytes[1]]);
        loop {
            let (mut length, mut at) = (0_usize, 1);
            loop {
                let Some(byte) = unread.get(at) else { return };
                length |= usize::from(byte & 0x7f) << (7 * (at - 1));
                at += 1;
                if byte & 0x80 == 0 {
                    break;
                }
            }
            if unread.len() < at + length {
                return;
            }
            let packet: Vec<u8> = unread.drain(..at + length).collect();
            let body = &packet[at..];
            match packet[0] {
                0x62 => _ = self.released.insert(id(body)),
                first if first & 0xf6 == 0x34 => {
                    let (_, rest) = body.split_at(2 + usize::from(id(body)));
                    let (id, rest) = (id(rest), &rest[2..]);
                    let released = self.released.remove(&id);
                    // MQTT 5 puts the length of the properties here, which is no digit; 3.1.1 begins the payload.
                    let payload = if rest[0] < b'0' { &rest[1 + usize::from(rest[0])..] } else { rest };
                    let number = std::str::from_utf8(payload).expect("digits").parse();
                    if released && first & 8 != 0 {
                        self.sent_wrongly.insert(number.expect("a number"));
                    }
                }
                _ => {}
            }
        }
    }
}

impl Cutter {
    async fn start(broker: u16, seed: u64) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.expect("a port");
        let port = listener.local_addr().expect("an address").port();
        let (cuts, spare) = (Arc::new(AtomicUsize::new(0)), Arc::new(AtomicBool::new(false)));
        let watched = Arc::new(Mutex::new(Watched::default()));
        let (counted, spared, watching) = (cuts.clone(), spare.clone(), watched.clone());
        tokio::spawn(async move {
            let mut random = seed.wrapping_mul(0x9e37_79b9_7f4a_7c15) | 1;
            let mut first = true;
            while let Ok((client, _)) = listener.accept().await {
                random ^= random << 13;
                random ^= random >> 7;
                random ^= random << 17;
                // The first connection stands long enough to subscribe.
                let budget = if std::mem::take(&mut first) { 2_000 } else { random % 3_000 };
                let (spared, counted, watching) = (spared.clone(), counted.clone(), watching.clone());
                tokio::spawn(async move {
                    let server = TcpStream::connect(("127.0.0.1", broker)).await.expect("the broker");
                    relay(client, server, budget, random & 1 << 40 == 0, &spared, &watching).await;
                    counted.fetch_add(1, Ordering::Relaxed);
                });
            }
        });
        Self { port, cuts, spare, watched }
    }

    fn stop_cutting(&self) {
        self.spare.store(true, Ordering::Relaxed);
    }

    /// Numbers that the broker sent again after their PUBREL.
    fn sent_wrongly(&self) -> BTreeSet<u32> {
        self.watched.lock().expect("no panic").sent_wrongly.clone()
    }

    fn cuts(&self) -> usize {
        self.cuts.load(Ordering::Relaxed)
    }
}

async fn relay(
    mut client: TcpStream,
    mut server: TcpStream,
    mut budget: u64,
    reset: bool,
    spare: &AtomicBool,
    watched: &Mutex<Watched>,
) {
    let (mut up, mut down) = ([0; 1024], [0; 1024]);
    let mut unread = Vec::new();
    loop {
        let (read, bytes, to) = tokio::select! {
            read = client.read(&mut up) => (read, &up, &mut server),
            read = server.read(&mut down) => {
                if let Ok(read) = read {
                    unread.extend_from_slice(&down[..read]);
                    watched.lock().expect("no panic").read(&mut unread);
                }
                (read, &down, &mut client)
            }
        };
        let Ok(read @ 1..) = read else { break };
        let cutting = !spare.load(Ordering::Relaxed) && read as u64 > budget;
        let passed = if cutting { usize::try_from(budget).unwrap_or(read) } else { read };
        if to.write_all(&bytes[..passed]).await.is_err() || cutting {
            break;
        }
        budget = budget.saturating_sub(read as u64);
    }
    if reset {
        for stream in [&client, &server] {
            let _ = socket2::SockRef::from(stream).set_linger(Some(Duration::ZERO));
        }
    }
}
