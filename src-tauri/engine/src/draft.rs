//! A connection as it stands in the editor. In: a draft. Out: what is wrong with it by field, the profile it
//! makes, the bytes its payloads stand for. Reads the files that are named; never dials.

use std::io::Read as _;

use base64::Engine as _;
use bytes::Bytes;
use rustls::pki_types::ServerName;

use crate::endpoint::{Endpoint, EndpointParts};
use crate::engine::{DraftReport, FileReport, IdentityReport, Problem, Severity};
use crate::error::{Error, ErrorCode, ErrorReason, Result};
use crate::failure::FailureCode;
use crate::identity::{self, CertificateInfo, Role};
use crate::message::{Clock, UnixMicros};
use crate::profile::{
    MqttVersion, PayloadEncoding, PayloadText, Profile, ProfileDraft, ProxyKind, Settings, TrustMode,
    UserProperty,
};
use crate::secret::Secrets;
use crate::topic;

/// The largest payload there can be: the largest packet (MQTT 5, 2.1.4), in bytes.
const LARGEST_PAYLOAD: u64 = 268_435_455;

const CERT_FIELD: &str = "settings.client_certificate.cert_file";
const KEY_FIELD: &str = "settings.client_certificate.key_file";
/// Where remarks on the passphrase of a key stand; it is no part of the settings.
const PASSPHRASE_FIELD: &str = "settings.client_certificate.passphrase";

/// What there is to say about a draft while a person types. Of its secrets, the passphrase opens its files.
pub fn check(draft: &ProfileDraft, secrets: &Secrets) -> DraftReport {
    let mut remarks = Remarks::default();
    if draft.name.trim().is_empty() {
        remarks.warn("name", "name_empty", "Without a name the connection is listed by its host");
    }
    let endpoint = check_endpoint(&draft.endpoint, &mut remarks);
    let settings = &draft.settings;
    let tls = draft.endpoint.tls;
    check_login(settings, &mut remarks);
    check_session(settings, &mut remarks);
    check_will(settings, &mut remarks);
    check_subscriptions(settings, &mut remarks);
    check_proxy(settings, &mut remarks);
    check_timing(settings, &mut remarks);
    if draft.endpoint.websocket {
        check_websocket(settings, &mut remarks);
    }
    if tls {
        check_tls(settings, &mut remarks);
    }
    let now = Clock::start().now();
    let identity = check_identity(settings, secrets, tls, now, &mut remarks);
    let authorities = check_authorities(settings, tls, now, &mut remarks);
    let revocation_lists = check_revocation_lists(settings, tls, now, &mut remarks);
    let pinned = check_pinned(draft, now, &mut remarks);
    DraftReport {
        url: endpoint.map(|endpoint| endpoint.url()),
        problems: remarks.0,
        identity,
        authorities,
        revocation_lists,
        pinned,
    }
}

/// What was found in the files that settings name, as if for a connection with TLS.
pub struct CheckedFiles {
    /// What was found in the client certificate and key files.
    pub identity: Option<IdentityReport>,
    /// What was found in the CA files.
    pub authorities: Vec<FileReport>,
    /// What was found in the files of revocation lists.
    pub revocation_lists: Vec<FileReport>,
    /// What is wrong or deserves a look.
    pub problems: Vec<Problem>,
}

/// Looks at the files that settings name, and at nothing else of them.
pub fn check_files(settings: &Settings, secrets: &Secrets) -> CheckedFiles {
    let mut remarks = Remarks::default();
    let now = Clock::start().now();
    let identity = check_identity(settings, secrets, true, now, &mut remarks);
    let authorities = check_authorities(settings, true, now, &mut remarks);
    let revocation_lists = check_revocation_lists(settings, true, now, &mut remarks);
    CheckedFiles { identity, authorities, revocation_lists, problems: remarks.0 }
}

/// The profile of a draft. Other problems than an endpoint that cannot be dialled do not stand in the way.
///
/// # Errors
/// `invalid_input` with the endpoint's field in `details.field`, and `details.reason` and `details.value` as
/// [`EndpointError`] has them.
pub fn build(draft: ProfileDraft) -> Result<Profile> {
    let ProfileDraft { id, name, endpoint, mut settings } = draft;
    let endpoint = Endpoint::try_from(endpoint)
        .map_err(|error| Error::endpoint(&format!("endpoint.{}", error.field), error))?;
    for header in settings.websocket.headers.iter_mut().filter(|header| header.secret) {
        // Its value is among the secrets; a copy here would be stored in the open.
        header.value = String::new();
    }
    if let Some(pin) = fingerprint(&settings.trust.pinned_sha256) {
        settings.trust.pinned_sha256 = pin;
    }
    let name = match name.trim() {
        "" => endpoint.host().to_string(),
        name => name.to_owned(),
    };
    Ok(Profile { id, name, endpoint, settings })
}

