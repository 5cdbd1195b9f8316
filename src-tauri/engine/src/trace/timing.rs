//! Where the time of an attempt went, in facts that the window and the command line put into words. In: a trace.
//! Out: remarks, the weightiest first; none for an attempt in which nothing stands out. Pure.

use serde::{Deserialize, Serialize};
use ts_rs::TS;

use super::{Outcome, Stage, StageDetail, StageReport, TcpAttempt, Trace};

/// Less than this is not worth a word, in microseconds.
const NOTICEABLE: u64 = 20_000;
/// A stage takes most of the time from this share on, in percent.
const MOST: u64 = 60;

/// One thing that took time.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, TS)]
#[serde(tag = "kind", rename_all = "snake_case")]
#[ts(export)]
pub enum TimingRemark {
    /// Most of the time went to one stage.
    MostIn {
        /// The stage.
        stage: Stage,
        /// Its share in percent.
        percent: u64,
        /// Its duration in microseconds.
        micros: u64,
    },
    /// The name was looked up slowly.
    SlowDns {
        /// In microseconds.
        micros: u64,
    },
    /// Another address was tried before the one that held.
    AddressesBefore {
        /// The first of them, with its port.
        address: String,
        /// What came of it.
        result: String,
        /// How many.
        count: usize,
        /// From the first attempt to the start of the one that held, in microseconds.
        micros: u64,
        /// Whether these were IPv6 and the one that held is IPv4.
        ipv6_first: bool,
    },
    /// What one round trip to the peer takes, as TCP saw it.
    RoundTrip {
        /// In microseconds.
        micros: u64,
    },
    /// The handshake of TLS: its round trips, and what was left for computing and for sending certificates.
    TlsRoundTrips {
        /// 1 with TLS 1.3, 2 with TLS 1.2.
        round_trips: u64,
        /// The handshake in microseconds.
        micros: u64,
        /// Beyond the round trips, in microseconds.
        beyond_micros: u64,
    },
    /// Every attempt shakes hands in full: no session ticket is used, so that the certificates are seen each time.
    FullHandshake {},
    /// The server took longer than a round trip to answer.
    ServerThinks {
        /// In which stage.
        stage: Stage,
        /// Beyond a round trip, in microseconds.
        micros: u64,
    },
}

/// Says where the time of an attempt went.
pub(super) fn remarks(trace: &Trace) -> Vec<TimingRemark> {
    let total = trace.verdict.as_ref().map_or(0, |verdict| verdict.micros);
    let ran = || trace.stages.iter().filter(|report| report.outcome != Outcome::Skipped);
    let round_trip = ran().find_map(round_trip);
    let mut remarks = Vec::new();
    if let Some(longest) = ran().max_by_key(|report| report.micros)
        && total >= NOTICEABLE
        && longest.micros * 100 >= total * MOST
    {
        let percent = (longest.micros * 100 / total).min(100);
        remarks.push(TimingRemark::MostIn { stage: longest.detail.stage(), percent, micros: longest.micros });
    }
    for report in ran() {
        let micros = report.micros;
        let ok = report.outcome == Outcome::Ok;
        let beyond = |trips: u64| round_trip.map(|trip| micros.saturating_sub(trips * trip));
        match &report.detail {
            StageDetail::Dns(_) if micros >= 5 * NOTICEABLE => remarks.push(TimingRemark::SlowDns { micros }),
            StageDetail::Tcp(tcp) => remarks.extend(before(&tcp.attempts)),
            StageDetail::Tls(tls) if ok && micros >= NOTICEABLE => {
                let round_trips = if tls.version.as_deref() == Some("TLS 1.2") { 2 } else { 1 };
                let beyond_micros = beyond(round_trips).unwrap_or(0);
                remarks.push(TimingRemark::TlsRoundTrips { round_trips, micros, beyond_micros });
                if !tls.resumed {
                    remarks.push(TimingRemark::FullHandshake {});
                }
            }
            StageDetail::Websocket(_) | StageDetail::Mqtt(_) if ok => {
                if let Some(micros) = beyond(1).filter(|micros| *micros >= NOTICEABLE) {
                    remarks.push(TimingRemark::ServerThinks { stage: report.detail.stage(), micros });
                }
            }
            _ => {}
        }
    }
    remarks.extend(round_trip.map(|micros| TimingRemark::RoundTrip { micros }));
    remarks
}

