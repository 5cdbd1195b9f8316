//! MQTT 3.1.1 over a bare blocking socket: the least that any client can need. It floods a broker with pre-encoded
//! packets, and is the floor that latencies stand beside.

use std::io::{Read, Write};
use std::net::{Ipv4Addr, TcpStream};
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use crate::flood::{BLOCK, Block, Flood};

/// Unacknowledged QoS 1 and 2 messages at most.
const WINDOW: u64 = 2 * BLOCK as u64;

/// Connects as `id`, and says how long CONNECT to CONNACK took.
pub fn connect(port: u16, id: &str) -> (TcpStream, Duration) {
    let mut stream = TcpStream::connect((Ipv4Addr::LOCALHOST, port)).expect("a broker");
    stream.set_nodelay(true).expect("an option");
    let mut packet = vec![0x10, (12 + id.len()) as u8];
    packet.extend(b"\0\x04MQTT\x04\x02\0\0");
    packet.extend((id.len() as u16).to_be_bytes());
    packet.extend(id.as_bytes());
    let asked = Instant::now();
    stream.write_all(&packet).expect("CONNECT");
    let mut answer = [0; 4];
    stream.read_exact(&mut answer).expect("CONNACK");
    assert_eq!(answer, [0x20, 2, 0, 0], "CONNACK");
    (stream, asked.elapsed())
}

/// Publishes a flood to a broker, as fast as that takes it, and returns when it is acknowledged (QoS 0: written).
pub fn publish(port: u16, flood: Flood) {
    let (stream, _) = connect(port, "flood");
    let acknowledged = Arc::new(AtomicU64::new(0));
    let (mut reading, count) = (stream.try_clone().expect("a clone"), acknowledged.clone());
    // Packets of two threads must not meet in the middle.
    let writing = Arc::new(Mutex::new(stream));
    let answering = writing.clone();
    let write =
        |bytes: &[u8]| writing.lock().expect("the lock").write_all(bytes).expect("the broker takes it");
    let reader = std::thread::spawn(move || {
        let (mut bytes, mut kept) = (vec![0; 64 * 1024], Vec::new());
        while let Ok(read @ 1..) = reading.read(&mut bytes) {
            kept.extend_from_slice(&bytes[..read]);
            let whole = kept.len() / 4 * 4;
            let (mut done, mut releases) = (0, Vec::new());
            for packet in kept[..whole].chunks_exact(4) {
                match packet[0] {
                    0x50 => releases.extend([0x62, 2, packet[2], packet[3]]),
                    _ => done += 1,
                }
            }
            kept.drain(..whole);
            if !releases.is_empty() {
                answering.lock().expect("the lock").write_all(&releases).expect("PUBREL");
            }
            count.fetch_add(done, Ordering::Release);
        }
    });
    let mut block = Block::new(flood, false, false);
    let mut sent = 0;
    while sent < flood.messages {
        let next = (flood.messages - sent).min(BLOCK as u64);
        while flood.qos > 0 && sent + next > acknowledged.load(Ordering::Acquire) + WINDOW {
            std::thread::sleep(Duration::from_micros(50));
        }
        write(block.fill(sent, next as usize));
        sent += next;
    }
    while flood.qos > 0 && acknowledged.load(Ordering::Acquire) < sent {
        std::thread::sleep(Duration::from_millis(1));
    }
    write(&[0xe0, 0]);
    // Closed before the broker has read everything, the socket could be reset and the flood cut.
    let _ = writing.lock().expect("the lock").shutdown(std::net::Shutdown::Write);
    let _ = reader.join();
}

/// Microseconds from QoS 1 PUBLISH to PUBACK, one at a time at a thousand a second, sorted.
pub fn round_trips(port: u16, count: u64) -> Vec<u64> {
    let (mut stream, _) = connect(port, "round-trips");
    let flood = Flood { topics: 1, ..Flood::of(count, 1) };
    let mut block = Block::new(flood, false, false);
    let mut micros = Vec::new();
    for number in 0..count {
        let asked = Instant::now();
        stream.write_all(block.fill(number, 1)).expect("PUBLISH");
        stream.read_exact(&mut [0; 4]).expect("PUBACK");
        micros.push(asked.elapsed().as_micros() as u64);
        std::thread::sleep(Duration::from_millis(1).saturating_sub(asked.elapsed()));
    }
    micros.sort_unstable();
    micros
}
