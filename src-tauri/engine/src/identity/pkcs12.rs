//! PKCS#12 bundles (RFC 7292), modern and old. In: the file's bytes and a passphrase. Out: its certificates and
//! private keys. Bundles sealed with a public key are not read. Which key belongs to which certificate is told
//! by the keys themselves, not by the names and numbers in the bundle.

use aws_lc_rs::{digest, hmac, rand};
use zeroize::Zeroizing;

use super::der::{self, CONTEXT_0, CONTEXT_0_PRIMITIVE, INTEGER, OBJECT_IDENTIFIER, OCTET_STRING, SEQUENCE};
use super::encryption::{self, Budget, KeyUse, Locked, Passphrase};
use crate::secret::Secret;

/// What is in a bundle, in its order. Keys are PKCS#8.
#[derive(Default)]
pub(super) struct Bundle {
    pub certificates: Vec<Vec<u8>>,
    pub keys: Vec<Zeroizing<Vec<u8>>>,
    /// Whether it took a passphrase to open it.
    pub encrypted: bool,
}

/// Whether the bytes begin as a bundle does: a sequence whose first member is the version, 3.
pub(super) fn begins_as_one(bytes: &[u8]) -> bool {
    let inner = match bytes {
        [SEQUENCE, 0x80, rest @ ..] => Some(rest),
        [SEQUENCE, short @ 0..=0x7f, rest @ ..] => (*short > 4).then_some(rest),
        [SEQUENCE, 0x81, _, rest @ ..] | [SEQUENCE, 0x82, _, _, rest @ ..] => Some(rest),
        [SEQUENCE, 0x83, _, _, _, rest @ ..] | [SEQUENCE, 0x84, _, _, _, _, rest @ ..] => Some(rest),
        _ => None,
    };
    inner.is_some_and(|inner| inner.starts_with(&[INTEGER, 1, 3, SEQUENCE]))
}

/// Opens a bundle. Without a passphrase, those that were made without one open.
pub(super) fn open(bytes: &[u8], passphrase: Option<&Secret>) -> Result<Bundle, Locked> {
    let der = der::from_ber(bytes).ok_or(CUT)?;
    let outer = Outer::read(&der)?;
    let mut budget = Budget::default();
    let given = passphrase.filter(|secret| !secret.expose().is_empty());
    if let Some(given) = given {
        match outer.open(&Passphrase::of(given), &mut budget) {
            Err(Locked::Wrong) => {}
            other => return other.map(|bundle| Bundle { encrypted: true, ..bundle }),
        }
    }
    for nothing in [Passphrase::empty(), Passphrase::none()] {
        // Guesses of ours: only worth the decryption when the checksum, where there is one, agrees.
        let worth = match &outer.mac {
            Some(mac) => mac.matches(outer.safes, &nothing, &mut budget)?,
            None => true,
        };
        match worth.then(|| outer.open(&nothing, &mut budget)) {
            None | Some(Err(Locked::Wrong)) => {}
            Some(other) => return other,
        }
    }
    Err(if given.is_some() { Locked::Wrong } else { Locked::Required })
}

const CUT: Locked = Locked::Damaged("its structure cannot be read: it was cut or changed");

/// 1.2.840.113549.1.7.1
const DATA: &[u8] = &[0x2a, 0x86, 0x48, 0x86, 0xf7, 0x0d, 0x01, 0x07, 0x01];
/// 1.2.840.113549.1.7.6
const ENCRYPTED_DATA: &[u8] = &[0x2a, 0x86, 0x48, 0x86, 0xf7, 0x0d, 0x01, 0x07, 0x06];
/// 1.2.840.113549.1.12.10.1: the types of bags.
const BAG: &[u8] = &[0x2a, 0x86, 0x48, 0x86, 0xf7, 0x0d, 0x01, 0x0c, 0x0a, 0x01];
/// 1.2.840.113549.1.9.22.1
const X509_CERTIFICATE: &[u8] = &[0x2a, 0x86, 0x48, 0x86, 0xf7, 0x0d, 0x01, 0x09, 0x16, 0x01];
/// 1.2.840.113549.1.9.21
const LOCAL_KEY_ID: &[u8] = &[0x2a, 0x86, 0x48, 0x86, 0xf7, 0x0d, 0x01, 0x09, 0x15];
/// Bags within bags; honest files have one level.
const DEEPEST: usize = 4;

