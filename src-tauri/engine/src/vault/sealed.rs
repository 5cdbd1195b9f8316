//! The vault as bytes. In: a file's bytes and a key. Out: secrets, or the exact way in which the bytes are not a
//! whole vault. Pure: no disk, no keyring.
//!
//! ```text
//! header   magic, version, where the key comes from, key id, Argon2id parameters and salt,
//!          and the master key wrapped under the passphrase's key (or, for a key in the keyring, a proof of it)
//! entries  owner, field, nonce, sealed value; the value is bound to header, owner and field
//! seal     nonce and tag over everything before: no entry can be taken out, put back or moved unnoticed
//! digest   SHA-256 over everything before: damage is told from a wrong key before any key is there
//! ```

use std::collections::BTreeMap;

use sha2::{Digest as _, Sha256};
use uuid::Uuid;
use zeroize::Zeroizing;

use super::key::{KEY, Kdf, Key, KeyId, NONCE, NotAuthentic, SALT, TAG};
use crate::error::{Error, ErrorCode, ErrorReason, Result};
use crate::secret::Secret;

/// The longest secret, in bytes. A private key with its chain has a few thousand.
pub(super) const MAX_SECRET: usize = 1 << 20;
/// The longest file, in bytes: also what reading it takes in memory.
pub(super) const MAX_FILE: usize = 64 << 20;

const MAGIC: &[u8; 8] = b"HELIOVLT";
const VERSION: u8 = 1;
/// Up to and with the key id: what every entry is bound to.
const IDENTITY: usize = 8 + 1 + 1 + 16;
/// Up to the wrapped key: what that is bound to.
const PREAMBLE: usize = IDENTITY + 4 + 4 + 4 + SALT;
const HEADER: usize = PREAMBLE + NONCE + KEY + TAG;
const SEAL: usize = NONCE + TAG;
const DIGEST: usize = 32;

/// Whose secret, and which.
pub(super) type Address = (Uuid, String);

/// Where the master key comes from.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum KeySource {
    /// The system's keyring.
    Keyring,
    /// The header, wrapped under a passphrase's key.
    Passphrase(Kdf),
}

/// Why bytes are not a vault that this version can open.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Damage {
    /// They are damaged, or somebody changed them.
    Changed,
    /// They are whole, but of a later version of the format.
    Newer,
}

/// A vault, still sealed.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Sealed {
    header: [u8; HEADER],
    source: KeySource,
    key_id: KeyId,
    entries: BTreeMap<Address, ([u8; NONCE], Vec<u8>)>,
    /// Over the file as it was read.
    seal: ([u8; NONCE], Vec<u8>),
}

impl Sealed {
    /// A vault without entries, whose key is in the keyring.
    ///
    /// # Errors
    /// `internal`.
    pub fn for_keyring(key_id: KeyId, key: &Key) -> Result<Self> {
        // Nothing is wrapped; sealing zeros with the key itself proves later that a key is the right one.
        Self::new(KeySource::Keyring, key_id, key, &[0; KEY])
    }

    /// A vault without entries, whose key opens with a passphrase.
    ///
    /// # Errors
    /// `internal`.
    pub fn for_passphrase(key_id: KeyId, key: &Key, passphrase: &Secret) -> Result<Self> {
        let kdf = Kdf::fresh()?;
        Self::new(KeySource::Passphrase(kdf), key_id, &kdf.derive(passphrase)?, key.expose())
    }

    fn new(source: KeySource, key_id: KeyId, wrapping: &Key, wrapped: &[u8]) -> Result<Self> {
        let mut bytes = Vec::with_capacity(HEADER);
        bytes.extend_from_slice(MAGIC);
        bytes.push(VERSION);
        let (tag, kdf) = match source {
            KeySource::Keyring => (1, Kdf { memory: 0, passes: 0, lanes: 0, salt: [0; SALT] }),
            KeySource::Passphrase(kdf) => (2, kdf),
        };
        bytes.push(tag);
        bytes.extend_from_slice(&key_id);
        for number in [kdf.memory, kdf.passes, kdf.lanes] {
            bytes.extend_from_slice(&number.to_le_bytes());
        }
        bytes.extend_from_slice(&kdf.salt);
        let (nonce, wrapped) = wrapping.seal(&bytes, wrapped)?;
        bytes.extend_from_slice(&nonce);
        bytes.extend_from_slice(&wrapped);
        let header = bytes.try_into().map_err(|_| Error::new(ErrorCode::Internal, "Vault header"))?;
        Ok(Self { header, source, key_id, entries: BTreeMap::new(), seal: ([0; NONCE], Vec::new()) })
    }

    /// Where its key comes from.
    pub fn source(&self) -> KeySource {
        self.source
    }

