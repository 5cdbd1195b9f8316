#![allow(clippy::panic, reason = "a test says what it missed")]

use super::*;
use crate::error::ErrorCode;
use crate::library::export::tests::{filled, rich};
use crate::profile::{PublishProperties, Retention, UserProperty, Will};

/// What is read, and what is said about it.
fn read(text: &str) -> (Document, Vec<Odd>) {
    let mut said = Vec::new();
    let document = Document::read(text, &mut |odd| said.push(odd)).expect(text);
    (document, said)
}

fn written(profiles: &[Profile]) -> Value {
    serde_json::to_value(Document::of(profiles.to_vec(), Vec::new())).expect("json")
}

/// Something in every field there is.
fn full(name: &str) -> Profile {
    let mut profile = rich(name);
    let settings = &mut profile.settings;
    let property = || vec![UserProperty { name: "a".into(), value: "b".into() }];
    settings.session.user_properties = property();
    settings.session.receive_maximum = Some(7);
    settings.session.maximum_packet_size = Some(7);
    settings.session.topic_alias_maximum = Some(7);
    settings.trust.crl_files = vec!["/crl.pem".into()];
    settings.retention = Some(Retention { max_rows: Some(7), max_age_s: Some(7), ..Retention::default() });
    settings.will = Will {
        properties: PublishProperties {
            payload_format_utf8: Some(true),
            message_expiry_s: Some(7),
            content_type: Some("text/plain".into()),
            response_topic: Some("r".into()),
            correlation_data: Some(crate::profile::PayloadText::default()),
            topic_alias: Some(7),
            user_properties: property(),
        },
        ..settings.will.clone()
    };
    profile
}

/// Every place in a value, outermost first, as JSON pointers.
fn places(value: &Value, at: &str, found: &mut Vec<String>) {
    found.push(at.to_owned());
    match value {
        Value::Object(map) => {
            map.iter().for_each(|(name, value)| places(value, &format!("{at}/{name}"), found))
        }
        Value::Array(items) => {
            (0..).zip(items).for_each(|(index, value)| places(value, &format!("{at}/{index}"), found));
        }
        _ => {}
    }
}

/// As the remarks call it: `settings.trust.ca_files[0]`.
fn spoken(pointer: &str) -> String {
    let mut text = String::new();
    for part in pointer.trim_start_matches('/').split('/') {
        match part.parse::<usize>() {
            Ok(index) => text += &format!("[{index}]"),
            Err(_) if text.is_empty() => text += part,
            Err(_) => text += &format!(".{part}"),
        }
    }
    text
}

/// The leaves that are not below a place, nor in a list that it is an item of.
fn leaves(value: &Value, at: &str, except: &str, found: &mut Vec<(String, Value)>) {
    let list =
        except.rsplit_once('/').filter(|(_, last)| last.parse::<usize>().is_ok()).map(|(list, _)| list);
    if at == except || Some(at) == list {
        return;
    }
    match value {
        Value::Object(map) if !map.is_empty() => {
            map.iter().for_each(|(name, value)| leaves(value, &format!("{at}/{name}"), except, found));
        }
        Value::Array(items) if !items.is_empty() => {
            (0..)
                .zip(items)
                .for_each(|(index, value)| leaves(value, &format!("{at}/{index}"), except, found));
        }
        other => found.push((at.to_owned(), other.clone())),
    }
}

/// A property is understood as a whole or not at all: the place of it, or the place itself.
fn as_one(place: &str) -> &str {
    let end = place.rfind("/user_properties/").map(|at| at + "/user_properties/0".len());
    end.map_or(place, |end| &place[..end.min(place.len())])
}

