//! Pasted command lines of `mosquitto_sub`, `mosquitto_pub`, `mosquitto_rr` and `mqttx`. In: text as it stands in a
//! shell: prompts, quotes, escapes, continued lines, several commands. Out: connections with their subscriptions,
//! with passwords apart. Nothing is run and nothing is put in the place of a variable. Facts from the manuals and
//! public sources of mosquitto 2.0 and MQTTX CLI 1.13.

mod build;
mod options;

use super::remarks::RemarkCode;
use super::{ImportSource, Plan, not_known, refuse};
use crate::error::{ErrorReason, Result};
use build::{Line, Tool};
use options::{Arity, OptionRow};

/// The longest text that is taken for command lines, in bytes.
const LONGEST: usize = 1 << 20;
/// Stands for `#` while words are split: for people who did not quote it, it is a topic filter and no comment.
const HASH: &str = "\u{f0023}";
/// Words that end a command.
const ENDS: [&str; 10] = ["|", "||", "&", "&&", ";", ">", ">>", "2>", "2>&1", "<"];

/// Adds the connections of command lines to the plan.
///
/// # Errors
/// `invalid_input`: it is no such command line, or a quotation mark is left open.
pub(super) fn read(text: &str, plan: &mut Plan) -> Result<()> {
    if text.len() > LONGEST {
        return Err(not_known());
    }
    // Quotes in what is no command line at all are nobody's mistake.
    if !text.split(|c: char| c.is_whitespace() || c == '\'' || c == '"').any(|word| tool_of(word).is_some()) {
        return Err(not_known());
    }
    let words = words(text).ok_or_else(|| {
        refuse(
            ErrorReason::Damaged,
            "A quotation mark of the command line is opened and never closed. Nothing was added",
        )
    })?;
    plan.source = ImportSource::CommandLine;
    let mut words = words.into_iter().peekable();
    while let Some(word) = words.next() {
        let Some(name) = tool_of(&word) else { continue };
        let tool = match name.strip_prefix("mosquitto_") {
            Some("sub") => Some(Tool::MosquittoSub),
            Some("pub") => Some(Tool::MosquittoPub),
            Some(_) => Some(Tool::MosquittoRr),
            None => match words.next().as_deref() {
                Some("sub") => Some(Tool::MqttxSub),
                Some("pub") => Some(Tool::MqttxPub),
                Some("conn") => Some(Tool::MqttxConn),
                other => {
                    let command = format!("mqttx {}", other.unwrap_or_default());
                    plan.remarks.push(RemarkCode::NoCounterpart, command.trim_end(), "", "");
                    None
                }
            },
        };
        if let Some(tool) = tool {
            let found = command(tool, &mut words).into_found();
            plan.add(found);
        }
    }
    Ok(())
}

/// Reads the options of one command, up to the next.
fn command(tool: Tool, words: &mut std::iter::Peekable<impl Iterator<Item = String>>) -> Line {
    let mut line = Line::of(tool);
    while let Some(word) = words.next_if(|word| tool_of(word).is_none()) {
        if ENDS.contains(&word.as_str()) || word.starts_with('#') {
            if !word.starts_with('#') {
                line.remarks.push(RemarkCode::RestOfLine, "", &word, "");
            }
            while words.next_if(|word| tool_of(word).is_none()).is_some() {}
            break;
        }
        let Some((name, option, attached)) = options::find(tool, &word) else {
            // What follows an unknown option may be a secret: words without a name are not repeated.
            let name = word.split('=').next().filter(|name| name.starts_with('-')).unwrap_or("…");
            line.remarks.push(RemarkCode::NotUnderstood, name, "", "");
            continue;
        };
        if option.what == options::What::Property {
            property(&mut line, words);
            continue;
        }
        let values = values(&option, attached, words);
        match values.is_empty() && matches!(option.arity, Arity::One | Arity::Some) {
            true => line.remarks.push(RemarkCode::WrongValue, name, "", ""),
            false => line.take(&name, option.what, values),
        }
    }
    line
}

/// The values that follow an option.
fn values(
    option: &OptionRow,
    attached: Option<String>,
    words: &mut std::iter::Peekable<impl Iterator<Item = String>>,
) -> Vec<String> {
    if let Some(value) = attached {
        return vec![value];
    }
    let is_value = |word: &String| !word.starts_with('-') && !ENDS.contains(&word.as_str());
    let mut values = Vec::new();
    match option.arity {
        Arity::None => {}
        Arity::One => values.extend(words.next()),
        Arity::AtMostOne => values.extend(words.next_if(is_value)),
        Arity::Some | Arity::Any => {
            while let Some(value) = words.next_if(|word| is_value(word) && tool_of(word).is_none()) {
                values.push(value);
            }
        }
    }
    values
}

/// `-D command name value`, and one value more for user properties.
fn property(line: &mut Line, words: &mut std::iter::Peekable<impl Iterator<Item = String>>) {
    let (Some(command), Some(name), Some(value)) = (words.next(), words.next(), words.next()) else {
        return line.remarks.push(RemarkCode::WrongValue, "-D", "", "");
    };
    let second = (name == "user-property").then(|| words.next()).flatten();
    line.take_property(&command.to_ascii_lowercase(), &name.to_ascii_lowercase(), value, second);
}

/// The name of the program, when it is one that is read here.
fn tool_of(word: &str) -> Option<&'static str> {
    let name = word.rsplit(['/', '\\']).next().unwrap_or_default().to_ascii_lowercase();
    let name = name.strip_suffix(".exe").unwrap_or(&name);
    match name {
        "mosquitto_sub" => Some("mosquitto_sub"),
        "mosquitto_pub" => Some("mosquitto_pub"),
        "mosquitto_rr" => Some("mosquitto_rr"),
        "mqttx" | "mqttx-cli" => Some("mqttx"),
        other if other.starts_with("mqttx-cli-") => Some("mqttx"),
        _ => None,
    }
}

/// Words as a shell splits them; `None` when a quotation mark is left open.
fn words(text: &str) -> Option<Vec<String>> {
    let lines: Vec<_> = text.split('\n').collect();
    let mut text = String::new();
    for (at, line) in lines.iter().enumerate() {
        // Continued, as shells, cmd and PowerShell write it; a space after that nobody sees.
        let continued = line.trim_end().strip_suffix(['\\', '^', '`']);
        match continued.filter(|_| at + 1 < lines.len()) {
            Some(rest) => text.push_str(rest),
            None => {
                text.push_str(line.trim_end().strip_suffix('\\').unwrap_or(line));
                text.push('\n');
            }
        }
    }
    // C:\certs\ca.pem: there the backslash is no escape.
    let bytes = text.as_bytes();
    let drive = |at: usize| {
        let before = at.checked_sub(1).and_then(|at| bytes.get(at));
        bytes[at].is_ascii_alphabetic()
            && bytes.get(at + 1) == Some(&b':')
            && bytes.get(at + 2) == Some(&b'\\')
            && before.is_none_or(|byte| byte.is_ascii_whitespace() || b"\"'=".contains(byte))
    };
    if (0..bytes.len()).any(drive) {
        text = text.replace('\\', "\\\\");
    }
    let split = shlex::split(&text.replace('#', HASH))?;
    Some(split.into_iter().map(|word| word.replace(HASH, "#")).collect())
}
