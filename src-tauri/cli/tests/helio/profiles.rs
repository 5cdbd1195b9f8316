//! Saved connections: listed, shown, handed on, and used by name.

use serde_json::{Value, json};

use crate::brokers::{MosquittoOptions, PASSWORD, USER};
use crate::command::{Bench, Helio, text};

fn id(number: u32) -> String {
    format!("{number:08}-0000-4000-8000-000000000000")
}

fn profile(number: u32, name: &str, port: u16, settings: &Value) -> Value {
    let endpoint = json!({ "host": "localhost", "port": port.to_string() });
    json!({ "id": id(number), "name": name, "endpoint": endpoint, "settings": settings })
}

fn export(profiles: &[Value], folders: &Value) -> Vec<u8> {
    let whole = json!({
        "format": "heliograph-connections", "version": 1, "profiles": profiles, "folders": folders,
    });
    whole.to_string().into_bytes()
}

fn folder(number: u32, name: &str, profiles: &[Value]) -> Value {
    json!({ "id": id(number), "name": name, "collapsed": true, "profiles": profiles })
}

#[test]
fn what_is_exported_can_be_imported_elsewhere_without_a_difference() {
    let (bench, other) = (Bench::new(), Bench::new());
    let folders = json!([
        folder(10, "B", &[profile(2, "boiler", 2, &json!({})), profile(3, "pump", 3, &json!({}))]),
        folder(
            11,
            "A",
            &[profile(4, "boiler", 4, &json!({ "login": { "enabled": true, "username": "me" } }))]
        ),
        folder(12, "空", &[]),
    ]);
    let text = export(&[profile(1, "top", 1, &json!({}))], &folders);
    let added = bench.run_with_input(&["profiles", "import", "-", "--json"], &text).assert_status(0).json();
    assert_eq!(added.len(), 4);
    assert_eq!(added[3]["folder"], "A");
    assert_eq!(added[3]["renamed_from"], Value::Null);

    let file = bench.path("all.json");
    bench.run(&["profiles", "export", "-o", &file]).assert_status(0).assert_says("4 connections");
    bench.run(&["profiles", "export", "-o", &file]).assert_status(2).assert_says("--force");
    bench.run(&["profiles", "export", "-o", &file, "--force"]).assert_status(0);
    let ended = other.run(&["profiles", "import", &file]).assert_status(0);
    assert!(ended.out.starts_with("Added 4 connections and 3 folders\n"), "{}", ended.out);
    let all = other.run(&["profiles", "export"]).assert_status(0).out;
    assert_eq!(all, std::fs::read_to_string(&file).expect("the file"));
    let lists = [&bench, &other].map(|bench| bench.run(&["profiles", "list"]).assert_status(0).out);
    assert_eq!(lists[0], lists[1]);

    // One connection, with its folder; it comes beside the one that is there.
    let one = bench.run(&["profiles", "export", "A/boiler"]).assert_status(0).out;
    assert!(!one.contains("pump"), "{one}");
    let ended = bench.run_with_input(&["profiles", "import", "-"], one.as_bytes()).assert_status(0);
    assert!(
        ended.out.starts_with("Added 1 connection\n") && ended.out.contains("was boiler"),
        "{}",
        ended.out
    );
    let listed = bench.run(&["profiles", "list", "--json"]).assert_status(0).json();
    let names: Vec<_> = listed.iter().map(|line| line["name"].as_str().expect("a name")).collect();
    assert_eq!(names, ["top", "boiler", "pump", "boiler", "boiler 2"]);
    assert_eq!(
        listed[3],
        json!({
            "id": id(4), "name": "boiler", "folder": "A", "url": "mqtt://localhost:4", "scheme": "mqtt",
            "login": true, "client_certificate": false,
        })
    );

    bench.run(&["profiles", "import", &bench.path("none")]).assert_status(2).assert_says("none");
    bench.run_with_input(&["profiles", "import", "-"], b"{}").assert_status(2).assert_says("not an export");
    let newer = all.replacen("\"version\": 1", "\"version\": 2", 1);
    let ended = bench.run_with_input(&["profiles", "import", "-"], newer.as_bytes());
    ended.assert_status(2).assert_says("version 2");
    let ended = bench.run_with_input(&["profiles", "import", "-"], &all.as_bytes()[..all.len() / 2]);
    ended.assert_status(2).assert_says("damaged");
    assert_eq!(bench.run(&["profiles", "list", "--json"]).json().len(), 5, "nothing was added");
}

