//! The options of the programs whose command lines are read: names, how many values follow, and what they mean. Pure
//! tables; an option that is missing here is told as not understood.

use super::build::Tool;

/// How many values follow.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Arity {
    None,
    One,
    AtMostOne,
    /// At least one, up to the next option.
    Some,
    /// Up to the next option.
    Any,
}

/// What an option means for a connection.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum What {
    Host,
    Port,
    Url,
    Protocol,
    Path,
    Username,
    Password,
    Ca,
    CaFolder,
    SystemRoots,
    Cert,
    Key,
    /// Nothing of the server is verified.
    Insecure,
    /// All but the host name is verified.
    AnyHostName,
    Alpn,
    TlsVersion,
    /// A shared key instead of certificates: TLS, but not with us.
    Psk,
    ClientId,
    ClientIdPrefix,
    KeepAlive,
    KeepSession,
    Version,
    SessionExpiry,
    ReceiveMaximum,
    MaximumPacketSize,
    TopicAliasMaximum,
    RequestResponseInformation,
    NoProblemInformation,
    UserProperty,
    Topic,
    Qos,
    NoLocal,
    RetainAsPublished,
    RetainHandling,
    NoRetained,
    WillTopic,
    WillPayload,
    WillQos,
    WillRetain,
    WillDelay,
    WillFormat,
    WillExpiry,
    WillContentType,
    WillResponseTopic,
    WillCorrelationData,
    WillUserProperty,
    Header,
    Proxy,
    ReconnectPeriod,
    ReconnectTimes,
    /// `-D`: what it means stands in the words after it.
    Property,
    /// There is nothing like it here.
    NoCounterpart,
    /// The same, and its value is not to be repeated.
    NoCounterpartSecret,
    /// The way to the broker is no TCP connection.
    UnixSocket,
    /// About messages and printing.
    OfTheRun,
}

/// An option.
#[derive(Debug, Clone, Copy)]
pub(super) struct OptionRow {
    names: &'static [&'static str],
    pub arity: Arity,
    pub what: What,
}

const fn row(names: &'static [&'static str], arity: Arity, what: What) -> OptionRow {
    OptionRow { names, arity, what }
}

/// The option that a word is, by the name that stands there, and the value that is part of the word.
pub(super) fn find(tool: Tool, word: &str) -> Option<(String, OptionRow, Option<String>)> {
    let named = |name: &str| {
        let mut all = tables(tool).into_iter().flatten();
        all.find(|option| option.names.contains(&name)).copied()
    };
    if let Some(option) = named(word) {
        return Some((word.to_owned(), option, None));
    }
    // --name=value, and -p1883: commander reads those, mosquitto does not.
    if !tool.is_mqttx() {
        return None;
    }
    let (name, value) = if word.starts_with("--") {
        word.split_once('=')?
    } else {
        word.split_at(word.char_indices().nth(2)?.0)
    };
    let option = named(name).filter(|option| option.arity != Arity::None)?;
    Some((name.to_owned(), option, Some(value.to_owned())))
}

fn tables(tool: Tool) -> [&'static [OptionRow]; 2] {
    match tool {
        Tool::MosquittoSub => [MOSQUITTO, MOSQUITTO_SUB],
        Tool::MosquittoPub => [MOSQUITTO, MOSQUITTO_PUB],
        Tool::MosquittoRr => [MOSQUITTO, MOSQUITTO_RR],
        Tool::MqttxConn => [MQTTX, MQTTX_CONN],
        Tool::MqttxSub => [MQTTX, MQTTX_SUB],
        Tool::MqttxPub => [MQTTX, MQTTX_PUB],
    }
}

