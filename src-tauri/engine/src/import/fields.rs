//! The fields of a JSON object as people's files have them: numbers as text, switches as 0 and 1, `null` for nothing.
//! In: an object. Out: values of the kind that is asked for, and remarks on those that are of another kind and on
//! those that nobody asked for. Never repeats a value that may be a secret.

use std::collections::BTreeSet;

use serde_json::{Map, Value};

use super::remarks::{RemarkCode, Remarks};
use crate::secret::Secret;

/// An object that is read field by field.
pub(super) struct Fields<'a> {
    map: &'a Map<String, Value>,
    /// Stands before the names in remarks, for example `will.`.
    place: String,
    seen: BTreeSet<&'static str>,
    remarks: Remarks,
}

impl<'a> Fields<'a> {
    pub fn of(map: &'a Map<String, Value>, place: impl Into<String>) -> Self {
        Self { map, place: place.into(), seen: BTreeSet::new(), remarks: Remarks::default() }
    }

    /// The value; none when it is absent or `null`.
    pub fn value(&mut self, name: &'static str) -> Option<&'a Value> {
        self.seen.insert(name);
        self.map.get(name).filter(|value| !value.is_null())
    }

    /// A text; numbers and switches are read as such.
    pub fn text(&mut self, name: &'static str) -> Option<String> {
        let value = self.value(name)?;
        let text = scalar(value);
        if text.is_none() {
            self.wrong(name);
        }
        text
    }

    /// A secret text; none when it is empty.
    pub fn secret(&mut self, name: &'static str) -> Option<Secret> {
        let text = zeroize::Zeroizing::new(self.text(name)?);
        Some(Secret::new(text.as_bytes())).filter(|secret| !secret.expose().is_empty())
    }

    pub fn switch(&mut self, name: &'static str) -> Option<bool> {
        let value = self.value(name)?;
        let read = match scalar(value)?.as_str() {
            "true" | "1" => Some(true),
            "false" | "0" | "" => Some(false),
            _ => None,
        };
        if read.is_none() {
            self.wrong(name);
        }
        read
    }

    /// A whole number that the target holds; none for an empty text.
    pub fn number<T: TryFrom<u64>>(&mut self, name: &'static str) -> Option<T> {
        let value = self.value(name)?;
        let text = scalar(value).unwrap_or_else(|| "{}".into());
        if text.trim().is_empty() {
            return None;
        }
        let number = text.trim().parse::<u64>().ok().and_then(|number| T::try_from(number).ok());
        if number.is_none() {
            self.wrong(name);
        }
        number
    }

    pub fn object(&mut self, name: &'static str) -> Option<&'a Map<String, Value>> {
        let value = self.value(name)?;
        let object = value.as_object();
        if object.is_none() {
            self.wrong(name);
        }
        object
    }

    pub fn list(&mut self, name: &'static str) -> Option<&'a Vec<Value>> {
        let value = self.value(name)?;
        let list = value.as_array();
        if list.is_none() {
            self.wrong(name);
        }
        list
    }

    /// These mean nothing for a connection.
    pub fn skip(&mut self, names: &[&'static str]) {
        self.seen.extend(names);
    }

    /// These would mean something, and there is nothing like it here.
    pub fn without_counterpart(&mut self, names: &[&'static str]) {
        for name in names {
            let Some(value) = self.value(name).filter(|value| says_something(value)) else { continue };
            self.remark(RemarkCode::NoCounterpart, name, &shown(name, value), "");
        }
    }

    pub fn remark(&mut self, code: RemarkCode, name: &str, value: &str, used: impl Into<String>) {
        self.remarks.push(code, format!("{}{name}", self.place), value, used);
    }

    /// The value is not of its kind.
    pub fn wrong(&mut self, name: &'static str) {
        let value = self.map.get(name).map(|value| shown(name, value)).unwrap_or_default();
        self.remark(RemarkCode::WrongValue, name, &value, "");
    }

    /// The remarks of an object inside this one.
    pub fn add(&mut self, remarks: Remarks) {
        self.remarks.extend(remarks);
    }

    /// Everything that there is to say, with the fields that nobody asked for.
    pub fn done(mut self) -> Remarks {
        for (name, value) in self.map {
            if !self.seen.contains(name.as_str()) && says_something(value) {
                let field = format!("{}{name}", self.place);
                self.remarks.push(RemarkCode::NotUnderstood, field, &shown(name, value), "");
            }
        }
        self.remarks
    }
}

/// Anything but nothing: no `null`, no empty text or list.
fn says_something(value: &Value) -> bool {
    match value {
        Value::Null => false,
        Value::String(text) => !text.is_empty(),
        Value::Array(items) => !items.is_empty(),
        Value::Object(map) => map.values().any(says_something),
        Value::Bool(_) | Value::Number(_) => true,
    }
}

fn scalar(value: &Value) -> Option<String> {
    match value {
        Value::String(text) => Some(text.clone()),
        Value::Bool(switch) => Some(switch.to_string()),
        Value::Number(number) => Some(match number.as_f64() {
            // As some writers have it: 60.0.
            Some(float) if number.as_u64().is_none() && float.fract() == 0.0 => format!("{float:.0}"),
            _ => number.to_string(),
        }),
        Value::Null | Value::Array(_) | Value::Object(_) => None,
    }
}

/// The value as text; empty when it is no single one.
pub(super) fn text(value: &Value) -> String {
    scalar(value).unwrap_or_default()
}

/// The value at a place, unless it may be a secret or is no single one.
pub(super) fn shown(place: &str, value: &Value) -> String {
    let name = place.rsplit('.').next().unwrap_or_default();
    let lower = match place.contains("headers[") {
        // Whatever stands in a header may be one.
        true => "auth".to_owned(),
        false => name.to_ascii_lowercase(),
    };
    let secret = ["pass", "secret", "token", "key", "auth", "cred", "psk", "pw", "data", "cert"];
    match scalar(value) {
        Some(text) if !secret.iter().any(|word| lower.contains(word)) => text,
        _ => String::new(),
    }
}