/// The bytes that a person's text stands for.
///
/// # Errors
/// `invalid_input` on `payload` when the text is not of its encoding; `file` when the file cannot be read.
pub fn payload_bytes(payload: &PayloadText) -> Result<Bytes> {
    let compact = || payload.text.split_whitespace().collect::<String>();
    match payload.encoding {
        PayloadEncoding::Utf8 => Ok(Bytes::copy_from_slice(payload.text.as_bytes())),
        PayloadEncoding::Hex => hex::decode(compact()).map(Bytes::from).map_err(|error| {
            let why = match error {
                hex::FromHexError::OddLength => "a digit is missing at the end".to_owned(),
                hex::FromHexError::InvalidHexCharacter { c, .. } => format!("{c:?} is no such digit"),
                hex::FromHexError::InvalidStringLength => "its length is wrong".to_owned(),
            };
            let message = format!("The payload is not pairs of hexadecimal digits: {why}");
            Error::invalid("payload", ErrorReason::PayloadNotHex, message)
        }),
        PayloadEncoding::Base64 => {
            let engine = base64::engine::GeneralPurpose::new(
                &base64::alphabet::STANDARD,
                base64::engine::GeneralPurposeConfig::new()
                    .with_decode_padding_mode(base64::engine::DecodePaddingMode::Indifferent),
            );
            engine.decode(compact()).map(Bytes::from).map_err(|_| {
                let message = "The payload is not base64 text (standard alphabet)";
                Error::invalid("payload", ErrorReason::PayloadNotBase64, message)
            })
        }
        PayloadEncoding::File => payload_file(&payload.text),
    }
}

fn payload_file(path: &str) -> Result<Bytes> {
    let fail = |reason, why: String| Error::because(ErrorCode::File, reason, why).with("path", path);
    let cannot = |error: std::io::Error| Error::unreadable(std::path::Path::new(path), &error);
    let about = std::fs::metadata(path).map_err(cannot)?;
    if !about.is_file() {
        return Err(fail(ErrorReason::NotAFile, format!("The payload file {path} is not an ordinary file")));
    }
    let mut bytes = Vec::new();
    let file = std::fs::File::open(path).map_err(cannot)?;
    file.take(LARGEST_PAYLOAD + 1).read_to_end(&mut bytes).map_err(cannot)?;
    if bytes.len() as u64 > LARGEST_PAYLOAD {
        let message = format!("The payload file {path} is larger than an MQTT packet can be (256 MiB)");
        return Err(fail(ErrorReason::TooLong, message));
    }
    Ok(bytes.into())
}

/// Problems, as they are found.
#[derive(Default)]
struct Remarks(Vec<Problem>);

impl Remarks {
    fn error(&mut self, field: impl Into<String>, code: &str, message: impl Into<String>) {
        self.push(field.into(), Severity::Error, code, message.into());
    }

    fn warn(&mut self, field: impl Into<String>, code: &str, message: impl Into<String>) {
        self.push(field.into(), Severity::Warning, code, message.into());
    }

    fn push(&mut self, field: String, severity: Severity, code: &str, message: String) {
        self.0.push(Problem { field, severity, code: code.to_owned(), message });
    }
}

fn check_endpoint(parts: &EndpointParts, remarks: &mut Remarks) -> Option<Endpoint> {
    match Endpoint::try_from(parts.clone()) {
        Ok(endpoint) => Some(endpoint),
        Err(error) => {
            let code = match error.field {
                "host" if parts.host.trim().is_empty() => "host_missing",
                "host" => "host_invalid",
                "port" => "port_invalid",
                _ => "path_invalid",
            };
            remarks.error(format!("endpoint.{}", error.field), code, error.message);
            None
        }
    }
}

fn check_login(settings: &Settings, remarks: &mut Remarks) {
    let login = &settings.login;
    if !login.enabled {
        return;
    }
    let field = "settings.login.username";
    if let Some(why) = unsuitable_text(&login.username) {
        remarks.error(field, "username_invalid", format!("The user name cannot be sent: {why}"));
    } else if login.username.is_empty() && settings.session.version == MqttVersion::V311 {
        let message = "MQTT 3.1.1 sends no password without a user name: type one, or switch the login off";
        remarks.warn(field, "username_empty", message);
    }
}

