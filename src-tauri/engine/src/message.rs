//! A message as the engine sees it, whatever the protocol version. Bytes until the edge.

use std::collections::VecDeque;

use bytes::Bytes;
use serde::{Deserialize, Serialize};
use ts_rs::TS;

use crate::failure::Failure;
use crate::profile::{Qos, UserProperty};

/// Microseconds since the Unix epoch, UTC.
pub type UnixMicros = i64;

/// Which way a message went.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize, TS)]
#[serde(rename_all = "snake_case")]
#[ts(export)]
pub enum Direction {
    /// From the broker.
    In,
    /// To the broker.
    Out,
}

/// A message that was received or sent.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Message {
    /// When it was read from, or handed to, the wire.
    pub time: UnixMicros,
    /// Which way.
    pub direction: Direction,
    /// Topic name; aliases are resolved.
    pub topic: String,
    /// Its bytes.
    pub payload: Bytes,
    /// Quality of service of this delivery.
    pub qos: Qos,
    /// RETAIN.
    pub retain: bool,
    /// DUP.
    pub dup: bool,
    /// MQTT 5 properties, see [`Message::properties`]. Most messages have none, and many messages wait at once.
    pub properties: Option<Box<MessageProperties>>,
}

impl Message {
    /// Its MQTT 5 properties; empty for 3.1.1.
    pub fn properties(&self) -> &MessageProperties {
        static NONE: MessageProperties = MessageProperties::NONE;
        self.properties.as_deref().unwrap_or(&NONE)
    }
}

/// Properties of a message (MQTT 5, 3.3.2.3).
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize, TS)]
#[serde(default)]
#[ts(export)]
pub struct MessageProperties {
    /// Payload Format Indicator: `true` says UTF-8, `false` unspecified bytes.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[ts(optional)]
    pub payload_format_utf8: Option<bool>,
    /// Message Expiry Interval in seconds.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[ts(optional)]
    pub message_expiry_s: Option<u32>,
    /// Topic Alias as it stood on the wire.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[ts(optional)]
    pub topic_alias: Option<u16>,
    /// Response Topic.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[ts(optional)]
    pub response_topic: Option<String>,
    /// Correlation Data, in hex.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[ts(optional)]
    pub correlation_data_hex: Option<String>,
    /// Content Type.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[ts(optional)]
    pub content_type: Option<String>,
    /// Subscription Identifiers.
    pub subscription_ids: Vec<u32>,
    /// User properties, in order.
    pub user_properties: Vec<UserProperty>,
}

impl MessageProperties {
    const NONE: Self = Self {
        payload_format_utf8: None,
        message_expiry_s: None,
        topic_alias: None,
        response_topic: None,
        correlation_data_hex: None,
        content_type: None,
        subscription_ids: Vec::new(),
        user_properties: Vec::new(),
    };

    /// As a [`Message`] has them.
    pub fn of_message(self) -> Option<Box<Self>> {
        if self.is_empty() { None } else { Some(Box::new(self)) }
    }

    /// Bytes that it occupies in memory, about.
    pub(crate) fn weight(&self) -> usize {
        let text = |text: &Option<String>| text.as_ref().map_or(0, String::len);
        let pairs =
            self.user_properties.iter().map(|p| size_of::<UserProperty>() + p.name.len() + p.value.len());
        size_of::<Self>()
            + text(&self.response_topic)
            + text(&self.correlation_data_hex)
            + text(&self.content_type)
            + pairs.sum::<usize>()
    }

    /// Whether nothing is set.
    pub fn is_empty(&self) -> bool {
        *self == Self::NONE
    }
}

/// What happened to a connection.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, TS)]
#[serde(rename_all = "snake_case")]
#[ts(export)]
pub enum EventKind {
    /// Connected with a new session.
    Connected,
    /// Connected, and the broker resumed the session.
    SessionResumed,
    /// Disconnected as asked.
    Disconnected,
    /// The connection was lost.
    Lost,
    /// An attempt failed.
    ConnectFailed,
    /// A subscription was refused.
    SubscribeRefused,
    /// A publication was refused or lost.
    PublishFailed,
    /// Messages could not be kept; the text says how many.
    Dropped,
}

