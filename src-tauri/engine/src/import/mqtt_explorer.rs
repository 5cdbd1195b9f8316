//! MQTT Explorer: its `settings.json`, in which connections stand with their certificates and keys in base64, and
//! passwords in the open. In: JSON. Out: connections, with secrets apart. Facts from its public types and migrations,
//! configuration versions 0 and 1.

use std::path::Path;

use serde_json::{Map, Value};

use super::embedded::Embedded;
use super::fields::Fields;
use super::remarks::{RemarkCode, Remarks};
use super::{Found, Plan};
use crate::profile::{MqttVersion, Qos, Subscription, TrustMode};
use crate::secret::SecretField;

/// Where the connections are, by id.
const CONNECTIONS: &str = "ConnectionManager_connections";
/// The version of a connection's fields that is known.
const CONFIG_VERSION: u64 = 1;

/// Whether it looks like that: the whole file, or the connections of it alone.
pub(super) fn is_it(value: &Value) -> bool {
    let is_connection = |value: &Value| value.get("type").and_then(Value::as_str) == Some("mqtt");
    let has_some = |map: &Map<String, Value>| map.values().any(is_connection);
    value.as_object().is_some_and(|map| map.contains_key(CONNECTIONS) || has_some(map))
}

/// Adds its connections to the plan.
pub(super) fn read(value: &Value, kept: &Path, plan: &mut Plan) {
    let Some(map) = value.as_object() else { return };
    let connections = match map.get(CONNECTIONS) {
        Some(connections) => {
            let others = map.keys().filter(|key| *key != CONNECTIONS);
            others.for_each(|key| plan.remarks.push(RemarkCode::NoCounterpart, key, "", ""));
            connections.as_object()
        }
        None => Some(map),
    };
    let Some(connections) = connections else {
        return plan.remarks.push(RemarkCode::WrongValue, CONNECTIONS, "", "");
    };
    for (id, connection) in connections {
        match connection.as_object() {
            Some(map) => {
                let found = read_connection(map, kept);
                plan.add(found);
            }
            None => plan.remarks.push(RemarkCode::NotUnderstood, id, "", ""),
        }
    }
}

fn read_connection(map: &Map<String, Value>, kept: &Path) -> Found {
    let mut found = Found::new();
    let mut fields = Fields::of(map, "");
    fields.skip(&["id", "type"]);
    if fields.number::<u64>("configVersion").is_some_and(|version| version > CONFIG_VERSION) {
        fields.wrong("configVersion");
    }
    found.name = fields.text("name").unwrap_or_default();

    let parts = &mut found.endpoint;
    parts.tls = fields.switch("encryption").unwrap_or_default();
    let protocol = fields.text("protocol").unwrap_or_default();
    match protocol.trim_end_matches("://") {
        "ws" => parts.websocket = true,
        "mqtt" | "tcp" | "" => {}
        _ => fields.wrong("protocol"),
    }
    parts.host = fields.text("host").unwrap_or_default();
    parts.port = fields.text("port").unwrap_or_default();
    let path = fields.text("basePath").unwrap_or_default();
    // It puts the slash before the path by itself.
    parts.path = format!("/{}", path.trim_start_matches('/'));

    let username = fields.text("username").unwrap_or_default();
    let password = fields.secret("password");
    found.settings.login.enabled = !username.is_empty() || password.is_some();
    found.settings.login.username = username;
    found.secrets.put(SecretField::Password, password);

    // It speaks 3.1.1 only.
    found.settings.session.version = MqttVersion::V311;
    if let Some(id) = fields.text("clientId").filter(|id| !id.is_empty() && !is_made_up(id)) {
        found.settings.session.client_id = id;
    }

    let mut data = |name: &'static str| {
        let map = fields.object(name)?;
        let mut inner = Fields::of(map, format!("{name}."));
        inner.skip(&["name"]);
        let data = inner.text("data").filter(|data| !data.is_empty());
        fields.add(inner.done());
        Some((name, data?))
    };
    let (authority, certificate, key) =
        (data("selfSignedCertificate"), data("clientCertificate"), data("clientKey"));
    fn borrowed<'a>(pair: &'a Option<(&'static str, String)>) -> Option<(&'a str, &'a str)> {
        pair.as_ref().map(|(name, data)| (*name, data.as_str()))
    }
    let embedded = Embedded {
        authority: borrowed(&authority),
        certificate: borrowed(&certificate),
        key: borrowed(&key),
    };
    embedded.keep(kept, &mut found);
    found.check_tls_parts("clientCertificate");
    if fields.switch("certValidation") == Some(false) {
        found.settings.trust.mode = TrustMode::Insecure;
        if found.endpoint.tls {
            fields.remark(RemarkCode::ServerNotVerified, "certValidation", "false", "");
        }
    }
    subscriptions(&mut fields, &mut found);
    found.remarks.extend(fields.done());
    found
}

/// A client identifier that it made up itself, for one run: it replaces those too.
fn is_made_up(id: &str) -> bool {
    id.strip_prefix("mqtt-explorer-")
        .is_some_and(|rest| rest.len() == 8 && rest.bytes().all(|byte| byte.is_ascii_hexdigit()))
}

/// Texts in version 0, objects in version 1.
fn subscriptions(fields: &mut Fields<'_>, found: &mut Found) {
    for (index, item) in fields.list("subscriptions").into_iter().flatten().enumerate() {
        let place = format!("subscriptions[{index}]");
        let mut remarks = Remarks::default();
        let (filter, qos) = match item {
            Value::String(filter) => (Some(filter.clone()), Qos::default()),
            Value::Object(map) => {
                let mut inner = Fields::of(map, format!("{place}."));
                let filter = inner.text("topic");
                let qos = inner.number::<u8>("qos").unwrap_or_default();
                let qos = Qos::try_from(qos).unwrap_or_else(|_| {
                    inner.wrong("qos");
                    Qos::default()
                });
                remarks.extend(inner.done());
                (filter, qos)
            }
            _ => (None, Qos::default()),
        };
        match filter {
            Some(filter) => found.settings.subscriptions.push(Subscription {
                filter,
                color: u8::try_from(index % 8).unwrap_or_default(),
                enabled: true,
                qos,
                ..Subscription::default()
            }),
            None => remarks.push(RemarkCode::NotUnderstood, place, "", ""),
        }
        fields.add(remarks);
    }
}
