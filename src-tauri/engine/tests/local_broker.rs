//! The local broker as clients meet it: what MQTT promises, on loopback, with real clients.

use std::net::{Ipv4Addr, Ipv6Addr};
use std::path::Path;
use std::process::{Command, Stdio};
use std::time::Duration;

use heliograph_engine::broker::devices::Devices;
use heliograph_engine::broker::{BrokerFiles, BrokerOptions, BrokerPorts, LocalBroker, certificates};
use heliograph_engine::error::ErrorCode;
use heliograph_engine::secret::Secret;
use rumqttc::mqttbytes::v5::{ConnAck, ConnectReturnCode, LastWill, Packet, Publish, PublishProperties};
use rumqttc::{AsyncClient, ConnectionError, Event, MqttOptions, PublishOptions, QoS};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::mpsc;
use tokio::time::timeout;

const BOUND: Duration = Duration::from_secs(10);

fn free_ports() -> BrokerOptions {
    BrokerOptions { ports: BrokerPorts { mqtt: 0, mqtts: 0, ws: 0, wss: 0 }, ..Default::default() }
}

async fn start(dir: &Path, options: &BrokerOptions) -> LocalBroker {
    LocalBroker::start(dir, options, None).await.expect("the broker starts")
}

fn port(broker: &LocalBroker, index: usize) -> u16 {
    let url = url::Url::parse(&broker.urls()[index]).expect("a URL");
    url.port().expect("a port")
}

/// A client whose event loop runs until it or its connection ends.
struct Client {
    client: AsyncClient,
    connack: ConnAck,
    messages: mpsc::UnboundedReceiver<Publish>,
    /// What ended the connection.
    end: tokio::task::JoinHandle<ConnectionError>,
}

impl Client {
    async fn connect(
        port: u16,
        id: &str,
        set: impl FnOnce(&mut MqttOptions),
    ) -> Result<Self, ConnectionError> {
        let mut options = MqttOptions::new(id, ("localhost", port));
        options.set_unlimited_incoming_packet_size();
        options.set_keep_alive(30);
        set(&mut options);
        let (client, mut events) = AsyncClient::builder(options).capacity(100).build();
        let connack = loop {
            if let Event::Incoming(Packet::ConnAck(connack)) = events.poll().await? {
                break connack;
            }
        };
        let (sender, messages) = mpsc::unbounded_channel();
        let end = tokio::spawn(async move {
            loop {
                match events.poll().await {
                    Ok(Event::Incoming(Packet::Publish(publish))) => {
                        sender.send(publish).ok();
                    }
                    Ok(_) => {}
                    Err(error) => return error,
                }
            }
        });
        Ok(Self { client, connack, messages, end })
    }

    async fn subscribe(&self, filter: &str, qos: QoS) {
        let notice = self.client.subscribe_tracked(filter, qos).await.expect("queued");
        timeout(BOUND, notice.wait_async()).await.expect("in time").expect("SUBACK");
    }

    async fn publish(&self, topic: &str, payload: &[u8], options: PublishOptions) {
        let notice = self.client.publish_tracked(topic.to_owned(), payload, options).await.expect("queued");
        timeout(BOUND, notice.wait_async()).await.expect("in time").expect("acknowledged");
    }

    async fn next(&mut self) -> Publish {
        timeout(BOUND, self.messages.recv()).await.expect("in time").expect("a message")
    }

    async fn disconnect(self) {
        self.client.disconnect().await.expect("queued");
        timeout(BOUND, self.end).await.expect("in time").expect("its task");
    }

    /// Ends the connection without a DISCONNECT.
    async fn vanish(self) {
        self.end.abort();
        self.end.await.ok();
    }
}

