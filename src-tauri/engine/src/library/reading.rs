//! Reading an export of ours, row by row. In: text. Out: its connections and folders, and what of it is not as it
//! should be, place by place: a field that nobody here knows, a value that does not belong there, a connection
//! that has no endpoint to dial. What is understood comes in whatever stands beside it; only text that is no
//! export, or one of a later version, is refused whole. Transports are never guessed: a wrong value in an
//! endpoint keeps its connection out.

use std::collections::BTreeSet;

use serde::{Serialize, de::DeserializeOwned};
use serde_json::{Map, Value, json};
use uuid::Uuid;

use super::export::{Document, FORMAT, FolderOfProfiles, VERSION};
use crate::endpoint::{Endpoint, EndpointParts};
use crate::error::{Error, ErrorReason, Result};
use crate::library::FolderId;
use crate::profile::{Profile, ProfileId, Settings};

/// Names of folders and connections have at most so many bytes.
const LONGEST_NAME: usize = 4096;
/// What a folder is called whose name cannot be read, before its number.
const UNNAMED: &str = "Heliograph";

/// A part of an export that is not as it should be.
#[derive(Debug, Clone, PartialEq)]
pub(crate) enum Odd {
    /// A field or value.
    Part {
        /// The connection that it is of; `None` for the whole.
        profile: Option<ProfileId>,
        /// Where it stands, e.g. `settings.trust.colour` of a connection, or `folders[0].colour`.
        path: String,
        /// What is odd about it.
        how: Oddity,
    },
    /// A connection that cannot come in.
    Connection {
        /// Its name.
        name: String,
        /// Its folder; `None` at the top.
        folder: Option<String>,
        /// Why.
        why: NoEndpoint,
    },
}

/// What is odd about a part.
#[derive(Debug, Clone, PartialEq)]
pub(crate) enum Oddity {
    /// Nobody here knows the field: a later version's, or misspelt.
    Unknown,
    /// `value` does not belong there. `used` stands in its place; `None` leaves it out.
    Wrong {
        /// As it is in the text.
        value: Value,
        /// What is taken instead.
        used: Option<Value>,
    },
}

/// Why a connection has no endpoint.
#[derive(Debug, Clone, PartialEq)]
pub(crate) enum NoEndpoint {
    /// It cannot be dialled, as [`crate::draft::build`] says it.
    Refused(Error),
    /// A part of it is missing or of another kind.
    Wrong {
        /// Where, e.g. `endpoint.tls`.
        path: String,
        /// As it is in the text.
        value: Value,
    },
}

impl Document {
    /// Reads an export without secrets, and tells `odd` what of it is left out or changed.
    ///
    /// # Errors
    /// `invalid_input` with `details.reason`: `not_an_export`, `unknown_version` (with `details.version`) or
    /// `damaged` (with `details.place`).
    pub fn read(text: &str, odd: &mut dyn FnMut(Odd)) -> Result<Self> {
        let value = whole(text)?;
        let mut reading = Reading { odd, ids: BTreeSet::new(), unnamed: 0 };
        let mut document = Self::of(Vec::new(), Vec::new());
        reading.compare(None, &value, &document, "", &BTreeSet::new());
        document.profiles = reading.profiles(&value, "", None);
        for (index, folder) in reading.list(&value, "folders", "").iter().enumerate() {
            document.folders.extend(reading.folder(folder, &format!("folders[{index}]")));
        }
        Ok(document)
    }
}

