//! Keys that never leave their PKCS#11 token. In: where the key is, and a PIN when there is one. Out: a key that rustls
//! signs with, and the certificates beside it; or what is on the tokens, to choose from. Every call of a module runs on
//! a thread of the module's own ([`module`]) and is waited for no longer than [`PATIENCE`].
//!
//! Never done: a PIN tried twice. One that the token refused is not offered to it again until it is another. A key that
//! wants its PIN before each signature is given the one that just opened the token, once a signature.

mod module;
mod sign;

use std::sync::{Arc, Mutex};
use std::time::Duration;

use cryptoki::error::{Error as Pkcs11Error, RvError};
use cryptoki::mechanism::MechanismType;
use cryptoki::object::{Attribute, AttributeType, CertificateType, KeyType, ObjectClass, ObjectHandle};
use cryptoki::session::{Session, UserType};
use cryptoki::slot::{Slot, TokenInfo};
use cryptoki::types::AuthPin;
use rustls::pki_types::CertificateDer;
use rustls::sign::SigningKey;
use serde::Serialize;
use ts_rs::TS;

use self::module::{Loaded, Module};
use self::sign::{Asks, Mechanisms, OpenKey, TokenSigningKey};
use super::der::{BIT_STRING, INTEGER, NULL, OBJECT_IDENTIFIER, OCTET_STRING, SEQUENCE, encode, expect};
use super::{IdentityError, TokenKey, describe};
use crate::failure::FailureCode;
use crate::secret::Secret;

/// How long a module may take for one call; below the usual time bound of an attempt, so that it is the module that is
/// named.
pub const PATIENCE: Duration = Duration::from_secs(8);
/// The same for a list of many things, which a person waits for.
pub(crate) const PATIENCE_OF_A_LIST: Duration = Duration::from_secs(3);
/// More objects of a kind are not looked at.
const MOST_OBJECTS: usize = 256;

const RSA: &[u8] = &[0x2a, 0x86, 0x48, 0x86, 0xf7, 0x0d, 0x01, 0x01, 0x01];
const EC: &[u8] = &[0x2a, 0x86, 0x48, 0xce, 0x3d, 0x02, 0x01];

/// A token, to choose from.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, TS)]
#[ts(export)]
pub struct TokenReport {
    /// Its label.
    pub label: String,
    /// Its serial number.
    pub serial: String,
    /// Manufacturer and model.
    pub model: String,
    /// Its private keys, as far as they can be seen.
    pub keys: Vec<TokenKeyReport>,
    /// Whether keys may be hidden until the PIN is given.
    pub hidden: bool,
}

/// A private key on a token.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, TS)]
#[ts(export)]
pub struct TokenKeyReport {
    /// Its label.
    pub label: String,
    /// Its type, e.g. `ECDSA P-256`; empty when it cannot be told.
    pub key_type: String,
    /// The name of the certificate that is on the token with it; empty without one.
    pub certificate: String,
    /// The URI that names it, with its module.
    pub uri: String,
}

/// What was found at a place on a token.
pub(super) struct OpenToken {
    /// The keys that the URI matches, with a name for people.
    pub keys: Vec<(Arc<dyn SigningKey>, Option<String>)>,
    /// All certificates on the token.
    pub certificates: Vec<CertificateDer<'static>>,
    /// The keys in words, e.g. `key client on token Plant`.
    pub name: String,
}

/// What is on the tokens of a module. With a PIN, the tokens called `token` are logged in to.
///
/// # Errors
/// The module cannot be used, or the PIN is refused.
pub fn list(module: &str, token: &str, pin: Option<&Secret>) -> Result<Vec<TokenReport>, IdentityError> {
    let (path, token, pin) = (module.to_owned(), token.to_owned(), pin.cloned());
    Module::at(module).ask(PATIENCE, move |loaded| {
        let context = loaded.context(&path)?;
        let fail = |error| failed(&path, &error);
        let mut reports = Vec::new();
        for (slot, info) in loaded.tokens(&path)? {
            let session = context.open_ro_session(slot).map_err(fail)?;
            let mut open = !info.login_required();
            if !open && pin.is_some() && (token.is_empty() || info.label() == token) {
                log_in(loaded, &session, slot, &info, pin.as_ref())?;
                open = true;
            }
            let name = TokenKey {
                module: path.clone(),
                token: info.label().to_owned(),
                serial: info.serial_number().to_owned(),
                ..TokenKey::default()
            };
            reports.push(TokenReport {
                label: name.token.clone(),
                serial: name.serial.clone(),
                model: format!("{} {}", info.manufacturer_id(), info.model()).trim().to_owned(),
                keys: keys_on(&session, &name).map_err(fail)?,
                hidden: !open,
            });
        }
        Ok(reports)
    })
}