/// The outside of a bundle: what can be read without a passphrase.
struct Outer<'b> {
    safes: &'b [u8],
    mac: Option<Mac<'b>>,
}

/// What shows that nothing was changed (RFC 7292, 4).
struct Mac<'b> {
    hash: &'static digest::Algorithm,
    algorithm: hmac::Algorithm,
    digest: &'b [u8],
    salt: &'b [u8],
    rounds: u64,
}

impl<'b> Outer<'b> {
    fn read(bytes: &'b [u8]) -> Result<Self, Locked> {
        let (body, _) = der::expect(bytes, SEQUENCE).ok_or(CUT)?;
        let (_, rest) = der::expect(body, INTEGER).ok_or(CUT)?;
        let (content, rest) = der::expect(rest, SEQUENCE).ok_or(CUT)?;
        let (identifier, inner) = der::expect(content, OBJECT_IDENTIFIER).ok_or(CUT)?;
        if identifier != DATA {
            return Err(Locked::Unsupported("a bundle sealed with a public key".into()));
        }
        let (inner, _) = der::expect(inner, CONTEXT_0).ok_or(CUT)?;
        let (safes, _) = der::expect(inner, OCTET_STRING).ok_or(CUT)?;
        let mac = match rest {
            [] => None,
            rest => Mac::read(der::expect(rest, SEQUENCE).ok_or(CUT)?.0)?,
        };
        Ok(Self { safes, mac })
    }

    fn open(&self, passphrase: &Passphrase, budget: &mut Budget) -> Result<Bundle, Locked> {
        let whole = match &self.mac {
            Some(mac) => mac.matches(self.safes, passphrase, budget)?,
            None => true,
        };
        let mut bundle = Bundle::default();
        let (safes, _) = der::expect(self.safes, SEQUENCE).ok_or(CUT)?;
        let mut decrypted = false;
        for (_, safe) in der::elements(safes).ok_or(CUT)? {
            let (identifier, inner) = der::expect(safe, OBJECT_IDENTIFIER).ok_or(CUT)?;
            let (inner, _) = der::expect(inner, CONTEXT_0).ok_or(CUT)?;
            match identifier {
                DATA => {
                    let (bags, _) = der::expect(inner, OCTET_STRING).ok_or(CUT)?;
                    decrypted |= bundle.take(bags, passphrase, budget, 0)?;
                }
                ENCRYPTED_DATA => {
                    let bags = open_encrypted(inner, passphrase, budget)?;
                    decrypted = true;
                    bundle.take(&bags, passphrase, budget, 0)?;
                }
                _ => return Err(Locked::Unsupported("a bundle sealed with a public key".into())),
            }
        }
        match (whole, decrypted) {
            (true, _) => Ok(bundle),
            // The passphrase opened it, so it is the right one, and something else was changed.
            (false, true) => Err(Locked::Damaged("its checksum does not match: it was changed")),
            (false, false) => Err(Locked::Wrong),
        }
    }
}

impl<'b> Mac<'b> {
    /// `None` for a kind of checksum that is not known here: what is encrypted shows by itself whether it opens.
    fn read(body: &'b [u8]) -> Result<Option<Self>, Locked> {
        let (info, rest) = der::expect(body, SEQUENCE).ok_or(CUT)?;
        let (salt, rest) = der::expect(rest, OCTET_STRING).ok_or(CUT)?;
        let rounds = match rest {
            [] => 1,
            rest => der::expect(rest, INTEGER).and_then(|(n, _)| der::number(n)).ok_or(CUT)?,
        };
        let (algorithm, rest) = der::expect(info, SEQUENCE).ok_or(CUT)?;
        let (digest, _) = der::expect(rest, OCTET_STRING).ok_or(CUT)?;
        let (identifier, _) = der::expect(algorithm, OBJECT_IDENTIFIER).ok_or(CUT)?;
        let (hash, algorithm) = match identifier {
            // 1.3.14.3.2.26, and SHA-2 below 2.16.840.1.101.3.4.2
            [0x2b, 0x0e, 0x03, 0x02, 0x1a] => {
                (&digest::SHA1_FOR_LEGACY_USE_ONLY, hmac::HMAC_SHA1_FOR_LEGACY_USE_ONLY)
            }
            [0x60, 0x86, 0x48, 0x01, 0x65, 0x03, 0x04, 0x02, sha2] => match sha2 {
                1 => (&digest::SHA256, hmac::HMAC_SHA256),
                2 => (&digest::SHA384, hmac::HMAC_SHA384),
                3 => (&digest::SHA512, hmac::HMAC_SHA512),
                4 => (&digest::SHA224, hmac::HMAC_SHA224),
                _ => return Ok(None),
            },
            _ => return Ok(None),
        };
        Ok(Some(Self { hash, algorithm, digest, salt, rounds }))
    }