/// The text as JSON that says it is what it should be.
fn whole(text: &str) -> Result<Value> {
    // Editors on Windows begin files with it.
    let text = text.trim_start_matches('\u{feff}');
    let refuse = |reason, message: String| Error::invalid("export", reason, message);
    let not_ours = "This is not an export of connections from Heliograph";
    let value: Value = serde_json::from_str(text).map_err(|error| {
        if text.trim_start().starts_with('{') && text.contains(FORMAT) {
            let place = format!("line {}, column {}", error.line(), error.column());
            let message = format!("The export is damaged at {place}: {error}. Nothing was added");
            return refuse(ErrorReason::Damaged, message).with("place", place);
        }
        refuse(ErrorReason::NotAnExport, format!("{not_ours}: it is not JSON"))
    })?;
    if value.get("format").and_then(Value::as_str) != Some(FORMAT) {
        return Err(refuse(ErrorReason::NotAnExport, format!("{not_ours}: its “format” is not “{FORMAT}”")));
    }
    match value.get("version").and_then(Value::as_u64) {
        Some(VERSION) => Ok(value),
        Some(newer) if newer > VERSION => {
            let message = format!(
                "The export has version {newer}, this Heliograph reads up to {VERSION}: use a newer Heliograph. Nothing was added"
            );
            Err(refuse(ErrorReason::UnknownVersion, message).with("version", newer))
        }
        _ => {
            let given = value.get("version").map_or_else(|| "none".to_owned(), Value::to_string);
            let message = format!("The export has no version that is known ({given}). Nothing was added");
            Err(refuse(ErrorReason::UnknownVersion, message).with("version", given))
        }
    }
}

struct Reading<'a> {
    odd: &'a mut dyn FnMut(Odd),
    ids: BTreeSet<ProfileId>,
    /// Folders whose names cannot be read.
    unnamed: usize,
}

impl Reading<'_> {
    fn wrong(&mut self, profile: Option<ProfileId>, path: String, value: &Value, used: Option<Value>) {
        let how = Oddity::Wrong { value: value.clone(), used };
        (self.odd)(Odd::Part { profile, path, how });
    }

    /// The items of a list; none when it is absent.
    fn list<'v>(&mut self, of: &'v Value, name: &str, place: &str) -> &'v [Value] {
        match of.get(name) {
            None | Some(Value::Null) => &[],
            Some(Value::Array(items)) => items,
            Some(other) => {
                self.wrong(None, format!("{place}{name}"), other, None);
                &[]
            }
        }
    }

    fn folder(&mut self, given: &Value, place: &str) -> Option<FolderOfProfiles> {
        if !given.is_object() {
            self.wrong(None, place.to_owned(), given, None);
            return None;
        }
        let mut changed = BTreeSet::new();
        let part = |name: &str| format!("{place}.{name}");
        let (id, id_wrong) = read_or(given, "id", || FolderId(Uuid::new_v4()));
        let (collapsed, collapsed_wrong) = read_or(given, "collapsed", || false);
        let wrong = [("id", id_wrong), ("collapsed", collapsed_wrong)];
        changed.extend(wrong.into_iter().filter(|(_, wrong)| *wrong).map(|(name, _)| part(name)));
        let name = usable_name(given).unwrap_or_else(|clean| {
            changed.insert(part("name"));
            if clean.is_empty() {
                self.unnamed += 1;
                return format!("{UNNAMED} {}", self.unnamed);
            }
            clean
        });
        if given.get("name").is_none() {
            self.wrong(None, part("name"), &Value::Null, Some(json!(name)));
        }
        let mut folder = FolderOfProfiles { id, name, collapsed, profiles: Vec::new() };
        self.compare(None, given, &folder, place, &changed);
        folder.profiles = self.profiles(given, &format!("{place}."), Some(&folder.name));
        Some(folder)
    }

    fn profiles(&mut self, of: &Value, place: &str, folder: Option<&str>) -> Vec<Profile> {
        let items = self.list(of, "profiles", place).iter().enumerate();
        items
            .filter_map(|(index, given)| {
                let place = format!("{place}profiles[{index}]");
                if !given.is_object() {
                    self.wrong(None, place, given, None);
                    return None;
                }
                self.profile(given, folder, &place)
            })
            .collect()
    }

    fn profile(&mut self, given: &Value, folder: Option<&str>, place: &str) -> Option<Profile> {
        let mut changed = BTreeSet::new();
        let name = usable_name(given).unwrap_or_else(|clean| {
            changed.insert("name".to_owned());
            clean
        });
        let endpoint = match endpoint(given) {
            Ok(endpoint) => endpoint,
            Err(why) => {
                let folder = folder.map(str::to_owned);
                let name = if name.is_empty() { place.to_owned() } else { name };
                (self.odd)(Odd::Connection { name, folder, why });
                return None;
            }
        };
        let (mut id, mut wrong) = read_or(given, "id", ProfileId::random);
        if !self.ids.insert(id) {
            // Two of one id would be one to everything that follows.
            (id, wrong) = (ProfileId::random(), true);
            self.ids.insert(id);
        }
        changed.extend(wrong.then(|| "id".to_owned()));
        let unnamed = name.is_empty() && given.get("name").and_then(Value::as_str) != Some("");
        let name = if unnamed { endpoint.host().to_string() } else { name };
        let settings = settings(given, &mut changed);
        for missing in ["name", "settings"].into_iter().filter(|name| given.get(name).is_none()) {
            let used = (missing == "name").then(|| json!(name));
            self.wrong(Some(id), missing.to_owned(), &Value::Null, used);
        }
        let profile = Profile { id, name, endpoint, settings };
        self.compare(Some(id), given, &profile, "", &changed);
        Some(profile)
    }

    /// Says which fields of `given` are not in what was `read` from it, and which are in it otherwise.
    fn compare(
        &mut self,
        profile: Option<ProfileId>,
        given: &Value,
        read: &impl Serialize,
        place: &str,
        changed: &BTreeSet<String>,
    ) {
        if let Ok(read) = serde_json::to_value(read) {
            differences(given, &read, place, changed, &mut |path, how| {
                (self.odd)(Odd::Part { profile, path, how });
            });
        }
    }
}

