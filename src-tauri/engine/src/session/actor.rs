//! The task that a session is: it alone polls the library. In: commands, and requests by way of the library's
//! own bounded channel. Out: phases, traces, messages. It never waits for anything that waits for the library.
#![allow(clippy::result_large_err, reason = "one an attempt, and the caller wants all of it")]

use std::collections::VecDeque;
use std::sync::Arc;
use std::time::{Duration, SystemTime};

use futures_util::future::join_all;
use tokio::sync::mpsc;
use tokio::time::Instant;

use super::backoff::{Backoff, random};
use super::connect::{Connect, read_refusal, read_server_reference};
use super::endings::{Ending, EndingKind, Endings, slept};
use super::line::{Ends, Slot};
use super::link::{self, Broken, Client, Driver, Happening};
use super::packets::{PacketObserver, Watched};
use super::shared::{Online, Patience, Shared};
use super::{Phase, SessionConfig, SessionEvent};
use crate::diagnosis::{self, LossReason, MqttProblem, Pattern};
use crate::failure::{Failure, FailureCode};
use crate::message::{EventFacts, EventKind};
use crate::trace::{Connack, LogNote, Stage, StageDetail, Trace, TraceRecorder};
use crate::transport::{self, Plan, Wire};

/// How long DISCONNECT waits for what is in flight.
const DRAIN: Duration = Duration::from_secs(5);
/// A connection that lasted this long ends a series of retries; a shorter one goes on with it, so that two
/// clients with one client id do not chase each other at full speed.
const STEADY: Duration = Duration::from_secs(10);

/// What handles ask of the task.
pub(super) enum Command {
    RetryNow,
    StopRetrying,
    Disconnect(u8),
}

pub(super) struct Actor {
    config: SessionConfig,
    shared: Arc<Shared>,
    commands: mpsc::Receiver<Command>,
    packets: Option<PacketObserver>,
}

/// Everything that one session's attempts have in common.
struct Session {
    plan: Plan,
    connect: Connect,
    slot: Slot,
    client: Client,
    driver: Driver,
    timeout: Duration,
    packets: Option<PacketObserver>,
}

/// A connection that CONNACK opened.
struct Connection {
    connack: Connack,
    wire: Wire,
    ends: Ends,
}

/// How the work on an attempt, a connection or a wait ended early.
enum Interrupt {
    /// The session is to end.
    End,
    /// Retrying is to end.
    StopRetrying,
    RetryNow,
}

/// Why polling ended.
enum Polled {
    /// As asked, without DISCONNECT.
    Dropped,
    /// As asked, with DISCONNECT.
    Disconnected,
    Broken(Broken),
}

/// How a connection ended.
enum Served {
    /// As asked; after DISCONNECT there is a stream to close.
    Ended(Option<Ends>),
    /// With what it is part of, when it is one of several alike.
    Lost(Failure, Option<Pattern>),
}

impl Actor {
    pub(super) fn new(
        config: SessionConfig,
        shared: Arc<Shared>,
        commands: mpsc::Receiver<Command>,
        packets: Option<PacketObserver>,
    ) -> Self {
        Self { config, shared, commands, packets }
    }

    pub(super) async fn run(mut self) {
        let last = self.live().await;
        let shared = &self.shared;
        shared.set_online(None);
        shared.subscriptions().disconnected();
        shared.tell_subscriptions();
        shared.tell_phase(last);
        (shared.events)(SessionEvent::Ended);
        shared.ended.cancel();
    }

