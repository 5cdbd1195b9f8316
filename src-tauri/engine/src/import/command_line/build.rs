//! A command, option by option, to a connection as that program would have made it. In: options with their values.
//! Out: a connection in our terms. The transport is what the program would use, decided by what decides it there and
//! by nothing else.

use std::str::FromStr;

use super::options::What;
use crate::endpoint::{Scheme, SplitUrl, split_url};
use crate::import::Found;
use crate::import::remarks::{RemarkCode, Remarks};
use crate::profile::{
    Header, MqttVersion, PayloadEncoding, PayloadText, Proxy, Qos, Subscription, TlsVersion, TrustMode,
    UserProperty,
};
use crate::secret::{Secret, SecretField, is_secret_header};

/// The program and what it was asked to do.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Tool {
    MosquittoSub,
    MosquittoPub,
    MosquittoRr,
    MqttxConn,
    MqttxSub,
    MqttxPub,
}

impl Tool {
    pub fn is_mqttx(self) -> bool {
        matches!(self, Self::MqttxConn | Self::MqttxSub | Self::MqttxPub)
    }

    fn subscribes(self) -> bool {
        matches!(self, Self::MosquittoSub | Self::MqttxSub)
    }
}

/// A command as far as it was read.
pub(super) struct Line {
    tool: Tool,
    found: Found,
    pub remarks: Remarks,
    scheme: Option<Scheme>,
    version: Option<MqttVersion>,
    /// What makes mosquitto use TLS.
    tls: bool,
    /// The option that named the certificate or key.
    identity: Option<String>,
    verified: bool,
    subscriptions: Subscriptions,
}

/// Lists that belong together by position; what is missing is as the first.
#[derive(Default)]
struct Subscriptions {
    topics: Vec<String>,
    qos: Vec<Qos>,
    no_local: Vec<bool>,
    retain_as_published: Vec<bool>,
    retain_handling: Vec<u8>,
    /// mosquitto's -R.
    no_retained: bool,
}

impl Line {
    pub fn of(tool: Tool) -> Self {
        let mut found = Found::new();
        found.endpoint.host = "localhost".into();
        if tool.is_mqttx() {
            found.settings.session.keep_alive_s = 30;
        }
        Self {
            tool,
            found,
            remarks: Remarks::default(),
            scheme: None,
            version: None,
            tls: false,
            identity: None,
            verified: true,
            subscriptions: Subscriptions::default(),
        }
    }

