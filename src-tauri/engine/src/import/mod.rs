//! Connections from elsewhere: exports of ours, with and without secrets, of MQTTX and of MQTT Explorer, and command
//! lines of `mosquitto_sub`, `mosquitto_pub` and `mqttx`. In: text. Out: first a plan, which says row by row what
//! would come in and what could not be understood; then, when a person says so, what the plan says, in the library,
//! the vault and the folder of certificates; private keys go to the vault as well. Reads no other program's files by itself, changes nothing that is there,
//! and shows no secret.

mod command_line;
mod embedded;
mod fields;
mod light;
mod mqtt_explorer;
mod mqttx;
mod remarks;
#[cfg(test)]
mod tests;

use std::collections::{BTreeMap, BTreeSet};
use std::io::Read as _;
use std::path::Path;

use serde::Serialize;
use serde_json::Value;
use ts_rs::TS;
use uuid::Uuid;
use zeroize::Zeroizing;

use crate::draft;
use crate::endpoint::EndpointParts;
use crate::error::{Error, ErrorCode, ErrorReason, Result};
use crate::identity::{self, KeyPlace, LooseKey, VaultKey};
use crate::kept::{self, KeptFile};
use crate::library::{
    Document, FORMAT, FolderId, FolderOfProfiles, ImportedProfile, Library, NoEndpoint, Odd, Oddity,
};
use crate::profile::{Profile, ProfileDraft, ProfileId, SessionOptions, Settings, TrustMode};
use crate::secret::{Secret, SecretField, Secrets};
use crate::vault::Vault;
use crate::vault::sealed_text::{self, WholeExport};

use light::Light;
pub use remarks::{ImportRemark, RemarkCode};
use remarks::{Remarks, shorten};

/// The longest text that is read, in bytes; what an export of another client has of messages is not kept in memory.
pub const LARGEST: u64 = 256 * 1024 * 1024;
/// More connections than that are not somebody's list of connections.
const MOST_CONNECTIONS: usize = 10_000;
/// So many topic filters of a connection are shown.
const SHOWN_FILTERS: usize = 20;
/// Names are not longer, in characters.
const LONGEST_NAME: usize = 200;

/// What a text turned out to be.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, TS)]
#[serde(rename_all = "snake_case")]
#[ts(export)]
pub enum ImportSource {
    /// Our own export.
    #[default]
    Heliograph,
    /// Our own export with secrets.
    HeliographSealed,
    /// MQTTX, the desktop client.
    Mqttx,
    /// MQTT Explorer.
    MqttExplorer,
    /// Command lines.
    CommandLine,
}

/// What an import would do.
#[derive(Debug, Clone, PartialEq, Serialize, TS)]
#[ts(export)]
pub struct ImportPreview {
    /// Names the plan while it is kept.
    #[ts(type = "number")]
    pub plan: u64,
    /// What the text is.
    pub source: ImportSource,
    /// Folders that would be made.
    pub folders: Vec<String>,
    /// The connections in order; those that cannot come in stand last.
    pub rows: Vec<ImportRow>,
    /// What there is to say about the whole.
    pub remarks: Vec<ImportRemark>,
}

/// A connection that would come in, or cannot.
#[derive(Debug, Clone, PartialEq, Serialize, TS)]
#[ts(export)]
pub struct ImportRow {
    /// Its place in the plan; `None` when it cannot come in.
    pub index: Option<u32>,
    /// Its name afterwards.
    pub name: String,
    /// Its folder; `None` at the top.
    pub folder: Option<String>,
    /// Its name there, where that is taken here.
    pub renamed_from: Option<String>,
    /// Its exact URL, without user name and password; empty when it cannot come in.
    pub url: String,
    /// The user name, when one is sent, shortened.
    pub username: Option<String>,
    /// Whether a client certificate is offered.
    pub client_certificate: bool,
    /// The first topic filters that it subscribes to, shortened.
    pub subscriptions: Vec<String>,
    /// The secrets that go into the vault.
    pub secrets: Vec<SecretField>,
    /// Files that are written for it: certificates that stand in the text.
    pub files: Vec<String>,
    /// What could not be understood, has no counterpart, or deserves a look.
    pub remarks: Vec<ImportRemark>,
}