#[tokio::test]
async fn round_trips_retained_messages_and_properties_unaltered() {
    let dir = tempfile::tempdir().expect("directory");
    let broker = start(dir.path(), &free_ports()).await;
    let mut client = Client::connect(port(&broker, 0), "plant/line-3/a", |_| {}).await.expect("connected");
    client.subscribe("plant/+", QoS::ExactlyOnce).await;
    let properties = PublishProperties {
        payload_format_indicator: Some(1),
        response_topic: Some("plant/answer".into()),
        correlation_data: Some(vec![0, 1, 2].into()),
        user_properties: vec![("unit".into(), "°C".into()), ("unit".into(), "K".into())],
        content_type: Some("text/plain".into()),
        ..Default::default()
    };
    for qos in [QoS::AtMostOnce, QoS::AtLeastOnce, QoS::ExactlyOnce] {
        let options = PublishOptions::new(qos).retained().properties(properties.clone());
        client.publish("plant/温度", "21 °C".as_bytes(), options).await;
        let got = client.next().await;
        assert_eq!((&got.topic[..], &got.payload[..]), ("plant/温度".as_bytes(), "21 °C".as_bytes()));
        assert_eq!(got.qos, qos);
        assert_eq!(got.properties.expect("properties"), properties);
    }
    client.disconnect().await;

    let mut late = Client::connect(port(&broker, 0), "b", |_| {}).await.expect("connected");
    late.subscribe("#", QoS::AtMostOnce).await;
    let kept = late.next().await;
    assert!(kept.retain);
    assert_eq!(kept.properties.expect("properties"), properties);
    broker.stop().await;
}

#[tokio::test]
async fn takes_packets_of_many_megabytes() {
    let dir = tempfile::tempdir().expect("directory");
    let broker = start(dir.path(), &free_ports()).await;
    let mut client = Client::connect(port(&broker, 0), "large", |_| {}).await.expect("connected");
    let limit = client.connack.properties.as_ref().and_then(|p| p.max_packet_size);
    assert!(limit.is_none_or(|limit| limit >= 256 << 20), "{limit:?}");
    client.subscribe("large", QoS::AtLeastOnce).await;
    let payload = vec![0x5A; 24 << 20];
    client.publish("large", &payload, PublishOptions::at_least_once()).await;
    assert!(client.next().await.payload == payload);
    broker.stop().await;
}

#[tokio::test]
async fn shared_subscriptions_wills_and_sessions_that_wait() {
    let dir = tempfile::tempdir().expect("directory");
    let broker = start(dir.path(), &free_ports()).await;
    let at = port(&broker, 0);

    let mut one = Client::connect(at, "one", |_| {}).await.expect("connected");
    let mut two = Client::connect(at, "two", |_| {}).await.expect("connected");
    let sender = Client::connect(at, "sender", |_| {}).await.expect("connected");
    one.subscribe("$share/workers/jobs", QoS::AtLeastOnce).await;
    two.subscribe("$share/workers/jobs", QoS::AtLeastOnce).await;
    for job in 0..10u8 {
        sender.publish("jobs", &[job], PublishOptions::at_least_once()).await;
    }
    let mut jobs = Vec::new();
    while jobs.len() < 10 {
        let job = tokio::select! { job = one.next() => job, job = two.next() => job };
        jobs.push(job.payload[0]);
    }
    jobs.sort_unstable();
    assert_eq!(jobs, (0..10).collect::<Vec<u8>>());

    one.subscribe("status", QoS::AtLeastOnce).await;
    let will = LastWill::new("status", "gone", QoS::AtLeastOnce, false, None);
    let mortal = Client::connect(at, "mortal", |o| {
        o.set_last_will(will);
    })
    .await
    .expect("connected");
    mortal.vanish().await;
    assert_eq!(&one.next().await.payload[..], b"gone");

    let stay = |options: &mut MqttOptions| {
        options.set_clean_start(false);
        options.set_session_expiry_interval(Some(600));
        options.set_broker_session_resume_policy(rumqttc::BrokerSessionResumePolicy::AllowBrokerOnly);
    };
    let away = Client::connect(at, "away", stay).await.expect("connected");
    assert!(!away.connack.session_present);
    away.subscribe("mail", QoS::ExactlyOnce).await;
    away.disconnect().await;
    for (letter, qos) in [(b"1", QoS::AtLeastOnce), (b"2", QoS::ExactlyOnce)] {
        sender.publish("mail", letter, PublishOptions::new(qos)).await;
    }
    let mut back = Client::connect(at, "away", stay).await.expect("connected");
    assert!(back.connack.session_present);
    assert_eq!(&back.next().await.payload[..], b"1");
    assert_eq!(&back.next().await.payload[..], b"2");
    broker.stop().await;
}

