//! Publishes the messages of a file again. In: lines of JSON, a session, how fast. Out: publications, at the distances
//! of the recording or scaled, many under way side by side; and what became of them, by count, the first refusals by
//! line. Holds no more of the file than a few messages, and never publishes what it could not read whole.

use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use serde::{Deserialize, Serialize};
use tokio::sync::{OwnedSemaphorePermit, Semaphore, mpsc, watch};
use tokio::time::Instant;
use tokio_util::sync::CancellationToken;
use ts_rs::TS;

use crate::error::{Error, ErrorCode, ErrorReason, Result};
use crate::message::{Direction, Message, UnixMicros};
use crate::profile::{PayloadEncoding, PayloadText, PublishProperties, Qos};
use crate::recording::{LineProblem, Lines, Progress, name_problem, no_recording, unreadable};
use crate::session::{Publication, SessionHandle, Submitted};
use crate::topic;

/// The slowest and the fastest that a recording is played, beside "as fast as it goes".
pub const SPEEDS: std::ops::RangeInclusive<f64> = 0.1..=1_000.0;

/// Publications under way, in all; a big one counts for several.
const ROOM: u32 = 256;
/// Bytes of payload that count as one more.
const PIECE: usize = 256 << 10;
/// How long the last answers are waited for when it was stopped.
const PATIENCE: Duration = Duration::from_secs(5);
/// What is read ahead: so many messages or bytes, twice.
const BATCH: usize = 256;
const BATCH_BYTES: usize = 1 << 20;

/// How a recording is played.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, TS)]
#[serde(default)]
#[ts(export)]
pub struct ReplayOptions {
    /// 1 keeps the distances in time, 2 halves them; `None` is as fast as the broker takes it.
    pub speed: Option<f64>,
    /// Put before each topic, as it stands.
    pub topic_prefix: String,
    /// Instead of the recorded one.
    pub qos: Option<Qos>,
    /// Instead of the recorded one.
    pub retain: Option<bool>,
    /// Only what was received, or only what was sent.
    pub direction: Option<Direction>,
    /// How often; 0 is until it is stopped.
    pub times: u32,
}

impl Default for ReplayOptions {
    fn default() -> Self {
        let (topic_prefix, qos, retain, direction) = (String::new(), None, None, None);
        Self { speed: Some(1.0), topic_prefix, qos, retain, direction, times: 1 }
    }
}

impl ReplayOptions {
    /// # Errors
    /// `invalid_input` on `speed` or `topic_prefix`.
    pub fn check(&self) -> Result<()> {
        if self.speed.is_some_and(|speed| !SPEEDS.contains(&speed)) {
            let (slowest, fastest) = (SPEEDS.start(), SPEEDS.end());
            let message = format!("The speed is a number from {slowest} to {fastest}");
            return Err(Error::invalid("speed", ErrorReason::SpeedInvalid, message)
                .with("slowest", *slowest)
                .with("fastest", *fastest));
        }
        topic::check_name(&format!("{}x", self.topic_prefix))
            .map_err(|error| Error::topic("topic_prefix", "The topic prefix", error))
    }
}

/// What became of the messages of a recording.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Replayed {
    /// Sent and, where QoS asks for that, acknowledged.
    pub published: u64,
    /// Refused by the broker, or against its limits or the protocol's, so that they were not sent.
    pub refused: u64,
    /// Lost with the connection.
    pub lost: u64,
    /// Lines of the file that are no messages.
    pub unreadable: u64,
    /// The first of all these, by line.
    pub problems: Vec<LineProblem>,
    /// What ended it before its end.
    pub error: Option<Error>,
}

/// How a replay is steered from outside.
#[derive(Debug, Clone, Default)]
pub struct ReplayControl {
    /// Ends it; what is under way is waited for.
    pub stop: CancellationToken,
    paused: watch::Sender<bool>,
}

impl ReplayControl {
    /// Holds it, or lets it go on; the distances in time stay what they were.
    pub fn pause(&self, paused: bool) {
        self.paused.send_replace(paused);
    }

    /// Whether it is held.
    pub fn is_paused(&self) -> bool {
        *self.paused.borrow()
    }
}

