//! Password-based encryption of keys, as files use it: PBES1 and PBES2 (RFC 8018), the older schemes of PKCS#12
//! (RFC 7292, appendix B and C), and PEM's own (RFC 1421). In: an algorithm's parameters, bytes and a passphrase.
//! Out: the bytes in the clear, or why not: a wrong passphrase is told from a damaged file where the bytes allow
//! it. Every derivation is paid from a budget, so that no file can keep the machine busy.

use std::num::NonZeroU32;

use aes::cipher::block_padding::{NoPadding, Pkcs7};
use aes::cipher::{BlockCipherDecrypt, BlockModeDecrypt, BlockModeEncrypt, KeyInit, KeyIvInit};
use aws_lc_rs::{digest, pbkdf2, rand};
use md5::{Digest as _, Md5};
use zeroize::Zeroizing;

use super::der::{self, OBJECT_IDENTIFIER, OCTET_STRING, SEQUENCE};
use crate::secret::Secret;

/// Why something encrypted cannot be opened.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Locked {
    /// It needs a passphrase, and none was given.
    Required,
    /// The passphrase is not the right one.
    Wrong,
    /// The passphrase may be right; the bytes are not.
    Damaged(&'static str),
    /// Encrypted in a way that is not read here.
    Unsupported(String),
    /// Opening it would take longer than any honest file does.
    TooCostly(String),
}

/// How much work one file may cause, in steps of about a microsecond.
pub(super) struct Budget(u64);

/// Sixteen times what the costliest tools in use ask for (600,000 iterations); ten seconds or so.
const LARGEST_WORK: u64 = 10_000_000;
/// The memory that scrypt (RFC 7914) may take, in bytes.
const LARGEST_MEMORY: u64 = 256 * 1024 * 1024;

impl Default for Budget {
    fn default() -> Self {
        Self(LARGEST_WORK)
    }
}

impl Budget {
    fn pay(&mut self, steps: u64) -> Result<(), Locked> {
        self.0 = self.0.checked_sub(steps).ok_or_else(|| {
            Locked::TooCostly(format!(
                "it asks for {steps} rounds of key derivation, more than are done here"
            ))
        })?;
        Ok(())
    }
}

/// A passphrase in the two forms in which files take it.
pub(super) struct Passphrase {
    /// Its bytes, UTF-8 as a rule.
    pub bytes: Zeroizing<Vec<u8>>,
    /// UTF-16, big endian, ended by a null character (RFC 7292, B.1).
    pub utf16: Zeroizing<Vec<u8>>,
}

impl Passphrase {
    pub(super) fn of(secret: &Secret) -> Self {
        let utf16: Vec<u8> = match secret.expose_text() {
            Ok(text) => text.encode_utf16().chain([0]).flat_map(u16::to_be_bytes).collect(),
            Err(_) => secret.expose().iter().chain(&[0]).flat_map(|byte| [0, *byte]).collect(),
        };
        Self { bytes: Zeroizing::new(secret.expose().to_vec()), utf16: Zeroizing::new(utf16) }
    }

    /// An empty one.
    pub(super) fn empty() -> Self {
        Self { bytes: Zeroizing::default(), utf16: Zeroizing::new(vec![0, 0]) }
    }

    /// None at all, which some tools tell from an empty one.
    pub(super) fn none() -> Self {
        Self { bytes: Zeroizing::default(), utf16: Zeroizing::default() }
    }
}

/// Opens an `EncryptedPrivateKeyInfo` (RFC 5958, 3): the PKCS#8 key in it.
pub(super) fn open_pkcs8(
    bytes: &[u8],
    passphrase: &Passphrase,
    budget: &mut Budget,
) -> Result<Zeroizing<Vec<u8>>, Locked> {
    let damaged = Locked::Damaged("its structure cannot be read");
    let (body, _) = der::expect(bytes, SEQUENCE).ok_or(damaged.clone())?;
    let (algorithm, rest) = der::expect(body, SEQUENCE).ok_or(damaged.clone())?;
    let (sealed, _) = der::expect(rest, OCTET_STRING).ok_or(damaged)?;
    decrypt(algorithm, sealed, passphrase, budget)
}

