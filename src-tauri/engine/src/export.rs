//! Saved connections to keep or to hand on. In: the library, and for secrets the vault and a passphrase. Out: text:
//! the library's export, which holds no secret, or the same sealed together with its secrets, the private keys in the
//! vault and the certificates that have no file but ours. Never writes a secret that is not sealed.

use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;

use serde::Serialize;
use ts_rs::TS;

use crate::error::Result;
use crate::identity::{self, KeyPlace, VaultKey};
use crate::kept;
use crate::library::{DamagedProfile, Library, LibraryExport};
use crate::profile::{Profile, ProfileId};
use crate::secret::{Secret, SecretField, Secrets};
use crate::vault::{Vault, sealed_text};

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
    /// How many secrets, private keys among them; none in one without secrets.
    pub secrets: u32,
    /// The names of connections whose private key is in the vault, and not in it.
    pub without_key: Vec<String>,
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
    let (export, connections) = connections(library, only)?;
    let left = connections.into_iter().filter(|profile| key_of(profile).is_some());
    let without_key = left.map(|profile| profile.name).collect();
    Ok(Export { summary: ExportSummary { without_key, ..export.summary }, ..export })
}

/// The export without secrets, and what is in it.
fn connections(library: &Library, only: Option<&[ProfileId]>) -> Result<(Export, Vec<Profile>)> {
    let LibraryExport { text, profiles, damaged } = library.export(only)?;
    let mut connections = Vec::with_capacity(profiles);
    for entry in library.tree()?.profiles {
        if only.is_none_or(|only| only.contains(&entry.id)) {
            connections.push(library.profile(entry.id)?);
        }
    }
    let summary = ExportSummary { profiles: number(profiles), damaged, ..ExportSummary::default() };
    Ok((Export { text, summary }, connections))
}

/// Writes connections with their secrets, sealed under a passphrase: what they need to connect somewhere else, as far
/// as it is kept here. `data_dir` is where certificates stand that have no file of their own.
///
/// # Errors
/// `not_found`: one of `only`; `vault_locked`: the secrets cannot be read now; `invalid_input`: the passphrase is
/// too short; `storage`.
pub fn with_secrets(
    library: &Library,
    vault: &Vault,
    data_dir: &Path,
    only: Option<&[ProfileId]>,
    passphrase: &Secret,
) -> Result<Export> {
    let (Export { text, mut summary }, connections) = connections(library, only)?;
    let mut whole = sealed_text::WholeExport { export: text, ..Default::default() };
    let mut keys: BTreeSet<VaultKey> = BTreeSet::new();
    for profile in connections {
        let mut secrets = vault.all_of(profile.id)?;
        let missing = vault.complete(&profile, &mut secrets, &[])?;
        summary.missing += number(missing.len());
        // It has a name of its own, whatever connections use it.
        secrets.put(SecretField::PrivateKey, None);
        whole.secrets.push((profile.id, secrets));
        certificates_of(&profile, data_dir, &mut whole.certificates);
        if let Some(name) = key_of(&profile) {
            match vault.private_key(name)? {
                None => summary.without_key.push(profile.name),
                Some(key) if keys.insert(name) => {
                    let mut secrets = Secrets::default();
                    secrets.put(SecretField::PrivateKey, Some(key));
                    whole.secrets.push((ProfileId(name.0), secrets));
                }
                Some(_) => {}
            }
        }
    }
    summary.secrets = number(whole.secrets.iter().map(|(_, secrets)| secrets.set_fields().len()).sum());
    let text = sealed_text::seal_export(whole, passphrase)?;
    Ok(Export { text, summary })
}

/// The private key in the vault that a connection names, whether or not it uses it now.
fn key_of(profile: &Profile) -> Option<VaultKey> {
    KeyPlace::in_vault(&profile.settings.client_certificate.key_file)
}

/// Adds the certificates in files of ours that a connection names. What else may be in such a file stays there.
fn certificates_of(profile: &Profile, data_dir: &Path, found: &mut BTreeMap<String, String>) {
    let ours = kept::folder(data_dir);
    let settings = &profile.settings;
    let named = std::iter::once(&settings.client_certificate.cert_file).chain(&settings.trust.ca_files);
    for path in named.filter(|path| Path::new(path.as_str()).starts_with(&ours)) {
        let pem: String =
            identity::certificates_in_file(path).iter().map(|der| identity::certificate_pem(der)).collect();
        if !pem.is_empty() {
            found.insert(path.clone(), pem);
        }
    }
}

fn number(count: usize) -> u32 {
    u32::try_from(count).unwrap_or(u32::MAX)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::endpoint::{Endpoint, Scheme};
    use crate::profile::Settings;

    #[test]
    fn of_a_certificate_file_of_ours_the_certificates_go_along_and_nothing_else() {
        let dir = tempfile::tempdir().expect("directory");
        let made = rcgen::generate_simple_self_signed(["press-7".to_owned()]).expect("made");
        let (pem, key) = (made.cert.pem(), made.signing_key.serialize_pem());
        let ours = kept::folder(dir.path());
        std::fs::create_dir_all(&ours).expect("folder");
        let of = |path: &Path| {
            std::fs::write(path, format!("{key}{pem}")).expect("written");
            let endpoint = Endpoint::parse_url("wss://localhost", Scheme::Wss).expect("URL").endpoint;
            let mut settings = Settings::default();
            settings.client_certificate.cert_file = path.to_string_lossy().into_owned();
            let profile = Profile { id: ProfileId::random(), name: String::new(), endpoint, settings };
            let mut found = BTreeMap::new();
            certificates_of(&profile, dir.path(), &mut found);
            found.into_values().collect::<Vec<_>>()
        };
        let along = of(&ours.join("both.pem"));
        assert!(along.len() == 1 && along[0].contains("BEGIN CERTIFICATE"), "{along:?}");
        assert!(!along[0].contains("PRIVATE KEY"), "the key beside it goes along");
        // Files of the person's own are named, and not in it.
        assert!(of(&dir.path().join("elsewhere.pem")).is_empty());
    }
}
