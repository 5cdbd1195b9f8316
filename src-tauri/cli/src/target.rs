//! Options to a connection. In: what was typed. Out: a profile and its secrets. Authentication options never
//! reach the transport: that comes from the URL and `-l` alone.

use std::io::BufRead as _;

use heliograph_engine::draft;
use heliograph_engine::endpoint::{Endpoint, EndpointParts, Scheme, SplitUrl, split_url};
use heliograph_engine::engine::Severity;
use heliograph_engine::profile::{
    ClientCertificate, Header, Login, PayloadText, Profile, ProfileDraft, ProfileId, Proxy, ProxyKind,
    Settings, Subscription, TrustMode, Will,
};
use heliograph_engine::secret::{Secret, SecretField, Secrets};
use heliograph_engine::session::SessionConfig;

use crate::args::ConnectionArgs;
use crate::failure::Ending;
use crate::output;

/// What to connect to. Warnings go to standard error; what cannot work ends the command.
pub fn resolve(args: &ConnectionArgs, subscriptions: Vec<Subscription>) -> Result<SessionConfig, Ending> {
    let (endpoint, username, url_password) = endpoint(args)?;
    let mut secrets = Secrets::default();
    let mut settings = Settings { subscriptions, ..Settings::default() };
    let password = match (&args.password, args.password_stdin) {
        (Some(text), _) => Some(Secret::new(text.as_bytes())),
        (None, true) => Some(password_from_stdin()?),
        (None, false) => url_password,
    };
    let username = args.username.clone().or(username);
    settings.login =
        Login { enabled: username.is_some() || password.is_some(), username: username.unwrap_or_default() };
    secrets.put(SecretField::Password, password);
    apply_tls(args, &mut settings);
    let passphrase = args.key_password.as_ref().map(|text| Secret::new(text.as_bytes()));
    secrets.put(SecretField::KeyPassphrase, passphrase);
    apply_websocket(args, &mut settings, &mut secrets)?;
    if let Some(proxy) = &args.proxy {
        let (proxy, password) = read_proxy(proxy)?;
        settings.proxy = proxy;
        secrets.put(SecretField::ProxyPassword, password);
    }
    apply_session(args, &mut settings);
    let id = ProfileId::random();
    if args.client_id.is_none() {
        settings.session.client_id = format!("helio-{}", id.to_string().get(..8).unwrap_or_default());
    }
    let draft = ProfileDraft { id, name: endpoint.url(), endpoint: endpoint.into(), settings };
    remark(&draft, &secrets)?;
    let profile: Profile = draft::build(draft)?;
    Ok(SessionConfig { profile, secrets, keep_trying: args.reconnect || args.max_reconnects.is_some() })
}

/// The first line of standard input, without its end.
pub fn password_from_stdin() -> Result<Secret, Ending> {
    let mut line = Vec::new();
    std::io::stdin().lock().read_until(b'\n', &mut line).map_err(|error| {
        Ending::Usage(format!("The password cannot be read from standard input: {error}"))
    })?;
    while matches!(line.last(), Some(b'\n' | b'\r')) {
        line.pop();
    }
    Ok(Secret::new(line))
}

fn endpoint(args: &ConnectionArgs) -> Result<(Endpoint, Option<String>, Option<Secret>), Ending> {
    let wrong = |error: heliograph_engine::endpoint::EndpointError| Ending::Usage(error.message);
    let default = args.protocol.unwrap_or(Scheme::Mqtt);
    let SplitUrl { mut parts, username, password } = match &args.target {
        Some(text) if text.starts_with('@') => {
            return Err(Ending::Usage("Saved connections cannot be named here yet: give the URL".into()));
        }
        Some(text) => split_url(text, default).map_err(wrong)?,
        None => {
            let parts = EndpointParts { host: "localhost".into(), ..EndpointParts::default() };
            SplitUrl { parts, username: None, password: None }
        }
    };
    if let Some(scheme) = args.protocol {
        (parts.websocket, parts.tls) = (scheme.websocket(), scheme.tls());
    }
    if let Some(host) = &args.hostname {
        parts.host.clone_from(host);
    }
    if let Some(port) = &args.port {
        parts.port.clone_from(port);
    }
    if let Some(path) = &args.path {
        parts.path.clone_from(path);
    }
    Ok((Endpoint::from_url_parts(parts).map_err(wrong)?, username, password))
}

fn certificate(args: &ConnectionArgs) -> ClientCertificate {
    ClientCertificate {
        enabled: args.cert.is_some() || args.key.is_some() || args.p12.is_some(),
        cert_file: args.cert.clone().or_else(|| args.p12.clone()).unwrap_or_default(),
        key_file: args.key.clone().unwrap_or_default(),
    }
}

