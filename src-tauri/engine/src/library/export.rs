//! Saved connections as text, to keep or to hand on: versioned JSON with folders and order, and without
//! secrets. In: the library, or a [`Document`]. Out: such text, or the connections of the document in a library.
//! Reading adds and never overwrites. What such text says is read by `library::reading`; what other programs wrote
//! comes in the same way, as a [`Document`] that [`crate::import`] made of it.

use rusqlite::{OptionalExtension as _, Transaction, params};
use serde::Serialize;
use ts_rs::TS;
use uuid::Uuid;

use super::{DamagedProfile, FolderId, IN_FOLDER, Library, body, insert, read_profile, strings};
use crate::error::{Error, ErrorCode, Result};
use crate::profile::{Profile, ProfileId};

/// What the text says it is.
pub(crate) const FORMAT: &str = "heliograph-connections";
/// The version that is written. Earlier ones are read for ever.
pub(super) const VERSION: u64 = 1;

/// Connections as text.
#[derive(Debug, Clone, PartialEq, Serialize, TS)]
#[ts(export)]
pub struct LibraryExport {
    /// The text: JSON, indented, ends with a line feed.
    pub text: String,
    /// How many connections it holds.
    pub profiles: usize,
    /// Those that were asked for but cannot be read, and so are not in it.
    pub damaged: Vec<DamagedProfile>,
}

/// What reading an export added, in its order.
#[derive(Debug, Clone, Default, PartialEq, Serialize, TS)]
#[ts(export)]
pub struct LibraryImport {
    /// Folders that were made.
    pub folders: Vec<String>,
    /// Connections, all of them new.
    pub profiles: Vec<ImportedProfile>,
}

/// A connection that was added.
#[derive(Debug, Clone, PartialEq, Serialize, TS)]
#[ts(export)]
pub struct ImportedProfile {
    /// Its id: the one in the export, or a new one where that was taken.
    pub id: ProfileId,
    /// Its name now.
    pub name: String,
    /// The name of its folder; `None` at the top.
    pub folder: Option<String>,
    /// The name in the export, where that was taken in the same folder.
    pub renamed_from: Option<String>,
    /// Its exact URL, without user name and password.
    pub url: String,
    /// Its id in the document.
    #[serde(skip)]
    #[ts(skip)]
    pub(crate) id_there: ProfileId,
}

/// Connections to be added, in order. `profiles` are those at the top.
#[derive(Debug, Clone, Default, PartialEq, Serialize)]
pub(crate) struct Document {
    format: String,
    version: u64,
    pub profiles: Vec<Profile>,
    pub folders: Vec<FolderOfProfiles>,
}

/// A folder of a [`Document`].
#[derive(Debug, Clone, PartialEq, Serialize)]
pub(crate) struct FolderOfProfiles {
    pub id: FolderId,
    pub name: String,
    pub collapsed: bool,
    pub profiles: Vec<Profile>,
}

impl Document {
    /// A document of this version.
    pub(super) fn of(profiles: Vec<Profile>, folders: Vec<FolderOfProfiles>) -> Self {
        Self { format: FORMAT.to_owned(), version: VERSION, profiles, folders }
    }

    /// Its connections, to be changed.
    pub fn all_mut(&mut self) -> impl Iterator<Item = &mut Profile> {
        self.profiles.iter_mut().chain(self.folders.iter_mut().flat_map(|folder| &mut folder.profiles))
    }

    /// Its connections: those at the top, then folder by folder.
    pub fn all(&self) -> impl Iterator<Item = &Profile> {
        self.profiles.iter().chain(self.folders.iter().flat_map(|folder| &folder.profiles))
    }

    /// Keeps the connections that `wanted` says, and the folders that had none from the start.
    pub fn retain(&mut self, mut wanted: impl FnMut(&Profile) -> bool) {
        self.profiles.retain(&mut wanted);
        self.folders.retain_mut(|folder| {
            let empty = folder.profiles.is_empty();
            folder.profiles.retain(&mut wanted);
            empty || !folder.profiles.is_empty()
        });
    }
}

