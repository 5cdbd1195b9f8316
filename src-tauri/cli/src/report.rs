//! `helio trace --report`: an attempt as Markdown, ready for an issue or a colleague, with versions and settings.
//! In: the trace and the settings it was made with, which hold no secrets. Out: text in which what looks like a
//! secret in a URL or a header is masked all the same.

use heliograph_engine::profile::Profile;
use heliograph_engine::recording::rfc3339;
use heliograph_engine::trace::{Outcome, Trace};
use serde_json::{Value, json};

use crate::output::{self, describe, duration, name_of, printable};

const MASK: &str = "•••";
/// What names say that their values are secret.
const SECRET_WORDS: [&str; 8] = ["token", "key", "secret", "sig", "auth", "pass", "credential", "session"];

/// The report.
pub fn markdown(trace: &Trace, profile: &Profile) -> String {
    let verdict = trace.verdict.as_ref();
    let failure = verdict.and_then(|verdict| verdict.failure.as_ref());
    let micros = duration(verdict.map_or(0, |verdict| verdict.micros));
    let mut lines = vec![
        match failure {
            Some(failure) => format!("# Failed after {micros}: {}", name_of(&failure.code)),
            None => format!("# Connected in {micros}"),
        },
        String::new(),
        format!("{} · {}", code(&trace.url), rfc3339(trace.started_at)),
        String::new(),
    ];
    if let Some(failure) = failure {
        lines.extend(["## What happened".into(), String::new(), failure.message.clone(), String::new()]);
        lines.extend([failure.cause.clone(), String::new()]);
        let late = failure.seen_during != failure.stage;
        lines.extend(late.then(|| format!("It showed during {}.\n", name_of(&failure.seen_during))));
        lines.extend(failure.evidence.iter().map(|(name, value)| match value {
            Value::String(text) => format!("- {name}: {}", code(text)),
            other => format!("- {name}: {}", code(&other.to_string())),
        }));
        lines.extend([String::new(), "## What would help".into(), String::new()]);
        lines.extend(failure.fixes.iter().map(|fix| format!("- {}", fix.label)));
        lines.push(String::new());
    }
    lines.extend(["## Stages".into(), String::new()]);
    for stage in trace.stages.iter().filter(|stage| stage.outcome != Outcome::Skipped) {
        let (summary, facts) = describe(&stage.detail);
        let (name, outcome) = (name_of(&stage.detail.stage()), name_of(&stage.outcome));
        lines.push(format!("- **{name}** {outcome}, {}: {}", duration(stage.micros), code(&summary)));
        lines.extend(
            facts.iter().map(|(label, value)| format!("  - {label}: {}", code(&masked_header(value)))),
        );
    }
    lines.push(String::new());
    if !trace.timing.is_empty() {
        lines.extend(["## Where the time went".into(), String::new()]);
        lines.extend(trace.timing.iter().map(|remark| format!("- {}", output::timing_text(remark))));
        lines.push(String::new());
    }
    lines.extend(["## Log".into(), String::new(), "```".into()]);
    lines.extend(trace.log.iter().map(|line| {
        let text = printable(&line.text).replace("```", "~~~");
        format!("{:>10}  {:<9}  {text}", duration(line.micros), name_of(&line.stage))
    }));
    lines.extend(["```".into(), String::new(), "## Settings".into(), String::new(), "```json".into()]);
    lines.push(settings(profile).replace("```", "~~~"));
    lines.extend(["```".into(), String::new()]);
    let version = env!("CARGO_PKG_VERSION");
    lines.push(format!("helio {version}, {} {}", std::env::consts::OS, std::env::consts::ARCH));
    lines.into_iter().map(|line| masked_queries(&line) + "\n").collect()
}

/// The settings, without what a person may have written into them that nobody else should read.
fn settings(profile: &Profile) -> String {
    let mut settings = serde_json::to_value(&profile.settings).unwrap_or_default();
    for pointer in ["/websocket/headers", "/session/user_properties", "/will/properties/user_properties"] {
        for pair in settings.pointer_mut(pointer).and_then(Value::as_array_mut).into_iter().flatten() {
            pair["value"] = json!(MASK);
        }
    }
    for pointer in ["/login/username", "/proxy/username", "/will/payload/text"] {
        if let Some(value) = settings.pointer_mut(pointer)
            && value != ""
        {
            *value = json!(MASK);
        }
    }
    serde_json::to_string_pretty(&settings).unwrap_or_default()
}