/// Opens a PEM block with `DEK-Info` (RFC 1421, 4.6.1.3), with the key derivation that OpenSSL gave it.
pub(super) fn open_pem(
    dek_info: &str,
    sealed: &[u8],
    passphrase: &Passphrase,
) -> Result<Zeroizing<Vec<u8>>, Locked> {
    let (name, iv) = dek_info.split_once(',').ok_or(Locked::Damaged("its header DEK-Info is incomplete"))?;
    let (name, iv) = (name.trim(), hex::decode(iv.trim()));
    let iv = iv.map_err(|_| Locked::Damaged("its header DEK-Info is not hexadecimal"))?;
    let cipher = match name.to_ascii_uppercase().as_str() {
        "AES-128-CBC" => Cipher::Aes128,
        "AES-192-CBC" => Cipher::Aes192,
        "AES-256-CBC" => Cipher::Aes256,
        "DES-EDE3-CBC" => Cipher::TripleDes,
        "DES-CBC" => Cipher::Des,
        _ => return Err(Locked::Unsupported(format!("the cipher {name}"))),
    };
    let salt = iv.get(..8).ok_or(Locked::Damaged("its initialisation vector is cut"))?;
    let mut key: Zeroizing<Vec<u8>> = Zeroizing::default();
    let mut last: Vec<u8> = Vec::new();
    while key.len() < cipher.key_length() {
        let hash = Md5::new().chain_update(&last).chain_update(&passphrase.bytes).chain_update(salt);
        last = hash.finalize().to_vec();
        key.extend_from_slice(&last);
    }
    cipher.open(&key[..cipher.key_length()], &iv, sealed)
}

/// Opens bytes that were encrypted as an `AlgorithmIdentifier` says, given without its own header.
pub(super) fn decrypt(
    algorithm: &[u8],
    sealed: &[u8],
    passphrase: &Passphrase,
    budget: &mut Budget,
) -> Result<Zeroizing<Vec<u8>>, Locked> {
    let damaged = Locked::Damaged("the parameters of its encryption cannot be read");
    let (identifier, rest) = der::expect(algorithm, OBJECT_IDENTIFIER).ok_or(damaged.clone())?;
    let (parameters, _) = der::expect(rest, SEQUENCE).ok_or(damaged.clone())?;
    if identifier == PBES2 {
        return pbes2(parameters, sealed, passphrase, budget);
    }
    let (salt, rest) = der::expect(parameters, OCTET_STRING).ok_or(damaged.clone())?;
    let rounds =
        der::expect(rest, der::INTEGER).and_then(|(number, _)| der::number(number)).ok_or(damaged)?;
    if let Some(scheme) = identifier.strip_prefix(PKCS12_PBE) {
        let (cipher, length) = match scheme {
            [3] => (Cipher::TripleDes, 24),
            [4] => (Cipher::TripleDes, 16),
            [5] => (Cipher::Rc2, 16),
            [6] => (Cipher::Rc2, 5),
            _ => return Err(Locked::Unsupported("RC4".into())),
        };
        let sha1 = &digest::SHA1_FOR_LEGACY_USE_ONLY;
        let mut key = pkcs12_key(sha1, KeyUse::Key, passphrase, salt, rounds, length, budget)?;
        let iv = pkcs12_key(sha1, KeyUse::Iv, passphrase, salt, rounds, 8, budget)?;
        if length == 16 && cipher == Cipher::TripleDes {
            key.extend_from_within(..8);
        }
        return cipher.open(&key, &iv, sealed);
    }
    let (hash, cipher) = match identifier.strip_prefix(PKCS5) {
        Some([3]) => (pbkdf1_md5 as fn(&[u8]) -> Vec<u8>, Cipher::Des),
        Some([6]) => (pbkdf1_md5 as _, Cipher::Rc2),
        Some([10]) => (pbkdf1_sha1 as _, Cipher::Des),
        Some([11]) => (pbkdf1_sha1 as _, Cipher::Rc2),
        _ => return Err(Locked::Unsupported(format!("the algorithm {}", identifier_text(identifier)))),
    };
    budget.pay(rounds)?;
    let mut block = Zeroizing::new(hash(&[&passphrase.bytes, salt].concat()));
    for _ in 1..rounds {
        block = Zeroizing::new(hash(&block));
    }
    cipher.open(&block[..8], &block[8..16], sealed)
}