/// SYN and its answer.
fn round_trip(report: &StageReport) -> Option<u64> {
    let StageDetail::Tcp(tcp) = &report.detail else { return None };
    Some(tcp.attempts.iter().find(|attempt| attempt.result == "connected")?.micros)
}

fn before(attempts: &[TcpAttempt]) -> Option<TimingRemark> {
    let held = attempts.iter().find(|attempt| attempt.result == "connected")?;
    let others = || attempts.iter().filter(|attempt| attempt.start_micros < held.start_micros);
    let first = others().min_by_key(|attempt| attempt.start_micros)?;
    let micros = held.start_micros.saturating_sub(first.start_micros);
    let ipv6_first = !held.address.starts_with('[') && others().all(|other| other.address.starts_with('['));
    Some(TimingRemark::AddressesBefore {
        address: first.address.clone(),
        result: first.result.clone(),
        count: others().count(),
        micros,
        ipv6_first,
    })
    .filter(|_| micros >= NOTICEABLE / 4)
}

#[cfg(test)]
mod tests {
    use super::super::{DnsDetail, MqttDetail, TcpDetail, TlsDetail, Verdict, VerdictOutcome};
    use super::*;

    fn report(detail: StageDetail, start_micros: u64, micros: u64) -> StageReport {
        StageReport { detail, outcome: Outcome::Ok, start_micros, micros }
    }

    fn tried(address: &str, result: &str, start_micros: u64, micros: u64) -> TcpAttempt {
        TcpAttempt { address: address.into(), result: result.into(), errno: None, start_micros, micros }
    }

    fn trace(stages: Vec<StageReport>, micros: u64) -> Trace {
        let outcome = VerdictOutcome::Connected;
        let verdict = Some(Verdict { outcome, failure: None, url: "mqtts://b.test:8883".into(), micros });
        Trace {
            stages,
            verdict,
            ..super::super::TraceRecorder::new("mqtts://b.test:8883", 1, |_| {}).snapshot()
        }
    }

    #[test]
    fn ipv6_first_and_round_trips_are_told_from_computing() {
        let tcp = TcpDetail {
            attempts: vec![
                tried("[2001:db8::1]:8883", "abandoned", 210_000, 290_000),
                tried("192.0.2.7:8883", "connected", 460_000, 40_000),
            ],
            ..TcpDetail::default()
        };
        let tls = TlsDetail { version: Some("TLS 1.2".into()), ..TlsDetail::default() };
        let found = remarks(&trace(
            vec![
                report(StageDetail::Dns(DnsDetail::default()), 0, 210_000),
                report(StageDetail::Tcp(tcp), 210_000, 290_000),
                report(StageDetail::Tls(tls), 500_000, 95_000),
                report(StageDetail::Mqtt(MqttDetail::default()), 595_000, 141_000),
            ],
            736_000,
        ));
        assert_eq!(
            found,
            [
                TimingRemark::SlowDns { micros: 210_000 },
                TimingRemark::AddressesBefore {
                    address: "[2001:db8::1]:8883".into(),
                    result: "abandoned".into(),
                    count: 1,
                    micros: 250_000,
                    ipv6_first: true,
                },
                TimingRemark::TlsRoundTrips { round_trips: 2, micros: 95_000, beyond_micros: 15_000 },
                TimingRemark::FullHandshake {},
                TimingRemark::ServerThinks { stage: Stage::Mqtt, micros: 101_000 },
                TimingRemark::RoundTrip { micros: 40_000 },
            ]
        );
    }

    #[test]
    fn one_stage_that_took_most_is_named_and_a_quick_attempt_is_left_alone() {
        let tcp =
            || TcpDetail { attempts: vec![tried("127.0.0.1:1", "connected", 0, 80)], ..TcpDetail::default() };
        let slow = vec![
            report(StageDetail::Tcp(tcp()), 0, 80),
            report(StageDetail::Mqtt(MqttDetail::default()), 100, 900_000),
        ];
        let most = TimingRemark::MostIn { stage: Stage::Mqtt, percent: 99, micros: 900_000 };
        assert_eq!(remarks(&trace(slow, 900_200))[0], most);
        let quick = vec![report(StageDetail::Tcp(tcp()), 0, 80)];
        assert_eq!(remarks(&trace(quick, 900)), [TimingRemark::RoundTrip { micros: 80 }]);
    }
}
