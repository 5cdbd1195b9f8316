//! One actor task per connection: it owns the MQTT event loop, dials through [`crate::transport`], retries
//! with backoff, and speaks this crate's own types whatever the protocol version. In: requests on a bounded
//! channel. Out: messages to a sink, events. Knows nothing of storage or windows.

mod actor;
mod backoff;
mod connect;
mod endings;
mod keep_alive;
mod line;
mod link;
mod packets;
mod publication;
mod shared;
mod subscriptions;
mod v311;
mod v5;

use std::sync::Arc;
use std::time::Instant;

use serde::Serialize;
use tokio::sync::mpsc;
use ts_rs::TS;

use crate::error::{Error, ErrorCode, Result};
use crate::failure::Failure;
use crate::message::{EventFacts, EventKind, MessageSink, UnixMicros};
use crate::profile::{Profile, Qos, Subscription};
use crate::secret::{Mask, SecretField, Secrets};
use crate::trace::{Connack, Trace};
use crate::{diagnosis, topic};
use actor::{Actor, Command};
pub use packets::PacketObserver;
pub use publication::Publication;
use publication::{Outbound, check_size, check_subscription};
use shared::{Online, Patience, Shared};

/// What a session is made of.
#[derive(Debug, Clone)]
pub struct SessionConfig {
    /// The connection as saved.
    pub profile: Profile,
    /// Its secrets.
    pub secrets: Secrets,
    /// Whether attempts go on (within the profile's limits) although none has succeeded yet. A person who
    /// presses Connect wants the failure instead; a script that waits for its broker wants this.
    pub keep_trying: bool,
}

impl SessionConfig {
    /// What hides the secrets where somebody sends them back.
    fn mask(&self) -> Mask {
        let mut mask = self.secrets.mask();
        let proxy = &self.profile.settings.proxy;
        if let Some(password) = self.secrets.get(&SecretField::ProxyPassword) {
            // As HTTP proxies are sent it, in one piece.
            mask.add(&[proxy.username.as_bytes(), b":", password.expose()].concat());
        }
        mask
    }
}

/// What a session tells. The callback stores or forwards it and returns at once.
#[derive(Debug, Clone)]
#[allow(clippy::large_enum_variant, reason = "few a second")]
pub enum SessionEvent {
    /// The phase changed.
    Phase(Phase),
    /// The trace of an attempt grew.
    Trace(Trace),
    /// The subscriptions or their states changed: all of them, in order.
    Subscriptions(Vec<(Subscription, SubscriptionState)>),
    /// PINGREQ to PINGRESP, or a QoS 1 publication to its PUBACK.
    RoundTrip {
        /// In microseconds.
        micros: u64,
    },
    /// The task is over; nothing follows.
    Ended,
}

/// Starts a session and its first attempt to connect. It ends when asked, when every handle is dropped, or
/// with a failure that is not retried. Must be called inside a Tokio runtime.
pub fn spawn(
    config: SessionConfig,
    sink: Arc<dyn MessageSink>,
    events: Arc<dyn Fn(SessionEvent) + Send + Sync>,
) -> SessionHandle {
    start(config, sink, events, None)
}

/// As [`spawn`], and tells every packet in words; for debugging, since that costs time.
pub fn spawn_watched(
    config: SessionConfig,
    sink: Arc<dyn MessageSink>,
    events: Arc<dyn Fn(SessionEvent) + Send + Sync>,
    packets: PacketObserver,
) -> SessionHandle {
    start(config, sink, events, Some(packets))
}

fn start(
    config: SessionConfig,
    sink: Arc<dyn MessageSink>,
    events: Arc<dyn Fn(SessionEvent) + Send + Sync>,
    packets: Option<PacketObserver>,
) -> SessionHandle {
    let shared = Arc::new(Shared::new(&config.profile, sink, events));
    let (commands, inbox) = mpsc::channel(16);
    tokio::spawn(Actor::new(config, shared.clone(), inbox, packets).run());
    SessionHandle { shared, commands }
}

/// Makes one attempt to connect, says DISCONNECT, and returns its trace. `observer` sees the trace grow.
/// Dropping the future cancels.
pub async fn test(config: SessionConfig, observer: Arc<dyn Fn(Trace) + Send + Sync>) -> Trace {
    actor::test(config, observer, None, std::future::pending()).await
}

