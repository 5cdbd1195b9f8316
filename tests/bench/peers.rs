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
    use rumqttc::{AsyncClient, Broker, Event, MqttOptions, Packet, QoS};
    let mut options = MqttOptions::new("bare", Broker::tcp("127.0.0.1", port));
    options.set_outgoing_inflight_upper_limit(1000);
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
    use rumqttc_v4::{AsyncClient, Broker, Event, MqttOptions, Packet, QoS};
    let mut options = MqttOptions::new("bare", Broker::tcp("127.0.0.1", port));
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