fn pbkdf1_md5(bytes: &[u8]) -> Vec<u8> {
    Md5::digest(bytes).to_vec()
}

fn pbkdf1_sha1(bytes: &[u8]) -> Vec<u8> {
    digest::digest(&digest::SHA1_FOR_LEGACY_USE_ONLY, bytes).as_ref().to_vec()
}

/// 1.2.840.113549.1.5: PKCS#5.
const PKCS5: &[u8] = &[0x2a, 0x86, 0x48, 0x86, 0xf7, 0x0d, 0x01, 0x05];
/// 1.2.840.113549.1.12.1: the encryption schemes of PKCS#12.
const PKCS12_PBE: &[u8] = &[0x2a, 0x86, 0x48, 0x86, 0xf7, 0x0d, 0x01, 0x0c, 0x01];
/// 1.2.840.113549.1.5.13
const PBES2: &[u8] = &[0x2a, 0x86, 0x48, 0x86, 0xf7, 0x0d, 0x01, 0x05, 0x0d];
/// 1.2.840.113549.1.5.12
const PBKDF2: &[u8] = &[0x2a, 0x86, 0x48, 0x86, 0xf7, 0x0d, 0x01, 0x05, 0x0c];
/// 1.3.6.1.4.1.11591.4.11
const SCRYPT: &[u8] = &[0x2b, 0x06, 0x01, 0x04, 0x01, 0xda, 0x47, 0x04, 0x0b];
/// 1.2.840.113549.2: digests and their HMACs.
const HMAC: &[u8] = &[0x2a, 0x86, 0x48, 0x86, 0xf7, 0x0d, 0x02];
/// 1.2.840.113549.2.9
const HMAC_SHA256: &[u8] = &[0x2a, 0x86, 0x48, 0x86, 0xf7, 0x0d, 0x02, 0x09];
/// 2.16.840.1.101.3.4.1: AES.
const AES: &[u8] = &[0x60, 0x86, 0x48, 0x01, 0x65, 0x03, 0x04, 0x01];
/// 2.16.840.1.101.3.4.1.42
const AES_256_CBC: &[u8] = &[0x60, 0x86, 0x48, 0x01, 0x65, 0x03, 0x04, 0x01, 0x2a];
/// 1.2.840.113549.3.7
const DES_EDE3_CBC: &[u8] = &[0x2a, 0x86, 0x48, 0x86, 0xf7, 0x0d, 0x03, 0x07];
/// 1.3.14.3.2.7
const DES_CBC: &[u8] = &[0x2b, 0x0e, 0x03, 0x02, 0x07];

