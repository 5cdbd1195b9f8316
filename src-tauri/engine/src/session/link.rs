//! One face for the two versions of the library: a [`Client`] that requests go to, and a [`Driver`] that one
//! task polls. In: our types. Out: our types; nothing of the library passes this file and its two variants.

use std::collections::VecDeque;
use std::io;

use super::connect::Connect;
use super::line::Slot;
use super::publication::Outbound;
use super::{v5, v311};
use crate::message::{Item, Message, UnixMicros};
use crate::profile::{MqttVersion, Qos, Subscription};
use crate::trace::Connack;

/// How many requests may wait for the library before the next one waits to be taken.
pub(super) const REQUESTS: usize = 256;
/// How many QoS 1 and 2 publications may be unacknowledged; the broker's Receive Maximum may be lower.
pub(super) const INFLIGHT: u16 = 1000;
/// How many requests the library writes between two flushes.
pub(super) const WRITE_BATCH: usize = 100;
/// How many packets it takes from one read, its most. By itself it takes 16 while requests wait, and looks through all that
/// is in flight after each of these: a fifth of the time of publishing.
pub(super) const READ_BATCH: usize = 128;
/// The requests' side.
#[derive(Clone)]
pub(super) enum Client {
    V5(rumqttc::AsyncClient),
    V311(rumqttc_v4::AsyncClient),
}

/// The task's side.
pub(super) enum Driver {
    V5(Box<rumqttc::EventLoop>),
    V311(Box<rumqttc_v4::EventLoop>),
}

/// What a poll brought besides messages.
#[allow(clippy::large_enum_variant, reason = "CONNACK comes once a connection")]
pub(super) enum Happening {
    Connack(Connack),
    Other,
}

/// What one event of the library is.
pub(super) enum Brought {
    Message(Message),
    Other(Happening),
}

/// Sorts what one read brought, of which the library hands out one event a poll: messages go to the end of
/// `messages`, up to the first thing of another kind that matters. What follows that stays where it is.
pub(super) fn sort<E>(
    first: E,
    rest: &mut VecDeque<E>,
    messages: &mut VecDeque<Item>,
    meaning: impl Fn(E) -> Brought,
) -> Happening {
    let mut next = Some(first);
    while let Some(event) = next {
        match meaning(event) {
            Brought::Message(message) => messages.push_back(Item::Message(message)),
            Brought::Other(Happening::Other) => {}
            Brought::Other(happening) => return happening,
        }
        next = rest.pop_front();
    }
    Happening::Other
}

/// Why polling cannot go on.
#[derive(Debug)]
pub(super) enum Broken {
    /// CONNACK refused us; its bytes say more.
    Refused,
    /// The peer closed the stream.
    Closed,
    /// The stream failed.
    Io(io::Error),
    /// The peer broke the protocol.
    Malformed(String),
    /// The peer sent a packet larger than we take; its size in bytes.
    TooLarge(usize),
    /// DISCONNECT from the server.
    Disconnected { code: u8, reason_string: Option<String> },
    /// Our own DISCONNECT is out.
    Done,
}

/// How a request ended. `code` is `None` for QoS 0.
pub(super) struct Answer {
    pub(super) code: Option<u8>,
    pub(super) reason_string: Option<String>,
}

impl Answer {
    /// An answer that is only a code.
    pub(super) fn code(code: u8) -> Self {
        Self { code: Some(code), reason_string: None }
    }
}

/// The request was lost with the session, or the session has ended.
#[derive(Debug)]
pub(super) struct Lost;

/// Sets both sides up. Nothing is sent before the slot is filled and the driver polled.
pub(super) fn open(connect: &Connect, slot: Slot) -> (Client, Driver) {
    match connect.version {
        MqttVersion::V5 => {
            let (client, driver) = v5::open(connect, slot);
            (Client::V5(client), Driver::V5(Box::new(driver)))
        }
        MqttVersion::V311 => {
            let (client, driver) = v311::open(connect, slot);
            (Client::V311(client), Driver::V311(Box::new(driver)))
        }
    }
}

/// A PUBLISH that the library has.
pub(super) enum Pending {
    V5(rumqttc::PublishNotice),
    V311 { notice: rumqttc_v4::PublishNotice, acknowledged: bool },
}

impl Pending {
    /// Waits for the last acknowledgement (QoS 0: for the flush).
    pub(super) async fn answer(self) -> Result<Answer, Lost> {
        match self {
            Self::V5(notice) => v5::published(notice).await,
            Self::V311 { notice, acknowledged } => {
                notice.wait_async().await.map_err(|_| Lost)?;
                // 3.1.1 has no other answer than yes (3.4).
                Ok(Answer { code: acknowledged.then_some(0), reason_string: None })
            }
        }
    }
}

impl Client {
    /// Hands PUBLISH to the library; waits while its queue is full.
    pub(super) async fn publish(&self, outbound: Outbound) -> Result<Pending, Lost> {
        match self {
            Self::V5(client) => v5::publish(client, outbound).await.map(Pending::V5),
            Self::V311(client) => {
                let acknowledged = outbound.qos != Qos::AtMostOnce;
                let notice = v311::publish(client, outbound).await?;
                Ok(Pending::V311 { notice, acknowledged })
            }
        }
    }