    /// From the first attempt to the last phase.
    async fn live(&mut self) -> Phase {
        let shared = self.shared.clone();
        shared.tell_subscriptions();
        shared.tell_phase(Phase::Connecting { attempt: 1 });
        let mut session = match Session::new(&self.config, self.packets.clone()) {
            Ok(session) => session,
            Err(failure) => {
                self.recorder(1).finish_failed(failure.clone());
                return self.failed(failure).await;
            }
        };
        let timing = self.config.profile.settings.timing.clone();
        let mask = self.config.mask();
        let mut backoff = Backoff::new(&timing);
        let mut connected_before = false;
        let mut last_failure = None;
        let mut endings = Endings::default();
        loop {
            let mut patient = false;
            let attempt = backoff.retries() + 1;
            if attempt > 1 {
                shared.tell_phase(Phase::Connecting { attempt });
            }
            let recorder = self.recorder(attempt);
            let result = tokio::select! {
                biased;
                interrupt = self.interrupted(attempt > 1, false) => Err(interrupt),
                result = session.attempt(&recorder, connected_before) => Ok(result),
            };
            let failure = match result {
                Err(interrupt) => {
                    recorder.finish_failed(cancelled(&recorder));
                    match (interrupt, last_failure) {
                        (Interrupt::StopRetrying, Some(failure)) => return Phase::Failed { failure },
                        _ => return Phase::Idle,
                    }
                }
                Ok(Err(mut failure)) => {
                    failure.hide(&mask);
                    endings.interrupted();
                    self.keep_failure(EventKind::ConnectFailed, &failure, &mut Patience::default()).await;
                    failure
                }
                Ok(Ok(connection)) => {
                    connected_before = true;
                    let since = Instant::now();
                    match self.serve(&mut session, connection, &mut endings).await {
                        Served::Ended(ends) => {
                            recorder.end(None);
                            session.close(ends).await;
                            return Phase::Idle;
                        }
                        Served::Lost(failure, pattern) => {
                            recorder.end(Some(failure.clone()));
                            patient = matches!(pattern, Some(Pattern::Duel { .. }));
                            if since.elapsed() >= STEADY && !patient {
                                backoff.reset();
                            }
                            failure
                        }
                    }
                }
            };
            let wanted = timing.reconnect && (connected_before || self.config.keep_trying);
            let Some(wait) = backoff.next(random()).filter(|_| wanted && failure.retryable) else {
                return Phase::Failed { failure };
            };
            // Whoever pushes this client out is not pushed out in turn.
            let wait = if patient { backoff.longest() } else { wait };
            let micros = i64::try_from(wait.as_micros()).unwrap_or(i64::MAX);
            shared.tell_phase(Phase::Waiting {
                attempt: backoff.retries() + 1,
                retry_at: shared.clock.now().saturating_add(micros),
                failure: failure.clone(),
            });
            let interrupt = tokio::select! {
                biased;
                interrupt = self.interrupted(true, true) => interrupt,
                () = tokio::time::sleep(wait) => Interrupt::RetryNow,
            };
            match interrupt {
                Interrupt::RetryNow => last_failure = Some(failure),
                Interrupt::StopRetrying => return Phase::Failed { failure },
                Interrupt::End => return Phase::Idle,
            }
        }
    }

    /// Ends with the interrupts that are asked about. Safe to cancel.
    async fn interrupted(&mut self, stop_retrying: bool, retry_now: bool) -> Interrupt {
        loop {
            let command = tokio::select! {
                () = self.shared.abort.cancelled() => return Interrupt::End,
                command = self.commands.recv() => command,
            };
            match command {
                None | Some(Command::Disconnect(_)) => return Interrupt::End,
                Some(Command::StopRetrying) if stop_retrying => return Interrupt::StopRetrying,
                Some(Command::RetryNow) if retry_now => return Interrupt::RetryNow,
                Some(Command::StopRetrying | Command::RetryNow) => {}
            }
        }
    }