#[tokio::test]
async fn a_login_is_asked_for_and_mistakes_lock_nobody_out() {
    let dir = tempfile::tempdir().expect("directory");
    let options = BrokerOptions { username: "planta".into(), ..free_ports() };
    let broker =
        LocalBroker::start(dir.path(), &options, Some(Secret::new("grün"))).await.expect("the broker starts");
    let at = port(&broker, 0);
    for (username, password) in [("planta", "wrong"), ("other", "grün"), ("planta", "")].repeat(10) {
        let refused = Client::connect(at, "x", |o| {
            o.set_credentials(username, password.to_owned());
        })
        .await;
        assert!(matches!(
            refused.err(),
            Some(ConnectionError::ConnectionRefused(ConnectReturnCode::BadUserNamePassword))
        ));
    }
    assert!(Client::connect(at, "x", |_| {}).await.is_err());
    let admitted = Client::connect(at, "x", |o| {
        o.set_credentials("planta", "grün");
    })
    .await;
    assert!(admitted.is_ok());
    broker.stop().await;
}

#[tokio::test]
async fn stopping_tells_clients_and_frees_the_ports() {
    let dir = tempfile::tempdir().expect("directory");
    let mut options = free_ports();
    let broker = start(dir.path(), &options).await;
    options.ports = BrokerPorts {
        mqtt: port(&broker, 0),
        mqtts: port(&broker, 1),
        ws: port(&broker, 2),
        wss: port(&broker, 3),
    };
    let mut client = TcpStream::connect((Ipv4Addr::LOCALHOST, options.ports.mqtt)).await.expect("connected");
    client.write_all(b"\x10\x0E\0\x04MQTT\x05\x02\0\x3C\0\0\x01a").await.expect("CONNECT");
    let mut header = [0; 2];
    client.read_exact(&mut header).await.expect("CONNACK");
    assert_eq!(header[0], 0x20);
    client.read_exact(&mut vec![0; usize::from(header[1])]).await.expect("CONNACK");
    // Connected, but silent: these must not hold it up.
    let mut silent = Vec::new();
    for at in [options.ports.mqtt, options.ports.mqtts, options.ports.ws, options.ports.wss] {
        silent.push(TcpStream::connect((Ipv4Addr::LOCALHOST, at)).await.expect("connected"));
    }
    timeout(Duration::from_secs(1), broker.stop()).await.expect("a quick stop");
    let mut last = Vec::new();
    timeout(BOUND, client.read_to_end(&mut last)).await.expect("in time").expect("a clean end");
    assert_eq!((last[0], last[2]), (0xE0, 0x8B), "DISCONNECT, Server shutting down: {last:x?}");
    for mut stream in silent {
        let ended = timeout(BOUND, stream.read(&mut [0; 16])).await.expect("in time");
        assert!(matches!(ended, Ok(0) | Err(_)));
    }
    // The same ports again, at once, with the same certificates.
    let again = start(dir.path(), &options).await;
    assert_eq!(port(&again, 3), options.ports.wss);
    again.stop().await;
}