    /// The name of its key.
    pub fn key_id(&self) -> KeyId {
        self.key_id
    }

    /// The addresses of its entries: no key is needed for them.
    pub fn addresses(&self) -> impl Iterator<Item = &Address> {
        self.entries.keys()
    }

    /// Reads a file's bytes. Nothing of it is trusted before [`Self::verify`].
    pub fn parse(bytes: &[u8]) -> std::result::Result<Self, Damage> {
        let (rest, digest) = bytes.split_last_chunk::<DIGEST>().ok_or(Damage::Changed)?;
        if Sha256::digest(rest).as_slice() != digest || !rest.starts_with(MAGIC) {
            return Err(Damage::Changed);
        }
        // Whole, so the version is what was written.
        if rest.get(MAGIC.len()).is_some_and(|version| *version > VERSION) {
            return Err(Damage::Newer);
        }
        Self::parse_parts(rest).ok_or(Damage::Changed)
    }

    fn parse_parts(bytes: &[u8]) -> Option<Self> {
        let (header, rest) = bytes.split_first_chunk::<HEADER>()?;
        let (rest, seal) = rest.split_last_chunk::<SEAL>()?;
        let mut head = Reader(header.get(MAGIC.len()..)?);
        let (version, tag) = (head.array::<1>()?[0], head.array::<1>()?[0]);
        let key_id = head.array()?;
        let kdf = Kdf { memory: head.u32()?, passes: head.u32()?, lanes: head.u32()?, salt: head.array()? };
        let source = match tag {
            1 => KeySource::Keyring,
            2 if kdf.is_sane() => KeySource::Passphrase(kdf),
            _ => return None,
        };
        let mut rest = Reader(rest);
        let mut entries = BTreeMap::new();
        while !rest.0.is_empty() {
            let owner = Uuid::from_bytes(rest.array()?);
            let length = rest.u32()? as usize;
            let field = std::str::from_utf8(rest.take(length)?).ok()?.to_owned();
            let nonce = rest.array()?;
            let length = rest.u32()? as usize;
            let sealed = rest.take(length)?.to_vec();
            if entries.insert((owner, field), (nonce, sealed)).is_some() {
                return None;
            }
        }
        let mut seal = Reader(seal);
        let seal = (seal.array()?, seal.0.to_vec());
        (version == VERSION).then_some(Self { header: *header, source, key_id, entries, seal })
    }

    /// The master key, when it is wrapped in the header.
    ///
    /// # Errors
    /// `passphrase_wrong`, `internal`.
    pub fn unwrap(&self, passphrase: &Secret) -> Result<Key> {
        let wrong = || Error::new(ErrorCode::PassphraseWrong, "This is not the passphrase of the vault");
        let KeySource::Passphrase(kdf) = self.source else { return Err(wrong()) };
        let key = self.open_wrapped(&kdf.derive(passphrase)?).map_err(|NotAuthentic| wrong())?;
        Key::from_bytes(&key).ok_or_else(wrong)
    }

    /// Whether `key`, from the keyring, is this vault's.
    pub fn is_key(&self, key: &Key) -> bool {
        self.open_wrapped(key).is_ok()
    }

    fn open_wrapped(&self, key: &Key) -> std::result::Result<Zeroizing<Vec<u8>>, NotAuthentic> {
        let (place, rest) = self.header.split_at(PREAMBLE);
        let (nonce, wrapped) = rest.split_first_chunk::<NONCE>().ok_or(NotAuthentic)?;
        key.open(place, nonce, wrapped)
    }

    /// Whether every byte is as it was written by somebody who holds the key.
    pub fn verify(&self, key: &Key) -> std::result::Result<(), Damage> {
        let (nonce, tag) = &self.seal;
        key.open(&self.sealed_part(), nonce, tag).map(drop).map_err(|NotAuthentic| Damage::Changed)
    }

    /// One secret; `None` when it is not there.
    pub fn open(&self, key: &Key, address: &Address) -> std::result::Result<Option<Secret>, Damage> {
        let Some((nonce, sealed)) = self.entries.get(address) else { return Ok(None) };
        let plain = key.open(&self.place(address), nonce, sealed);
        plain.map(|plain| Some(Secret::new(plain.to_vec()))).map_err(|NotAuthentic| Damage::Changed)
    }

    /// Sets or removes one secret.
    ///
    /// # Errors
    /// `invalid_input`: it is longer than 1 MiB; `internal`.
    pub fn put(&mut self, key: &Key, address: Address, value: Option<&Secret>) -> Result<()> {
        let Some(secret) = value else {
            self.entries.remove(&address);
            return Ok(());
        };
        if secret.expose().len() > MAX_SECRET {
            return Err(too_long());
        }
        let sealed = key.seal(&self.place(&address), secret.expose())?;
        self.entries.insert(address, sealed);
        Ok(())
    }