    /// From CONNACK to the end of the connection.
    async fn serve(
        &mut self,
        session: &mut Session,
        connection: Connection,
        endings: &mut Endings,
    ) -> Served {
        let Connection { connack, wire, ends } = connection;
        let shared = self.shared.clone();
        let keep_alive_s = connack.server_keep_alive_s.unwrap_or(session.connect.keep_alive_s);
        let mut patience = Patience::beside_keep_alive(keep_alive_s);

        let online = Arc::new(Online {
            client: session.client.clone(),
            connack: connack.clone(),
            unwritable: ends.unwritable(),
        });
        shared.set_online(Some(online.clone()));
        let (missing, unwanted) = shared.subscriptions().connected(connack.session_present);
        shared.tell_subscriptions();
        let kind = if connack.session_present { EventKind::SessionResumed } else { EventKind::Connected };
        let client_id = connack.assigned_client_id.as_ref().unwrap_or(&session.connect.client_id);
        let facts = EventFacts::Connection { url: session.plan.url(), client_id: client_id.clone() };
        shared.keep_event(kind, facts, &mut patience).await;
        shared.tell_phase(Phase::Connected { since: shared.clock.now(), connack });
        let (since, clock_then) = (Instant::now(), SystemTime::now());
        let subscribing = tokio::spawn(catch_up(shared.clone(), online, missing, unwanted));

        let end = self.poll(session, &ends, &mut patience).await;

        subscribing.abort();
        shared.set_online(None);
        shared.subscriptions().disconnected();
        let broken = match end {
            Polled::Broken(broken) => broken,
            Polled::Dropped | Polled::Disconnected => {
                let polite = matches!(end, Polled::Disconnected);
                let facts = EventFacts::Goodbye { polite };
                shared.keep_event(EventKind::Disconnected, facts, &mut patience).await;
                return Served::Ended(polite.then_some(ends));
            }
        };
        let (lasted, idle) = (since.elapsed(), wire.idle());
        let slept = slept(lasted, clock_then.elapsed().unwrap_or_default());
        let unexplained = matches!(broken, Broken::Closed | Broken::Io(_));
        let failure =
            diagnosis::lost(&session.plan, &wire, loss(broken, &ends, &session.connect, keep_alive_s));
        let silence = wire.silence() + slept.unwrap_or_default();
        let failure = diagnosis::after_standstill(&session.plan, failure, silence, keep_alive_s);
        let kind = match failure.code {
            FailureCode::SessionTakenOver => EndingKind::TakenOver,
            FailureCode::ConnectionClosed | FailureCode::WsClosed if unexplained => EndingKind::Unexplained,
            _ => EndingKind::Explained,
        };
        let pattern = endings.note(Ending { kind, lasted, idle });
        let failure = match pattern {
            Some(pattern) => {
                diagnosis::repeated(&session.plan, failure, pattern, &session.connect.client_id, keep_alive_s)
            }
            None => failure,
        };
        let mut failure = match slept {
            Some(slept) => diagnosis::after_sleep(failure, slept),
            None => failure,
        };
        failure.hide(&self.config.mask());
        if !session.resumes() {
            session.driver.forget_session();
        }
        shared.tell_subscriptions();
        self.keep_failure(EventKind::Lost, &failure, &mut patience).await;
        Served::Lost(failure, pattern)
    }

    /// Polls the library until that cannot go on.
    async fn poll(&mut self, session: &mut Session, ends: &Ends, patience: &mut Patience) -> Polled {
        let shared = self.shared.clone();
        let clock = shared.clock;
        let now = move || clock.now();
        let mut messages = VecDeque::new();
        let mut disconnecting = false;
        loop {
            // Looked at here as well, since the library comes first below: data that pours in starves nobody.
            if shared.abort.is_cancelled() {
                return Polled::Dropped;
            }
            match self.commands.try_recv() {
                Err(mpsc::error::TryRecvError::Empty) => {}
                command if !disconnecting => disconnecting = heed(command.ok(), &shared, &session.client),
                _ => {}
            }
            let happening = {
                let next = session.driver.next(&now, &mut messages);
                tokio::pin!(next);
                loop {
                    tokio::select! {
                        biased;
                        happening = &mut next => break happening,
                        () = shared.abort.cancelled() => return Polled::Dropped,
                        command = self.commands.recv(), if !disconnecting => {
                            disconnecting = heed(command, &shared, &session.client);
                        }
                    }
                }
            };
            if let Some(round_trip) = ends.round_trip() {
                let micros = u64::try_from(round_trip.as_micros()).unwrap_or(u64::MAX);
                (shared.events)(SessionEvent::RoundTrip { micros });
            }
            shared.keep_all(&mut messages, patience).await;
            match happening {
                Err(Broken::Done) => return Polled::Disconnected,
                Err(_) if disconnecting => return Polled::Dropped,
                Err(broken) => return Polled::Broken(broken),
                Ok(Happening::Connack(_) | Happening::Other) => {}
            }
        }
    }

