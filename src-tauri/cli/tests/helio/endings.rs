//! How commands end: exit status, signals, a lost broker, a reader that goes away.

use crate::brokers::{Mosquitto, MosquittoOptions, PASSWORD, USER, free_port};
use crate::command::{Bench, Helio, text};

fn plain(bench: &Bench) -> (Mosquitto, String) {
    let broker = bench.mosquitto(&MosquittoOptions::default());
    let url = format!("mqtt://localhost:{}", broker.mqtt);
    (broker, url)
}

/// Runs `trace --json` and `pub`: the same status, and the code in the verdict.
fn assert_fails(bench: &Bench, words: &[&str], status: i32, code: &str) {
    let traced = bench.run(&[&["trace", "--json"], words].concat()).assert_status(status);
    let verdict = traced.json().pop().expect("a verdict");
    assert_eq!((&verdict["outcome"], &verdict["code"]), (&"failed".into(), &code.into()), "{verdict}");
    for name in ["stage", "message", "cause", "seen_during", "url"] {
        assert!(verdict[name].is_string(), "{name} in {verdict}");
    }
    assert!(verdict["evidence"].is_object() && verdict["fixes"].is_array() && verdict["micros"].is_u64());
    let told = bench.run(&[&["pub", "-t", "a", "-m", "x"], words].concat()).assert_status(status);
    assert!(told.err.starts_with("error: ") && told.out.is_empty(), "{told:#?}");
}

#[test]
fn failures_have_their_exit_status_and_their_code() {
    let bench = Bench::new();
    let broker = bench.mosquitto(&MosquittoOptions { password: true, ..Default::default() });
    let (mqtt, mqtts) =
        (format!("mqtt://localhost:{}", broker.mqtt), format!("mqtts://localhost:{}", broker.mqtts));
    let (wss, closed) =
        (format!("wss://localhost:{}", broker.wss), format!("mqtt://localhost:{}", free_port()));
    let foreign = text(&bench.pki.foreign_ca);
    let ca = text(&bench.pki.ca);

    for version in ["5", "3.1.1"] {
        let wrong = [mqtt.as_str(), "-V", version, "-u", USER, "-P", "wrong"];
        // mosquitto answers 0x87 in both versions, where 3.1.1 has 5.
        assert_fails(&bench, &wrong, 3, "not_authorized");
    }
    for url in [&mqtts, &wss] {
        let wrong = [url.as_str(), "--ca", foreign, "--ca-only", "-u", USER, "-P", PASSWORD];
        assert_fails(&bench, &wrong, 3, "server_cert_unknown_issuer");
    }
    assert_fails(&bench, &[&closed], 3, "connection_refused");
    // A computer without any root still shows what the server presents.
    let mut rootless = bench.command(&["trace", "--json", &mqtts]);
    let rootless = rootless.env("SSL_CERT_FILE", "/dev/null").env("SSL_CERT_DIR", "/nonexistent");
    let told = String::from_utf8(rootless.output().expect("helio").stdout).expect("text");
    let verdict: serde_json::Value =
        serde_json::from_str(told.lines().last().expect("a verdict")).expect("JSON");
    assert_eq!(verdict["code"], "server_cert_unknown_issuer", "{verdict}");
    assert!(
        verdict["evidence"]["sha256"].is_string() && verdict["evidence"]["system_roots"] == 0,
        "{verdict}"
    );
    let missing = [mqtts.as_str(), "--ca", ca, "--cert", "/nonexistent.pem"];
    assert_fails(&bench, &missing, 2, "file_not_found");
    let client = &bench.pki.client;
    // Whatever it is called and holds: it was said to be PKCS#12.
    let text_file = bench.path("me.bundle");
    std::fs::write(&text_file, "Dear customer, please find attached.\n").expect("a file");
    for file in [text(&client.cert), text(&client.key), &text_file] {
        assert_fails(&bench, &[&mqtts, "--ca", ca, "--p12", file], 2, "not_a_pkcs12");
    }
    let swapped = [mqtts.as_str(), "--ca", ca, "--cert", text(&client.key), "--key", text(&client.cert)];
    assert_fails(&bench, &swapped, 2, "files_swapped");
}

