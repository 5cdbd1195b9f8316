//! Signing for TLS with a key on a token. In: an open key and what its token can do. Out: rustls' `SigningKey`. Hashes
//! are made here wherever the token signs bare ones: every token can that, and few can all of TLS's combinations.

use std::mem::ManuallyDrop;
use std::sync::{Arc, Mutex, PoisonError};

use cryptoki::error::{Error as Pkcs11Error, RvError};
use cryptoki::mechanism::rsa::{PkcsMgfType, PkcsPssParams};
use cryptoki::mechanism::{Mechanism, MechanismType};
use cryptoki::object::{KeyType, ObjectHandle};
use cryptoki::session::{Session, UserType};
use cryptoki::types::AuthPin;
use rustls::pki_types::SubjectPublicKeyInfoDer;
use rustls::sign::{Signer, SigningKey};
use rustls::{OtherError, SignatureAlgorithm, SignatureScheme};
use sha2::{Digest as _, Sha256, Sha384, Sha512};

use super::module::{Loaded, Module};
use super::{KeyFacts, PATIENCE, failed, is_refusal, pin_locked, pin_required, unsigned};
use crate::failure::FailureCode;
use crate::identity::IdentityError;
use crate::identity::der::{NULL, OBJECT_IDENTIFIER, OCTET_STRING, SEQUENCE, encode};
use crate::identity::describe;
use crate::secret::Secret;

/// What a token signs with.
pub(super) struct Mechanisms(pub(super) Vec<MechanismType>);

/// A private key in a session that stays open, and logged in, as long as somebody may sign.
#[derive(Debug)]
pub(super) struct OpenKey {
    pub(super) module: Arc<Module>,
    pub(super) session: Mutex<Option<Session>>,
    pub(super) object: ObjectHandle,
    /// The token's label.
    pub(super) token: String,
    /// What it asks for before each signature, if it does.
    pub(super) asks: Option<Asks>,
}

/// What a key with CKA_ALWAYS_AUTHENTICATE is given before each signature.
#[derive(Debug)]
pub(super) struct Asks {
    /// The PIN, when it is at hand.
    pub(super) pin: Option<Secret>,
    /// Whether the token has keys of its own to type it on.
    pub(super) own_keys: bool,
    /// The token's serial number, by which a refused PIN is remembered.
    pub(super) serial: String,
}

/// A key on a token as rustls uses keys.
#[derive(Debug)]
pub(super) struct TokenSigningKey {
    key: Arc<OpenKey>,
    spki: Option<Vec<u8>>,
    algorithm: SignatureAlgorithm,
    /// What it can sign, best first.
    schemes: Vec<Way>,
}

/// A signature scheme and whether the token makes the hash as well.
#[derive(Debug, Clone, Copy)]
struct Way {
    scheme: SignatureScheme,
    whole: bool,
}

#[derive(Debug)]
struct TokenSigner {
    key: Arc<OpenKey>,
    way: Way,
}

#[derive(Debug, Clone, Copy)]
enum Hash {
    Sha256,
    Sha384,
    Sha512,
}

impl OpenKey {
    fn sign(self: &Arc<Self>, way: Way, message: Vec<u8>) -> Result<Vec<u8>, IdentityError> {
        let key = Arc::clone(self);
        self.module.ask(PATIENCE, move |loaded| {
            let session = key.session.lock().unwrap_or_else(PoisonError::into_inner);
            let Some(session) = session.as_ref() else { return Ok(Vec::new()) };
            let fail = |error| failed(&key.token, &error);
            let (mechanism, input) = way.mechanism(&message);
            let signature = match &key.asks {
                None => session.sign(&mechanism, key.object, &input).map_err(fail)?,
                Some(asks) => {
                    // PKCS#11, 5.6.9: between C_SignInit and the data.
                    session.sign_init(&mechanism, key.object).map_err(fail)?;
                    if let Err(error) = asks.answer(session, loaded, &key.token) {
                        // What was begun ends here, or the session would begin no other (PKCS#11, 5.13).
                        let _ = session.sign_final();
                        return Err(error);
                    }
                    session.sign_update(&input).and_then(|()| session.sign_final()).map_err(fail)?
                }
            };
            Ok(way.encoded(signature))
        })
    }
}

