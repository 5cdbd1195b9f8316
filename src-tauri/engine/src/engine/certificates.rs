//! The certificate library: every certificate file that a connection uses or that was added by hand, with where it is
//! used and what is wrong with it. Files are referred to, not copied, but for certificates that came as text or from a
//! server, which have no file of their own, and for identities that a person imports: their certificates are kept here,
//! their keys in the vault and nowhere else. Keys on tokens are listed here too, and never leave them: what a token shows
//! without its PIN is asked for, for a bounded time.

use std::collections::BTreeMap;
use std::io::Write as _;
use std::path::{Path, PathBuf};

use base64::Engine as _;
use serde::{Deserialize, Serialize};
use ts_rs::TS;

use super::{Engine, FileReport, IdentityReport, Problem, blocking};
use crate::broker::{self, CertificateRequest, DevelopmentCa, IssuedCertificate};
use crate::draft;
use crate::error::{Error, ErrorReason, Result};
use crate::failure::FailureCode;
use crate::identity::token::TokenReport;
use crate::identity::{self, CertificateInfo, IdentityError, KeyPlace};
use crate::kept::{self, KeptFile};
use crate::message::UnixMicros;
use crate::profile::{ClientCertificate, Profile, ProfileId, Settings, Trust, TrustMode};
use crate::secret::{Secret, SecretEdit, SecretField, Secrets};
use crate::whole_file;

/// A file with more authorities than this is a collection, in which something always ends soon.
const FEW_AUTHORITIES: usize = 8;

/// What a file in the library is for.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize, TS)]
#[serde(rename_all = "snake_case")]
#[ts(export)]
pub enum CertificateRole {
    /// A client certificate with its key, in one file or two.
    Identity,
    /// Certificates of authorities that are trusted.
    Authority,
    /// Revocation lists.
    RevocationList,
}

/// An identity, authority or revocation list of the library.
#[derive(Debug, Clone, PartialEq, Serialize, TS)]
#[ts(export)]
pub struct LibraryCertificate {
    /// What it is for.
    pub role: CertificateRole,
    /// The file with the certificate, the bundle, or the list; empty for an identity that is all on a token or in the
    /// vault.
    pub file: String,
    /// Where the private key is, as connections name it; empty when it is in `file`, and for other roles.
    pub key_file: String,
    /// What was found, for an identity.
    pub identity: Option<IdentityReport>,
    /// What was found in `file`.
    pub report: FileReport,
    /// What is wrong with it or deserves a look.
    pub problems: Vec<Problem>,
    /// The connections that name it.
    pub used_by: Vec<ProfileId>,
    /// Whether it was added by hand.
    pub added: bool,
    /// Whether the file is a copy that was made here.
    pub copy: bool,
    /// When the first certificate that matters ends, Unix microseconds.
    pub not_after: Option<UnixMicros>,
}

/// A change of files for every connection that uses them.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize, TS)]
#[ts(export)]
pub struct CertificateReplacement {
    /// What they are for.
    pub role: CertificateRole,
    /// The present file.
    pub file: String,
    /// The present key file; empty when there is none.
    pub key_file: String,
    /// The file to use from now on.
    pub new_file: String,
    /// The key file to use from now on; empty when the key is in `new_file`.
    pub new_key_file: String,
}

/// Role, file and key file.
type Key = (CertificateRole, String, String);