#[tokio::test]
async fn listens_on_loopback_alone_and_a_silent_client_stops_nobody() {
    let dir = tempfile::tempdir().expect("directory");
    let broker = start(dir.path(), &free_ports()).await;
    for index in 0..4 {
        let _silent =
            TcpStream::connect((Ipv4Addr::LOCALHOST, port(&broker, index))).await.expect("connected");
        // Nothing of ours holds this port on the other addresses.
        let everywhere = TcpListener::bind((Ipv4Addr::new(127, 0, 0, 2), port(&broker, index))).await;
        assert!(everywhere.is_ok());
    }
    assert!(upgrade(port(&broker, 2), "/mqtt").await.starts_with("HTTP/1.1 101"));
    assert!(
        upgrade(port(&broker, 2), "/mqtt").await.to_lowercase().contains("sec-websocket-protocol: mqtt\r")
    );
    assert!(upgrade(port(&broker, 2), "/other").await.starts_with("HTTP/1.1 404"));
    if let Ok(probe) = TcpListener::bind((Ipv6Addr::LOCALHOST, 0)).await {
        drop(probe);
        TcpStream::connect((Ipv6Addr::LOCALHOST, port(&broker, 0))).await.expect("connected");
    }
    broker.stop().await;
}

async fn upgrade(port: u16, path: &str) -> String {
    let mut stream = TcpStream::connect((Ipv4Addr::LOCALHOST, port)).await.expect("connected");
    let request = format!(
        "GET {path} HTTP/1.1\r\nHost: localhost\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n\
         Sec-WebSocket-Version: 13\r\nSec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n\
         Sec-WebSocket-Protocol: mqttv3.1, mqtt\r\n\r\n"
    );
    stream.write_all(request.as_bytes()).await.expect("written");
    let mut answer = vec![0; 1024];
    let length = timeout(BOUND, stream.read(&mut answer)).await.expect("in time").expect("an answer");
    String::from_utf8_lossy(&answer[..length]).into_owned()
}

/// MQTT 5, 6.0: packets and frames need not be aligned.
#[tokio::test]
async fn websocket_frames_of_any_size_are_one_stream() {
    use futures_util::{SinkExt, StreamExt};
    use tokio_tungstenite::tungstenite::{Message, client::IntoClientRequest, protocol::WebSocketConfig};

    let dir = tempfile::tempdir().expect("directory");
    let broker = start(dir.path(), &free_ports()).await;
    let request = || broker.urls()[2].as_str().into_client_request().expect("a request");
    let limits = WebSocketConfig::default().max_message_size(None).max_frame_size(None);
    let dial = || async {
        let stream = TcpStream::connect((Ipv4Addr::LOCALHOST, port(&broker, 2))).await.expect("connected");
        let dialled = tokio_tungstenite::client_async_with_config(request(), stream, Some(limits)).await;
        dialled.expect("upgraded").0
    };

    const PAYLOAD: usize = 40 << 20;
    let mut publish = b"\x30\x88\x80\x80\x14\0\x05large\0".to_vec();
    publish.resize(publish.len() + PAYLOAD, b'x');
    let mut socket = dial().await;
    for part in
        [&b"\x10\x0E\0\x04MQ"[..], b"", b"TT\x05\x02\0\x3C\0\0\x01w", b"\x82\x0B\0\x01\0\0\x05large\0"]
    {
        socket.send(Message::binary(part.to_vec())).await.expect("sent");
    }
    socket.send(Message::binary(publish.clone())).await.expect("sent");
    let mut received = Vec::new();
    while !received.ends_with(&publish[publish.len() - PAYLOAD - 8..]) {
        let frame = timeout(BOUND, socket.next()).await.expect("in time").expect("a frame").expect("a frame");
        received.extend_from_slice(&frame.into_data());
        if received.len() > PAYLOAD + 1024 {
            break;
        }
    }
    assert!(received.ends_with(&publish[5..]));

    let mut texting = dial().await;
    texting.send(Message::text("hello")).await.expect("sent");
    let answer = timeout(BOUND, texting.next()).await.expect("in time");
    assert!(!matches!(answer, Some(Ok(Message::Binary(_)))), "{answer:?}");
    broker.stop().await;
}