/// RFC 8018, 6.2 and appendix A.4.
fn pbes2(
    parameters: &[u8],
    sealed: &[u8],
    passphrase: &Passphrase,
    budget: &mut Budget,
) -> Result<Zeroizing<Vec<u8>>, Locked> {
    let damaged = || Locked::Damaged("the parameters of its encryption cannot be read");
    let (derivation, rest) = der::expect(parameters, SEQUENCE).ok_or_else(damaged)?;
    let (scheme, _) = der::expect(rest, SEQUENCE).ok_or_else(damaged)?;
    let (identifier, rest) = der::expect(scheme, OBJECT_IDENTIFIER).ok_or_else(damaged)?;
    let cipher = match identifier {
        DES_EDE3_CBC => Some(Cipher::TripleDes),
        DES_CBC => Some(Cipher::Des),
        _ => match identifier.strip_prefix(AES) {
            Some([2]) => Some(Cipher::Aes128),
            Some([22]) => Some(Cipher::Aes192),
            Some([42]) => Some(Cipher::Aes256),
            _ => None,
        },
    };
    let cipher =
        cipher.ok_or_else(|| Locked::Unsupported(format!("the cipher {}", identifier_text(identifier))))?;
    let (iv, _) = der::expect(rest, OCTET_STRING).ok_or_else(damaged)?;

    let (identifier, rest) = der::expect(derivation, OBJECT_IDENTIFIER).ok_or_else(damaged)?;
    let (parameters, _) = der::expect(rest, SEQUENCE).ok_or_else(damaged)?;
    let (salt, rest) = der::expect(parameters, OCTET_STRING).ok_or_else(damaged)?;
    let rest = der::elements(rest).ok_or_else(damaged)?;
    let numbers: Vec<u64> =
        rest.iter().map_while(|(tag, n)| (*tag == der::INTEGER).then(|| der::number(n))?).collect();
    let mut key = Zeroizing::new(vec![0; cipher.key_length()]);
    match (identifier, numbers.as_slice()) {
        (PBKDF2, [rounds, ..]) => {
            let prf = rest.iter().find(|(tag, _)| *tag == SEQUENCE);
            let algorithm = match prf.map(|(_, prf)| der::expect(prf, OBJECT_IDENTIFIER)) {
                None => pbkdf2::PBKDF2_HMAC_SHA1,
                Some(prf) => match prf.and_then(|(identifier, _)| identifier.strip_prefix(HMAC)) {
                    Some([7]) => pbkdf2::PBKDF2_HMAC_SHA1,
                    Some([9]) => pbkdf2::PBKDF2_HMAC_SHA256,
                    Some([10]) => pbkdf2::PBKDF2_HMAC_SHA384,
                    Some([11]) => pbkdf2::PBKDF2_HMAC_SHA512,
                    _ => return Err(Locked::Unsupported("a rare function of key derivation".into())),
                },
            };
            // SHA-1 gives 20 bytes a run, so a longer key takes two.
            budget.pay(rounds.saturating_mul(2))?;
            let rounds = u32::try_from(*rounds).ok().and_then(NonZeroU32::new).ok_or_else(damaged)?;
            pbkdf2::derive(algorithm, rounds, salt, &passphrase.bytes, &mut key);
        }
        (SCRYPT, [n, r, p, ..]) => {
            let blocks = n.saturating_mul(*r);
            if blocks.saturating_mul(128) > LARGEST_MEMORY {
                let text = "it asks for more than 256 MiB of memory to derive its key (scrypt)";
                return Err(Locked::TooCostly(text.into()));
            }
            budget.pay(blocks.saturating_mul(*p))?;
            let small = |number: &u64| u32::try_from(*number).ok();
            let parameters = (n.is_power_of_two() && *n > 1)
                .then(|| scrypt::Params::new(n.trailing_zeros() as u8, small(r)?, small(p)?).ok());
            let parameters = parameters.flatten().ok_or_else(damaged)?;
            scrypt::scrypt(&passphrase.bytes, salt, &parameters, &mut key).map_err(|_| damaged())?;
        }
        (PBKDF2 | SCRYPT, _) => return Err(damaged()),
        (other, _) => return Err(Locked::Unsupported(format!("the algorithm {}", identifier_text(other)))),
    }
    cipher.open(&key, iv, sealed)
}

/// What a key of PKCS#12 is for (RFC 7292, B.3).
#[derive(Debug, Clone, Copy)]
pub(super) enum KeyUse {
    Key = 1,
    Iv = 2,
    Mac = 3,
}