fn check_session(settings: &Settings, remarks: &mut Remarks) {
    let session = &settings.session;
    let v5 = session.version == MqttVersion::V5;
    let client_id = "settings.session.client_id";
    if let Some(why) = unsuitable_text(&session.client_id) {
        remarks.error(client_id, "client_id_invalid", format!("The client identifier cannot be sent: {why}"));
    } else if session.client_id.is_empty() && !session.clean_start {
        if v5 {
            let message = "Without a client identifier the broker makes up a new one each time, so no session is resumed";
            remarks.warn(client_id, "client_id_empty", message);
        } else {
            let message = "MQTT 3.1.1 needs a client identifier to keep a session: type one, or switch Clean Session on";
            remarks.error(client_id, "client_id_required", message);
        }
    }
    if session.maximum_packet_size == Some(0) {
        let message = "A maximum packet size of 0 lets nothing through: leave it empty for no limit of ours";
        remarks.error("settings.session.maximum_packet_size", "maximum_packet_size_zero", message);
    }
    if v5 && session.receive_maximum == Some(0) {
        let message = "A receive maximum of 0 is a protocol error: leave it empty for 65,535";
        remarks.error("settings.session.receive_maximum", "receive_maximum_zero", message);
    }
    if !v5 && session.session_expiry_s.is_some() {
        let message = "MQTT 3.1.1 knows no session expiry: it is not sent, Clean Session decides alone";
        remarks.warn("settings.session.session_expiry_s", "session_expiry_ignored", message);
    }
    if v5 {
        check_user_properties(&session.user_properties, "settings.session.user_properties", remarks);
    }
}

fn check_user_properties(properties: &[UserProperty], field: &str, remarks: &mut Remarks) {
    for (index, property) in properties.iter().enumerate() {
        if let Some(why) = unsuitable_text(&property.name).or_else(|| unsuitable_text(&property.value)) {
            let message = format!("The user property cannot be sent: {why}");
            remarks.error(format!("{field}.{index}"), "user_property_invalid", message);
        }
    }
}

fn check_will(settings: &Settings, remarks: &mut Remarks) {
    let will = &settings.will;
    if !will.enabled {
        return;
    }
    if let Err(why) = topic::check_name(&will.topic) {
        let message = format!("The topic of the last will cannot be used: {why}");
        remarks.error("settings.will.topic", "will_topic_invalid", message);
    }
    match payload_bytes(&will.payload) {
        Err(error) => remarks.error("settings.will.payload", "will_payload_invalid", error.message),
        Ok(bytes) if bytes.len() > 65_535 => {
            let message = "The payload of a last will has at most 65,535 bytes";
            remarks.error("settings.will.payload", "will_payload_invalid", message);
        }
        Ok(_) => {}
    }
    if settings.session.version == MqttVersion::V311 {
        return;
    }
    let properties = &will.properties;
    if let Some(Err(why)) = properties.response_topic.as_deref().map(topic::check_name) {
        let message = format!("The response topic of the last will cannot be used: {why}");
        remarks.error("settings.will.properties.response_topic", "response_topic_invalid", message);
    }
    if let Some(Err(error)) = properties.correlation_data.as_ref().map(payload_bytes) {
        remarks.error("settings.will.properties.correlation_data", "correlation_data_invalid", error.message);
    }
    check_user_properties(&properties.user_properties, "settings.will.properties.user_properties", remarks);
}

fn check_subscriptions(settings: &Settings, remarks: &mut Remarks) {
    let v5 = settings.session.version == MqttVersion::V5;
    for (index, subscription) in settings.subscriptions.iter().enumerate() {
        let field = |name: &str| format!("settings.subscriptions.{index}.{name}");
        if let Err(why) = topic::check_filter(&subscription.filter) {
            let message = format!("The topic filter cannot be used: {why}");
            remarks.error(field("filter"), "filter_invalid", message);
        }
        let before = settings.subscriptions.iter().take(index);
        if before.clone().any(|other| other.filter == subscription.filter) {
            let message = format!("The filter {} is in the list already", subscription.filter);
            remarks.warn(field("filter"), "filter_duplicate", message);
        }
        if subscription.retain_handling > 2 {
            remarks.error(
                field("retain_handling"),
                "retain_handling_invalid",
                "Retain Handling is 0, 1 or 2",
            );
        }
        if v5 && subscription.no_local && subscription.filter.starts_with("$share/") {
            let message =
                "No Local on a shared subscription is a protocol error (MQTT 5, 3.8.3.1): switch it off";
            remarks.error(field("no_local"), "shared_no_local", message);
        }
    }
}

fn check_proxy(settings: &Settings, remarks: &mut Remarks) {
    let proxy = &settings.proxy;
    if proxy.kind == ProxyKind::None {
        return;
    }
    if proxy.host.trim().is_empty() {
        remarks.error("settings.proxy.host", "proxy_host_missing", "The proxy's host is missing");
    } else {
        let parts = EndpointParts { host: proxy.host.clone(), port: "1".into(), ..EndpointParts::default() };
        if let Err(error) = Endpoint::try_from(parts) {
            remarks.error("settings.proxy.host", "proxy_host_invalid", error.message);
        }
    }
    if proxy.port == 0 {
        let message = "The proxy's port is missing: often 3128 or 8080, for SOCKS 1080";
        remarks.error("settings.proxy.port", "proxy_port_missing", message);
    }
}