    /// Takes an option with its values.
    pub fn take(&mut self, name: &str, what: What, values: Vec<String>) {
        let value = values.first().cloned().unwrap_or_default();
        // What the shell would have put there is nobody's to guess, but for the home folder.
        if is_variable(&value) && home_path(&value).is_none() && !may_begin_so(what) {
            return self.remarks.push(RemarkCode::ShellVariable, name, "", "");
        }
        let settings = &mut self.found.settings;
        let session = &mut settings.session;
        let will = &mut settings.will;
        match what {
            What::Host => self.found.endpoint.host = value,
            What::Port => self.found.endpoint.port = value,
            What::Path => self.found.endpoint.path = value,
            What::Url => self.take_url(name, &value),
            What::Protocol => match Scheme::from_name(&value) {
                Some(scheme) => self.scheme = Some(scheme),
                None => wrong(&mut self.remarks, name, &value),
            },
            What::Username => {
                settings.login.enabled = true;
                settings.login.username = value;
            }
            What::Password => {
                settings.login.enabled = true;
                self.found.secrets.put(SecretField::Password, Some(Secret::new(value)));
            }
            What::Ca => {
                self.tls = true;
                let path = self.path(name, value);
                self.found.trust_only(path);
            }
            What::CaFolder | What::Psk => {
                self.tls = true;
                let shown = if what == What::Psk { "" } else { &value };
                self.remarks.push(RemarkCode::NoCounterpart, name, shown, "");
            }
            What::SystemRoots => self.tls = true,
            What::Cert | What::Key => {
                let path = self.path(name, value);
                self.identity.get_or_insert_with(|| name.to_owned());
                let own = &mut self.found.settings.client_certificate;
                own.enabled = true;
                *(if what == What::Cert { &mut own.cert_file } else { &mut own.key_file }) = path;
            }
            What::Insecure => {
                self.verified = false;
                self.remarks.push(RemarkCode::ServerNotVerified, name, "", "");
            }
            What::AnyHostName => {
                settings.trust.verify_host_name = false;
                self.remarks.push(RemarkCode::HostNotVerified, name, "", "");
            }
            What::Alpn => settings.tls.alpn.extend(values),
            What::TlsVersion => match value.as_str() {
                "tlsv1.3" => settings.tls.min_version = TlsVersion::V1_3,
                "tlsv1.2" => {}
                _ => self.remarks.push(RemarkCode::Changed, name, &value, "TLS 1.2"),
            },
            What::ClientId => session.client_id = value,
            What::ClientIdPrefix => {
                let digits = session.client_id.rsplit('-').next().unwrap_or_default();
                session.client_id = format!("{value}{digits}");
                self.remarks.push(RemarkCode::Changed, name, &value, session.client_id.clone());
            }
            What::KeepAlive => {
                session.keep_alive_s =
                    number(&mut self.remarks, name, &value).unwrap_or(session.keep_alive_s);
            }
            What::KeepSession => session.clean_start = false,
            What::Version => self.take_version(name, &value),
            What::SessionExpiry => {
                let never = matches!(value.as_str(), "∞" | "-1").then_some(u32::MAX);
                session.session_expiry_s = never.or_else(|| number(&mut self.remarks, name, &value));
            }
            What::ReceiveMaximum => session.receive_maximum = number(&mut self.remarks, name, &value),
            What::MaximumPacketSize => session.maximum_packet_size = number(&mut self.remarks, name, &value),
            What::TopicAliasMaximum => session.topic_alias_maximum = number(&mut self.remarks, name, &value),
            What::RequestResponseInformation => session.request_response_information = true,
            What::NoProblemInformation => session.request_problem_information = false,
            What::UserProperty => {
                let pairs = self.pairs(name, &values);
                self.found.settings.session.user_properties.extend(pairs);
            }
            What::Topic if self.tool.subscribes() => self.subscriptions.topics.extend(values),
            What::Qos if self.tool.subscribes() => {
                let all =
                    values.iter().filter_map(|value| qos(&mut self.remarks, name, value)).collect::<Vec<_>>();
                self.subscriptions.qos.extend(all);
            }
            What::Topic | What::Qos => self.remarks.push(RemarkCode::OfTheRun, name, &value, ""),
            What::NoLocal => self.subscriptions.no_local = flags(&values),
            What::RetainAsPublished => self.subscriptions.retain_as_published = flags(&values),
            What::RetainHandling => {
                for value in &values {
                    match value.parse() {
                        Ok(handling @ 0..=2) => self.subscriptions.retain_handling.push(handling),
                        _ => wrong(&mut self.remarks, name, value),
                    }
                }
            }
            What::NoRetained => self.subscriptions.no_retained = true,
            What::WillTopic => {
                will.enabled = true;
                will.topic = value;
            }
            What::WillPayload => will.payload = text(value),
            What::WillQos => will.qos = qos(&mut self.remarks, name, &value).unwrap_or_default(),
            What::WillRetain => will.retain = true,
            What::WillDelay => will.delay_s = number(&mut self.remarks, name, &value),
            What::WillFormat => will.properties.payload_format_utf8 = Some(true),
            What::WillExpiry => will.properties.message_expiry_s = number(&mut self.remarks, name, &value),
            What::WillContentType => will.properties.content_type = Some(value),
            What::WillResponseTopic => will.properties.response_topic = Some(value),
            What::WillCorrelationData => will.properties.correlation_data = Some(text(value)),
            What::WillUserProperty => {
                let pairs = self.pairs(name, &values);
                self.found.settings.will.properties.user_properties.extend(pairs);
            }
            What::Header => self.take_headers(name, &values),
            What::Proxy => match Proxy::parse_url(&value) {
                Ok((proxy, password)) => {
                    settings.proxy = proxy;
                    self.found.secrets.put(SecretField::ProxyPassword, password);
                }
                Err(_) => wrong(&mut self.remarks, name, ""),
            },
            What::ReconnectPeriod => self.take_reconnect_period(name, &value),
            What::ReconnectTimes => {
                settings.timing.reconnect_attempts = number(&mut self.remarks, name, &value)
            }
            What::NoCounterpart => self.remarks.push(RemarkCode::NoCounterpart, name, &value, ""),
            What::NoCounterpartSecret => self.remarks.push(RemarkCode::NoCounterpart, name, "", ""),
            What::UnixSocket => {
                // Without a host there is no endpoint: the row says that it cannot come in.
                self.found.endpoint.host.clear();
                self.remarks.push(RemarkCode::NoCounterpart, name, &value, "");
            }
            // What is sent is not repeated: a message may hold anything. Properties were read word by word.
            What::OfTheRun | What::Property => self.remarks.push(RemarkCode::OfTheRun, name, "", ""),
        }
    }