/// What an event is about, for whoever says it in words of their own.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, TS)]
#[serde(tag = "about", rename_all = "snake_case")]
#[ts(export)]
pub enum EventFacts {
    /// A connection that stands.
    Connection {
        /// Where.
        url: String,
        /// As whom.
        client_id: String,
    },
    /// Its end, as asked.
    Goodbye {
        /// Whether DISCONNECT was sent.
        polite: bool,
    },
    /// Its loss, or an attempt that failed.
    Failure {
        /// Where.
        url: String,
        /// Why.
        failure: Failure,
    },
    /// What the broker refused.
    Refusal {
        /// The topic, or the filter of the subscription.
        topic: String,
        /// Reason code.
        code: u8,
        /// Its name; MQTT 3.1.1 has none.
        reason: Option<String>,
        /// The broker's own words.
        reason_string: Option<String>,
    },
    /// A publication that was lost with the connection before it was acknowledged.
    Unacknowledged {
        /// Its topic.
        topic: String,
    },
    /// Messages that could not be kept.
    Dropped {
        /// How many.
        #[ts(type = "number")]
        count: u64,
    },
}

impl EventFacts {
    /// The same in English, in a line.
    pub fn words(&self) -> String {
        match self {
            Self::Connection { url, client_id } => format!("{url} as {client_id}"),
            Self::Goodbye { polite: true } => "With DISCONNECT".to_owned(),
            Self::Goodbye { polite: false } => "Without DISCONNECT".to_owned(),
            Self::Failure { failure, .. } => {
                format!("{}. {}", failure.message.trim_end_matches('.'), failure.cause)
            }
            Self::Refusal { topic, code, reason, reason_string } => {
                let reason = reason.as_deref().unwrap_or("MQTT 3.1.1 gives no reason");
                let said = reason_string.as_ref().map(|words| format!(": {words}")).unwrap_or_default();
                format!("The broker refused {topic}: {reason} (0x{code:02x}){said}")
            }
            Self::Unacknowledged { topic } => {
                format!("The connection was lost before {topic} was acknowledged")
            }
            Self::Dropped { count } => {
                let noun = if *count == 1 { "message" } else { "messages" };
                format!("{count} {noun} could not be kept: more came than could be stored")
            }
        }
    }
}

/// Where a session puts what it received and sent. One a connection.
pub trait MessageSink: Send + Sync + 'static {
    /// Takes an item without waiting, or hands it back when there is no room.
    ///
    /// # Errors
    /// The item itself: there is no room now.
    #[allow(
        clippy::result_large_err,
        reason = "the item goes back to its owner; nothing is boxed per message"
    )]
    fn try_accept(&self, item: Item) -> Result<(), Item>;

    /// Takes items from the front, in order and without waiting, as far as there is room. What it took is gone from
    /// `items`; the rest is untouched, and whoever called waits for [`Self::room`] before asking again. Batches and
    /// single items of one caller are kept in the order of its calls.
    fn accept_batch(&self, items: &mut VecDeque<Item>) {
        while let Some(item) = items.pop_front() {
            if let Err(item) = self.try_accept(item) {
                items.push_front(item);
                return;
            }
        }
    }

    /// Waits until there may be room.
    fn room(&self) -> std::pin::Pin<Box<dyn Future<Output = ()> + Send + '_>>;

    /// Says that an item was given up, so that it is counted and shown.
    fn dropped(&self, item: Item);
}

/// What goes into the stream of a connection, in order.
#[derive(Debug, Clone, PartialEq)]
pub enum Item {
    /// A message.
    Message(Message),
    /// Something that happened.
    Event {
        /// When.
        time: UnixMicros,
        /// What.
        kind: EventKind,
        /// What about.
        facts: Box<EventFacts>,
    },
}

/// The wall clock in microseconds. Receive times come from [`Clock`], which never goes back.
#[derive(Debug, Clone, Copy)]
pub struct Clock {
    wall: UnixMicros,
    started: std::time::Instant,
}

impl Clock {
    /// Reads the wall clock once; every later time is that plus a monotonic distance.
    pub fn start() -> Self {
        let wall = std::time::SystemTime::now()
            .duration_since(std::time::UNIX_EPOCH)
            .map_or(0, |d| i64::try_from(d.as_micros()).unwrap_or(i64::MAX));
        Self { wall, started: std::time::Instant::now() }
    }

    /// Now.
    pub fn now(&self) -> UnixMicros {
        self.wall.saturating_add(i64::try_from(self.started.elapsed().as_micros()).unwrap_or(i64::MAX))
    }
}
