//! `helio bench sub`: receives as fast as messages come, and keeps nothing but sums.

use std::collections::VecDeque;
use std::pin::Pin;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use heliograph_engine::message::{Direction, Item, MessageSink};
use heliograph_engine::profile::Subscription;
use serde_json::json;
use tokio::sync::Notify;

use super::figures;
use super::tally::{Loss, Tally};
use crate::args::{BenchExtent, BenchSubArgs};
use crate::failure::Ending;
use crate::live::{Interrupts, Live};
use crate::output;
use crate::target::{self, Wanted};

pub async fn run(args: BenchSubArgs) -> Result<(), Ending> {
    let asked = args.topics.iter().map(|filter| Subscription {
        filter: filter.clone(),
        enabled: true,
        qos: args.qos,
        ..Subscription::default()
    });
    let wanted = match args.topics.is_empty() {
        true => Wanted::Saved,
        false => Wanted::These(asked.collect()),
    };
    let config = target::resolve(&args.connection, &args.connection.only_in_5(), wanted)?;
    let mut interrupts = Interrupts::listen();
    let received = Arc::new(Received { most: args.extent.count, ..Received::default() });
    let (mut all, mut meters) = (Vec::new(), Vec::new());
    let begin = async {
        for number in 1..=args.clients {
            let meter = Arc::new(Meter::new(Tally::new(), received.clone()));
            meters.push(meter.clone());
            let config = super::numbered(&config, number, args.clients);
            all.push(super::connected(config, meter, args.connection.debug).await?);
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
    let ending = measure(&args.extent, &all, &meters, &received, &mut interrupts).await;
    super::disconnect(&all).await;
    report(&args, &meters);
    ending.map_or(Ok(()), Err)
}

/// Until the count, the time or Ctrl-C; what it gives is why that was not in order.
async fn measure(
    extent: &BenchExtent,
    all: &[Live],
    meters: &[Arc<Meter>],
    received: &Received,
    interrupts: &mut Interrupts,
) -> Option<Ending> {
    let mut tick = tokio::time::interval(super::TICK);
    let (mut ticks, mut before) = (0, 0);
    let mut warmed = extent.warmup == 0;
    loop {
        tokio::select! {
            () = received.complete.notified() => return None,
            status = interrupts.first() => return super::interrupted(extent, status),
            _ = tick.tick() => {}
        }
        if let Some(ending) = super::lost(all) {
            return Some(ending);
        }
        let begun = meters.iter().filter_map(|meter| meter.tally().first).min();
        let passed = begun.map_or(Duration::ZERO, |begun| begun.elapsed());
        if !warmed && passed >= Duration::from_secs(extent.warmup.into()) {
            meters.iter().for_each(|meter| meter.tally().restart());
            warmed = true;
        } else if warmed
            && extent.duration.is_some_and(|seconds| passed >= Duration::from_secs(seconds.into()))
        {
            return None;
        }
        ticks += 1;
        if ticks % super::TICKS_A_LINE == 0 {
            let count = received.count.load(Ordering::Relaxed);
            let warming = if warmed { "" } else { ", warming up" };
            let (rate, lost) = (count - before, loss(meters).lost);
            output::print_error(&format!(
                "{}/s, {} received, {} lost{warming}\n",
                figures::thousands(rate),
                figures::thousands(count),
                figures::thousands(lost),
            ));
            before = count;
        }
    }
}

fn loss(meters: &[Arc<Meter>]) -> Loss {
    let mut loss = Loss::default();
    meters.iter().for_each(|meter| loss.add(&meter.tally().loss()));
    loss
}

fn report(args: &BenchSubArgs, meters: &[Arc<Meter>]) {
    let mut latency = figures::histogram();
    let (mut messages, mut bytes) = (0, 0);
    let (mut first, mut last): (Option<Instant>, Option<Instant>) = (None, None);
    for meter in meters {
        let tally = meter.tally();
        // All histograms are made alike, so one takes the other.
        let _ = latency.add(&tally.latency);
        messages += tally.messages;
        bytes += tally.bytes;
        first = first.into_iter().chain(tally.first).min();
        last = last.max(tally.last);
    }
    let seconds = first.zip(last).map_or(0.0, |(first, last)| (last - first).as_secs_f64());
    let loss = loss(meters);
    if args.json {
        let told = json!({
            "command": "bench sub", "clients": args.clients, "qos": args.qos, "messages": messages, "bytes": bytes,
            "seconds": seconds, "messages_per_s": figures::rate(messages, seconds),
            "loss": figures::loss_json(&loss), "latency_us": figures::latency_json(&latency),
        });
        return output::line(&told.to_string());
    }
    figures::line("Received", &figures::throughput(messages, bytes, seconds));
    match loss.publishers {
        0 => figures::line("Lost", "unknown: no message had a number of helio bench pub"),
        _ => figures::line("Lost", &figures::loss_text(&loss)),
    }
    if !latency.is_empty() {
        figures::line("Latency", &figures::latency_text(&latency));
    }
}

/// What all clients have received.
#[derive(Default)]
pub struct Received {
    count: AtomicU64,
    most: Option<u64>,
    complete: Notify,
}

/// A sink that keeps nothing but sums.
pub struct Meter {
    tally: Mutex<Tally>,
    received: Arc<Received>,
}

impl Meter {
    pub fn new(tally: Tally, received: Arc<Received>) -> Self {
        Self { tally: Mutex::new(tally), received }
    }

    pub fn tally(&self) -> MutexGuard<'_, Tally> {
        self.tally.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl MessageSink for Meter {
    fn try_accept(&self, item: Item) -> Result<(), Item> {
        self.accept_batch(&mut VecDeque::from([item]));
        Ok(())
    }

    fn accept_batch(&self, items: &mut VecDeque<Item>) {
        let now = Instant::now();
        let mut tally = self.tally();
        for item in items.drain(..) {
            let Item::Message(message) = item else { continue };
            if message.direction == Direction::Out {
                continue;
            }
            let count = self.received.count.fetch_add(1, Ordering::Relaxed) + 1;
            match self.received.most {
                Some(most) if count > most => continue,
                Some(most) if count == most => self.received.complete.notify_one(),
                _ => {}
            }
            tally.take(&message, now);
        }
    }

    fn room(&self) -> Pin<Box<dyn Future<Output = ()> + Send + '_>> {
        Box::pin(std::future::ready(()))
    }

    fn dropped(&self, _: Item) {}
}