    async fn failed(&self, failure: Failure) -> Phase {
        self.keep_failure(EventKind::ConnectFailed, &failure, &mut Patience::default()).await;
        Phase::Failed { failure }
    }

    async fn keep_failure(&self, kind: EventKind, failure: &Failure, patience: &mut Patience) {
        let url = self.config.profile.endpoint.url();
        let facts = EventFacts::Failure { url, failure: failure.clone() };
        self.shared.keep_event(kind, facts, patience).await;
    }

    fn recorder(&self, attempt: u32) -> TraceRecorder {
        let events = self.shared.events.clone();
        let url = self.config.profile.endpoint.url();
        TraceRecorder::hiding(self.config.mask(), url, attempt, move |trace: &Trace| {
            events(SessionEvent::Trace(trace.clone()));
        })
    }
}

impl Session {
    fn new(config: &SessionConfig, packets: Option<PacketObserver>) -> Result<Self, Failure> {
        let plan = transport::plan(&config.profile, &config.secrets)?;
        let connect = Connect::new(config)?;
        let slot = Slot::default();
        let (client, driver) = link::open(&connect, slot.clone());
        let timeout = Duration::from_secs(config.profile.settings.timing.connect_timeout_s.max(1).into());
        Ok(Self { plan, connect, slot, client, driver, timeout, packets })
    }

    /// Whether a later connection goes on with the session of an earlier one.
    fn resumes(&self) -> bool {
        !self.connect.clean_start || self.connect.session_outlives_connection()
    }

    /// One attempt, from DNS to CONNACK, within the time bound.
    async fn attempt(&mut self, recorder: &TraceRecorder, reconnect: bool) -> Result<Connection, Failure> {
        let result = self.dial_and_connect(recorder, reconnect).await;
        match &result {
            Ok(_) => recorder.finish_connected(),
            Err(failure) => recorder.finish_failed(failure.clone()),
        }
        result
    }

    async fn dial_and_connect(
        &mut self,
        recorder: &TraceRecorder,
        reconnect: bool,
    ) -> Result<Connection, Failure> {
        let deadline = Instant::now() + self.timeout;
        let dialled = transport::dial(&self.plan, recorder, deadline).await?;
        let wire = dialled.wire;
        let stream = match &self.packets {
            Some(tell) => Box::new(Watched::new(dialled.stream, self.connect.version, tell.clone())),
            None => dialled.stream,
        };
        let ends = self.slot.fill(stream, wire.clone());

        let clean_start = self.connect.clean_start && !(reconnect && self.resumes());
        self.driver.prepare(clean_start, self.connect.keep_alive_s);
        let mut detail = self.connect.detail(clean_start);
        recorder.begin(StageDetail::Mqtt(detail.clone()));
        if self.connect.generated {
            recorder.log(Stage::Mqtt, LogNote::MadeUp { client_id: self.connect.client_id.clone() });
        }
        let broken = match tokio::time::timeout_at(deadline, self.driver.connack()).await {
            Ok(Ok(connack)) => {
                self.driver.connected();
                ends.keep_alive(connack.server_keep_alive_s.unwrap_or(self.connect.keep_alive_s));
                detail.connack = Some(connack.clone());
                recorder.ok(StageDetail::Mqtt(detail));
                return Ok(Connection { connack, wire, ends });
            }
            Ok(Err(broken)) => Some(broken),
            Err(_) => None,
        };
        // The library says little about a CONNACK that it does not like: its bytes say all.
        let refusal = read_refusal(self.connect.version, &wire.first_bytes());
        detail.connack.clone_from(&refusal);
        recorder.failed(StageDetail::Mqtt(detail));
        let problem = match (refusal, broken) {
            (Some(connack), _) => MqttProblem::Refused(connack),
            (None, None) => MqttProblem::Timeout,
            (None, Some(Broken::Closed | Broken::Done)) => MqttProblem::Closed,
            (None, Some(Broken::Io(error))) => MqttProblem::Io(error),
            (None, Some(Broken::Malformed(text))) => MqttProblem::Malformed(text),
            (None, Some(other)) => MqttProblem::Malformed(format!("{other:?}")),
        };
        Err(diagnosis::before_connack(&self.plan, &wire, problem))
    }