/// The certificate library.
impl Engine {
    /// Every certificate in use or added, and every key in the vault, identities first. Reads the files, and what tokens
    /// show without a PIN.
    ///
    /// # Errors
    /// `storage`.
    pub async fn certificate_library(&self) -> Result<Vec<LibraryCertificate>> {
        let added = self.added_certificates()?;
        let mut used: BTreeMap<Key, Vec<ProfileId>> = BTreeMap::new();
        let mut passphrases: BTreeMap<Key, Secrets> = BTreeMap::new();
        for entry in self.library_tree()?.profiles {
            let Ok(profile) = self.profile(entry.id) else { continue };
            for key in keys_of(&profile.settings) {
                if key.0 == CertificateRole::Identity {
                    let found = self.with_vault(move |vault| vault.at_hand(entry.id, "", &[])).await?;
                    if found.0.get(&SecretField::KeyPassphrase).is_some() {
                        passphrases.insert(key.clone(), found.0);
                    }
                }
                used.entry(key).or_default().push(entry.id);
            }
        }
        let folder = self.certificates_dir();
        let on_tokens = look_at_tokens(used.keys()).await?;
        self.with_vault(move |vault| {
            let known = |path: &str| used.keys().any(|(_, file, key)| file == path || key == path);
            let mut unused: Vec<Key> = Vec::new();
            for path in added.iter().filter(|path| !known(path)) {
                let imported =
                    Path::new(path).starts_with(&folder).then(|| identity::vault_key_for(path)).flatten();
                unused.push(match imported {
                    Some(name) if vault.has_key(name)? => {
                        (CertificateRole::Identity, path.clone(), name.to_string())
                    }
                    _ => (role_of(path), path.clone(), String::new()),
                });
            }
            let mut list = Vec::new();
            for (key, used_by) in used.into_iter().chain(unused.into_iter().map(|key| (key, Vec::new()))) {
                let mut secrets = passphrases.get(&key).cloned().unwrap_or_default();
                // Nobody in particular: only the key of this name is asked for.
                let (imported, locked) = vault.at_hand(ProfileId(uuid::Uuid::nil()), &key.2, &[])?;
                secrets.put(SecretField::PrivateKey, imported.get(&SecretField::PrivateKey).cloned());
                let mut entry = match on_tokens.get(&key) {
                    Some(shown) => describe_on_token(key, shown.clone()),
                    None => describe(key, &secrets),
                };
                if locked.contains(&SecretField::PrivateKey) {
                    entry.problems.retain(|problem| problem.code != "private_key_missing");
                }
                entry.used_by = used_by;
                entry.added = added.contains(&entry.file);
                entry.copy = Path::new(&entry.file).starts_with(&folder);
                list.push(entry);
            }
            // Keys that nothing names any more can be seen, and deleted.
            for name in vault.keys() {
                let name = name.to_string();
                if !list.iter().any(|entry| entry.key_file == name) {
                    let (secrets, _) = vault.at_hand(ProfileId(uuid::Uuid::nil()), &name, &[])?;
                    let entry = describe((CertificateRole::Identity, String::new(), name), &secrets);
                    list.push(LibraryCertificate { problems: Vec::new(), ..entry });
                }
            }
            list.sort_by(|a, b| a.role.cmp(&b.role).then_with(|| a.file.cmp(&b.file)));
            Ok(list)
        })
        .await
    }

    /// Lists files, also while no connection uses them.
    ///
    /// # Errors
    /// `invalid_input` for a file without certificates, keys or revocation lists; nothing is added then. `storage`.
    pub async fn add_certificate_files(&self, paths: Vec<String>) -> Result<()> {
        let checked = blocking(move || {
            for path in &paths {
                let report = identity::report_file(path, None);
                let something = !report.certificates.is_empty()
                    || report.key_encrypted
                    || report.key_type.is_some()
                    || identity::report_revocation_lists(path).error.is_none();
                if !something {
                    let code = report.error.as_ref().map(|error| error.code);
                    let message = report.error.map_or_else(|| report.found.clone(), |error| error.message);
                    return Err(file_unusable(
                        "path",
                        code.unwrap_or(FailureCode::NotACertificate),
                        path,
                        message,
                    ));
                }
            }
            Ok(paths)
        });
        let paths = checked.await?;
        let mut added = self.added_certificates()?;
        added.extend(paths);
        added.sort();
        added.dedup();
        self.keep_added(&added)
    }