#[test]
fn wrong_usage_is_told_before_anything_is_dialled() {
    let bench = Bench::new();
    for (words, said) in [
        (&["sub", "mqtt://localhost"][..], "-t"),
        (&["sub", "mqtt://localhost", "-t", "a/#/b"], "#"),
        (&["sub", "ftp://localhost", "-t", "a"], "ftp"),
        (&["pub", "mqtt://localhost/path", "-t", "a", "-m", "x"], "no path"),
        (&["pub", "mqtt://localhost", "-t", "a", "-f", "/nonexistent"], "/nonexistent"),
        (&["trace", "mqtt://localhost:99999"], "99999"),
        (&["trace", "mqtt://localhost", "--proxy", "ftp://x"], "--proxy"),
        (&["trace", "mqtt://localhost", "-V", "3.1"], "3.1.1"),
        (&["trace", "mqtt://localhost", "--ca-only"], "--ca"),
        (&["trace", "wss://localhost", "--ws-header", "nonsense"], "Name: value"),
        (&["nonsense"], "nonsense"),
    ] {
        bench.run(words).assert_status(2).assert_says(said);
    }
    let (_broker, url) = plain(&bench);
    bench.run(&["pub", &url, "-t", "a/#", "-m", "x"]).assert_status(2).assert_says("+ or #");
    let warned = bench.run(&["pub", &url, "-t", "a", "-m", "x", "-V", "3.1.1", "--content-type", "t"]);
    warned.assert_status(0).assert_says("--content-type");
}

#[test]
fn what_the_broker_refuses_ends_with_4() {
    let bench = Bench::new();
    let acl = bench.path("acl");
    std::fs::write(&acl, "topic read free\n").expect("a file");
    // Without a bound on its queue mosquitto 2.0.11 closes the connection after a refusal.
    let extra = format!("acl_file {acl}\nmax_queued_messages 1000\n");
    let broker = bench.mosquitto(&MosquittoOptions { extra, ..Default::default() });
    let url = format!("mqtt://localhost:{}", broker.mqtt);
    for qos in ["1", "2"] {
        let words = ["pub", &url, "-t", "closed", "-m", "x", "-q", qos];
        bench.run(&words).assert_status(4).assert_says("Not authorized");
    }
    let lines = ["pub", &url, "-t", "closed", "-q", "1", "--stdin-lines", "--json"];
    let ended = bench.run_with_input(&lines, b"a\nb\n").assert_status(4);
    assert_eq!(ended.json().iter().map(|became| became["code"].clone()).collect::<Vec<_>>(), [135, 135]);
}

#[test]
fn signals_end_with_a_disconnect() {
    let bench = Bench::new();
    let (mut broker, url) = plain(&bench);
    for (signal, id, status) in [("INT", "sub-int", 0), ("TERM", "sub-term", 0)] {
        let mut sub = bench.helio(&["sub", &url, "-t", "a", "-i", id, "--debug"]);
        sub.says("SUBACK");
        sub.signal(signal);
        sub.end().assert_status(status).assert_says("→ DISCONNECT");
        broker.process.wait_for_line(&format!("Client {id} disconnected.")).expect("politely");
    }
    for (signal, id, status) in [("INT", "pub-int", 130), ("TERM", "pub-term", 143)] {
        let mut command = bench.command(&["pub", &url, "-t", "a", "--stdin-lines", "-i", id, "--debug"]);
        let mut publisher = Helio::start(command.stdin(std::process::Stdio::piped()));
        let input = publisher.stdin();
        publisher.says("CONNACK");
        publisher.signal(signal);
        publisher.end().assert_status(status).assert_says("→ DISCONNECT");
        drop(input);
        broker.process.wait_for_line(&format!("Client {id} disconnected.")).expect("politely");
    }
    // An attempt that hangs is given up too, and so is a wait.
    let silent = std::net::TcpListener::bind("127.0.0.1:0").expect("a port");
    let url = format!("mqtt://127.0.0.1:{}", silent.local_addr().expect("an address").port());
    let mut sub = bench.helio(&["sub", &url, "-t", "a", "--debug"]);
    sub.says("CONNECT");
    sub.signal("INT");
    sub.end().assert_status(0);
    let mut trace = bench.helio(&["trace", &url, "--debug"]);
    trace.says("CONNECT");
    trace.signal("INT");
    trace.end().assert_status(130);
    let closed = format!("mqtt://localhost:{}", free_port());
    let mut sub = bench.helio(&["sub", &closed, "-t", "a", "--reconnect"]);
    sub.says("Trying again");
    sub.signal("TERM");
    sub.end().assert_status(0);
}

