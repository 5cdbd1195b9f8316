//! MQTT 3.1.1 over `rumqttc-v4-next`. See [`super::link`] for what the functions promise.

use std::collections::VecDeque;
use std::io;
use std::pin::Pin;

use rumqttc_v4::mqttbytes::Error as WireError;
use rumqttc_v4::{
    AsyncClient, Broker, ConnectAuth, ConnectionError, Event, EventLoop, LastWill, MqttOptions,
    NetworkOptions, Packet, PersistedAckMode, PersistedSession, Publish, PublishNotice, PublishOptions, QoS,
    SessionStore, SessionStoreError, SessionStoreKey, StateError, SubscribeReasonCode, Transport,
};

use super::connect::{Connect, connack_v311};
use super::line::Slot;
use super::link::{
    self, Answer, Broken, Brought, Happening, INFLIGHT, Lost, READ_BATCH, REQUESTS, WRITE_BATCH,
};
use super::publication::Outbound;
use crate::message::{Direction, Item, Message, UnixMicros};
use crate::profile::{Qos, Subscription};

pub(super) fn open(connect: &Connect, slot: Slot) -> (AsyncClient, EventLoop) {
    let mut options = MqttOptions::new(connect.client_id.clone(), Broker::tcp("dialled", 0));
    options.set_transport(Transport::Tcp);
    options.set_socket_connector(move |_, _| {
        let line = slot.take();
        async move { line }
    });
    let incoming = usize::try_from(connect.maximum_packet_size).unwrap_or(usize::MAX);
    options.set_max_packet_size(incoming, usize::MAX);
    options.set_clean_session(connect.clean_start);
    options.set_keep_alive(connect.keep_alive_s);
    options.set_auth(match (connect.username.clone(), connect.password()) {
        (Some(username), Some(password)) => ConnectAuth::UsernamePassword { username, password },
        (Some(username), None) => ConnectAuth::Username { username },
        (None, _) => ConnectAuth::None,
    });
    if let Some(will) = &connect.will {
        options.set_last_will(LastWill {
            topic: will.topic.clone(),
            message: will.payload.clone(),
            qos: qos(will.qos),
            retain: will.retain,
        });
    }
    if !connect.clean_start {
        options.set_session_store(EarlierSession { client_id: connect.client_id.clone() });
    }
    options.set_inflight(INFLIGHT);
    options.set_max_request_batch(WRITE_BATCH);
    options.set_read_batch_size(READ_BATCH);
    let (client, mut driver) = AsyncClient::builder(options).capacity(REQUESTS).build();
    // The deadline of the attempt is ours, and the stream has a write timeout.
    let mut network = NetworkOptions::new();
    network.set_connection_timeout(86_400);
    driver.set_network_options(network);
    (client, driver)
}

pub(super) fn prepare(driver: &mut EventLoop, keep_alive_s: u16) {
    driver.mqtt_options.set_keep_alive(keep_alive_s);
}

pub(super) async fn next(
    driver: &mut EventLoop,
    now: &(dyn Fn() -> UnixMicros + Sync),
    messages: &mut VecDeque<Item>,
) -> Result<Happening, Broken> {
    let first = driver.poll().await.map_err(broken)?;
    let time = now();
    Ok(link::sort(first, &mut driver.state.events, messages, |event| match event {
        Event::Incoming(Packet::Publish(publish)) => Brought::Message(message(publish, time)),
        Event::Incoming(Packet::ConnAck(connack)) => {
            Brought::Other(Happening::Connack(connack_v311(connack.session_present, connack.code as u8)))
        }
        _ => Brought::Other(Happening::Other),
    }))
}

pub(super) async fn publish(client: &AsyncClient, outbound: Outbound) -> Result<PublishNotice, Lost> {
    let options = PublishOptions::new(qos(outbound.qos)).retain(outbound.retain);
    client.publish_tracked(outbound.topic, outbound.payload, options).await.map_err(|_| Lost)
}