/// What a token shows of a key to somebody who has no PIN.
#[derive(Debug, Default)]
pub(super) struct Shown {
    /// The certificates on the token, the key's first; none when the key's is not among them.
    pub certificates: Vec<CertificateDer<'static>>,
    /// The key's type, e.g. `ECDSA P-256`, when its public half shows.
    pub key_type: Option<String>,
}

/// Looks at a key on its token without logging in.
///
/// # Errors
/// The module or the token cannot be used; `token_key_not_found` where keys show without a PIN, and it does not.
pub(super) fn look(key: &TokenKey, patience: Duration) -> Result<Shown, IdentityError> {
    let wanted = key.clone();
    Module::at(&key.module).ask(patience, move |loaded| {
        let (slot, info) = loaded.token(&wanted)?;
        let label = info.label().to_owned();
        let fail = |error| failed(&label, &error);
        let session = loaded.context(&wanted.module)?.open_ro_session(slot).map_err(fail)?;
        let mut keys = Vec::new();
        for class in [ObjectClass::PRIVATE_KEY, ObjectClass::PUBLIC_KEY] {
            for object in matching(&session, class, &wanted).map_err(fail)? {
                keys.push(KeyFacts::of(&session, object).map_err(fail)?);
            }
        }
        let mut found = certificates(&session).map_err(fail)?;
        let of_keys = found.iter().position(|(der, id)| {
            keys.iter().any(|key| match &key.spki {
                Some(spki) => super::leaf_of(spki, std::slice::from_ref(der)).is_some(),
                None => !id.is_empty() && *id == key.id,
            })
        });
        // Where keys do not show, the certificate tells of them: it has their identifier or their label.
        let named = matching(&session, ObjectClass::CERTIFICATE, &wanted).map_err(fail)?;
        let named = named.first().filter(|_| !wanted.label.is_empty() || !wanted.id.is_empty());
        let named = named.map(|object| session.get_attributes(*object, &[AttributeType::Value])).transpose();
        let named = named.map_err(fail)?.and_then(|values| {
            let [Attribute::Value(value)] = &values[..] else { return None };
            found.iter().position(|(der, _)| der.as_ref() == value.as_slice())
        });
        let first = of_keys.or(named);
        if keys.is_empty() && first.is_none() && !info.login_required() {
            return Err(key_not_found(&session, &wanted, &label));
        }
        let certificates = match first {
            None => Vec::new(),
            Some(first) => {
                found.swap(0, first);
                found.into_iter().map(|(der, _)| der).collect()
            }
        };
        let key_type = keys.iter().find_map(|key| describe::key_type_of_spki(key.spki.as_deref()?));
        Ok(Shown { certificates, key_type })
    })
}

/// Whether the token of a key wants a PIN before it signs.
///
/// # Errors
/// The module or the token cannot be used.
pub fn wants_pin(key: &TokenKey) -> Result<bool, IdentityError> {
    let wanted = key.clone();
    Module::at(&key.module).ask(PATIENCE, move |loaded| {
        let (_, info) = loaded.token(&wanted)?;
        Ok(info.login_required() && !info.protected_authentication_path())
    })
}

/// Opens the key on its token, with one try of the PIN.
///
/// # Errors
/// What is missing or refused, by its own code.
pub(super) fn open(key: &TokenKey, pin: Option<&Secret>) -> Result<OpenToken, IdentityError> {
    let module = Module::at(&key.module);
    let (keeper, wanted, pin) = (Arc::clone(&module), key.clone(), pin.cloned());
    module.ask(PATIENCE, move |loaded| open_here(&keeper, loaded, &wanted, pin.as_ref()))
}

