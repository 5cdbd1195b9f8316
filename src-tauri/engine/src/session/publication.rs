//! What a person publishes, checked against the protocol and against what the broker said it takes, before
//! anything is handed to the library: a packet that the broker does not take costs the connection.

use bytes::Bytes;

use crate::draft::payload_bytes;
use crate::error::{Error, ErrorCode, ErrorReason, Result};
use crate::message::{Direction, Message, MessageProperties, UnixMicros};
use crate::profile::{MqttVersion, PublishProperties, Qos, Subscription, UserProperty};
use crate::topic;
use crate::trace::Connack;

/// The largest Remaining Length (MQTT 5, 1.5.5).
const LARGEST_REMAINING_LENGTH: usize = 268_435_455;

/// A message to publish.
#[derive(Debug, Clone, Default)]
pub struct Publication {
    /// Topic name.
    pub topic: String,
    /// Its bytes.
    pub payload: Bytes,
    /// Quality of service.
    pub qos: Qos,
    /// RETAIN.
    pub retain: bool,
    /// MQTT 5 properties; 3.1.1 does not send them.
    pub properties: PublishProperties,
}

/// Properties of a message to send, decoded.
#[derive(Debug, Clone, Default)]
pub(super) struct Properties {
    pub(super) payload_format_utf8: Option<bool>,
    pub(super) message_expiry_s: Option<u32>,
    pub(super) topic_alias: Option<u16>,
    pub(super) response_topic: Option<String>,
    pub(super) correlation_data: Option<Bytes>,
    pub(super) content_type: Option<String>,
    pub(super) user_properties: Vec<UserProperty>,
}

impl Properties {
    /// Decodes and checks them.
    ///
    /// # Errors
    /// `invalid_input`, naming the property.
    pub(super) fn new(given: &PublishProperties) -> Result<Self> {
        let correlation_data = given.correlation_data.as_ref().map(payload_bytes).transpose()?;
        if let Some(response_topic) = &given.response_topic {
            topic::check_name(response_topic)
                .map_err(|error| Error::topic("properties.response_topic", "The response topic", error))?;
        }
        let lengths = [
            ("properties.content_type", given.content_type.as_ref().map_or(0, String::len)),
            ("properties.correlation_data", correlation_data.as_ref().map_or(0, Bytes::len)),
        ];
        let pairs = given.user_properties.iter().flat_map(|p| [p.name.len(), p.value.len()]);
        for (field, length) in
            lengths.into_iter().chain(pairs.map(|length| ("properties.user_properties", length)))
        {
            if length > 65_535 {
                let message = "It is longer than 65,535 bytes, which MQTT cannot send";
                return Err(Error::invalid(field, ErrorReason::TextTooLong, message));
            }
        }
        Ok(Self {
            payload_format_utf8: given.payload_format_utf8,
            message_expiry_s: given.message_expiry_s,
            topic_alias: given.topic_alias,
            response_topic: given.response_topic.clone(),
            correlation_data,
            content_type: given.content_type.clone(),
            user_properties: given.user_properties.clone(),
        })
    }
}

/// A publication that may go to the library.
pub(super) struct Outbound {
    pub(super) topic: String,
    pub(super) payload: Bytes,
    pub(super) qos: Qos,
    pub(super) retain: bool,
    /// `None` where none are sent.
    pub(super) properties: Option<Properties>,
}

impl Outbound {
    /// Checks what can be checked without knowing the packet's size.
    ///
    /// # Errors
    /// `invalid_input` naming the field, or `limit_exceeded` naming the broker's limit.
    pub(super) fn new(given: Publication, version: MqttVersion, connack: &Connack) -> Result<Self> {
        topic::check_name(&given.topic).map_err(|error| Error::topic("topic", "The topic", error))?;
        let properties = match version {
            MqttVersion::V311 => None,
            MqttVersion::V5 if given.properties == PublishProperties::default() => None,
            MqttVersion::V5 => Some(Properties::new(&given.properties)?),
        };
        if let Some(maximum) = connack.maximum_qos.filter(|maximum| u8::from(given.qos) > *maximum) {
            let message = format!("The broker takes QoS {maximum} at most");
            return Err(limit(ErrorReason::MaximumQos, maximum.into(), message));
        }
        if given.retain && connack.retain_available == Some(false) {
            return Err(limit(
                ErrorReason::RetainAvailable,
                0,
                "The broker does not take retained messages".into(),
            ));
        }
        if let Some(alias) = properties.as_ref().and_then(|p| p.topic_alias) {
            let maximum = connack.topic_alias_maximum.unwrap_or(0);
            if alias == 0 {
                let message = "A topic alias is 1 or more";
                return Err(Error::invalid("properties.topic_alias", ErrorReason::TopicAliasZero, message));
            }
            if alias > maximum {
                let message = match maximum {
                    0 => "The broker takes no topic aliases".to_owned(),
                    maximum => format!("The broker takes topic aliases up to {maximum}"),
                };
                return Err(limit(ErrorReason::TopicAliasMaximum, maximum.into(), message));
            }
        }
        let Publication { topic, payload, qos, retain, .. } = given;
        Ok(Self { topic, payload, qos, retain, properties })
    }

    /// How it stands in the stream.
    pub(super) fn message(&self, time: UnixMicros) -> Message {
        let given = self.properties.as_ref().map(|p| MessageProperties {
            payload_format_utf8: p.payload_format_utf8,
            message_expiry_s: p.message_expiry_s,
            topic_alias: p.topic_alias,
            response_topic: p.response_topic.clone(),
            correlation_data_hex: p.correlation_data.as_ref().map(hex::encode),
            content_type: p.content_type.clone(),
            subscription_ids: Vec::new(),
            user_properties: p.user_properties.clone(),
        });
        Message {
            time,
            direction: Direction::Out,
            topic: self.topic.clone(),
            payload: self.payload.clone(),
            qos: self.qos,
            retain: self.retain,
            dup: false,
            properties: given.and_then(MessageProperties::of_message),
        }
    }
}