#[test]
fn an_interrupted_trace_or_probe_still_has_its_last_line() {
    let bench = Bench::new();
    for (signal, status) in [("INT", 130), ("TERM", 143)] {
        let silent = std::net::TcpListener::bind("127.0.0.1:0").expect("a port");
        let port = silent.local_addr().expect("an address").port();
        let url = format!("mqtt://127.0.0.1:{port}");
        let mut trace = bench.helio(&["trace", "--json", "--debug", &url]);
        trace.says("CONNECT");
        trace.signal(signal);
        let mut lines = trace.end().assert_status(status).json();
        let verdict = lines.pop().expect("a verdict");
        let told = ["outcome", "code", "stage", "url"].map(|name| verdict[name].as_str().unwrap_or_default());
        assert_eq!(told, ["failed", "cancelled", "mqtt", &url], "{verdict}");
        let connect = lines.iter().find(|line| line["stage"] == "mqtt").expect("the stage under way");
        assert_eq!(connect["outcome"], "failed", "{connect}");

        let words = ["probe", "--json", "--connect-timeout", "60", &format!("127.0.0.1:{port}")];
        let probe = bench.helio(&words);
        // Held, since what is dropped is closed.
        let _of_trace = silent.accept().expect("the trace");
        let _of_probe = silent.accept().expect("the probe");
        probe.signal(signal);
        let report = probe.end().assert_status(status).json().pop().expect("a report");
        assert_eq!(report["cancelled"], true, "{report}");
        assert_eq!(report["attempts"], serde_json::json!([]), "nobody was silent yet: {report}");
    }
    let (_broker, url) = plain(&bench);
    let address = url.trim_start_matches("mqtt://");
    let report = bench.run(&["probe", "--json", address]).assert_status(0).json().pop().expect("a report");
    assert_eq!(report["cancelled"], false, "{report}");
}

#[test]
fn a_broker_that_comes_back_is_found_again() {
    let bench = Bench::new();
    let (mut broker, url) = plain(&bench);
    let mut sub = bench.helio(&["sub", &url, "-t", "back", "-C", "2", "--reconnect", "--debug"]);
    let without = bench.helio(&["sub", &url, "-t", "back", "--debug"]);
    sub.says("SUBACK");
    let mut without = without;
    without.says("SUBACK");
    bench.run(&["pub", &url, "-t", "back", "-m", "before"]).assert_status(0);
    assert_eq!((sub.line(), without.line()), ("before".into(), "before".into()));
    broker.restart();
    without.end().assert_status(3).assert_says("error: ");
    sub.says("Trying again");
    sub.says("SUBACK");
    bench.run(&["pub", &url, "-t", "back", "-m", "after", "-q", "1"]).assert_status(0);
    assert_eq!(sub.line(), "after");
    sub.end().assert_status(0).assert_says("Connected again");

    // One that is not there yet is waited for as well, but not more often than asked.
    broker.stop();
    let mut early = bench.helio(&["pub", &url, "-t", "back", "-m", "x", "-q", "1", "--reconnect"]);
    early.says("Trying again");
    broker.restart();
    early.end().assert_status(0);
    broker.stop();
    let ended = bench.run(&["pub", &url, "-t", "back", "-m", "x", "--max-reconnects", "1"]).assert_status(3);
    assert_eq!(ended.err.matches("Trying again").count(), 1, "{}", ended.err);
}

/// As after the sleep of a computer: the broker has given the connection up while nobody here could notice.
#[cfg(unix)]
#[test]
fn a_process_that_stood_still_finds_its_connection_gone_and_comes_back() {
    let bench = Bench::new();
    let (mut broker, url) = plain(&bench);
    for version in ["5", "3.1.1"] {
        let id = format!("sleeper-{version}");
        let words = ["sub", &url, "-t", "still", "-i", &id, "-k", "1", "-C", "2", "--reconnect", "--debug"];
        let mut sub = bench.helio(&[&words[..], &["-V", version]].concat());
        sub.says("SUBACK");
        bench.run(&["pub", &url, "-t", "still", "-m", "before"]).assert_status(0);
        assert_eq!(sub.line(), "before");
        sub.signal("STOP");
        broker.process.wait_for_line(&format!("Client {id} has exceeded timeout")).expect("given up");
        sub.signal("CONT");
        let told = sub.says("Trying again");
        assert!(told.contains("heard nothing from this client in time"), "{told}");
        sub.says("SUBACK");
        bench.run(&["pub", &url, "-t", "still", "-m", "after", "-q", "1"]).assert_status(0);
        assert_eq!(sub.line(), "after");
        sub.end().assert_status(0).assert_says("Connected again");
    }
}

