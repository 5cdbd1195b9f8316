//! `helio sub`: subscribes, and prints what arrives until Ctrl-C, `--count`, or the end of the connection.

use std::io::{BufWriter, IsTerminal as _, Write};

use heliograph_engine::message::{Direction, Item, Message};
use heliograph_engine::profile::Subscription;
use heliograph_engine::session::SubscriptionState;

use crate::args::SubArgs;
use crate::failure::Ending;
use crate::{live, output, target};

pub async fn run(args: SubArgs) -> Result<(), Ending> {
    let wanted = args.topics.iter().map(|filter| Subscription {
        filter: filter.clone(),
        enabled: true,
        qos: args.qos,
        no_local: args.no_local,
        retain_as_published: args.retain_as_published,
        retain_handling: args.retain_handling,
        ..Subscription::default()
    });
    let config = target::resolve(&args.connection, wanted.collect())?;
    let mut live = live::start(config, true, args.connection.debug);
    let result = print_messages(&args, &mut live).await;
    tokio::select! {
        () = live.handle.disconnect(0) => {}
        () = live::interrupted() => live.handle.abort(),
    }
    let dropped = live.inbox.dropped_count();
    if dropped > 0 {
        output::warn(&format!("{dropped} messages came faster than they could be printed, and are lost"));
    }
    result
}

async fn print_messages(args: &SubArgs, live: &mut live::Live) -> Result<(), Ending> {
    let mut printer = Printer::new(args);
    let mut refused_before = Vec::new();
    loop {
        let ended = live.latest.borrow().ended;
        for item in live.inbox.take() {
            if let Item::Message(message) = item
                && message.direction == Direction::In
            {
                match printer.print(&message) {
                    Ok(()) => {}
                    // Whoever read has gone, as `head` does: that is no failure.
                    Err(error) if error.kind() == std::io::ErrorKind::BrokenPipe => return Ok(()),
                    Err(error) => return Err(Ending::Other(format!("Printing failed: {error}"))),
                }
                if args.count == Some(printer.printed) {
                    let _ = printer.out.flush();
                    return Ok(());
                }
            }
        }
        if printer.out.flush().is_err() {
            return Ok(());
        }
        if ended {
            let failure = live.latest.borrow().failure.clone();
            return failure.map_or(Ok(()), |failure| Err(Ending::Connection(Box::new(failure))));
        }
        report_refused(live, &mut refused_before)?;
        tokio::select! {
            () = live.inbox.arrival() => {}
            _ = live.latest.changed() => {}
            () = live::interrupted() => return Ok(()),
        }
    }
}

/// Says which subscriptions were refused, once each; with none granted there is nothing to wait for.
fn report_refused(live: &live::Live, before: &mut Vec<String>) -> Result<(), Ending> {
    let states = live.latest.borrow().subscriptions.clone();
    let mut refused = 0;
    for (subscription, state) in &states {
        if let SubscriptionState::Refused { code, reason, reason_string } = state {
            refused += 1;
            if !before.contains(&subscription.filter) {
                let words = reason_string.as_ref().map(|words| format!(": {words}")).unwrap_or_default();
                let filter = &subscription.filter;
                output::warn(&format!("The broker refused {filter}: {reason} (0x{code:02x}){words}"));
                before.push(filter.clone());
            }
        }
    }
    if refused > 0 && refused == states.len() {
        return Err(Ending::Refused("The broker refused every subscription".into()));
    }
    Ok(())
}

struct Printer<'a> {
    args: &'a SubArgs,
    out: BufWriter<std::io::Stdout>,
    terminal: bool,
    printed: u64,
}

impl<'a> Printer<'a> {
    fn new(args: &'a SubArgs) -> Self {
        let out = std::io::stdout();
        Self { args, terminal: out.is_terminal(), out: BufWriter::new(out), printed: 0 }
    }

    fn print(&mut self, message: &Message) -> std::io::Result<()> {
        let mut line = if self.args.json {
            output::message_json(message).into_bytes()
        } else if let Some(format) = &self.args.format {
            output::message_formatted(message, format)
        } else if self.args.verbose {
            [message.topic.as_bytes(), b" ", &message.payload].concat()
        } else {
            message.payload.to_vec()
        };
        if self.terminal && !self.args.json {
            line = output::printable(&String::from_utf8_lossy(&line)).into_bytes();
        }
        line.push(b'\n');
        self.out.write_all(&line)?;
        self.printed += 1;
        Ok(())
    }
}
