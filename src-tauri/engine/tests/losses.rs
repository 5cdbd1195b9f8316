//! What breaks a connection that stands: told by name, in the stream, in the phase and in the attempt's trace, which
//! outlives the engine; and what repeats itself is recognised. Real servers where they do it, scripted ones where not.

#![allow(clippy::panic, reason = "a wrong answer says so")]

#[path = "../../../tests/brokers/mod.rs"]
mod brokers;

use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use brokers::{Mosquitto, MosquittoOptions, Nginx, NginxOptions, Pki, VerifyClient};
use heliograph_engine::endpoint::{EndpointParts, Scheme, split_url};
use heliograph_engine::engine::{Engine, EngineEvent, PublishRequest};
use heliograph_engine::failure::{Failure, FailureCode, FixAction};
use heliograph_engine::history::{RowContent, RowFilter};
use heliograph_engine::profile::{MqttVersion, PayloadText, Profile, ProfileId, Qos, TrustMode};
use heliograph_engine::session::Phase;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};
use tokio::time::timeout;

const BOUND: Duration = Duration::from_secs(40);

/// An engine, and its phases in order.
struct Bench {
    engine: Engine,
}

impl Bench {
    fn open(data: &Path) -> Self {
        Self { engine: Engine::open(data).expect("an engine") }
    }

    async fn save(
        &self,
        url: &str,
        edit: impl FnOnce(&mut heliograph_engine::profile::ProfileDraft),
    ) -> Profile {
        let mut draft = self.engine.new_draft();
        "Boiler".clone_into(&mut draft.name);
        let parts = split_url(url, Scheme::Mqtt).expect("url").parts;
        draft.endpoint = EndpointParts { ..parts };
        draft.settings.timing.reconnect_initial_s = 1;
        edit(&mut draft);
        self.engine.save_profile(draft, None, Vec::new()).await.expect("saved")
    }

    /// Waits for a phase of a connection that the question finds.
    async fn until<T>(&self, id: ProfileId, what: &str, find: impl Fn(&Phase) -> Option<T>) -> T {
        let mut seen = Vec::new();
        let found = timeout(BOUND, async {
            loop {
                for event in self.engine.events().await {
                    let EngineEvent::Connection(status) = event else { continue };
                    if status.id != id {
                        continue;
                    }
                    if let Some(found) = find(&status.phase) {
                        return found;
                    }
                    seen.push(status.phase);
                }
            }
        });
        found.await.unwrap_or_else(|_| panic!("{what}: never; seen {seen:#?}"))
    }

    async fn contents(&self, id: ProfileId) -> Vec<RowContent> {
        let view = self.engine.open_view(id, RowFilter::default()).await.expect("a view");
        let page = self.engine.page(view.view, 0, 200).await.expect("a page");
        self.engine.close_view(view.view);
        page.rows.into_iter().map(|row| row.content).collect()
    }

    async fn rows(&self, id: ProfileId) -> Vec<String> {
        let events = self.contents(id).await.into_iter().filter_map(|content| match content {
            RowContent::Event { text, .. } => Some(text),
            RowContent::Message { .. } | RowContent::Damaged => None,
        });
        events.collect()
    }

    /// The sizes of the payloads that came.
    async fn payloads(&self, id: ProfileId) -> Vec<u64> {
        let sizes = self.contents(id).await.into_iter().filter_map(|content| match content {
            RowContent::Message { size, .. } => Some(size),
            RowContent::Event { .. } | RowContent::Damaged => None,
        });
        sizes.collect()
    }
}

fn lost(phase: &Phase) -> Option<Failure> {
    match phase {
        Phase::Waiting { failure, .. } | Phase::Failed { failure } => Some(failure.clone()),
        _ => None,
    }
}

