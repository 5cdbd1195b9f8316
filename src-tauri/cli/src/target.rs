//! Options to a connection. In: what was typed. Out: a profile and its secrets: the saved one with what was typed
//! over it, or one made of what was typed alone. Authentication options never reach the transport: that comes
//! from the URL or the saved connection, and `-l`, alone.

use std::io::BufRead as _;

use heliograph_engine::draft;
use heliograph_engine::endpoint::{Endpoint, EndpointError, EndpointParts, Scheme, SplitUrl, split_url};
use heliograph_engine::engine::{Problem, Severity};
use heliograph_engine::identity::{TokenKey, is_token};
use heliograph_engine::library::Library;
use heliograph_engine::profile::{
    ClientCertificate, Header, MqttVersion, PayloadText, Profile, ProfileDraft, ProfileId, Proxy, ProxyKind,
    PublishProperties, Settings, Subscription, TrustMode, Will,
};
use heliograph_engine::secret::{Secret, SecretField, Secrets, is_secret_header};
use heliograph_engine::session::SessionConfig;

use crate::args::ConnectionArgs;
use crate::failure::Ending;
use crate::{output, profiles, vault};

/// What to subscribe to after connecting.
pub enum Wanted {
    /// Nothing, whatever is saved.
    Nothing,
    /// What the saved connection subscribes to.
    Saved,
    /// These alone.
    These(Vec<Subscription>),
}

/// What to connect to. Warnings go to standard error, also about options that were given and that the MQTT
/// version has no place for; what cannot work ends the command.
pub fn resolve(args: &ConnectionArgs, only_in_5: &[&str], wanted: Wanted) -> Result<SessionConfig, Ending> {
    let Target { id, name, endpoint, mut settings, saved, login } = target(args)?;
    match wanted {
        Wanted::Nothing => settings.subscriptions.clear(),
        Wanted::These(subscriptions) => settings.subscriptions = subscriptions,
        Wanted::Saved if settings.subscriptions.iter().any(|subscription| subscription.enabled) => {}
        Wanted::Saved if saved.is_some() => {
            return Err(Ending::Usage(format!("{name} has no subscriptions: name topic filters with -t")));
        }
        Wanted::Saved => {
            return Err(Ending::Usage("Name the topic filters to subscribe to with -t".into()));
        }
    }
    let mut secrets = Secrets::default();
    let other_user = apply_login(args, login, &mut settings, &mut secrets)?;
    apply_tls(args, &mut settings);
    apply_key(args, &mut settings, &mut secrets)?;
    apply_websocket(args, &mut settings, &mut secrets)?;
    apply_proxy(args, &mut settings, &mut secrets)?;
    apply_session(args, &mut settings);
    if saved.is_none() && args.client_id.is_none() {
        settings.session.client_id = format!("helio-{}", id.to_string().get(..8).unwrap_or_default());
    }
    if settings.session.version == MqttVersion::V311 && !only_in_5.is_empty() {
        output::warn(&format!("MQTT 3.1.1 has no place for {}: not sent", only_in_5.join(", ")));
        // That was said.
        settings.session.session_expiry_s = None;
    }
    let draft = ProfileDraft { id, name, endpoint: endpoint.into(), settings };
    let profile: Profile = draft::build(draft.clone())?;
    if let Some(library) = saved {
        // The saved password is the saved user's.
        let except: &[_] = if other_user { &[SecretField::Password] } else { &[] };
        let missing = vault::complete(library, &profile, &mut secrets, except)?;
        refuse_missing(&profile, &missing)?;
    }
    remark(&draft, &secrets)?;
    Ok(SessionConfig { profile, secrets, keep_trying: args.reconnects() })
}

/// Where to probe, whom to trust there, and the proxy to go through. No login and no key are part of that.
pub fn resolve_for_probe(args: &ConnectionArgs) -> Result<SessionConfig, Ending> {
    let Target { id, name, endpoint, settings: saved, .. } = target(args)?;
    let mut settings =
        Settings { trust: saved.trust, tls: saved.tls, proxy: saved.proxy, ..Settings::default() };
    let mut secrets = Secrets::default();
    apply_tls(args, &mut settings);
    apply_proxy(args, &mut settings, &mut secrets)?;
    let draft = ProfileDraft { id, name, endpoint: endpoint.into(), settings };
    // Warnings are about the transport that the URL names, and others are tried.
    for problem in draft::check(&draft, &secrets).problems {
        if problem.severity == Severity::Error && !is_of_file(&problem) {
            return Err(Ending::Usage(problem.message));
        }
    }
    Ok(SessionConfig { profile: draft::build(draft)?, secrets, keep_trying: false })
}

