//! What a filter says of the inside of a message: a comparison of JSON values, a property. In: what was typed.
//! Out: whether a message meets it. Pure.
//!
//!     conditions  =  condition *("&&" condition)
//!     condition   =  path [operator value]
//!     path        =  a JSONPath (RFC 9535), from `$` on
//!     operator    =  "==" "=" "!=" "<=" ">=" "<" ">" "~"
//!     value       =  JSON, or a word that stands for itself
//!
//! A path may lead to several values: one of them has to meet it. Alone, it has to lead somewhere. Numbers are
//! compared as numbers, texts as texts; `~` asks whether a text contains the other, whatever their case.

use std::cmp::Ordering;

use serde_json::Value;
use serde_json_path::JsonPath;

use crate::error::{Error, ErrorReason, Result};
use crate::message::MessageProperties;

/// Payloads above this size are not read as JSON, so that a filter never holds many of them in memory.
pub(super) const LARGEST_JSON: u64 = 4 << 20;

/// What must hold of a JSON payload.
pub(super) struct JsonConditions(Vec<Condition>);

struct Condition {
    path: JsonPath,
    /// A key that a payload must have for the path to lead anywhere; looked for before anything is parsed.
    key: Option<Vec<u8>>,
    comparison: Option<(Operator, Value)>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Operator {
    Equal,
    Unequal,
    Less,
    AtMost,
    Greater,
    AtLeast,
    Contains,
}

/// As they are looked for: longer ones first.
const OPERATORS: [(&str, Operator); 8] = [
    ("==", Operator::Equal),
    ("!=", Operator::Unequal),
    ("<=", Operator::AtMost),
    (">=", Operator::AtLeast),
    ("=", Operator::Equal),
    ("<", Operator::Less),
    (">", Operator::Greater),
    ("~", Operator::Contains),
];

impl JsonConditions {
    /// # Errors
    /// `invalid_input` on `json`: what is wrong with the text, for the person who types it.
    pub(super) fn parse(text: &str) -> Result<Self> {
        parts(text).into_iter().map(Condition::parse).collect::<Result<_>>().map(Self)
    }

    /// Whether a payload is JSON that meets them all.
    pub(super) fn hold(&self, payload: &[u8]) -> bool {
        // A key may be written with escapes; without any, it stands there as it is.
        let escaped = payload.contains(&b'\\');
        let possible = |condition: &Condition| {
            condition.key.as_ref().is_none_or(|key| escaped || memchr::memmem::find(payload, key).is_some())
        };
        if !self.0.iter().all(possible) {
            return false;
        }
        let Ok(value) = serde_json::from_slice::<Value>(payload) else { return false };
        self.0.iter().all(|condition| condition.holds(&value))
    }
}

impl Condition {
    fn parse(text: &str) -> Result<Self> {
        let text = text.trim();
        if !text.starts_with('$') {
            let message = format!("“{text}” does not begin with a path: write $.name > 70");
            return Err(Error::invalid("json", ErrorReason::ConditionNoPath, message).with("value", text));
        }
        let (path, comparison) = match operator(text) {
            None => (text, None),
            Some((at, written, operator)) => {
                let value = text[at + written.len()..].trim();
                if value.is_empty() {
                    let message = format!("Nothing stands behind {written}");
                    return Err(Error::invalid("json", ErrorReason::ConditionNoValue, message)
                        .with("operator", written));
                }
                let value = serde_json::from_str(value).unwrap_or_else(|_| Value::String(value.to_owned()));
                (text[..at].trim(), Some((operator, value)))
            }
        };
        let parsed = JsonPath::parse(path).map_err(|error| {
            Error::invalid(
                "json",
                ErrorReason::ConditionPath,
                format!("“{path}” is not a JSON path: {error}"),
            )
            .with("value", path)
            .with("error", error.to_string())
        })?;
        Ok(Self {
            key: last_key(path).map(|key| format!("\"{key}\"").into_bytes()),
            path: parsed,
            comparison,
        })
    }