/// Each kind of JSON, and the borders of numbers, at each place of a connection: it is either what belongs there, or it is
/// named with its place and all others stay as they are; the connection beside it is never touched.
#[test]
fn a_wrong_value_anywhere_is_named_and_everything_else_comes_in() {
    let (good, other) = (full("a"), full("b"));
    let whole = serde_json::to_value(&good).expect("json");
    let mut all = Vec::new();
    places(&whole, "", &mut all);
    assert!(all.len() > 100, "{}", all.len());
    let bad = [
        Value::Null,
        json!(true),
        json!(-1),
        json!(4),
        json!(70_000),
        json!(1.5),
        json!(1e300),
        json!("canary"),
        json!([]),
        json!([7, "x"]),
        json!({}),
        json!({ "a": 1 }),
    ];
    let (mut named, mut refused) = (0, 0);
    for place in all.iter().skip(1) {
        for value in &bad {
            let mut changed = whole.clone();
            *changed.pointer_mut(place).expect(place) = value.clone();
            let mut document = written(&[good.clone(), other.clone()]);
            document["profiles"][0] = changed.clone();
            let (read, said) = read(&document.to_string());
            let about = || format!("{place} = {value}: {said:?}");
            assert_eq!(read.profiles.last(), Some(&other), "{}", about());
            if read.profiles.len() == 1 {
                // Only what decides about the transport keeps a connection out, and it says so.
                assert!(place.starts_with("/endpoint"), "{}", about());
                let [Odd::Connection { name, why, .. }] = &said[..] else { panic!("{}", about()) };
                assert_eq!(name, "a", "{}", about());
                if let NoEndpoint::Wrong { path, .. } = why {
                    assert_eq!(*path, spoken(place), "{}", about());
                }
                refused += 1;
                continue;
            }
            let came = serde_json::to_value(&read.profiles[0]).expect("json");
            let (mut before, mut after) = (Vec::new(), Vec::new());
            leaves(&whole, "", as_one(place), &mut before);
            leaves(&came, "", as_one(place), &mut after);
            assert_eq!(after, before, "{}", about());
            let fits = came.pointer(place).is_some_and(|now| now == value);
            let told = said.iter().any(|odd| match odd {
                Odd::Part { profile, path, .. } => {
                    *profile == Some(read.profiles[0].id) && path.starts_with(&spoken(as_one(place)))
                }
                Odd::Connection { .. } => false,
            });
            // An object is all its fields at once: those that it lacks are as usual, as in any export.
            let usual = value == &json!({}) || value.is_null() || place == "/endpoint/path";
            assert!(fits || told || usual, "{}", about());
            named += usize::from(told);
        }
    }
    assert!(named > 600 && refused > 30, "{named} {refused}");
}

#[test]
fn what_is_taken_instead_is_said() {
    let profile = full("a");
    let mut document = written(std::slice::from_ref(&profile));
    let settings = &mut document["profiles"][0]["settings"];
    settings["trust"]["mode"] = json!("trust-me");
    settings["timing"] = json!("soon");
    settings["subscriptions"] = json!([
        { "filter": "a", "qos": 7, "enabled": true },
        "b",
        { "filter": "c", "shade": 1 },
    ]);
    settings["websocket"]["headers"] =
        json!([{ "name": "X-Token", "value": "canary", "secret": "yes" }, { "name": "X", "value": 5 }]);
    let (read, said) = read(&document.to_string());
    let part = |path: &str, value: Value, used: Option<Value>| Odd::Part {
        profile: Some(profile.id),
        path: format!("settings.{path}"),
        how: Oddity::Wrong { value, used },
    };
    let timing = serde_json::to_value(crate::profile::Timing::default()).expect("json");
    assert_eq!(
        said,
        [
            part("subscriptions[0].qos", json!(7), Some(json!(0))),
            part("subscriptions[1]", json!("b"), None),
            Odd::Part {
                profile: Some(profile.id),
                path: "settings.subscriptions[2].shade".into(),
                how: Oddity::Unknown
            },
            part("timing", json!("soon"), Some(timing)),
            part("trust.mode", json!("trust-me"), Some(json!("system"))),
            part("websocket.headers[0].secret", json!("yes"), Some(json!(true))),
            part("websocket.headers[1].value", json!(5), Some(json!(""))),
        ]
    );
    let settings = &read.profiles[0].settings;
    let filters: Vec<_> = settings.subscriptions.iter().map(|one| one.filter.as_str()).collect();
    assert_eq!(filters, ["a", "c"]);
    assert!(settings.subscriptions[0].enabled);
    // What may be a secret is one.
    assert!(settings.websocket.headers[0].secret);
}