impl Library {
    /// Writes connections as text: all of them with every folder, or `only` these with their folders.
    ///
    /// # Errors
    /// `not_found`: one of `only`; `storage`.
    pub fn export(&self, only: Option<&[ProfileId]>) -> Result<LibraryExport> {
        self.with(|tx| {
            let mut found = Vec::new();
            let mut damaged = Vec::new();
            let profiles = read_folder(tx, None, only, &mut found, &mut damaged)?;
            let mut folders = Vec::new();
            for (id, name, collapsed) in read_folders(tx)? {
                let profiles = read_folder(tx, Some(&id), only, &mut found, &mut damaged)?;
                let Ok(id) = id.parse().map(FolderId) else { continue };
                if only.is_none() || !profiles.is_empty() {
                    folders.push(FolderOfProfiles { id, name, collapsed, profiles });
                }
            }
            if let Some(ids) = only
                && ids.iter().any(|id| !found.contains(&id.to_string()))
            {
                return Ok(Err(Error::not_found("The connection")));
            }
            let count = found.len() - damaged.len();
            Ok(write(&Document::of(profiles, folders)).map(|text| LibraryExport {
                text,
                profiles: count,
                damaged,
            }))
        })
    }

    /// Adds the connections of a document, after those that are there, in its folders and order. All of them or,
    /// after an error, none. A folder that is there already, by its id, takes its connections in. Where an id is
    /// taken a new one is made; where a name is taken in its folder, a number is added.
    ///
    /// # Errors
    /// `storage`.
    pub(crate) fn add(&self, document: &Document) -> Result<LibraryImport> {
        self.with(|tx| add_document(tx, document).map(Ok))
    }

    /// What [`Self::add`] would do, without doing it.
    ///
    /// # Errors
    /// `storage`.
    pub(crate) fn rehearse(&self, document: &Document) -> Result<LibraryImport> {
        let mut done = LibraryImport::default();
        let undone = self.with(|tx| {
            done = add_document(tx, document)?;
            // Only an error takes everything back.
            Ok(Err::<(), _>(Error::new(ErrorCode::Cancelled, "Only a rehearsal")))
        });
        match undone {
            Err(error) if error.code != ErrorCode::Cancelled => Err(error),
            _ => Ok(done),
        }
    }
}

fn add_document(tx: &Transaction<'_>, document: &Document) -> rusqlite::Result<LibraryImport> {
    let mut done = LibraryImport::default();
    add_profiles(tx, None, &document.profiles, &mut done)?;
    for folder in &document.folders {
        let id = add_folder(tx, folder, &mut done)?;
        add_profiles(tx, Some((&id, &folder.name)), &folder.profiles, &mut done)?;
    }
    Ok(done)
}

fn write(document: &Document) -> Result<String> {
    let mut text = serde_json::to_string_pretty(document)
        .map_err(|_| Error::new(ErrorCode::Internal, "The connections cannot be written"))?;
    text.push('\n');
    Ok(text)
}

fn read_folders(tx: &Transaction<'_>) -> rusqlite::Result<Vec<(String, String, bool)>> {
    tx.prepare_cached(
        "SELECT id, name, collapsed FROM folder WHERE deleted_at IS NULL ORDER BY position, rowid",
    )?
    .query_map([], |row| Ok((row.get(0)?, row.get(1)?, row.get(2)?)))?
    .collect()
}

fn read_folder(
    tx: &Transaction<'_>,
    folder: Option<&str>,
    only: Option<&[ProfileId]>,
    found: &mut Vec<String>,
    damaged: &mut Vec<DamagedProfile>,
) -> rusqlite::Result<Vec<Profile>> {
    let mut profiles = Vec::new();
    for id in strings(tx, IN_FOLDER, folder)? {
        if only.is_some_and(|ids| !ids.iter().any(|wanted| wanted.to_string() == id)) {
            continue;
        }
        let (name, text): (String, String) = tx
            .prepare_cached("SELECT name, body FROM profile WHERE id = ?1")?
            .query_row([&id], |row| Ok((row.get(0)?, row.get(1)?)))?;
        match read_profile(&id, &name, &text) {
            Ok(profile) => profiles.push(profile),
            Err(message) => damaged.push(DamagedProfile { id: id.clone(), name, message }),
        }
        found.push(id);
    }
    Ok(profiles)
}

/// The id of the folder that takes the connections in, made unless it is there.
fn add_folder(
    tx: &Transaction<'_>,
    folder: &FolderOfProfiles,
    done: &mut LibraryImport,
) -> rusqlite::Result<String> {
    let id = folder.id.0.to_string();
    let live: Option<bool> = tx
        .prepare_cached("SELECT deleted_at IS NULL FROM folder WHERE id = ?1")?
        .query_row([&id], |row| row.get(0))
        .optional()?;
    let id = match live {
        Some(true) => return Ok(id),
        // A deleted one could still be restored: it keeps its id.
        Some(false) => Uuid::new_v4().to_string(),
        None => id,
    };
    tx.execute(
        "INSERT INTO folder (id, name, collapsed, position)
         VALUES (?1, ?2, ?3, (SELECT ifnull(max(position), -1) + 1 FROM folder))",
        params![id, folder.name, folder.collapsed],
    )?;
    done.folders.push(folder.name.clone());
    Ok(id)
}

