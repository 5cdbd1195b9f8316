//! MQTT 5 over `rumqttc-v5-next`. See [`super::link`] for what the functions promise.

use std::collections::VecDeque;
use std::io;
use std::pin::Pin;

use bytes::Bytes;
use rumqttc::mqttbytes::Error as WireError;
use rumqttc::{
    AsyncClient, Broker, ConnectAuth, ConnectProperties, ConnectionError, DisconnectProperties,
    DisconnectReasonCode, Event, EventLoop, IncomingPacketSizeLimit, LastWill, LastWillProperties,
    MqttOptions, Packet, PersistedAckMode, PersistedSession, Publish, PublishNotice, PublishOptions,
    PublishResult, QoS, RetainForwardRule, SessionStore, SessionStoreError, SessionStoreKey, StateError,
    SubscribeFilterInput, SubscribeProperties, SubscribeReasonCode, Transport,
};

use super::connect::{Connect, connack_v5, pairs, user_properties};
use super::line::Slot;
use super::link::{
    self, Answer, Broken, Brought, Happening, INFLIGHT, Lost, READ_BATCH, REQUESTS, WRITE_BATCH,
};
use super::publication::{Outbound, Properties};
use crate::message::{Direction, Item, Message, MessageProperties, UnixMicros};
use crate::profile::{Qos, Subscription};

pub(super) fn open(connect: &Connect, slot: Slot) -> (AsyncClient, EventLoop) {
    let asked = &connect.options;
    let mut options = MqttOptions::new(connect.client_id.clone(), Broker::tcp("dialled", 0));
    options.set_transport(Transport::Tcp);
    options.set_socket_connector(move |_, _| {
        let line = slot.take();
        async move { line }
    });
    options.set_connect_properties(ConnectProperties {
        session_expiry_interval: asked.session_expiry_s,
        receive_maximum: asked.receive_maximum,
        topic_alias_max: asked.topic_alias_maximum,
        request_response_info: asked.request_response_information.then_some(1),
        request_problem_info: (!asked.request_problem_information).then_some(0),
        user_properties: pairs(&asked.user_properties),
        ..ConnectProperties::new()
    });
    // Told to the broker only when the person set it; enforced always.
    options.set_incoming_packet_size_limit(match asked.maximum_packet_size {
        Some(bytes) => IncomingPacketSizeLimit::Bytes(bytes),
        None => IncomingPacketSizeLimit::Unlimited,
    });
    options.set_clean_start(connect.clean_start);
    options.set_keep_alive(connect.keep_alive_s);
    options.set_auth(match (connect.username.clone(), connect.password()) {
        (None, None) => ConnectAuth::None,
        (Some(username), None) => ConnectAuth::Username { username },
        (None, Some(password)) => ConnectAuth::Password { password },
        (Some(username), Some(password)) => ConnectAuth::UsernamePassword { username, password },
    });
    if let Some(will) = &connect.will {
        let said = &will.properties;
        options.set_last_will(LastWill {
            topic: Bytes::from(will.topic.clone()),
            message: will.payload.clone(),
            qos: qos(will.qos),
            retain: will.retain,
            properties: Some(LastWillProperties {
                delay_interval: will.delay_s,
                payload_format_indicator: said.payload_format_utf8.map(u8::from),
                message_expiry_interval: said.message_expiry_s,
                content_type: said.content_type.clone(),
                response_topic: said.response_topic.clone(),
                correlation_data: said.correlation_data.clone(),
                user_properties: pairs(&said.user_properties),
            }),
        });
    }
    if !connect.clean_start {
        options.set_session_store(EarlierSession { client_id: connect.client_id.clone() });
    }
    options.set_outgoing_inflight_upper_limit(INFLIGHT);
    options.set_max_request_batch(WRITE_BATCH);
    options.set_read_batch_size(READ_BATCH);
    // The deadline of the attempt is ours.
    options.set_connect_timeout(std::time::Duration::from_secs(86_400));
    AsyncClient::builder(options).capacity(REQUESTS).build()
}

