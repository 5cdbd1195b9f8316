//! Figures as they are printed: for people, and as one JSON object.

use hdrhistogram::Histogram;
use serde_json::{Value, json};

use super::tally::Loss;
use crate::output;

/// The longest latency that is told from a longer one: an hour.
const LONGEST: u64 = 3_600_000_000;

/// For microseconds, with three digits.
pub fn histogram() -> Histogram<u64> {
    let histogram = Histogram::new_with_bounds(1, LONGEST, 3);
    histogram.expect("these bounds are within what the library allows")
}

/// `1,234,567`.
pub fn thousands(number: u64) -> String {
    let digits = number.to_string();
    let mut text = String::with_capacity(digits.len() * 4 / 3);
    for (at, digit) in digits.chars().enumerate() {
        if at > 0 && (digits.len() - at).is_multiple_of(3) {
            text.push(',');
        }
        text.push(digit);
    }
    text
}

/// How many a second, rounded; none in no time.
pub fn rate(count: u64, seconds: f64) -> u64 {
    if seconds > 0.0 { (count as f64 / seconds).round() as u64 } else { 0 }
}

/// A line with a name in front.
pub fn line(name: &str, text: &str) {
    output::line(&format!("{name:<12} {text}"));
}

/// `2,000,000 messages, 128.0 MB, in 4.30 s: 465,116/s, 29.8 MB/s`.
pub fn throughput(messages: u64, bytes: u64, seconds: f64) -> String {
    let megabytes = bytes as f64 / 1e6;
    let speed = if seconds > 0.0 { megabytes / seconds } else { 0.0 };
    let (count, rate) = (thousands(messages), thousands(rate(messages, seconds)));
    format!("{count} messages, {megabytes:.1} MB, in {seconds:.2} s: {rate}/s, {speed:.1} MB/s")
}

pub fn loss_text(loss: &Loss) -> String {
    format!(
        "{} of {} numbered messages of {}; {} came twice, {} too late to tell",
        thousands(loss.lost),
        thousands(loss.expected),
        output::count(loss.publishers as u64, "publisher", "publishers"),
        thousands(loss.repeated),
        thousands(loss.late),
    )
}

pub fn loss_json(loss: &Loss) -> Value {
    json!({
        "publishers": loss.publishers, "expected": loss.expected, "lost": loss.lost,
        "repeated": loss.repeated, "late": loss.late,
    })
}

/// The percentiles that are told.
const QUANTILES: [(&str, f64); 5] =
    [("p50", 0.5), ("p90", 0.9), ("p99", 0.99), ("p99_9", 0.999), ("p99_99", 0.9999)];

pub fn latency_text(latency: &Histogram<u64>) -> String {
    let percentiles: Vec<_> = QUANTILES
        .iter()
        .map(|(name, quantile)| {
            let micros = latency.value_at_quantile(*quantile);
            format!("{} {}", name.replace('_', "."), output::duration(micros))
        })
        .collect();
    format!("{}, highest {}", percentiles.join(", "), output::duration(latency.max()))
}

/// In microseconds; `null` where nothing was measured.
pub fn latency_json(latency: &Histogram<u64>) -> Value {
    if latency.is_empty() {
        return Value::Null;
    }
    let mut told = json!({
        "count": latency.len(), "min": latency.min(), "mean": latency.mean(), "max": latency.max(),
    });
    for (name, quantile) in QUANTILES {
        told[name] = latency.value_at_quantile(quantile).into();
    }
    told
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn figures_read_well() {
        assert_eq!(["0", "999", "1,000", "12,345,678"], [0, 999, 1_000, 12_345_678].map(thousands));
        assert_eq!(
            throughput(2_000_000, 128_000_000, 4.0),
            "2,000,000 messages, 128.0 MB, in 4.00 s: 500,000/s, 32.0 MB/s"
        );
        assert_eq!(throughput(1, 64, 0.0), "1 messages, 0.0 MB, in 0.00 s: 0/s, 0.0 MB/s");
        let mut latency = histogram();
        assert_eq!(latency_json(&latency), Value::Null);
        for micros in 1..=1_000 {
            latency.record(micros * 10).expect("in bounds");
        }
        let told = latency_json(&latency);
        assert_eq!((told["count"].as_u64(), told["min"].as_u64()), (Some(1_000), Some(10)));
        let p99 = told["p99"].as_u64().expect("a number");
        assert!((9_890..=9_910).contains(&p99), "{p99}");
        assert!(latency_text(&latency).starts_with("p50 5.0 ms, p90 9.0 ms, p99 9.9 ms, p99.9 "));
    }
}
