//! What a person changes while a connection waits to be made again is not lost: the broker hears of it with the
//! next CONNECT, and the library at once. Against a real mosquitto that is killed and started again.

#[path = "session/fixtures.rs"]
mod fixtures;

use fixtures::{BOUND, Client, Mosquitto, publication, subscription};
use heliograph_engine::Engine;
use heliograph_engine::engine::ConnectionStatus;
use heliograph_engine::history::{RowContent, RowFilter};
use heliograph_engine::profile::{MqttVersion, ProfileId, Qos};
use heliograph_engine::session::{Phase, SubscriptionState};
use tokio::time::timeout;

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_subscription_saved_while_waiting_reaches_the_broker_on_reconnect() {
    for version in fixtures::VERSIONS {
        // With a session that ends with its connection, and with one that the broker would resume.
        for lasting in [false, true] {
            prove(version, lasting).await;
        }
    }
}

async fn prove(version: MqttVersion, lasting: bool) {
    let mut broker = Mosquitto::start("").await;
    let folder = tempfile::tempdir().expect("folder");
    let engine = Engine::open(folder.path()).expect("opened");
    let mut draft = engine.new_draft();
    draft.endpoint.host = "127.0.0.1".into();
    draft.endpoint.port = broker.port.to_string();
    draft.settings.session.version = version;
    draft.settings.session.clean_start = !lasting;
    draft.settings.session.session_expiry_s = lasting.then_some(3600);
    draft.settings.subscriptions =
        vec![subscription("old/#", Qos::AtLeastOnce), subscription("gone", Qos::AtMostOnce)];
    let id = engine.save_profile(draft, None, Vec::new()).await.expect("saved").id;
    engine.connect(id).await.expect("connecting");
    until(&engine, id, |status| granted(status, "old/#") && granted(status, "gone")).await;

    broker.stop();
    until(&engine, id, |status| matches!(status.phase, Phase::Waiting { .. })).await;
    let saved = engine.save_subscription(id, subscription("new/#", Qos::ExactlyOnce)).await;
    assert_eq!(saved.expect("kept"), SubscriptionState::Inactive, "nobody was told yet");
    engine.delete_subscription(id, "gone").await.expect("kept");
    let filters: Vec<_> = engine.profile(id).expect("there").settings.subscriptions;
    assert_eq!(filters.iter().map(|s| s.filter.as_str()).collect::<Vec<_>>(), ["old/#", "new/#"]);

    broker.restart().await;
    engine.retry_now(id).expect("known");
    until(&engine, id, |status| granted(status, "new/#") && granted(status, "old/#")).await;
    let other = Client::connected(broker.config(version, "other")).await;
    for topic in ["gone", "old/1", "new/1"] {
        other.handle.publish(publication(topic, "x", Qos::AtLeastOnce)).await.expect("published");
    }
    until(&engine, id, |status| status.counters.received == 2).await;
    let stored = async {
        loop {
            let topics = topics(&engine, id).await;
            if topics.len() >= 2 {
                return topics;
            }
            engine.events().await;
        }
    };
    let topics = timeout(BOUND, stored).await.expect("stored in time");
    assert_eq!(topics, ["old/1", "new/1"]);
    other.handle.disconnect(0).await;
    engine.close().await;
}

/// Of the messages that are stored.
async fn topics(engine: &Engine, id: ProfileId) -> Vec<String> {
    let open = engine.open_view(id, RowFilter::default()).await.expect("a view");
    let rows = engine.page(open.view, 0, 100).await.expect("a page").rows;
    engine.close_view(open.view);
    rows.into_iter()
        .filter_map(|row| match row.content {
            RowContent::Message { topic, .. } => Some(topic),
            RowContent::Event { .. } | RowContent::Damaged => None,
        })
        .collect()
}

fn granted(status: &ConnectionStatus, filter: &str) -> bool {
    let known = status.subscriptions.iter().find(|known| known.subscription.filter == filter);
    known.is_some_and(|known| matches!(known.state, SubscriptionState::Granted { .. }))
}

/// Waits for events until the connection is as wanted.
async fn until(engine: &Engine, id: ProfileId, wanted: impl Fn(&ConnectionStatus) -> bool) {
    let wait = async {
        while !engine.connections().iter().any(|status| status.id == id && wanted(status)) {
            engine.events().await;
        }
    };
    timeout(BOUND, wait).await.expect("in time");
}