const MOSQUITTO: &[OptionRow] = &[
    row(&["-h", "--host"], Arity::One, What::Host),
    row(&["-p", "--port"], Arity::One, What::Port),
    row(&["-L", "--url"], Arity::One, What::Url),
    row(&["-u", "--username"], Arity::One, What::Username),
    row(&["-P", "--pw"], Arity::One, What::Password),
    row(&["--cafile"], Arity::One, What::Ca),
    row(&["--capath"], Arity::One, What::CaFolder),
    row(&["--tls-use-os-certs"], Arity::None, What::SystemRoots),
    row(&["--cert"], Arity::One, What::Cert),
    row(&["--key"], Arity::One, What::Key),
    row(&["--insecure"], Arity::None, What::AnyHostName),
    row(&["--tls-alpn"], Arity::One, What::Alpn),
    row(&["--tls-version"], Arity::One, What::TlsVersion),
    row(&["--psk"], Arity::One, What::Psk),
    row(&["--psk-identity", "--ciphers", "--keyform", "--tls-engine"], Arity::One, What::NoCounterpart),
    row(&["--tls-engine-kpass-sha1"], Arity::One, What::NoCounterpartSecret),
    row(&["-i", "--id"], Arity::One, What::ClientId),
    row(&["-I", "--id-prefix"], Arity::One, What::ClientIdPrefix),
    row(&["-k", "--keepalive"], Arity::One, What::KeepAlive),
    row(&["-c", "--disable-clean-session"], Arity::None, What::KeepSession),
    row(&["-V", "--protocol-version"], Arity::One, What::Version),
    row(&["-x"], Arity::One, What::SessionExpiry),
    row(&["-D", "--property"], Arity::One, What::Property),
    row(&["-t", "--topic"], Arity::One, What::Topic),
    row(&["-q", "--qos"], Arity::One, What::Qos),
    row(&["--will-topic"], Arity::One, What::WillTopic),
    row(&["--will-payload"], Arity::One, What::WillPayload),
    row(&["--will-qos"], Arity::One, What::WillQos),
    row(&["--will-retain"], Arity::None, What::WillRetain),
    row(&["--proxy"], Arity::One, What::Proxy),
    row(&["-A", "-M"], Arity::One, What::NoCounterpart),
    row(&["-S"], Arity::None, What::NoCounterpart),
    row(&["--unix"], Arity::One, What::UnixSocket),
    row(&["-d", "--debug", "--quiet", "--nodelay", "--help", "--version"], Arity::None, What::OfTheRun),
];

const MOSQUITTO_SUB: &[OptionRow] = &[
    row(&["-R"], Arity::None, What::NoRetained),
    row(&["--retain-as-published"], Arity::None, What::RetainAsPublished),
    row(&["-T", "--filter-out", "-U", "--unsubscribe"], Arity::One, What::NoCounterpart),
    row(&["-C", "-W", "-F", "--random-filter"], Arity::One, What::OfTheRun),
    row(&["-E", "-N", "-v", "--verbose", "--pretty"], Arity::None, What::OfTheRun),
    row(&["--remove-retained", "--retained-only"], Arity::None, What::OfTheRun),
];

const MOSQUITTO_PUB: &[OptionRow] = &[
    row(&["-m", "--message", "-f", "--file", "--repeat", "--repeat-delay"], Arity::One, What::OfTheRun),
    row(&["-l", "--stdin-line", "-n", "--null-message"], Arity::None, What::OfTheRun),
    row(&["-r", "--retain", "-s", "--stdin-file"], Arity::None, What::OfTheRun),
];

const MOSQUITTO_RR: &[OptionRow] = &[
    row(&["-e", "-m", "--message", "-f", "--file", "-F", "-W"], Arity::One, What::OfTheRun),
    row(&["-n", "--null-message", "-s", "--stdin-file", "-N"], Arity::None, What::OfTheRun),
    row(&["-v", "--verbose", "--pretty", "-R", "--retain-as-published"], Arity::None, What::OfTheRun),
];