/// As [`test`], and tells every packet in words to whom wants it. An attempt that is under way when `stop` ends is
/// given up: its verdict is `cancelled`, in the stage where it was.
pub async fn test_until(
    config: SessionConfig,
    observer: Arc<dyn Fn(Trace) + Send + Sync>,
    packets: Option<PacketObserver>,
    stop: impl Future<Output = ()>,
) -> Trace {
    actor::test(config, observer, packets, stop).await
}

/// A session's requests. Clones speak to the same session.
#[derive(Clone)]
pub struct SessionHandle {
    shared: Arc<Shared>,
    commands: mpsc::Sender<Command>,
}

impl SessionHandle {
    /// Sends SUBSCRIBE and waits for SUBACK; for a subscription that is switched off, UNSUBSCRIBE where the
    /// broker holds it. While the session waits to reconnect, the wish is kept and sent then; the state is
    /// [`SubscriptionState::Inactive`] until it is.
    ///
    /// # Errors
    /// `invalid_input`, `limit_exceeded` (nothing was sent); `not_connected` when the session has ended;
    /// `connection_lost`: the answer never came, and the wish is sent again after reconnecting.
    pub async fn subscribe(&self, subscription: Subscription) -> Result<SubscriptionState> {
        let shared = &self.shared;
        if shared.ended.is_cancelled() {
            return Err(not_connected());
        }
        let online = shared.online();
        check_subscription(&subscription, online.as_ref().map(|online| &online.connack))?;
        let Subscription { filter, enabled, .. } = subscription.clone();
        shared.subscriptions().put(subscription);
        shared.tell_subscriptions();
        let unwanted = shared.subscriptions().is_unwanted(&filter);
        match online {
            Some(online) if enabled => shared.subscribe(&online, &filter).await.ok_or_else(connection_lost),
            Some(online) if unwanted => {
                online.client.unsubscribe(&filter).await.map_err(|_| connection_lost())?;
                shared.subscriptions().gone(&filter);
                Ok(SubscriptionState::Inactive)
            }
            _ => Ok(SubscriptionState::Inactive),
        }
    }

    /// Sends UNSUBSCRIBE, waits for UNSUBACK and forgets the subscription. While the session waits to
    /// reconnect, a resumed session is told then.
    ///
    /// # Errors
    /// `invalid_input`; `not_connected` when the session has ended; `refused` with the reason code;
    /// `connection_lost`: the answer never came.
    pub async fn unsubscribe(&self, filter: impl AsRef<str>) -> Result<()> {
        let (shared, filter) = (&self.shared, filter.as_ref());
        if shared.ended.is_cancelled() {
            return Err(not_connected());
        }
        topic::check_filter(filter).map_err(|error| Error::topic("filter", "The topic filter", error))?;
        shared.subscriptions().remove(filter);
        shared.tell_subscriptions();
        let Some(online) = shared.online() else { return Ok(()) };
        let answer = online.client.unsubscribe(filter).await.map_err(|_| connection_lost())?;
        shared.subscriptions().gone(filter);
        match answer.code.unwrap_or(0) {
            code if code >= 0x80 => Err(refused(code, answer.reason_string)),
            _ => Ok(()),
        }
    }

    /// Publishes and waits for the last acknowledgement: [`Self::submit`] and [`Submitted::outcome`].
    ///
    /// # Errors
    /// Of both.
    pub async fn publish(&self, publication: Publication) -> Result<PublishOutcome> {
        self.submit(publication).await?.outcome().await
    }

    /// Hands a publication over and does not wait for its acknowledgement, so that many can be under way. They go
    /// out in the order of calls; this waits while the queue to the connection, which is bounded, is full.
    ///
    /// # Errors
    /// `not_connected`; `invalid_input` and `limit_exceeded`, naming the field or the broker's limit (nothing
    /// was sent); `connection_lost` when the session ended first.
    pub async fn submit(&self, publication: Publication) -> Result<Submitted> {
        let shared = &self.shared;
        let online = shared.online().ok_or_else(not_connected)?;
        let outbound = Outbound::new(publication, shared.version, &online.connack)?;
        check_size(link::publish_size(shared.version, &outbound), &online.connack)?;
        let (qos, topic) = (outbound.qos, outbound.topic.clone());

        let started = Instant::now();
        shared.keep_message(outbound.message(shared.clock.now()), &mut Patience::default()).await;
        match online.client.publish(outbound).await {
            Ok(pending) => Ok(Submitted { shared: shared.clone(), online, pending, qos, topic, started }),
            Err(link::Lost) => Err(unacknowledged(shared, &topic).await),
        }
    }

