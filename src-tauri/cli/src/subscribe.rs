//! `helio sub`: subscribes, and prints what arrives until Ctrl-C, `--count`, or the end of the connection.

use std::io::{BufWriter, IsTerminal as _, Write};

use heliograph_engine::message::{Direction, Item, Message};
use heliograph_engine::profile::Subscription;
use heliograph_engine::recording;
use heliograph_engine::session::SubscriptionState;

use crate::args::SubArgs;
use crate::failure::Ending;
use crate::live::{Inbox, Interrupts};
use crate::target::Wanted;
use crate::{live, output, target};

pub async fn run(args: SubArgs) -> Result<(), Ending> {
    let asked = args.topics.iter().map(|filter| Subscription {
        filter: filter.clone(),
        enabled: true,
        qos: args.qos,
        no_local: args.no_local,
        retain_as_published: args.retain_as_published,
        retain_handling: args.retain_handling,
        ..Subscription::default()
    });
    let wanted = match args.topics.is_empty() {
        true => Wanted::Saved,
        false => Wanted::These(asked.collect()),
    };
    let config = target::resolve(&args.connection, &args.only_in_5(), wanted)?;
    let mut interrupts = Interrupts::listen();
    let inbox = Inbox::new(true);
    let mut live = live::start(config, inbox.clone(), args.connection.debug);
    let result = print_messages(&args, &mut live, &inbox, &mut interrupts).await;
    live.handle.disconnect(0).await;
    let dropped = inbox.dropped_count();
    if dropped > 0 {
        let messages = output::count(dropped, "message", "messages");
        output::warn(&format!("{messages} came faster than could be printed: lost"));
    }
    result
}

async fn print_messages(
    args: &SubArgs,
    live: &mut live::Live,
    inbox: &Inbox,
    interrupts: &mut Interrupts,
) -> Result<(), Ending> {
    let mut printer = Printer::new(args);
    let mut refused_before = Vec::new();
    loop {
        let ended = live.latest.borrow().ended;
        for item in inbox.take() {
            if let Item::Message(message) = item
                && message.direction == Direction::In
            {
                printer.print(&message)?;
                if printer.gone {
                    return Ok(());
                }
                if args.count == Some(printer.printed) {
                    return printer.flush();
                }
            }
        }
        printer.flush()?;
        if printer.gone {
            return Ok(());
        }
        if ended {
            let failure = live.latest.borrow().failure.clone();
            return failure.map_or(Ok(()), |failure| Err(Ending::Connection(Box::new(failure))));
        }
        report_refused(live, &mut refused_before)?;
        tokio::select! {
            () = inbox.arrival() => {}
            _ = live.latest.changed() => {}
            _ = interrupts.first() => return Ok(()),
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
    /// Whoever read has gone, as `head` does: that is no failure.
    gone: bool,
}

impl<'a> Printer<'a> {
    fn new(args: &'a SubArgs) -> Self {
        let out = std::io::stdout();
        Self { args, terminal: out.is_terminal(), out: BufWriter::new(out), printed: 0, gone: false }
    }

    fn print(&mut self, message: &Message) -> Result<(), Ending> {
        let mut line = if self.args.json {
            recording::line(message)
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
        let result = self.out.write_all(&line);
        self.printed += 1;
        self.judge(result)
    }

    fn flush(&mut self) -> Result<(), Ending> {
        let result = self.out.flush();
        self.judge(result)
    }

    fn judge(&mut self, result: std::io::Result<()>) -> Result<(), Ending> {
        match result {
            Ok(()) => Ok(()),
            Err(error) if error.kind() == std::io::ErrorKind::BrokenPipe => {
                self.gone = true;
                Ok(())
            }
            Err(error) => Err(Ending::Other(format!("Standard output took no more: {error}"))),
        }
    }
}