    /// Takes certificates from text (PEM) that was pasted, as a file of ours, and says where it is.
    ///
    /// # Errors
    /// `invalid_input` when there is no certificate in it, or a private key: keys are not copied. `file`, `storage`.
    pub async fn add_certificate_text(&self, text: String) -> Result<String> {
        let (certificates, has_key) = identity::certificates_in_text(&text);
        if has_key {
            let message =
                "There is a private key in the text. Keys are not copied: choose the file that holds it";
            return Err(Error::invalid("text", ErrorReason::KeyInText, message));
        }
        if certificates.is_empty() {
            let message =
                "There is no certificate in the text: a block from BEGIN CERTIFICATE to END CERTIFICATE";
            return Err(Error::invalid("text", ErrorReason::NoCertificateInText, message));
        }
        let path = self.write_certificates(certificates).await?;
        self.add_certificate_files(vec![path.clone()]).await?;
        Ok(path)
    }

    /// Keeps a certificate (DER in base64), e.g. of an authority that a server presented, as a file of ours that a
    /// connection can name, and says where it is.
    ///
    /// # Errors
    /// `invalid_input` when it is no certificate. `file`.
    pub async fn keep_certificate(&self, der_base64: &str) -> Result<String> {
        let der = base64::engine::general_purpose::STANDARD.decode(der_base64.trim()).unwrap_or_default();
        if identity::describe(&der).is_err() {
            let message = "This is not a certificate";
            return Err(Error::invalid("certificate", ErrorReason::NotACertificate, message));
        }
        self.write_certificates(vec![der]).await
    }

    /// Takes the private key of a client certificate into the vault, decrypted, and its certificates into files of
    /// ours; what a connection has to name to use them is handed back. The files may go after that. A passphrase is the
    /// one among the edits, else that of the connection `of`.
    ///
    /// # Errors
    /// `invalid_input`: the files cannot be used, `details.failure` says by which code; or secrets are not kept here.
    /// `vault_locked`, `file`, `storage`.
    pub async fn import_identity(
        &self,
        certificate: ClientCertificate,
        of: Option<ProfileId>,
        edits: Vec<SecretEdit>,
    ) -> Result<ClientCertificate> {
        let taken = self.with_vault(move |vault| {
            let id = of.unwrap_or(ProfileId(uuid::Uuid::nil()));
            let (secrets, _) = vault.at_hand(id, &certificate.key_file, &edits)?;
            let taken = identity::take(&certificate, &secrets).map_err(unusable)?;
            vault.keep_key(taken.name, &taken.key)?;
            Ok(taken)
        });
        let taken = taken.await?;
        let cert_file = self.write_certificates(taken.certificates).await?;
        let mut added = self.added_certificates()?;
        if !added.contains(&cert_file) {
            added.push(cert_file.clone());
            self.keep_added(&added)?;
        }
        Ok(ClientCertificate {
            enabled: true,
            cert_file,
            key_file: taken.name.to_string(),
            ..ClientCertificate::default()
        })
    }

    /// Writes an imported identity to a PKCS#12 file of mode 0600 that opens with this passphrase.
    ///
    /// # Errors
    /// `invalid_input`: the passphrase is empty, or the identity cannot be used; `vault_locked`, `file`, `storage`.
    pub async fn export_identity(
        &self,
        certificate: ClientCertificate,
        path: String,
        passphrase: Secret,
    ) -> Result<()> {
        if passphrase.expose().is_empty() {
            let message = "A file with a private key needs a passphrase";
            return Err(Error::invalid("passphrase", ErrorReason::PassphraseMissing, message));
        }
        self.with_vault(move |vault| {
            let mut secrets = Secrets::default();
            if let Some(name) = KeyPlace::in_vault(&certificate.key_file) {
                secrets.put(SecretField::PrivateKey, vault.private_key(name)?);
            }
            let bundle = identity::bundle(&certificate, &secrets, &passphrase).map_err(unusable)??;
            let path = PathBuf::from(path);
            whole_file::replace(&path, Some(0o600), |file| file.write_all(&bundle))
                .map_err(|error| whole_file::refused(&path, &error))
        })
        .await
    }