fn connected(phase: &Phase) -> Option<()> {
    matches!(phase, Phase::Connected { .. }).then_some(())
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_loss_is_a_row_and_an_entry_that_outlives_the_engine() {
    let (port, _) =
        scripted(vec![0x20, 3, 0, 0, 0], b"\xe0\x0f\x98\x0d\x1f\x00\x0amaintenanc".to_vec()).await;
    let data = tempfile::tempdir().expect("folder");
    let bench = Bench::open(data.path());
    let profile = bench
        .save(&format!("mqtt://127.0.0.1:{port}"), |draft| draft.settings.timing.reconnect = false)
        .await;
    bench.engine.connect(profile.id).await.expect("connecting");
    let failure = bench.until(profile.id, "a loss", lost).await;
    assert_eq!(failure.code, FailureCode::AdministrativeAction);
    assert!(failure.cause.contains("maintenanc"), "{failure:?}");
    let row = async {
        while !bench.rows(profile.id).await.iter().any(|row| row.contains("administrator")) {
            bench.engine.events().await;
        }
    };
    timeout(BOUND, row).await.expect("the loss stands in the stream");
    let before = bench.engine.traces(profile.id).await.expect("traces");
    let end = before[0].end.clone().expect("the end of the connection");
    assert_eq!(end.failure.map(|failure| failure.code), Some(FailureCode::AdministrativeAction));
    assert!(
        before[0].timing.iter().any(|remark| format!("{remark:?}").starts_with("RoundTrip")),
        "{before:?}"
    );
    bench.engine.close().await;
    drop(bench);

    let bench = Bench::open(data.path());
    let kept = bench.engine.traces(profile.id).await.expect("traces");
    assert_eq!(kept, before);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn every_reason_of_a_brokers_disconnect_is_named_and_its_words_are_told() {
    use FailureCode as C;
    let data = tempfile::tempdir().expect("folder");
    let bench = Bench::open(data.path());
    for (reason, code) in [
        (0x81, C::MalformedPacket),
        (0x8b, C::ServerShuttingDown),
        (0x8d, C::KeepAliveTimeout),
        (0x8e, C::SessionTakenOver),
        (0x93, C::ReceiveMaximumExceeded),
        (0x95, C::PacketTooLarge),
        (0x96, C::MessageRateTooHigh),
        (0x97, C::QuotaExceeded),
        (0x98, C::AdministrativeAction),
        (0x9d, C::ServerMoved),
        (0xa0, C::MaximumConnectTime),
    ] {
        // DISCONNECT with a Reason String (MQTT 5, 3.14.2.2.3).
        let disconnect = [&[0xe0, 9, reason, 7, 0x1f, 0, 4][..], b"soon"].concat();
        let (port, _) = scripted(vec![0x20, 3, 0, 0, 0], disconnect).await;
        let profile = bench
            .save(&format!("mqtt://127.0.0.1:{port}"), |draft| draft.settings.timing.reconnect = false)
            .await;
        bench.engine.connect(profile.id).await.expect("connecting");
        let failure = bench.until(profile.id, "a loss", lost).await;
        assert_eq!(failure.code, code, "{reason:#x}: {failure:?}");
        assert!(failure.cause.contains("soon"), "{reason:#x}: {failure:?}");
    }
    bench.engine.close().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_duel_that_the_broker_names_ends_in_its_second_round() {
    let (port, connects) = scripted(vec![0x20, 3, 0, 0, 0], vec![0xe0, 2, 0x8e, 0]).await;
    let data = tempfile::tempdir().expect("folder");
    let bench = Bench::open(data.path());
    let profile = bench
        .save(&format!("mqtt://127.0.0.1:{port}"), |draft| {
            "press-7".clone_into(&mut draft.settings.session.client_id);
        })
        .await;
    bench.engine.connect(profile.id).await.expect("connecting");
    let first = bench.until(profile.id, "the first round", lost).await;
    assert_eq!((first.code, first.retryable), (FailureCode::SessionTakenOver, true));
    let find = |phase: &Phase| match phase {
        Phase::Failed { failure } => Some(failure.clone()),
        _ => None,
    };
    let second = bench.until(profile.id, "the end", find).await;
    assert_eq!(second.code, FailureCode::ClientIdDuel);
    assert!(second.message.contains("press-7"), "{second:?}");
    assert!(
        matches!(&second.fixes[0].action, FixAction::SetClientId { client_id } if client_id.starts_with("press-7-"))
    );
    assert_eq!(*connects.borrow(), 2, "nothing feeds it");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn two_clients_with_one_id_are_found_out_where_the_broker_says_nothing() {
    let dir = tempfile::tempdir().expect("folder");
    let broker = Mosquitto::start(&Pki::make(dir.path()), &MosquittoOptions::default());
    let bench = Bench::open(&dir.path().join("data"));
    let twin = |draft: &mut heliograph_engine::profile::ProfileDraft| {
        draft.settings.session.version = MqttVersion::V311;
        "twin".clone_into(&mut draft.settings.session.client_id);
    };
    let url = format!("mqtt://127.0.0.1:{}", broker.mqtt);
    let [one, other] = [bench.save(&url, twin).await, bench.save(&url, twin).await];
    bench.engine.connect(one.id).await.expect("connecting");
    bench.until(one.id, "the first stands", connected).await;
    bench.engine.connect(other.id).await.expect("connecting");
    let named = timeout(BOUND, async {
        loop {
            for event in bench.engine.events().await {
                if let EngineEvent::Connection(status) = event
                    && let Phase::Waiting { failure, retry_at, .. } = &status.phase
                    && failure.code == FailureCode::ClientIdDuel
                {
                    return (failure.clone(), *retry_at);
                }
            }
        }
    });
    let (failure, retry_at) = named.await.expect("the duel is named");
    assert!(failure.cause.contains("Likeliest another client connects as `twin`"), "{failure:?}");
    let now = std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH).expect("a clock");
    let waits = retry_at - i64::try_from(now.as_micros()).expect("now");
    assert!(waits > 50_000_000, "backoff feeds it no longer: {waits} µs");
    bench.engine.close().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_proxy_that_ends_idle_connections_is_recognised() {
    let dir = tempfile::tempdir().expect("folder");
    let pki = Pki::make(dir.path());
    let broker = Mosquitto::start(&pki, &MosquittoOptions::default());
    let options = NginxOptions {
        verify_client: VerifyClient::Off,
        required_header: None,
        idle: "2s",
        ..NginxOptions::default()
    };
    let proxy = Nginx::start(&pki, broker.ws, &options);
    let bench = Bench::open(&dir.path().join("data"));
    let profile = bench
        .save(&format!("wss://localhost:{}/mqtt", proxy.port), |draft| {
            draft.settings.trust.mode = TrustMode::CaOnly;
            draft.settings.trust.ca_files = vec![pki.ca.display().to_string()];
            draft.settings.timing.reconnect_max_s = 1;
        })
        .await;
    bench.engine.connect(profile.id).await.expect("connecting");
    let find = |phase: &Phase| lost(phase).filter(|failure| failure.code == FailureCode::IdleTimeout);
    let failure = bench.until(profile.id, "the pattern", find).await;
    assert!(failure.message.contains("2 s without traffic"), "{failure:?}");
    assert_eq!(failure.fixes[0].action, FixAction::SetKeepAlive { keep_alive_s: 1 });
    bench.engine.close().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_packet_beyond_the_own_limit_is_named_with_its_size() {
    let dir = tempfile::tempdir().expect("folder");
    let broker = Mosquitto::start(&Pki::make(dir.path()), &MosquittoOptions::default());
    let bench = Bench::open(&dir.path().join("data"));
    let url = format!("mqtt://127.0.0.1:{}", broker.mqtt);
    let profile = bench
        .save(&url, |draft| {
            draft.settings.session.version = MqttVersion::V311;
            draft.settings.session.maximum_packet_size = Some(1_000);
            draft.settings.timing.reconnect = false;
        })
        .await;
    bench.engine.connect(profile.id).await.expect("connecting");
    bench.until(profile.id, "it stands", connected).await;
    let filter = heliograph_engine::profile::Subscription {
        filter: "big".into(),
        enabled: true,
        ..Default::default()
    };
    bench.engine.save_subscription(profile.id, filter).await.expect("subscribed");
    let payload = PayloadText { text: "x".repeat(5_000), ..PayloadText::default() };
    let request =
        PublishRequest { topic: "big".into(), payload, qos: Qos::AtMostOnce, ..PublishRequest::default() };
    bench.engine.publish(profile.id, request).await.expect("published");
    let failure = bench.until(profile.id, "a loss", lost).await;
    assert_eq!(failure.code, FailureCode::PacketTooLarge, "{failure:?}");
    assert!(failure.evidence["size"].as_u64().is_some_and(|size| size >= 5_000), "{failure:?}");
    assert!(matches!(failure.fixes[0].action, FixAction::SetMaximumPacketSize { bytes } if bytes >= 5_000));
}

/// Listens before a TLS server, and damages what clients send once it is told to.
async fn damaging(server: u16) -> (u16, Arc<AtomicBool>) {
    let listener = TcpListener::bind("127.0.0.1:0").await.expect("a port");
    let port = listener.local_addr().expect("bound").port();
    let damage = Arc::new(AtomicBool::new(false));
    let told = damage.clone();
    tokio::spawn(async move {
        while let Ok((client, _)) = listener.accept().await {
            let broker = TcpStream::connect(("127.0.0.1", server)).await.expect("the server");
            let (mut from_client, mut to_client) = client.into_split();
            let (mut from_broker, mut to_broker) = broker.into_split();
            let told = told.clone();
            tokio::spawn(async move { tokio::io::copy(&mut from_broker, &mut to_client).await });
            tokio::spawn(async move {
                let mut bytes = [0; 4096];
                while let Ok(count @ 1..) = from_client.read(&mut bytes).await {
                    if told.load(Ordering::Relaxed) {
                        bytes[count - 1] ^= 1;
                    }
                    to_broker.write_all(&bytes[..count]).await.expect("the server");
                }
            });
        }
    });
    (port, damage)
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_tls_alert_in_mid_stream_is_named() {
    let dir = tempfile::tempdir().expect("folder");
    let pki = Pki::make(dir.path());
    let broker = Mosquitto::start(&pki, &MosquittoOptions::default());
    let (port, damage) = damaging(broker.mqtts).await;
    let bench = Bench::open(&dir.path().join("data"));
    let profile = bench
        .save(&format!("mqtts://localhost:{port}"), |draft| {
            draft.settings.trust.mode = TrustMode::CaOnly;
            draft.settings.trust.ca_files = vec![pki.ca.display().to_string()];
            draft.settings.timing.reconnect = false;
        })
        .await;
    bench.engine.connect(profile.id).await.expect("connecting");
    bench.until(profile.id, "it stands", connected).await;
    damage.store(true, Ordering::Relaxed);
    let request = PublishRequest { topic: "plant".into(), qos: Qos::AtMostOnce, ..PublishRequest::default() };
    bench.engine.publish(profile.id, request).await.expect("handed over");
    let failure = bench.until(profile.id, "a loss", lost).await;
    assert_eq!(failure.code, FailureCode::TlsAlert, "{failure:?}");
    assert_eq!(failure.evidence["alert"], "bad_record_mac", "{failure:?}");
    bench.engine.close().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_broker_that_stops_answering_is_told_from_one_that_closes() {
    let (port, _) = scripted(vec![0x20, 2, 0, 0], Vec::new()).await;
    let data = tempfile::tempdir().expect("folder");
    let bench = Bench::open(data.path());
    let profile = bench
        .save(&format!("mqtt://127.0.0.1:{port}"), |draft| {
            draft.settings.session.version = MqttVersion::V311;
            draft.settings.session.keep_alive_s = 1;
            draft.settings.timing.reconnect = false;
        })
        .await;
    bench.engine.connect(profile.id).await.expect("connecting");
    let failure = bench.until(profile.id, "a loss", lost).await;
    assert_eq!(failure.code, FailureCode::KeepAliveTimeout, "{failure:?}");
    let traces = bench.engine.traces(profile.id).await.expect("traces");
    let end = traces[0].end.as_ref().expect("the end of the connection");
    assert!(end.lasted_micros > 900_000, "{end:?}");
}

/// How slowly a throttled network brings a message in, and how large the message is.
const TICK: Duration = Duration::from_millis(100);
const TICKS: usize = 45;

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_packet_that_takes_longer_than_two_keep_alives_arrives() {
    let dir = tempfile::tempdir().expect("folder");
    let pki = Pki::make(dir.path());
    let broker = Mosquitto::start(&pki, &MosquittoOptions::default());
    let bench = Bench::open(&dir.path().join("data"));
    let schemes = [("mqtt", broker.mqtt), ("mqtts", broker.mqtts), ("ws", broker.ws), ("wss", broker.wss)];
    // Held back until it is whole, and not.
    let sizes = [200_000, 1_100_000];
    for size in sizes {
        publish_retained(&bench, broker.mqtt, size).await;
    }
    let mut under_way = Vec::new();
    for ((scheme, port), size) in schemes.into_iter().flat_map(|scheme| sizes.map(|size| (scheme, size))) {
        let port = throttled(port, size / TICKS, None).await;
        let url = format!("{scheme}://localhost:{port}");
        let profile = bench.save(&url, |draft| slow(draft, &pki, size)).await;
        bench.engine.connect(profile.id).await.expect("connecting");
        under_way.push((profile.id, url, size));
    }
    for (id, url, size) in under_way {
        let arrived = async {
            while !bench.payloads(id).await.contains(&(size as u64)) {
                let events = bench.engine.events().await;
                let lost = events.iter().find_map(|event| match event {
                    EngineEvent::Connection(status) => lost(&status.phase),
                    _ => None,
                });
                assert!(lost.is_none(), "{url}, {size} bytes: {lost:#?}");
            }
        };
        timeout(BOUND, arrived).await.unwrap_or_else(|_| panic!("{url}, {size} bytes: never arrived"));
        assert_eq!(bench.engine.traces(id).await.expect("traces").len(), 1, "{url}: one connection");
    }
    bench.engine.close().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn silence_in_the_middle_of_a_packet_says_how_much_of_it_came() {
    let dir = tempfile::tempdir().expect("folder");
    let pki = Pki::make(dir.path());
    let broker = Mosquitto::start(&pki, &MosquittoOptions::default());
    let bench = Bench::open(&dir.path().join("data"));
    // mosquitto is slow over WebSocket: 4 KiB for each of its turns.
    for (scheme, port, size) in [("mqtt", broker.mqtt, 1_500_000), ("wss", broker.wss, 200_000)] {
        publish_retained(&bench, broker.mqtt, size).await;
        let port = throttled(port, size / 10, Some(size / 2)).await;
        let profile = bench
            .save(&format!("{scheme}://localhost:{port}"), |draft| {
                slow(draft, &pki, size);
                draft.settings.timing.reconnect = false;
            })
            .await;
        bench.engine.connect(profile.id).await.expect("connecting");
        let failure = bench.until(profile.id, "a loss", lost).await;
        assert_eq!(failure.code, FailureCode::KeepAliveTimeout, "{failure:#?}");
        let fact = |name: &str| failure.evidence[name].as_u64().expect("a number");
        assert!(fact("packet_bytes") > size as u64, "{failure:#?}");
        let half = size as u64 / 2;
        assert!((half * 8 / 10..=half).contains(&fact("arrived_bytes")), "{failure:#?}");
        assert!((5_000..3_000_000).contains(&fact("bytes_per_second")), "{failure:#?}");
        assert_eq!(failure.fixes[0].action, FixAction::SetKeepAlive { keep_alive_s: 60 });
    }
    bench.engine.close().await;
}

fn slow(draft: &mut heliograph_engine::profile::ProfileDraft, pki: &Pki, size: usize) {
    draft.settings.session.keep_alive_s = 1;
    draft.settings.trust.mode = TrustMode::CaOnly;
    draft.settings.trust.ca_files = vec![pki.ca.display().to_string()];
    draft.settings.subscriptions = vec![heliograph_engine::profile::Subscription {
        filter: format!("large/{size}"),
        enabled: true,
        ..Default::default()
    }];
}

async fn publish_retained(bench: &Bench, port: u16, size: usize) {
    let profile = bench.save(&format!("mqtt://127.0.0.1:{port}"), |_| {}).await;
    bench.engine.connect(profile.id).await.expect("connecting");
    bench.until(profile.id, "it stands", connected).await;
    let payload = PayloadText { text: "x".repeat(size), ..PayloadText::default() };
    let topic = format!("large/{size}");
    let qos = Qos::AtLeastOnce;
    let request = PublishRequest { topic, payload, qos, retain: true, ..PublishRequest::default() };
    bench.engine.publish(profile.id, request).await.expect("published");
    bench.engine.disconnect(profile.id).await.expect("disconnected");
}

/// A network that brings in no more than so many bytes a tick, and after so many of them nothing any more.
async fn throttled(to: u16, bytes: usize, until: Option<usize>) -> u16 {
    let listener = TcpListener::bind("127.0.0.1:0").await.expect("listener");
    let port = listener.local_addr().expect("address").port();
    tokio::spawn(async move {
        while let Ok((client, _)) = listener.accept().await {
            let server = tokio::net::TcpStream::connect(("127.0.0.1", to)).await.expect("the broker");
            let (mut from_client, mut to_client) = client.into_split();
            let (mut from_server, mut to_server) = server.into_split();
            tokio::spawn(async move { tokio::io::copy(&mut from_client, &mut to_server).await });
            tokio::spawn(async move {
                let mut space = vec![0; bytes];
                let mut left = until.unwrap_or(usize::MAX);
                let mut pace = tokio::time::interval(TICK);
                while left > 0 {
                    pace.tick().await;
                    let most = space.len().min(left);
                    match from_server.read(&mut space[..most]).await {
                        Ok(count @ 1..) if to_client.write_all(&space[..count]).await.is_ok() => {
                            left -= count
                        }
                        _ => return,
                    }
                }
                // Held open: the line is dead, not cut.
                std::future::pending::<()>().await;
                drop((from_server, to_client));
            });
        }
    });
    port
}

/// A server that answers every CONNECT so, then says its last words and closes; without last words it is silent.
async fn scripted(connack: Vec<u8>, last: Vec<u8>) -> (u16, tokio::sync::watch::Receiver<u32>) {
    let listener = TcpListener::bind("127.0.0.1:0").await.expect("listener");
    let port = listener.local_addr().expect("address").port();
    let (count, connects) = tokio::sync::watch::channel(0);
    tokio::spawn(async move {
        while let Ok((mut stream, _)) = listener.accept().await {
            count.send_modify(|count| *count += 1);
            let (connack, last) = (connack.clone(), last.clone());
            tokio::spawn(async move {
                let mut heard = vec![0; 1024];
                let _ = stream.read(&mut heard).await;
                let _ = stream.write_all(&connack).await;
                if last.is_empty() {
                    while matches!(stream.read(&mut heard).await, Ok(1..)) {}
                }
                let _ = stream.write_all(&last).await;
            });
        }
    });
    (port, connects)
}