#[test]
fn the_last_will_is_delivered_when_helio_is_killed_and_not_when_it_ends() {
    let bench = Bench::new();
    let (_broker, url) = plain(&bench);
    let mut watcher = bench.helio(&["sub", &url, "-t", "will/#", "-q", "2", "-C", "1", "--json", "--debug"]);
    watcher.says("SUBACK");
    for end in ["INT", "KILL"] {
        let topic = format!("will/{end}");
        let mut with_will = bench.helio(&[
            "sub",
            &url,
            "-t",
            "x",
            "--debug",
            "--will-topic",
            &topic,
            "--will-message",
            "gone",
            "--will-qos",
            "1",
            "--will-retain",
            "--will-content-type",
            "text/plain",
            "--will-user-property",
            "why=test",
            "--will-response-topic",
            "answers",
            "--will-correlation-data",
            "id",
            "--will-payload-format-utf8",
            "--will-message-expiry",
            "60",
        ]);
        with_will.says("SUBACK");
        with_will.signal(end);
        with_will.end();
    }
    let message = watcher.end().assert_status(0).json().remove(0);
    assert_eq!((&message["topic"], &message["payload"]), (&"will/KILL".into(), &"gone".into()));
    assert_eq!(message["qos"], 1);
    let properties = &message["properties"];
    assert_eq!(properties["content_type"], "text/plain");
    assert_eq!(properties["response_topic"], "answers");
    assert_eq!(properties["correlation_data_hex"], "6964");
    assert_eq!(properties["payload_format_utf8"], true);
    assert_eq!(properties["user_properties"][0]["value"], "test");
    let kept = bench.run(&["sub", &url, "-t", "will/#", "-C", "1", "--json"]).assert_status(0).json();
    assert_eq!(kept[0]["retain"], true);
}

#[test]
fn a_reader_that_goes_away_is_no_failure() {
    let bench = Bench::new();
    let (mut broker, url) = plain(&bench);
    let mut sub = bench.helio(&["sub", &url, "-t", "head", "-i", "head", "--debug"]);
    sub.says("SUBACK");
    bench.run(&["pub", &url, "-t", "head", "-m", "first"]).assert_status(0);
    assert_eq!(sub.line(), "first");
    sub.stop_reading();
    // The reading thread lets go of the pipe at the second line, helio notices at the third.
    let mut publisher = {
        let mut command = bench.command(&["pub", &url, "-t", "head", "--stdin-lines"]);
        Helio::start(command.stdin(std::process::Stdio::piped()))
    };
    let mut input = publisher.stdin();
    let feeding = std::thread::spawn(move || {
        use std::io::Write;
        while writeln!(input, "more").is_ok() {}
    });
    let ended = sub.end().assert_status(0);
    assert!(!ended.err.contains("error") && !ended.err.contains("panicked"), "{}", ended.err);
    broker.process.wait_for_line("Client head disconnected.").expect("politely");
    drop(publisher);
    feeding.join().expect("the feeder ends with its reader");
}

#[cfg(target_os = "linux")]
#[test]
fn output_that_cannot_be_written_is_told() {
    let bench = Bench::new();
    let (_broker, url) = plain(&bench);
    for words in [&["trace", &url][..], &["man"], &["completions", "bash"], &["profiles", "export"]] {
        let full = std::fs::File::create("/dev/full").expect("/dev/full");
        let output = bench.command(words).stdout(full).output().expect("helio");
        let said = String::from_utf8_lossy(&output.stderr);
        assert_eq!(output.status.code(), Some(1), "{said}");
        assert!(said.contains("Standard output") && !said.contains("panicked"), "{said}");
    }
}