/// Publishes a recording over a session that is connected, and returns when every answer is there. A connection that
/// is lost ends it, as does [`ReplayControl::stop`]: then `error` says so.
///
/// # Errors
/// `invalid_input` on the options; `file`: it cannot be read or holds no messages. Nothing was sent.
pub async fn replay(
    session: SessionHandle,
    path: &Path,
    options: ReplayOptions,
    progress: Arc<Progress>,
    control: ReplayControl,
) -> Result<Replayed> {
    options.check()?;
    let lines = Lines::open(path).map_err(|error| unreadable(path, &error))?;
    let sums = Arc::<Mutex<Replayed>>::default();
    let (batches, read) = mpsc::channel(2);
    let reader = Reader {
        path: path.to_owned(),
        times: options.times,
        direction: options.direction,
        sums: Arc::clone(&sums),
        batches,
    };
    let reading = tokio::task::spawn_blocking(move || reader.run(lines));
    let (under_way, outcomes) = mpsc::unbounded_channel();
    let of = path.metadata().map_or(0, |file| file.len());
    let mut counting = tokio::spawn(count(outcomes, Arc::clone(&sums), progress, of));
    let stop = control.stop.clone();
    let player = Player { session, options, control, sums: Arc::clone(&sums), under_way };
    let mut ended = player.play(read).await;
    let broken = |error: tokio::task::JoinError| Error::new(ErrorCode::Internal, error.to_string());
    let given_up = async {
        stop.cancelled().await;
        tokio::time::sleep(PATIENCE).await;
    };
    tokio::select! {
        counted = &mut counting => counted.map_err(broken)?,
        () = given_up => {
            counting.abort();
            ended = Err(stopped());
        }
    }
    let reading = reading.await.map_err(broken)?;
    let mut replayed = std::mem::take(&mut *lock(&sums));
    replayed.error = ended.err();
    match reading {
        Err(error) if replayed == Replayed { unreadable: replayed.unreadable, ..Replayed::default() } => {
            Err(error)
        }
        Err(error) => {
            replayed.error = replayed.error.or(Some(error));
            Ok(replayed)
        }
        Ok(found) if found == 0 && replayed.error.is_none() => Err(no_recording(path, &replayed.problems)),
        Ok(_) => Ok(replayed),
    }
}

/// What the reader hands over: the messages, and whether a new round begins with them.
struct Batch {
    messages: Vec<(Place, Message)>,
    first: bool,
}

/// Where in the file a message stands: its line, and where that ends.
#[derive(Clone, Copy)]
struct Place {
    line: u64,
    end: u64,
}

/// Reads the file ahead of the publishing, as often as it is played.
struct Reader {
    path: PathBuf,
    times: u32,
    direction: Option<Direction>,
    sums: Arc<Mutex<Replayed>>,
    batches: mpsc::Sender<Batch>,
}

impl Reader {
    /// Says how many messages the file has.
    fn run(self, mut lines: Lines) -> Result<u64> {
        let cannot = |error: std::io::Error| unreadable(&self.path, &error);
        let (mut round, mut found) = (1, 0);
        loop {
            let mut batch = Batch { messages: Vec::new(), first: true };
            let mut bytes = 0;
            while let Some((line, message)) = lines.next().map_err(cannot)? {
                match message {
                    Ok(message) => {
                        found += 1;
                        if self.direction.is_none_or(|wanted| wanted == message.direction) {
                            bytes += message.payload.len();
                            batch.messages.push((Place { line, end: lines.position() }, message));
                        }
                    }
                    Err(why) if round == 1 => {
                        let mut sums = lock(&self.sums);
                        sums.unreadable += 1;
                        name_problem(&mut sums.problems, line, why);
                    }
                    Err(_) => {}
                }
                if batch.messages.len() >= BATCH || bytes >= BATCH_BYTES {
                    bytes = 0;
                    let whole = std::mem::replace(&mut batch, Batch { messages: Vec::new(), first: false });
                    if self.batches.blocking_send(whole).is_err() {
                        return Ok(found);
                    }
                }
            }
            let over = self.batches.blocking_send(batch).is_err();
            if over || found == 0 || round == self.times {
                return Ok(found);
            }
            round = round.saturating_add(1);
            lines = Lines::open(&self.path).map_err(cannot)?;
        }
    }
}

