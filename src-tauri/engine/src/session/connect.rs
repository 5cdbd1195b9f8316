//! What CONNECT will say, read out of a profile before anything is dialled, and what CONNACK said. In: a
//! profile with its secrets; bytes of a CONNACK. Out: checked values that both protocol versions are built
//! from. The password leaves only through [`Connect::password`].
#![allow(clippy::result_large_err, reason = "one a session")]

use bytes::Bytes;

use super::SessionConfig;
use super::publication::Properties;
use crate::draft::payload_bytes;
use crate::failure::{Failure, FailureCode};
use crate::profile::{MqttVersion, Qos, SessionOptions, UserProperty};
use crate::secret::{Secret, SecretField};
use crate::topic;
use crate::trace::{Connack, MqttDetail, Stage};
use crate::{diagnosis, error};

/// The largest packet taken when the profile does not say: 256 MiB, all that MQTT allows.
const LARGEST_PACKET: u32 = 268_435_456;

/// CONNECT, whatever the version.
pub(super) struct Connect {
    pub(super) version: MqttVersion,
    pub(super) client_id: String,
    /// Whether the client id is ours because the profile leaves it empty.
    pub(super) generated: bool,
    pub(super) clean_start: bool,
    pub(super) keep_alive_s: u16,
    pub(super) username: Option<String>,
    pub(super) password: Option<Secret>,
    pub(super) will: Option<Will>,
    pub(super) maximum_packet_size: u32,
    pub(super) options: SessionOptions,
}

/// The last will.
pub(super) struct Will {
    pub(super) topic: String,
    pub(super) payload: Bytes,
    pub(super) qos: Qos,
    pub(super) retain: bool,
    pub(super) delay_s: Option<u32>,
    pub(super) properties: Properties,
}

impl Connect {
    /// Reads and checks what the profile says.
    ///
    /// # Errors
    /// `invalid_settings`, naming the setting.
    pub(super) fn new(config: &SessionConfig) -> Result<Self, Failure> {
        let settings = &config.profile.settings;
        let options = settings.session.clone();
        let generated = options.client_id.is_empty();
        let client_id = if generated { generated_id() } else { options.client_id.clone() };
        check_text("settings.session.client_id", "client identifier", &client_id)?;

        let login = settings.login.enabled.then_some(&settings.login);
        let username = login.map(|login| login.username.clone()).filter(|name| !name.is_empty());
        let password = login.and_then(|_| config.secrets.get(&SecretField::Password)).cloned();
        if let Some(name) = &username {
            check_text("settings.login.username", "user name", name)?;
        }
        if options.version == MqttVersion::V311 && password.is_some() && username.is_none() {
            return Err(invalid(
                "settings.login.username",
                "MQTT 3.1.1 sends a password only together with a user name",
                "3.1.1, section 3.1.2.9: without the user name flag the password flag must be 0",
            ));
        }
        if password.as_ref().is_some_and(|password| password.expose().len() > 65_535) {
            return Err(invalid(
                "settings.login.password",
                "The password is longer than 65,535 bytes",
                "MQTT writes its length in two bytes",
            ));
        }
        if options.receive_maximum == Some(0) {
            return Err(invalid(
                "settings.session.receive_maximum",
                "Receive Maximum cannot be 0",
                "MQTT 5, section 3.1.2.11.3: the value 0 is a protocol error",
            ));
        }
        if options.maximum_packet_size == Some(0) {
            return Err(invalid(
                "settings.session.maximum_packet_size",
                "Maximum Packet Size cannot be 0",
                "MQTT 5, section 3.1.2.11.4: the value 0 is a protocol error",
            ));
        }
        for property in &options.user_properties {
            check_text("settings.session.user_properties", "name of a user property", &property.name)?;
            check_text("settings.session.user_properties", "value of a user property", &property.value)?;
        }
        let will = if settings.will.enabled { Some(Will::new(&settings.will)?) } else { None };
        Ok(Self {
            version: options.version,
            client_id,
            generated,
            clean_start: options.clean_start,
            keep_alive_s: options.keep_alive_s,
            username,
            password,
            will,
            maximum_packet_size: options.maximum_packet_size.unwrap_or(LARGEST_PACKET),
            options,
        })
    }

    /// The password's bytes, for the wire.
    pub(super) fn password(&self) -> Option<Bytes> {
        self.password.as_ref().map(|password| Bytes::copy_from_slice(password.expose()))
    }

    /// What the trace says about CONNECT.
    pub(super) fn detail(&self, clean_start: bool) -> MqttDetail {
        MqttDetail {
            version: self.version,
            client_id: self.client_id.clone(),
            clean_start,
            keep_alive_s: self.keep_alive_s,
            username_sent: self.username.is_some(),
            password_sent: self.password.is_some(),
            will_sent: self.will.is_some(),
            connack: None,
        }
    }