    /// Sends SUBSCRIBE for one filter and waits for SUBACK.
    pub(super) async fn subscribe(&self, wanted: &Subscription, id: Option<u32>) -> Result<Answer, Lost> {
        match self {
            Self::V5(client) => v5::subscribe(client, wanted, id).await,
            Self::V311(client) => v311::subscribe(client, wanted).await,
        }
    }

    /// Sends UNSUBSCRIBE for one filter and waits for UNSUBACK.
    pub(super) async fn unsubscribe(&self, filter: &str) -> Result<Answer, Lost> {
        match self {
            Self::V5(client) => v5::unsubscribe(client, filter).await,
            Self::V311(client) => v311::unsubscribe(client, filter).await,
        }
    }

    /// Asks for DISCONNECT: after what is in flight is acknowledged, or `now`.
    pub(super) async fn disconnect(&self, code: u8, now: bool) {
        match self {
            Self::V5(client) => v5::disconnect(client, code, now).await,
            Self::V311(client) => v311::disconnect(client, now).await,
        }
    }
}

impl Driver {
    /// The next thing that happens. Messages that came before it go to the end of `messages`, all that one read
    /// brought with one receive time, which `now` gives. Cancelling is safe once CONNACK has come, and before it
    /// when the attempt is given up.
    pub(super) async fn next(
        &mut self,
        now: &(dyn Fn() -> UnixMicros + Sync),
        messages: &mut VecDeque<Item>,
    ) -> Result<Happening, Broken> {
        match self {
            Self::V5(driver) => v5::next(driver, now, messages).await,
            Self::V311(driver) => v311::next(driver, now, messages).await,
        }
    }

    /// Waits for CONNACK.
    pub(super) async fn connack(&mut self) -> Result<Connack, Broken> {
        loop {
            // No message comes before it.
            if let Happening::Connack(connack) = self.next(&|| 0, &mut VecDeque::new()).await? {
                return Ok(connack);
            }
        }
    }

    /// Sets what the next CONNECT says; the library keeps what an earlier CONNACK changed.
    pub(super) fn prepare(&mut self, clean_start: bool, keep_alive_s: u16) {
        match self {
            Self::V5(driver) => v5::prepare(driver, clean_start, keep_alive_s),
            Self::V311(driver) => v311::prepare(driver, keep_alive_s),
        }
    }

    /// Gives up what is in flight: its session ended with its connection.
    pub(super) fn forget_session(&mut self) {
        match self {
            Self::V5(driver) => driver.reset_session_state(),
            Self::V311(driver) => driver.reset_session_state(),
        }
    }

    /// After the first CONNACK the library's own memory of the session counts, no longer a stored one. From here on
    /// the line keeps the connection alive, and the library does not.
    pub(super) fn connected(&mut self) {
        match self {
            Self::V5(driver) => _ = driver.options.clear_session_store().set_keep_alive(0),
            Self::V311(driver) => _ = driver.mqtt_options.clear_session_store().set_keep_alive(0),
        }
    }
}

/// Size of the PUBLISH packet in bytes.
pub(super) fn publish_size(version: MqttVersion, outbound: &Outbound) -> usize {
    if outbound.properties.is_some() {
        return v5::publish_size(outbound);
    }
    // Topic and its length, the packet identifier, in 5 the length of no properties, the payload (3.3).
    let identifier = if outbound.qos == Qos::AtMostOnce { 0 } else { 2 };
    let properties = usize::from(version == MqttVersion::V5);
    let remaining = 2 + outbound.topic.len() + identifier + properties + outbound.payload.len();
    let length = match remaining {
        0..0x80 => 1,
        0x80..0x4000 => 2,
        0x4000..0x20_0000 => 3,
        _ => 4,
    };
    1 + length + remaining
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::session::publication::Properties;

    #[test]
    fn a_packet_is_as_large_as_the_library_makes_it() {
        for qos in [Qos::AtMostOnce, Qos::AtLeastOnce, Qos::ExactlyOnce] {
            for bytes in
                [0, 100, 119, 120, 121, 122, 123, 16_370, 16_377, 16_378, 16_380, 2_097_150, 3_000_000]
            {
                let outbound = Outbound {
                    topic: "a/b".into(),
                    payload: vec![0; bytes].into(),
                    qos,
                    retain: false,
                    properties: None,
                };
                let ours = publish_size(MqttVersion::V5, &outbound);
                assert_eq!(ours, v5::publish_size(&outbound), "{qos:?}, {bytes}");
                let mut v311 = rumqttc_v4::Publish::from_bytes(
                    "a/b",
                    [rumqttc_v4::QoS::AtMostOnce, rumqttc_v4::QoS::ExactlyOnce]
                        [usize::from(qos != Qos::AtMostOnce)],
                    outbound.payload.clone(),
                );
                v311.pkid = 1;
                assert_eq!(publish_size(MqttVersion::V311, &outbound), v311.size(), "{qos:?}, {bytes}");
            }
        }
        let said = Properties { content_type: Some("text/plain".into()), ..Properties::default() };
        let outbound = Outbound {
            topic: "a".into(),
            payload: "x".into(),
            qos: Qos::AtMostOnce,
            retain: false,
            properties: Some(said),
        };
        // Two and a topic, the properties' length, their type, two and the text, the payload, and the header.
        assert_eq!(publish_size(MqttVersion::V5, &outbound), 2 + (2 + 1) + 1 + (1 + 2 + 10) + 1);
    }
}