    fn holds(&self, value: &Value) -> bool {
        let mut nodes = self.path.query(value).into_iter();
        match &self.comparison {
            None => nodes.next().is_some(),
            Some((operator, wanted)) => nodes.any(|node| operator.holds(node, wanted)),
        }
    }
}

impl Operator {
    fn holds(self, value: &Value, wanted: &Value) -> bool {
        if self == Self::Contains {
            let text = |value: &Value| match value {
                Value::String(text) => text.to_lowercase(),
                other => other.to_string(),
            };
            return text(value).contains(&text(wanted));
        }
        let order = match (value, wanted) {
            (Value::Number(a), Value::Number(b)) => {
                a.as_f64().zip(b.as_f64()).and_then(|(a, b)| a.partial_cmp(&b))
            }
            (Value::String(a), Value::String(b)) => Some(a.cmp(b)),
            (a, b) if a == b => Some(Ordering::Equal),
            _ => None,
        };
        match (self, order) {
            (Self::Unequal, order) => order != Some(Ordering::Equal),
            (_, None) => false,
            (Self::Equal, Some(order)) => order.is_eq(),
            (Self::Less, Some(order)) => order.is_lt(),
            (Self::AtMost, Some(order)) => order.is_le(),
            (Self::Greater, Some(order)) => order.is_gt(),
            (Self::AtLeast, Some(order)) => order.is_ge(),
            (Self::Contains, Some(_)) => false,
        }
    }
}

/// The conditions between `&&`, those within quotes or brackets left alone.
fn parts(text: &str) -> Vec<&str> {
    let mut parts = Vec::new();
    let mut start = 0;
    for at in outside(text) {
        if at >= start && text[at..].starts_with("&&") {
            parts.push(&text[start..at]);
            start = at + 2;
        }
    }
    parts.push(&text[start..]);
    parts
}

/// The first operator of a condition: where it stands, as written, and what it is.
fn operator(text: &str) -> Option<(usize, &'static str, Operator)> {
    outside(text).find_map(|at| {
        let (written, operator) = OPERATORS.iter().find(|(written, _)| text[at..].starts_with(written))?;
        Some((at, *written, *operator))
    })
}

/// Where characters stand that are neither in quotes nor in brackets.
fn outside(text: &str) -> impl Iterator<Item = usize> + '_ {
    let (mut quote, mut depth, mut escaped) = (None, 0_u32, false);
    text.char_indices().filter_map(move |(at, character)| {
        if std::mem::take(&mut escaped) {
            return None;
        }
        match (quote, character) {
            (Some(_), '\\') => escaped = true,
            (Some(open), character) if open == character => quote = None,
            (Some(_), _) => {}
            (None, '"' | '\'') => quote = Some(character),
            (None, '[') => depth += 1,
            (None, ']') => depth = depth.saturating_sub(1),
            (None, _) if depth == 0 => return Some(at),
            (None, _) => {}
        }
        None
    })
}

/// The name that a path ends with, when it is a plain one.
fn last_key(path: &str) -> Option<&str> {
    let (_, name) = path.rsplit_once('.')?;
    let plain = |c: char| c.is_ascii_alphanumeric() || c == '_';
    (!name.is_empty() && name.chars().all(plain)).then_some(name)
}

/// A property that a message must have, and with which value.
pub(super) struct PropertyCondition {
    name: String,
    value: Option<String>,
}

impl PropertyCondition {
    pub(super) fn parse(text: &str) -> Self {
        let (name, value) = match text.split_once('=') {
            Some((name, value)) => (name, Some(value.trim().to_owned())),
            None => (text, None),
        };
        Self { name: name.trim().to_owned(), value }
    }