/// The key derivation of PKCS#12 (RFC 7292, B.2).
pub(super) fn pkcs12_key(
    hash: &'static digest::Algorithm,
    usage: KeyUse,
    passphrase: &Passphrase,
    salt: &[u8],
    rounds: u64,
    length: usize,
    budget: &mut Budget,
) -> Result<Zeroizing<Vec<u8>>, Locked> {
    let block = hash.block_len();
    budget.pay(rounds.saturating_mul(length.div_ceil(hash.output_len()) as u64))?;
    let diversifier = vec![usage as u8; block];
    let filled = |bytes: &[u8]| -> Vec<u8> {
        bytes.iter().copied().cycle().take(block * bytes.len().div_ceil(block)).collect()
    };
    let mut input = Zeroizing::new([filled(salt), filled(&passphrase.utf16)].concat());
    let mut key = Zeroizing::new(Vec::new());
    while key.len() < length {
        let mut state = digest::Context::new(hash);
        state.update(&diversifier);
        state.update(&input);
        let mut output = state.finish();
        for _ in 1..rounds {
            output = digest::digest(hash, output.as_ref());
        }
        key.extend_from_slice(output.as_ref());
        // Every block of the input grows by the output, as a number, plus one.
        let addend = filled_to(output.as_ref(), block);
        for chunk in input.chunks_mut(block) {
            let mut carry = 1u16;
            for (digit, add) in chunk.iter_mut().zip(&addend).rev() {
                carry += u16::from(*digit) + u16::from(*add);
                *digit = carry as u8;
                carry >>= 8;
            }
        }
    }
    key.truncate(length);
    Ok(key)
}

fn filled_to(bytes: &[u8], length: usize) -> Vec<u8> {
    bytes.iter().copied().cycle().take(length).collect()
}

/// Ciphers in CBC mode.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Cipher {
    Aes128,
    Aes192,
    Aes256,
    TripleDes,
    Des,
    Rc2,
}

impl Cipher {
    fn key_length(self) -> usize {
        match self {
            Self::Aes128 => 16,
            Self::Aes192 | Self::TripleDes => 24,
            Self::Aes256 => 32,
            Self::Des | Self::Rc2 => 8,
        }
    }

    fn open(self, key: &[u8], iv: &[u8], sealed: &[u8]) -> Result<Zeroizing<Vec<u8>>, Locked> {
        match self {
            Self::Aes128 => open_cbc::<aes::Aes128>(key, iv, sealed),
            Self::Aes192 => open_cbc::<aes::Aes192>(key, iv, sealed),
            Self::Aes256 => open_cbc::<aes::Aes256>(key, iv, sealed),
            Self::TripleDes => open_cbc::<des::TdesEde3>(key, iv, sealed),
            Self::Des => open_cbc::<des::Des>(key, iv, sealed),
            Self::Rc2 => open_cbc::<rc2::Rc2>(key, iv, sealed),
        }
    }
}

fn open_cbc<C: BlockCipherDecrypt + KeyInit>(
    key: &[u8],
    iv: &[u8],
    sealed: &[u8],
) -> Result<Zeroizing<Vec<u8>>, Locked> {
    let damaged = Locked::Damaged;
    let size = C::block_size();
    if sealed.is_empty() || !sealed.len().is_multiple_of(size) {
        return Err(damaged("its encrypted part was cut"));
    }
    let cipher = cbc::Decryptor::<C>::new_from_slices(key, iv)
        .map_err(|_| damaged("its initialisation vector has the wrong length"))?;
    let mut open = Zeroizing::new(sealed.to_vec());
    cipher.decrypt_padded::<NoPadding>(&mut open).map_err(|_| damaged("its encrypted part was cut"))?;
    let padding = open.last().copied().map_or(0, usize::from);
    let kept = open.len().saturating_sub(padding);
    let padded = (1..=size).contains(&padding) && open[kept..].iter().all(|b| usize::from(*b) == padding);
    // All that is ever encrypted here is one DER sequence, of a version number and more, or of further sequences.
    // Where one begins that is as long as the bytes are, the passphrase was right, whatever follows. Less than
    // that stands by chance in one of some thousands of wrong passphrases.
    let told = der::length_told(&open).filter(|_| is_key_or_contents(&open));
    let right = told.is_some_and(|told| told < open.len() && open.len() - told <= size);
    match (right, padded) {
        (true, true) if told == Some(kept) => {
            open.truncate(kept);
            Ok(open)
        }
        (true, _) => Err(damaged("its encrypted part was changed")),
        (false, _) => Err(Locked::Wrong),
    }
}