impl Asks {
    /// Gives the PIN once, unless the token refused it before.
    fn answer(&self, session: &Session, loaded: &mut Loaded, token: &str) -> Result<(), IdentityError> {
        let refused = |tried: &str| {
            let message = format!("The token {token} refuses the PIN for a signature");
            IdentityError::new(FailureCode::TokenPinWrong, token, message, tried)
        };
        if self.pin.as_ref().is_some_and(|pin| loaded.was_refused(&self.serial, pin)) {
            return Err(refused("It refused this PIN before, so it was not asked again"));
        }
        if self.pin.is_none() && !self.own_keys {
            return Err(pin_required(token));
        }
        let text = self.pin.as_ref().map(Secret::expose_text).transpose();
        let text = text.map_err(|_| refused("A PIN is text in UTF-8"))?;
        let pin = text.map(|text| AuthPin::from(text.to_owned()));
        session.login(UserType::ContextSpecific, pin.as_ref()).map_err(|error| {
            if matches!(error, Pkcs11Error::Pkcs11(RvError::PinLocked, _)) {
                return pin_locked(token);
            }
            if !is_refusal(&error) {
                return failed(token, &error);
            }
            if let Some(pin) = &self.pin {
                loaded.refuse(&self.serial, pin);
            }
            refused("The key wants its PIN before each signature, and it was tried once")
        })
    }
}

impl Drop for OpenKey {
    /// Closing is a call of the module, so it is the module's thread that does it.
    fn drop(&mut self) {
        let session = self.session.get_mut().unwrap_or_else(PoisonError::into_inner).take();
        // Of a module that hangs, a session is left open rather than waited for.
        let session = ManuallyDrop::new(session);
        self.module.leave(move || drop(ManuallyDrop::into_inner(session)));
    }
}

impl TokenSigningKey {
    /// # Errors
    /// What it lacks, as message and cause.
    pub(super) fn new(
        key: Arc<OpenKey>,
        facts: &KeyFacts,
        mechanisms: &Mechanisms,
    ) -> Result<Self, (String, String)> {
        let name = format!("The key {} on the token {}", facts.label, key.token);
        let unsuitable = |cause: String| Err((format!("{name} cannot be used for TLS"), cause));
        let wanted: &[SignatureScheme] = match facts.kind {
            Some(KeyType::RSA) => &RSA_SCHEMES,
            Some(KeyType::EC) => {
                match facts.spki.as_deref().and_then(describe::key_type_of_spki).as_deref() {
                    Some("ECDSA P-256") => &[SignatureScheme::ECDSA_NISTP256_SHA256],
                    Some("ECDSA P-384") => &[SignatureScheme::ECDSA_NISTP384_SHA384],
                    Some("ECDSA P-521") => &[SignatureScheme::ECDSA_NISTP521_SHA512],
                    Some(other) => {
                        return unsuitable(format!(
                            "It is an {other} key: P-256, P-384 and P-521 can be used"
                        ));
                    }
                    None => {
                        return unsuitable(
                            "Its curve cannot be told: its public key is not on the token".into(),
                        );
                    }
                }
            }
            _ => return unsuitable("It is neither an RSA nor an ECDSA key".into()),
        };
        let asks = key.asks.is_some();
        let schemes: Vec<_> = wanted.iter().filter_map(|scheme| Way::of(*scheme, mechanisms, asks)).collect();
        if schemes.is_empty() && asks {
            return unsuitable(
                "It wants its PIN before each signature, and the token has no mechanism that hashes and signs, which \
                 that takes; choose a key for authentication"
                    .into(),
            );
        }
        if schemes.is_empty() {
            let names: Vec<_> = wanted.iter().map(|scheme| format!("{:?}", Way::bare(*scheme))).collect();
            let names = names.first().cloned().unwrap_or_default();
            return unsuitable(format!("The token has no mechanism that TLS signs with, e.g. {names}"));
        }
        let algorithm = match facts.kind {
            Some(KeyType::RSA) => SignatureAlgorithm::RSA,
            _ => SignatureAlgorithm::ECDSA,
        };
        Ok(Self { key, spki: facts.spki.clone(), algorithm, schemes })
    }
}

const RSA_SCHEMES: [SignatureScheme; 6] = [
    SignatureScheme::RSA_PSS_SHA256,
    SignatureScheme::RSA_PSS_SHA384,
    SignatureScheme::RSA_PSS_SHA512,
    SignatureScheme::RSA_PKCS1_SHA256,
    SignatureScheme::RSA_PKCS1_SHA384,
    SignatureScheme::RSA_PKCS1_SHA512,
];

impl SigningKey for TokenSigningKey {
    fn choose_scheme(&self, offered: &[SignatureScheme]) -> Option<Box<dyn Signer>> {
        let way = self.schemes.iter().find(|way| offered.contains(&way.scheme))?;
        Some(Box::new(TokenSigner { key: Arc::clone(&self.key), way: *way }))
    }

