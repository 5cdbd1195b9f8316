//! `helio bench pub`: publishes numbered messages, many under way at once, and adds up what becomes of them.

use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use bytes::{Bytes, BytesMut};
use hdrhistogram::Histogram;
use heliograph_engine::error::ErrorCode;
use heliograph_engine::message::Clock;
use heliograph_engine::profile::{Qos, Subscription};
use heliograph_engine::session::{Publication, SessionHandle, Submitted};
use serde_json::json;
use tokio::sync::mpsc;
use tokio::task::JoinSet;

use super::figures;
use super::stamp::{self, Stamp};
use super::subscribe::{Meter, Received};
use super::tally::Tally;
use crate::args::BenchPubArgs;
use crate::failure::Ending;
use crate::live::{Inbox, Interrupts, Live};
use crate::output;
use crate::target::{self, Wanted};

/// How long the last acknowledgements, and with `--receive` the last messages, are waited for after the latest.
const SILENCE: Duration = Duration::from_secs(5);
/// Payloads are cut from pieces of memory of this size, in bytes.
const PIECE: usize = 64 * 1024;

pub async fn run(args: BenchPubArgs) -> Result<(), Ending> {
    let config = target::resolve(&args.connection, &args.connection.only_in_5(), Wanted::Nothing)?;
    let mut interrupts = Interrupts::listen();
    let first = random();
    let job = Arc::new(Job::new(&args));
    let (mut all, mut receiving, mut clients) = (Vec::new(), None, JoinSet::new());
    let begin = async {
        if args.receive {
            let mut config = config.clone();
            config.profile.settings.session.client_id += "-receive";
            config.profile.settings.subscriptions = vec![Subscription {
                filter: if args.topics > 1 { format!("{}/+", args.topic) } else { args.topic.clone() },
                enabled: true,
                qos: args.qos,
                ..Subscription::default()
            }];
            let publishers = (0..args.clients).map(|number| first.wrapping_add(number.into()));
            let meter = Arc::new(Meter::new(Tally::of(publishers), Arc::<Received>::default()));
            all.push(super::connected(config, meter.clone(), args.connection.debug).await?);
            receiving = Some(meter);
        }
        for number in 1..=args.clients {
            let config = super::numbered(&config, number, args.clients);
            all.push(super::connected(config, Inbox::new(false), args.connection.debug).await?);
        }
        Ok(())
    };
    let ending = tokio::select! {
        begun = begin => begun.err(),
        status = interrupts.first() => Some(Ending::Shown(status)),
    };
    if let Some(ending) = ending {
        super::disconnect(&all).await;
        return Err(ending);
    }
    let publishing = &all[all.len() - args.clients as usize..];
    for (number, live) in (0..).zip(publishing) {
        let client = Client {
            publisher: first.wrapping_add(number),
            most: args.extent.count.map(|count| share(count, number, args.clients.into())),
            handle: live.handle.clone(),
        };
        clients.spawn(client.run(job.clone()));
    }
    let mut ending = measure(&args, &job, &all, receiving.as_deref(), clients, &mut interrupts).await;
    if let Some(meter) = &receiving {
        await_the_last(&job, meter, &mut interrupts).await;
    }
    super::disconnect(&all).await;
    report(&args, &job, receiving.as_deref());
    let refused = job.refused.load(Ordering::Relaxed);
    if ending.is_none() && refused > 0 {
        let messages = output::count(refused, "message", "messages");
        ending = Some(Ending::Refused(format!("The broker refused {messages}")));
    }
    ending.map_or(Ok(()), Err)
}

/// What a client of several does of all that is to do.
fn share(count: u64, number: u64, clients: u64) -> u64 {
    count / clients + u64::from(number < count % clients)
}

fn random() -> u64 {
    uuid::Uuid::new_v4().as_u64_pair().0
}

/// Until the count, the time or Ctrl-C; what it gives is why that was not in order.
async fn measure(
    args: &BenchPubArgs,
    job: &Job,
    all: &[Live],
    receiving: Option<&Meter>,
    mut clients: JoinSet<Option<Ending>>,
    interrupts: &mut Interrupts,
) -> Option<Ending> {
    let mut tick = tokio::time::interval(super::TICK);
    let begun = Instant::now();
    let (mut ticks, mut before) = (0, 0);
    let mut answered = (0, Instant::now());
    let warmup = Duration::from_secs(args.extent.warmup.into());
    let mut warmed = warmup.is_zero();
    let end = args.extent.duration.map(|seconds| warmup + Duration::from_secs(seconds.into()));
    let mut ending = None;
    loop {
        tokio::select! {
            ended = clients.join_next() => match ended {
                None => return ending,
                Some(Ok(why)) => ending = ending.or(why),
                Some(Err(error)) => ending = ending.or(Some(Ending::Other(error.to_string()))),
            },
            status = interrupts.first(), if !job.is_over() => {
                ending = super::interrupted(&args.extent, status);
                job.finish();
            }
            _ = tick.tick() => {}
        }
        if let Some(lost) = super::lost(all).filter(|_| ending.is_none()) {
            ending = Some(lost);
            job.finish();
        }
        if !warmed && begun.elapsed() >= warmup {
            job.sums().restart();
            if let Some(meter) = receiving {
                meter.tally().restart();
            }
            warmed = true;
        }
        if end.is_some_and(|end| begun.elapsed() >= end) {
            job.finish();
        }
        if job.answered() > answered.0 {
            answered = (job.answered(), Instant::now());
        }
        let all_handed = args.extent.count == Some(job.handed.load(Ordering::Relaxed));
        if (job.is_over() || all_handed) && answered.1.elapsed() >= SILENCE {
            output::warn("The broker has not answered for 5 seconds: the rest is not waited for");
            clients.abort_all();
            return ending;
        }
        ticks += 1;
        if ticks % super::TICKS_A_LINE == 0 {
            let done = job.done.load(Ordering::Relaxed);
            let warming = if warmed { "" } else { ", warming up" };
            output::print_error(&format!(
                "{}/s, {} published{warming}\n",
                figures::thousands(done - before),
                figures::thousands(done)
            ));
            before = done;
        }
    }
}

