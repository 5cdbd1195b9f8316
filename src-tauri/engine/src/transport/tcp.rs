//! TCP to the first address that answers. In: addresses in order. Out: a connected socket, and for every
//! address what came of it. Happy Eyeballs (RFC 8305): the next address is tried when the last one failed or
//! has been silent for 250 ms; the first to connect wins.

use std::io;
use std::net::SocketAddr;
use std::pin::Pin;
use std::task::{Context, Poll, ready};
use std::time::Duration;

use futures_util::StreamExt;
use futures_util::stream::FuturesUnordered;
use tokio::io::{AsyncRead, ReadBuf};
use tokio::net::TcpStream;

use super::reading::Reader;
use crate::trace::{LogNote, Stage, StageDetail, TcpAttempt, TcpDetail, TraceRecorder};

/// RFC 8305, 5: Connection Attempt Delay.
const STAGGER: Duration = Duration::from_millis(250);

/// Why no address answered: what each one gave.
#[derive(Debug, Default)]
pub(crate) struct TcpProblem {
    /// Errors, in the order of the addresses; without an address that was still silent.
    pub(crate) errors: Vec<(SocketAddr, io::ErrorKind, Option<i32>)>,
    /// The time bound ended it.
    pub(crate) timed_out: bool,
}

/// Connects. Every address stays visible in the trace, also when the bound ends the attempt.
pub(crate) async fn connect(
    addresses: &[SocketAddr],
    trace: &TraceRecorder,
    deadline: tokio::time::Instant,
) -> Result<TcpStream, TcpProblem> {
    let mut detail = TcpDetail::default();
    let mut problem = TcpProblem::default();
    let raced = race(addresses, trace, &mut detail, &mut problem);
    let stream = tokio::time::timeout_at(deadline, raced).await;
    for attempt in detail.attempts.iter_mut().filter(|attempt| attempt.result.is_empty()) {
        attempt.result = if stream.is_err() { "no answer" } else { "abandoned" }.to_owned();
        attempt.micros = trace.elapsed_micros().saturating_sub(attempt.start_micros);
    }
    let Ok(Some(stream)) = stream else {
        problem.timed_out = stream.is_err();
        trace.failed(StageDetail::Tcp(detail));
        return Err(problem);
    };
    // Small packets that wait for each other would be seen as latency of the broker.
    if let Err(error) = stream.set_nodelay(true) {
        trace.log(Stage::Tcp, LogNote::Delayed { error: error.to_string() });
    }
    detail.local = stream.local_addr().ok().map(|address| address.to_string());
    detail.remote = stream.peer_addr().ok().map(|address| address.to_string());
    trace.ok(StageDetail::Tcp(detail));
    Ok(stream)
}

/// Tells the other side at once that its bytes have come, instead of up to 40 ms later. A broker that leaves
/// Nagle's algorithm on (mosquitto does) holds a packet back for as long: after one's own message has come
/// back, its PUBACK waits; so does a PINGRESP after any message.
#[derive(Debug)]
pub(crate) struct Acknowledged;

impl Reader<TcpStream> for Acknowledged {
    fn poll_read(
        &mut self,
        inner: &mut TcpStream,
        cx: &mut Context<'_>,
        buf: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        let result = ready!(Pin::new(&mut *inner).poll_read(cx, buf));
        // The system goes back to its own ways with what is sent, hence each time. Without it, only time is lost.
        #[cfg(any(target_os = "linux", target_os = "android"))]
        let _ = inner.set_quickack(true);
        Poll::Ready(result)
    }
}

async fn race(
    addresses: &[SocketAddr],
    trace: &TraceRecorder,
    detail: &mut TcpDetail,
    problem: &mut TcpProblem,
) -> Option<TcpStream> {
    let mut waiting = addresses.iter().enumerate();
    let mut running = FuturesUnordered::new();
    loop {
        if let Some((index, address)) = waiting.next() {
            detail.attempts.push(TcpAttempt {
                address: address.to_string(),
                result: String::new(),
                errno: None,
                start_micros: trace.elapsed_micros(),
                micros: 0,
            });
            trace.update(StageDetail::Tcp(detail.clone()));
            running.push(async move { (index, TcpStream::connect(address).await) });
        }
        let more = waiting.len() > 0;
        let finished = if more {
            match tokio::time::timeout(STAGGER, running.next()).await {
                Ok(finished) => finished,
                Err(_) => continue,
            }
        } else {
            running.next().await
        };
        let Some((index, result)) = finished else { if more { continue } else { return None } };
        let attempt = &mut detail.attempts[index];
        attempt.micros = trace.elapsed_micros().saturating_sub(attempt.start_micros);
        match result {
            Ok(stream) => {
                attempt.result = "connected".to_owned();
                return Some(stream);
            }
            Err(error) => {
                attempt.result = words(&error);
                attempt.errno = error.raw_os_error();
                problem.errors.push((addresses[index], error.kind(), error.raw_os_error()));
                trace.update(StageDetail::Tcp(detail.clone()));
            }
        }
    }
}