/// Checks the size of a whole packet.
///
/// # Errors
/// `limit_exceeded` naming the limit.
pub(super) fn check_size(bytes: usize, connack: &Connack) -> Result<()> {
    if let Some(maximum) = connack.maximum_packet_size.filter(|maximum| bytes as u64 > u64::from(*maximum)) {
        let message =
            format!("The packet would have {bytes} bytes; the broker takes packets up to {maximum} bytes");
        return Err(limit(ErrorReason::MaximumPacketSize, maximum.into(), message).with("bytes", bytes));
    }
    if bytes > LARGEST_REMAINING_LENGTH {
        let message = format!("The packet would have {bytes} bytes; MQTT allows {LARGEST_REMAINING_LENGTH}");
        return Err(limit(ErrorReason::RemainingLength, LARGEST_REMAINING_LENGTH as u64, message)
            .with("bytes", bytes));
    }
    Ok(())
}

/// Checks a subscription against the protocol and the broker's CONNACK.
///
/// # Errors
/// `invalid_input` naming the field, or `limit_exceeded` naming the broker's limit.
pub(super) fn check_subscription(subscription: &Subscription, connack: Option<&Connack>) -> Result<()> {
    let filter = &subscription.filter;
    topic::check_filter(filter)
        .map_err(|error| Error::topic("filter", &format!("The topic filter {filter}"), error))?;
    if subscription.retain_handling > 2 {
        let message = "Retain Handling is 0, 1 or 2";
        return Err(Error::invalid("retain_handling", ErrorReason::RetainHandlingInvalid, message));
    }
    let shared = filter.starts_with("$share/");
    if shared && subscription.no_local {
        let message = "No Local cannot be set on a shared subscription";
        return Err(Error::invalid("no_local", ErrorReason::SharedNoLocal, message));
    }
    let Some(connack) = connack else { return Ok(()) };
    if shared && connack.shared_available == Some(false) {
        return Err(limit(
            ErrorReason::SharedAvailable,
            0,
            "The broker does not offer shared subscriptions".into(),
        ));
    }
    if filter.contains(['+', '#']) && connack.wildcard_available == Some(false) {
        return Err(limit(
            ErrorReason::WildcardAvailable,
            0,
            "The broker does not offer wildcard subscriptions".into(),
        ));
    }
    Ok(())
}

/// The reason of a limit is called as the limit.
fn limit(limit: ErrorReason, value: u64, message: String) -> Error {
    let name = serde_json::to_value(limit).unwrap_or_default();
    Error::because(ErrorCode::LimitExceeded, limit, message).with("limit", name).with("value", value)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn publish(change: impl FnOnce(&mut Publication), connack: &Connack) -> Result<Outbound> {
        let mut publication = Publication { topic: "a".into(), ..Publication::default() };
        change(&mut publication);
        Outbound::new(publication, MqttVersion::V5, connack)
    }

    fn named(result: Result<impl Sized>) -> (ErrorCode, String) {
        let error = result.err().expect("an error");
        let fact = error.details.get("limit").or_else(|| error.details.get("field")).expect("a fact");
        (error.code, fact.as_str().unwrap_or_default().to_owned())
    }

    #[test]
    fn the_limit_that_stands_in_the_way_is_named() {
        let connack = Connack {
            maximum_qos: Some(1),
            retain_available: Some(false),
            topic_alias_maximum: Some(2),
            maximum_packet_size: Some(10),
            shared_available: Some(false),
            wildcard_available: Some(false),
            ..Connack::default()
        };
        let exceeded = |name: &str| (ErrorCode::LimitExceeded, name.to_owned());
        assert_eq!(named(publish(|p| p.qos = Qos::ExactlyOnce, &connack)), exceeded("maximum_qos"));
        assert_eq!(named(publish(|p| p.retain = true, &connack)), exceeded("retain_available"));
        let alias = |p: &mut Publication| p.properties.topic_alias = Some(3);
        assert_eq!(named(publish(alias, &connack)), exceeded("topic_alias_maximum"));
        assert_eq!(named(check_size(11, &connack)), exceeded("maximum_packet_size"));
        assert_eq!(named(check_size(300_000_000, &Connack::default())), exceeded("remaining_length"));
        let subscribe = |filter: &str| {
            check_subscription(
                &Subscription { filter: filter.into(), ..Subscription::default() },
                Some(&connack),
            )
        };
        assert_eq!(named(subscribe("$share/a/b")), exceeded("shared_available"));
        assert_eq!(named(subscribe("a/+")), exceeded("wildcard_available"));
        assert!(subscribe("a/b").is_ok());
    }

    #[test]
    fn what_the_protocol_forbids_is_named() {
        let connack = Connack::default();
        let invalid = |name: &str| (ErrorCode::InvalidInput, name.to_owned());
        assert_eq!(named(publish(|p| p.topic = "a/#".into(), &connack)), invalid("topic"));
        assert_eq!(
            named(publish(|p| p.properties.response_topic = Some("+".into()), &connack)),
            invalid("properties.response_topic")
        );
        let shared = Subscription { filter: "$share/a/b".into(), no_local: true, ..Subscription::default() };
        assert_eq!(named(check_subscription(&shared, None)), invalid("no_local"));
    }
}