/// Waits until everything that went out has come back, or nothing has for a while.
async fn await_the_last(job: &Job, meter: &Meter, interrupts: &mut Interrupts) {
    let mut latest = (meter.tally().loss().came(), Instant::now());
    while latest.0 < job.done.load(Ordering::Relaxed) && latest.1.elapsed() < SILENCE {
        tokio::select! {
            // The second one ends the program.
            _ = interrupts.first(), if !job.is_over() => return,
            () = tokio::time::sleep(super::TICK) => {}
        }
        let came = meter.tally().loss().came();
        if came > latest.0 {
            latest = (came, Instant::now());
        }
    }
}

/// What all clients work on.
struct Job {
    topics: Vec<String>,
    size: usize,
    qos: Qos,
    inflight: usize,
    /// Messages a second of each client.
    rate: Option<f64>,
    over: AtomicBool,
    /// Messages handed to a session, since the beginning.
    handed: AtomicU64,
    /// Of these, sent and, where QoS asks for that, acknowledged.
    done: AtomicU64,
    /// Of these, refused by the broker.
    refused: AtomicU64,
    sums: Mutex<Sums>,
    clock: Clock,
}

/// What became of the messages since the warm-up.
struct Sums {
    done: u64,
    first: Option<Instant>,
    last: Option<Instant>,
    /// From handing over to the last acknowledgement (QoS 0: to the socket).
    latency: Histogram<u64>,
}

impl Sums {
    fn restart(&mut self) {
        (self.done, self.first, self.last) = (0, None, None);
        self.latency.reset();
    }

    fn seconds(&self) -> f64 {
        self.first.zip(self.last).map_or(0.0, |(first, last)| (last - first).as_secs_f64())
    }
}

impl Job {
    fn new(args: &BenchPubArgs) -> Self {
        let topics = match args.topics {
            1 => vec![args.topic.clone()],
            topics => (0..topics).map(|number| format!("{}/{number}", args.topic)).collect(),
        };
        Self {
            topics,
            size: args.size as usize,
            qos: args.qos,
            inflight: args.inflight as usize,
            rate: args.rate.map(|rate| f64::from(rate) / f64::from(args.clients)),
            over: AtomicBool::new(false),
            handed: AtomicU64::new(0),
            done: AtomicU64::new(0),
            refused: AtomicU64::new(0),
            sums: Mutex::new(Sums { done: 0, first: None, last: None, latency: figures::histogram() }),
            clock: Clock::start(),
        }
    }

    fn sums(&self) -> MutexGuard<'_, Sums> {
        self.sums.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn is_over(&self) -> bool {
        self.over.load(Ordering::Relaxed)
    }

    /// How many were answered, one way or the other.
    fn answered(&self) -> u64 {
        self.done.load(Ordering::Relaxed) + self.refused.load(Ordering::Relaxed)
    }

    fn finish(&self) {
        self.over.store(true, Ordering::Relaxed);
    }
}

/// One connection that publishes.
struct Client {
    publisher: u64,
    most: Option<u64>,
    handle: SessionHandle,
}

impl Client {
    /// Hands messages over while a second task takes the outcomes, in the same order, as acknowledgements come
    /// (MQTT 5, 4.6). The queue between them bounds what is under way.
    async fn run(self, job: Arc<Job>) -> Option<Ending> {
        let (under_way, outcomes) = mpsc::channel(job.inflight);
        let counting = tokio::spawn(count(outcomes, job.clone()));
        let ending = self.publish(&job, under_way).await;
        match counting.await {
            Ok(why) => ending.or(why),
            Err(error) => Some(Ending::Other(error.to_string())),
        }
    }