    /// `-D command name value`.
    pub fn take_property(&mut self, command: &str, name: &str, value: String, second: Option<String>) {
        self.version = Some(MqttVersion::V5);
        let field = format!("-D {command} {name}");
        let pair = |name: String| UserProperty { name, value: second.unwrap_or_default() };
        let session = &mut self.found.settings.session;
        let will = &mut self.found.settings.will;
        match (command, name) {
            ("connect", "session-expiry-interval") => {
                session.session_expiry_s = number(&mut self.remarks, &field, &value)
            }
            ("connect", "receive-maximum") => {
                session.receive_maximum = number(&mut self.remarks, &field, &value)
            }
            ("connect", "maximum-packet-size") => {
                session.maximum_packet_size = number(&mut self.remarks, &field, &value)
            }
            ("connect", "topic-alias-maximum") => {
                session.topic_alias_maximum = number(&mut self.remarks, &field, &value)
            }
            ("connect", "request-response-information") => {
                session.request_response_information = value == "1"
            }
            ("connect", "request-problem-information") => session.request_problem_information = value != "0",
            ("connect", "user-property") => session.user_properties.push(pair(value)),
            ("will", "will-delay-interval") => will.delay_s = number(&mut self.remarks, &field, &value),
            ("will", "payload-format-indicator") => will.properties.payload_format_utf8 = Some(value == "1"),
            ("will", "message-expiry-interval") => {
                will.properties.message_expiry_s = number(&mut self.remarks, &field, &value);
            }
            ("will", "content-type") => will.properties.content_type = Some(value),
            ("will", "response-topic") => will.properties.response_topic = Some(value),
            ("will", "correlation-data") => will.properties.correlation_data = Some(text(value)),
            ("will", "user-property") => will.properties.user_properties.push(pair(value)),
            ("publish" | "unsubscribe" | "disconnect", _) => {
                self.remarks.push(RemarkCode::OfTheRun, field, "", "");
            }
            // Values are not repeated: authentication data is among them.
            ("connect" | "subscribe" | "auth", _) => {
                self.remarks.push(RemarkCode::NoCounterpart, field, "", "");
            }
            _ => self.remarks.push(RemarkCode::NotUnderstood, field, "", ""),
        }
    }

    /// The connection that the program would have made.
    pub fn into_found(mut self) -> Found {
        self.settle_transport();
        self.settle_version();
        self.settle_subscriptions();
        if !self.verified {
            self.found.settings.trust.mode = TrustMode::Insecure;
        }
        let Self { mut found, identity, remarks, .. } = self;
        if let Some(option) = identity {
            found.check_tls_parts(&option);
        }
        found.remarks.extend(remarks);
        found
    }