/// What an import did.
#[derive(Debug, Clone, Serialize, TS)]
#[ts(export)]
pub struct ImportDone {
    /// Folders that were made.
    pub folders: Vec<String>,
    /// The connections that were added, in order.
    pub profiles: Vec<ImportedProfile>,
    /// How many secrets, private keys among them, were given to the vault, which keeps them by its own rules.
    pub secrets: u32,
    /// Why the vault could not write them; they are in memory then.
    pub secrets_error: Option<Error>,
}

/// What would be done. Holds the secrets until it is dropped.
#[derive(Debug, Default)]
pub struct Plan {
    source: ImportSource,
    document: Document,
    facts: BTreeMap<ProfileId, Facts>,
    refused: Vec<ImportRow>,
    remarks: Remarks,
    /// Folders by what they are called there.
    folders: BTreeMap<String, usize>,
}

#[derive(Debug, Default)]
struct Facts {
    secrets: Secrets,
    /// The private key that it names.
    key: Option<(VaultKey, Secret)>,
    files: Vec<KeptFile>,
    remarks: Remarks,
}

/// A connection as another program has it, in our terms.
struct Found {
    name: String,
    folder: Option<String>,
    endpoint: EndpointParts,
    settings: Settings,
    secrets: Secrets,
    /// The private key that it names, when it came along.
    key: Option<(VaultKey, Secret)>,
    files: Vec<KeptFile>,
    remarks: Remarks,
}

impl Found {
    /// With the defaults and a random client identifier.
    fn new() -> Self {
        let digits = Uuid::new_v4().simple().to_string();
        let client_id = format!("heliograph-{}", &digits[..8]);
        Self {
            name: String::new(),
            folder: None,
            endpoint: EndpointParts::default(),
            settings: Settings {
                session: SessionOptions { client_id, ..SessionOptions::default() },
                ..Settings::default()
            },
            secrets: Secrets::default(),
            key: None,
            files: Vec::new(),
            remarks: Remarks::default(),
        }
    }

    /// A given CA replaces the system's roots in the programs that are read here.
    fn trust_only(&mut self, ca_file: String) {
        self.settings.trust.mode = TrustMode::CaOnly;
        self.settings.trust.ca_files = vec![ca_file];
    }

    /// A path that was named: whether something is there is said, not judged.
    fn check_file(&mut self, field: &str, path: &str) {
        if !Path::new(path).is_file() {
            self.remarks.push(RemarkCode::FileMissing, field, path, "");
        }
    }

    fn check_tls_parts(&mut self, field: &str) {
        if self.settings.client_certificate.enabled && !self.endpoint.tls {
            let scheme = if self.endpoint.websocket { "ws" } else { "mqtt" };
            self.remarks.push(RemarkCode::CertificateWithoutTls, field, "", scheme);
        }
    }
}

/// Reads a file that is to be imported.
///
/// # Errors
/// `file`: it cannot be read, or is longer than [`LARGEST`].
pub fn read_file(path: &Path) -> Result<Secret> {
    let opened = std::fs::File::open(path).map_err(|error| Error::unreadable(path, &error))?;
    let bytes = bounded(opened).map_err(|error| Error::unreadable(path, &error))?;
    bytes.ok_or_else(|| {
        let name = path.display().to_string();
        let message = format!("{name} is longer than any export (256 MiB)");
        Error::because(ErrorCode::File, ErrorReason::TooLong, message).with("path", name)
    })
}