    /// What is on the tokens of a PKCS#11 module. Tokens called `token` (all, when it is empty) are logged in to with
    /// the PIN among the edits, else that of the connection.
    ///
    /// # Errors
    /// `invalid_input`: the module cannot be used or the PIN is refused, `details.failure` says by which code.
    pub async fn token_keys(
        &self,
        module: String,
        token: String,
        of: ProfileId,
        edits: Vec<SecretEdit>,
    ) -> Result<Vec<TokenReport>> {
        self.with_vault(move |vault| {
            let (secrets, _) = vault.at_hand(of, "", &edits)?;
            identity::token::list(&module, &token, secrets.get(&SecretField::TokenPin)).map_err(unusable)
        })
        .await
    }

    /// Takes a file off the list; a copy of ours is deleted, with its key in the vault, and so is such a key that has no
    /// file, by its name. The connections that name it keep doing so.
    ///
    /// # Errors
    /// `invalid_input` for a copy or key that a connection uses. `vault_locked`: its key cannot be deleted now. `file`,
    /// `storage`.
    pub async fn forget_certificate(&self, path: &str) -> Result<()> {
        let copy = Path::new(path).starts_with(self.certificates_dir());
        if copy || KeyPlace::in_vault(path).is_some() {
            let library = self.certificate_library().await?;
            let is_it = |entry: &LibraryCertificate| {
                entry.file == path || (entry.file.is_empty() && entry.key_file == path)
            };
            let (of_it, others): (Vec<_>, Vec<_>) = library.into_iter().partition(is_it);
            if of_it.iter().any(|entry| !entry.used_by.is_empty()) {
                let message = "A connection uses this certificate: change that first";
                return Err(Error::invalid("path", ErrorReason::CertificateInUse, message));
            }
            // A renewed certificate may have the same key.
            let mut keys = of_it.iter().map(|entry| &entry.key_file);
            let key = keys.find_map(|key| KeyPlace::in_vault(key)).map(|key| (key, key.to_string()));
            if let Some((key, _)) =
                key.filter(|(_, name)| !others.iter().any(|entry| entry.key_file == *name))
            {
                self.with_vault(move |vault| vault.forget_key(key)).await?;
            }
        }
        let mut added = self.added_certificates()?;
        added.retain(|known| known != path);
        self.keep_added(&added)?;
        if copy {
            let target = PathBuf::from(path);
            blocking(move || match std::fs::remove_file(&target) {
                Err(error) if error.kind() != std::io::ErrorKind::NotFound => {
                    Err(whole_file::refused(&target, &error))
                }
                _ => Ok(()),
            })
            .await?;
        }
        Ok(())
    }

    /// Puts other files in the place of these, in every connection that names them, and says which. They count from
    /// the next connect.
    ///
    /// # Errors
    /// `invalid_input` when the new file is not named, `storage`.
    pub fn replace_certificate(&self, change: &CertificateReplacement) -> Result<Vec<ProfileId>> {
        if change.new_file.trim().is_empty() {
            let message = "The file to use instead is missing";
            return Err(Error::invalid("new_file", ErrorReason::ReplacementMissing, message));
        }
        let mut changed = Vec::new();
        for entry in self.library_tree()?.profiles {
            let Ok(mut profile) = self.profile(entry.id) else { continue };
            if replace_in(&mut profile.settings, change) {
                self.inner.library.save(&profile, None)?;
                self.library_changed(entry.id);
                changed.push(entry.id);
            }
        }
        let mut added = self.added_certificates()?;
        if added.contains(&change.file) {
            // A key in the vault stays on the list until somebody deletes it.
            let kept = KeyPlace::in_vault(&change.key_file).is_some();
            added.retain(|path| (kept || *path != change.file) && *path != change.new_file);
            added.push(change.new_file.clone());
            self.keep_added(&added)?;
        }
        Ok(changed)
    }

    /// The development CA, which is also the local broker's; `None` before it was made.
    pub async fn development_ca(&self) -> Result<Option<DevelopmentCa>> {
        let folder = self.broker_dir();
        blocking(move || Ok(broker::development_ca(&folder))).await
    }

    /// Makes the development CA.
    ///
    /// # Errors
    /// `invalid_input` when there is one, or for the name or the days. `file`.
    pub async fn create_development_ca(&self, name: String, days: u32) -> Result<DevelopmentCa> {
        let folder = self.broker_dir();
        blocking(move || broker::create_development_ca(&folder, &name, days)).await
    }