fn check_timing(settings: &Settings, remarks: &mut Remarks) {
    let timing = &settings.timing;
    if timing.connect_timeout_s == 0 {
        let message = "No connection can be made in 0 seconds: type 1 or more";
        remarks.error("settings.timing.connect_timeout_s", "connect_timeout_zero", message);
    }
    if timing.reconnect && timing.reconnect_max_s < timing.reconnect_initial_s {
        let message = "The longest wait is shorter than the first one";
        remarks.warn("settings.timing.reconnect_max_s", "reconnect_waits_crossed", message);
    }
}

fn check_websocket(settings: &Settings, remarks: &mut Remarks) {
    let websocket = &settings.websocket;
    let subprotocol = websocket.subprotocol.trim();
    if !subprotocol.is_empty() && !subprotocol.split(',').all(|name| is_token(name.trim())) {
        let message = "A subprotocol is a word such as mqtt";
        remarks.error("settings.websocket.subprotocol", "subprotocol_invalid", message);
    }
    for (index, header) in websocket.headers.iter().enumerate() {
        let field = |name: &str| format!("settings.websocket.headers.{index}.{name}");
        let name = header.name.trim();
        if name.is_empty() && header.value.is_empty() && !header.secret {
            continue;
        }
        if !is_token(name) {
            let message = "A header's name has letters, digits and hyphens only";
            remarks.error(field("name"), "header_invalid", message);
        }
        let lower = name.to_ascii_lowercase();
        let own = ["upgrade", "connection", "content-length", "transfer-encoding"];
        if own.contains(&lower.as_str()) || lower.starts_with("sec-websocket-") {
            let message = format!("{name} belongs to the WebSocket handshake itself and cannot be set");
            remarks.error(field("name"), "header_reserved", message);
        } else if lower == "host" {
            let message = "This Host header replaces the one made from the endpoint";
            remarks.warn(field("name"), "header_host", message);
        }
        if header.value.contains(|c: char| c.is_control() && c != '\t') {
            let message = "A header's value cannot have line breaks or other control characters";
            remarks.error(field("value"), "header_invalid", message);
        }
    }
}

fn check_tls(settings: &Settings, remarks: &mut Remarks) {
    let trust = &settings.trust;
    let files = trust.ca_files.iter().any(|path| !path.trim().is_empty());
    match trust.mode {
        TrustMode::CaOnly if !files => {
            let message = "Only given CA files are to be trusted, but none is given: nothing can be trusted";
            remarks.error("settings.trust.ca_files", "ca_missing", message);
        }
        TrustMode::SystemAndCa if !files => {
            let message = "No CA file is given: only the system's roots are trusted";
            remarks.warn("settings.trust.ca_files", "ca_missing", message);
        }
        TrustMode::Pinned if trust.pinned_sha256.trim().is_empty() => {
            let message = "The fingerprint of the server's certificate is missing";
            remarks.error("settings.trust.pinned_sha256", "pin_missing", message);
        }
        TrustMode::Pinned if fingerprint(&trust.pinned_sha256).is_none() => {
            let message = "A SHA-256 fingerprint has 64 hexadecimal digits";
            remarks.error("settings.trust.pinned_sha256", "pin_invalid", message);
        }
        TrustMode::Insecure => {
            let message = "The server is not verified: anybody in between can read and change everything";
            remarks.warn("settings.trust.mode", "trust_insecure", message);
        }
        _ => {}
    }
    let verifies = !matches!(trust.mode, TrustMode::Pinned | TrustMode::Insecure);
    if verifies && !trust.verify_host_name {
        let message = "A certificate of any other host is accepted too, if its CA is trusted";
        remarks.warn("settings.trust.verify_host_name", "host_name_not_verified", message);
    }
    for (index, name) in settings.tls.alpn.iter().enumerate() {
        if name.is_empty() || name.len() > 255 {
            let message = "An ALPN protocol name has 1 to 255 bytes";
            remarks.error(format!("settings.tls.alpn.{index}"), "alpn_invalid", message);
        }
    }
    let server_name = settings.tls.server_name.trim();
    if !server_name.is_empty() && ServerName::try_from(server_name).is_err() {
        let message = format!("{server_name} cannot be a TLS server name");
        remarks.error("settings.tls.server_name", "server_name_invalid", message);
    }
}