/// Everything that a reader gives, or `None` when that is longer than [`LARGEST`].
///
/// # Errors
/// Those of the reader.
pub fn bounded(reader: impl std::io::Read) -> std::io::Result<Option<Secret>> {
    let mut bytes = Zeroizing::new(Vec::new());
    reader.take(LARGEST + 1).read_to_end(&mut bytes)?;
    Ok((bytes.len() as u64 <= LARGEST).then(|| Secret::new(std::mem::take(&mut *bytes))))
}

impl Plan {
    /// Reads a text. Writes nothing; of other files it only asks whether they are there. `passphrase` opens an
    /// export with secrets. `data_dir` says where files would be written.
    ///
    /// # Errors
    /// `invalid_input` with `details.reason`: `not_known` (nothing that can be read), `damaged` (with
    /// `details.place` where it is known), `not_an_export`, `unknown_version`, `empty` (no connection in it),
    /// `too_many`, `passphrase_needed`; `passphrase_wrong`. A place in the text is also `details.line` and
    /// `details.column`.
    pub fn read(text: &str, passphrase: Option<&Secret>, data_dir: &Path) -> Result<Self> {
        // Editors on Windows begin files with it.
        let text = text.trim_start_matches('\u{feff}').trim();
        let kept = kept::folder(data_dir);
        let mut plan = Self::default();
        if !text.starts_with(['{', '[']) {
            command_line::read(text, &mut plan)?;
            return plan.with_something();
        }
        let Light(value) = serde_json::from_str(text).map_err(|error| {
            let place = format!("line {}, column {}", error.line(), error.column());
            let message = format!("The text is damaged at {place}: {error}. Nothing was added");
            refuse(ErrorReason::Damaged, message)
                .with("place", place)
                .with("line", error.line())
                .with("column", error.column())
        })?;
        let format = value.get("format").and_then(Value::as_str);
        if format == Some(sealed_text::FORMAT) {
            plan.read_sealed(text, passphrase, &kept)?;
        } else if format == Some(FORMAT) {
            plan.read_own(text)?;
        } else if mqtt_explorer::is_it(&value) {
            plan.source = ImportSource::MqttExplorer;
            mqtt_explorer::read(&value, &kept, &mut plan);
        } else if mqttx::is_it(&value) {
            plan.source = ImportSource::Mqttx;
            mqttx::read(&value, &kept, &mut plan);
        } else {
            return Err(not_known());
        }
        plan.with_something()
    }

    /// How many secrets, private keys among them, would go into the vault.
    pub fn secrets(&self) -> usize {
        let keys: BTreeSet<_> = self.facts.values().filter_map(|facts| Some(facts.key.as_ref()?.0)).collect();
        self.facts.values().map(|facts| facts.secrets.set_fields().len()).sum::<usize>() + keys.len()
    }

    /// Leaves the secrets and the private keys where they are.
    pub fn without_secrets(&mut self) {
        for facts in self.facts.values_mut() {
            facts.secrets = Secrets::default();
            facts.key = None;
        }
    }

    /// What would be done now.
    ///
    /// # Errors
    /// `storage`.
    pub fn preview(&self, library: &Library, vault: &Vault) -> Result<ImportPreview> {
        let rehearsed = library.rehearse(&self.document)?;
        let profiles: BTreeMap<_, _> = self.document.all().map(|profile| (profile.id, profile)).collect();
        let keys = vault.keys();
        let rows = (0..).zip(rehearsed.profiles).filter_map(|(index, imported)| {
            let profile = profiles.get(&imported.id_there)?;
            Some(self.row(index, imported, profile, &keys))
        });
        Ok(ImportPreview {
            plan: 0,
            source: self.source,
            folders: rehearsed.folders,
            rows: rows.chain(self.refused.iter().cloned()).collect(),
            remarks: self.remarks.clone().into_list(),
        })
    }