fn open_here(
    module: &Arc<Module>,
    loaded: &mut Loaded,
    wanted: &TokenKey,
    pin: Option<&Secret>,
) -> Result<OpenToken, IdentityError> {
    let (slot, info) = loaded.token(wanted)?;
    let context = loaded.context(&wanted.module)?;
    let label = info.label().to_owned();
    let fail = |error| failed(&label, &error);
    let session = context.open_ro_session(slot).map_err(fail)?;
    log_in(loaded, &session, slot, &info, pin)?;
    let found = matching(&session, ObjectClass::PRIVATE_KEY, wanted).map_err(fail)?;
    if found.is_empty() {
        return Err(key_not_found(&session, wanted, &label));
    }
    let mechanisms = Mechanisms(context.get_mechanism_list(slot).map_err(fail)?);
    let certificates = certificates(&session).map_err(fail)?;
    let certificates = certificates.into_iter().map(|(der, _)| der).collect();
    let mut keys: Vec<(Arc<dyn SigningKey>, Option<String>)> = Vec::new();
    let mut unusable = None;
    // Each key signs in a session of its own.
    let mut session = Some(session);
    for object in found {
        let session = match session.take() {
            Some(session) => session,
            None => context.open_ro_session(slot).map_err(fail)?,
        };
        let facts = KeyFacts::of(&session, object).map_err(fail)?;
        let kind = facts.spki.as_deref().and_then(describe::key_type_of_spki);
        let key = OpenKey {
            module: Arc::clone(module),
            session: Mutex::new(Some(session)),
            object,
            token: label.clone(),
            asks: facts.asks_each_time.then(|| Asks {
                pin: pin.cloned(),
                own_keys: info.protected_authentication_path(),
                serial: info.serial_number().to_owned(),
            }),
        };
        let key = Arc::new(key);
        match TokenSigningKey::new(key, &facts, &mechanisms) {
            Ok(key) => keys.push((Arc::new(key), kind)),
            Err(why) => unusable = Some(why),
        }
    }
    match unusable {
        Some((message, cause)) if keys.is_empty() => {
            Err(IdentityError::new(FailureCode::TokenMechanismUnsupported, &label, message, cause))
        }
        _ => Ok(OpenToken { keys, certificates, name: format!("key {} on token {label}", wanted.name()) }),
    }
}

/// Logs in where the token wants it: once with this PIN, and never again with one that it refused.
fn log_in(
    loaded: &mut Loaded,
    session: &Session,
    slot: Slot,
    info: &TokenInfo,
    pin: Option<&Secret>,
) -> Result<(), IdentityError> {
    let (label, serial) = (info.label(), info.serial_number().to_owned());
    if !info.login_required() || session.get_session_info().is_ok_and(|now| is_user(now.session_state())) {
        return Ok(());
    }
    if info.user_pin_locked() {
        return Err(pin_locked(label));
    }
    let own_keys = info.protected_authentication_path();
    let pin = match pin.filter(|pin| !pin.expose().is_empty()) {
        None if own_keys => None,
        None => return Err(pin_required(label)),
        Some(pin) if loaded.was_refused(&serial, pin) => {
            return Err(pin_wrong(label, "It refused this PIN before, so it was not asked again", info));
        }
        Some(pin) => Some(pin),
    };
    let text = match pin.map(Secret::expose_text).transpose() {
        Ok(text) => text.map(|text| AuthPin::from(text.to_owned())),
        Err(_) => return Err(pin_wrong(label, "A PIN is text in UTF-8", info)),
    };
    match session.login(UserType::User, text.as_ref()) {
        Ok(()) | Err(Pkcs11Error::Pkcs11(RvError::UserAlreadyLoggedIn, _)) => {
            loaded.forget_refused(&serial);
            Ok(())
        }
        Err(error) if is_refusal(&error) => {
            if let Some(pin) = pin {
                loaded.refuse(&serial, pin);
            }
            // How many tries are left shows only now.
            let now = loaded.info(slot);
            let now = now.as_ref().unwrap_or(info);
            match now.user_pin_locked() {
                true => Err(pin_locked(label)),
                false => Err(pin_wrong(label, "It was tried once", now)),
            }
        }
        Err(Pkcs11Error::Pkcs11(RvError::PinLocked, _)) => Err(pin_locked(label)),
        Err(error) => Err(failed(label, &error)),
    }
}