pub(super) fn prepare(driver: &mut EventLoop, clean_start: bool, keep_alive_s: u16) {
    driver.options.set_clean_start(clean_start);
    driver.options.set_keep_alive(keep_alive_s);
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
        Event::Incoming(Packet::ConnAck(connack)) => Brought::Other(Happening::Connack(connack_v5(
            connack.session_present,
            0,
            connack.properties.as_ref(),
        ))),
        _ => Brought::Other(Happening::Other),
    }))
}

pub(super) async fn publish(client: &AsyncClient, outbound: Outbound) -> Result<PublishNotice, Lost> {
    let mut options = PublishOptions::new(qos(outbound.qos)).retain(outbound.retain);
    if let Some(properties) = outbound.properties {
        options = options.properties(publish_properties(&properties));
    }
    client.publish_tracked(outbound.topic, outbound.payload, options).await.map_err(|_| Lost)
}

pub(super) async fn published(notice: PublishNotice) -> Result<Answer, Lost> {
    let (code, reason_string) = match notice.wait_async().await.map_err(|_| Lost)? {
        PublishResult::Qos0Flushed => (None, None),
        PublishResult::Qos1(ack) => (Some(ack.reason as u8), ack.properties.and_then(|p| p.reason_string)),
        PublishResult::Qos2PubRecRejected(ack) => {
            (Some(ack.reason as u8), ack.properties.and_then(|p| p.reason_string))
        }
        PublishResult::Qos2Completed(ack) => {
            (Some(ack.reason as u8), ack.properties.and_then(|p| p.reason_string))
        }
    };
    Ok(Answer { code, reason_string })
}

pub(super) fn publish_size(outbound: &Outbound) -> usize {
    let properties = outbound.properties.as_ref().map(publish_properties);
    let mut packet =
        Publish::new(outbound.topic.as_str(), qos(outbound.qos), outbound.payload.clone(), properties);
    packet.pkid = 1;
    packet.size()
}

pub(super) async fn subscribe(
    client: &AsyncClient,
    wanted: &Subscription,
    id: Option<u32>,
) -> Result<Answer, Lost> {
    let filter = SubscribeFilterInput::new(wanted.filter.as_str(), qos(wanted.qos))
        .no_local(wanted.no_local)
        .preserve_retain(wanted.retain_as_published)
        .retain_forward_rule(match wanted.retain_handling {
            0 => RetainForwardRule::OnEverySubscribe,
            1 => RetainForwardRule::OnNewSubscribe,
            _ => RetainForwardRule::Never,
        });
    let properties =
        SubscribeProperties { id: id.and_then(|id| usize::try_from(id).ok()), user_properties: Vec::new() };
    let answer = client
        .subscribe_many_with_properties_tracked([filter], properties)
        .await
        .map_err(|_| Lost)?
        .wait_async()
        .await
        .map_err(|_| Lost)?;
    Ok(Answer {
        code: Some(answer.return_codes.first().map_or(0x80, suback_code)),
        reason_string: answer.properties.and_then(|p| p.reason_string),
    })
}

pub(super) async fn unsubscribe(client: &AsyncClient, filter: &str) -> Result<Answer, Lost> {
    let answer =
        client.unsubscribe_tracked(filter).await.map_err(|_| Lost)?.wait_async().await.map_err(|_| Lost)?;
    Ok(Answer {
        code: Some(answer.reasons.first().map_or(0, |reason| *reason as u8)),
        reason_string: answer.properties.and_then(|p| p.reason_string),
    })
}