fn sounds_secret(name: &str) -> bool {
    let lower = name.to_ascii_lowercase();
    SECRET_WORDS.iter().chain(&["cookie"]).any(|word| lower.contains(word))
}

/// `Name: value` of a header whose name says that the value is secret.
fn masked_header(line: &str) -> String {
    match line.split_once(": ") {
        Some((name, _))
            if !name.contains(' ') && !name.starts_with("Sec-WebSocket-") && sounds_secret(name) =>
        {
            format!("{name}: {MASK}")
        }
        _ => line.to_owned(),
    }
}

/// Values of query parameters whose names say that they are secret, as in signed URLs.
fn masked_queries(line: &str) -> String {
    let mut out = String::new();
    let mut rest = line;
    while let Some(at) = rest.find(['?', '&']) {
        let (before, after) = rest.split_at(at + 1);
        out.push_str(before);
        let end = after.find(['&', ' ', '`', '"', '\n']).unwrap_or(after.len());
        let (parameter, tail) = after.split_at(end);
        match parameter.split_once('=') {
            Some((name, value)) if !value.is_empty() && sounds_secret(name) => {
                out.push_str(&format!("{name}={MASK}"));
            }
            _ => out.push_str(parameter),
        }
        rest = tail;
    }
    out + rest
}

/// A code span that nothing in the text can leave.
fn code(text: &str) -> String {
    let flat = printable(text).replace(['\n', '\t'], " ");
    let longest = flat.split(|c| c != '`').map(str::len).max().unwrap_or(0);
    let fence = "`".repeat(longest + 1);
    if longest == 0 { format!("{fence}{flat}{fence}") } else { format!("{fence} {flat} {fence}") }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use clap::Parser as _;
    use heliograph_engine::session;

    use super::*;
    use crate::args::{Cli, Command};
    use crate::target::{self, Wanted};

    #[tokio::test]
    async fn no_canary_gets_into_a_report() {
        let listener = std::net::TcpListener::bind("127.0.0.1:0").expect("a port");
        let port = listener.local_addr().expect("an address").port();
        // It takes the request with all that stands in it, and answers as a web server that knows nothing.
        let server = std::thread::spawn(move || {
            use std::io::{Read as _, Write as _};
            let (mut stream, _) = listener.accept().expect("a client");
            let mut request = vec![0; 4096];
            let count = stream.read(&mut request).expect("a request");
            let _ = stream.write_all(
                b"HTTP/1.1 404 Not Found\r\nSet-Cookie: sid=canary-cookie\r\nContent-Length: 0\r\n\r\n",
            );
            String::from_utf8_lossy(&request[..count]).into_owned()
        });
        let url = format!(
            "ws://canary-user:canary-password@127.0.0.1:{port}/mqtt?X-Amz-Signature=canary-signed&plant=7"
        );
        let words = [
            "helio",
            "trace",
            &url,
            "--report",
            "--ws-header",
            "Authorization: Bearer canary-bearer",
            "--ws-header",
            "X-Api-Key: canary-api",
            "--user-property",
            "tenant=canary-property",
            "--will-topic",
            "state",
            "--will-message",
            "canary-will",
        ];
        let Command::Trace(args) = Cli::try_parse_from(words).expect("words").command else {
            unreachable!("trace")
        };
        let config = target::resolve(&args.connection, &[], Wanted::Nothing).ok().expect("resolved");
        let trace = session::test(config.clone(), Arc::new(|_| {})).await;
        let request = server.join().expect("the server");
        assert!(request.contains("canary-bearer") && request.contains("canary-signed"), "{request}");
        let text = markdown(&trace, &config.profile);
        assert!(text.contains("# Failed after") && text.contains("ws_not_found"), "{text}");
        assert!(text.contains("X-Amz-Signature=•••&plant=7"), "{text}");
        assert!(text.contains("\"keep_alive_s\"") && text.contains(env!("CARGO_PKG_VERSION")), "{text}");
        assert!(!text.contains("canary"), "{text}");
    }

    #[test]
    fn what_comes_from_the_wire_stays_in_its_span() {
        assert_eq!(code("a`b\n# c"), "`` a`b # c ``");
        assert_eq!(masked_header("Sec-WebSocket-Key: x"), "Sec-WebSocket-Key: x");
        assert_eq!(masked_header("set-cookie: a=b"), "set-cookie: •••");
        assert_eq!(masked_queries("/a?x=1&Token=abc"), "/a?x=1&Token=•••");
    }
}