    fn matches(&self, safes: &[u8], passphrase: &Passphrase, budget: &mut Budget) -> Result<bool, Locked> {
        let length = self.hash.output_len();
        let key = encryption::pkcs12_key(
            self.hash,
            KeyUse::Mac,
            passphrase,
            self.salt,
            self.rounds,
            length,
            budget,
        )?;
        Ok(hmac::verify(&hmac::Key::new(self.algorithm, &key), safes, self.digest).is_ok())
    }
}

/// `EncryptedData` (RFC 5652, 8).
fn open_encrypted(
    inner: &[u8],
    passphrase: &Passphrase,
    budget: &mut Budget,
) -> Result<Zeroizing<Vec<u8>>, Locked> {
    let (body, _) = der::expect(inner, SEQUENCE).ok_or(CUT)?;
    let (_, rest) = der::expect(body, INTEGER).ok_or(CUT)?;
    let (info, _) = der::expect(rest, SEQUENCE).ok_or(CUT)?;
    let (_, rest) = der::expect(info, OBJECT_IDENTIFIER).ok_or(CUT)?;
    let (algorithm, rest) = der::expect(rest, SEQUENCE).ok_or(CUT)?;
    let sealed = match der::element(rest).ok_or(CUT)? {
        (CONTEXT_0_PRIMITIVE, sealed, _) => sealed,
        (CONTEXT_0, pieces, _) => der::expect(pieces, OCTET_STRING).ok_or(CUT)?.0,
        _ => return Err(CUT),
    };
    encryption::decrypt(algorithm, sealed, passphrase, budget)
}

impl Bundle {
    /// Takes what is in `SafeContents`; says whether something in it had to be decrypted.
    fn take(
        &mut self,
        bags: &[u8],
        passphrase: &Passphrase,
        budget: &mut Budget,
        depth: usize,
    ) -> Result<bool, Locked> {
        if depth > DEEPEST {
            return Err(CUT);
        }
        let mut decrypted = false;
        let (bags, _) = der::expect(bags, SEQUENCE).ok_or(CUT)?;
        for (_, bag) in der::elements(bags).ok_or(CUT)? {
            let (identifier, rest) = der::expect(bag, OBJECT_IDENTIFIER).ok_or(CUT)?;
            let (value, _) = der::expect(rest, CONTEXT_0).ok_or(CUT)?;
            match identifier.strip_prefix(BAG) {
                Some([1]) => self.keys.push(Zeroizing::new(value.to_vec())),
                Some([2]) => {
                    self.keys.push(encryption::open_pkcs8(value, passphrase, budget)?);
                    decrypted = true;
                }
                Some([3]) => self.take_certificate(value)?,
                Some([6]) => decrypted |= self.take(value, passphrase, budget, depth + 1)?,
                // Revocation lists, and secrets that are no keys of TLS.
                _ => {}
            }
        }
        Ok(decrypted)
    }

    fn take_certificate(&mut self, value: &[u8]) -> Result<(), Locked> {
        let (body, _) = der::expect(value, SEQUENCE).ok_or(CUT)?;
        let (kind, rest) = der::expect(body, OBJECT_IDENTIFIER).ok_or(CUT)?;
        if kind == X509_CERTIFICATE {
            let (inner, _) = der::expect(rest, CONTEXT_0).ok_or(CUT)?;
            self.certificates.push(der::expect(inner, OCTET_STRING).ok_or(CUT)?.0.to_vec());
        }
        Ok(())
    }
}

/// Rounds of the checksum's derivation, whose passphrase is protected no better than by this. Old readers refuse
/// more than a few hundred thousand.
const MAC_ROUNDS: u32 = 100_000;