#[test]
fn a_deleted_connection_is_gone_and_can_be_restored() {
    let bench = Bench::new();
    bench.run(&["profiles", "list"]).assert_status(0).assert_says("no saved connections");
    let text = export(&[profile(1, "one", 1, &json!({})), profile(2, "two", 2, &json!({}))], &json!([]));
    bench.run_with_input(&["profiles", "import", "-"], &text).assert_status(0);
    bench.run(&["profiles", "delete", "one", "three"]).assert_status(2).assert_says("three");
    let ended = bench.run(&["profiles", "delete", "one", "one", "@two"]).assert_status(0);
    assert_eq!(ended.out.lines().count(), 2, "{}", ended.out);
    assert_eq!(bench.run(&["profiles", "list", "--json"]).assert_status(0).out, "");
    bench.run(&["profiles", "show", "one"]).assert_status(2);
    bench.run(&["profiles", "restore", &id(1)]).assert_status(0);
    let shown = bench.run(&["profiles", "show", "one", "--json"]).assert_status(0).json();
    assert_eq!((&shown[0]["id"], &shown[0]["url"]), (&json!(id(1)), &json!("mqtt://localhost:1")));
    bench.run(&["profiles", "restore", &id(9)]).assert_status(2);
}

#[test]
fn a_saved_connection_is_used_by_its_name() {
    let bench = Bench::new();
    let options = MosquittoOptions { password: true, require_certificate: true, ..Default::default() };
    let broker = bench.mosquitto(&options);
    let settings = json!({
        "login": { "enabled": true, "username": USER },
        "client_certificate": {
            "enabled": true, "cert_file": text(&bench.pki.client.cert), "key_file": text(&bench.pki.client.key),
        },
        "trust": { "mode": "ca_only", "ca_files": [text(&bench.pki.ca)] },
        "session": { "client_id": "saved-client", "version": "3.1.1" },
        "subscriptions": [
            { "filter": "saved/#", "enabled": true, "qos": 1 }, { "filter": "off", "enabled": false },
        ],
    });
    let mut wss = profile(1, "Plant", broker.wss, &settings);
    wss["endpoint"] =
        json!({ "websocket": true, "tls": true, "host": "localhost", "port": broker.wss.to_string() });
    let plain = profile(2, "plain", broker.mqtt, &json!({ "login": { "enabled": true, "username": USER } }));
    let text = export(&[wss, plain.clone()], &json!([folder(9, "X", &[plain])]));
    bench.run_with_input(&["profiles", "import", "-"], &text).assert_status(0);

    let trace = bench.run(&["trace", "@plant", "--json", "-P", PASSWORD]).assert_status(0).json();
    let of = |name: &str| trace.iter().find(|line| line["stage"] == name).expect("a stage")["detail"].clone();
    assert_eq!(trace.last().expect("a verdict")["url"], format!("wss://localhost:{}/mqtt", broker.wss));
    assert_eq!((&of("mqtt")["version"], &of("mqtt")["client_id"]), (&json!("3.1.1"), &json!("saved-client")));
    assert!(of("tls")["client_cert_sent"]["subject"].as_str().is_some_and(|name| name.contains("planta")));

    // Its own subscriptions, unless others are named; what is typed replaces what is saved.
    let mut command = bench.command(&["sub", "@Plant", "-v", "-C", "2", "--debug"]);
    let mut sub = Helio::start(command.env("HELIO_PASSWORD", PASSWORD));
    assert!(sub.says("→ SUBSCRIBE").contains("saved/#"));
    sub.says("SUBACK");
    let port = broker.mqtts.to_string();
    let base = ["pub", "@Plant", "-P", PASSWORD, "-i", "other", "-q", "1"];
    let direct = [&base[..], &["-t", "saved/a", "-m", "wss"]].concat();
    bench.run(&direct).assert_status(0);
    let mqtts =
        [&base[..], &["-t", "saved/b", "-m", "mqtts", "-l", "mqtts", "-p", &port, "-V", "5"]].concat();
    bench.run(&mqtts).assert_status(0);
    assert_eq!(sub.end().assert_status(0).out, "saved/a wss\nsaved/b mqtts\n");
    let none = ["sub", "@Plant", "-t", "mine", "-P", PASSWORD, "--debug", "-C", "1"];
    let mut sub = bench.helio(&none);
    assert!(sub.says("→ SUBSCRIBE").contains("mine"));
    drop(sub);

    bench
        .run(&["sub", &format!("@{}", id(2)), "-P", PASSWORD])
        .assert_status(2)
        .assert_says("no subscriptions");
    bench.run(&["trace", "@nobody"]).assert_status(2).assert_says("Plant");
    bench.run(&["trace", "@X/plain", "-P", PASSWORD]).assert_status(0);
    bench.run(&["trace", "@plain"]).assert_status(2).assert_says("X/plain");
    assert_eq!(
        bench.run(&["trace", "@X/plain", "--json"]).assert_status(3).json().last().expect("a verdict")["stage"],
        "mqtt"
    );
}