fn words(error: &io::Error) -> String {
    match error.kind() {
        io::ErrorKind::ConnectionRefused => "refused".to_owned(),
        io::ErrorKind::NetworkUnreachable => "network unreachable".to_owned(),
        io::ErrorKind::HostUnreachable => "host unreachable".to_owned(),
        io::ErrorKind::PermissionDenied => "not permitted".to_owned(),
        io::ErrorKind::TimedOut => "no answer".to_owned(),
        _ => error.to_string(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use tokio::io::{AsyncReadExt, AsyncWriteExt};
    use tokio::net::TcpListener;

    fn soon() -> tokio::time::Instant {
        tokio::time::Instant::now() + Duration::from_secs(5)
    }

    async fn closed_port() -> SocketAddr {
        TcpListener::bind("127.0.0.1:0").await.expect("bind").local_addr().expect("address")
    }

    #[tokio::test]
    async fn a_refusal_moves_on_at_once_and_is_recorded() {
        let refused = closed_port().await;
        let listener = TcpListener::bind("127.0.0.1:0").await.expect("bind");
        let open = listener.local_addr().expect("address");
        let trace = TraceRecorder::new("mqtt://x:1", 1, |_| {});
        let stream = connect(&[refused, open], &trace, soon()).await.expect("the second answers");
        assert!(stream.nodelay().expect("nodelay"));
        let StageDetail::Tcp(detail) = trace.snapshot().stages[0].detail.clone() else {
            unreachable!("the tcp stage")
        };
        let results: Vec<_> = detail.attempts.iter().map(|a| a.result.as_str()).collect();
        assert_eq!(results, ["refused", "connected"]);
        assert!(detail.attempts[0].errno.is_some());
        assert_eq!(detail.remote, Some(open.to_string()));
    }

    #[tokio::test]
    async fn all_refused_is_a_problem_with_every_address() {
        let ports = [closed_port().await, closed_port().await];
        let trace = TraceRecorder::new("mqtt://x:1", 1, |_| {});
        let problem = connect(&ports, &trace, soon()).await.expect_err("nobody listens");
        assert_eq!(problem.errors.len(), 2);
        assert!(!problem.timed_out);
    }

    #[cfg(any(target_os = "linux", target_os = "android"))]
    #[tokio::test]
    async fn what_was_read_is_acknowledged_at_once_also_after_an_answer() {
        let listener = TcpListener::bind("127.0.0.1:0").await.expect("bind");
        let mut stream =
            TcpStream::connect(listener.local_addr().expect("address")).await.expect("connected");
        let (mut broker, _) = listener.accept().await.expect("accepted");
        // Question and answer: the system takes it for a conversation, and delays what it confirms.
        for _ in 0..10 {
            broker.write_u8(1).await.expect("sent");
            stream.read_u8().await.expect("came");
            stream.write_u8(2).await.expect("sent");
            broker.read_u8().await.expect("came");
        }
        assert!(!stream.quickack().expect("an option"), "the system's own way");
        broker.write_u8(3).await.expect("sent");
        let mut byte = [0];
        let read = &mut ReadBuf::new(&mut byte);
        std::future::poll_fn(|cx| Acknowledged.poll_read(&mut stream, cx, read)).await.expect("came");
        assert!(stream.quickack().expect("an option"));
    }

    /// A port that lets SYN after SYN go unanswered, and what keeps it so: its queue of one is full.
    async fn silent(address: &str) -> (SocketAddr, impl Sized + use<>) {
        let address: SocketAddr = address.parse().expect("address");
        let listener =
            socket2::Socket::new(socket2::Domain::for_address(address), socket2::Type::STREAM, None);
        let listener = listener.expect("socket");
        listener.bind(&address.into()).expect("bind");
        listener.listen(0).expect("listen");
        let address = listener.local_addr().expect("address").as_socket().expect("IP");
        let mut queued = Vec::new();
        while let Ok(stream) =
            tokio::time::timeout(Duration::from_millis(300), TcpStream::connect(address)).await
        {
            queued.push(stream.expect("queued"));
        }
        (address, (listener, queued))
    }

    #[tokio::test]
    async fn a_silent_address_is_given_250_ms_before_the_next_is_tried() {
        let (dark, _kept) = silent("[::1]:0").await;
        let listener = TcpListener::bind("127.0.0.1:0").await.expect("bind");
        let open = listener.local_addr().expect("address");
        let trace = TraceRecorder::new("mqtt://x:1", 1, |_| {});
        let stream = connect(&[dark, open], &trace, soon()).await.expect("the second answers");
        assert_eq!(stream.peer_addr().expect("peer"), open);
        let StageDetail::Tcp(detail) = trace.snapshot().stages[0].detail.clone() else {
            unreachable!("the tcp stage")
        };
        let [first, second] = &detail.attempts[..] else { unreachable!("two attempts: {detail:?}") };
        assert_eq!((first.result.as_str(), second.result.as_str()), ("abandoned", "connected"));
        let waited = second.start_micros - first.start_micros;
        // It is 250 to 252 ms on an idle machine; the rest is for a busy one.
        assert!((250_000..400_000).contains(&waited), "{waited} µs");
        assert!(first.micros >= waited, "the first was given up only when the second had connected");
    }

    #[tokio::test]
    async fn addresses_that_stay_silent_are_named_when_the_time_is_up() {
        let (dark, _kept) = silent("127.0.0.1:0").await;
        let trace = TraceRecorder::new("mqtt://x:1", 1, |_| {});
        let bound = tokio::time::Instant::now() + Duration::from_millis(300);
        let problem = connect(&[dark], &trace, bound).await.expect_err("silence");
        assert!(problem.timed_out && problem.errors.is_empty());
        let StageDetail::Tcp(detail) = trace.snapshot().stages[0].detail.clone() else {
            unreachable!("the tcp stage")
        };
        assert_eq!(detail.attempts[0].result, "no answer");
    }
}