    pub(super) fn holds(&self, properties: &MessageProperties) -> bool {
        let is = |value: &str| self.value.as_deref().is_none_or(|wanted| wanted == value);
        let known = match self.name.to_ascii_lowercase().as_str() {
            "content-type" => properties.content_type.as_deref().is_some_and(is),
            "response-topic" => properties.response_topic.as_deref().is_some_and(is),
            "correlation-data" => properties.correlation_data_hex.as_deref().is_some_and(|hex| {
                self.value.as_deref().is_none_or(|wanted| wanted.eq_ignore_ascii_case(hex))
            }),
            "subscription-id" => properties.subscription_ids.iter().any(|id| is(&id.to_string())),
            "message-expiry" => properties.message_expiry_s.is_some_and(|seconds| is(&seconds.to_string())),
            _ => false,
        };
        known || properties.user_properties.iter().any(|pair| pair.name == self.name && is(&pair.value))
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::profile::UserProperty;

    fn holds(condition: &str, payload: &str) -> bool {
        JsonConditions::parse(condition).expect("a condition").hold(payload.as_bytes())
    }

    #[test]
    fn comparisons() {
        let payload =
            r#"{"temp_c":71.5,"unit":"C","ok":true,"tags":["a b","c"],"deep":{"n":-1},"none":null}"#;
        for condition in [
            "$.temp_c > 70",
            "$.temp_c>=71.5",
            "$.temp_c < 1e3",
            "$.temp_c <= 71.5 && $.unit == \"C\"",
            "$.unit = C",
            "$.unit != F",
            "$.ok",
            "$.ok == true",
            "$.none == null",
            "$.tags[*] == \"a b\"",
            "$.tags[?@ == 'c']",
            "$..n == -1",
            "$.tags[0] ~ \"A B\"",
            "$['temp_c'] > 70",
            "$.deep != 1",
        ] {
            assert!(holds(condition, payload), "{condition}");
        }
        for condition in [
            "$.temp_c > 71.5",
            "$.temp_c > \"70\"",
            "$.unit > 1",
            "$.missing",
            "$.missing != 1",
            "$.tags[*] == d",
            "$.ok && $.unit == F",
        ] {
            assert!(!holds(condition, payload), "{condition}");
        }
        assert!(holds("$ == 7", "7"));
        assert!(holds(r"$.temp", r#"{"te\u006dp":1}"#), "an escaped key is a key");
        assert!(!holds("$.a", "not json with \"a\""));
    }

    #[test]
    fn what_is_wrong_is_said() {
        for (text, said) in [
            ("temp > 70", "does not begin with a path"),
            ("", "does not begin with a path"),
            ("$.a >", "Nothing stands behind"),
            ("$.a[ > 1", "not a JSON path"),
            ("$.a == 1 &&", "does not begin with a path"),
        ] {
            let error = JsonConditions::parse(text).err().expect(text);
            assert!(error.message.contains(said), "{text}: {error}");
        }
    }

    #[test]
    fn properties() {
        let properties = MessageProperties {
            content_type: Some("text/plain".into()),
            correlation_data_hex: Some("00ff".into()),
            subscription_ids: vec![3],
            user_properties: vec![UserProperty { name: "Trace".into(), value: "a=b".into() }],
            ..MessageProperties::default()
        };
        for text in [
            "content-type",
            "Content-Type = text/plain",
            "correlation-data=00FF",
            "subscription-id=3",
            "Trace=a=b",
        ] {
            assert!(PropertyCondition::parse(text).holds(&properties), "{text}");
        }
        for text in ["response-topic", "content-type=x", "trace", "Trace=a", "subscription-id=4"] {
            assert!(!PropertyCondition::parse(text).holds(&properties), "{text}");
        }
    }

    proptest! {
        #[test]
        fn no_text_breaks_it(condition in "\\$?[.\\[\\]a-z\"'&=<>~ 0-9\\\\äß?@*]{0,30}", payload in ".{0,40}") {
            if let Ok(conditions) = JsonConditions::parse(&condition) {
                conditions.hold(payload.as_bytes());
            }
        }
    }
}
