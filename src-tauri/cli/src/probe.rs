//! `helio probe`: what a port speaks, combination by combination, and what to use. Exit status 0 when something
//! there speaks MQTT or asks for a client certificate first, 3 when nothing does, 130 or 143 when it was interrupted.

use heliograph_engine::endpoint::{Endpoint, EndpointParts, Scheme, split_url};
use heliograph_engine::probe::{self, ProbeAnswer, ProbeAttempt, ProbeConfig, ProbeReport};

use crate::args::{ConnectionArgs, ProbeArgs};
use crate::failure::Ending;
use crate::live::Interrupts;
use crate::output::{self, BAD, CARE, GOOD, QUIET, certificate, duration, name_of, printable, why_and_fixes};
use crate::target;

pub async fn run(args: ProbeArgs) -> Result<(), Ending> {
    let config = resolve(&args)?;
    let json = args.json;
    if !json {
        output::line(&config.profile.endpoint.authority());
    }
    let show = |attempt: &ProbeAttempt| match json {
        true => output::line(&output::json(attempt)),
        false => output::print(&attempt_text(attempt)),
    };
    let mut interrupts = Interrupts::listen();
    let mut interrupted = None;
    let stop = async { interrupted = Some(interrupts.first().await) };
    let report = probe::probe_until(config, show, stop).await;
    match json {
        true => output::line(&output::json(&report)),
        false => output::print(&report_text(&report)),
    }
    match (report.best, interrupted) {
        (_, Some(status)) if report.cancelled => Err(Ending::Shown(status)),
        (Some(_), _) => Ok(()),
        (None, _) => Err(Ending::Shown(3)),
    }
}

fn resolve(args: &ProbeArgs) -> Result<ProbeConfig, Ending> {
    if !args.target.starts_with('@') && !args.target.contains("://") {
        let url = split_url(&args.target, Scheme::Mqtt).map_err(|error| Ending::Usage(error.message))?;
        if url.parts.port.is_empty() {
            return Err(Ending::Usage(format!("Which port? Write {}:PORT", args.target)));
        }
    }
    let connection = ConnectionArgs {
        target: Some(args.target.clone()),
        ca: args.ca.clone(),
        ca_only: args.ca_only,
        alpn: args.alpn.clone(),
        sni: args.sni.clone(),
        proxy: args.proxy.clone(),
        ..ConnectionArgs::default()
    };
    let mut session = target::resolve_for_probe(&connection)?;
    if let Some(path) = &args.path {
        let endpoint = session.profile.endpoint;
        let port = endpoint.port().to_string();
        let parts = EndpointParts { websocket: true, port, path: path.clone(), ..endpoint.into() };
        session.profile.endpoint =
            Endpoint::from_url_parts(parts).map_err(|error| Ending::Usage(error.message))?;
    }
    Ok(ProbeConfig { profile: session.profile, secrets: session.secrets, timeout_s: args.connect_timeout })
}

fn attempt_text(attempt: &ProbeAttempt) -> String {
    let version = name_of(&attempt.version);
    let (sign, style, words) = match attempt.answer {
        ProbeAnswer::Accepted => ("✓", GOOD, format!("MQTT {version}, open to anybody")),
        ProbeAnswer::Refused => {
            let reason = attempt.connack.as_deref().unwrap_or_default();
            ("✓", GOOD, format!("MQTT {version}, answers {reason}: it wants a login"))
        }
        ProbeAnswer::ClientCertificate => ("✓", CARE, "wants a client certificate".to_owned()),
        ProbeAnswer::Silent => ("–", QUIET, "no answer".to_owned()),
        // Said once, at the end.
        ProbeAnswer::Unreachable => return String::new(),
        ProbeAnswer::Other => {
            let code = attempt.failure.as_ref().map(|failure| name_of(&failure.code));
            ("✗", QUIET, code.unwrap_or_default())
        }
    };
    let time = duration(attempt.micros);
    format!("{style}  {sign}{style:#} {:<48} {time:>9}  {}\n", attempt.url, printable(&words))
}

fn report_text(report: &ProbeReport) -> String {
    let mut text = String::new();
    let mut seen = Vec::new();
    for info in report.attempts.iter().filter_map(|attempt| attempt.certificate.as_ref()) {
        if !seen.contains(&&info.sha256) {
            text.push_str(&format!("{QUIET}  certificate{QUIET:#} {}\n", printable(&certificate(info))));
            seen.push(&info.sha256);
        }
    }
    if let Some(trust) = &report.trust {
        let by = printable(&trust.by);
        match &trust.failure {
            None if trust.trusted => text.push_str(&format!("{GOOD}  trusted{GOOD:#} by {by}\n")),
            failure => {
                let why = failure.as_ref().map(|failure| failure.message.as_str()).unwrap_or_default();
                text.push_str(&format!("{CARE}  not trusted{CARE:#} by {by}: {}\n", printable(why)));
            }
        }
    }
    let micros = duration(report.micros);
    if report.cancelled {
        text.push_str(&format!("{CARE}Interrupted{CARE:#} after {micros}: not everything was tried\n"));
    }
    match (report.best.and_then(|index| report.attempts.get(index)), &report.telling) {
        (Some(best), _) => {
            let version = match best.answer {
                ProbeAnswer::ClientCertificate => String::new(),
                _ => format!(" -V {}", name_of(&best.version)),
            };
            text.push_str(&format!("{GOOD}Use{GOOD:#} {}{version} (after {micros})\n", best.url));
        }
        (None, Some(failure)) => text.push_str(&format!(
            "{BAD}Nothing here speaks MQTT{BAD:#} (after {micros})\n  {}\n{}",
            printable(&failure.message),
            why_and_fixes(failure)
        )),
        (None, None) if report.cancelled => {}
        (None, None) => {
            text.push_str(&format!("{BAD}Nothing answered{BAD:#} in {micros}\n"));
        }
    }
    text
}
