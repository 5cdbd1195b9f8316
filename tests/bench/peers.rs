//! What the figures are compared with: the MQTT library without anything of ours.

use heliograph_engine::profile::MqttVersion;

use crate::machine::{Rate, Stopwatch};

/// The library alone, as its documentation shows it: polled in a loop, messages counted.
pub async fn library(version: MqttVersion, port: u16, qos: u8, messages: u64) -> Rate {
    match version {
        MqttVersion::V5 => v5(port, qos, messages).await,
        MqttVersion::V311 => v311(port, qos, messages).await,
    }
}

async fn v5(port: u16, qos: u8, messages: u64) -> Rate {
    use rumqttc::{AsyncClient, Broker, Event, MqttOptions, NetworkOptions, Packet, QoS};
    let mut options = MqttOptions::new("bare", Broker::tcp("127.0.0.1", port));
    options.set_outgoing_inflight_upper_limit(1000);
    let mut network = NetworkOptions::new();
    network.set_tcp_nodelay(true);
    options.set_network_options(network);
    options.set_keep_alive(60);
    let (client, mut driver) = AsyncClient::builder(options).capacity(10).build();
    client
        .subscribe("#", [QoS::AtMostOnce, QoS::AtLeastOnce, QoS::ExactlyOnce][usize::from(qos)])
        .await
        .expect("asked");
    let watch = Stopwatch::start();
    let mut received = 0;
    while received < messages {
        if let Event::Incoming(Packet::Publish(_)) = driver.poll().await.expect("a connection") {
            received += 1;
        }
    }
    watch.stop(messages)
}

async fn v311(port: u16, qos: u8, messages: u64) -> Rate {
    use rumqttc_v4::{AsyncClient, Broker, Event, MqttOptions, NetworkOptions, Packet, QoS};
    let mut options = MqttOptions::new("bare", Broker::tcp("127.0.0.1", port));
    options.set_keep_alive(60);
    let (client, mut driver) = AsyncClient::builder(options).capacity(10).build();
    let mut network = NetworkOptions::new();
    network.set_tcp_nodelay(true);
    driver.set_network_options(network);
    client
        .subscribe("#", [QoS::AtMostOnce, QoS::AtLeastOnce, QoS::ExactlyOnce][usize::from(qos)])
        .await
        .expect("asked");
    let watch = Stopwatch::start();
    let mut received = 0;
    while received < messages {
        if let Event::Incoming(Packet::Publish(_)) = driver.poll().await.expect("a connection") {
            received += 1;
        }
    }
    watch.stop(messages)
}

/// Publishes with the library alone, its queue as long as ours, until the last acknowledgement (QoS 0: until written).
pub async fn publish(port: u16, qos: u8, messages: u64) -> Rate {
    use rumqttc::{
        AsyncClient, Broker, Event, MqttOptions, NetworkOptions, Outgoing, Packet, PublishOptions, QoS,
    };
    let mut options = MqttOptions::new("bare", Broker::tcp("127.0.0.1", port));
    options.set_outgoing_inflight_upper_limit(1000);
    let mut network = NetworkOptions::new();
    network.set_tcp_nodelay(true);
    options.set_network_options(network);
    options.set_max_request_batch(100);
    let (client, mut driver) = AsyncClient::builder(options).capacity(256).build();
    let level = [QoS::AtMostOnce, QoS::AtLeastOnce, QoS::ExactlyOnce][usize::from(qos)];
    let watch = Stopwatch::start();
    tokio::spawn(async move {
        let payload = vec![b'x'; 64];
        for _ in 0..messages {
            let options = PublishOptions::new(level);
            client.publish("helio/bench", payload.clone(), options).await.expect("taken");
        }
        // Kept until the end: without a client the driver says goodbye.
        std::future::pending::<()>().await;
    });
    let mut done = 0;
    while done < messages {
        match (qos, driver.poll().await.expect("a connection")) {
            (0, Event::Outgoing(Outgoing::Publish(_)))
            | (1, Event::Incoming(Packet::PubAck(_)))
            | (2, Event::Incoming(Packet::PubComp(_))) => done += 1,
            _ => {}
        }
    }
    watch.stop(messages)
}
