//! What `helio sub --json` records, `helio replay` publishes again.

use serde_json::json;

use crate::brokers::MosquittoOptions;
use crate::command::Bench;

const LINES: [&str; 3] = [
    r#"{"time":"2026-01-01T00:00:00.000000Z","topic":"a/1","qos":1,"retain":false,"dup":false,"payload":"first","encoding":"utf8","properties":{"content_type":"x/y","subscription_ids":[],"user_properties":[]}}"#,
    r#"{"time":"2026-01-01T00:00:00.200000Z","topic":"a/2","qos":0,"retain":false,"dup":false,"payload":"/wAB","encoding":"base64","properties":{"subscription_ids":[],"user_properties":[]}}"#,
    r#"{"time":"2026-01-01T00:00:00.300000Z","topic":"a/3","qos":2,"retain":false,"dup":false,"payload":"last","encoding":"utf8","properties":{"subscription_ids":[],"user_properties":[]},"direction":"out"}"#,
];

#[test]
fn what_was_recorded_is_published_again_under_a_prefix() {
    let bench = Bench::new();
    let broker = bench.mosquitto(&MosquittoOptions::default());
    let url = format!("mqtt://localhost:{}", broker.mqtt);
    let file = bench.path("recording.ndjson");
    std::fs::write(&file, LINES.join("\n") + "\n").expect("written");
    // Retained by the replay, so that whoever subscribes later still gets them.
    let replay = ["replay", &file, &url, "--topic-prefix", "copy/", "--retain", "true", "--json"];
    let ended = bench.run(&replay).assert_status(0);
    let became = &ended.json()[0];
    assert_eq!(
        (&became["published"], &became["refused"], &became["lost"]),
        (&json!(3), &json!(0), &json!(0))
    );
    assert!(became["seconds"].as_f64().is_some_and(|seconds| seconds >= 0.297), "{became}");

    let sub = ["sub", &url, "-t", "copy/#", "-q", "2", "-C", "3", "--json"];
    let first = bench.run(&sub).assert_status(0);
    let mut got = first.json();
    got.sort_by_key(|message| message["topic"].as_str().map(str::to_owned));
    let got: Vec<_> =
        got.iter().map(|m| json!([m["topic"], m["qos"], m["payload"], m["encoding"]])).collect();
    let wanted = [
        json!(["copy/a/1", 1, "first", "utf8"]),
        json!(["copy/a/2", 0, "/wAB", "base64"]),
        json!(["copy/a/3", 2, "last", "utf8"]),
    ];
    assert_eq!(got, wanted);

    // What sub printed is itself a recording; only what was received is in it.
    let again = bench.path("again.ndjson");
    std::fs::write(&again, &first.out).expect("written");
    for (direction, published) in [("in", 6), ("out", 0)] {
        let words = [
            "replay",
            &again,
            &url,
            "--no-wait",
            "-q",
            "1",
            "--loop",
            "2",
            "--direction",
            direction,
            "--json",
        ];
        let ended = bench.run(&words).assert_status(0);
        assert_eq!(ended.json()[0]["published"], published);
    }
}

#[test]
fn what_is_refused_or_no_message_has_its_status() {
    let bench = Bench::new();
    let acl = bench.path("acl");
    std::fs::write(&acl, "topic readwrite open/#\n").expect("written");
    let extra = format!("acl_file {acl}");
    let broker = bench.mosquitto(&MosquittoOptions { extra, ..MosquittoOptions::default() });
    let url = format!("mqtt://localhost:{}", broker.mqtt);
    let file = bench.path("recording.ndjson");
    std::fs::write(&file, LINES[0]).expect("written");
    let ended =
        bench.run(&["replay", &file, &url]).assert_status(4).assert_says("line 1: The broker refused a/1");
    assert!(ended.out.starts_with("0 messages published"), "{ended:?}");
    bench.run(&["replay", &file, &url, "--topic-prefix", "open/"]).assert_status(0);

    std::fs::write(&file, format!("{}\nnot one\n", LINES[1])).expect("written");
    bench.run(&["replay", &file, &url, "--no-wait"]).assert_status(2).assert_says("line 2:");
    std::fs::write(&file, "not one\n").expect("written");
    bench.run(&["replay", &file, &url]).assert_status(2).assert_says("holds no message");
    bench.run(&["replay", &bench.path("nowhere"), &url]).assert_status(2).assert_says("cannot be read");
    bench.run(&["replay", &file, &url, "--speed", "0"]).assert_status(2).assert_says("from 0.1 to 1000");
    bench.run(&["replay", &file, &url, "--topic-prefix", "#/"]).assert_status(2).assert_says("topic prefix");
}

#[test]
fn ctrl_c_ends_it_and_says_how_far_it_came() {
    let bench = Bench::new();
    let broker = bench.mosquitto(&MosquittoOptions::default());
    let url = format!("mqtt://localhost:{}", broker.mqtt);
    let file = bench.path("recording.ndjson");
    let later = LINES[1].replace("00:00:00.2", "01:00:00.2");
    std::fs::write(&file, [LINES[0], &later].join("\n")).expect("written");
    let mut listener = bench.helio(&["sub", &url, "-t", "a/1", "-q", "1", "--debug"]);
    listener.says("SUBACK");
    let replay = bench.helio(&["replay", &file, &url]);
    assert_eq!(listener.line(), "first");
    replay.signal("INT");
    let ended = replay.end().assert_status(130);
    assert!(ended.out.starts_with("1 message published"), "{ended:?}");
}
