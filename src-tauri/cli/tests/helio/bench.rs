//! `helio bench` against a real mosquitto: counts that must be exact, whatever the rates are.

use crate::brokers::MosquittoOptions;
use crate::command::Bench;

#[test]
fn what_is_published_is_received_and_counted_exactly() {
    let bench = Bench::new();
    let broker = bench.mosquitto(&MosquittoOptions::default());
    let url = format!("mqtt://127.0.0.1:{}", broker.mqtt);
    for qos in ["0", "1", "2"] {
        let words = ["bench", "pub", &url, "-q", qos, "-C", "3001", "--topics", "7", "--clients", "2"];
        let told = bench.run(&[&words[..], &["--receive", "--json"]].concat()).assert_status(0).json();
        let (told, received) = (&told[0], &told[0]["received"]);
        assert_eq!(
            (&told["messages"], &told["unanswered"], &told["refused"]),
            (&3001.into(), &0.into(), &0.into())
        );
        assert_eq!(told["latency_us"]["count"], 3001);
        assert_eq!(received["messages"], 3001, "{received}");
        let loss = &received["loss"];
        assert_eq!(
            (&loss["expected"], &loss["lost"], &loss["publishers"]),
            (&3001.into(), &0.into(), &2.into())
        );
        assert!(received["latency_us"]["p99"].as_u64() >= received["latency_us"]["p50"].as_u64());
    }
}

#[test]
fn two_subscribers_count_to_the_end_and_an_interrupt_prints_what_was_measured() {
    let bench = Bench::new();
    let broker = bench.mosquitto(&MosquittoOptions::default());
    let url = format!("mqtt://127.0.0.1:{}", broker.mqtt);
    let words = ["bench", "sub", &url, "-t", "helio/bench", "-q", "1", "--clients", "2"];
    let mut counting = bench.helio(&[&words[..], &["-C", "1000", "--json"]].concat());
    let mut open_ended = bench.helio(&words);
    counting.says("0 received");
    open_ended.says("0 received");
    bench.run(&["bench", "pub", &url, "-q", "1", "-C", "500", "--rate", "2000"]).assert_status(0);
    let told = counting.end().assert_status(0).json();
    assert_eq!((&told[0]["messages"], &told[0]["bytes"]), (&1000.into(), &64_000.into()));
    assert_eq!((&told[0]["loss"]["expected"], &told[0]["loss"]["lost"]), (&1000.into(), &0.into()));
    open_ended.says("1,000 received");
    open_ended.signal("INT");
    let ended = open_ended.end().assert_status(0);
    assert!(ended.out.starts_with("Received     1,000 messages, 0.1 MB, in "), "{ended:?}");
    assert!(
        ended.out.contains("Lost         0 of 1,000 numbered messages of 2 publishers; 0 came twice"),
        "{ended:?}"
    );

    let mut short = bench.helio(&["bench", "sub", &url, "-t", "a", "-C", "1"]);
    short.says("0 received");
    short.signal("INT");
    short.end().assert_status(130);
}

#[test]
fn connections_are_counted_and_failures_named() {
    let bench = Bench::new();
    let broker = bench.mosquitto(&MosquittoOptions::default());
    let url = format!("mqtt://127.0.0.1:{}", broker.mqtt);
    let words = ["bench", "conn", &url, "--count", "40", "--rate", "400", "--json"];
    let told = bench.run(&words).assert_status(0).json();
    assert_eq!(
        (&told[0]["connected"], &told[0]["failed"], &told[0]["lost"]),
        (&40.into(), &0.into(), &0.into())
    );
    assert_eq!(told[0]["connack_us"]["count"], 40);

    drop(broker);
    let told = bench.run(&words).assert_status(3).json();
    assert_eq!((&told[0]["connected"], &told[0]["failures"]["connection_refused"]), (&0.into(), &40.into()));
    bench.run(&["bench", "sub", &url, "-t", "a"]).assert_status(3).assert_says("refused the connection");
}