/// A login as it stood in a URL.
#[derive(Default)]
struct UrlLogin {
    username: Option<String>,
    password: Option<Secret>,
}

/// Where to connect, and what is saved about it.
struct Target {
    id: ProfileId,
    name: String,
    endpoint: Endpoint,
    settings: Settings,
    /// Where the connection is saved, if it is.
    saved: Option<Library>,
    login: UrlLogin,
}

/// The one place in which a URL, the name of a saved connection and the options that replace parts of either
/// become an endpoint.
fn target(args: &ConnectionArgs) -> Result<Target, Ending> {
    let wrong = |error: EndpointError| Ending::Usage(error.message);
    if let Some(name) = args.target.as_deref().and_then(|text| text.strip_prefix('@')) {
        let library = profiles::open()?;
        let id = profiles::find(&library.tree()?, name)?.id;
        let Profile { name, endpoint, settings, .. } = library.profile(id)?;
        let before = endpoint.scheme();
        let mut parts = EndpointParts::from(endpoint);
        if args.protocol.is_some_and(|new| new != before) && parts.port == before.default_port().to_string() {
            // It was not chosen, only the usual one of the transport that is not wanted now.
            parts.port.clear();
        }
        replace_parts(args, &mut parts);
        if !parts.websocket && args.path.is_none() {
            parts.path.clear();
        }
        let endpoint = Endpoint::from_url_parts(parts).map_err(wrong)?;
        let login = UrlLogin::default();
        return Ok(Target { id, name, endpoint, settings, saved: Some(library), login });
    }
    let SplitUrl { mut parts, username, password } = match &args.target {
        Some(text) => split_url(text, args.protocol.unwrap_or(Scheme::Mqtt)).map_err(wrong)?,
        None => {
            let parts = EndpointParts { host: "localhost".into(), ..EndpointParts::default() };
            SplitUrl { parts, username: None, password: None }
        }
    };
    replace_parts(args, &mut parts);
    let endpoint = Endpoint::from_url_parts(parts).map_err(wrong)?;
    Ok(Target {
        id: ProfileId::random(),
        name: endpoint.url(),
        endpoint,
        settings: Settings::default(),
        saved: None,
        login: UrlLogin { username, password },
    })
}

fn replace_parts(args: &ConnectionArgs, parts: &mut EndpointParts) {
    if let Some(scheme) = args.protocol {
        (parts.websocket, parts.tls) = (scheme.websocket(), scheme.tls());
    }
    for (new, old) in
        [(&args.hostname, &mut parts.host), (&args.port, &mut parts.port), (&args.path, &mut parts.path)]
    {
        if let Some(new) = new {
            old.clone_from(new);
        }
    }
}

/// Says which options give the secrets that a saved connection needs.
fn refuse_missing(profile: &Profile, missing: &[SecretField]) -> Result<(), Ending> {
    if missing.is_empty() {
        return Ok(());
    }
    let mut text = format!("{} needs what was not saved with it:", profile.name);
    for field in missing {
        text.push_str("\n  ");
        text.push_str(&match field {
            SecretField::Password => "the password: --password-stdin, -P or HELIO_PASSWORD".to_owned(),
            SecretField::KeyPassphrase => {
                "the passphrase of the private key: --key-password or HELIO_KEY_PASSWORD".to_owned()
            }
            SecretField::TokenPin => "the PIN of the token: HELIO_TOKEN_PIN".to_owned(),
            SecretField::PrivateKey => "the private key: --cert and --key, or --p12".to_owned(),
            SecretField::ProxyPassword => {
                "the password of the proxy: HELIO_PROXY_PASSWORD or --proxy".to_owned()
            }
            SecretField::WebsocketHeader(name) => {
                format!("the value of the header {name}: --ws-header '{name}: …'")
            }
        });
    }
    Err(Ending::Usage(text))
}

