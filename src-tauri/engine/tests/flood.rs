//! Messages that pour in from a server faster than any broker, and publications that are under way side by side: each
//! arrives once and in order, and a sink that is full for a moment costs none. How fast that is, `./dev bench` says.

#[path = "../../../tests/brokers/mod.rs"]
mod brokers;
#[path = "session/fixtures.rs"]
mod fixtures;
#[path = "../../../tests/bench/flood.rs"]
mod flood;

use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Duration;

use brokers::Pki;
use fixtures::{BOUND, Client, Collector, Mosquitto, VERSIONS, publication, subscription};
use flood::{Flood, FloodServer, ServerTls, sequence};
use heliograph_engine::message::Direction;
use heliograph_engine::profile::{Qos, TrustMode};
use heliograph_engine::session::SessionConfig;
use tokio::time::timeout;

const MESSAGES: u64 = 12_345;

/// Subscribes to everything and asserts what came of it.
async fn drink(mut config: SessionConfig, qos: u8, sink: Arc<Collector>, server: &FloodServer) {
    let qos = Qos::try_from(qos).expect("a QoS");
    config.profile.settings.subscriptions = vec![subscription("#", qos)];
    let client = Client::start_with(config, sink);
    // One more: that it is connected stands among them.
    client.sink.holds(MESSAGES as usize + 1).await;
    client.handle.disconnect(0).await;
    let numbers: Vec<_> =
        client.sink.messages(Direction::In).iter().map(|message| sequence(&message.payload)).collect();
    assert_eq!(numbers, (0..MESSAGES).collect::<Vec<_>>(), "once and in order");
    assert_eq!(client.sink.dropped.load(Ordering::Relaxed), 0);
    assert_eq!(server.written(), MESSAGES);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn every_message_of_a_flood_arrives_once_and_in_order() {
    for version in VERSIONS {
        for qos in 0..=2 {
            let server = FloodServer::start(Flood::of(MESSAGES, qos), None).await;
            let config = fixtures::config_at(server.address.port(), version);
            drink(config, qos, Collector::with_room(usize::MAX / 2), &server).await;
        }
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn over_wss_with_a_client_certificate_too() {
    let folder = tempfile::tempdir().expect("a folder");
    let pki = Pki::make(folder.path());
    let tls = ServerTls { cert: pki.server.cert, key: pki.server.key, ca: pki.ca.clone() };
    let text = |path: &std::path::Path| path.to_str().expect("UTF-8").to_owned();
    for version in VERSIONS {
        let server = FloodServer::start(Flood::of(MESSAGES, 1), Some(tls.clone())).await;
        let mut config = fixtures::config_at(server.address.port(), version);
        let url = format!("wss://127.0.0.1:{}/mqtt", server.address.port());
        config.profile.endpoint = fixtures::endpoint(&url);
        let settings = &mut config.profile.settings;
        settings.trust.mode = TrustMode::SystemAndCa;
        settings.trust.ca_files = vec![text(&pki.ca)];
        settings.client_certificate.enabled = true;
        settings.client_certificate.cert_file = text(&pki.client.cert);
        settings.client_certificate.key_file = text(&pki.client.key);
        drink(config, 1, Collector::with_room(usize::MAX / 2), &server).await;
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_sink_that_is_full_now_and_then_costs_no_message_and_no_order() {
    for version in VERSIONS {
        let server = FloodServer::start(Flood::of(MESSAGES, 0), None).await;
        let sink = Collector::with_room(7);
        let (giver, given) = (sink.clone(), Duration::from_millis(1));
        let giving = tokio::spawn(async move {
            loop {
                // Odd, so that batches are cut anywhere.
                giver.make_room(333);
                tokio::time::sleep(given).await;
            }
        });
        drink(fixtures::config_at(server.address.port(), version), 0, sink, &server).await;
        giving.abort();
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn publications_under_way_side_by_side_keep_their_order_and_have_an_outcome_each() {
    const MANY: u32 = 3_000;
    let broker = Mosquitto::start("max_queued_messages 0\nmax_inflight_messages 0").await;
    for version in VERSIONS {
        for qos in [Qos::AtMostOnce, Qos::AtLeastOnce, Qos::ExactlyOnce] {
            let mut config = broker.config(version, "subscriber");
            config.profile.settings.subscriptions = vec![subscription("many", qos)];
            let mut subscriber = Client::connected(config).await;
            subscriber.granted("many").await;
            let publisher = Client::connected(broker.config(version, "publisher")).await;
            let mut under_way = Vec::new();
            for number in 0..MANY {
                let submitted = publisher.handle.submit(publication("many", &number.to_string(), qos)).await;
                under_way.push(submitted.expect("handed over"));
            }
            for submitted in under_way {
                let outcome =
                    timeout(BOUND, submitted.outcome()).await.expect("in time").expect("an outcome");
                let success = if qos == Qos::AtMostOnce { None } else { Some(0) };
                assert_eq!((outcome.qos, outcome.code), (qos, success));
            }
            subscriber.sink.holds(MANY as usize + 1).await;
            let payloads = subscriber.sink.messages(Direction::In).into_iter().map(|message| message.payload);
            assert!(payloads.eq((0..MANY).map(|number| number.to_string())), "once and in order");
            let sent = publisher.sink.messages(Direction::Out).len();
            assert_eq!(sent, MANY as usize, "what was sent stands in the stream");
            publisher.handle.disconnect(0).await;
            subscriber.handle.disconnect(0).await;
        }
    }
}