    fn settle_transport(&mut self) {
        let parts = &mut self.found.endpoint;
        if !self.tool.is_mqttx() {
            parts.tls = self.tls || parts.port == "8883";
            return;
        }
        let scheme = self.scheme.unwrap_or(Scheme::Mqtt);
        (parts.websocket, parts.tls) = (scheme.websocket(), scheme.tls());
        if parts.port.is_empty() {
            // Its default, whatever the protocol.
            parts.port = "1883".into();
        }
        if !parts.websocket {
            parts.path.clear();
        }
    }

    fn settle_version(&mut self) {
        let usual = match self.tool {
            Tool::MosquittoSub | Tool::MosquittoPub => MqttVersion::V311,
            Tool::MosquittoRr | Tool::MqttxConn | Tool::MqttxSub | Tool::MqttxPub => MqttVersion::V5,
        };
        let session = &mut self.found.settings.session;
        session.version = self.version.unwrap_or(usual);
        if session.version == MqttVersion::V5 && !session.clean_start && session.session_expiry_s.is_none() {
            // Both ask for a session without end then.
            session.session_expiry_s = Some(u32::MAX);
        }
    }

    fn settle_subscriptions(&mut self) {
        let v5 = self.found.settings.session.version == MqttVersion::V5;
        let given = std::mem::take(&mut self.subscriptions);
        if given.no_retained && !v5 {
            self.remarks.push(RemarkCode::NoCounterpart, "-R", "", "");
        }
        for (index, filter) in given.topics.into_iter().enumerate() {
            self.found.settings.subscriptions.push(Subscription {
                filter,
                label: String::new(),
                color: u8::try_from(index % 8).unwrap_or_default(),
                enabled: true,
                qos: at(&given.qos, index),
                no_local: at(&given.no_local, index),
                retain_as_published: at(&given.retain_as_published, index),
                retain_handling: if given.no_retained && v5 { 2 } else { at(&given.retain_handling, index) },
                live_only: false,
            });
        }
    }

    /// `mqtt(s)://[user[:password]@]host[:port]/topic`: what stands after the slash is a topic there.
    fn take_url(&mut self, name: &str, url: &str) {
        let lower = url.to_ascii_lowercase();
        let scheme = ["mqtt://", "mqtts://"].into_iter().find(|scheme| lower.starts_with(scheme));
        let rest = scheme.and_then(|scheme| url.get(scheme.len()..)).unwrap_or_default();
        let (address, topic) = rest.split_once('/').unwrap_or((rest, ""));
        let parsed = split_url(&format!("{}{address}", scheme.unwrap_or_default()), Scheme::Mqtt);
        // Values are not repeated: a password may be in it.
        let (Some(_), Ok(SplitUrl { parts, username, password })) = (scheme, parsed) else {
            return wrong(&mut self.remarks, name, "");
        };
        self.tls |= parts.tls;
        self.found.endpoint.host = parts.host;
        self.found.endpoint.port = parts.port;
        if username.is_some() || password.is_some() {
            self.found.settings.login.enabled = true;
            self.found.settings.login.username = username.unwrap_or_default();
            self.found.secrets.put(SecretField::Password, password);
        }
        if !topic.is_empty() {
            self.take(name, What::Topic, vec![topic.to_owned()]);
        }
    }

    fn take_version(&mut self, name: &str, value: &str) {
        match value {
            "5" | "5.0" | "mqttv5" => self.version = Some(MqttVersion::V5),
            "311" | "3.1.1" | "mqttv311" => self.version = Some(MqttVersion::V311),
            "31" | "3.1" | "mqttv31" => {
                self.version = Some(MqttVersion::V311);
                self.remarks.push(RemarkCode::Changed, name, value, "3.1.1");
            }
            _ => wrong(&mut self.remarks, name, value),
        }
    }