/// A secret in the environment; an empty one is none.
pub fn from_environment(name: &str) -> Option<Secret> {
    let value = std::env::var_os(name).filter(|value| !value.is_empty())?;
    Some(Secret::new(value.into_encoded_bytes()))
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

/// Where the private key is, and what opens it.
fn apply_key(args: &ConnectionArgs, settings: &mut Settings, secrets: &mut Secrets) -> Result<(), Ending> {
    let certificate = &mut settings.client_certificate;
    let mut pin = None;
    if let Some(module) = &args.pkcs11_module {
        let part = |text: &Option<String>| text.clone().unwrap_or_default();
        let (token, label) = (part(&args.pkcs11_token), part(&args.pkcs11_label));
        certificate.key_file = TokenKey { module: module.clone(), token, label, ..TokenKey::default() }.uri();
    } else if let Some(uri) = args.key.as_deref().filter(|key| is_token(key)) {
        let (key, given) = TokenKey::parse(uri).map_err(|why| Ending::Usage(format!("--key: {why}")))?;
        certificate.key_file = key.uri();
        pin = given;
    }
    if certificate.enabled && is_token(&certificate.key_file) {
        secrets.put(SecretField::TokenPin, pin.or_else(|| from_environment("HELIO_TOKEN_PIN")));
    } else if certificate.enabled {
        let typed = args.key_password.as_ref().map(|text| Secret::new(text.as_bytes()));
        let passphrase = typed.or_else(|| from_environment("HELIO_KEY_PASSWORD"));
        secrets.put(SecretField::KeyPassphrase, passphrase);
    }
    Ok(())
}

/// Whether a user was named other than the saved one, whose password is not for them.
fn apply_login(
    args: &ConnectionArgs,
    url: UrlLogin,
    settings: &mut Settings,
    secrets: &mut Secrets,
) -> Result<bool, Ending> {
    let password = match (&args.password, args.password_stdin) {
        (Some(text), _) => Some(Secret::new(text.as_bytes())),
        (None, true) => Some(password_from_stdin()?),
        (None, false) => url.password.or_else(|| from_environment("HELIO_PASSWORD")),
    };
    let username = args.username.clone().or(url.username);
    let login = &mut settings.login;
    let other = username.as_ref().is_some_and(|name| *name != login.username);
    login.enabled |= username.is_some() || password.is_some();
    if let Some(name) = username {
        login.username = name;
    }
    secrets.put(SecretField::Password, password);
    Ok(other)
}

fn apply_tls(args: &ConnectionArgs, settings: &mut Settings) {
    let cert = args.cert.as_ref().or(args.p12.as_ref());
    if cert.is_some() || args.key.is_some() || args.pkcs11_module.is_some() {
        let given = &mut settings.client_certificate;
        if let Some(cert) = cert {
            let pkcs12 = args.cert.is_none();
            *given = ClientCertificate { cert_file: cert.clone(), pkcs12, ..ClientCertificate::default() };
        }
        given.enabled = true;
        if let Some(key) = &args.key {
            given.key_file.clone_from(key);
        }
    }
    let trust = &mut settings.trust;
    if !args.ca.is_empty() {
        trust.ca_files.clone_from(&args.ca);
        trust.mode = if args.ca_only { TrustMode::CaOnly } else { TrustMode::SystemAndCa };
    }
    if !args.crl.is_empty() {
        trust.crl_files.clone_from(&args.crl);
    }
    if args.insecure {
        trust.mode = TrustMode::Insecure;
    }
    if !args.alpn.is_empty() {
        settings.tls.alpn.clone_from(&args.alpn);
    }
    if let Some(name) = &args.sni {
        settings.tls.server_name.clone_from(name);
    }
    settings.tls.min_version = args.tls_min.unwrap_or(settings.tls.min_version);
}

fn apply_websocket(
    args: &ConnectionArgs,
    settings: &mut Settings,
    secrets: &mut Secrets,
) -> Result<(), Ending> {
    if let Some(name) = &args.ws_subprotocol {
        settings.websocket.subprotocol.clone_from(name);
    }
    let mut given = Vec::new();
    for header in &args.ws_header {
        let Some((name, value)) = header.split_once(':') else {
            return Err(Ending::Usage("--ws-header wants 'Name: value'".into()));
        };
        let (name, value) = (name.trim(), value.trim());
        let lower = name.to_ascii_lowercase();
        let secret = is_secret_header(name);
        let shown = if secret { String::new() } else { value.to_owned() };
        if !given.contains(&lower) {
            settings.websocket.headers.retain(|saved| !saved.name.eq_ignore_ascii_case(name));
            given.push(lower.clone());
        }
        settings.websocket.headers.push(Header { name: name.to_owned(), value: shown, secret });
        if secret {
            secrets.put(SecretField::WebsocketHeader(lower), Some(Secret::new(value.as_bytes())));
        }
    }
    Ok(())
}

fn apply_proxy(args: &ConnectionArgs, settings: &mut Settings, secrets: &mut Secrets) -> Result<(), Ending> {
    let mut password = None;
    if let Some(proxy) = &args.proxy {
        let read = Proxy::parse_url(proxy).map_err(|error| Ending::Usage(format!("--proxy: {error}")))?;
        (settings.proxy, password) = read;
    }
    if settings.proxy.kind != ProxyKind::None && !settings.proxy.username.is_empty() {
        password = password.or_else(|| from_environment("HELIO_PROXY_PASSWORD"));
    }
    secrets.put(SecretField::ProxyPassword, password);
    Ok(())
}

fn apply_session(args: &ConnectionArgs, settings: &mut Settings) {
    let session = &mut settings.session;
    session.version = args.mqtt_version.unwrap_or(session.version);
    if let Some(id) = &args.client_id {
        session.client_id.clone_from(id);
    }
    session.clean_start &= !args.no_clean;
    session.keep_alive_s = args.keepalive.unwrap_or(session.keep_alive_s);
    session.session_expiry_s = args.session_expiry.or(session.session_expiry_s);
    session.receive_maximum = args.receive_maximum.or(session.receive_maximum);
    session.maximum_packet_size = args.maximum_packet_size.or(session.maximum_packet_size);
    session.topic_alias_maximum = args.topic_alias_maximum.or(session.topic_alias_maximum);
    if !args.user_property.is_empty() {
        session.user_properties.clone_from(&args.user_property);
    }
    if let Some(topic) = &args.will_topic {
        settings.will = will(args, topic);
    }
    let timing = &mut settings.timing;
    timing.connect_timeout_s = args.connect_timeout.unwrap_or(timing.connect_timeout_s);
    // Whether a command goes on after a failure is for its options to say, not for what the window does.
    timing.reconnect = args.reconnects();
    timing.reconnect_attempts = args.max_reconnects;
}

fn will(args: &ConnectionArgs, topic: &str) -> Will {
    let text = |text: &String| PayloadText { text: text.clone(), ..PayloadText::default() };
    Will {
        enabled: true,
        topic: topic.to_owned(),
        payload: args.will_message.as_ref().map(text).unwrap_or_default(),
        qos: args.will_qos.unwrap_or_default(),
        retain: args.will_retain,
        delay_s: args.will_delay,
        properties: PublishProperties {
            payload_format_utf8: args.will_payload_format_utf8.then_some(true),
            message_expiry_s: args.will_message_expiry,
            content_type: args.will_content_type.clone(),
            response_topic: args.will_response_topic.clone(),
            correlation_data: args.will_correlation_data.as_ref().map(text),
            topic_alias: None,
            user_properties: args.will_user_property.clone(),
        },
    }
}

/// Prints warnings; ends on what cannot work, but for files, which the trace shows in full.
fn remark(draft: &ProfileDraft, secrets: &Secrets) -> Result<(), Ending> {
    for problem in draft::check(draft, secrets).problems {
        match problem.severity {
            Severity::Warning if problem.code == "trust_insecure" => {
                output::warn(&format!("INSECURE: {}", problem.message));
            }
            Severity::Warning => output::warn(&problem.message),
            Severity::Error if is_of_file(&problem) => {}
            Severity::Error => return Err(Ending::Usage(problem.message)),
        }
    }
    Ok(())
}

fn is_of_file(problem: &Problem) -> bool {
    ["settings.client_certificate.", "settings.trust.ca_files.", "settings.trust.crl_files."]
        .iter()
        .any(|files| problem.field.starts_with(files))
}
