//! How fast messages come in from a server that is no limit: the MQTT library alone, the session with its counts, and
//! the engine with its messages on disk.

use std::collections::VecDeque;
use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use heliograph_engine::Engine;
use heliograph_engine::counts::Counts;
use heliograph_engine::endpoint::{Endpoint, Scheme};
use heliograph_engine::message::{Item, MessageSink};
use heliograph_engine::profile::{MqttVersion, Profile, ProfileId, Qos, Settings, Subscription, TrustMode};
use heliograph_engine::secret::Secrets;
use heliograph_engine::session::{self, SessionConfig, SessionEvent};
use tokio::sync::Notify;

use crate::flood::{Flood, ServerTls};
use crate::machine::{FloodProcess, Rate, Stopwatch, print};
use crate::peers;

pub const VERSIONS: [(MqttVersion, &str); 2] = [(MqttVersion::V5, "5"), (MqttVersion::V311, "3.1.1")];

/// Where a client finds a server, and who it is.
#[derive(Clone)]
pub struct Reach {
    pub url: String,
    /// CA, certificate and key.
    pub tls: Option<[String; 3]>,
}

impl Reach {
    pub fn plain(port: u16) -> Self {
        Self { url: format!("mqtt://127.0.0.1:{port}"), tls: None }
    }

    pub fn settings(&self, version: MqttVersion, qos: u8) -> Settings {
        let mut settings = Settings::default();
        settings.session.version = version;
        let qos = Qos::try_from(qos).expect("a QoS");
        let all = Subscription { filter: "#".into(), enabled: true, qos, ..Subscription::default() };
        settings.subscriptions = vec![all];
        if let Some([ca, cert, key]) = &self.tls {
            settings.trust.mode = TrustMode::SystemAndCa;
            settings.trust.ca_files = vec![ca.clone()];
            settings.client_certificate.enabled = true;
            settings.client_certificate.cert_file.clone_from(cert);
            settings.client_certificate.key_file.clone_from(key);
        }
        settings
    }

    pub fn endpoint(&self) -> Endpoint {
        Endpoint::parse_url(&self.url, Scheme::Mqtt).expect("a URL").endpoint
    }
}

/// The plain flood, QoS 0, 1 and 2, MQTT 5 and 3.1.1.
pub async fn flood(messages: u64) {
    for qos in 0..=2 {
        // An acknowledged message costs the flood and the client much more.
        let messages = if qos == 0 { messages } else { messages / 4 };
        for (version, name) in VERSIONS {
            println!(" QoS {qos}, MQTT {name}, {messages} messages of 64 bytes");
            let server = FloodProcess::start(Flood::of(messages, qos), None);
            let bare = peers::library(version, server.port, qos, messages).await;
            print("the library alone", bare, None);
            let before = server.cpu();
            let alone = counted(&Reach::plain(server.port), version, qos, messages).await;
            print("session and counts, nothing stored", alone, Some(("the library", bare)));
            let used = (server.cpu() - before).as_secs_f64() / alone.cpu.as_secs_f64();
            println!("    the server used {:.0} % of the processor time that the client used", used * 100.0);
            let stored = stored(&[Reach::plain(server.port)], version, qos, messages).await;
            print("engine, stored on disk", stored, Some(("the library", bare)));
        }
    }
}

/// A session whose messages are counted as the engine counts them, and kept by nobody.
pub async fn counted(reach: &Reach, version: MqttVersion, qos: u8, messages: u64) -> Rate {
    let sink = Arc::new(Forgetful { expected: messages, ..Forgetful::default() });
    let counts = Arc::<Counts>::default();
    counts.follow(vec!["#".into()]);
    let profile = Profile {
        id: ProfileId::random(),
        name: "bench".into(),
        endpoint: reach.endpoint(),
        settings: reach.settings(version, qos),
    };
    let config = SessionConfig { profile, secrets: Secrets::default(), keep_trying: false };
    let watch = Stopwatch::start();
    let early = sink.clone();
    let events = Arc::new(move |event| {
        if let SessionEvent::Ended = event {
            early.complete.notify_one();
        }
    });
    let handle = session::spawn(config, counts.sink(sink.clone()), events);
    sink.complete.notified().await;
    let rate = watch.stop(messages);
    assert_eq!(sink.taken.load(Ordering::Relaxed), messages, "as many as were sent");
    handle.disconnect(0).await;
    rate
}