fn add_profiles(
    tx: &Transaction<'_>,
    folder: Option<(&str, &str)>,
    profiles: &[Profile],
    done: &mut LibraryImport,
) -> rusqlite::Result<()> {
    let folder_id = folder.map(|(id, _)| id);
    // Names in an export may repeat, as they may in the library: only those that were there are avoided.
    let there = strings(tx, "SELECT name FROM profile WHERE folder IS ?1 AND deleted_at IS NULL", folder_id)?;
    for profile in profiles {
        let mut profile = profile.clone();
        let id_there = profile.id;
        let taken =
            tx.prepare_cached("SELECT 1 FROM profile WHERE id = ?1")?.exists([profile.id.to_string()])?;
        if taken {
            profile.id = ProfileId::random();
        }
        let name = unused_name(&profile.name, &there);
        let renamed_from = (name != profile.name).then(|| std::mem::replace(&mut profile.name, name));
        // It was read from JSON, so it can be written as such.
        let Ok(text) = body(&profile) else { continue };
        insert(tx, &profile.id.to_string(), &profile.name, &text, folder_id)?;
        done.profiles.push(ImportedProfile {
            id: profile.id,
            folder: folder.map(|(_, name)| name.to_owned()),
            renamed_from,
            url: profile.endpoint.url(),
            name: profile.name,
            id_there,
        });
    }
    Ok(())
}

/// The name, or `name 2` and so on where it is taken.
fn unused_name(name: &str, taken: &[String]) -> String {
    let mut candidate = name.to_owned();
    let mut number = 2;
    while taken.contains(&candidate) {
        candidate = format!("{name} {number}");
        number += 1;
    }
    candidate
}

#[cfg(test)]
#[allow(clippy::panic, reason = "a test says what it missed")]
pub(super) mod tests {
    use super::*;
    use crate::profile::{Header, MqttVersion, ProxyKind, Qos, Settings, Subscription, TrustMode};

    fn fresh() -> (tempfile::TempDir, Library) {
        let folder = tempfile::tempdir().expect("folder");
        let library = Library::open(&folder.path().join("heliograph.db")).expect("opened");
        (folder, library)
    }

    fn profile(name: &str, url: &str) -> Profile {
        let endpoint =
            crate::endpoint::Endpoint::parse_url(url, crate::endpoint::Scheme::Mqtt).expect("a URL");
        Profile {
            id: ProfileId::random(),
            name: name.into(),
            endpoint: endpoint.endpoint,
            settings: Settings::default(),
        }
    }

    /// Text that is all as it should be.
    fn read(text: &str) -> Document {
        Document::read(text, &mut |odd| panic!("{odd:?}")).expect("an export")
    }

    /// Something in every part of the settings.
    pub fn rich(name: &str) -> Profile {
        let mut profile = profile(name, "wss://[fe80::1%25eth0]:9001/a?b=ü");
        let settings = &mut profile.settings;
        settings.login.enabled = true;
        settings.login.username = "plänt".into();
        settings.client_certificate.cert_file = "/a b/c.pem".into();
        settings.trust.mode = TrustMode::CaOnly;
        settings.trust.ca_files = vec!["/ca.pem".into()];
        settings.tls.alpn = vec!["mqtt".into()];
        settings.websocket.headers = vec![
            Header { name: "X-Plant".into(), value: "north".into(), secret: false },
            Header { name: "Authorization".into(), value: "canary-71c0".into(), secret: true },
        ];
        settings.proxy.kind = ProxyKind::Socks5;
        settings.proxy.host = "proxy.example".into();
        settings.proxy.port = 1080;
        settings.session.version = MqttVersion::V311;
        settings.session.session_expiry_s = Some(u32::MAX);
        settings.will.enabled = true;
        settings.will.topic = "gone".into();
        settings.will.delay_s = Some(3);
        settings.timing.reconnect_attempts = Some(7);
        settings.subscriptions =
            vec![Subscription { filter: "#".into(), qos: Qos::ExactlyOnce, ..Subscription::default() }];
        profile
    }

