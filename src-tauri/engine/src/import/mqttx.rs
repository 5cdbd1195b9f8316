//! MQTTX, the desktop client: what its *Export data* writes as JSON (one connection or all of them, which is also its
//! data backup), and the `db.json` of versions before 1.5. In: JSON. Out: connections, with passwords apart. The
//! history of messages is not read. Facts from its public types and its settings form, versions 1.0 to 1.13.

use std::path::Path;

use serde_json::{Map, Value};

use super::embedded::Embedded;
use super::fields::Fields;
use super::light::MESSAGES;
use super::remarks::{RemarkCode, Remarks};
use super::{Found, Plan};
use crate::profile::{
    MqttVersion, PayloadEncoding, PayloadText, PublishProperties, Qos, Subscription, TrustMode, UserProperty,
};
use crate::secret::SecretField;

/// Fields by which a connection of MQTTX is known, at least so many of them.
const TYPICAL: [&str; 8] = [
    "clientId",
    "mqttVersion",
    "certType",
    "keepalive",
    "connectTimeout",
    "ssl",
    "unreadMessageCount",
    "clean",
];
const ENOUGH: usize = 3;

/// Whether it looks like that.
pub(super) fn is_it(value: &Value) -> bool {
    match value {
        Value::Array(items) => items.is_empty() || items.iter().any(is_item),
        Value::Object(map) => is_connection(map) || connections_of(map).is_some(),
        _ => false,
    }
}

/// Adds its connections to the plan.
pub(super) fn read(value: &Value, kept: &Path, plan: &mut Plan) {
    let mut reading = Reading { kept, plan, unnamed: Vec::new() };
    match value {
        Value::Array(items) => reading.items(items, None),
        Value::Object(map) if is_connection(map) => reading.item(value, "", None),
        Value::Object(map) => {
            let mut rest = Fields::of(map, "");
            rest.skip(&["connections", "windowSize"]);
            rest.without_counterpart(&["settings", "suggestConnections", "scripts", "brokers", "clients"]);
            rest.without_counterpart(&["copilot", "historyConnections", "collections"]);
            reading.plan.remarks.extend(rest.done());
            reading.items(connections_of(map).unwrap_or(&NOTHING), None);
        }
        _ => {}
    }
}

static NOTHING: Vec<Value> = Vec::new();

fn is_item(value: &Value) -> bool {
    value.as_object().is_some_and(|map| is_connection(map) || is_collection(map))
}

fn is_connection(map: &Map<String, Value>) -> bool {
    map.contains_key("host") && TYPICAL.iter().filter(|name| map.contains_key(**name)).count() >= ENOUGH
}

fn is_collection(map: &Map<String, Value>) -> bool {
    map.get("isCollection") == Some(&Value::Bool(true))
}

/// Those of the whole `db.json`.
fn connections_of(map: &Map<String, Value>) -> Option<&Vec<Value>> {
    map.get("connections")?.as_array().filter(|list| list.iter().any(is_item))
}

struct Reading<'a> {
    kept: &'a Path,
    plan: &'a mut Plan,
    /// Collections that are referred to but not in the file.
    unnamed: Vec<String>,
}

impl Reading<'_> {
    fn items(&mut self, items: &[Value], folder: Option<&str>) {
        for (index, item) in items.iter().enumerate() {
            self.item(item, &format!("[{index}]"), folder);
        }
    }

    fn item(&mut self, item: &Value, place: &str, folder: Option<&str>) {
        match item.as_object() {
            Some(map) if is_collection(map) => {
                let name = map.get("name").and_then(Value::as_str).unwrap_or("MQTTX");
                // Folders stand in folders there, and side by side here.
                let path = folder.map_or_else(|| name.to_owned(), |outer| format!("{outer} / {name}"));
                let children = map.get("children").and_then(Value::as_array).unwrap_or(&NOTHING);
                self.items(children, Some(&path));
            }
            Some(map) if map.contains_key("host") => {
                let found = self.connection(map, folder);
                self.plan.add(found);
            }
            _ => self.plan.remarks.push(RemarkCode::NotUnderstood, place, "", ""),
        }
    }

    fn connection(&mut self, map: &Map<String, Value>, folder: Option<&str>) -> Found {
        let mut found = Found::new();
        let mut fields = Fields::of(map, "");
        found.name = fields.text("name").unwrap_or_default();
        found.folder = folder.map(str::to_owned);
        if let Some(parent) = fields.text("parentId").filter(|id| !id.is_empty() && folder.is_none()) {
            let at = self.unnamed.iter().position(|known| *known == parent).unwrap_or_else(|| {
                self.unnamed.push(parent);
                self.unnamed.len() - 1
            });
            let name = format!("MQTTX {}", at + 1);
            fields.remark(RemarkCode::FolderUnnamed, "parentId", "", name.clone());
            found.folder = Some(name);
        }
        endpoint(&mut fields, &mut found);
        login(&mut fields, &mut found);
        tls(&mut fields, &mut found, self.kept);
        session(&mut fields, &mut found);
        will(&mut fields, &mut found);
        subscriptions(&mut fields, &mut found);
        if let Some(number) = fields.value(MESSAGES).and_then(Value::as_u64).filter(|number| *number > 0) {
            fields.remark(RemarkCode::MessagesLeft, MESSAGES, &number.to_string(), "");
        }
        fields.skip(&[
            "id",
            "createAt",
            "updateAt",
            "unreadMessageCount",
            "orderId",
            "isCollection",
            "parent",
        ]);
        // What a version before 1.5 held of a connection that was open.
        fields.skip(&["client", MESSAGES]);
        found.remarks.extend(fields.done());
        found
    }
}