/// The engine with a folder of its own, until every message of every connection is on disk and can be paged.
pub async fn stored(reaches: &[Reach], version: MqttVersion, qos: u8, messages: u64) -> Rate {
    stored_beside(reaches, version, qos, messages, std::future::ready(())).await.0
}

/// As [`stored`], while something else starts the flood; the time counts from there.
pub async fn stored_beside<T>(
    reaches: &[Reach],
    version: MqttVersion,
    qos: u8,
    messages: u64,
    flood: impl Future<Output = T>,
) -> (Rate, T) {
    let folder = tempfile::tempdir().expect("a folder");
    let keyring = heliograph_engine::vault::Keyring::none();
    let engine = Engine::open_with(folder.path(), keyring).expect("an engine");
    let mut ids = Vec::new();
    for reach in reaches {
        let mut draft = engine.new_draft();
        draft.endpoint = reach.endpoint().into();
        draft.settings = reach.settings(version, qos);
        ids.push(engine.save_profile(draft, None, Vec::new()).await.expect("saved").id);
    }
    for id in &ids {
        engine.connect(*id).await.expect("connecting");
    }
    let watch = Stopwatch::start();
    let flooding = flood.await;
    for id in &ids {
        loop {
            let status = engine.connections().into_iter().find(|status| status.id == *id).expect("known");
            assert_eq!(status.counters.dropped, 0, "nothing is lost");
            // Rows are messages and, at the least, the one that says connected.
            if status.counters.stored > messages {
                assert_eq!(status.counters.received, messages, "as many as were sent");
                break;
            }
            engine.events().await;
        }
    }
    let rate = watch.stop(messages * ids.len() as u64);
    engine.close().await;
    (rate, flooding)
}

/// Forgets what it takes, and tells when that is everything.
#[derive(Default)]
struct Forgetful {
    expected: u64,
    taken: AtomicU64,
    complete: Notify,
}

impl MessageSink for Forgetful {
    fn try_accept(&self, item: Item) -> Result<(), Item> {
        self.accept_batch(&mut VecDeque::from([item]));
        Ok(())
    }

    fn accept_batch(&self, items: &mut VecDeque<Item>) {
        let messages = items.drain(..).filter(|item| matches!(item, Item::Message(_))).count() as u64;
        if self.taken.fetch_add(messages, Ordering::Relaxed) + messages == self.expected {
            self.complete.notify_one();
        }
    }

    fn room(&self) -> Pin<Box<dyn Future<Output = ()> + Send + '_>> {
        Box::pin(std::future::ready(()))
    }

    fn dropped(&self, _: Item) {}
}

/// The same over `wss` with a client certificate.
pub async fn wss(messages: u64, tls: &ServerTls, client: [String; 3]) {
    println!(" QoS 0, MQTT 5, {messages} messages of 64 bytes");
    let plain_server = FloodProcess::start(Flood::of(messages, 0), None);
    let wss_server = FloodProcess::start(Flood::of(messages, 0), Some(tls));
    let wss = Reach { url: format!("wss://localhost:{}/mqtt", wss_server.port), tls: Some(client) };
    let plain = Reach::plain(plain_server.port);
    let alone = counted(&plain, MqttVersion::V5, 0, messages).await;
    print("plain, nothing stored", alone, None);
    print("wss, nothing stored", counted(&wss, MqttVersion::V5, 0, messages).await, Some(("plain", alone)));
    let kept = stored(&[plain], MqttVersion::V5, 0, messages).await;
    print("plain, stored on disk", kept, None);
    print("wss, stored on disk", stored(&[wss], MqttVersion::V5, 0, messages).await, Some(("plain", kept)));
}

/// Sixteen connections at once, beside one.
pub async fn many(messages: u64) {
    const CONNECTIONS: u64 = 16;
    println!(" QoS 0, MQTT 5, {messages} messages of 64 bytes in all, stored on disk");
    let one = FloodProcess::start(Flood::of(messages, 0), None);
    let all = FloodProcess::start(Flood::of(messages / CONNECTIONS, 0), None);
    let alone = stored(&[Reach::plain(one.port)], MqttVersion::V5, 0, messages).await;
    print("one connection", alone, None);
    let reaches: Vec<_> = (0..CONNECTIONS).map(|_| Reach::plain(all.port)).collect();
    let together = stored(&reaches, MqttVersion::V5, 0, messages / CONNECTIONS).await;
    print("16 connections, together", together, Some(("one", alone)));
}