fn apply_tls(args: &ConnectionArgs, settings: &mut Settings) {
    settings.client_certificate = certificate(args);
    settings.trust.ca_files.clone_from(&args.ca);
    settings.trust.mode = match (args.insecure, args.ca_only, args.ca.is_empty()) {
        (true, ..) => TrustMode::Insecure,
        (_, true, _) => TrustMode::CaOnly,
        (_, _, false) => TrustMode::SystemAndCa,
        _ => TrustMode::System,
    };
    settings.tls.alpn.clone_from(&args.alpn);
    settings.tls.server_name = args.sni.clone().unwrap_or_default();
    settings.tls.min_version = args.tls_min.unwrap_or_default();
}

fn apply_websocket(
    args: &ConnectionArgs,
    settings: &mut Settings,
    secrets: &mut Secrets,
) -> Result<(), Ending> {
    if let Some(name) = &args.ws_subprotocol {
        settings.websocket.subprotocol.clone_from(name);
    }
    for header in &args.ws_header {
        let Some((name, value)) = header.split_once(':') else {
            return Err(Ending::Usage("--ws-header wants 'Name: value'".into()));
        };
        let (name, value) = (name.trim(), value.trim());
        let lower = name.to_ascii_lowercase();
        let secret = ["auth", "token", "key", "secret", "cookie"].iter().any(|word| lower.contains(word));
        let shown = if secret { String::new() } else { value.to_owned() };
        settings.websocket.headers.push(Header { name: name.to_owned(), value: shown, secret });
        if secret {
            secrets.put(SecretField::WebsocketHeader(lower), Some(Secret::new(value.as_bytes())));
        }
    }
    Ok(())
}

fn read_proxy(text: &str) -> Result<(Proxy, Option<Secret>), Ending> {
    let wrong =
        || Ending::Usage("--proxy wants http://, https://, socks5:// or socks5h:// and host:port".into());
    let (scheme, rest) = text.split_once("://").ok_or_else(wrong)?;
    let (kind, port, resolve_locally) = match scheme.to_ascii_lowercase().as_str() {
        "http" => (ProxyKind::Http, 80, false),
        "https" => (ProxyKind::Https, 443, false),
        "socks5" => (ProxyKind::Socks5, 1080, true),
        "socks5h" => (ProxyKind::Socks5, 1080, false),
        _ => return Err(wrong()),
    };
    let SplitUrl { mut parts, username, password } =
        split_url(rest, Scheme::Mqtt).map_err(|error| Ending::Usage(error.message))?;
    if parts.port.is_empty() {
        parts.port = port.to_string();
    }
    let endpoint = Endpoint::from_url_parts(parts).map_err(|error| Ending::Usage(error.message))?;
    let (host, port) = (endpoint.host().to_string(), endpoint.port());
    Ok((Proxy { kind, host, port, username: username.unwrap_or_default(), resolve_locally }, password))
}

fn apply_session(args: &ConnectionArgs, settings: &mut Settings) {
    let session = &mut settings.session;
    session.version = args.mqtt_version.unwrap_or_default();
    session.client_id = args.client_id.clone().unwrap_or_default();
    session.clean_start = !args.no_clean;
    session.keep_alive_s = args.keepalive.unwrap_or(session.keep_alive_s);
    session.session_expiry_s = args.session_expiry;
    session.receive_maximum = args.receive_maximum;
    session.maximum_packet_size = args.maximum_packet_size;
    session.topic_alias_maximum = args.topic_alias_maximum;
    session.user_properties.clone_from(&args.user_property);
    if let Some(topic) = &args.will_topic {
        let text = args.will_message.clone().unwrap_or_default();
        settings.will = Will {
            enabled: true,
            topic: topic.clone(),
            payload: PayloadText { text, ..PayloadText::default() },
            qos: args.will_qos.unwrap_or_default(),
            retain: args.will_retain,
            delay_s: args.will_delay,
            ..Will::default()
        };
    }
    settings.timing.connect_timeout_s = args.connect_timeout.unwrap_or(settings.timing.connect_timeout_s);
    settings.timing.reconnect = args.reconnect || args.max_reconnects.is_some();
    settings.timing.reconnect_attempts = args.max_reconnects;
}

/// Prints warnings; ends on what cannot work, but for files, which the trace shows in full.
fn remark(draft: &ProfileDraft, secrets: &Secrets) -> Result<(), Ending> {
    for problem in draft::check(draft, secrets).problems {
        let of_file = problem.field.starts_with("settings.client_certificate.")
            || problem.field.starts_with("settings.trust.ca_files.");
        match problem.severity {
            Severity::Warning if problem.code == "trust_insecure" => {
                output::warn(&format!("INSECURE: {}", problem.message));
            }
            Severity::Warning => output::warn(&problem.message),
            Severity::Error if of_file => {}
            Severity::Error => return Err(Ending::Usage(problem.message)),
        }
    }
    Ok(())
}