/// `protocol` is the transport, as it is there; versions that had none went by `ssl`.
fn endpoint(fields: &mut Fields<'_>, found: &mut Found) {
    let ssl = fields.switch("ssl");
    let protocol = fields.text("protocol").unwrap_or_default();
    let scheme = crate::endpoint::Scheme::from_name(&protocol);
    let parts = &mut found.endpoint;
    match scheme {
        Some(scheme) => {
            (parts.websocket, parts.tls) = (scheme.websocket(), scheme.tls());
            if ssl.is_some_and(|ssl| ssl != scheme.tls()) {
                let value = ssl.unwrap_or_default().to_string();
                fields.remark(RemarkCode::TransportDecides, "ssl", &value, format!("protocol {scheme}"));
            }
        }
        None => {
            parts.tls = ssl.unwrap_or_default();
            if !protocol.is_empty() {
                let used = if parts.tls { "mqtts" } else { "mqtt" };
                fields.remark(RemarkCode::Changed, "protocol", &protocol, used);
            }
        }
    }
    parts.host = fields.text("host").unwrap_or_default();
    parts.port = fields.text("port").unwrap_or_default();
    let path = fields.text("path").unwrap_or_default();
    // An empty path is the root there.
    parts.path = if path.starts_with('/') { path } else { format!("/{path}") };
}

fn login(fields: &mut Fields<'_>, found: &mut Found) {
    let username = fields.text("username").unwrap_or_default();
    let password = fields.secret("password");
    found.settings.login.enabled = !username.is_empty() || password.is_some();
    found.settings.login.username = username;
    found.secrets.put(SecretField::Password, password);
}

fn tls(fields: &mut Fields<'_>, found: &mut Found, kept: &Path) {
    let own_files = fields.text("certType").as_deref() == Some("self");
    let verified = fields.switch("rejectUnauthorized").unwrap_or(true);
    let names = ["ca", "cert", "key"];
    let [ca, cert, key] = names.map(|name| fields.text(name).unwrap_or_default());
    let tls = found.endpoint.tls;
    // What is chosen for a kind of certificate that is switched off is not used there either.
    if own_files {
        let is_text = |value: &String| value.contains("-----BEGIN");
        let embedded = Embedded {
            authority: Some(("ca", ca.as_str())).filter(|_| is_text(&ca)),
            certificate: Some(("cert", cert.as_str())).filter(|_| is_text(&cert)),
            key: Some(("key", key.as_str())).filter(|_| is_text(&key)),
        };
        let own = &mut found.settings.client_certificate;
        own.enabled = !cert.is_empty() || !key.is_empty();
        let is_path = |value: &String| !value.is_empty() && !is_text(value);
        if is_path(&cert) {
            own.cert_file.clone_from(&cert);
        }
        if is_path(&key) {
            own.key_file.clone_from(&key);
        }
        if is_path(&ca) {
            found.trust_only(ca.clone());
        }
        for (name, path) in names.into_iter().zip([&ca, &cert, &key]).filter(|(_, path)| is_path(path)) {
            found.check_file(name, path);
        }
        embedded.keep(kept, found);
        found.check_tls_parts("cert");
    } else {
        for (name, path) in names.into_iter().zip([&ca, &cert, &key]).filter(|(_, path)| !path.is_empty()) {
            let shown = if path.contains("-----BEGIN") { "" } else { path };
            fields.remark(RemarkCode::NoCounterpart, name, shown, "");
        }
    }
    if !verified {
        found.settings.trust.mode = TrustMode::Insecure;
        if tls {
            fields.remark(RemarkCode::ServerNotVerified, "rejectUnauthorized", "false", "");
        }
    }
    let alpn = match fields.value("ALPNProtocols") {
        Some(Value::Array(items)) => items.iter().filter_map(Value::as_str).collect::<Vec<_>>().join(","),
        _ => fields.text("ALPNProtocols").unwrap_or_default(),
    };
    let words = alpn.split([',', '[', ']', ' ']).filter(|word| !word.is_empty());
    found.settings.tls.alpn = words.map(str::to_owned).collect();
}