    /// Takes the stream back from the library, whose work is done, and closes it in order.
    async fn close(self, ends: Option<Ends>) {
        drop(self.driver);
        if let Some(ends) = ends {
            ends.close().await;
        }
    }
}

/// One attempt, then DISCONNECT. See [`super::test_until`].
pub(super) async fn test(
    config: SessionConfig,
    observer: Arc<dyn Fn(Trace) + Send + Sync>,
    packets: Option<PacketObserver>,
    stop: impl Future<Output = ()>,
) -> Trace {
    let url = config.profile.endpoint.url();
    let recorder = TraceRecorder::hiding(config.mask(), url, 1, move |trace: &Trace| observer(trace.clone()));
    let mut session = match Session::new(&config, packets) {
        Ok(session) => session,
        Err(failure) => {
            recorder.finish_failed(failure);
            return recorder.snapshot();
        }
    };
    let attempt = tokio::select! {
        biased;
        attempt = session.attempt(&recorder, false) => attempt,
        () = stop => Err(cancelled(&recorder)).inspect_err(|failure| recorder.finish_failed(failure.clone())),
    };
    if let Ok(connection) = attempt {
        session.client.disconnect(0, true).await;
        let _ = tokio::time::timeout(DRAIN, async {
            while session.driver.next(&|| 0, &mut VecDeque::new()).await.is_ok() {}
        })
        .await;
        session.close(Some(connection.ends)).await;
    }
    recorder.snapshot()
}

/// Brings the broker's session up to date after CONNACK.
async fn catch_up(shared: Arc<Shared>, online: Arc<Online>, missing: Vec<String>, unwanted: Vec<String>) {
    for filter in unwanted {
        if online.client.unsubscribe(&filter).await.is_ok() {
            shared.subscriptions().gone(&filter);
        }
    }
    join_all(missing.iter().map(|filter| shared.subscribe(&online, filter))).await;
}

/// Does what a command wants of a connection: `true` when that is its end. `None`: every handle is gone.
fn heed(command: Option<Command>, shared: &Arc<Shared>, client: &Client) -> bool {
    let code = match command {
        Some(Command::RetryNow | Command::StopRetrying) => return false,
        Some(Command::Disconnect(code)) => code,
        None => 0,
    };
    say_goodbye(shared, client, code);
    true
}

/// Asks for DISCONNECT in a task of its own: the request may have to wait until the library takes it.
fn say_goodbye(shared: &Arc<Shared>, client: &Client, code: u8) {
    shared.set_online(None);
    shared.tell_phase(Phase::Disconnecting);
    let (client, shared) = (client.clone(), shared.clone());
    tokio::spawn(async move {
        let insist = async {
            let asked = Instant::now();
            let _ = tokio::time::timeout(DRAIN, client.disconnect(code, false)).await;
            tokio::time::sleep_until(asked + DRAIN).await;
            client.disconnect(code, true).await;
            // A peer that takes nothing any more cannot keep us.
            tokio::time::sleep(DRAIN).await;
            shared.abort.cancel();
        };
        tokio::select! {
            () = shared.ended.cancelled() => {}
            () = insist => {}
        }
    });
}

fn loss(broken: Broken, ends: &Ends, connect: &Connect, keep_alive_s: u16) -> LossReason {
    match broken {
        _ if ends.given_up() => LossReason::KeepAlive { keep_alive_s },
        Broken::TooLarge(size) => LossReason::TooLarge { size, limit: connect.maximum_packet_size },
        Broken::Io(error) => LossReason::Io(error),
        Broken::Malformed(text) => LossReason::Malformed(text),
        Broken::Disconnected { code, reason_string } => {
            let server_reference = read_server_reference(&ends.last_words());
            LossReason::ServerDisconnect { code, reason_string, server_reference }
        }
        Broken::Closed | Broken::Refused | Broken::Done => LossReason::Closed,
    }
}

fn cancelled(recorder: &TraceRecorder) -> Failure {
    let stage = recorder.snapshot().stages.last().map_or(Stage::Dns, |report| report.detail.stage());
    Failure::new(stage, FailureCode::Cancelled, "The attempt was cancelled").because("It was asked for.")
}