    /// Issues a certificate by the development CA.
    ///
    /// # Errors
    /// `not_found` without a CA, `invalid_input`, `file`.
    pub async fn issue_certificate(
        &self,
        request: CertificateRequest,
        passphrase: Option<Secret>,
    ) -> Result<IssuedCertificate> {
        let folder = self.broker_dir();
        blocking(move || broker::issue_certificate(&folder, &request, passphrase.as_ref())).await
    }

    pub(super) fn certificates_dir(&self) -> PathBuf {
        kept::folder(&self.inner.data_dir)
    }

    fn added_certificates(&self) -> Result<Vec<String>> {
        kept::listed(&self.inner.library)
    }

    fn keep_added(&self, added: &[String]) -> Result<()> {
        kept::list(&self.inner.library, added)?;
        self.inner.outbox.library();
        Ok(())
    }

    async fn write_certificates(&self, certificates: Vec<Vec<u8>>) -> Result<String> {
        let file = KeptFile::of_certificates(&self.certificates_dir(), &certificates);
        blocking(move || {
            file.write()?;
            Ok(file.path.to_string_lossy().into_owned())
        })
        .await
    }
}

/// What was found out about a key on a token.
type OnToken = (IdentityReport, Vec<Problem>);

/// Looks at the identities that are all on tokens, side by side: one that is slow holds up no other.
async fn look_at_tokens(keys: impl Iterator<Item = &Key>) -> Result<BTreeMap<Key, OnToken>> {
    let mut asked = Vec::new();
    for key in keys.filter(|(role, file, key_file)| {
        *role == CertificateRole::Identity && file.trim().is_empty() && identity::is_token(key_file)
    }) {
        let uri = key.2.clone();
        asked.push((key.clone(), tokio::spawn(blocking(move || Ok(draft::check_token(&uri))))));
    }
    let mut found = BTreeMap::new();
    for (key, answer) in asked {
        if let Ok(answer) = answer.await {
            found.insert(key, answer?);
        }
    }
    Ok(found)
}

/// What the settings of a connection name.
fn keys_of(settings: &Settings) -> Vec<Key> {
    let ClientCertificate { cert_file, key_file, .. } = &settings.client_certificate;
    let named = |path: &&String| !path.trim().is_empty();
    let mut keys = Vec::new();
    // A key on a token or in the vault may have its certificate beside it.
    let elsewhere = identity::is_token(key_file) || KeyPlace::in_vault(key_file).is_some();
    if named(&cert_file) || elsewhere {
        keys.push((CertificateRole::Identity, cert_file.clone(), key_file.clone()));
    }
    let Trust { ca_files, crl_files, .. } = &settings.trust;
    let file = |role| move |path: &String| (role, path.clone(), String::new());
    keys.extend(ca_files.iter().filter(named).map(file(CertificateRole::Authority)));
    keys.extend(crl_files.iter().filter(named).map(file(CertificateRole::RevocationList)));
    keys.dedup();
    keys
}

/// What a file is for that no connection uses.
fn role_of(path: &str) -> CertificateRole {
    let report = identity::report_file(path, None);
    let first_is_ca = report.certificates.first().is_some_and(|certificate| certificate.is_ca);
    if identity::report_revocation_lists(path).error.is_none() {
        CertificateRole::RevocationList
    } else if first_is_ca && report.key_type.is_none() && !report.key_encrypted {
        CertificateRole::Authority
    } else {
        CertificateRole::Identity
    }
}

fn describe_on_token((role, file, key_file): Key, (identity, problems): OnToken) -> LibraryCertificate {
    LibraryCertificate {
        role,
        file,
        key_file,
        report: identity.key.clone().unwrap_or_default(),
        not_after: identity.chain.iter().map(|certificate| certificate.not_after).min(),
        identity: Some(identity),
        problems,
        used_by: Vec::new(),
        added: false,
        copy: false,
    }
}