fn check_identity(
    settings: &Settings,
    secrets: &Secrets,
    tls: bool,
    now: UnixMicros,
    remarks: &mut Remarks,
) -> Option<IdentityReport> {
    let given = &settings.client_certificate;
    let named = [&given.cert_file, &given.key_file].iter().any(|path| !path.trim().is_empty());
    if !named {
        if given.enabled && tls {
            let message = "No certificate file is given: choose one, or switch the client certificate off";
            remarks.error(CERT_FIELD, "certificate_missing", message);
        }
        return None;
    }
    let (report, identity) = identity::inspect_client(given, secrets);
    if !given.enabled {
        return Some(report);
    }
    if !tls {
        let message =
            "A client certificate is only used with TLS, which is off: switch TLS on, or the certificate off";
        remarks.warn("settings.client_certificate.enabled", "certificate_without_tls", message);
        return Some(report);
    }
    match identity {
        Ok(None) => {}
        Ok(Some(identity)) => {
            if !identity.unused.is_empty() {
                let names: Vec<_> = identity.unused.iter().map(CertificateInfo::short_name).collect();
                let message = format!(
                    "Not sent, since it is no part of the client certificate's chain: {}",
                    names.join(", ")
                );
                remarks.warn(CERT_FIELD, "certificate_not_in_chain", message);
            }
            check_chain(&identity.chain, now, remarks);
        }
        Err((role, error)) => {
            let locked = matches!(error.code, FailureCode::PassphraseRequired | FailureCode::PassphraseWrong);
            let field = match role {
                _ if locked => PASSPHRASE_FIELD,
                Role::Certificate => CERT_FIELD,
                Role::Key => KEY_FIELD,
            };
            remarks.error(field, &code_name(error.code), format!("{}. {}", error.message, error.cause));
        }
    }
    Some(report)
}

/// The certificates that a client sends, leaf first.
fn check_chain(chain: &[CertificateInfo], now: UnixMicros, remarks: &mut Remarks) {
    for certificate in chain {
        check_validity(certificate, CERT_FIELD, now, remarks);
    }
    let Some(leaf) = chain.first() else { return };
    if leaf.is_ca {
        let message = format!("The key is that of the CA {}, not of a client", leaf.short_name());
        remarks.warn(CERT_FIELD, "certificate_is_ca", message);
    }
    if !leaf.allows("clientAuth") {
        let message =
            format!("{} is not made for clients: its extended key usage lacks clientAuth", leaf.short_name());
        remarks.warn(CERT_FIELD, "certificate_wrong_purpose", message);
    }
}

/// What a token shows of a key and its certificate to somebody who has no PIN, and what is wrong with them or with the
/// token. Asks the token, for a bounded time: not for while a person types.
pub(crate) fn check_token(uri: &str) -> (IdentityReport, Vec<Problem>) {
    let mut remarks = Remarks::default();
    let (report, error) = identity::report_on_token(uri);
    match error {
        Some(error) => {
            remarks.error(KEY_FIELD, &code_name(error.code), format!("{}. {}", error.message, error.cause));
        }
        None => check_chain(&report.chain, Clock::start().now(), &mut remarks),
    }
    (report, remarks.0)
}

fn check_authorities(
    settings: &Settings,
    tls: bool,
    now: UnixMicros,
    remarks: &mut Remarks,
) -> Vec<FileReport> {
    let trust = &settings.trust;
    let used = matches!(trust.mode, TrustMode::SystemAndCa | TrustMode::CaOnly);
    let mut reports = Vec::new();
    for (index, path) in trust.ca_files.iter().enumerate().filter(|(_, path)| !path.trim().is_empty()) {
        let field = format!("settings.trust.ca_files.{index}");
        let report = identity::report_authority(path);
        if used && tls {
            if let Some(error) = &report.error {
                remarks.error(&field, &code_name(error.code), &error.message);
            } else if !report.certificates.iter().any(|certificate| certificate.is_ca) {
                let message = format!(
                    "{path} holds no certificate of a CA: choose the CA's, or pin the server's certificate"
                );
                remarks.warn(&field, "no_ca_in_file", message);
            }
            for certificate in &report.certificates {
                check_validity(certificate, &field, now, remarks);
            }
        }
        reports.push(report);
    }
    if used && !tls && !reports.is_empty() {
        let message = "CA certificates are only used with TLS, which is off: the connection is not encrypted";
        remarks.warn("settings.trust.ca_files", "certificate_without_tls", message);
    }
    reports
}

