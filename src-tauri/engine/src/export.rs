//! Saved connections to keep or to hand on. In: the library, and for secrets the vault and a passphrase. Out: text:
//! the library's export, which holds no secret, or the same sealed together with its secrets. Never writes a secret
//! that is not sealed.

use crate::error::Result;
use crate::library::{DamagedProfile, Library, LibraryExport};
use crate::profile::ProfileId;
use crate::secret::Secret;
use crate::vault::{Vault, sealed_text};
use serde::Serialize;
use ts_rs::TS;

/// Connections as text.
#[derive(Debug)]
pub struct Export {
    /// The text; ends with a line feed.
    pub text: String,
    /// What is in it.
    pub summary: ExportSummary,
}

/// What an export holds.
#[derive(Debug, Clone, Default, PartialEq, Serialize, TS)]
#[ts(export)]
pub struct ExportSummary {
    /// How many connections.
    pub profiles: u32,
    /// How many secrets; none in one without secrets.
    pub secrets: u32,
    /// How many secrets were set once, are not kept anywhere, and so are not in it.
    pub missing: u32,
    /// Connections that cannot be read, and so are not in it.
    pub damaged: Vec<DamagedProfile>,
}

/// Writes connections without secrets: all of them, or `only` these.
///
/// # Errors
/// `not_found`: one of `only`; `storage`.
pub fn without_secrets(library: &Library, only: Option<&[ProfileId]>) -> Result<Export> {
    let LibraryExport { text, profiles, damaged } = library.export(only)?;
    Ok(Export {
        text,
        summary: ExportSummary { profiles: number(profiles), damaged, ..ExportSummary::default() },
    })
}

/// Writes connections with their secrets, sealed under a passphrase.
///
/// # Errors
/// `not_found`: one of `only`; `vault_locked`: the secrets cannot be read now; `invalid_input`: the passphrase is
/// too short; `storage`.
pub fn with_secrets(
    library: &Library,
    vault: &Vault,
    only: Option<&[ProfileId]>,
    passphrase: &Secret,
) -> Result<Export> {
    let Export { text, mut summary } = without_secrets(library, only)?;
    let mut all = Vec::new();
    for entry in library.tree()?.profiles {
        if only.is_some_and(|only| !only.contains(&entry.id)) {
            continue;
        }
        let mut secrets = vault.all_of(entry.id)?;
        let missing = vault.complete(&library.profile(entry.id)?, &mut secrets, &[])?;
        summary.missing += number(missing.len());
        summary.secrets += number(secrets.set_fields().len());
        all.push((entry.id, secrets));
    }
    let text = sealed_text::seal_export(&text, &all, passphrase)?;
    Ok(Export { text, summary })
}

fn number(count: usize) -> u32 {
    u32::try_from(count).unwrap_or(u32::MAX)
}