    fn public_key(&self) -> Option<SubjectPublicKeyInfoDer<'_>> {
        self.spki.as_deref().map(SubjectPublicKeyInfoDer::from)
    }

    fn algorithm(&self) -> SignatureAlgorithm {
        self.algorithm
    }
}

impl Signer for TokenSigner {
    /// rustls signs where the handshake is, in a task; one that serves others is told that this may take a while.
    fn sign(&self, message: &[u8]) -> Result<Vec<u8>, rustls::Error> {
        use tokio::runtime::{Handle, RuntimeFlavor};
        let sign = || self.key.sign(self.way, message.to_vec());
        let signed = match Handle::try_current().map(|handle| handle.runtime_flavor()) {
            Ok(RuntimeFlavor::MultiThread) => tokio::task::block_in_place(sign),
            _ => sign(),
        };
        signed.map_err(|error| rustls::Error::Other(OtherError(Arc::new(error))))
    }

    fn scheme(&self) -> SignatureScheme {
        self.way.scheme
    }
}

impl Way {
    /// `parts` is for a key that is asked in between: only what hashes as well takes its data in parts.
    fn of(scheme: SignatureScheme, mechanisms: &Mechanisms, parts: bool) -> Option<Self> {
        let bare = mechanisms.has(Self::bare(scheme)) && !parts;
        (bare || mechanisms.has(Self::mechanism_of_whole(scheme)?)).then_some(Self { scheme, whole: !bare })
    }

    /// What signs a hash.
    fn bare(scheme: SignatureScheme) -> MechanismType {
        match scheme {
            SignatureScheme::RSA_PSS_SHA256
            | SignatureScheme::RSA_PSS_SHA384
            | SignatureScheme::RSA_PSS_SHA512 => MechanismType::RSA_PKCS_PSS,
            SignatureScheme::RSA_PKCS1_SHA256
            | SignatureScheme::RSA_PKCS1_SHA384
            | SignatureScheme::RSA_PKCS1_SHA512 => MechanismType::RSA_PKCS,
            _ => MechanismType::ECDSA,
        }
    }

    /// What hashes and signs.
    fn mechanism_of_whole(scheme: SignatureScheme) -> Option<MechanismType> {
        Some(match scheme {
            SignatureScheme::RSA_PSS_SHA256 => MechanismType::SHA256_RSA_PKCS_PSS,
            SignatureScheme::RSA_PSS_SHA384 => MechanismType::SHA384_RSA_PKCS_PSS,
            SignatureScheme::RSA_PSS_SHA512 => MechanismType::SHA512_RSA_PKCS_PSS,
            SignatureScheme::RSA_PKCS1_SHA256 => MechanismType::SHA256_RSA_PKCS,
            SignatureScheme::RSA_PKCS1_SHA384 => MechanismType::SHA384_RSA_PKCS,
            SignatureScheme::RSA_PKCS1_SHA512 => MechanismType::SHA512_RSA_PKCS,
            SignatureScheme::ECDSA_NISTP256_SHA256 => MechanismType::ECDSA_SHA256,
            SignatureScheme::ECDSA_NISTP384_SHA384 => MechanismType::ECDSA_SHA384,
            SignatureScheme::ECDSA_NISTP521_SHA512 => MechanismType::ECDSA_SHA512,
            _ => return None,
        })
    }

    fn hash(self) -> Hash {
        match self.scheme {
            SignatureScheme::RSA_PSS_SHA384
            | SignatureScheme::RSA_PKCS1_SHA384
            | SignatureScheme::ECDSA_NISTP384_SHA384 => Hash::Sha384,
            SignatureScheme::RSA_PSS_SHA512
            | SignatureScheme::RSA_PKCS1_SHA512
            | SignatureScheme::ECDSA_NISTP521_SHA512 => Hash::Sha512,
            _ => Hash::Sha256,
        }
    }

    /// The mechanism, and what it signs.
    fn mechanism(self, message: &[u8]) -> (Mechanism<'static>, Vec<u8>) {
        use Mechanism as M;
        let hash = self.hash();
        let digest = hash.of(message);
        match (Self::bare(self.scheme), self.whole) {
            (MechanismType::RSA_PKCS_PSS, false) => (M::RsaPkcsPss(hash.pss()), digest),
            (MechanismType::RSA_PKCS_PSS, true) => {
                let make = match hash {
                    Hash::Sha256 => M::Sha256RsaPkcsPss,
                    Hash::Sha384 => M::Sha384RsaPkcsPss,
                    Hash::Sha512 => M::Sha512RsaPkcsPss,
                };
                (make(hash.pss()), message.to_vec())
            }
            (MechanismType::RSA_PKCS, false) => (M::RsaPkcs, hash.info(&digest)),
            (MechanismType::RSA_PKCS, true) => {
                let mechanism = match hash {
                    Hash::Sha256 => M::Sha256RsaPkcs,
                    Hash::Sha384 => M::Sha384RsaPkcs,
                    Hash::Sha512 => M::Sha512RsaPkcs,
                };
                (mechanism, message.to_vec())
            }
            (_, false) => (M::Ecdsa, digest),
            (_, true) => {
                let mechanism = match hash {
                    Hash::Sha256 => M::EcdsaSha256,
                    Hash::Sha384 => M::EcdsaSha384,
                    Hash::Sha512 => M::EcdsaSha512,
                };
                (mechanism, message.to_vec())
            }
        }
    }