fn check_revocation_lists(
    settings: &Settings,
    tls: bool,
    now: UnixMicros,
    remarks: &mut Remarks,
) -> Vec<FileReport> {
    let trust = &settings.trust;
    let used = tls && !matches!(trust.mode, TrustMode::Pinned | TrustMode::Insecure);
    let mut reports = Vec::new();
    for (index, path) in trust.crl_files.iter().enumerate().filter(|(_, path)| !path.trim().is_empty()) {
        let field = format!("settings.trust.crl_files.{index}");
        let report = identity::report_revocation_lists(path);
        if used {
            if let Some(error) = &report.error {
                remarks.error(&field, &code_name(error.code), &error.message);
            }
            let stale = report.revocation_lists.iter().find(|l| l.next_update.is_some_and(|next| next < now));
            if let Some(stale) = stale {
                let message =
                    format!("The revocation list of {} is out of date: fetch the next one", stale.issuer);
                remarks.warn(&field, "crl_out_of_date", message);
            }
        }
        reports.push(report);
    }
    reports
}

/// The pinned certificate, when it is known and still the one that the fingerprint is of.
fn check_pinned(draft: &ProfileDraft, now: UnixMicros, remarks: &mut Remarks) -> Option<CertificateInfo> {
    let trust = &draft.settings.trust;
    let pin = fingerprint(&trust.pinned_sha256)?;
    let der = base64::engine::general_purpose::STANDARD.decode(trust.pinned_certificate.trim()).ok()?;
    let certificate = identity::describe(&der).ok()?;
    if certificate.sha256 != pin && certificate.spki_sha256 != pin {
        return None;
    }
    if trust.mode == TrustMode::Pinned && draft.endpoint.tls {
        let field = "settings.trust.pinned_sha256";
        check_validity(&certificate, field, now, remarks);
        let name = match draft.settings.tls.server_name.trim() {
            "" => draft.endpoint.host.trim().trim_start_matches('[').trim_end_matches(']'),
            name => name,
        };
        if ServerName::try_from(name).is_ok() && !certificate.names_host(name) {
            let message = format!("The pinned certificate {} does not name {name}", certificate.short_name());
            remarks.warn(field, "pinned_names_other", message);
        }
    }
    Some(certificate)
}

fn check_validity(certificate: &CertificateInfo, field: &str, now: UnixMicros, remarks: &mut Remarks) {
    let name = certificate.short_name();
    if certificate.not_after < now {
        remarks.warn(field, "certificate_expired", format!("The certificate {name} has expired"));
    } else if certificate.not_before > now {
        let message = format!("The certificate {name} is not valid yet");
        remarks.warn(field, "certificate_not_yet_valid", message);
    }
}

/// The contract's name of a failure code.
fn code_name(code: FailureCode) -> String {
    match serde_json::to_value(code) {
        Ok(serde_json::Value::String(name)) => name,
        _ => String::new(),
    }
}

/// A SHA-256 fingerprint in lower-case hex, however people write it: colons, spaces, capitals.
fn fingerprint(text: &str) -> Option<String> {
    let digits: String = text.chars().filter(|c| !c.is_whitespace() && *c != ':').collect();
    let valid = digits.len() == 64 && digits.bytes().all(|byte| byte.is_ascii_hexdigit());
    valid.then(|| digits.to_ascii_lowercase())
}

/// What a UTF-8 string of MQTT cannot be (MQTT 5, 1.5.4).
fn unsuitable_text(text: &str) -> Option<&'static str> {
    if text.len() > 65_535 {
        Some("it is longer than 65,535 bytes")
    } else if text.contains('\0') {
        Some("it contains a null character")
    } else {
        None
    }
}

