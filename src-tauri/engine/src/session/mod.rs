//! One actor task per connection: it owns the MQTT event loop, dials through [`crate::transport`], retries
//! with backoff, and speaks this crate's own types whatever the protocol version. In: requests on a bounded
//! channel. Out: messages to a sink, events. Knows nothing of storage or windows.

use serde::Serialize;
use ts_rs::TS;

use crate::failure::Failure;
use crate::message::UnixMicros;
use crate::profile::{Qos, Subscription};
use crate::trace::Connack;

/// What a connection is doing.
#[derive(Debug, Clone, PartialEq, Serialize, TS)]
#[serde(tag = "phase", rename_all = "snake_case")]
#[ts(export)]
#[allow(clippy::large_enum_variant, reason = "one a connection")]
pub enum Phase {
    /// Not connected, and nobody asked for it.
    Idle,
    /// An attempt is under way.
    Connecting {
        /// 1 for the first, more for reconnects.
        attempt: u32,
    },
    /// Connected.
    Connected {
        /// Since when.
        since: UnixMicros,
        /// What the broker said.
        connack: Connack,
    },
    /// Lost or refused, and waiting to try again.
    Waiting {
        /// The attempt that comes next.
        attempt: u32,
        /// When it starts.
        retry_at: UnixMicros,
        /// Why the last one ended.
        failure: Failure,
    },
    /// Ended by a failure; nothing is retried.
    Failed {
        /// Why.
        failure: Failure,
    },
    /// Saying goodbye.
    Disconnecting,
}

/// A subscription as the broker sees it.
#[derive(Debug, Clone, PartialEq, Serialize, TS)]
#[ts(export)]
pub struct SubscriptionStatus {
    /// What was asked for.
    pub subscription: Subscription,
    /// What came of it.
    pub state: SubscriptionState,
    /// Messages received that match it, since connecting first.
    pub received: u64,
}

/// What the broker answered to SUBSCRIBE.
#[derive(Debug, Clone, PartialEq, Serialize, TS)]
#[serde(tag = "state", rename_all = "snake_case")]
#[ts(export)]
pub enum SubscriptionState {
    /// Not sent: switched off, or not connected.
    Inactive,
    /// Sent, no answer yet.
    Pending,
    /// Granted.
    Granted {
        /// The QoS granted.
        qos: Qos,
    },
    /// Refused (MQTT 5, 3.9.3; 3.1.1: 0x80).
    Refused {
        /// Reason code.
        code: u8,
        /// By name.
        reason: String,
        /// The broker's own words.
        reason_string: Option<String>,
    },
}

/// What became of a publication.
#[derive(Debug, Clone, PartialEq, Serialize, TS)]
#[ts(export)]
pub struct PublishOutcome {
    /// QoS it was sent with.
    pub qos: Qos,
    /// Reason code of PUBACK, PUBREC or PUBCOMP; `None` for QoS 0.
    pub code: Option<u8>,
    /// By name; `Sent` for QoS 0.
    pub reason: String,
    /// The broker's own words.
    pub reason_string: Option<String>,
    /// From the request to the final acknowledgement (QoS 0: to the socket), in microseconds.
    pub micros: u64,
}