/// Whether the token says that the PIN is not the right one.
fn is_refusal(error: &Pkcs11Error) -> bool {
    use RvError::{PinIncorrect, PinInvalid, PinLenRange};
    matches!(error, Pkcs11Error::Pkcs11(PinIncorrect | PinInvalid | PinLenRange, _))
}

fn is_user(state: cryptoki::session::SessionState) -> bool {
    use cryptoki::session::SessionState as S;
    matches!(state, S::RoUser | S::RwUser)
}

fn pin_wrong(label: &str, tried: &str, info: &TokenInfo) -> IdentityError {
    let left = if info.user_pin_final_try() {
        "the token says that one more wrong PIN locks it"
    } else if info.user_pin_count_low() {
        "the token says that a wrong PIN was given since the last right one, and that tries are limited"
    } else {
        "the token does not say how many tries are left"
    };
    let message = format!("The token {label} refuses the PIN");
    let cause = format!("{tried}; {left}");
    IdentityError::new(FailureCode::TokenPinWrong, label, message, cause)
}

fn pin_required(label: &str) -> IdentityError {
    let message = format!("The token {label} wants its PIN");
    let cause = "It signs after its PIN was given, and none is kept";
    IdentityError::new(FailureCode::TokenPinRequired, label, message, cause)
}

fn pin_locked(label: &str) -> IdentityError {
    IdentityError::new(
        FailureCode::TokenPinLocked,
        label,
        format!("The PIN of the token {label} is locked"),
        "Too many wrong PINs were given; whoever administers the token can set a new one (with its SO PIN or PUK)",
    )
}

fn key_not_found(session: &Session, wanted: &TokenKey, label: &str) -> IdentityError {
    let any = TokenKey { label: String::new(), id: Vec::new(), ..wanted.clone() };
    let there: Vec<_> =
        keys_on(session, &any).unwrap_or_default().into_iter().map(|key| key.label).take(8).collect();
    let cause = match there.is_empty() {
        true => "There is no private key on it that can be seen".to_owned(),
        false => format!("Its keys are called {}", there.join(", ")),
    };
    let message = format!("There is no private key {} on the token {label}", wanted.name());
    IdentityError::new(FailureCode::TokenKeyNotFound, &wanted.name(), message, cause)
}

/// What a module said when it failed, at `what`: the module's path or the token's label.
fn failed(what: &str, error: &Pkcs11Error) -> IdentityError {
    let code = match error {
        Pkcs11Error::Pkcs11(
            RvError::DeviceRemoved
            | RvError::TokenNotPresent
            | RvError::TokenNotRecognized
            | RvError::SlotIdInvalid,
            _,
        ) => FailureCode::TokenNotFound,
        Pkcs11Error::Pkcs11(
            RvError::MechanismInvalid
            | RvError::MechanismParamInvalid
            | RvError::KeyTypeInconsistent
            | RvError::KeyFunctionNotPermitted,
            _,
        ) => FailureCode::TokenMechanismUnsupported,
        Pkcs11Error::Pkcs11(RvError::UserNotLoggedIn, _) => FailureCode::TokenPinRequired,
        _ => FailureCode::TokenFailed,
    };
    let message = match code {
        FailureCode::TokenNotFound => format!("The token {what} is not there any more"),
        FailureCode::TokenMechanismUnsupported => format!("The token {what} does not sign as TLS asks for"),
        FailureCode::TokenPinRequired => format!("The token {what} wants its PIN"),
        _ => format!("{what} failed"),
    };
    let cause = match error {
        Pkcs11Error::Pkcs11(value, function) => format!("It answered {value:?} to C_{function}"),
        other => other.to_string(),
    };
    IdentityError::new(code, what, message, cause)
}

