//! Prints how many messages a second the history keeps: `cargo run --release --example history_rate [MESSAGES]`.

use std::time::Instant;

use heliograph_engine::history::History;
use heliograph_engine::message::{Direction, Item, Message};
use heliograph_engine::profile::{ProfileId, Qos};

#[tokio::main]
async fn main() -> Result<(), Box<dyn std::error::Error>> {
    let messages: i64 = std::env::args().nth(1).map_or(Ok(1_000_000), |text| text.parse())?;
    let folder = std::env::temp_dir().join(format!("history-rate-{}", std::process::id()));
    let history = History::open(&folder.join("messages.db"))?;
    let sink = history.sink(ProfileId::random());
    let payload = bytes::Bytes::from(vec![b'x'; 64]);
    let topics: Vec<String> = (0..1_000).map(|n| format!("plant/line/{n}/temperature")).collect();

    let started = Instant::now();
    for (time, topic) in (0..messages).zip(topics.iter().cycle()) {
        let mut item = Item::Message(Message {
            time,
            direction: Direction::In,
            topic: topic.clone(),
            payload: payload.clone(),
            qos: Qos::AtMostOnce,
            retain: false,
            dup: false,
            properties: None,
        });
        while let Err(back) = sink.try_accept(item) {
            item = back;
            sink.room().await;
        }
    }
    history.flush().await?;
    let seconds = started.elapsed().as_secs_f64();
    history.close().await?;
    println!("{messages} messages of 64 bytes in {seconds:.2} s: {:.0} a second", messages as f64 / seconds);
    std::fs::remove_dir_all(folder)?;
    Ok(())
}