/// A part of an object, and whether it is of another kind; what is, and what is absent, is as usual.
fn read_or<T: DeserializeOwned>(of: &Value, name: &str, usual: impl FnOnce() -> T) -> (T, bool) {
    match of.get(name).map(T::deserialize) {
        Some(Ok(given)) => (given, false),
        Some(Err(_)) => (usual(), true),
        None => (usual(), false),
    }
}

/// The name; or, when it cannot be one, what can be kept of it.
fn usable_name(of: &Value) -> std::result::Result<String, String> {
    let given = of.get("name").and_then(Value::as_str);
    match given {
        Some(name) if name.len() <= LONGEST_NAME && !name.contains('\0') => Ok(name.to_owned()),
        // A character has at most four bytes.
        _ => {
            let kept = given.unwrap_or_default().chars().filter(|c| !c.is_control()).take(LONGEST_NAME / 4);
            Err(kept.collect::<String>().trim().to_owned())
        }
    }
}

fn endpoint(profile: &Value) -> std::result::Result<Endpoint, NoEndpoint> {
    let given = profile.get("endpoint").unwrap_or(&Value::Null);
    match reads::<EndpointParts>(given) {
        Some(parts) => Endpoint::try_from(parts).map_err(|error| {
            let field = format!("endpoint.{}", error.field);
            NoEndpoint::Refused(Error::endpoint(&field, error))
        }),
        None => {
            let mut wrong = BTreeSet::new();
            keep_what_fits::<EndpointParts>(&mut given.clone(), "endpoint", &mut wrong);
            let path = wrong.into_iter().next().unwrap_or_else(|| "endpoint".to_owned());
            let name = path.strip_prefix("endpoint.").unwrap_or_default();
            Err(NoEndpoint::Wrong { value: given.get(name).cloned().unwrap_or_default(), path })
        }
    }
}