    /// Adds the connections, or those of the rows with these indices. Nothing that is there is changed. All of the
    /// connections or, after an error, none.
    ///
    /// # Errors
    /// `file`: a certificate cannot be written; `storage`.
    pub fn apply(&self, chosen: Option<&[u32]>, library: &Library, vault: &Vault) -> Result<ImportDone> {
        let mut document = self.document.clone();
        if let Some(chosen) = chosen {
            let chosen: BTreeSet<u32> = chosen.iter().copied().collect();
            let mut index = 0..;
            let wanted: BTreeSet<ProfileId> = (self.document.all())
                .filter(|_| index.next().is_some_and(|index| chosen.contains(&index)))
                .map(|profile| profile.id)
                .collect();
            document.retain(|profile| wanted.contains(&profile.id));
        }
        let mut written = Vec::new();
        let added = write_files(&document, &self.facts, &mut written).and_then(|()| library.add(&document));
        let added = added.inspect_err(|_| {
            for path in &written {
                let _ = std::fs::remove_file(path);
            }
        })?;
        let mut done =
            ImportDone { folders: added.folders, profiles: added.profiles, secrets: 0, secrets_error: None };
        let mut keys = BTreeSet::new();
        for profile in &done.profiles {
            let Some(Facts { secrets, key, .. }) = self.facts.get(&profile.id_there) else { continue };
            if let Some((name, key)) = key.as_ref().filter(|(name, _)| keys.insert(*name)) {
                done.secrets += 1;
                if let Err(error) = vault.put_key(*name, key) {
                    done.secrets_error.get_or_insert(error);
                }
            }
            let number = secrets.set_fields().len();
            if number == 0 {
                continue;
            }
            done.secrets += u32::try_from(number).unwrap_or(u32::MAX);
            if let Err(error) = vault.put_all(profile.id, secrets) {
                done.secrets_error.get_or_insert(error);
            }
        }
        if let Err(error) = self.list_certificates(&done, library) {
            done.secrets_error.get_or_insert(error);
        }
        Ok(done)
    }

    /// The certificate of a key that came into the vault stays on the list when its connection goes, as one that was
    /// imported by itself.
    fn list_certificates(&self, done: &ImportDone, library: &Library) -> Result<()> {
        let mut listed = kept::listed(library)?;
        let before = listed.len();
        for profile in &done.profiles {
            let Some(facts) = self.facts.get(&profile.id_there).filter(|facts| facts.key.is_some()) else {
                continue;
            };
            let own = library.profile(profile.id)?.settings.client_certificate.cert_file;
            let ours = facts.files.iter().any(|file| file.path == Path::new(&own));
            if ours && !listed.contains(&own) {
                listed.push(own);
            }
        }
        if listed.len() > before { kept::list(library, &listed) } else { Ok(()) }
    }

    fn row(
        &self,
        index: u32,
        imported: ImportedProfile,
        profile: &Profile,
        here: &BTreeSet<VaultKey>,
    ) -> ImportRow {
        let settings = &profile.settings;
        let login = &settings.login;
        let nothing = Facts::default();
        let facts = self.facts.get(&profile.id).unwrap_or(&nothing);
        let filters = settings.subscriptions.iter().map(|subscription| shorten(&subscription.filter));
        let name = |file: &KeptFile| {
            file.path.file_name().map(|name| name.to_string_lossy().into_owned()).unwrap_or_default()
        };
        let mut remarks = facts.remarks.clone();
        let named = KeyPlace::in_vault(&settings.client_certificate.key_file);
        if named.is_some_and(|name| facts.key.is_none() && !here.contains(&name)) {
            remarks.push(RemarkCode::KeyLeft, "settings.client_certificate.key_file", "", "");
        }
        let key = facts.key.as_ref().map(|_| SecretField::PrivateKey);
        ImportRow {
            index: Some(index),
            name: imported.name,
            folder: imported.folder,
            renamed_from: imported.renamed_from,
            url: imported.url,
            username: Some(shorten(&login.username)).filter(|_| login.enabled),
            client_certificate: settings.client_certificate.enabled,
            subscriptions: filters.take(SHOWN_FILTERS).collect(),
            secrets: facts.secrets.set_fields().into_iter().chain(key).collect(),
            files: facts.files.iter().map(name).collect(),
            remarks: remarks.into_list(),
        }
    }