fn session(fields: &mut Fields<'_>, found: &mut Found) {
    let session = &mut found.settings.session;
    let version = fields.text("mqttVersion").unwrap_or_default();
    session.version = match version.as_str() {
        "5.0" | "5" | "" => MqttVersion::V5,
        "3.1.1" | "4" => MqttVersion::V311,
        "3.1" | "3" => {
            fields.remark(RemarkCode::Changed, "mqttVersion", &version, "3.1.1");
            MqttVersion::V311
        }
        _ => {
            fields.wrong("mqttVersion");
            MqttVersion::V5
        }
    };
    if let Some(id) = fields.text("clientId").filter(|id| !id.is_empty()) {
        session.client_id = id;
    }
    if fields.switch("clientIdWithTime") == Some(true) {
        fields.remark(RemarkCode::NoCounterpart, "clientIdWithTime", "true", "");
    }
    session.clean_start = fields.switch("clean").unwrap_or(true);
    session.keep_alive_s = fields.number("keepalive").unwrap_or(session.keep_alive_s);
    let timing = &mut found.settings.timing;
    timing.connect_timeout_s = fields.number("connectTimeout").unwrap_or(timing.connect_timeout_s);
    timing.reconnect = fields.switch("reconnect").unwrap_or(timing.reconnect);
    if let Some(millis) = fields.number::<u32>("reconnectPeriod") {
        timing.reconnect &= millis > 0;
        let seconds = u16::try_from(millis.div_ceil(1000)).unwrap_or(u16::MAX).max(1);
        timing.reconnect_initial_s = seconds;
        timing.reconnect_max_s = timing.reconnect_max_s.max(seconds);
    }
    // From 1.8 on in an object of their own.
    match fields.object("properties") {
        Some(properties) => {
            let mut inner = Fields::of(properties, "properties.");
            connect_properties(&mut inner, found);
            fields.add(inner.done());
            skip_connect_properties(fields);
        }
        None => connect_properties(fields, found),
    }
    let session = &mut found.settings.session;
    if session.version == MqttVersion::V5 && !session.clean_start && session.session_expiry_s.is_none() {
        // What MQTTX sends then, so that the session is kept.
        session.session_expiry_s = Some(u32::MAX);
    }
}

fn connect_properties(fields: &mut Fields<'_>, found: &mut Found) {
    let session = &mut found.settings.session;
    let expiry = fields.number("sessionExpiryInterval");
    // 0 is what an absent one means (MQTT 5, 3.1.2.11.2), but for MQTTX, which then asks for ever.
    session.session_expiry_s = expiry.filter(|seconds| *seconds > 0 || !session.clean_start);
    session.receive_maximum = fields.number("receiveMaximum").filter(|number| *number > 0);
    session.maximum_packet_size = fields.number("maximumPacketSize").filter(|number| *number > 0);
    session.topic_alias_maximum = fields.number("topicAliasMaximum");
    if let Some(wanted) = fields.switch("requestResponseInformation") {
        session.request_response_information = wanted;
    }
    if let Some(wanted) = fields.switch("requestProblemInformation") {
        session.request_problem_information = wanted;
    }
    session.user_properties = user_properties(fields, "userProperties");
    fields.without_counterpart(&["authenticationMethod", "authenticationData"]);
}

/// Versions that have the object leave nothing of it outside; a stray one would be the same thing twice.
fn skip_connect_properties(fields: &mut Fields<'_>) {
    fields.skip(&["sessionExpiryInterval", "receiveMaximum", "maximumPacketSize", "topicAliasMaximum"]);
    fields.skip(&["requestResponseInformation", "requestProblemInformation", "userProperties"]);
}

fn will(fields: &mut Fields<'_>, found: &mut Found) {
    let Some(map) = fields.object("will") else { return };
    let mut inner = Fields::of(map, "will.");
    inner.skip(&["id"]);
    let will = &mut found.settings.will;
    will.topic = inner.text("lastWillTopic").unwrap_or_default();
    will.enabled = !will.topic.is_empty();
    will.payload = text(inner.text("lastWillPayload").unwrap_or_default());
    will.qos = qos(&mut inner, "lastWillQos");
    will.retain = inner.switch("lastWillRetain").unwrap_or_default();
    if let Some(properties) = inner.object("properties") {
        let mut props = Fields::of(properties, "will.properties.");
        will_properties(&mut props, found);
        inner.add(props.done());
    } else {
        // 1.5 to 1.7 had some of them outside.
        will_properties(&mut inner, found);
    }
    inner.skip(&["contentType"]);
    fields.add(inner.done());
}

