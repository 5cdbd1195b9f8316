//! Sessions against a real mosquitto over plain TCP, and against a scripted server for what it never says.

#[path = "session/fixtures.rs"]
mod fixtures;

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::{Duration, Instant};

use bytes::Bytes;
use heliograph_engine::error::ErrorCode;
use heliograph_engine::failure::FailureCode;
use heliograph_engine::message::{Direction, EventKind};
use heliograph_engine::profile::{
    MqttVersion, PayloadEncoding, PayloadText, PublishProperties, Qos, Subscription,
};
use heliograph_engine::secret::{Secret, SecretField};
use heliograph_engine::session::{self, Phase, Publication, SubscriptionState};
use heliograph_engine::trace::{Stage, VerdictOutcome};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpListener;
use tokio::sync::mpsc;
use tokio::time::timeout;

use fixtures::*;

// ------------------------------------------------------------------------------------------- the tests

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn messages_go_round_at_every_qos() {
    let broker = Mosquitto::start("").await;
    for version in VERSIONS {
        let mut client = Client::connected(broker.config(version, "round")).await;
        let granted =
            client.handle.subscribe(subscription("t/#", Qos::ExactlyOnce)).await.expect("subscribed");
        assert_eq!(granted, SubscriptionState::Granted { qos: Qos::ExactlyOnce });
        for qos in [Qos::AtMostOnce, Qos::AtLeastOnce, Qos::ExactlyOnce] {
            let outcome = client.handle.publish(publication("t/a", "hello", qos)).await.expect("published");
            assert_eq!(outcome.qos, qos);
            assert_eq!(outcome.code, (qos != Qos::AtMostOnce).then_some(0));
            let message = client.message().await;
            assert_eq!(
                (message.topic.as_str(), &message.payload[..], message.qos),
                ("t/a", &b"hello"[..], qos)
            );
            assert!(message.time > 0 && !message.retain && !message.dup);
        }
        let big = Bytes::from(vec![7u8; 1 << 20]);
        let publication = Publication { payload: big.clone(), ..publication("t/big", "", Qos::AtLeastOnce) };
        client.handle.publish(publication).await.expect("published");
        assert_eq!(client.message().await.payload, big);

        let retained = Publication { retain: true, ..self::publication("r/1", "kept", Qos::AtLeastOnce) };
        client.handle.publish(retained).await.expect("published");
        client.handle.subscribe(subscription("r/+", Qos::AtMostOnce)).await.expect("subscribed");
        let message = client.message().await;
        assert!(message.retain, "{message:?}");

        client.handle.unsubscribe("t/#").await.expect("unsubscribed");
        let off = Subscription { enabled: false, ..subscription("r/1", Qos::AtMostOnce) };
        client.handle.subscribe(subscription("r/1", Qos::AtMostOnce)).await.expect("subscribed");
        assert!(client.message().await.retain);
        assert_eq!(client.handle.subscribe(off).await.expect("off"), SubscriptionState::Inactive);
        client
            .handle
            .publish(self::publication("t/a", "unheard", Qos::AtLeastOnce))
            .await
            .expect("published");
        client.handle.publish(self::publication("r/2", "heard", Qos::AtLeastOnce)).await.expect("published");
        assert_eq!(&client.message().await.payload[..], b"heard");

        let sent = client.sink.messages(Direction::Out);
        assert_eq!(sent.len(), 7, "what was sent stands in the stream too");
        client.handle.disconnect(0).await;
        assert_eq!(client.phase().await, Phase::Disconnecting);
        assert_eq!(client.phase().await, Phase::Idle);
        assert_eq!(client.sink.kinds(), [EventKind::Connected, EventKind::Disconnected]);
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_session_runs_over_websocket_too() {
    // It does not start with a WebSocket listener alone, nor with one on an address.
    let port = free_port();
    let broker = Mosquitto::start(&format!("listener {port}\nprotocol websockets")).await;
    listening(port).await;
    for version in VERSIONS {
        let mut config = broker.config(version, "web");
        config.profile.endpoint = endpoint(&format!("ws://127.0.0.1:{port}/mqtt"));
        config.profile.settings.subscriptions = vec![subscription("w", Qos::ExactlyOnce)];
        let mut client = Client::connected(config).await;
        client.granted("w").await;
        let body = Bytes::from(vec![b'w'; 10_000]);
        let publication = Publication { payload: body.clone(), ..publication("w", "", Qos::ExactlyOnce) };
        client.handle.publish(publication).await.expect("published");
        assert_eq!(client.message().await.payload, body);
        client.handle.disconnect(0).await;
        assert_eq!(client.last_phase().await, Phase::Idle);
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn properties_and_subscription_options_of_mqtt_5_arrive() {
    let broker = Mosquitto::start("").await;
    let mut config = broker.config(MqttVersion::V5, "props");
    config.profile.settings.session.user_properties = vec![pair("who", "helio")];
    config.profile.settings.session.topic_alias_maximum = Some(10);
    let mut client = Client::connected(config).await;
    client.handle.subscribe(subscription("p/#", Qos::AtLeastOnce)).await.expect("subscribed");
    let properties = PublishProperties {
        payload_format_utf8: Some(true),
        message_expiry_s: Some(100),
        content_type: Some("text/plain".into()),
        response_topic: Some("answer/here".into()),
        correlation_data: Some(PayloadText { text: "00ff".into(), encoding: PayloadEncoding::Hex }),
        topic_alias: None,
        user_properties: vec![pair("a", "1"), pair("a", "2")],
    };
    let publication = Publication { properties, ..publication("p/x", "body", Qos::AtLeastOnce) };
    client.handle.publish(publication).await.expect("published");
    let message = client.message().await;
    let got = message.properties();
    assert_eq!(got.payload_format_utf8, Some(true));
    assert!(got.message_expiry_s.is_some_and(|s| s <= 100));
    assert_eq!(got.content_type.as_deref(), Some("text/plain"));
    assert_eq!(got.response_topic.as_deref(), Some("answer/here"));
    assert_eq!(got.correlation_data_hex.as_deref(), Some("00ff"));
    assert_eq!(got.user_properties, [pair("a", "1"), pair("a", "2")]);
    assert_eq!(got.subscription_ids, [1]);

    let quiet = Subscription { no_local: true, ..subscription("quiet/#", Qos::AtMostOnce) };
    client.handle.subscribe(quiet).await.expect("subscribed");
    client
        .handle
        .publish(self::publication("quiet/1", "not for me", Qos::AtLeastOnce))
        .await
        .expect("published");
    let refused =
        client.handle.publish(self::publication("p/+", "", Qos::AtMostOnce)).await.expect_err("a filter");
    assert_eq!(refused.code, ErrorCode::InvalidInput);
    client.handle.publish(self::publication("p/end", "end", Qos::AtLeastOnce)).await.expect("published");
    assert_eq!(client.message().await.topic, "p/end");

    // Outgoing topic aliases, as far as mosquitto takes them (10).
    for payload in ["one", "two"] {
        let properties = PublishProperties { topic_alias: Some(3), ..PublishProperties::default() };
        let publication =
            Publication { properties, ..self::publication("p/alias", payload, Qos::AtLeastOnce) };
        client.handle.publish(publication).await.expect("published");
        assert_eq!(client.message().await.topic, "p/alias");
    }
    let properties = PublishProperties { topic_alias: Some(1000), ..PublishProperties::default() };
    let publication = Publication { properties, ..self::publication("p/alias", "", Qos::AtLeastOnce) };
    let refused = client.handle.publish(publication).await.expect_err("above the maximum");
    assert_eq!(
        (refused.code, refused.details["limit"].as_str()),
        (ErrorCode::LimitExceeded, Some("topic_alias_maximum"))
    );
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_will_is_published_after_a_loss_and_not_after_a_disconnect() {
    let broker = Mosquitto::start("").await;
    for version in VERSIONS {
        let mut watcher = Client::connected(broker.config(version, "watcher")).await;
        watcher.handle.subscribe(subscription("wills/#", Qos::ExactlyOnce)).await.expect("subscribed");
        let with_will = |payload: &str| {
            let mut config = broker.config(version, "mortal");
            let will = &mut config.profile.settings.will;
            will.enabled = true;
            will.topic = "wills/mortal".into();
            will.payload.text = payload.into();
            will.qos = Qos::AtLeastOnce;
            will.properties.content_type = Some("text/will".into());
            config
        };
        let polite = Client::connected(with_will("polite")).await;
        polite.handle.disconnect(0).await;
        let lost = Client::connected(with_will("lost")).await;
        lost.handle.abort();
        lost.handle.ended().await;
        let message = watcher.message().await;
        assert_eq!(&message.payload[..], b"lost");
        if version == MqttVersion::V5 {
            assert_eq!(message.properties().content_type.as_deref(), Some("text/will"));
            let asked = Client::connected(with_will("asked")).await;
            asked.handle.disconnect(0x04).await;
            assert_eq!(&watcher.message().await.payload[..], b"asked");
        }
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn refusals_are_named() {
    let password = [0xff, 0x80, 0x01, b'x'];
    let broker = Mosquitto::with_login("topic readwrite open/#", "ada", &password).await;
    for version in VERSIONS {
        let mut config = broker.config(version, "refused");
        config.profile.settings.login.enabled = true;
        config.profile.settings.login.username = "ada".into();
        config.secrets.put(SecretField::Password, Some(Secret::new("wrong")));
        let mut client = Client::start(config.clone());
        let Phase::Failed { failure } = client.last_phase().await else { unreachable!() };
        assert!(
            matches!(failure.code, FailureCode::BadCredentials | FailureCode::NotAuthorized),
            "{failure:?}"
        );
        assert!(!failure.retryable);
        let detail = mqtt(&client.trace()).1;
        assert!(detail.is_some_and(|connack| connack.code >= 0x80), "the trace holds the refusal");
        let not_there =
            client.handle.publish(publication("a", "", Qos::AtMostOnce)).await.expect_err("ended");
        assert_eq!(not_there.code, ErrorCode::NotConnected);

        // A binary password, and what the access list does not allow.
        config.secrets.put(SecretField::Password, Some(Secret::new(password)));
        let mut client = Client::connected(config).await;
        client.handle.subscribe(subscription("open/#", Qos::AtLeastOnce)).await.expect("an answer");
        let outcome =
            client.handle.publish(publication("closed/1", "x", Qos::AtLeastOnce)).await.expect("an answer");
        if version == MqttVersion::V5 {
            assert_eq!((outcome.code, outcome.reason.as_str()), (Some(0x87), "Not authorized"));
            assert!(client.sink.kinds().contains(&EventKind::PublishFailed));
        }
        client
            .handle
            .publish(publication("open/1", "still here", Qos::AtLeastOnce))
            .await
            .expect("published");
        assert_eq!(client.message().await.topic, "open/1");
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_refused_subscription_says_why() {
    // The access list of mosquitto lets every SUBSCRIBE pass.
    for (version, connack, suback, code, words) in [
        (MqttVersion::V311, &[0x20, 2, 0, 0][..], &[0x90, 3, 0, 1, 0x80][..], 0x80, None),
        (
            MqttVersion::V5,
            &[0x20, 3, 0, 0, 0],
            &[0x90, 9, 0, 1, 5, 0x1f, 0, 2, b'n', b'o', 0x87],
            0x87,
            Some("no".to_owned()),
        ),
    ] {
        let server = Scripted::start(vec![
            Step::Expect(0x10),
            Step::Send(connack.to_vec()),
            Step::Expect(0x82),
            Step::Send(suback.to_vec()),
        ])
        .await;
        let client = Client::connected(server.config(version)).await;
        let state =
            client.handle.subscribe(subscription("closed/#", Qos::AtLeastOnce)).await.expect("an answer");
        let SubscriptionState::Refused { code: said, reason_string, .. } = state else { unreachable!() };
        assert_eq!((said, reason_string), (code, words));
        assert_eq!(client.sink.kinds(), [EventKind::Connected, EventKind::SubscribeRefused]);
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_password_goes_without_a_user_name_only_in_mqtt_5() {
    let server = Scripted::start(vec![Step::Expect(0x10), Step::Send(vec![0x20, 3, 0, 0, 0])]).await;
    let mut config = server.config(MqttVersion::V5);
    config.profile.settings.login.enabled = true;
    config.secrets.put(SecretField::Password, Some(Secret::new([0u8, 0xff])));
    let mut client = Client::connected(config.clone()).await;
    let connect = server.received().await;
    assert_eq!(connect[9], 0x42, "password flag and clean start: {connect:x?}");
    assert!(connect.ends_with(&[0, 2, 0, 0xff]));
    client.handle.abort();
    client.last_phase().await;

    config.profile.settings.session.version = MqttVersion::V311;
    let mut client = Client::start(config);
    let Phase::Failed { failure } = client.last_phase().await else { unreachable!() };
    assert_eq!(failure.code, FailureCode::InvalidSettings);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_lost_connection_is_made_again_and_resubscribed() {
    let mut broker = Mosquitto::start("").await;
    for version in VERSIONS {
        let mut config = broker.config(version, "phoenix");
        config.profile.settings.subscriptions = vec![subscription("again/#", Qos::AtLeastOnce)];
        config.profile.settings.timing.reconnect_max_s = 1;
        let mut client = Client::connected(config).await;
        client.granted("again/#").await;

        broker.stop();
        loop {
            match client.phase().await {
                Phase::Waiting { failure, attempt, .. } => {
                    assert!(failure.retryable && attempt >= 2);
                    break;
                }
                other => assert!(matches!(other, Phase::Connecting { .. }), "{other:?}"),
            }
        }
        let away = client.handle.publish(publication("a", "", Qos::AtLeastOnce)).await.expect_err("away");
        assert_eq!(away.code, ErrorCode::NotConnected);
        let state = client.handle.subscribe(subscription("later/#", Qos::AtMostOnce)).await.expect("kept");
        assert_eq!(state, SubscriptionState::Inactive);

        broker.restart().await;
        client.handle.retry_now();
        while !matches!(client.phase().await, Phase::Connected { .. }) {}
        client.granted("again/#").await;
        client.granted("later/#").await;
        client.handle.publish(publication("again/1", "back", Qos::AtLeastOnce)).await.expect("published");
        client.handle.publish(publication("later/1", "too", Qos::AtLeastOnce)).await.expect("published");
        assert_eq!(client.message().await.topic, "again/1");
        assert_eq!(client.message().await.topic, "later/1");
        assert!(client.sink.kinds().contains(&EventKind::Lost));
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_first_failure_is_final_unless_asked_otherwise() {
    let port = free_port();
    let mut config = config_at(port, MqttVersion::V5);
    let mut client = Client::start(config.clone());
    let Phase::Failed { failure } = client.last_phase().await else { unreachable!() };
    assert_eq!(failure.code, FailureCode::ConnectionRefused);
    assert_eq!(client.trace().verdict.map(|v| v.outcome), Some(VerdictOutcome::Failed));

    config.keep_trying = true;
    config.profile.settings.timing.reconnect_initial_s = 600;
    config.profile.settings.timing.reconnect_max_s = 600;
    config.profile.settings.timing.reconnect_attempts = Some(2);
    let mut client = Client::start(config.clone());
    client.waiting().await;
    client.handle.retry_now();
    client.waiting().await;
    client.handle.stop_retrying();
    assert!(matches!(client.last_phase().await, Phase::Failed { .. }));

    let mut client = Client::start(config);
    for _ in 0..2 {
        client.waiting().await;
        client.handle.retry_now();
    }
    assert!(matches!(client.last_phase().await, Phase::Failed { .. }), "two retries and no more");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_session_taken_over_says_so() {
    let server = Scripted::start(vec![
        Step::Expect(0x10),
        Step::Send(vec![0x20, 3, 0, 0, 0]),
        Step::Send(vec![0xe0, 2, 0x8e, 0]),
    ])
    .await;
    let mut config = server.config(MqttVersion::V5);
    config.profile.settings.timing.reconnect = false;
    let mut first = Client::start(config);
    let Phase::Failed { failure } = first.last_phase().await else { unreachable!() };
    assert_eq!(failure.code, FailureCode::SessionTakenOver);

    // This mosquitto closes the older connection without a word: then the likely reason is named.
    let broker = Mosquitto::start("").await;
    let mut config = broker.config(MqttVersion::V5, "twin");
    config.profile.settings.timing.reconnect = false;
    let mut first = Client::connected(config.clone()).await;
    let second = Client::connected(config).await;
    let Phase::Failed { failure } = first.last_phase().await else { unreachable!() };
    assert!(
        failure.code == FailureCode::SessionTakenOver || failure.cause.contains("same client identifier"),
        "{failure:?}"
    );
    second.handle.publish(publication("a", "", Qos::AtLeastOnce)).await.expect("the second one lives");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_idle_connection_is_kept_alive() {
    let broker = Mosquitto::start("").await;
    for version in VERSIONS {
        let mut config = broker.config(version, "idle");
        config.profile.settings.session.keep_alive_s = 1;
        let mut client = Client::connected(config).await;
        for _ in 0..3 {
            client.round_trip().await;
        }
        client.handle.publish(publication("a", "", Qos::AtLeastOnce)).await.expect("still connected");
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn keep_alive_goes_on_under_a_flood() {
    for version in VERSIONS {
        // A server that never stops sending, and counts what it gets.
        let listener = TcpListener::bind("127.0.0.1:0").await.expect("a port");
        let port = listener.local_addr().expect("an address").port();
        let (pings, mut pinged) = mpsc::unbounded_channel();
        let (answers, mut unanswered) = mpsc::unbounded_channel();
        tokio::spawn(async move {
            let (stream, _) = listener.accept().await.expect("a client");
            let (mut read, mut write) = stream.into_split();
            let mut seen = vec![0; 4096];
            let _ = read.read(&mut seen).await.expect("CONNECT");
            let connack: &[u8] =
                if version == MqttVersion::V5 { &[0x20, 3, 0, 0, 0] } else { &[0x20, 2, 0, 0] };
            write.write_all(connack).await.expect("sent");
            tokio::spawn(async move {
                let message: &[u8] = if version == MqttVersion::V5 {
                    b"\x30\x05\x00\x01f\x00x"
                } else {
                    b"\x30\x04\x00\x01fx"
                };
                let flood = message.repeat(10_000);
                while write.write_all(&flood).await.is_ok() {
                    if unanswered.try_recv().is_ok() {
                        let _ = write.write_all(&[0xd0, 0]).await;
                    }
                }
            });
            while let Ok(count @ 1..) = read.read(&mut seen).await {
                for _ in seen[..count].chunks(2).filter(|packet| packet[0] == 0xc0) {
                    let _ = (pings.send(()), answers.send(()));
                }
            }
        });
        let mut config = config_at(port, version);
        config.profile.settings.session.keep_alive_s = 2;
        let sink = Collector::counting();
        let mut client = Client::start_with(config, sink.clone());
        // A broker gives up after one and a half times the keep alive (3.1.2.10).
        for _ in 0..2 {
            timeout(Duration::from_secs(3), pinged.recv())
                .await
                .expect("in time")
                .expect("a ping in the flood");
        }
        assert!(sink.count.load(Ordering::Relaxed) > 1000);
        // Goodbye gets through as well.
        timeout(BOUND, client.handle.disconnect(0)).await.expect("in time");
        assert_eq!(client.last_phase().await, Phase::Idle);
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_slow_reader_loses_nothing() {
    let broker = Mosquitto::start("max_queued_messages 0").await;
    for version in VERSIONS {
        let sink = Collector::with_room(3);
        let mut config = broker.config(version, "slow");
        config.profile.settings.subscriptions = vec![subscription("slow", Qos::AtMostOnce)];
        let mut client = Client::start_with(config, sink.clone());
        client.granted("slow").await;
        let other = Client::connected(broker.config(version, "fast")).await;
        for n in 0..50 {
            let publication = publication("slow", &n.to_string(), Qos::AtLeastOnce);
            other.handle.publish(publication).await.expect("published");
        }
        let mut seen = Vec::new();
        while seen.len() < 50 {
            sink.make_room(1);
            seen = sink.messages(Direction::In);
            tokio::time::sleep(Duration::from_millis(1)).await;
        }
        let payloads: Vec<String> =
            seen.iter().map(|m| String::from_utf8_lossy(&m.payload).into_owned()).collect();
        assert_eq!(payloads, (0..50).map(|n| n.to_string()).collect::<Vec<_>>());
        assert_eq!(sink.dropped.load(Ordering::Relaxed), 0);
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_stuck_reader_costs_messages_but_not_the_connection() {
    let broker = Mosquitto::start("").await;
    let sink = Collector::with_room(2);
    let mut config = broker.config(MqttVersion::V5, "stuck");
    config.profile.settings.session.keep_alive_s = 1;
    config.profile.settings.subscriptions = vec![subscription("stuck", Qos::AtMostOnce)];
    let mut client = Client::start_with(config, sink.clone());
    client.granted("stuck").await;
    let other = Client::connected(broker.config(MqttVersion::V5, "other")).await;
    for _ in 0..30 {
        other.handle.publish(publication("stuck", "x", Qos::AtLeastOnce)).await.expect("published");
    }
    timeout(BOUND, async {
        while sink.dropped.load(Ordering::Relaxed) < 29 {
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
    })
    .await
    .expect("given up in time");
    sink.make_room(100);
    client.handle.publish(publication("a", "", Qos::AtLeastOnce)).await.expect("still connected");
    assert!(!sink.kinds().contains(&EventKind::Lost));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_disconnect_waits_for_what_is_in_flight() {
    let broker = Mosquitto::start("max_inflight_messages 0").await;
    for version in VERSIONS {
        let mut watcher = Client::connected(broker.config(version, "watcher")).await;
        watcher.handle.subscribe(subscription("last/#", Qos::ExactlyOnce)).await.expect("subscribed");
        let client = Client::connected(broker.config(version, "leaving")).await;
        let publishing: Vec<_> = (0..100)
            .map(|n| {
                let handle = client.handle.clone();
                let qos = if n % 2 == 0 { Qos::AtLeastOnce } else { Qos::ExactlyOnce };
                tokio::spawn(async move { handle.publish(publication("last/x", &n.to_string(), qos)).await })
            })
            .collect();
        while client.sink.messages(Direction::Out).len() < 100 {
            tokio::task::yield_now().await;
        }
        client.handle.disconnect(0).await;
        let mut acknowledged = 0;
        for task in publishing {
            match task.await.expect("no panic") {
                Ok(outcome) => {
                    assert_eq!(outcome.code, Some(0));
                    acknowledged += 1;
                }
                // Not yet handed to the library when the goodbye began.
                Err(error) => {
                    assert!(matches!(error.code, ErrorCode::ConnectionLost | ErrorCode::NotConnected));
                }
            }
        }
        assert!(acknowledged > 0);
        for _ in 0..acknowledged {
            watcher.message().await;
        }
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_attempt_can_be_cancelled_and_is_bounded() {
    let server = Scripted::start(vec![Step::Expect(0x10), Step::Hang]).await;
    let mut client = Client::start(server.config(MqttVersion::V5));
    server.received().await;
    let began = Instant::now();
    client.handle.disconnect(0).await;
    assert!(began.elapsed() < Duration::from_secs(2));
    assert_eq!(client.last_phase().await, Phase::Idle);
    let failure = client.trace().verdict.and_then(|verdict| verdict.failure).expect("a verdict");
    assert_eq!((failure.code, failure.stage), (FailureCode::Cancelled, Stage::Mqtt));

    for version in VERSIONS {
        let server = Scripted::start(vec![Step::Expect(0x10), Step::Hang]).await;
        let mut config = server.config(version);
        config.profile.settings.timing.connect_timeout_s = 1;
        let mut client = Client::start(config);
        let Phase::Failed { failure } = client.last_phase().await else { unreachable!() };
        assert_eq!(failure.code, FailureCode::ConnackTimeout);
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_words_of_the_server_come_through() {
    // CONNACK 0x87 with Reason String "no entry".
    let mut connack = vec![0x20, 14, 0, 0x87, 11, 0x1f, 0, 8];
    connack.extend(b"no entry");
    let server = Scripted::start(vec![Step::Expect(0x10), Step::Send(connack)]).await;
    let mut client = Client::start(server.config(MqttVersion::V5));
    let Phase::Failed { failure } = client.last_phase().await else { unreachable!() };
    assert_eq!(failure.code, FailureCode::NotAuthorized);
    let (stage, said) = mqtt(&client.trace());
    assert_eq!(stage.client_id, "scripted");
    assert_eq!(said.and_then(|connack| connack.reason_string).as_deref(), Some("no entry"));

    // Two messages and DISCONNECT 0x98 with Reason String "maintenance", in one segment.
    let mut last = b"\x30\x05\x00\x01a\x001\x30\x05\x00\x01a\x002".to_vec();
    last.extend([0xe0, 16, 0x98, 14, 0x1f, 0, 11]);
    last.extend(b"maintenance");
    let server = Scripted::start(vec![
        Step::Expect(0x10),
        Step::Send(vec![0x20, 3, 0, 0, 0]),
        Step::Send(last),
        Step::Close,
    ])
    .await;
    let mut config = server.config(MqttVersion::V5);
    config.profile.settings.timing.reconnect = false;
    let mut client = Client::start(config);
    let Phase::Failed { failure } = client.last_phase().await else { unreachable!() };
    assert_eq!(failure.code, FailureCode::AdministrativeAction);
    let text = format!("{failure:?}");
    assert!(text.contains("maintenance"), "{text}");
    assert_eq!(client.sink.messages(Direction::In).len(), 2, "what came before the end is kept");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_limits_of_the_broker_are_kept() {
    let broker = Mosquitto::start("max_packet_size 200\nmax_qos 1\nretain_available false").await;
    let client = Client::connected(broker.config(MqttVersion::V5, "limits")).await;
    let big = "x".repeat(300);
    for (publication, limit) in [
        (publication("a", &big, Qos::AtMostOnce), "maximum_packet_size"),
        (publication("a", "", Qos::ExactlyOnce), "maximum_qos"),
        (Publication { retain: true, ..publication("a", "", Qos::AtMostOnce) }, "retain_available"),
    ] {
        let error = client.handle.publish(publication).await.expect_err(limit);
        assert_eq!((error.code, error.details["limit"].as_str()), (ErrorCode::LimitExceeded, Some(limit)));
    }
    client.handle.publish(publication("a", "", Qos::AtLeastOnce)).await.expect("still connected");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_session_of_an_earlier_run_is_resumed() {
    let broker = Mosquitto::start("").await;
    for version in VERSIONS {
        let mut config = broker.config(version, "keeper");
        config.profile.settings.session.clean_start = false;
        config.profile.settings.session.session_expiry_s = Some(3600);
        let mut client = Client::connected(config.clone()).await;
        for filter in ["kept/1", "kept/2"] {
            client.handle.subscribe(subscription(filter, Qos::ExactlyOnce)).await.expect("subscribed");
        }
        client.handle.disconnect(0).await;
        client.last_phase().await;

        let other = Client::connected(broker.config(version, "other")).await;
        for qos in [Qos::AtLeastOnce, Qos::ExactlyOnce] {
            other.handle.publish(publication("kept/1", "while away", qos)).await.expect("published");
        }
        let mut client = Client::connected(config).await;
        assert_eq!(client.sink.kinds(), [EventKind::SessionResumed]);
        for _ in 0..2 {
            assert_eq!(&client.message().await.payload[..], b"while away");
        }
        client.handle.publish(publication("kept/2", "here", Qos::ExactlyOnce)).await.expect("published");
        assert_eq!(&client.message().await.payload[..], b"here");
        client.handle.subscribe(subscription("kept/3", Qos::AtLeastOnce)).await.expect("subscribed");
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_is_in_flight_survives_a_cut_when_the_session_does() {
    let broker = Mosquitto::start("max_inflight_messages 0\nmax_queued_messages 0").await;
    for version in VERSIONS {
        let relay = Relay::start(broker.port).await;
        let mut config = config_at(relay.port, version);
        config.profile.settings.session.client_id = "traveller".into();
        config.profile.settings.session.session_expiry_s = Some(3600);
        config.profile.settings.session.clean_start = version == MqttVersion::V5;
        config.profile.settings.timing.reconnect_max_s = 1;
        let mut watcher = Client::connected(broker.config(version, "watcher")).await;
        watcher.handle.subscribe(subscription("trip", Qos::ExactlyOnce)).await.expect("subscribed");
        let mut client = Client::connected(config).await;
        let publishing: Vec<_> = (0..300)
            .map(|n| {
                let handle = client.handle.clone();
                tokio::spawn(async move {
                    handle.publish(publication("trip", &n.to_string(), Qos::ExactlyOnce)).await
                })
            })
            .collect();
        watcher.message().await;
        relay.cut();
        while !matches!(client.phase().await, Phase::Waiting { .. }) {}
        client.handle.retry_now();
        let mut arrived = 1;
        let mut sent = 0;
        for task in publishing {
            match task.await.expect("no panic") {
                Ok(outcome) => {
                    assert_eq!(outcome.code.map(|code| code < 0x80), Some(true));
                    sent += 1;
                }
                Err(error) => assert_eq!(error.code, ErrorCode::NotConnected),
            }
        }
        while arrived < sent {
            watcher.message().await;
            arrived += 1;
        }
        assert!(client.sink.kinds().contains(&EventKind::SessionResumed));
        client.handle.disconnect(0).await;
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_is_in_flight_is_said_to_be_lost_when_the_session_is() {
    for version in VERSIONS {
        let connack = if version == MqttVersion::V5 { vec![0x20, 3, 0, 0, 0] } else { vec![0x20, 2, 0, 0] };
        let server =
            Scripted::start(vec![Step::Expect(0x10), Step::Send(connack), Step::Expect(0x32), Step::Close])
                .await;
        let client = Client::connected(server.config(version)).await;
        let publishing = client.handle.publish(publication("a", "x", Qos::AtLeastOnce));
        let error = timeout(BOUND, publishing).await.expect("in time").expect_err("lost");
        assert_eq!(error.code, ErrorCode::ConnectionLost);
        assert!(client.sink.kinds().contains(&EventKind::PublishFailed));
        client.handle.disconnect(0).await;
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_empty_client_id_is_filled_in_and_a_test_leaves_nothing_behind() {
    let broker = Mosquitto::start("").await;
    for version in VERSIONS {
        let seen = Arc::new(AtomicUsize::new(0));
        let counted = seen.clone();
        let observer = Arc::new(move |_| {
            counted.fetch_add(1, Ordering::Relaxed);
        });
        let trace = session::test(broker.config(version, ""), observer).await;
        assert_eq!(trace.verdict.as_ref().map(|v| v.outcome), Some(VerdictOutcome::Connected));
        let (detail, connack) = mqtt(&trace);
        assert!(
            detail.client_id.starts_with("helio-") && detail.client_id.len() == 14,
            "{}",
            detail.client_id
        );
        assert_eq!(connack.map(|c| c.code), Some(0));
        assert!(seen.load(Ordering::Relaxed) > 2);
    }
}