/// What is known of a private key without its value.
struct KeyFacts {
    kind: Option<KeyType>,
    /// SubjectPublicKeyInfo (DER), when the token tells it.
    spki: Option<Vec<u8>>,
    label: String,
    id: Vec<u8>,
    /// It wants its PIN before each signature.
    asks_each_time: bool,
}

impl KeyFacts {
    fn of(session: &Session, object: ObjectHandle) -> Result<Self, Pkcs11Error> {
        let mut facts =
            Self { kind: None, spki: None, label: String::new(), id: Vec::new(), asks_each_time: false };
        let mut modulus = None;
        let mut exponent = None;
        let wanted = [
            AttributeType::KeyType,
            AttributeType::Label,
            AttributeType::Id,
            AttributeType::AlwaysAuthenticate,
            AttributeType::Modulus,
            AttributeType::PublicExponent,
        ];
        for attribute in session.get_attributes(object, &wanted)? {
            match attribute {
                Attribute::KeyType(kind) => facts.kind = Some(kind),
                Attribute::Label(label) => facts.label = String::from_utf8_lossy(&label).into_owned(),
                Attribute::Id(id) => facts.id = id,
                Attribute::AlwaysAuthenticate(asks) => facts.asks_each_time = asks,
                Attribute::Modulus(number) if !number.is_empty() => modulus = Some(number),
                Attribute::PublicExponent(number) if !number.is_empty() => exponent = Some(number),
                _ => {}
            }
        }
        facts.spki = match (modulus, exponent) {
            (Some(modulus), Some(exponent)) => Some(rsa_spki(&modulus, &exponent)),
            _ => public_half(session, facts.kind, &facts.id)?,
        };
        Ok(facts)
    }
}

/// The public key that has the identifier of the private one.
fn public_half(session: &Session, kind: Option<KeyType>, id: &[u8]) -> Result<Option<Vec<u8>>, Pkcs11Error> {
    let Some(kind) = kind.filter(|_| !id.is_empty()) else { return Ok(None) };
    let template =
        [Attribute::Class(ObjectClass::PUBLIC_KEY), Attribute::KeyType(kind), Attribute::Id(id.to_vec())];
    let Some(object) = session.find_objects(&template)?.into_iter().next() else { return Ok(None) };
    let wanted = match kind {
        KeyType::EC => [AttributeType::EcParams, AttributeType::EcPoint],
        KeyType::RSA => [AttributeType::Modulus, AttributeType::PublicExponent],
        _ => return Ok(None),
    };
    let parts = session.get_attributes(object, &wanted)?;
    Ok(match &parts[..] {
        [Attribute::EcParams(curve), Attribute::EcPoint(point)] => Some(ec_spki(curve, point)),
        [Attribute::Modulus(modulus), Attribute::PublicExponent(exponent)] => {
            Some(rsa_spki(modulus, exponent))
        }
        _ => None,
    })
}

/// SubjectPublicKeyInfo (RFC 3279, 2.3.1) of big-endian numbers.
fn rsa_spki(modulus: &[u8], exponent: &[u8]) -> Vec<u8> {
    let key = encode(SEQUENCE, &[&unsigned(modulus), &unsigned(exponent)]);
    let algorithm = encode(SEQUENCE, &[&encode(OBJECT_IDENTIFIER, &[RSA]), &encode(NULL, &[])]);
    encode(SEQUENCE, &[&algorithm, &encode(BIT_STRING, &[&[0], &key])])
}

/// SubjectPublicKeyInfo (RFC 5480) of a curve (DER) and a point, which PKCS#11 wraps in an OCTET STRING and some
/// modules do not.
fn ec_spki(curve: &[u8], point: &[u8]) -> Vec<u8> {
    let point = match expect(point, OCTET_STRING) {
        Some((inner, [])) => inner,
        _ => point,
    };
    let algorithm = encode(SEQUENCE, &[&encode(OBJECT_IDENTIFIER, &[EC]), curve]);
    encode(SEQUENCE, &[&algorithm, &encode(BIT_STRING, &[&[0], point])])
}