    /// The file.
    ///
    /// # Errors
    /// `limit_exceeded`: it would be longer than 64 MiB; `internal`.
    pub fn to_bytes(&self, key: &Key) -> Result<Vec<u8>> {
        let mut bytes = self.sealed_part();
        let (nonce, tag) = key.seal(&bytes, &[])?;
        bytes.extend_from_slice(&nonce);
        bytes.extend_from_slice(&tag);
        let digest = Sha256::digest(&bytes);
        bytes.extend_from_slice(&digest);
        if bytes.len() > MAX_FILE {
            let message = "The vault can be 64 MiB long at most";
            return Err(Error::because(ErrorCode::LimitExceeded, ErrorReason::VaultFull, message));
        }
        Ok(bytes)
    }

    fn sealed_part(&self) -> Vec<u8> {
        let mut bytes = self.header.to_vec();
        let length = |length: usize| u32::try_from(length).unwrap_or(u32::MAX).to_le_bytes();
        for ((owner, field), (nonce, sealed)) in &self.entries {
            bytes.extend_from_slice(owner.as_bytes());
            bytes.extend_from_slice(&length(field.len()));
            bytes.extend_from_slice(field.as_bytes());
            bytes.extend_from_slice(nonce);
            bytes.extend_from_slice(&length(sealed.len()));
            bytes.extend_from_slice(sealed);
        }
        bytes
    }

    /// What an entry is bound to. The parts before the field have a fixed length, so no two places read alike.
    fn place(&self, (owner, field): &Address) -> Vec<u8> {
        [&self.header[..IDENTITY], owner.as_bytes(), field.as_bytes()].concat()
    }
}

struct Reader<'a>(&'a [u8]);

impl<'a> Reader<'a> {
    fn take(&mut self, length: usize) -> Option<&'a [u8]> {
        let (part, rest) = self.0.split_at_checked(length)?;
        self.0 = rest;
        Some(part)
    }

    fn array<const N: usize>(&mut self) -> Option<[u8; N]> {
        self.take(N)?.try_into().ok()
    }

    fn u32(&mut self) -> Option<u32> {
        self.array().map(u32::from_le_bytes)
    }
}