    /// Whether a session outlives its connection, so that reconnecting should resume it.
    pub(super) fn session_outlives_connection(&self) -> bool {
        self.version == MqttVersion::V5 && self.options.session_expiry_s.unwrap_or(0) > 0
    }
}

impl Will {
    fn new(will: &crate::profile::Will) -> Result<Self, Failure> {
        topic::check_name(&will.topic).map_err(|error| {
            invalid(
                "settings.will.topic",
                &format!("The will's topic is not valid: {error}"),
                "MQTT 5, section 4.7",
            )
        })?;
        let of_setting = |error: error::Error| {
            invalid(
                "settings.will",
                &format!("The will cannot be sent: {}", error.message),
                "It is part of CONNECT",
            )
        };
        let payload = payload_bytes(&will.payload).map_err(of_setting)?;
        if payload.len() > 65_535 {
            return Err(invalid(
                "settings.will.payload",
                &format!("The will's payload has {} bytes; a will holds at most 65,535", payload.len()),
                "MQTT writes its length in two bytes",
            ));
        }
        Ok(Self {
            topic: will.topic.clone(),
            payload,
            qos: will.qos,
            retain: will.retain,
            delay_s: will.delay_s,
            properties: Properties::new(&will.properties).map_err(of_setting)?,
        })
    }
}

/// Reads a refusal from the first bytes that came after CONNECT: a CONNACK, or a DISCONNECT in its place, that
/// says why. `None` when they are neither, or no refusal.
pub(super) fn read_refusal(version: MqttVersion, bytes: &[u8]) -> Option<Connack> {
    let (&first, rest) = bytes.split_first()?;
    let length_bytes = rest.iter().take(4).position(|byte| byte & 0x80 == 0)? + 1;
    let length = rest[..length_bytes].iter().rev().fold(0, |sum, byte| sum << 7 | usize::from(byte & 0x7f));
    // What was kept of a packet with many properties may end before the packet does.
    let body = &rest[length_bytes..rest.len().min(length_bytes.saturating_add(length))];
    let refusal = match (first, body) {
        (0x20, [0 | 1, ..]) => read_connack(version, body)?,
        // Not allowed before CONNACK (MQTT 5, 3.14), but it says why.
        (0xe0, [code @ 0x80..=0xff, ..]) if version == MqttVersion::V5 => connack_v5(false, *code, None),
        _ => return None,
    };
    (refusal.code >= 0x80).then_some(refusal)
}

/// The body of a CONNACK. A broker that does not know the version of CONNECT answers in its own: two bytes are
/// one of 3.1.1, and codes from 0x80 are those of 5.
fn read_connack(version: MqttVersion, body: &[u8]) -> Option<Connack> {
    let (&flags, &code) = (body.first()?, body.get(1)?);
    let session_present = flags & 1 == 1;
    if code < 0x80 {
        // Without properties it cannot be one of 5; with them, a low code is one that does not exist, as are those
        // beyond 5 in 3.1.1 (3.2.2.3).
        let old = (1..=5).contains(&code) && (version == MqttVersion::V311 || body.len() == 2);
        return old.then(|| connack_v311(session_present, code));
    }
    if diagnosis::reason_name(code) == diagnosis::UNKNOWN_REASON {
        return None;
    }
    let mut rest = Bytes::copy_from_slice(&body[2..]);
    // Whole properties, or none of them: what is cut off cannot be told from what is malformed.
    let properties = match rest.is_empty() {
        true => None,
        false => rumqttc::ConnAckProperties::read(&mut rest).ok().flatten(),
    };
    Some(connack_v5(session_present, code, properties.as_ref()))
}

/// The Server Reference of a DISCONNECT (MQTT 5, 3.14.2.2.5), which the library leaves out.
pub(super) fn read_server_reference(bytes: &[u8]) -> Option<String> {
    match rumqttc::Packet::read(&mut bytes::BytesMut::from(bytes), None) {
        Ok(rumqttc::Packet::Disconnect(disconnect)) => disconnect.properties?.server_reference,
        _ => None,
    }
}