    /// An export of ours: what is odd in it is said, place by place, and the rest comes in.
    fn read_own(&mut self, text: &str) -> Result<()> {
        let Self { facts, refused, remarks, .. } = self;
        self.document = Document::read(text, &mut |odd| match odd {
            Odd::Part { profile, path, how } => {
                let remarks = match profile {
                    Some(id) => &mut facts.entry(id).or_default().remarks,
                    None => &mut *remarks,
                };
                match how {
                    Oddity::Unknown => remarks.push(RemarkCode::NotUnderstood, path, "", ""),
                    Oddity::Wrong { value, used } => {
                        let (value, used) = (fields::shown(&path, &value), used.as_ref().map(fields::text));
                        let used = used.filter(|used| !used.is_empty());
                        let code = if used.is_some() { RemarkCode::Replaced } else { RemarkCode::WrongValue };
                        remarks.push(code, path, &value, shorten(&used.unwrap_or_default()));
                    }
                }
            }
            // One too many is enough to refuse them all.
            Odd::Connection { .. } if refused.len() > MOST_CONNECTIONS => {}
            Odd::Connection { name, folder, why } => {
                let mut remarks = Remarks::default();
                match why {
                    NoEndpoint::Refused(error) => remarks.refuse(&error),
                    NoEndpoint::Wrong { path, value } => {
                        let value = fields::shown(&path, &value);
                        remarks.push(RemarkCode::NoEndpoint, path, &value, "");
                    }
                }
                refused.push(refused_row(shorten(&name), folder, remarks));
            }
        })?;
        for profile in self.document.all_mut() {
            let facts = self.facts.entry(profile.id).or_default();
            for header in profile.settings.websocket.headers.iter_mut().filter(|header| header.secret) {
                // An export of ours has none; one that somebody wrote there is a secret all the same.
                let value = std::mem::take(&mut header.value);
                if !value.is_empty() {
                    let field = SecretField::WebsocketHeader(header.name.to_ascii_lowercase());
                    facts.secrets.put(field, Some(Secret::new(value)));
                }
            }
        }
        Ok(())
    }

    fn read_sealed(&mut self, text: &str, passphrase: Option<&Secret>, kept: &Path) -> Result<()> {
        self.source = ImportSource::HeliographSealed;
        let WholeExport { export, secrets, certificates } = sealed_text::open_export(text, passphrase)?;
        self.read_own(&export)?;
        let mut keys: BTreeMap<VaultKey, Secret> = BTreeMap::new();
        for (id, mut secrets) in secrets {
            if let Some(key) = secrets.get(&SecretField::PrivateKey) {
                // Its name is that of its content: nobody can put another key in its place.
                match identity::loose_key(key.expose()) {
                    Some(LooseKey { name, key, .. }) => drop(keys.insert(name, key)),
                    None => self.remarks.push(RemarkCode::Unreadable, SecretField::PrivateKey.key(), "", ""),
                }
                secrets.put(SecretField::PrivateKey, None);
            }
            if !secrets.set_fields().is_empty() {
                self.facts.entry(id).or_default().secrets = secrets;
            }
        }
        let files: BTreeMap<String, KeptFile> = (certificates.into_iter())
            .filter_map(|(path, pem)| {
                let (certificates, _) = identity::certificates_in_text(&pem);
                (!certificates.is_empty()).then(|| (path, KeptFile::of_certificates(kept, &certificates)))
            })
            .collect();
        for profile in self.document.all_mut() {
            let facts = self.facts.entry(profile.id).or_default();
            let settings = &mut profile.settings;
            let own = &mut settings.client_certificate;
            if let Some(name) = KeyPlace::in_vault(&own.key_file) {
                facts.key = keys.get(&name).map(|key| (name, key.clone()));
            }
            for path in std::iter::once(&mut own.cert_file).chain(&mut settings.trust.ca_files) {
                let Some(file) = files.get(path) else { continue };
                *path = file.path.to_string_lossy().into_owned();
                facts.files.push(file.clone());
            }
        }
        Ok(())
    }

