//! The secrets of saved connections: from the same vault that the window uses. In: a saved connection and what was
//! typed. Out: the rest of its secrets, and which are nowhere.

use std::sync::Arc;

use heliograph_engine::error::ErrorCode;
use heliograph_engine::library::Library;
use heliograph_engine::paths::default_data_dir;
use heliograph_engine::profile::Profile;
use heliograph_engine::secret::{Secret, SecretField, Secrets};
use heliograph_engine::vault::{Keyring, Vault};

use crate::failure::Ending;

/// The passphrase of a vault that opens with one.
pub const PASSPHRASE: &str = "HELIO_VAULT_PASSPHRASE";

/// Adds the saved secrets that connecting takes, but for those that were typed and for `except`. Returns those that
/// were set once and are not kept.
pub fn complete(
    library: Library,
    profile: &Profile,
    secrets: &mut Secrets,
    except: &[SecretField],
) -> Result<Vec<SecretField>, Ending> {
    // The keyring may ask the person, and Argon2id takes its time.
    tokio::task::block_in_place(|| {
        let vault = Vault::new(&default_data_dir(), Arc::new(library), Keyring::of_the_system(), || {});
        let locked = match vault.complete(profile, secrets, except) {
            Err(error) if error.code == ErrorCode::VaultLocked => error,
            other => return Ok(other?),
        };
        let wants_passphrase = locked.details.get("keep").is_some_and(|keep| keep == "passphrase")
            && locked.details.get("state").is_some_and(|state| state == "locked");
        if !wants_passphrase {
            return Err(locked.into());
        }
        let Some(passphrase) = std::env::var(PASSPHRASE).ok().filter(|text| !text.is_empty()) else {
            return Err(Ending::Usage(format!(
                "{} has secrets in a vault that is locked: give its passphrase in {PASSPHRASE}",
                profile.name
            )));
        };
        vault.unlock(&Secret::new(passphrase))?;
        Ok(vault.complete(profile, secrets, except)?)
    })
}
