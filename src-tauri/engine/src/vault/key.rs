//! Keys of the vault: a random master key, and one derived from a passphrase that can wrap it. In: bytes. Out:
//! sealed bytes. Knows neither files nor the keyring.

use argon2::{Algorithm, Argon2, Params, Version};
use chacha20poly1305::aead::{Aead as _, Payload};
use chacha20poly1305::{KeyInit as _, XChaCha20Poly1305, XNonce};
use zeroize::Zeroizing;

use crate::error::{Error, ErrorCode, Result};
use crate::secret::Secret;

/// Bytes of a key.
pub(super) const KEY: usize = 32;
/// Bytes of a nonce of XChaCha20-Poly1305: enough to be chosen at random for ever.
pub(super) const NONCE: usize = 24;
/// Bytes that sealing adds.
pub(super) const TAG: usize = 16;
/// Bytes of the salt of a passphrase.
pub(super) const SALT: usize = 16;

/// Names a master key: its entry in the keyring, and the vault that it opens.
pub(super) type KeyId = [u8; 16];

/// A 256-bit key for XChaCha20-Poly1305. Wiped when dropped.
#[derive(Clone)]
pub(super) struct Key(Zeroizing<[u8; KEY]>);

/// What was sealed under another key or for another place, or was changed since.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct NotAuthentic;

impl Key {
    /// A new random key.
    ///
    /// # Errors
    /// `internal`: the system gives no random bytes.
    pub fn random() -> Result<Self> {
        let mut key = Zeroizing::new([0; KEY]);
        fill_random(key.as_mut())?;
        Ok(Self(key))
    }

    /// The key that these bytes are; `None` when there are not 32.
    pub fn from_bytes(bytes: &[u8]) -> Option<Self> {
        Some(Self(Zeroizing::new(bytes.try_into().ok()?)))
    }

    /// For the keyring, or to be wrapped.
    pub fn expose(&self) -> &[u8] {
        self.0.as_ref()
    }

    /// Seals `plain`, bound to `place`. Returns the nonce and the sealed bytes with their tag.
    ///
    /// # Errors
    /// `internal`: the system gives no random bytes.
    pub fn seal(&self, place: &[u8], plain: &[u8]) -> Result<([u8; NONCE], Vec<u8>)> {
        let nonce = random()?;
        let sealed = self.cipher().encrypt(&XNonce::from(nonce), Payload { msg: plain, aad: place });
        let sealed = sealed.map_err(|_| Error::new(ErrorCode::Internal, "The secret is too long to seal"))?;
        Ok((nonce, sealed))
    }

    /// What [`Self::seal`] sealed.
    pub fn open(
        &self,
        place: &[u8],
        nonce: &[u8; NONCE],
        sealed: &[u8],
    ) -> std::result::Result<Zeroizing<Vec<u8>>, NotAuthentic> {
        let payload = Payload { msg: sealed, aad: place };
        self.cipher().decrypt(&XNonce::from(*nonce), payload).map(Zeroizing::new).map_err(|_| NotAuthentic)
    }

    fn cipher(&self) -> XChaCha20Poly1305 {
        XChaCha20Poly1305::new((&*self.0).into())
    }
}

/// How a passphrase becomes a key: Argon2id (RFC 9106).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Kdf {
    /// KiB.
    pub memory: u32,
    /// Passes over the memory.
    pub passes: u32,
    /// Lanes.
    pub lanes: u32,
    /// Random.
    pub salt: [u8; SALT],
}

/// The second recommended option of RFC 9106, 4: 64 MiB, three passes. A tenth of a second on a desktop.
const MEMORY: u32 = 64 * 1024;
const PASSES: u32 = 3;
const LANES: u32 = 4;
/// A header that asks for more than this is not ours: it would only keep the machine busy.
const MAX_MEMORY: u32 = 1024 * 1024;
const MAX_PASSES: u32 = 64;
const MAX_LANES: u32 = 64;

impl Kdf {
    /// Today's parameters with a new salt.
    ///
    /// # Errors
    /// `internal`: the system gives no random bytes.
    pub fn fresh() -> Result<Self> {
        Ok(Self { memory: MEMORY, passes: PASSES, lanes: LANES, salt: random()? })
    }

    /// Whether we would have written such parameters.
    pub fn is_sane(&self) -> bool {
        (self.lanes.max(1).saturating_mul(8)..=MAX_MEMORY).contains(&self.memory)
            && (1..=MAX_PASSES).contains(&self.passes)
            && (1..=MAX_LANES).contains(&self.lanes)
    }