/// A publication whose outcome is not known yet.
struct UnderWay {
    place: Place,
    topic: String,
    submitted: Submitted,
    _room: OwnedSemaphorePermit,
}

struct Player {
    session: SessionHandle,
    options: ReplayOptions,
    control: ReplayControl,
    sums: Arc<Mutex<Replayed>>,
    /// Bounded by the room that each takes.
    under_way: mpsc::UnboundedSender<UnderWay>,
}

impl Player {
    async fn play(self, mut read: mpsc::Receiver<Batch>) -> Result<()> {
        let room = Arc::new(Semaphore::new(ROOM as usize));
        let mut pace = Pace::new(self.options.speed);
        let mut paused = self.control.paused.subscribe();
        loop {
            let batch = tokio::select! {
                batch = read.recv() => batch,
                () = self.control.stop.cancelled() => return Err(stopped()),
            };
            let Some(batch) = batch else { return Ok(()) };
            if batch.first {
                pace = Pace::new(self.options.speed);
            }
            for (place, message) in batch.messages {
                if !pace.wait_for(message.time, &self.control.stop, &mut paused).await {
                    return Err(stopped());
                }
                let pieces = u32::try_from(message.payload.len() / PIECE).unwrap_or(ROOM);
                let wanted = (1 + pieces).min(ROOM);
                let permit = tokio::select! {
                    permit = Arc::clone(&room).acquire_many_owned(wanted) => permit,
                    () = self.control.stop.cancelled() => return Err(stopped()),
                };
                let permit = permit.map_err(|error| Error::new(ErrorCode::Internal, error.to_string()))?;
                self.submit(place, message, permit).await?;
            }
        }
    }

    async fn submit(&self, place: Place, message: Message, room: OwnedSemaphorePermit) -> Result<()> {
        let publication = self.publication(message);
        let topic = publication.topic.clone();
        match self.session.submit(publication).await {
            Ok(submitted) => {
                // The one who counts goes when this does.
                let _ = self.under_way.send(UnderWay { place, topic, submitted, _room: room });
                Ok(())
            }
            Err(error) if matches!(error.code, ErrorCode::InvalidInput | ErrorCode::LimitExceeded) => {
                let mut sums = lock(&self.sums);
                sums.refused += 1;
                name_problem(&mut sums.problems, place.line, format!("{topic}: {}", error.message));
                Ok(())
            }
            Err(error) => {
                lock(&self.sums).lost += u64::from(error.code == ErrorCode::ConnectionLost);
                Err(error)
            }
        }
    }

    fn publication(&self, message: Message) -> Publication {
        let recorded = message.properties.map(|boxed| *boxed).unwrap_or_default();
        let correlation_data =
            recorded.correlation_data_hex.map(|text| PayloadText { text, encoding: PayloadEncoding::Hex });
        Publication {
            topic: format!("{}{}", self.options.topic_prefix, message.topic),
            payload: message.payload,
            qos: self.options.qos.unwrap_or(message.qos),
            retain: self.options.retain.unwrap_or(message.retain),
            // An alias was a matter of the other connection.
            properties: PublishProperties {
                payload_format_utf8: recorded.payload_format_utf8,
                message_expiry_s: recorded.message_expiry_s,
                content_type: recorded.content_type,
                response_topic: recorded.response_topic,
                correlation_data,
                topic_alias: None,
                user_properties: recorded.user_properties,
            },
        }
    }
}

/// When the next message is due.
struct Pace {
    speed: Option<f64>,
    begun: Instant,
    first: Option<UnixMicros>,
    /// From the beginning to the latest one, in the recording's own time.
    latest: Duration,
}

impl Pace {
    fn new(speed: Option<f64>) -> Self {
        Self { speed, begun: Instant::now(), first: None, latest: Duration::ZERO }
    }

    /// From the beginning to when a message of this time is due.
    fn due(&mut self, time: UnixMicros) -> Duration {
        let since = time.saturating_sub(*self.first.get_or_insert(time));
        // Where the clock of the recording went back, it stands still.
        self.latest = self.latest.max(Duration::from_micros(u64::try_from(since).unwrap_or(0)));
        self.speed.map_or(Duration::ZERO, |speed| self.latest.div_f64(speed))
    }