fn settings(profile: &Value, changed: &mut BTreeSet<String>) -> Settings {
    let place = "settings";
    let Some(given) = profile.get(place) else { return Settings::default() };
    if let Some(settings) = reads(given) {
        return settings;
    }
    let mut given = given.clone();
    // Whether a value is a secret decides where it is kept: in doubt it is one.
    let headers = given.pointer_mut("/websocket/headers").and_then(Value::as_array_mut);
    for (index, header) in headers.into_iter().flatten().enumerate() {
        if let Some(secret) = header.get_mut("secret").filter(|secret| !secret.is_boolean()) {
            *secret = Value::Bool(true);
            changed.insert(format!("{place}.websocket.headers[{index}].secret"));
        }
    }
    keep_what_fits::<Settings>(&mut given, place, changed);
    reads(&given).unwrap_or_default()
}

/// Takes out of `value` what is not of its kind in a `T`, and adds the places of that to `out`.
fn keep_what_fits<T: DeserializeOwned + Serialize>(
    value: &mut Value,
    place: &str,
    out: &mut BTreeSet<String>,
) {
    keep_fitting(value, place, &|value| reads::<T>(value).is_some(), out);
}

/// A value as what it should be. An object is not read from a list of its fields, as it could be.
fn reads<T: DeserializeOwned + Serialize>(value: &Value) -> Option<T> {
    let read = T::deserialize(value).ok()?;
    alike(value, &serde_json::to_value(&read).ok()?).then_some(read)
}

fn alike(given: &Value, read: &Value) -> bool {
    match (given, read) {
        (Value::Array(_), Value::Object(_)) => false,
        (Value::Array(given), Value::Array(read)) => {
            given.iter().zip(read).all(|(given, read)| alike(given, read))
        }
        (Value::Object(given), Value::Object(read)) => {
            given.iter().all(|(name, given)| read.get(name).is_none_or(|read| alike(given, read)))
        }
        _ => true,
    }
}

/// Whether anything is left of it. A part fits when the whole does with that part alone in it.
fn keep_fitting(
    value: &mut Value,
    place: &str,
    fits: &dyn Fn(&Value) -> bool,
    out: &mut BTreeSet<String>,
) -> bool {
    if fits(value) {
        return true;
    }
    match value {
        Value::Object(fields) if fits(&json!({})) => fields.retain(|name, field| {
            let alone = |field: &Value| fits(&Value::Object(Map::from_iter([(name.clone(), field.clone())])));
            keep_fitting(field, &format!("{place}.{name}"), &alone, out)
        }),
        Value::Array(items) if fits(&json!([])) => {
            let mut index = 0..;
            items.retain_mut(|item| {
                let place = format!("{place}[{}]", index.next().unwrap_or(0_usize));
                keep_fitting(item, &place, &|item| fits(&json!([item])), out)
            });
        }
        _ => {}
    }
    let left = fits(value);
    if !left {
        out.insert(place.to_owned());
    }
    left
}

/// What of `given` is not in `read`. What stands at a place of `changed` is in it otherwise or, in a list, not at all.
fn differences(
    given: &Value,
    read: &Value,
    place: &str,
    changed: &BTreeSet<String>,
    say: &mut dyn FnMut(String, Oddity),
) {
    match (given, read) {
        (Value::Object(given), Value::Object(read)) => {
            let outer = if place.is_empty() { String::new() } else { format!("{place}.") };
            for (name, value) in given {
                let place = format!("{outer}{name}");
                match read.get(name) {
                    used if changed.contains(&place) => {
                        say(place, Oddity::Wrong { value: value.clone(), used: used.cloned() });
                    }
                    Some(read) => differences(value, read, &place, changed, say),
                    None if value.is_null() => {}
                    None => say(place, Oddity::Unknown),
                }
            }
        }
        (Value::Array(given), Value::Array(read)) => {
            let mut read = read.iter();
            for (index, value) in given.iter().enumerate() {
                let place = format!("{place}[{index}]");
                if changed.contains(&place) {
                    say(place, Oddity::Wrong { value: value.clone(), used: None });
                } else if let Some(read) = read.next() {
                    differences(value, read, &place, changed, say);
                }
            }
        }
        _ => {}
    }
}

#[cfg(test)]
mod tests;