    pub fn filled() -> (tempfile::TempDir, Library) {
        let (dir, library) = fresh();
        let first = library.create_folder("Plants").expect("made");
        let second = library.create_folder("Plants").expect("made");
        library.create_folder("Empty").expect("made");
        library.collapse_folder(second, true).expect("closed");
        library.move_folder(second, 0).expect("moved");
        for (profile, folder) in [
            (rich("a"), Some(first)),
            (profile("b", "mqtt://b"), Some(first)),
            (rich("a"), Some(second)),
            (profile("top", "ws://t/x"), None),
            (profile("top", "mqtts://t"), None),
        ] {
            library.save(&profile, folder).expect("saved");
        }
        let moved = library.tree().expect("a tree").profiles[1].id;
        library.move_profile(moved, None, 0).expect("moved");
        (dir, library)
    }

    #[test]
    fn an_export_read_into_an_empty_library_is_the_same_library() {
        let (_dir, library) = filled();
        let export = library.export(None).expect("written");
        assert_eq!((export.profiles, export.damaged.len()), (5, 0));
        assert!(!export.text.contains("canary"), "{}", export.text);
        let (_dir, other) = fresh();
        let done = other.add(&read(&export.text)).expect("read");
        assert_eq!(
            (done.folders.as_slice(), done.profiles.len()),
            (&["Plants", "Plants", "Empty"].map(String::from)[..], 5)
        );
        assert!(done.profiles.iter().all(|profile| profile.renamed_from.is_none()));
        assert_eq!(other.tree().expect("a tree"), library.tree().expect("a tree"));
        for entry in library.tree().expect("a tree").profiles {
            assert_eq!(other.profile(entry.id).expect("there"), library.profile(entry.id).expect("there"));
        }
        assert_eq!(other.export(None).expect("written").text, export.text);
    }

    #[test]
    fn reading_adds_and_never_overwrites() {
        let (_dir, library) = filled();
        let before = library.tree().expect("a tree");
        let text = library.export(None).expect("written").text;
        let done = library.add(&read(&text)).expect("read");
        assert!(done.folders.is_empty(), "they are there");
        let after = library.tree().expect("a tree");
        assert_eq!(after.folders, before.folders);
        assert_eq!(after.profiles.len(), 2 * before.profiles.len());
        for entry in &before.profiles {
            assert!(after.profiles.contains(entry));
        }
        let names: Vec<_> = after.profiles.iter().map(|entry| entry.name.as_str()).collect();
        assert_eq!(names, ["top", "top", "top 2", "top 2", "a", "a 2", "a", "b", "a 2", "b 2"]);
        assert_eq!(done.profiles[0].renamed_from.as_deref(), Some("top"));
        assert_eq!(done.profiles[2].folder.as_deref(), Some("Plants"));

        // What was deleted can still be restored beside what came.
        let (folder, gone) = (after.folders[0].id, after.profiles[4].id);
        library.delete(gone).expect("deleted");
        library.delete_folder(folder).expect("deleted");
        let done = library.add(&read(&text)).expect("read");
        assert_eq!(done.folders, ["Plants"]);
        library.restore_folder(folder).expect("restored");
        library.restore(gone).expect("restored");
        assert_eq!(library.tree().expect("a tree").profiles.len(), 15);
    }

    #[test]
    fn a_part_can_be_exported() {
        let (_dir, library) = filled();
        let wanted = library.tree().expect("a tree").profiles.last().expect("one").clone();
        let export = library.export(Some(&[wanted.id])).expect("written");
        assert_eq!(export.profiles, 1);
        let (_dir, other) = fresh();
        other.add(&read(&export.text)).expect("read");
        let tree = other.tree().expect("a tree");
        assert_eq!((tree.folders.len(), &tree.profiles[..]), (1, &[wanted][..]));
        let error = library.export(Some(&[ProfileId::random()])).expect_err("nobody");
        assert_eq!(error.code, ErrorCode::NotFound);
    }

    #[test]
    fn a_rehearsal_says_what_would_be_done_and_does_nothing() {
        let (_dir, library) = filled();
        let document = read(&library.export(None).expect("written").text);
        let (_dir, other) = fresh();
        let rehearsed = other.rehearse(&document).expect("rehearsed");
        assert_eq!(rehearsed.profiles.len(), 5);
        assert_eq!(other.tree().expect("a tree"), crate::library::LibraryTree::default());
        assert_eq!(rehearsed, other.rehearse(&document).expect("rehearsed"));
    }

    #[test]
    fn a_damaged_connection_is_named_and_the_others_are_exported() {
        let (_dir, library) = filled();
        let spoil = |tx: &Transaction<'_>| tx.execute("UPDATE profile SET body = '{' WHERE name = 'b'", []);
        library.with(|tx| spoil(tx).map(Ok)).expect("spoilt");
        let export = library.export(None).expect("written");
        assert_eq!((export.profiles, export.damaged[0].name.as_str()), (4, "b"));
    }
}