    /// Waits until a message of this time is due; `false` when it was stopped before.
    async fn wait_for(
        &mut self,
        time: UnixMicros,
        stop: &CancellationToken,
        paused: &mut watch::Receiver<bool>,
    ) -> bool {
        let due = self.due(time);
        loop {
            if stop.is_cancelled() {
                return false;
            }
            if *paused.borrow_and_update() {
                let held = Instant::now();
                tokio::select! {
                    // It lasts as long as whoever steers.
                    _ = paused.wait_for(|paused| !paused) => {}
                    () = stop.cancelled() => return false,
                }
                self.begun += held.elapsed();
                continue;
            }
            let Some(wait) = due.checked_sub(self.begun.elapsed()).filter(|wait| !wait.is_zero()) else {
                return true;
            };
            tokio::select! {
                () = tokio::time::sleep(wait) => return true,
                _ = paused.changed() => {}
                () = stop.cancelled() => return false,
            }
        }
    }
}

/// Adds up what becomes of the publications, in their order, and how far in the file that is.
async fn count(
    mut outcomes: mpsc::UnboundedReceiver<UnderWay>,
    sums: Arc<Mutex<Replayed>>,
    progress: Arc<Progress>,
    of: u64,
) {
    while let Some(UnderWay { place, topic, submitted, _room }) = outcomes.recv().await {
        let outcome = submitted.outcome().await;
        progress.set(place.end.min(of), of);
        let mut sums = lock(&sums);
        match outcome {
            Ok(outcome) => match outcome.code.filter(|code| *code >= 0x80) {
                None => {
                    sums.published += 1;
                    progress.add_messages(1);
                }
                Some(code) => {
                    let words = outcome.reason_string.map(|words| format!(": {words}")).unwrap_or_default();
                    let text =
                        format!("The broker refused {topic}: {} (0x{code:02x}){words}", outcome.reason);
                    sums.refused += 1;
                    name_problem(&mut sums.problems, place.line, text);
                }
            },
            Err(_) => sums.lost += 1,
        }
    }
}

fn stopped() -> Error {
    Error::new(ErrorCode::Cancelled, "It was stopped")
}

fn lock(sums: &Mutex<Replayed>) -> MutexGuard<'_, Replayed> {
    sums.lock().unwrap_or_else(PoisonError::into_inner)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn distances_are_kept_and_scaled() {
        let due = |speed, times: [UnixMicros; 4]| {
            let mut pace = Pace::new(speed);
            times.map(|time| pace.due(time).as_millis())
        };
        let times = [5_000_000, 6_000_000, 5_500_000, 7_000_000];
        assert_eq!(due(Some(1.0), times), [0, 1_000, 1_000, 2_000]);
        assert_eq!(due(Some(0.5), times), [0, 2_000, 2_000, 4_000]);
        assert_eq!(due(Some(1_000.0), times), [0, 1, 1, 2]);
        assert_eq!(due(None, times), [0; 4]);
    }

    #[tokio::test]
    async fn nothing_is_due_while_it_is_held_or_after_it_was_stopped() {
        let control = ReplayControl::default();
        let mut paused = control.paused.subscribe();
        let mut pace = Pace::new(None);
        assert!(pace.wait_for(0, &control.stop, &mut paused).await);
        control.pause(true);
        let stop = control.stop.clone();
        {
            let mut held = std::pin::pin!(pace.wait_for(0, &stop, &mut paused));
            assert!(futures_util::poll!(held.as_mut()).is_pending());
            control.pause(false);
            assert!(held.await);
        }
        control.stop.cancel();
        assert!(!pace.wait_for(0, &control.stop, &mut paused).await);
    }

    #[test]
    fn options_that_cannot_be_played_are_named() {
        let field = |options: ReplayOptions| options.check().map_err(|error| error.details["field"].clone());
        assert_eq!(field(ReplayOptions::default()), Ok(()));
        for speed in [0.0, 0.09, 1_000.5, f64::NAN, -1.0] {
            assert_eq!(
                field(ReplayOptions { speed: Some(speed), ..ReplayOptions::default() }),
                Err("speed".into())
            );
        }
        let prefix = |text: &str| ReplayOptions { topic_prefix: text.into(), ..ReplayOptions::default() };
        assert_eq!(field(prefix("copy/")), Ok(()));
        assert_eq!(field(prefix("copy/#/")), Err("topic_prefix".into()));
    }
}