/// A token of HTTP (RFC 9110, 5.6.2).
fn is_token(text: &str) -> bool {
    let token = |byte: u8| byte.is_ascii_alphanumeric() || b"!#$%&'*+-.^_`|~".contains(&byte);
    !text.is_empty() && text.bytes().all(token)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::profile::{Header, ProfileId, Subscription, Will};

    fn draft(change: impl FnOnce(&mut ProfileDraft)) -> ProfileDraft {
        let mut draft = ProfileDraft {
            id: ProfileId::random(),
            name: "Plant".into(),
            endpoint: EndpointParts {
                websocket: true,
                tls: true,
                host: "a".into(),
                ..EndpointParts::default()
            },
            settings: Settings::default(),
        };
        change(&mut draft);
        draft
    }

    fn subscription(filter: &str) -> Subscription {
        Subscription { filter: filter.into(), ..Subscription::default() }
    }

    #[test]
    fn defaults_raise_no_problem() {
        let report = check(&draft(|_| {}), &Secrets::default());
        assert_eq!(report.problems, []);
        assert_eq!(report.url.as_deref(), Some("wss://a:443/mqtt"));
        assert_eq!(report.identity, None);
        let report = check(&draft(|d| d.settings.session.keep_alive_s = 0), &Secrets::default());
        assert_eq!(report.problems, []);
    }

    #[test]
    fn every_problem_has_its_field_and_code() {
        use Severity::{Error, Warning};
        let v3 = |d: &mut ProfileDraft| d.settings.session.version = MqttVersion::V311;
        type Change = Box<dyn FnOnce(&mut ProfileDraft)>;
        let header = |name: &str, value: &str| {
            let header = Header { name: name.into(), value: value.into(), secret: false };
            Box::new(move |d: &mut ProfileDraft| d.settings.websocket.headers.push(header)) as Change
        };
        let cases: Vec<(Change, &str, Severity, &str)> = vec![
            (Box::new(|d| d.name = " ".into()), "name", Warning, "name_empty"),
            (Box::new(|d| d.endpoint.host.clear()), "endpoint.host", Error, "host_missing"),
            (Box::new(|d| d.endpoint.host = "a b".into()), "endpoint.host", Error, "host_invalid"),
            (Box::new(|d| d.endpoint.port = "0".into()), "endpoint.port", Error, "port_invalid"),
            (Box::new(|d| d.endpoint.path = "/#".into()), "endpoint.path", Error, "path_invalid"),
            (
                Box::new(move |d| {
                    v3(d);
                    d.settings.login.enabled = true;
                }),
                "settings.login.username",
                Warning,
                "username_empty",
            ),
            (
                Box::new(|d| d.settings.session.clean_start = false),
                "settings.session.client_id",
                Warning,
                "client_id_empty",
            ),
            (
                Box::new(move |d| {
                    v3(d);
                    d.settings.session.clean_start = false;
                }),
                "settings.session.client_id",
                Error,
                "client_id_required",
            ),
            (
                Box::new(|d| d.settings.session.receive_maximum = Some(0)),
                "settings.session.receive_maximum",
                Error,
                "receive_maximum_zero",
            ),
            (
                Box::new(|d| d.settings.session.maximum_packet_size = Some(0)),
                "settings.session.maximum_packet_size",
                Error,
                "maximum_packet_size_zero",
            ),
            (
                Box::new(move |d| {
                    v3(d);
                    d.settings.session.session_expiry_s = Some(1);
                }),
                "settings.session.session_expiry_s",
                Warning,
                "session_expiry_ignored",
            ),
            (
                Box::new(|d| {
                    d.settings.will = Will { enabled: true, topic: "a/#".into(), ..Will::default() };
                }),
                "settings.will.topic",
                Error,
                "will_topic_invalid",
            ),
            (
                Box::new(|d| {
                    let payload = PayloadText { text: "x".into(), encoding: PayloadEncoding::Hex };
                    d.settings.will = Will { enabled: true, topic: "a".into(), payload, ..Will::default() };
                }),
                "settings.will.payload",
                Error,
                "will_payload_invalid",
            ),
            (
                Box::new(|d| d.settings.subscriptions = vec![subscription("a"), subscription("a#")]),
                "settings.subscriptions.1.filter",
                Error,
                "filter_invalid",
            ),
            (
                Box::new(|d| d.settings.subscriptions = vec![subscription("a"), subscription("a")]),
                "settings.subscriptions.1.filter",
                Warning,
                "filter_duplicate",
            ),
            (
                Box::new(|d| {
                    d.settings.subscriptions = vec![Subscription { retain_handling: 3, ..subscription("a") }];
                }),
                "settings.subscriptions.0.retain_handling",
                Error,
                "retain_handling_invalid",
            ),
            (
                Box::new(|d| {
                    d.settings.subscriptions =
                        vec![Subscription { no_local: true, ..subscription("$share/g/a") }];
                }),
                "settings.subscriptions.0.no_local",
                Error,
                "shared_no_local",
            ),
            (header("a b", ""), "settings.websocket.headers.0.name", Error, "header_invalid"),
            (header("a", "x\r\ny: z"), "settings.websocket.headers.0.value", Error, "header_invalid"),
            (header("Upgrade", "x"), "settings.websocket.headers.0.name", Error, "header_reserved"),
            (header("Sec-WebSocket-Key", "x"), "settings.websocket.headers.0.name", Error, "header_reserved"),
            (header("Host", "x"), "settings.websocket.headers.0.name", Warning, "header_host"),
            (
                Box::new(|d| {
                    d.settings.proxy.kind = ProxyKind::Http;
                    d.settings.proxy.port = 1;
                }),
                "settings.proxy.host",
                Error,
                "proxy_host_missing",
            ),
            (
                Box::new(|d| {
                    d.settings.proxy.kind = ProxyKind::Http;
                    d.settings.proxy.host = "p".into();
                }),
                "settings.proxy.port",
                Error,
                "proxy_port_missing",
            ),
            (
                Box::new(|d| d.settings.trust.mode = TrustMode::CaOnly),
                "settings.trust.ca_files",
                Error,
                "ca_missing",
            ),
            (
                Box::new(|d| d.settings.trust.mode = TrustMode::SystemAndCa),
                "settings.trust.ca_files",
                Warning,
                "ca_missing",
            ),
            (
                Box::new(|d| d.settings.trust.mode = TrustMode::Pinned),
                "settings.trust.pinned_sha256",
                Error,
                "pin_missing",
            ),
            (
                Box::new(|d| {
                    d.settings.trust.mode = TrustMode::Pinned;
                    d.settings.trust.pinned_sha256 = "ab".into();
                }),
                "settings.trust.pinned_sha256",
                Error,
                "pin_invalid",
            ),
            (
                Box::new(|d| d.settings.trust.mode = TrustMode::Insecure),
                "settings.trust.mode",
                Warning,
                "trust_insecure",
            ),
            (
                Box::new(|d| d.settings.client_certificate.enabled = true),
                "settings.client_certificate.cert_file",
                Error,
                "certificate_missing",
            ),
            (
                Box::new(|d| {
                    d.settings.client_certificate.enabled = true;
                    d.settings.client_certificate.cert_file = "/no/such.pem".into();
                }),
                "settings.client_certificate.cert_file",
                Error,
                "file_not_found",
            ),
            (
                Box::new(|d| {
                    d.endpoint.tls = false;
                    d.settings.client_certificate.enabled = true;
                    d.settings.client_certificate.cert_file = "/no/such.pem".into();
                }),
                "settings.client_certificate.enabled",
                Warning,
                "certificate_without_tls",
            ),
            (
                Box::new(|d| {
                    d.endpoint.tls = false;
                    d.settings.trust.mode = TrustMode::SystemAndCa;
                    d.settings.trust.ca_files = vec!["/no/such.pem".into()];
                }),
                "settings.trust.ca_files",
                Warning,
                "certificate_without_tls",
            ),
            (
                Box::new(|d| d.settings.timing.connect_timeout_s = 0),
                "settings.timing.connect_timeout_s",
                Error,
                "connect_timeout_zero",
            ),
        ];
        for (change, field, severity, code) in cases {
            let found = check(&draft(change), &Secrets::default()).problems;
            let found: Vec<_> =
                found.iter().map(|p| (p.field.as_str(), p.severity, p.code.as_str())).collect();
            assert_eq!(found, [(field, severity, code)]);
        }
    }

    #[test]
    fn only_the_endpoint_stands_in_the_way_of_a_profile() {
        let pin = "AB:".repeat(31) + "AB";
        let profile = build(draft(|d| {
            d.name = " ".into();
            d.settings.trust.pinned_sha256 = pin;
            d.settings.websocket.headers =
                vec![Header { name: "Authorization".into(), value: "canary".into(), secret: true }];
            d.settings.client_certificate.enabled = true;
        }))
        .expect("a profile");
        assert_eq!(profile.name, "a");
        assert_eq!(profile.settings.trust.pinned_sha256, "ab".repeat(32));
        assert_eq!(profile.settings.websocket.headers[0].value, "");
        let error = build(draft(|d| d.endpoint.port = "x".into())).expect_err("no port");
        assert_eq!(error.details.get("field"), Some(&"endpoint.port".into()));
    }

    #[test]
    fn payloads_become_bytes() {
        let bytes = |text: &str, encoding| payload_bytes(&PayloadText { text: text.into(), encoding });
        let of = |text: &str, encoding| bytes(text, encoding).expect("valid").to_vec();
        assert_eq!(of("ä", PayloadEncoding::Utf8), "ä".as_bytes());
        assert_eq!(of(" 00 fF\n", PayloadEncoding::Hex), [0, 255]);
        assert_eq!(of("AP8=", PayloadEncoding::Base64), [0, 255]);
        assert_eq!(of("AP\n8", PayloadEncoding::Base64), [0, 255]);
        let file = tempfile::NamedTempFile::new().expect("file");
        std::fs::write(file.path(), [1, 0, 2]).expect("written");
        assert_eq!(of(file.path().to_str().expect("path"), PayloadEncoding::File), [1, 0, 2]);
        for (text, encoding, code) in [
            ("0", PayloadEncoding::Hex, ErrorCode::InvalidInput),
            ("0g", PayloadEncoding::Hex, ErrorCode::InvalidInput),
            ("%", PayloadEncoding::Base64, ErrorCode::InvalidInput),
            ("/no/such", PayloadEncoding::File, ErrorCode::File),
            ("/dev/zero", PayloadEncoding::File, ErrorCode::File),
        ] {
            assert_eq!(bytes(text, encoding).expect_err(text).code, code, "{text}");
        }
    }
}