    /// A signature as TLS has it.
    fn encoded(self, signature: Vec<u8>) -> Vec<u8> {
        match Self::bare(self.scheme) {
            MechanismType::ECDSA => two_numbers(&signature),
            _ => signature,
        }
    }
}

impl Hash {
    fn of(self, message: &[u8]) -> Vec<u8> {
        match self {
            Self::Sha256 => Sha256::digest(message).to_vec(),
            Self::Sha384 => Sha384::digest(message).to_vec(),
            Self::Sha512 => Sha512::digest(message).to_vec(),
        }
    }

    /// As RFC 8446, 4.2.3 wants it: the same hash within, and a salt as long as it.
    fn pss(self) -> PkcsPssParams {
        let (hash_alg, mgf, salt) = match self {
            Self::Sha256 => (MechanismType::SHA256, PkcsMgfType::MGF1_SHA256, 32_u64),
            Self::Sha384 => (MechanismType::SHA384, PkcsMgfType::MGF1_SHA384, 48),
            Self::Sha512 => (MechanismType::SHA512, PkcsMgfType::MGF1_SHA512, 64),
        };
        PkcsPssParams { hash_alg, mgf, s_len: salt.into() }
    }

    /// DigestInfo (RFC 8017, 9.2): the hash and what it is.
    fn info(self, digest: &[u8]) -> Vec<u8> {
        let last = match self {
            Self::Sha256 => 1,
            Self::Sha384 => 2,
            Self::Sha512 => 3,
        };
        let identifier = [0x60, 0x86, 0x48, 0x01, 0x65, 0x03, 0x04, 0x02, last];
        let algorithm = encode(SEQUENCE, &[&encode(OBJECT_IDENTIFIER, &[&identifier]), &encode(NULL, &[])]);
        encode(SEQUENCE, &[&algorithm, &encode(OCTET_STRING, &[digest])])
    }
}

/// PKCS#11 puts the two numbers of an ECDSA signature side by side; TLS wants a SEQUENCE of them (RFC 3279, 2.2.3).
fn two_numbers(signature: &[u8]) -> Vec<u8> {
    let (r, s) = signature.split_at(signature.len() / 2);
    encode(SEQUENCE, &[&unsigned(r), &unsigned(s)])
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_digest_says_what_it_is() {
        // RFC 8017, 9.2, note 1.
        let info = Hash::Sha256.info(&[7; 32]);
        assert_eq!(hex::encode(&info[..19]), "3031300d060960864801650304020105000420");
        assert_eq!(hex::encode(&Hash::Sha512.info(&[7; 64])[..19]), "3051300d060960864801650304020305000440");
    }

    #[test]
    fn two_numbers_make_a_sequence() {
        let signature = [&[0x80, 1][..], &[0, 5]].concat();
        assert_eq!(two_numbers(&signature), [0x30, 8, 2, 3, 0, 0x80, 1, 2, 1, 5]);
    }

    #[test]
    fn what_a_token_lacks_is_made_here() {
        let scheme = SignatureScheme::RSA_PSS_SHA256;
        let both = Mechanisms(vec![MechanismType::RSA_PKCS_PSS, MechanismType::SHA256_RSA_PKCS_PSS]);
        let whole = Mechanisms(vec![MechanismType::SHA256_RSA_PKCS_PSS]);
        let bare = Mechanisms(vec![MechanismType::RSA_PKCS_PSS]);
        assert!(Way::of(scheme, &both, false).is_some_and(|way| !way.whole));
        assert!(Way::of(scheme, &whole, false).is_some_and(|way| way.whole));
        assert!(Way::of(SignatureScheme::RSA_PKCS1_SHA256, &both, false).is_none());
        // A key that is asked before each signature takes what hashes as well, or nothing.
        assert!(Way::of(scheme, &both, true).is_some_and(|way| way.whole));
        assert!(Way::of(scheme, &bare, true).is_none());
    }
}