fn describe((role, file, key_file): Key, secrets: &Secrets) -> LibraryCertificate {
    let mut settings = Settings::default();
    match role {
        CertificateRole::Identity => {
            settings.client_certificate = ClientCertificate {
                enabled: true,
                cert_file: file.clone(),
                key_file: key_file.clone(),
                ..ClientCertificate::default()
            };
        }
        CertificateRole::Authority => {
            settings.trust =
                Trust { mode: TrustMode::CaOnly, ca_files: vec![file.clone()], ..Trust::default() };
        }
        CertificateRole::RevocationList => settings.trust.crl_files = vec![file.clone()],
    }
    let found = draft::check_files(&settings, secrets);
    let lists = found.revocation_lists.into_iter().chain(found.authorities);
    let report = match &found.identity {
        Some(identity) => identity.cert.clone().unwrap_or_default(),
        None => lists.last().unwrap_or_default(),
    };
    let ends = |certificates: &[CertificateInfo]| certificates.iter().map(|c| c.not_after).min();
    let not_after = match (&found.identity, role) {
        (Some(identity), _) if !identity.chain.is_empty() => ends(&identity.chain),
        (_, CertificateRole::RevocationList) => {
            report.revocation_lists.iter().filter_map(|list| list.next_update).min()
        }
        _ if report.certificates.len() > FEW_AUTHORITIES => None,
        _ => ends(&report.certificates),
    };
    LibraryCertificate {
        role,
        file,
        key_file,
        identity: found.identity,
        report,
        problems: found.problems,
        used_by: Vec::new(),
        added: false,
        copy: false,
        not_after,
    }
}

/// Whether something was replaced.
fn replace_in(settings: &mut Settings, change: &CertificateReplacement) -> bool {
    let swap = |files: &mut Vec<String>| {
        let mut found = false;
        for path in files.iter_mut().filter(|path| **path == change.file) {
            path.clone_from(&change.new_file);
            found = true;
        }
        found
    };
    match change.role {
        CertificateRole::Identity => {
            let used = &mut settings.client_certificate;
            let same = used.cert_file == change.file && used.key_file == change.key_file;
            if same {
                used.cert_file.clone_from(&change.new_file);
                used.key_file.clone_from(&change.new_key_file);
            }
            same
        }
        CertificateRole::Authority => swap(&mut settings.trust.ca_files),
        CertificateRole::RevocationList => swap(&mut settings.trust.crl_files),
    }
}

/// What opens the private key and is not among these: the PIN of its token, or the passphrase that it is encrypted
/// with. Whatever else is wrong with key and token is for the attempt to say.
pub(super) fn missing_for_the_key(profile: &Profile, secrets: &Secrets) -> Option<SecretField> {
    let certificate = &profile.settings.client_certificate;
    if !certificate.enabled || !profile.endpoint.tls() {
        return None;
    }
    if let Ok(KeyPlace::Token(key)) = KeyPlace::of(&certificate.key_file) {
        let wanted = secrets.get(&SecretField::TokenPin).is_none()
            && identity::token::wants_pin(&key).unwrap_or(false);
        return wanted.then_some(SecretField::TokenPin);
    }
    if secrets.get(&SecretField::KeyPassphrase).is_some() {
        return None;
    }
    let error = identity::load_client(certificate, secrets, &mut Vec::new()).err()?;
    (error.code == FailureCode::PassphraseRequired).then_some(SecretField::KeyPassphrase)
}

/// An identity that cannot be used, with the code that a connection would fail with.
fn unusable(error: IdentityError) -> Error {
    let field = match error.code {
        FailureCode::PassphraseRequired | FailureCode::PassphraseWrong => "passphrase",
        FailureCode::TokenPinRequired | FailureCode::TokenPinWrong => "pin",
        _ => "path",
    };
    let message = format!("{}. {}", error.message, error.cause);
    file_unusable(field, error.code, &error.path, message)
}

fn file_unusable(field: &str, code: FailureCode, path: &str, message: String) -> Error {
    let failure = serde_json::to_value(code).unwrap_or_default();
    Error::invalid(field, ErrorReason::FileUnusable, message).with("failure", failure).with("path", path)
}