/// A CONNACK of MQTT 5.
pub(super) fn connack_v5(
    session_present: bool,
    code: u8,
    properties: Option<&rumqttc::ConnAckProperties>,
) -> Connack {
    let plain = Connack {
        code,
        reason: diagnosis::reason_name(code).to_owned(),
        session_present,
        ..Connack::default()
    };
    let Some(said) = properties else { return plain };
    Connack {
        session_expiry_s: said.session_expiry_interval,
        receive_maximum: said.receive_max,
        maximum_qos: said.max_qos,
        retain_available: said.retain_available.map(|flag| flag != 0),
        maximum_packet_size: said.max_packet_size,
        assigned_client_id: said.assigned_client_identifier.clone(),
        topic_alias_maximum: said.topic_alias_max,
        reason_string: said.reason_string.clone(),
        user_properties: user_properties(&said.user_properties),
        wildcard_available: said.wildcard_subscription_available.map(|flag| flag != 0),
        subscription_ids_available: said.subscription_identifiers_available.map(|flag| flag != 0),
        shared_available: said.shared_subscription_available.map(|flag| flag != 0),
        server_keep_alive_s: said.server_keep_alive,
        response_information: said.response_information.clone(),
        server_reference: said.server_reference.clone(),
        authentication_method: said.authentication_method.clone(),
        ..plain
    }
}

/// A CONNACK of MQTT 3.1.1, its return code (3.2.2.3) mapped to the reason code of MQTT 5 that means the same.
pub(super) fn connack_v311(session_present: bool, return_code: u8) -> Connack {
    let code = match return_code {
        0 => 0x00,
        1 => 0x84,
        2 => 0x85,
        3 => 0x88,
        4 => 0x86,
        5 => 0x87,
        _ => 0x80,
    };
    connack_v5(session_present, code, None)
}

/// The library's pairs as ours.
pub(super) fn user_properties(pairs: &[(String, String)]) -> Vec<UserProperty> {
    pairs.iter().map(|(name, value)| UserProperty { name: name.clone(), value: value.clone() }).collect()
}

/// Our pairs as the library's.
pub(super) fn pairs(properties: &[UserProperty]) -> Vec<(String, String)> {
    properties.iter().map(|property| (property.name.clone(), property.value.clone())).collect()
}

fn generated_id() -> String {
    let random = uuid::Uuid::new_v4().simple().to_string();
    format!("helio-{}", &random[..8])
}

/// MQTT strings (1.5.4): at most 65,535 bytes, no U+0000.
fn check_text(field: &str, what: &str, text: &str) -> Result<(), Failure> {
    if text.len() > 65_535 {
        return Err(invalid(
            field,
            &format!("The {what} is longer than 65,535 bytes"),
            "MQTT writes its length in two bytes",
        ));
    }
    if text.contains('\0') {
        return Err(invalid(
            field,
            &format!("The {what} contains a null character"),
            "MQTT 5, section 1.5.4, forbids it",
        ));
    }
    Ok(())
}

fn invalid(field: &str, message: &str, cause: &str) -> Failure {
    Failure::new(Stage::Mqtt, FailureCode::InvalidSettings, message)
        .because(cause)
        .fact("field", field)
        .permanent()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_refusal_is_read_with_its_reason_string() {
        // CONNACK, code 0x87, Reason String "no" and User Property "a" = "b".
        let bytes = [0x20, 15, 0, 0x87, 12, 0x1f, 0, 2, b'n', b'o', 0x26, 0, 1, b'a', 0, 1, b'b'];
        let connack = read_refusal(MqttVersion::V5, &bytes).expect("a CONNACK");
        assert_eq!((connack.code, connack.reason_string.as_deref()), (0x87, Some("no")));
        assert_eq!(connack.user_properties, [UserProperty { name: "a".into(), value: "b".into() }]);
    }

    #[test]
    fn return_codes_of_3_1_1_get_the_codes_of_5() {
        for (returned, code) in [(1, 0x84), (2, 0x85), (3, 0x88), (4, 0x86), (5, 0x87)] {
            assert_eq!(read_refusal(MqttVersion::V311, &[0x20, 2, 0, returned]).map(|c| c.code), Some(code));
        }
        assert_eq!(read_refusal(MqttVersion::V5, &[0x20, 2, 0, 1]).map(|c| c.code), Some(0x84));
        assert_eq!(read_refusal(MqttVersion::V5, &[0x20, 2, 0, 5]).map(|c| c.code), Some(0x87));
        assert_eq!(read_refusal(MqttVersion::V311, &[0x20, 2, 0, 0x87]).map(|c| c.code), Some(0x87));
        for code in [6, 77, 0xff] {
            assert_eq!(read_refusal(MqttVersion::V311, &[0x20, 2, 0, code]), None, "there is no code {code}");
        }
    }

    #[test]
    fn anything_else_is_not_a_connack() {
        for bytes in [
            &b""[..],
            b"HTTP/1.1 400",
            &[0x20],
            &[0x20, 2],
            &[0x20, 0xff, 0xff, 0xff, 0xff, 1],
            &[0x20, 2, 0],
            &[0x20, 3, 0, 0, 0],
            &[0x20, 2, 0, 0],
            &[0x20, 3, 0, 0x7e, 0],
            &[0xe0, 0],
        ] {
            assert!(read_refusal(MqttVersion::V5, bytes).is_none(), "{bytes:?}");
        }
    }
}