/// Writes a bundle: certificates leaf first, and the leaf's key (PKCS#8), encrypted with AES-256 and PBKDF2.
///
/// # Errors
/// The operating system gives no random numbers.
pub(super) fn write(
    certificates: &[&[u8]],
    key: &[u8],
    passphrase: &Secret,
) -> Result<Vec<u8>, aws_lc_rs::error::Unspecified> {
    let passphrase = Passphrase::of(passphrase);
    let key_id = digest::digest(&digest::SHA256, certificates.first().copied().unwrap_or_default());
    let attributes = der::encode(
        0x31,
        &[&der::encode(
            SEQUENCE,
            &[
                &der::encode(OBJECT_IDENTIFIER, &[LOCAL_KEY_ID]),
                &der::encode(0x31, &[&der::encode(OCTET_STRING, &[key_id.as_ref()])]),
            ],
        )],
    );
    let bag = |kind: u8, value: &[u8], attributes: &[u8]| {
        let identifier = der::encode(OBJECT_IDENTIFIER, &[BAG, &[kind]]);
        der::encode(SEQUENCE, &[&identifier, &der::encode(CONTEXT_0, &[value]), attributes])
    };
    let bags: Vec<Vec<u8>> = certificates
        .iter()
        .enumerate()
        .map(|(index, certificate)| {
            let string = der::encode(CONTEXT_0, &[&der::encode(OCTET_STRING, &[certificate])]);
            let kind = der::encode(OBJECT_IDENTIFIER, &[X509_CERTIFICATE]);
            let value = der::encode(SEQUENCE, &[&kind, &string]);
            bag(3, &value, if index == 0 { &attributes } else { &[] })
        })
        .collect();
    let bags = der::encode(SEQUENCE, &bags.iter().map(Vec::as_slice).collect::<Vec<_>>());
    let (algorithm, sealed) = encryption::encrypt(&bags, &passphrase, encryption::ROUNDS)?;
    let info = der::encode(
        SEQUENCE,
        &[
            &der::encode(OBJECT_IDENTIFIER, &[DATA]),
            &algorithm,
            &der::encode(CONTEXT_0_PRIMITIVE, &[&sealed]),
        ],
    );
    let encrypted = der::encode(SEQUENCE, &[&der::encode_number(0), &info]);
    let (algorithm, sealed) = encryption::encrypt(key, &passphrase, encryption::ROUNDS)?;
    let shrouded = der::encode(SEQUENCE, &[&algorithm, &der::encode(OCTET_STRING, &[&sealed])]);
    let keys = der::encode(SEQUENCE, &[&bag(2, &shrouded, &attributes)]);
    let content = |identifier: &[u8], inner: &[u8]| {
        let identifier = der::encode(OBJECT_IDENTIFIER, &[identifier]);
        der::encode(SEQUENCE, &[&identifier, &der::encode(CONTEXT_0, &[inner])])
    };
    let data = |inner: &[u8]| content(DATA, &der::encode(OCTET_STRING, &[inner]));
    let safes = der::encode(SEQUENCE, &[&content(ENCRYPTED_DATA, &encrypted), &data(&keys)]);

    let mut salt = [0; 16];
    rand::fill(&mut salt)?;
    // What is written is far below what the budget allows.
    let mut budget = Budget::default();
    let key = encryption::pkcs12_key(
        &digest::SHA256,
        KeyUse::Mac,
        &passphrase,
        &salt,
        MAC_ROUNDS.into(),
        32,
        &mut budget,
    )
    .map_err(|_| aws_lc_rs::error::Unspecified)?;
    let tag = hmac::sign(&hmac::Key::new(hmac::HMAC_SHA256, &key), &safes);
    let sha256 = der::encode(
        SEQUENCE,
        &[
            &der::encode(OBJECT_IDENTIFIER, &[&[0x60, 0x86, 0x48, 0x01, 0x65, 0x03, 0x04, 0x02, 0x01]]),
            &der::encode(der::NULL, &[]),
        ],
    );
    let mac = der::encode(
        SEQUENCE,
        &[
            &der::encode(SEQUENCE, &[&sha256, &der::encode(OCTET_STRING, &[tag.as_ref()])]),
            &der::encode(OCTET_STRING, &[&salt]),
            &der::encode_number(MAC_ROUNDS.into()),
        ],
    );
    Ok(der::encode(SEQUENCE, &[&der::encode_number(3), &data(&safes), &mac]))
}
