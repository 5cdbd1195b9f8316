use bytes::Bytes;
use proptest::prelude::*;

use super::*;
use crate::profile::UserProperty;

fn messages() -> impl Strategy<Value = Message> {
    let payload = prop_oneof![
        proptest::collection::vec(any::<u8>(), 0..60),
        ".{0,40}".prop_map(String::into_bytes),
        Just(vec![0xe2, 0x82]),
    ];
    let properties =
        (proptest::option::of(".{0,9}"), ".{0,5}", ".{0,5}", proptest::option::of(any::<bool>()));
    let flags = (0_u8..3, any::<bool>(), any::<bool>(), any::<bool>());
    let head = (-60_000_000_000_000_000..250_000_000_000_000_000_i64, "[^#+\u{0}]{1,20}", flags);
    (head, payload, properties).prop_map(|((time, topic, (qos, retain, dup, out)), payload, properties)| {
        let (content_type, name, value, payload_format_utf8) = properties;
        let user_properties = if name.is_empty() { vec![] } else { vec![UserProperty { name, value }] };
        Message {
            time,
            direction: if out { Direction::Out } else { Direction::In },
            topic,
            payload: payload.into(),
            qos: Qos::try_from(qos).expect("a QoS"),
            retain,
            dup,
            properties: MessageProperties {
                content_type,
                payload_format_utf8,
                user_properties,
                ..MessageProperties::default()
            }
            .of_message(),
        }
    })
}

fn read(bytes: &[u8]) -> Vec<lines::Read> {
    let mut lines = Lines::new(bytes, 4_096);
    std::iter::from_fn(|| lines.next().expect("memory")).collect()
}

/// Written with its payload in parts of this size.
fn in_parts(format: RecordingFormat, message: &Message, size: usize) -> Vec<u8> {
    let head = Head {
        time: message.time,
        direction: message.direction,
        topic: &message.topic,
        qos: message.qos,
        retain: message.retain,
        dup: message.dup,
        properties: message.properties(),
    };
    let (mut check, mut out) = (TextCheck::default(), Vec::new());
    message.payload.chunks(size).for_each(|part| _ = check.part(part));
    assert_eq!(check.is_text(), std::str::from_utf8(&message.payload).is_ok());
    let mut row = format.row(&head, check.is_text(), &mut out);
    message.payload.chunks(size).for_each(|part| row.part(part, &mut out));
    row.end(&head, &mut out);
    out
}

proptest! {
    #[test]
    fn a_line_is_read_as_it_was_written(message in messages()) {
        let line = line(&message);
        prop_assert!(!line.contains(&b'\n'));
        prop_assert_eq!(read(&line), vec![(1, Ok(message))]);
    }

    #[test]
    fn parts_are_written_like_the_whole(message in messages(), size in 1_usize..7) {
        let mut whole = line(&message);
        whole.push(b'\n');
        prop_assert_eq!(in_parts(RecordingFormat::Ndjson, &message, size), whole);
        let csv = in_parts(RecordingFormat::Csv, &message, size);
        prop_assert_eq!(&csv, &in_parts(RecordingFormat::Csv, &message, 1_000));
        prop_assert!(csv.ends_with(b"\r\n"));
        // Quotes come in pairs, so that a field ends where it ends.
        prop_assert_eq!(csv.iter().filter(|byte| **byte == b'"').count() % 2, 0);
    }

    #[test]
    fn no_line_breaks_it(line in proptest::collection::vec(any::<u8>(), 0..80)) {
        read(&line);
    }
}

#[test]
fn a_line_is_what_helio_prints() {
    let message = Message {
        time: 951_827_696_000_001,
        direction: Direction::In,
        topic: "a/\"b\"".into(),
        payload: Bytes::from_static("{\"t\":21.5}\n\u{7}é".as_bytes()),
        qos: Qos::AtLeastOnce,
        retain: true,
        dup: false,
        properties: MessageProperties { content_type: Some("x".into()), ..Default::default() }.of_message(),
    };
    let printed = r#"{"time":"2000-02-29T12:34:56.000001Z","topic":"a/\"b\"","qos":1,"retain":true,"dup":false,"payload":"{\"t\":21.5}\n\u0007é","encoding":"utf8","properties":{"content_type":"x","subscription_ids":[],"user_properties":[]}}"#;
    assert_eq!(String::from_utf8(line(&message)).expect("text"), printed);
    let sent = Message { direction: Direction::Out, ..message.clone() };
    assert!(line(&sent).ends_with(b"\"user_properties\":[]},\"direction\":\"out\"}"));
    let csv = "2000-02-29T12:34:56.000001Z,in,\"a/\"\"b\"\"\",1,true,false,utf8,\"{\"\"t\"\":21.5}\n\u{7}é\",\
               \"{\"\"content_type\"\":\"\"x\"\",\"\"subscription_ids\"\":[],\"\"user_properties\"\":[]}\"\r\n";
    assert_eq!(String::from_utf8(in_parts(RecordingFormat::Csv, &message, 5)).expect("text"), csv);
    let bytes = Message { payload: Bytes::from_static(b"=1\xff"), properties: None, ..message };
    let csv = String::from_utf8(in_parts(RecordingFormat::Csv, &bytes, 1)).expect("text");
    assert!(csv.ends_with(",base64,\"PTH/\",\"\"\r\n"), "{csv}");
}

#[test]
fn lines_that_are_none_are_named() {
    let time = "\"time\":\"2000-01-01T00:00:00Z\"";
    let file = format!(
        "{{{time},\"topic\":\"a\",\"payload\":\"x\"}}\n\nno\n{{{time},\"topic\":\"a/#\",\"payload\":\"\"}}\r\n\
         {{{time},\"topic\":\"a\",\"payload\":\"?\",\"encoding\":\"base64\"}}\n{}\n{{{time},\"topic\":\"b\",\"payload\":\"y\"}}",
        "x".repeat(5_000)
    );
    let read = read(file.as_bytes());
    let said: Vec<_> = read.iter().map(|(line, message)| (*line, message.is_ok())).collect();
    assert_eq!(said, [(1, true), (3, false), (4, false), (5, false), (6, false), (7, true)]);
    let (_, Ok(first)) = &read[0] else { unreachable!("{read:?}") };
    assert_eq!((first.qos, first.direction, &first.payload[..]), (Qos::AtMostOnce, Direction::In, &b"x"[..]));
    let words: Vec<_> = read.iter().filter_map(|(_, message)| message.as_ref().err()).collect();
    for (word, said) in ["expected", "topic is not valid", "not base64", "longer than"].iter().zip(words) {
        assert!(said.contains(word), "{said}");
    }
}