/// A positive INTEGER of big-endian bytes.
fn unsigned(bytes: &[u8]) -> Vec<u8> {
    let first = bytes.iter().position(|byte| *byte != 0).unwrap_or(bytes.len());
    match &bytes[first..] {
        [] => encode(INTEGER, &[&[0]]),
        digits if digits[0] >= 0x80 => encode(INTEGER, &[&[0], digits]),
        digits => encode(INTEGER, &[digits]),
    }
}

/// The objects of a class that a URI matches.
fn matching(
    session: &Session,
    class: ObjectClass,
    wanted: &TokenKey,
) -> Result<Vec<ObjectHandle>, Pkcs11Error> {
    let mut template = vec![Attribute::Class(class)];
    if !wanted.label.is_empty() {
        template.push(Attribute::Label(wanted.label.clone().into_bytes()));
    }
    if !wanted.id.is_empty() {
        template.push(Attribute::Id(wanted.id.clone()));
    }
    Ok(session.find_objects(&template)?.into_iter().take(MOST_OBJECTS).collect())
}

/// The certificates on a token, with their identifiers.
fn certificates(session: &Session) -> Result<Vec<(CertificateDer<'static>, Vec<u8>)>, Pkcs11Error> {
    let template =
        [Attribute::Class(ObjectClass::CERTIFICATE), Attribute::CertificateType(CertificateType::X_509)];
    let mut found = Vec::new();
    for object in session.find_objects(&template)?.into_iter().take(MOST_OBJECTS) {
        let mut der = Vec::new();
        let mut own = Vec::new();
        for attribute in session.get_attributes(object, &[AttributeType::Value, AttributeType::Id])? {
            match attribute {
                Attribute::Value(value) => der = value,
                Attribute::Id(id) => own = id,
                _ => {}
            }
        }
        if describe::describe(&der).is_some() {
            found.push((der.into(), own));
        }
    }
    Ok(found)
}

/// The keys of a token for a list. Where private keys hide, the public keys tell of them.
fn keys_on(session: &Session, token: &TokenKey) -> Result<Vec<TokenKeyReport>, Pkcs11Error> {
    let certificates = certificates(session)?;
    let mut seen: Vec<(String, Vec<u8>)> = Vec::new();
    let mut reports = Vec::new();
    for class in [ObjectClass::PRIVATE_KEY, ObjectClass::PUBLIC_KEY] {
        for object in session.find_objects(&[Attribute::Class(class)])?.into_iter().take(MOST_OBJECTS) {
            let facts = KeyFacts::of(session, object)?;
            let name = (facts.label.clone(), facts.id.clone());
            if seen.contains(&name) {
                continue;
            }
            seen.push(name);
            let kind = facts.spki.as_deref().and_then(describe::key_type_of_spki);
            let certificate =
                certificates.iter().find(|(_, id)| !id.is_empty() && *id == facts.id).map(|(der, _)| der);
            let certificate = certificate.and_then(|der| describe::describe(der));
            let key = TokenKey { label: facts.label.clone(), id: facts.id, ..token.clone() };
            reports.push(TokenKeyReport {
                label: facts.label,
                key_type: kind.unwrap_or_default(),
                certificate: certificate.map(|info| info.short_name().to_owned()).unwrap_or_default(),
                uri: key.uri(),
            });
        }
    }
    Ok(reports)
}

impl Mechanisms {
    fn has(&self, mechanism: MechanismType) -> bool {
        self.0.contains(&mechanism)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_are_positive_and_short() {
        assert_eq!(unsigned(&[0, 0, 0x7f]), [2, 1, 0x7f]);
        assert_eq!(unsigned(&[0x80]), [2, 2, 0, 0x80]);
        assert_eq!(unsigned(&[]), [2, 1, 0]);
    }

    #[test]
    fn a_point_is_taken_wrapped_and_bare() {
        let curve = [6, 8, 0x2a, 0x86, 0x48, 0xce, 0x3d, 3, 1, 7];
        let point = [&[4_u8][..], &[9; 64]].concat();
        let wrapped = encode(OCTET_STRING, &[&point]);
        assert_eq!(ec_spki(&curve, &point), ec_spki(&curve, &wrapped));
        assert_eq!(describe::key_type_of_spki(&ec_spki(&curve, &point)).as_deref(), Some("ECDSA P-256"));
    }
}