fn will_properties(fields: &mut Fields<'_>, found: &mut Found) {
    let some_text = |text: Option<String>| text.filter(|text| !text.is_empty());
    let will = &mut found.settings.will;
    will.delay_s = fields.number("willDelayInterval");
    will.properties = PublishProperties {
        payload_format_utf8: fields.switch("payloadFormatIndicator"),
        message_expiry_s: fields.number("messageExpiryInterval"),
        content_type: some_text(fields.text("contentType")),
        response_topic: some_text(fields.text("responseTopic")),
        correlation_data: correlation_data(fields),
        topic_alias: None,
        user_properties: user_properties(fields, "userProperties"),
    };
}

/// Text, or bytes as Node.js writes them: `{"type":"Buffer","data":[…]}`.
fn correlation_data(fields: &mut Fields<'_>) -> Option<PayloadText> {
    let name = "correlationData";
    match fields.value(name)? {
        Value::Object(buffer) => {
            let numbers = buffer.get("data").and_then(Value::as_array);
            let bytes: Option<Vec<u8>> = numbers.and_then(|all| {
                all.iter().map(|number| number.as_u64().and_then(|n| u8::try_from(n).ok())).collect()
            });
            match bytes {
                Some(bytes) if bytes.is_empty() => None,
                Some(bytes) => Some(PayloadText { text: hex::encode(bytes), encoding: PayloadEncoding::Hex }),
                None => {
                    fields.wrong(name);
                    None
                }
            }
        }
        _ => fields.text(name).filter(|data| !data.is_empty()).map(text),
    }
}

/// `{"name": "value"}` or `{"name": ["one", "two"]}`.
fn user_properties(fields: &mut Fields<'_>, name: &'static str) -> Vec<UserProperty> {
    let Some(value) = fields.value(name) else { return Vec::new() };
    // Some versions wrote them as JSON inside the text.
    let parsed = value.as_str().and_then(|text| serde_json::from_str::<Value>(text).ok());
    let Some(map) = parsed.as_ref().unwrap_or(value).as_object() else {
        if value.as_str() != Some("") {
            fields.wrong(name);
        }
        return Vec::new();
    };
    let mut pairs = Vec::new();
    for (name, value) in map {
        let values = match value {
            Value::Array(all) => all.iter().collect(),
            one => vec![one],
        };
        for value in values {
            let value = match value {
                Value::String(text) => text.clone(),
                other => other.to_string(),
            };
            pairs.push(UserProperty { name: name.clone(), value });
        }
    }
    pairs
}

fn subscriptions(fields: &mut Fields<'_>, found: &mut Found) {
    let mut colours = false;
    for (index, item) in fields.list("subscriptions").into_iter().flatten().enumerate() {
        let place = format!("subscriptions[{index}]");
        let mut remarks = Remarks::default();
        match item {
            Value::Object(map) => {
                let mut inner = Fields::of(map, format!("{place}."));
                colours |= inner.text("color").is_some_and(|colour| !colour.is_empty());
                found.settings.subscriptions.push(subscription(&mut inner, index));
                remarks.extend(inner.done());
            }
            _ => remarks.push(RemarkCode::NotUnderstood, place, "", ""),
        }
        fields.add(remarks);
    }
    if colours {
        fields.remark(RemarkCode::NoCounterpart, "subscriptions[].color", "", "");
    }
}

fn subscription(fields: &mut Fields<'_>, index: usize) -> Subscription {
    fields.skip(&["id", "createAt", "retain", "connectionId", "connection"]);
    fields.without_counterpart(&["subscriptionIdentifier"]);
    Subscription {
        filter: fields.text("topic").unwrap_or_default(),
        label: fields.text("alias").unwrap_or_default(),
        color: u8::try_from(index % 8).unwrap_or_default(),
        enabled: !fields.switch("disabled").unwrap_or_default(),
        qos: qos(fields, "qos"),
        no_local: fields.switch("nl").unwrap_or_default(),
        retain_as_published: fields.switch("rap").unwrap_or_default(),
        retain_handling: fields.number("rh").filter(|number| *number <= 2).unwrap_or_default(),
        live_only: false,
    }
}

fn qos(fields: &mut Fields<'_>, name: &'static str) -> Qos {
    let Some(number) = fields.number::<u8>(name) else { return Qos::default() };
    Qos::try_from(number).unwrap_or_else(|_| {
        fields.wrong(name);
        Qos::default()
    })
}

fn text(text: String) -> PayloadText {
    PayloadText { text, encoding: PayloadEncoding::Utf8 }
}