    /// Ends the wait for the next attempt.
    pub fn retry_now(&self) {
        // A full queue holds commands that end the wait as well.
        let _ = self.commands.try_send(Command::RetryNow);
    }

    /// Gives up reconnecting: the session ends with the failure that it was retrying after. Does nothing
    /// while connected.
    pub fn stop_retrying(&self) {
        let _ = self.commands.try_send(Command::StopRetrying);
    }

    /// Says DISCONNECT (MQTT 5 with the reason code) after what is in flight is acknowledged, for which it
    /// waits five seconds, and returns when the session has ended. Cancels an attempt or a wait.
    pub async fn disconnect(&self, reason_code: u8) {
        // It fails only when the session has ended.
        let _ = self.commands.send(Command::Disconnect(reason_code)).await;
        self.ended().await;
    }

    /// Drops the connection without DISCONNECT: the broker publishes the will.
    pub fn abort(&self) {
        self.shared.abort.cancel();
    }

    /// Waits until the session has ended.
    pub async fn ended(&self) {
        self.shared.ended.cancelled().await;
    }
}

/// A publication that was handed over. Dropping it only forgets what becomes of it.
pub struct Submitted {
    shared: Arc<Shared>,
    online: Arc<Online>,
    pending: link::Pending,
    qos: Qos,
    topic: String,
    started: Instant,
}

impl Submitted {
    /// Waits for the last acknowledgement (QoS 0: for the socket). A refusal is an outcome: see its code. While a
    /// session with its messages in flight is resumed, this waits on.
    ///
    /// # Errors
    /// `connection_lost`: the message was lost with the session.
    pub async fn outcome(self) -> Result<PublishOutcome> {
        let Self { shared, online, pending, qos, topic, started } = self;
        let answer = pending.answer().await;
        let micros = u64::try_from(started.elapsed().as_micros()).unwrap_or(u64::MAX);
        // To the library a failed write looks like any other until the reads are done.
        let lost = qos == Qos::AtMostOnce && online.unwritable.is_set();
        let Some(answer) = answer.ok().filter(|_| !lost) else {
            return Err(unacknowledged(&shared, &topic).await);
        };
        let reason = answer.code.map_or("Sent", diagnosis::reason_name).to_owned();
        match answer.code {
            Some(code) if code >= 0x80 => {
                let facts = EventFacts::Refusal {
                    topic,
                    code,
                    reason: Some(reason.clone()),
                    reason_string: answer.reason_string.clone(),
                };
                shared.keep_event(EventKind::PublishFailed, facts, &mut Patience::default()).await;
            }
            _ if qos == Qos::AtLeastOnce => (shared.events)(SessionEvent::RoundTrip { micros }),
            _ => {}
        }
        Ok(PublishOutcome { qos, code: answer.code, reason, reason_string: answer.reason_string, micros })
    }
}

/// Notes that a publication is lost.
async fn unacknowledged(shared: &Shared, topic: &str) -> Error {
    let facts = EventFacts::Unacknowledged { topic: topic.to_owned() };
    shared.keep_event(EventKind::PublishFailed, facts, &mut Patience::default()).await;
    connection_lost()
}

fn not_connected() -> Error {
    Error::new(ErrorCode::NotConnected, "There is no connection to the broker now")
}

fn connection_lost() -> Error {
    Error::new(ErrorCode::ConnectionLost, "The connection was lost before the broker answered")
}

fn refused(code: u8, reason_string: Option<String>) -> Error {
    let reason = diagnosis::reason_name(code);
    Error::new(ErrorCode::Refused, format!("The broker refused: {reason} (0x{code:02x})"))
        .with("reason_code", code)
        .with("reason", reason)
        .with("reason_string", reason_string)
}

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