/// Whether bytes begin as a private key or the contents of a bundle do.
fn is_key_or_contents(bytes: &[u8]) -> bool {
    match der::header(bytes) {
        Some((SEQUENCE, _, inside)) => matches!(inside, [SEQUENCE, ..] | [der::INTEGER, 1, 0..=2, ..]),
        _ => false,
    }
}

/// Rounds of PBKDF2 in what is written here; what OWASP asks of SHA-256.
pub(super) const ROUNDS: u32 = 600_000;

/// An `EncryptedPrivateKeyInfo` (RFC 5958, 3) of a PKCS#8 key.
///
/// # Errors
/// The operating system gives no random numbers.
pub(super) fn encrypt_pkcs8(
    key: &[u8],
    passphrase: &Secret,
) -> Result<Vec<u8>, aws_lc_rs::error::Unspecified> {
    let (algorithm, sealed) = encrypt(key, &Passphrase::of(passphrase), ROUNDS)?;
    Ok(der::encode(SEQUENCE, &[&algorithm, &der::encode(OCTET_STRING, &[&sealed])]))
}

/// Encrypts with PBES2: PBKDF2 with SHA-256, AES-256 in CBC mode. Gives the `AlgorithmIdentifier`, whole, and the
/// encrypted bytes.
///
/// # Errors
/// The operating system gives no random numbers.
pub(super) fn encrypt(
    open: &[u8],
    passphrase: &Passphrase,
    rounds: u32,
) -> Result<(Vec<u8>, Vec<u8>), aws_lc_rs::error::Unspecified> {
    let (mut salt, mut iv) = ([0; 16], [0; 16]);
    rand::fill(&mut salt)?;
    rand::fill(&mut iv)?;
    let mut key = Zeroizing::new([0; 32]);
    let nonzero = NonZeroU32::new(rounds).unwrap_or(NonZeroU32::MIN);
    pbkdf2::derive(pbkdf2::PBKDF2_HMAC_SHA256, nonzero, &salt, &passphrase.bytes, &mut *key);
    let cipher = cbc::Encryptor::<aes::Aes256>::new_from_slices(&*key, &iv)
        .map_err(|_| aws_lc_rs::error::Unspecified)?;
    let sealed = cipher.encrypt_padded_vec::<Pkcs7>(open);
    let identifier = |oid: &[u8], parameters: &[u8]| {
        der::encode(SEQUENCE, &[&der::encode(OBJECT_IDENTIFIER, &[oid]), parameters])
    };
    let derivation = der::encode(
        SEQUENCE,
        &[
            &der::encode(OCTET_STRING, &[&salt]),
            &der::encode_number(rounds.into()),
            &identifier(HMAC_SHA256, &der::encode(der::NULL, &[])),
        ],
    );
    let scheme = identifier(AES_256_CBC, &der::encode(OCTET_STRING, &[&iv]));
    let parameters = der::encode(SEQUENCE, &[&identifier(PBKDF2, &derivation), &scheme]);
    Ok((identifier(PBES2, &parameters), sealed))
}

fn identifier_text(content: &[u8]) -> String {
    x509_parser::der_parser::Oid::new(content.into()).to_id_string()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_only_looks_like_a_sequence_is_no_sign_of_the_right_passphrase() {
        // A wrong passphrase gives noise, and noise begins like a sequence of the right length now and then.
        let noise = [&[SEQUENCE, 12, 0x7a, 0x11][..], &[0x55; 12]].concat();
        let (key, iv) = ([1; 8], [2; 8]);
        let cipher = cbc::Encryptor::<des::Des>::new_from_slices(&key, &iv).expect("a cipher");
        let mut sealed = noise.clone();
        cipher.encrypt_padded::<NoPadding>(&mut sealed, noise.len()).expect("whole blocks");
        assert!(matches!(Cipher::Des.open(&key, &iv, &sealed), Err(Locked::Wrong)));
    }
}
