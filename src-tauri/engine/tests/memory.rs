//! A broker that took us in and then promises more than it sends gets no more memory than what it sent is worth;
//! one that keeps its promise has it kept. Raw streams and WebSocket frames, both versions of MQTT.

#[path = "../../../tests/brokers/mod.rs"]
mod brokers;
#[path = "../../../tests/faults/mod.rs"]
mod faults;
#[path = "session/fixtures.rs"]
mod fixtures;

use faults::{Ask, Certificates, Script, Server, mqtt, ws};
use fixtures::{Client, Collector};
use heliograph_engine::session::{Phase, SessionConfig};
use peak_alloc::PeakAlloc;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};

#[global_allocator]
static MEMORY: PeakAlloc = PeakAlloc;

const MIB: usize = 1 << 20;

/// What a connection may need at most beside what arrives, the peer of this process included.
const ROOM: usize = 8 * MIB;

const LARGE: usize = 100 * MIB;

/// How a peer goes on after CONNACK.
#[derive(Debug, Clone, Copy)]
enum Course {
    /// A PUBLISH of 256 MiB begins, a few bytes come, and then the end.
    Promises,
    /// The same in a WebSocket frame of 256 MiB.
    PromisesInFrame,
    /// A PUBLISH of 100 MiB, over WebSocket in one frame.
    Delivers,
}

/// A head of a PUBLISH to `t` at QoS 0 with so long a payload.
fn head(payload: usize, v5: bool) -> Vec<u8> {
    let mut left = 3 + usize::from(v5) + payload;
    let mut bytes = vec![0x30];
    while left > 0x7f {
        bytes.push(u8::try_from(left & 0x7f).expect("seven bits") | 0x80);
        left >>= 7;
    }
    bytes.push(u8::try_from(left).expect("seven bits"));
    bytes.extend([0, 1, b't']);
    bytes.extend(v5.then_some(0));
    bytes
}

/// A head of a binary frame of the long kind.
fn frame(length: usize) -> Vec<u8> {
    let mut bytes = vec![0x82, 127];
    bytes.extend((length as u64).to_be_bytes());
    bytes
}

async fn play(mut stream: TcpStream, websocket: bool, v5: bool, course: Course) -> std::io::Result<()> {
    if websocket {
        faults::upgrade(&mut stream).await?;
    }
    let mut heard = vec![0; 4096];
    if stream.read(&mut heard).await? == 0 {
        return Ok(());
    }
    let connack: &[u8] = if v5 { &[0x20, 3, 0, 0, 0] } else { &[0x20, 2, 0, 0] };
    let framed = |bytes: &[u8], length: usize| match websocket {
        true => [frame(length), bytes.to_vec()].concat(),
        false => bytes.to_vec(),
    };
    stream.write_all(&framed(connack, connack.len())).await?;
    match course {
        Course::Promises => {
            let begin = [head(268_435_000, v5), vec![7; 100]].concat();
            stream.write_all(&framed(&begin, begin.len())).await?;
            stream.shutdown().await?;
        }
        Course::PromisesInFrame => {
            let begin = [frame(268_435_000), head(10, v5)].concat();
            stream.write_all(&begin).await?;
            stream.shutdown().await?;
        }
        Course::Delivers => {
            let begin = head(LARGE, v5);
            stream.write_all(&framed(&begin, begin.len() + LARGE)).await?;
            for _ in 0..LARGE / MIB {
                stream.write_all(&[7; MIB]).await?;
            }
        }
    }
    while stream.read(&mut heard).await? > 0 {}
    Ok(())
}

/// Connects to a peer of that course: the configuration, and the peer's end.
async fn peer(ask: &Ask, websocket: bool, v5: bool, course: Course) -> SessionConfig {
    let folder = tempfile::tempdir().expect("folder");
    let certificates = Certificates::make(folder.path());
    let listener = TcpListener::bind("127.0.0.1:0").await.expect("bind");
    let port = listener.local_addr().expect("address").port();
    tokio::spawn(async move {
        while let Ok((stream, _)) = listener.accept().await {
            tokio::spawn(play(stream, websocket, v5, course));
        }
    });
    let mut config = ask.config(&Server::Plain(Script::Silent), port, None, 10, &certificates);
    config.profile.settings.timing.reconnect = false;
    config
}

/// Everything in one test: memory is the process's.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn room_is_made_for_what_arrives_and_not_for_what_is_promised() {
    for (websocket, v5) in [(false, true), (false, false), (true, true), (true, false)] {
        let ask = if websocket { ws() } else { mqtt() };
        let ask = if v5 { ask } else { ask.v311() };
        let promises: &[Course] = match websocket {
            true => &[Course::Promises, Course::PromisesInFrame],
            false => &[Course::Promises],
        };
        for course in promises {
            let config = peer(&ask, websocket, v5, *course).await;
            let before = MEMORY.current_usage();
            MEMORY.reset_peak_usage();
            let mut client = Client::connected(config).await;
            let last = client.last_phase().await;
            assert!(matches!(last, Phase::Failed { .. }), "{last:?}");
            let room = MEMORY.peak_usage().saturating_sub(before);
            assert!(room < ROOM, "{course:?}, WebSocket {websocket}, 5 {v5}: {room} bytes");
        }

        let config = peer(&ask, websocket, v5, Course::Delivers).await;
        let before = MEMORY.current_usage();
        MEMORY.reset_peak_usage();
        let sink = Collector::with_room(usize::MAX / 2);
        let mut client = Client::start_with(config, sink.clone());
        while !matches!(client.phase().await, Phase::Connected { .. }) {}
        let message = client.message().await;
        assert!(message.payload.len() == LARGE && message.payload.iter().all(|byte| *byte == 7));
        let room = MEMORY.peak_usage().saturating_sub(before);
        assert!(room < 4 * LARGE, "WebSocket {websocket}, 5 {v5}: {room} bytes");
        println!("100 MiB, WebSocket {websocket}, 5 {v5}: {} MiB at most", room / MIB);
        client.handle.abort();
        client.handle.ended().await;
    }
}