    /// The key of a passphrase. Takes a tenth of a second and 64 MiB on purpose.
    ///
    /// # Errors
    /// `internal`: the parameters make no sense.
    pub fn derive(&self, passphrase: &Secret) -> Result<Key> {
        let wrong = |error: argon2::Error| Error::new(ErrorCode::Internal, format!("Argon2id: {error}"));
        let params = Params::new(self.memory, self.passes, self.lanes, Some(KEY)).map_err(wrong)?;
        let mut key = Zeroizing::new([0; KEY]);
        Argon2::new(Algorithm::Argon2id, Version::V0x13, params)
            .hash_password_into(passphrase.expose(), &self.salt, key.as_mut())
            .map_err(wrong)?;
        Ok(Key(key))
    }
}

/// Random bytes from the system.
///
/// # Errors
/// `internal`.
pub(super) fn random<const N: usize>() -> Result<[u8; N]> {
    let mut bytes = [0; N];
    fill_random(&mut bytes)?;
    Ok(bytes)
}

fn fill_random(bytes: &mut [u8]) -> Result<()> {
    getrandom::fill(bytes).map_err(|error| {
        Error::new(ErrorCode::Internal, format!("The system gives no random bytes: {error}"))
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sealed_bytes_open_under_their_key_and_place_alone() {
        let (key, other) = (Key::random().expect("key"), Key::random().expect("key"));
        let (nonce, sealed) = key.seal(b"here", b"canary").expect("sealed");
        assert_eq!(key.open(b"here", &nonce, &sealed).expect("opened").as_slice(), b"canary");
        assert!(!sealed.windows(6).any(|part| part == b"canary"));
        assert_eq!(key.open(b"there", &nonce, &sealed).map(drop), Err(NotAuthentic));
        assert_eq!(other.open(b"here", &nonce, &sealed).map(drop), Err(NotAuthentic));
        for at in 0..sealed.len() {
            let mut changed = sealed.clone();
            changed[at] ^= 1;
            assert_eq!(key.open(b"here", &nonce, &changed).map(drop), Err(NotAuthentic), "byte {at}");
        }
    }

    /// The library does what the standard says: draft-irtf-cfrg-xchacha-03, A.3.1.
    #[test]
    fn the_test_vector_of_xchacha20poly1305() {
        let bytes = |text: &str| hex::decode(text).expect("hex");
        let key = Key::from_bytes(&bytes("808182838485868788898a8b8c8d8e8f909192939495969798999a9b9c9d9e9f"));
        let nonce: [u8; NONCE] =
            bytes("404142434445464748494a4b4c4d4e4f5051525354555657").try_into().expect("nonce");
        let place = bytes("50515253c0c1c2c3c4c5c6c7");
        let sealed = bytes(
            "bd6d179d3e83d43b9576579493c0e939572a1700252bfaccbed2902c21396cbb731c7f1b0b4aa6440bf3a82f4eda7e39\
             ae64c6708c54c216cb96b72e1213b4522f8c9ba40db5d945b11b69b982c1bb9e3f3fac2bc369488f76b2383565d3fff9\
             21f9664c97637da9768812f615c68b13b52ec0875924c1c7987947deafd8780acf49",
        );
        let plain = key.expect("32 bytes").open(&place, &nonce, &sealed).expect("authentic");
        assert!(plain.starts_with(b"Ladies and Gentlemen of the class of '99"));
    }

    #[test]
    fn a_passphrase_costs_what_is_promised() {
        let Kdf { memory, passes, lanes, salt } = Kdf::fresh().expect("fresh");
        assert_eq!((memory, passes, lanes), (64 * 1024, 3, 4));
        assert_ne!(salt, Kdf::fresh().expect("fresh").salt);
    }

    #[test]
    fn a_passphrase_gives_its_key_and_no_other() {
        let kdf = Kdf { memory: 64, passes: 1, lanes: 1, salt: [7; SALT] };
        assert!(kdf.is_sane() && Kdf::fresh().expect("fresh").is_sane());
        let key = |text: &str, kdf: &Kdf| kdf.derive(&Secret::new(text)).expect("derived").expose().to_vec();
        assert_eq!(key("one", &kdf), key("one", &kdf));
        assert_ne!(key("one", &kdf), key("two", &kdf));
        assert_ne!(key("one", &kdf), key("one", &Kdf { salt: [8; SALT], ..kdf }));
        for foolish in [
            Kdf { memory: u32::MAX, ..kdf },
            Kdf { memory: 0, ..kdf },
            Kdf { passes: 0, ..kdf },
            Kdf { passes: u32::MAX, ..kdf },
            Kdf { lanes: 0, ..kdf },
            Kdf { lanes: u32::MAX, ..kdf },
        ] {
            assert!(!foolish.is_sane(), "{foolish:?}");
        }
    }
}