pub(super) async fn subscribe(client: &AsyncClient, wanted: &Subscription) -> Result<Answer, Lost> {
    let answer = client
        .subscribe_tracked(wanted.filter.as_str(), qos(wanted.qos))
        .await
        .map_err(|_| Lost)?
        .wait_async()
        .await
        .map_err(|_| Lost)?;
    Ok(Answer::code(match answer.return_codes.first() {
        Some(SubscribeReasonCode::Success(QoS::AtMostOnce)) => 0x00,
        Some(SubscribeReasonCode::Success(QoS::AtLeastOnce)) => 0x01,
        Some(SubscribeReasonCode::Success(QoS::ExactlyOnce)) => 0x02,
        Some(SubscribeReasonCode::Failure) | None => 0x80,
    }))
}

pub(super) async fn unsubscribe(client: &AsyncClient, filter: &str) -> Result<Answer, Lost> {
    client.unsubscribe_tracked(filter).await.map_err(|_| Lost)?.wait_async().await.map_err(|_| Lost)?;
    Ok(Answer::code(0))
}

pub(super) async fn disconnect(client: &AsyncClient, now: bool) {
    // It fails only when the driver is gone, and then there is nothing left to disconnect.
    let _ = match now {
        true => client.disconnect_now().await,
        false => client.disconnect().await,
    };
}

fn message(publish: Publish, time: UnixMicros) -> Message {
    Message {
        time,
        direction: Direction::In,
        topic: String::from_utf8_lossy(&publish.topic).into_owned(),
        payload: publish.payload,
        qos: match publish.qos {
            QoS::AtMostOnce => Qos::AtMostOnce,
            QoS::AtLeastOnce => Qos::AtLeastOnce,
            QoS::ExactlyOnce => Qos::ExactlyOnce,
        },
        retain: publish.retain,
        dup: publish.dup,
        properties: None,
    }
}

fn qos(qos: Qos) -> QoS {
    match qos {
        Qos::AtMostOnce => QoS::AtMostOnce,
        Qos::AtLeastOnce => QoS::AtLeastOnce,
        Qos::ExactlyOnce => QoS::ExactlyOnce,
    }
}

fn broken(error: ConnectionError) -> Broken {
    match error {
        ConnectionError::RequestsDone | ConnectionError::DisconnectTimeout => Broken::Done,
        ConnectionError::ConnectionRefused(_) => Broken::Refused,
        ConnectionError::Io(error)
        | ConnectionError::MqttState(
            StateError::Io(error) | StateError::Deserialization(WireError::Io(error)),
        ) => Broken::Io(error),
        ConnectionError::MqttState(StateError::ConnectionAborted) => Broken::Closed,
        ConnectionError::NetworkTimeout | ConnectionError::FlushTimeout => {
            Broken::Io(io::ErrorKind::TimedOut.into())
        }
        ConnectionError::NotConnAck(_) => Broken::Malformed("the first packet is not CONNACK".to_owned()),
        ConnectionError::MqttState(StateError::Deserialization(WireError::PayloadSizeLimitExceeded(
            size,
        ))) => Broken::TooLarge(size),
        ConnectionError::MqttState(error) => Broken::Malformed(error.to_string()),
        other => Broken::Malformed(other.to_string()),
    }
}

type Stored<'a, T> = Pin<Box<dyn Future<Output = Result<T, SessionStoreError>> + Send + 'a>>;

/// Tells the library that it may resume a session which an earlier run of the application left at the broker,
/// with nothing of ours in flight.
#[derive(Debug)]
struct EarlierSession {
    client_id: String,
}

impl SessionStore for EarlierSession {
    fn load<'a>(&'a self, _: &'a SessionStoreKey) -> Stored<'a, Option<PersistedSession>> {
        Box::pin(std::future::ready(Ok(Some(PersistedSession {
            format_version: 1,
            client_id: self.client_id.clone(),
            clean_session: false,
            max_inflight: INFLIGHT,
            ack_mode: PersistedAckMode::Automatic,
            last_pkid: 0,
            last_puback: 0,
            replay: Vec::new(),
            incoming_qos2: Vec::new(),
        }))))
    }

    fn save<'a>(&'a self, _: &'a SessionStoreKey, _: &'a PersistedSession) -> Stored<'a, ()> {
        Box::pin(std::future::ready(Ok(())))
    }

    fn clear<'a>(&'a self, _: &'a SessionStoreKey) -> Stored<'a, ()> {
        Box::pin(std::future::ready(Ok(())))
    }
}