/// A secret that does not go into a vault.
pub(super) fn too_long() -> Error {
    Error::invalid("secret", ErrorReason::SecretTooLong, "A secret can be 1 MiB long at most")
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    const OWNER: Uuid = Uuid::from_u128(1);
    const OTHER: Uuid = Uuid::from_u128(2);

    fn address(owner: Uuid, field: &str) -> Address {
        (owner, field.to_owned())
    }

    fn vault(key: &Key) -> Sealed {
        let mut vault = Sealed::for_keyring([9; 16], key).expect("made");
        for (owner, field, text) in
            [(OWNER, "password", "canary-a"), (OWNER, "proxy_password", ""), (OTHER, "password", "canary-c")]
        {
            vault.put(key, address(owner, field), Some(&Secret::new(text))).expect("put");
        }
        vault
    }

    fn text(vault: &Sealed, key: &Key, owner: Uuid, field: &str) -> Option<Vec<u8>> {
        vault.open(key, &address(owner, field)).expect("authentic").map(|secret| secret.expose().to_vec())
    }

    /// With its digest made right again, as somebody would who changes it on purpose.
    fn with_digest(mut bytes: Vec<u8>) -> Vec<u8> {
        bytes.truncate(bytes.len() - DIGEST);
        let digest = Sha256::digest(&bytes);
        bytes.extend_from_slice(&digest);
        bytes
    }

    #[test]
    fn what_was_put_in_comes_out() {
        let key = Key::random().expect("key");
        let bytes = vault(&key).to_bytes(&key).expect("bytes");
        assert!(!bytes.windows(6).any(|part| part == b"canary"));
        let read = Sealed::parse(&bytes).expect("parsed");
        read.verify(&key).expect("whole");
        assert!(read.is_key(&key) && !read.is_key(&Key::random().expect("key")));
        assert_eq!(text(&read, &key, OWNER, "password").as_deref(), Some(&b"canary-a"[..]));
        assert_eq!(text(&read, &key, OWNER, "proxy_password").as_deref(), Some(&b""[..]));
        assert_eq!(text(&read, &key, OTHER, "password").as_deref(), Some(&b"canary-c"[..]));
        assert_eq!(text(&read, &key, OTHER, "proxy_password"), None);
        assert_eq!(read.addresses().count(), 3);
    }

    #[test]
    fn a_passphrase_opens_its_vault() {
        let key = Key::random().expect("key");
        let passphrase = Secret::new("correct horse");
        let made = Sealed::for_passphrase([1; 16], &key, &passphrase).expect("made");
        let read = Sealed::parse(&made.to_bytes(&key).expect("bytes")).expect("parsed");
        assert_eq!(read.unwrap(&passphrase).expect("opened").expose(), key.expose());
        let error = read.unwrap(&Secret::new("canary")).map(drop).expect_err("another passphrase");
        assert_eq!(error.code, ErrorCode::PassphraseWrong);
        assert!(!error.message.contains("canary"));
    }

    #[test]
    fn any_flipped_bit_is_found_with_and_without_the_key() {
        let key = Key::random().expect("key");
        let bytes = vault(&key).to_bytes(&key).expect("bytes");
        for at in 0..bytes.len() {
            for bit in [0x01, 0x80] {
                let mut changed = bytes.clone();
                changed[at] ^= bit;
                assert_eq!(Sealed::parse(&changed), Err(Damage::Changed), "byte {at}");
                // The digest itself is no secret: without the key, whoever repairs it is still found out.
                if at < bytes.len() - DIGEST {
                    let found = match Sealed::parse(&with_digest(changed)) {
                        Ok(sealed) => !sealed.is_key(&key) || sealed.verify(&key).is_err(),
                        Err(_) => true,
                    };
                    assert!(found, "byte {at} with a digest that fits");
                }
            }
        }
        for length in 0..bytes.len() {
            assert_eq!(Sealed::parse(&bytes[..length]), Err(Damage::Changed), "cut at {length}");
        }
        assert_eq!(Sealed::parse(&[&bytes[..], b"\0"].concat()), Err(Damage::Changed));
    }

    #[test]
    fn entries_cannot_be_moved_swapped_removed_or_put_back() {
        let key = Key::random().expect("key");
        let good = vault(&key);
        let from = address(OWNER, "password");
        for to in [address(OTHER, "password"), address(OWNER, "proxy_password")] {
            let mut moved = good.clone();
            let entry = moved.entries[&from].clone();
            moved.entries.insert(to.clone(), entry);
            assert_eq!(moved.open(&key, &to).map(drop), Err(Damage::Changed), "{to:?}");
        }
        // Without the key nobody can make a seal that fits, so the old one is all there is.
        let seal_of = |vault: &Sealed| {
            let bytes = vault.to_bytes(&key).expect("bytes");
            Sealed::parse(&bytes).expect("parsed").seal
        };
        let mut removed = good.clone();
        removed.entries.remove(&from);
        removed.seal = seal_of(&good);
        assert_eq!(removed.verify(&key), Err(Damage::Changed));
        let mut newer = good.clone();
        newer.put(&key, from.clone(), Some(&Secret::new("new"))).expect("put");
        newer.seal = seal_of(&newer);
        newer.entries.insert(from, good.entries[&address(OWNER, "password")].clone());
        assert_eq!(newer.verify(&key), Err(Damage::Changed));
    }

    #[test]
    fn a_later_version_is_not_damage() {
        let key = Key::random().expect("key");
        let mut bytes = vault(&key).to_bytes(&key).expect("bytes");
        bytes[MAGIC.len()] = VERSION + 1;
        assert_eq!(Sealed::parse(&with_digest(bytes)), Err(Damage::Newer));
    }

    #[test]
    fn an_imported_key_fits_and_a_megabyte_more_does_not() {
        let key = Key::random().expect("key");
        let mut vault = vault(&key);
        let pem = rcgen::KeyPair::generate().expect("key pair").serialize_pem();
        vault.put(&key, address(OWNER, "private_key"), Some(&Secret::new(pem.clone()))).expect("put");
        assert_eq!(text(&vault, &key, OWNER, "private_key").as_deref(), Some(pem.as_bytes()));
        let long = Secret::new(vec![0; MAX_SECRET + 1]);
        let error = vault.put(&key, address(OWNER, "private_key"), Some(&long)).expect_err("too long");
        assert_eq!(error.code, ErrorCode::InvalidInput);
    }

    proptest! {
        #[test]
        fn no_bytes_make_it_panic(mut bytes in proptest::collection::vec(any::<u8>(), 0..600)) {
            let _ = Sealed::parse(&bytes);
            let key = Key::from_bytes(&[1; KEY]).expect("key");
            // Past the digest, where lengths are read.
            let mut whole = vault(&key).to_bytes(&key).expect("bytes");
            let keep = whole.len().min(HEADER);
            whole.truncate(keep);
            whole.append(&mut bytes);
            whole.extend_from_slice(&[0; DIGEST]);
            let _ = Sealed::parse(&with_digest(whole));
        }
    }
}