const MQTTX: &[OptionRow] = &[
    row(&["-h", "--hostname"], Arity::One, What::Host),
    row(&["-p", "--port"], Arity::One, What::Port),
    row(&["-l", "--protocol"], Arity::One, What::Protocol),
    row(&["--path"], Arity::One, What::Path),
    row(&["-u", "--username"], Arity::One, What::Username),
    row(&["-P", "--password"], Arity::One, What::Password),
    row(&["--ca"], Arity::One, What::Ca),
    row(&["--cert"], Arity::One, What::Cert),
    row(&["--key"], Arity::One, What::Key),
    row(&["--insecure"], Arity::None, What::Insecure),
    row(&["--alpn"], Arity::Some, What::Alpn),
    row(&["-i", "--client-id"], Arity::One, What::ClientId),
    row(&["-k", "--keepalive"], Arity::One, What::KeepAlive),
    row(&["--no-clean"], Arity::None, What::KeepSession),
    row(&["-V", "--mqtt-version"], Arity::One, What::Version),
    row(&["-se", "--session-expiry-interval"], Arity::One, What::SessionExpiry),
    row(&["--rcv-max", "--receive-maximum"], Arity::One, What::ReceiveMaximum),
    row(&["--maximum-packet-size"], Arity::One, What::MaximumPacketSize),
    row(&["--topic-alias-maximum"], Arity::One, What::TopicAliasMaximum),
    row(&["--req-response-info"], Arity::None, What::RequestResponseInformation),
    row(&["--no-req-problem-info"], Arity::None, What::NoProblemInformation),
    row(&["-wh", "--ws-headers"], Arity::Some, What::Header),
    row(&["-rp", "--reconnect-period"], Arity::One, What::ReconnectPeriod),
    row(&["--maximum-reconnect-times"], Arity::One, What::ReconnectTimes),
    row(&["-Wt", "--will-topic"], Arity::One, What::WillTopic),
    row(&["-Wm", "--will-message"], Arity::One, What::WillPayload),
    row(&["-Wq", "--will-qos"], Arity::One, What::WillQos),
    row(&["-Wr", "--will-retain"], Arity::None, What::WillRetain),
    row(&["-Wd", "--will-delay-interval"], Arity::One, What::WillDelay),
    row(&["-Wpf", "--will-payload-format-indicator"], Arity::None, What::WillFormat),
    row(&["-We", "--will-message-expiry-interval"], Arity::One, What::WillExpiry),
    row(&["-Wct", "--will-content-type"], Arity::One, What::WillContentType),
    row(&["-Wrt", "--will-response-topic"], Arity::One, What::WillResponseTopic),
    row(&["-Wcd", "--will-correlation-data"], Arity::One, What::WillCorrelationData),
    row(&["-Wup", "--will-user-properties"], Arity::Some, What::WillUserProperty),
    row(&["-am", "--authentication-method"], Arity::One, What::NoCounterpart),
    row(&["-lo", "--load-options"], Arity::AtMostOne, What::NoCounterpart),
    row(&["-so", "--save-options"], Arity::AtMostOne, What::OfTheRun),
    row(&["--debug", "--help", "-v", "--verbose", "--version"], Arity::None, What::OfTheRun),
];

const MQTTX_CONN: &[OptionRow] = &[row(&["-up", "--user-properties"], Arity::Some, What::UserProperty)];

const MQTTX_SUB: &[OptionRow] = &[
    row(&["-t", "--topic"], Arity::Some, What::Topic),
    row(&["-q", "--qos"], Arity::Some, What::Qos),
    row(&["-nl", "--no_local"], Arity::Any, What::NoLocal),
    row(&["-rap", "--retain-as-published"], Arity::Any, What::RetainAsPublished),
    row(&["-rh", "--retain-handling"], Arity::Some, What::RetainHandling),
    row(&["-si", "--subscription-identifier"], Arity::Some, What::NoCounterpart),
    row(&["-up", "--user-properties"], Arity::Some, What::NoCounterpart),
    row(&["-Cup", "--conn-user-properties"], Arity::Some, What::UserProperty),
    row(&["-f", "--format", "--output-mode", "--file-write", "--file-save"], Arity::One, What::OfTheRun),
    row(&["--delimiter"], Arity::AtMostOne, What::OfTheRun),
    row(&["-Pp", "--protobuf-path", "-Pmn", "--protobuf-message-name"], Arity::One, What::OfTheRun),
    row(&["-Ap", "--avsc-path"], Arity::One, What::OfTheRun),
];

const MQTTX_PUB: &[OptionRow] = &[
    row(&["-t", "--topic"], Arity::One, What::Topic),
    row(&["-q", "--qos"], Arity::One, What::Qos),
    row(&["-Cup", "--conn-user-properties"], Arity::Some, What::UserProperty),
    row(&["-m", "--message", "-e", "--message-expiry-interval"], Arity::One, What::OfTheRun),
    row(&["-r", "--retain", "-d", "--dup", "-s", "--stdin"], Arity::None, What::OfTheRun),
    row(&["-M", "--multiline", "-lm", "--line-mode"], Arity::None, What::OfTheRun),
    row(&["-pf", "--payload-format-indicator"], Arity::None, What::OfTheRun),
    row(&["-ta", "--topic-alias", "-rt", "--response-topic"], Arity::One, What::OfTheRun),
    row(&["-cd", "--correlation-data", "-ct", "--content-type"], Arity::One, What::OfTheRun),
    row(&["-si", "--subscription-identifier", "-f", "--format"], Arity::One, What::OfTheRun),
    row(&["-up", "--user-properties"], Arity::Some, What::OfTheRun),
    row(&["--file-read", "-S", "--payload-size"], Arity::One, What::OfTheRun),
    row(&["-Pp", "--protobuf-path", "-Pmn", "--protobuf-message-name"], Arity::One, What::OfTheRun),
    row(&["-Ap", "--avsc-path"], Arity::One, What::OfTheRun),
];