    /// Puts a connection that was found into its folder, or says why it cannot come in.
    fn add(&mut self, found: Found) {
        if self.facts.len() + self.refused.len() > MOST_CONNECTIONS {
            // One too many is enough to refuse them all.
            return;
        }
        let Found { name, folder, endpoint, settings, secrets, key, files, mut remarks } = found;
        let clean: String = name.chars().filter(|c| !c.is_control()).take(LONGEST_NAME).collect();
        if clean != name {
            remarks.push(RemarkCode::Changed, "name", "", clean.clone());
        }
        let id = ProfileId::random();
        let shown = if clean.trim().is_empty() { shorten(&endpoint.host) } else { clean.clone() };
        match draft::build(ProfileDraft { id, name: clean, endpoint, settings }) {
            Ok(profile) => {
                self.facts.insert(id, Facts { secrets, key, files, remarks });
                self.place(profile, folder);
            }
            Err(error) => {
                let mut why = Remarks::default();
                why.refuse(&error);
                why.extend(remarks);
                self.refused.push(refused_row(shown, folder, why));
            }
        }
    }

    fn place(&mut self, profile: Profile, folder: Option<String>) {
        let Some(name) = folder else { return self.document.profiles.push(profile) };
        let folders = &mut self.document.folders;
        let at = *self.folders.entry(name.clone()).or_insert_with(|| {
            let name = name.chars().filter(|c| !c.is_control()).take(LONGEST_NAME).collect();
            let id = FolderId(Uuid::new_v4());
            folders.push(FolderOfProfiles { id, name, collapsed: false, profiles: Vec::new() });
            folders.len() - 1
        });
        if let Some(folder) = self.document.folders.get_mut(at) {
            folder.profiles.push(profile);
        }
    }

    fn with_something(self) -> Result<Self> {
        if self.document.all().count() + self.refused.len() > MOST_CONNECTIONS {
            let message =
                format!("There are more than {MOST_CONNECTIONS} connections in it. Nothing was added");
            return Err(refuse(ErrorReason::TooMany, message));
        }
        let own = matches!(self.source, ImportSource::Heliograph | ImportSource::HeliographSealed);
        if !own && self.document.all().next().is_none() && self.refused.is_empty() {
            return Err(refuse(ErrorReason::Empty, "There is no connection in it. Nothing was added"));
        }
        Ok(self)
    }
}

/// A connection that cannot come in.
fn refused_row(name: String, folder: Option<String>, why: Remarks) -> ImportRow {
    ImportRow {
        index: None,
        name,
        folder,
        renamed_from: None,
        url: String::new(),
        username: None,
        client_certificate: false,
        subscriptions: Vec::new(),
        secrets: Vec::new(),
        files: Vec::new(),
        remarks: why.into_list(),
    }
}

/// Writes the files of these connections, and says which were not there before.
fn write_files(
    document: &Document,
    facts: &BTreeMap<ProfileId, Facts>,
    written: &mut Vec<std::path::PathBuf>,
) -> Result<()> {
    for file in document.all().filter_map(|profile| facts.get(&profile.id)).flat_map(|facts| &facts.files) {
        if file.write()? {
            written.push(file.path.clone());
        }
    }
    Ok(())
}

/// What was given is no text at all.
pub fn not_text() -> Error {
    refuse(ErrorReason::NotText, "This is not text in UTF-8, and so no export that can be read")
}

fn refuse(reason: ErrorReason, message: impl Into<String>) -> Error {
    Error::invalid("import", reason, message)
}

fn not_known() -> Error {
    refuse(
        ErrorReason::NotKnown,
        "This is not an export that can be read: give one of Heliograph, of MQTTX (as JSON) or of MQTT Explorer \
         (settings.json), or a command line of mosquitto_sub, mosquitto_pub or mqttx",
    )
}
