//! `helio pub`: publishes one message, or one for each line of standard input, waits for each acknowledgement,
//! and says DISCONNECT.

use std::io::{BufRead, Read as _};

use heliograph_engine::draft::payload_bytes;
use heliograph_engine::error::ErrorCode;
use heliograph_engine::profile::{PayloadEncoding, PayloadText, PublishProperties, Qos};
use heliograph_engine::session::Publication;
use serde_json::json;

use crate::args::PubArgs;
use crate::failure::Ending;
use crate::live::{Inbox, Interrupts};
use crate::target::Wanted;
use crate::{live, output, target};

/// The longest payload, in bytes (MQTT 5, 2.1.4).
const MOST: u64 = 268_435_455;

pub async fn run(args: PubArgs) -> Result<(), Ending> {
    if args.connection.password_stdin && (args.payload.stdin || args.payload.stdin_lines) {
        return Err(Ending::Usage("Standard input cannot be both the password and the payload".into()));
    }
    let single = single_payload(&args)?;
    let config = target::resolve(&args.connection, &args.only_in_5(), Wanted::Nothing)?;
    let mut interrupts = Interrupts::listen();
    let mut live = live::start(config, Inbox::new(false), args.connection.debug);
    let result = tokio::select! {
        result = publish(&args, &mut live, single) => result,
        status = interrupts.first() => Err(Ending::Shown(status)),
    };
    live.handle.disconnect(0).await;
    result
}

async fn publish(args: &PubArgs, live: &mut live::Live, single: Option<Vec<u8>>) -> Result<(), Ending> {
    connected(live).await?;
    if let Some(payload) = single {
        return publish_one(args, live, payload).await;
    }
    let mut lines = stdin_lines();
    let mut refused = None;
    while let Some(line) = lines.recv().await {
        let line = line.map_err(|error| unreadable(&error))?;
        match publish_one(args, live, line).await {
            Err(Ending::Refused(why)) => {
                output::error(&why);
                refused = Some(Ending::Shown(4));
            }
            other => other?,
        }
    }
    refused.map_or(Ok(()), Err)
}

async fn publish_one(args: &PubArgs, live: &mut live::Live, payload: Vec<u8>) -> Result<(), Ending> {
    let publication = Publication {
        topic: args.topic.clone(),
        payload: payload.into(),
        qos: args.qos,
        retain: args.retain,
        properties: properties(args),
    };
    let again = args.connection.reconnects() && args.qos == Qos::AtLeastOnce;
    let outcome = loop {
        match live.handle.publish(publication.clone()).await {
            // Between two connections: it waits for the next one.
            Err(error) if error.code == ErrorCode::NotConnected => connected(live).await?,
            // At least once: it goes again over the next connection.
            Err(error) if error.code == ErrorCode::ConnectionLost && again => connected(live).await?,
            Err(error) if error.code == ErrorCode::ConnectionLost => {
                let failure = live.latest.borrow().failure.clone();
                output::error(&error.message);
                if let Some(failure) = failure {
                    output::failure(&failure);
                }
                return Err(Ending::Shown(3));
            }
            other => break other?,
        }
    };
    if args.json {
        let became = json!({
            "topic": args.topic, "qos": outcome.qos, "code": outcome.code, "reason": outcome.reason,
            "reason_string": outcome.reason_string, "micros": outcome.micros,
        });
        output::line(&became.to_string());
    }
    match outcome.code {
        Some(code) if code >= 0x80 => {
            let words = outcome.reason_string.map(|words| format!(": {words}")).unwrap_or_default();
            let (topic, reason) = (&args.topic, &outcome.reason);
            Err(Ending::Refused(format!("The broker refused {topic}: {reason} (0x{code:02x}){words}")))
        }
        _ => Ok(()),
    }
}

/// Waits for the connection, or for its end.
pub async fn connected(live: &mut live::Live) -> Result<(), Ending> {
    let latest = live.latest.wait_for(|latest| latest.connected || latest.ended).await;
    match latest {
        Ok(latest) if latest.connected => Ok(()),
        Ok(latest) => Err(latest.ending()),
        Err(_) => Err(Ending::Other("The connection has ended".into())),
    }
}

/// The one payload; `None` when each line of standard input is one.
fn single_payload(args: &PubArgs) -> Result<Option<Vec<u8>>, Ending> {
    let given = &args.payload;
    if given.stdin_lines {
        return Ok(None);
    }
    if let Some(text) = &given.message {
        return Ok(Some(text.clone().into_bytes()));
    }
    if let Some(path) = &given.file {
        let text = path.display().to_string();
        return Ok(Some(payload_bytes(&PayloadText { text, encoding: PayloadEncoding::File })?.to_vec()));
    }
    let mut bytes = Vec::new();
    if given.stdin {
        std::io::stdin().lock().take(MOST + 1).read_to_end(&mut bytes).map_err(|error| unreadable(&error))?;
        if bytes.len() as u64 > MOST {
            return Err(Ending::Usage(too_long("Standard input")));
        }
    }
    Ok(Some(bytes))
}

fn unreadable(error: &std::io::Error) -> Ending {
    Ending::Usage(format!("Standard input cannot be read: {error}"))
}

fn too_long(what: &str) -> String {
    format!("{what} is longer than an MQTT packet can be (256 MiB)")
}

/// Reading blocks, so a thread does it, a few lines ahead.
fn stdin_lines() -> tokio::sync::mpsc::Receiver<std::io::Result<Vec<u8>>> {
    let (sender, lines) = tokio::sync::mpsc::channel(64);
    std::thread::spawn(move || {
        let mut input = std::io::stdin().lock();
        loop {
            let line = read_line(&mut input);
            let last = !matches!(line, Ok(Some(_)));
            let Some(line) = line.transpose() else { return };
            if sender.blocking_send(line).is_err() || last {
                return;
            }
        }
    });
    lines
}

/// The next line without its end; `None` after the last.
fn read_line(input: &mut impl BufRead) -> std::io::Result<Option<Vec<u8>>> {
    let mut line = Vec::new();
    if input.take(MOST + 2).read_until(b'\n', &mut line)? == 0 {
        return Ok(None);
    }
    if line.pop_if(|last| *last == b'\n').is_some() {
        line.pop_if(|last| *last == b'\r');
    }
    match line.len() as u64 > MOST {
        true => Err(std::io::Error::other(too_long("a line"))),
        false => Ok(Some(line)),
    }
}

fn properties(args: &PubArgs) -> PublishProperties {
    let text = |text: &String| PayloadText { text: text.clone(), ..PayloadText::default() };
    PublishProperties {
        payload_format_utf8: args.payload_format_utf8.then_some(true),
        message_expiry_s: args.message_expiry,
        content_type: args.content_type.clone(),
        response_topic: args.response_topic.clone(),
        correlation_data: args.correlation_data.as_ref().map(text),
        topic_alias: None,
        user_properties: args.message_user_property.clone(),
    }
}