    fn take_reconnect_period(&mut self, name: &str, value: &str) {
        let Some(millis) = number::<u32>(&mut self.remarks, name, value) else { return };
        let timing = &mut self.found.settings.timing;
        timing.reconnect = millis > 0;
        let seconds = u16::try_from(millis.div_ceil(1000)).unwrap_or(u16::MAX).max(1);
        timing.reconnect_initial_s = seconds;
        timing.reconnect_max_s = timing.reconnect_max_s.max(seconds);
    }

    fn take_headers(&mut self, option: &str, values: &[String]) {
        for UserProperty { name, value } in self.pairs(option, values) {
            let secret = is_secret_header(&name);
            let field = SecretField::WebsocketHeader(name.to_ascii_lowercase());
            let shown = if secret { String::new() } else { value.clone() };
            self.found.settings.websocket.headers.push(Header { name, value: shown, secret });
            if secret {
                self.found.secrets.put(field, Some(Secret::new(value)));
            }
        }
    }

    /// `name: value`. Values are not repeated in remarks: they may be secrets.
    fn pairs(&mut self, option: &str, values: &[String]) -> Vec<UserProperty> {
        let mut pairs = Vec::new();
        for text in values {
            match text.split_once(':').map(|(name, value)| (name.trim(), value.trim())) {
                Some((_, value)) if value.contains("$(") || value.split(' ').any(is_variable) => {
                    self.remarks.push(RemarkCode::ShellVariable, option, "", "");
                }
                Some((name, value)) if !name.is_empty() => {
                    pairs.push(UserProperty { name: name.into(), value: value.into() });
                }
                _ => wrong(&mut self.remarks, option, ""),
            }
        }
        pairs
    }

    fn path(&mut self, option: &str, value: String) -> String {
        let path = home_path(&value).unwrap_or(value);
        self.found.check_file(option, &path);
        path
    }
}

fn qos(remarks: &mut Remarks, name: &str, value: &str) -> Option<Qos> {
    let number = number::<u8>(remarks, name, value)?;
    let qos = Qos::try_from(number).ok();
    if qos.is_none() {
        wrong(remarks, name, value);
    }
    qos
}

fn number<T: FromStr>(remarks: &mut Remarks, name: &str, value: &str) -> Option<T> {
    let number = value.parse().ok();
    if number.is_none() {
        wrong(remarks, name, value);
    }
    number
}

fn wrong(remarks: &mut Remarks, name: &str, value: &str) {
    remarks.push(RemarkCode::WrongValue, name, value, "");
}

/// Whether its value may begin with a dollar sign: `$SYS/#` was quoted, most likely.
fn may_begin_so(what: What) -> bool {
    matches!(what, What::Topic | What::OfTheRun | What::NoCounterpart | What::NoCounterpartSecret)
}

/// `$NAME`, `${NAME}`, `$(command)` and `` `command` ``.
fn is_variable(value: &str) -> bool {
    let begins = |c: char| c.is_ascii_alphabetic() || "_{(".contains(c);
    value.starts_with('`') || value.strip_prefix('$').is_some_and(|rest| rest.starts_with(begins))
}

/// A path in the home folder, as the shell writes it.
fn home_path(value: &str) -> Option<String> {
    let rest = ["~/", "$HOME/", "${HOME}/"].into_iter().find_map(|home| value.strip_prefix(home))?;
    Some(std::env::home_dir()?.join(rest).to_string_lossy().into_owned())
}

/// The item at an index, else the first.
fn at<T: Copy + Default>(list: &[T], index: usize) -> T {
    list.get(index).or(list.first()).copied().unwrap_or_default()
}

fn flags(values: &[String]) -> Vec<bool> {
    match values.is_empty() {
        true => vec![true],
        false => values.iter().map(|value| value == "true").collect(),
    }
}

fn text(text: String) -> PayloadText {
    PayloadText { text, encoding: PayloadEncoding::Utf8 }
}