#[test]
fn folders_names_and_ids_that_cannot_be_read_keep_their_connections() {
    let (_dir, library) = filled();
    let text = library.export(None).expect("written").text;
    let good: Value = serde_json::from_str(&text).expect("json");
    let count = read(&text).0.all().count();
    let spoilt = |spoil: &dyn Fn(&mut Value)| {
        let mut value = good.clone();
        spoil(&mut value);
        let (document, said) = read(&value.to_string());
        let paths: Vec<_> = said
            .iter()
            .map(|odd| match odd {
                Odd::Part { path, .. } => path.clone(),
                Odd::Connection { name, folder, .. } => format!("{name} in {folder:?}"),
            })
            .collect();
        (document, paths)
    };
    let at = |value: &Value| {
        value["folders"]
            .as_array()
            .expect("folders")
            .iter()
            .position(|one| one["profiles"].as_array().is_some_and(|all| all.len() == 2))
    };
    let full = at(&good).expect("a folder with two");
    let name = |part: &str| format!("folders[{full}]{part}");
    for (part, bad) in [("name", json!(7)), ("id", json!("x")), ("collapsed", json!("x"))] {
        let (document, said) = spoilt(&|value| value["folders"][full][part] = bad.clone());
        assert_eq!((document.all().count(), said), (count, vec![name(&format!(".{part}"))]));
    }
    let (document, said) =
        spoilt(&|value| drop(value["folders"][full].as_object_mut().map(|one| one.remove("name"))));
    assert_eq!((document.folders[full].name.as_str(), said), ("Heliograph 1", vec![name(".name")]));
    let (document, said) = spoilt(&|value| value["folders"][full] = json!(7));
    assert_eq!((document.all().count(), said), (count - 2, vec![name("")]));
    let (document, said) = spoilt(&|value| value["folders"][full]["profiles"] = json!(7));
    assert_eq!((document.all().count(), said), (count - 2, vec![name(".profiles")]));
    let (document, said) = spoilt(&|value| value["folders"][full]["profiles"][0] = json!(7));
    assert_eq!((document.all().count(), said), (count - 1, vec![name(".profiles[0]")]));
    let (document, said) = spoilt(&|value| value["profiles"] = json!({}));
    assert_eq!((document.all().count(), said), (3, vec!["profiles".to_owned()]));
    let (document, said) = spoilt(&|value| value["folders"] = json!(1));
    assert_eq!((document.all().count(), said), (2, vec!["folders".to_owned()]));
    let (document, said) = spoilt(&|value| {
        let one = &mut value["folders"][full]["profiles"][0];
        one.as_object_mut().map(|one| one.remove("endpoint"));
        one["name"] = Value::Null;
    });
    assert_eq!(document.all().count(), count - 1);
    assert_eq!(said, [format!("folders[{full}].profiles[0] in Some(\"Plants\")")]);
    // Two of one id stay two.
    let (document, said) = spoilt(&|value| value["profiles"][1]["id"] = value["profiles"][0]["id"].clone());
    assert_eq!((document.all().count(), said), (count, vec!["id".to_owned()]));
    assert_ne!(document.profiles[0].id, document.profiles[1].id);
    for (bad, used) in [("a\u{0}b".to_owned(), "ab".to_owned()), ("é".repeat(3000), "é".repeat(1024))] {
        let (document, said) = spoilt(&|value| value["profiles"][0]["name"] = json!(bad));
        assert_eq!((document.profiles[0].name.as_str(), said), (used.as_str(), vec!["name".to_owned()]));
    }
    // Without a name it is called after its host, as everywhere.
    let (document, _) = spoilt(&|value| value["profiles"][0]["name"] = json!([]));
    assert_eq!(document.profiles[0].name, "t");
}

#[test]
fn only_what_is_no_export_or_a_later_one_is_refused_whole() {
    let (_dir, library) = filled();
    let good = library.export(None).expect("written").text;
    let reason = |text: &str| {
        let error = Document::read(text, &mut |_| {}).expect_err("refused");
        assert_eq!(error.code, ErrorCode::InvalidInput, "{error}");
        (error.details["reason"].as_str().expect("a reason").to_owned(), error)
    };
    for text in ["", "hello", "[]", "{}", "null", r#"{"format":"other","version":1}"#] {
        assert_eq!(reason(text).0, "not_an_export", "{text}");
    }
    for version in ["2", "0", "-1", "1.5", "\"1\"", "null"] {
        let text = good.replacen("\"version\": 1", &format!("\"version\": {version}"), 1);
        assert_eq!(reason(&text).0, "unknown_version", "{version}");
    }
    assert_eq!(reason(&good.replacen("\"version\": 1", "\"version\": 9", 1)).1.details["version"], 9);
    let (half, error) = reason(&good[..good.len() / 2]);
    assert_eq!(half, "damaged");
    assert!(error.details["place"].as_str().expect("a place").starts_with("line "), "{error}");
    // An editor's mark at the beginning, and other line ends, do no harm.
    assert_eq!(read(&format!("\u{feff}{}", good.replace('\n', "\r\n"))), read(&good));
}