    async fn publish(self, job: &Job, under_way: mpsc::Sender<Submitted>) -> Option<Ending> {
        let begun = Instant::now();
        let mut memory = BytesMut::new();
        let mut number = 0;
        while number < self.most.unwrap_or(u64::MAX) {
            if let Some(rate) = job.rate {
                // To the moment of this message, so that they are spread and not sent in bunches.
                let due = begun + Duration::from_secs_f64(number as f64 / rate);
                while let Some(left) = due.checked_duration_since(Instant::now()) {
                    if job.is_over() {
                        return None;
                    }
                    tokio::time::sleep(left.min(super::TICK)).await;
                }
            }
            // Room first, so that the stamp is not older than the message.
            let Ok(room) = under_way.reserve().await else { return None };
            if job.is_over() {
                return None;
            }
            let stamp = Stamp { publisher: self.publisher, number, time: job.clock.now() };
            let topic = &job.topics[(number % job.topics.len() as u64) as usize];
            let publication = Publication {
                topic: topic.clone(),
                payload: payload(&mut memory, job.size, &stamp),
                qos: job.qos,
                ..Publication::default()
            };
            match self.handle.submit(publication).await {
                Ok(submitted) => {
                    job.handed.fetch_add(1, Ordering::Relaxed);
                    number += 1;
                    room.send(submitted);
                }
                Err(error) if error.code == ErrorCode::NotConnected => {
                    // While the session reconnects nothing is published; when it has ended, that is said elsewhere.
                    tokio::time::sleep(super::TICK).await;
                }
                Err(error) => return Some(error.into()),
            }
        }
        None
    }
}

fn payload(memory: &mut BytesMut, size: usize, stamp: &Stamp) -> Bytes {
    if memory.capacity() < size {
        *memory = BytesMut::with_capacity(PIECE.max(size));
    }
    memory.extend_from_slice(&stamp.bytes());
    memory.resize(size.max(stamp::BYTES), b'.');
    memory.split().freeze()
}

async fn count(mut outcomes: mpsc::Receiver<Submitted>, job: Arc<Job>) -> Option<Ending> {
    let mut ending = None;
    while let Some(submitted) = outcomes.recv().await {
        let outcome = submitted.outcome().await;
        let now = Instant::now();
        let mut sums = job.sums();
        match outcome {
            Ok(outcome) if outcome.code.is_some_and(|code| code >= 0x80) => {
                job.refused.fetch_add(1, Ordering::Relaxed);
            }
            Ok(outcome) => {
                sums.done += 1;
                sums.first.get_or_insert(now);
                sums.last = Some(now);
                sums.latency.saturating_record(outcome.micros.max(1));
                job.done.fetch_add(1, Ordering::Relaxed);
            }
            // It stays among those that were handed over and never answered.
            Err(error) if error.code == ErrorCode::ConnectionLost => {}
            Err(error) => ending = Some(error.into()),
        }
    }
    ending
}

fn report(args: &BenchPubArgs, job: &Job, receiving: Option<&Meter>) {
    let sums = job.sums();
    let (seconds, bytes) = (sums.seconds(), sums.done * u64::from(args.size));
    let (handed, refused) = (job.handed.load(Ordering::Relaxed), job.refused.load(Ordering::Relaxed));
    let unanswered = handed - job.answered();
    let end_to_end = receiving.map(Meter::tally);
    if args.json {
        let mut told = json!({
            "command": "bench pub", "clients": args.clients, "qos": args.qos, "topics": args.topics,
            "size": args.size, "messages": sums.done, "bytes": bytes, "seconds": seconds,
            "messages_per_s": figures::rate(sums.done, seconds), "refused": refused,
            "unanswered": unanswered, "latency_us": figures::latency_json(&sums.latency),
        });
        if let Some(tally) = &end_to_end {
            told["received"] = json!({
                "messages": tally.messages, "loss": figures::loss_json(&tally.loss().of(handed)),
                "latency_us": figures::latency_json(&tally.latency),
            });
        }
        return output::line(&told.to_string());
    }
    figures::line("Published", &figures::throughput(sums.done, bytes, seconds));
    let (refused, unanswered) = (figures::thousands(refused), figures::thousands(unanswered));
    figures::line(
        "Failed",
        &format!("{refused} refused by the broker, {unanswered} never acknowledged or sent"),
    );
    if !sums.latency.is_empty() {
        let name = if args.qos == Qos::AtMostOnce { "To socket" } else { "Acknowledged" };
        figures::line(name, &figures::latency_text(&sums.latency));
    }
    if let Some(tally) = &end_to_end {
        figures::line("Lost", &figures::loss_text(&tally.loss().of(handed)));
        if !tally.latency.is_empty() {
            figures::line("End to end", &figures::latency_text(&tally.latency));
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn shares_add_up_and_payloads_carry_their_stamp() {
        assert_eq!((0..3).map(|number| share(10, number, 3)).collect::<Vec<_>>(), [4, 3, 3]);
        let mut memory = BytesMut::new();
        for number in 0..5_000 {
            let stamp = Stamp { publisher: 1, number, time: 2 };
            let payload = payload(&mut memory, 100, &stamp);
            assert_eq!((payload.len(), Stamp::read(&payload)), (100, Some(stamp)));
        }
    }
}