pub(super) async fn disconnect(client: &AsyncClient, code: u8, now: bool) {
    let reason = DisconnectReasonCode::try_from(code).unwrap_or(DisconnectReasonCode::NormalDisconnection);
    let properties = DisconnectProperties {
        session_expiry_interval: None,
        reason_string: None,
        user_properties: Vec::new(),
        server_reference: None,
    };
    // It fails only when the driver is gone, and then there is nothing left to disconnect.
    let _ = match now {
        true => client.disconnect_now_with_properties(reason, properties).await,
        false => client.disconnect_with_properties(reason, properties).await,
    };
}

fn message(publish: Publish, time: UnixMicros) -> Message {
    let said = publish.properties.map(|said| MessageProperties {
        payload_format_utf8: said.payload_format_indicator.map(|format| format == 1),
        message_expiry_s: said.message_expiry_interval,
        topic_alias: said.topic_alias,
        response_topic: said.response_topic,
        correlation_data_hex: said.correlation_data.map(hex::encode),
        content_type: said.content_type,
        subscription_ids: said
            .subscription_identifiers
            .iter()
            .filter_map(|id| u32::try_from(*id).ok())
            .collect(),
        user_properties: user_properties(&said.user_properties),
    });
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
        properties: said.and_then(MessageProperties::of_message),
    }
}

fn publish_properties(given: &Properties) -> rumqttc::PublishProperties {
    rumqttc::PublishProperties {
        payload_format_indicator: given.payload_format_utf8.map(u8::from),
        message_expiry_interval: given.message_expiry_s,
        topic_alias: given.topic_alias,
        response_topic: given.response_topic.clone(),
        correlation_data: given.correlation_data.clone(),
        user_properties: pairs(&given.user_properties),
        subscription_identifiers: Vec::new(),
        content_type: given.content_type.clone(),
    }
}

fn qos(qos: Qos) -> QoS {
    match qos {
        Qos::AtMostOnce => QoS::AtMostOnce,
        Qos::AtLeastOnce => QoS::AtLeastOnce,
        Qos::ExactlyOnce => QoS::ExactlyOnce,
    }
}

/// Reason codes of SUBACK (3.9.3).
fn suback_code(code: &SubscribeReasonCode) -> u8 {
    match code {
        SubscribeReasonCode::Success(QoS::AtMostOnce) => 0x00,
        SubscribeReasonCode::Success(QoS::AtLeastOnce) => 0x01,
        SubscribeReasonCode::Success(QoS::ExactlyOnce) => 0x02,
        SubscribeReasonCode::Failure | SubscribeReasonCode::Unspecified => 0x80,
        SubscribeReasonCode::ImplementationSpecific => 0x83,
        SubscribeReasonCode::NotAuthorized => 0x87,
        SubscribeReasonCode::TopicFilterInvalid => 0x8f,
        SubscribeReasonCode::PkidInUse => 0x91,
        SubscribeReasonCode::QuotaExceeded => 0x97,
        SubscribeReasonCode::SharedSubscriptionsNotSupported => 0x9e,
        SubscribeReasonCode::SubscriptionIdNotSupported => 0xa1,
        SubscribeReasonCode::WildcardSubscriptionsNotSupported => 0xa2,
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
        ConnectionError::MqttState(StateError::ServerDisconnect { reason_code, reason_string }) => {
            Broken::Disconnected { code: reason_code as u8, reason_string }
        }
        ConnectionError::Timeout(_) => Broken::Io(io::ErrorKind::TimedOut.into()),
        ConnectionError::NotConnAck(_) => Broken::Malformed("the first packet is not CONNACK".to_owned()),
        ConnectionError::MqttState(StateError::IncomingPacketTooLarge { pkt_size, .. }) => {
            Broken::TooLarge(pkt_size)
        }
        ConnectionError::MqttState(StateError::Deserialization(WireError::PayloadSizeLimitExceeded {
            pkt_size,
            ..
        })) => Broken::TooLarge(pkt_size),
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
            clean_start: false,
            session_expiry_interval: None,
            outgoing_inflight_upper_limit: Some(INFLIGHT),
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