#[tokio::test]
async fn a_port_in_use_is_named() {
    let dir = tempfile::tempdir().expect("directory");
    let taken = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).await.expect("a port");
    let at = taken.local_addr().expect("its address").port();
    let mut options = free_ports();
    options.ports.ws = at;
    let error = LocalBroker::start(dir.path(), &options, None).await.err().expect("refused");
    assert_eq!(error.code, ErrorCode::Broker);
    assert!(error.message.contains(&at.to_string()) && error.message.contains("ws listener"), "{error}");
    assert_eq!(error.details["listener"], "ws");
    assert_eq!(error.details["port"], at);

    options.ports.wss = at;
    let error = LocalBroker::start(dir.path(), &options, None).await.err().expect("refused");
    assert_eq!(error.details["listener"], "wss");
}

/// A real client that is not ours.
async fn mosquitto_pub(port: u16, files: &BrokerFiles, with_certificate: bool, version: &str) -> bool {
    let mut command = Command::new("mosquitto_pub");
    command.args([
        "-h",
        "localhost",
        "-p",
        &port.to_string(),
        "-V",
        version,
        "-q",
        "2",
        "-t",
        "t",
        "-m",
        "x",
    ]);
    command.args(["--cafile", &files.ca]);
    if with_certificate {
        command.args(["--cert", &files.client_cert, "--key", &files.client_key]);
    }
    let run = move || command.stderr(Stdio::null()).status().expect("mosquitto_pub").success();
    tokio::task::spawn_blocking(run).await.expect("its thread")
}

#[tokio::test]
async fn client_certificates_are_accepted_and_required_where_asked() {
    let dir = tempfile::tempdir().expect("directory");
    let lenient = start(dir.path(), &free_ports()).await;
    let strict = BrokerOptions { require_client_certificate: true, ..free_ports() };
    let strict = start(dir.path(), &strict).await;
    for version in ["mqttv5", "mqttv311"] {
        for (broker, with_certificate, expected) in
            [(&lenient, false, true), (&lenient, true, true), (&strict, true, true), (&strict, false, false)]
        {
            let admitted = mosquitto_pub(port(broker, 1), broker.files(), with_certificate, version).await;
            assert_eq!(admitted, expected, "{version}, certificate {with_certificate}");
        }
    }
    let elsewhere = tempfile::tempdir().expect("directory");
    let stranger = certificates(elsewhere.path()).expect("made");
    let foreign = BrokerFiles { ca: lenient.files().ca.clone(), ..stranger };
    assert!(!mosquitto_pub(port(&lenient, 1), &foreign, true, "mqttv5").await, "a certificate of another CA");
    // Two brokers at once share certificates, not messages.
    lenient.stop().await;
    strict.stop().await;
}

#[tokio::test]
async fn devices_publish_and_say_goodbye() {
    let dir = tempfile::tempdir().expect("directory");
    let broker = start(dir.path(), &free_ports()).await;
    let mut client = Client::connect(port(&broker, 0), "watcher", |_| {}).await.expect("connected");
    client.subscribe("factory/#", QoS::ExactlyOnce).await;
    let devices = Devices::start(&broker.urls()[0], None, 42).expect("devices");
    let mut missing = vec![
        "factory/line-3/press-07/status",
        "factory/line-3/press-07/telemetry",
        "factory/line-3/conveyor-1/speed",
        "factory/energy/meter-3",
        "factory/line-3/camera-1/frame",
        "factory/line-3/alarm",
    ];
    while !missing.is_empty() {
        let topic = client.next().await.topic;
        missing.retain(|wanted| wanted.as_bytes() != &topic[..]);
    }
    devices.stop().await;
    client.disconnect().await;

    let mut late = Client::connect(port(&broker, 0), "late", |_| {}).await.expect("connected");
    late.subscribe("factory/line-3/press-07/status", QoS::AtLeastOnce).await;
    let status = late.next().await;
    assert!(status.retain);
    assert_eq!(&status.payload[..], b"offline");
    broker.stop().await;
}
