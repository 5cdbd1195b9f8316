//! The secrets of saved connections: from the same vault that the window uses. In: a saved connection and what was
//! typed. Out: the rest of its secrets, and which are nowhere.

use std::sync::Arc;

use heliograph_engine::error::{ErrorCode, Result};
use heliograph_engine::library::Library;
use heliograph_engine::paths::default_data_dir;
use heliograph_engine::profile::Profile;
use heliograph_engine::secret::{SecretField, Secrets};
use heliograph_engine::vault::{Keep, Keyring, Vault, VaultState, VaultStatus};

use crate::failure::Ending;
use crate::target::from_environment;

/// The passphrase of a vault that opens with one.
pub const PASSPHRASE: &str = "HELIO_VAULT_PASSPHRASE";

/// Adds the saved secrets that connecting takes, but for those that were typed and for `except`. Returns those that
/// were set once and are not kept.
pub fn complete(
    library: Library,
    profile: &Profile,
    secrets: &mut Secrets,
    except: &[SecretField],
) -> std::result::Result<Vec<SecretField>, Ending> {
    let vault = open(Arc::new(library));
    unlocked(&vault, || vault.complete(profile, secrets, except)).map_err(|ending| match ending {
        Ending::Usage(why) => Ending::Usage(format!("{}: {why}", profile.name)),
        other => other,
    })
}

/// The vault that the window uses.
pub fn open(library: Arc<Library>) -> Vault {
    Vault::new(&default_data_dir(), library, Keyring::of_the_system(), || {})
}

/// Does what needs the secrets in the vault; one with a passphrase is opened by that of the environment.
pub fn unlocked<T>(vault: &Vault, mut work: impl FnMut() -> Result<T>) -> std::result::Result<T, Ending> {
    // The keyring may ask the person, and Argon2id takes its time.
    tokio::task::block_in_place(|| {
        let locked = match work() {
            Err(error) if error.code == ErrorCode::VaultLocked => error,
            other => return Ok(other?),
        };
        let wants_passphrase = locked.details.get("keep").is_some_and(|keep| keep == "passphrase")
            && locked.details.get("state").is_some_and(|state| state == "locked");
        if !wants_passphrase {
            return Err(locked.into());
        }
        unlock(vault)?;
        Ok(work()?)
    })
}

/// Whether secrets that are set now are kept; opens the vault for that.
pub fn can_keep(vault: &Vault) -> std::result::Result<(), Ending> {
    tokio::task::block_in_place(|| {
        let VaultStatus { keep, state, .. } = vault.check()?;
        match (keep, state) {
            (_, VaultState::Open | VaultState::Empty | VaultState::Closed) => Ok(()),
            (Keep::Passphrase, VaultState::Locked) => unlock(vault),
            (_, VaultState::Off) => {
                Err(Ending::Usage("By your choice secrets are not stored, so theirs cannot be kept".into()))
            }
            _ => Err(Ending::Usage("The vault cannot be opened, so secrets cannot be kept".into())),
        }
    })
}

fn unlock(vault: &Vault) -> std::result::Result<(), Ending> {
    let Some(passphrase) = from_environment(PASSPHRASE) else {
        return Err(Ending::Usage(format!("The vault is locked: give its passphrase in {PASSPHRASE}")));
    };
    vault.unlock(&passphrase)?;
    Ok(())
}
