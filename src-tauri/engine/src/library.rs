//! Saved connections: folders, order, profiles, subscriptions, settings of the window; in SQLite, with
//! versioned migrations, safe with the window and `helio` open at once.

mod export;
mod reading;

use std::path::{Path, PathBuf};
use std::sync::{Mutex, PoisonError};

use rusqlite::{Connection, OptionalExtension, Transaction, TransactionBehavior, params};
use rusqlite_migration::{M, Migrations};
use serde::{Deserialize, Serialize};
use serde_json::Value;
use ts_rs::TS;
use uuid::Uuid;

use crate::database;
use crate::endpoint::Scheme;
use crate::error::{Error, ErrorCode, ErrorReason, Result};
use crate::identity::without_pin;
use crate::message::{Clock, UnixMicros};
use crate::profile::{Profile, ProfileId};
pub(crate) use export::{Document, FORMAT, FolderOfProfiles};
pub use export::{ImportedProfile, LibraryExport, LibraryImport};
pub(crate) use reading::{NoEndpoint, Odd, Oddity};

/// Versions of the file, oldest first. Only ever add to the end.
const VERSIONS: &[M<'static>] = &[M::up(
    "CREATE TABLE folder (
        id TEXT PRIMARY KEY,
        name TEXT NOT NULL,
        collapsed INTEGER NOT NULL DEFAULT 0,
        position INTEGER NOT NULL,
        deleted_at INTEGER
    ) STRICT;
    CREATE TABLE profile (
        id TEXT PRIMARY KEY,
        name TEXT NOT NULL,
        body TEXT NOT NULL,
        folder TEXT REFERENCES folder (id) ON DELETE SET NULL,
        position INTEGER NOT NULL,
        deleted_at INTEGER,
        -- Where it was before its folder was deleted.
        former_folder TEXT REFERENCES folder (id) ON DELETE SET NULL,
        former_position INTEGER
    ) STRICT;
    CREATE TABLE value (key TEXT PRIMARY KEY, json TEXT NOT NULL) STRICT;",
)];

/// How long what was deleted can be restored.
const DAY: UnixMicros = 24 * 3_600 * 1_000_000;

/// Where profiles that went for good wait until what else belongs to them is gone too.
const PURGED: &str = "library.purged";

/// The saved connections. Every call is quick and blocks; async callers use `spawn_blocking`.
pub struct Library {
    path: PathBuf,
    clock: Clock,
    state: Mutex<State>,
}

struct State {
    connection: Connection,
    data_version: i64,
}

impl Library {
    /// Opens the file, made if missing.
    ///
    /// # Errors
    /// `storage`: the file cannot be used; it is left as it is.
    pub fn open(path: &Path) -> Result<Self> {
        let connection = database::open(path, &Migrations::from_slice(VERSIONS))?;
        database::check(&connection, path)?;
        let version = connection.query_row("PRAGMA data_version", [], |row| row.get(0));
        let data_version = version.map_err(|e: rusqlite::Error| database::storage(path, &e))?;
        let state = Mutex::new(State { connection, data_version });
        Ok(Self { path: path.to_owned(), clock: Clock::start(), state })
    }

    /// Lets go of what was deleted more than a day ago, and returns every profile whose secrets and history
    /// are still to be deleted with it, also those of earlier calls: see [`Library::forgotten`].
    ///
    /// # Errors
    /// `storage`.
    pub fn purge(&self) -> Result<Vec<ProfileId>> {
        self.purge_at(self.clock.now())
    }

    fn purge_at(&self, now: UnixMicros) -> Result<Vec<ProfileId>> {
        self.with(|tx| {
            let gone: Vec<String> = tx
                .prepare_cached("DELETE FROM profile WHERE deleted_at < ?1 RETURNING id")?
                .query_map([now - DAY], |row| row.get(0))?
                .collect::<rusqlite::Result<_>>()?;
            tx.execute("DELETE FROM folder WHERE deleted_at < ?1", [now - DAY])?;
            let mut waiting = purged(tx)?;
            if !gone.is_empty() {
                waiting.extend(gone);
                put_purged(tx, &waiting)?;
            }
            Ok(Ok(waiting.iter().filter_map(|id| id.parse().ok().map(ProfileId)).collect()))
        })
    }

    /// Everything that belonged to a profile of [`Library::purge`] is gone.
    ///
    /// # Errors
    /// `storage`.
    pub fn forgotten(&self, id: ProfileId) -> Result<()> {
        self.with(|tx| {
            let mut waiting = purged(tx)?;
            waiting.retain(|other| *other != id.to_string());
            put_purged(tx, &waiting)?;
            Ok(Ok(()))
        })
    }

    /// What stands in the file for a profile that cannot be read, as it is. It holds no secret.
    ///
    /// # Errors
    /// `not_found`; `storage`.
    pub fn damaged_text(&self, id: &str) -> Result<String> {
        self.with(|tx| {
            let found = tx
                .prepare_cached("SELECT body FROM profile WHERE id = ?1 AND deleted_at IS NULL")?
                .query_row([id], |row| row.get(0))
                .optional()?;
            Ok(found.ok_or_else(|| Error::not_found("The connection")))
        })
    }

    /// Everything the sidebar lists. A damaged profile is reported and hides no other.
    ///
    /// # Errors
    /// `storage`.
    pub fn tree(&self) -> Result<LibraryTree> {
        self.look(|tx| {
            let mut tree = LibraryTree::default();
            let mut folders = tx.prepare_cached(
                "SELECT id, name, collapsed FROM folder WHERE deleted_at IS NULL ORDER BY position, rowid",
            )?;
            let mut rows = folders.query([])?;
            while let Some(row) = rows.next()? {
                let Ok(id) = row.get::<_, String>(0)?.parse() else { continue };
                tree.folders.push(Folder { id: FolderId(id), name: row.get(1)?, collapsed: row.get(2)? });
            }
            let mut profiles = tx.prepare_cached(
                "SELECT p.id, p.name, p.body, p.folder FROM profile p LEFT JOIN folder f ON f.id = p.folder
                 WHERE p.deleted_at IS NULL
                 ORDER BY p.folder IS NOT NULL, f.position, f.rowid, p.position, p.rowid",
            )?;
            let mut rows = profiles.query([])?;
            while let Some(row) = rows.next()? {
                let (id, name, body): (String, String, String) = (row.get(0)?, row.get(1)?, row.get(2)?);
                let folder = row.get::<_, Option<String>>(3)?.and_then(|id| id.parse().ok()).map(FolderId);
                match read_profile(&id, &name, &body) {
                    Ok(profile) => tree.profiles.push(entry(&profile, folder)),
                    Err(message) => tree.damaged.push(DamagedProfile { id, name, message }),
                }
            }
            Ok(Ok(tree))
        })
    }

    /// A saved profile.
    ///
    /// # Errors
    /// `not_found`; `storage` with `details.reason` `damaged`: it is kept but cannot be read.
    pub fn profile(&self, id: ProfileId) -> Result<Profile> {
        self.look(|tx| Ok(find(tx, id)?.unwrap_or_else(|| Err(Error::not_found("The connection")))))
    }

    /// Saves a profile. A new one is put at the end of `folder`; one that exists stays where it is, see
    /// [`Library::move_profile`]; a deleted one is there again. Values of secret headers are never written.
    ///
    /// # Errors
    /// `not_found`: no such folder; `storage`.
    pub fn save(&self, profile: &Profile, folder: Option<FolderId>) -> Result<()> {
        let body = body(profile)?;
        self.with(|tx| put(tx, profile, &body, folder))
    }

    /// Saves what an editor holds: all but the subscriptions of a profile that exists, which may have changed
    /// since the editor was opened; see [`Library::edit`]. Says what was saved.
    ///
    /// # Errors
    /// As [`Library::save`].
    pub fn save_form(&self, mut profile: Profile, folder: Option<FolderId>) -> Result<Profile> {
        self.with(|tx| {
            if let Some(Ok(known)) = find(tx, profile.id)? {
                profile.settings.subscriptions = known.settings.subscriptions;
            }
            let body = match body(&profile) {
                Ok(body) => body,
                Err(error) => return Ok(Err(error)),
            };
            Ok(put(tx, &profile, &body, folder)?.map(|()| profile))
        })
    }

    /// Changes a profile as it stands now; another process, or another task, cannot write in between.
    ///
    /// # Errors
    /// As [`Library::profile`].
    pub fn edit(&self, id: ProfileId, edit: impl FnOnce(&mut Profile)) -> Result<()> {
        self.with(|tx| {
            let mut profile = match find(tx, id)?.unwrap_or_else(|| Err(Error::not_found("The connection"))) {
                Ok(profile) => profile,
                Err(error) => return Ok(Err(error)),
            };
            edit(&mut profile);
            match body(&profile) {
                Ok(body) => put(tx, &profile, &body, None),
                Err(error) => Ok(Err(error)),
            }
        })
    }

    /// Saves a copy right after the profile, with a new id and name. Secrets are the caller's to copy.
    ///
    /// # Errors
    /// As [`Library::profile`].
    pub fn duplicate(&self, id: ProfileId) -> Result<Profile> {
        let mut copy = self.profile(id)?;
        copy.id = ProfileId::random();
        self.with(|tx| {
            copy.name = free_name(tx, &copy.name)?;
            let Ok(body) = body(&copy) else { return Ok(Err(unreadable())) };
            let Some((folder, index)) = place(tx, &id.to_string())? else {
                return Ok(Err(Error::not_found("The connection")));
            };
            let new = copy.id.to_string();
            insert(tx, &new, &copy.name, &body, folder.as_deref())?;
            put_at(tx, &new, folder.as_deref(), index + 1)?;
            Ok(Ok(copy))
        })
    }

    /// Deletes a profile; for a day it can be restored.
    ///
    /// # Errors
    /// `not_found`; `storage`.
    pub fn delete(&self, id: ProfileId) -> Result<()> {
        let now = self.clock.now();
        self.change(
            "The connection",
            "UPDATE profile SET deleted_at = ?2 WHERE id = ?1 AND deleted_at IS NULL",
            params![id.to_string(), now],
        )
    }

    /// Puts a deleted profile back where it was.
    ///
    /// # Errors
    /// `not_found`; `storage`.
    pub fn restore(&self, id: ProfileId) -> Result<()> {
        self.with(|tx| {
            let id = id.to_string();
            let restored = tx.execute("UPDATE profile SET deleted_at = NULL WHERE id = ?1", [&id])?;
            if restored == 0 {
                return Ok(Err(Error::not_found("The connection")));
            }
            let (folder, position) =
                tx.query_row("SELECT folder, position FROM profile WHERE id = ?1", [&id], |row| {
                    Ok((row.get::<_, Option<String>>(0)?, row.get::<_, i64>(1)?))
                })?;
            put_at(tx, &id, folder.as_deref(), usize::try_from(position).unwrap_or(0))?;
            Ok(Ok(()))
        })
    }

    /// Renames a profile; names may repeat.
    ///
    /// # Errors
    /// `not_found`; `storage`.
    pub fn rename_profile(&self, id: ProfileId, name: &str) -> Result<()> {
        let sql = "UPDATE profile SET name = ?2 WHERE id = ?1 AND deleted_at IS NULL";
        self.change("The connection", sql, params![id.to_string(), name])
    }

    /// Moves a profile into `folder`, or to the top, so that it stands at `index` there; at the end when
    /// there are fewer.
    ///
    /// # Errors
    /// `not_found`: the profile or the folder; `storage`.
    pub fn move_profile(&self, id: ProfileId, folder: Option<FolderId>, index: usize) -> Result<()> {
        self.with(|tx| {
            let (id, folder) = (id.to_string(), folder.map(|f| f.0.to_string()));
            if place(tx, &id)?.is_none() {
                return Ok(Err(Error::not_found("The connection")));
            }
            if !folder_exists(tx, folder.as_deref())? {
                return Ok(Err(Error::not_found("The folder")));
            }
            put_at(tx, &id, folder.as_deref(), index)?;
            Ok(Ok(()))
        })
    }

    /// Makes a folder after the others.
    ///
    /// # Errors
    /// `storage`.
    pub fn create_folder(&self, name: &str) -> Result<FolderId> {
        let id = FolderId(Uuid::new_v4());
        self.change(
            "The folder",
            "INSERT INTO folder (id, name, position)
             VALUES (?1, ?2, (SELECT ifnull(max(position), -1) + 1 FROM folder))",
            params![id.0.to_string(), name],
        )?;
        Ok(id)
    }

    /// Renames a folder.
    ///
    /// # Errors
    /// `not_found`; `storage`.
    pub fn rename_folder(&self, id: FolderId, name: &str) -> Result<()> {
        let sql = "UPDATE folder SET name = ?2 WHERE id = ?1 AND deleted_at IS NULL";
        self.change("The folder", sql, params![id.0.to_string(), name])
    }

    /// Remembers whether the sidebar shows a folder closed.
    ///
    /// # Errors
    /// `not_found`; `storage`.
    pub fn collapse_folder(&self, id: FolderId, collapsed: bool) -> Result<()> {
        let sql = "UPDATE folder SET collapsed = ?2 WHERE id = ?1 AND deleted_at IS NULL";
        self.change("The folder", sql, params![id.0.to_string(), collapsed])
    }

    /// Deletes a folder; its profiles move to the end of the top. For a day it can be restored.
    ///
    /// # Errors
    /// `not_found`; `storage`.
    pub fn delete_folder(&self, id: FolderId) -> Result<()> {
        let now = self.clock.now();
        self.with(|tx| {
            let id = id.0.to_string();
            let sql = "UPDATE folder SET deleted_at = ?2 WHERE id = ?1 AND deleted_at IS NULL";
            if tx.execute(sql, params![id, now])? == 0 {
                return Ok(Err(Error::not_found("The folder")));
            }
            tx.execute(
                "UPDATE profile SET folder = NULL, former_folder = ?1, former_position = position,
                 position = position + 1 + (SELECT ifnull(max(position), -1) FROM profile WHERE folder IS NULL)
                 WHERE folder = ?1",
                [&id],
            )?;
            Ok(Ok(()))
        })
    }

    /// Puts a deleted folder back, with those of its profiles that nobody moved elsewhere meanwhile.
    ///
    /// # Errors
    /// `not_found`; `storage`.
    pub fn restore_folder(&self, id: FolderId) -> Result<()> {
        self.with(|tx| {
            let id = id.0.to_string();
            if tx.execute("UPDATE folder SET deleted_at = NULL WHERE id = ?1", [&id])? == 0 {
                return Ok(Err(Error::not_found("The folder")));
            }
            tx.execute(
                "UPDATE profile SET folder = former_folder, position = former_position,
                 former_folder = NULL, former_position = NULL WHERE former_folder = ?1",
                [&id],
            )?;
            Ok(Ok(()))
        })
    }

    /// Moves a folder so that it stands at `index` among the folders.
    ///
    /// # Errors
    /// `not_found`; `storage`.
    pub fn move_folder(&self, id: FolderId, index: usize) -> Result<()> {
        self.with(|tx| {
            let id = id.0.to_string();
            let mut ids = strings(
                tx,
                "SELECT id FROM folder WHERE deleted_at IS NULL AND ?1 IS NULL ORDER BY position, rowid",
                None,
            )?;
            let Some(from) = ids.iter().position(|other| *other == id) else {
                return Ok(Err(Error::not_found("The folder")));
            };
            let moved = ids.remove(from);
            ids.insert(index.min(ids.len()), moved);
            for (position, id) in (0_i64..).zip(&ids) {
                tx.execute("UPDATE folder SET position = ?2 WHERE id = ?1", params![id, position])?;
            }
            Ok(Ok(()))
        })
    }

    /// A setting of the window, or a draft.
    ///
    /// # Errors
    /// `storage`.
    pub fn value(&self, key: &str) -> Result<Option<Value>> {
        self.look(|tx| {
            let found: Option<String> = tx
                .prepare_cached("SELECT json FROM value WHERE key = ?1")?
                .query_row([key], |row| row.get(0))
                .optional()?;
            Ok(Ok(found.and_then(|json| serde_json::from_str(&json).ok())))
        })
    }

    /// Keeps a setting of the window, or a draft; never a secret. `null` removes it.
    ///
    /// # Errors
    /// `storage`.
    pub fn set_value(&self, key: &str, value: Value) -> Result<()> {
        self.with(|tx| {
            match &value {
                Value::Null => tx.execute("DELETE FROM value WHERE key = ?1", [key])?,
                value => tx.execute(
                    "INSERT INTO value (key, json) VALUES (?1, ?2) ON CONFLICT DO UPDATE SET json = ?2",
                    [key, &value.to_string()],
                )?,
            };
            Ok(Ok(()))
        })
    }

    /// Whether another process wrote since the last time this was asked.
    pub fn changed(&self) -> bool {
        let mut state = self.state.lock().unwrap_or_else(PoisonError::into_inner);
        let now = state.connection.query_row("PRAGMA data_version", [], |row| row.get::<_, i64>(0));
        match now {
            Ok(now) => std::mem::replace(&mut state.data_version, now) != now,
            Err(_) => false,
        }
    }

    fn change(&self, what: &str, sql: &str, values: impl rusqlite::Params) -> Result<()> {
        self.with(|tx| match tx.execute(sql, values)? {
            0 => Ok(Err(Error::not_found(what))),
            _ => Ok(Ok(())),
        })
    }

    /// Does all of `work` or, when it fails, nothing.
    fn with<T>(&self, work: impl FnOnce(&Transaction<'_>) -> rusqlite::Result<Result<T>>) -> Result<T> {
        self.within(TransactionBehavior::Immediate, work)
    }

    /// Does `work`, which only reads: it waits for nobody who writes.
    fn look<T>(&self, work: impl FnOnce(&Transaction<'_>) -> rusqlite::Result<Result<T>>) -> Result<T> {
        self.within(TransactionBehavior::Deferred, work)
    }

    fn within<T>(
        &self,
        behavior: TransactionBehavior,
        work: impl FnOnce(&Transaction<'_>) -> rusqlite::Result<Result<T>>,
    ) -> Result<T> {
        let state = self.state.lock().unwrap_or_else(PoisonError::into_inner);
        let attempt = || {
            let tx = Transaction::new_unchecked(&state.connection, behavior)?;
            let result = work(&tx)?;
            if result.is_ok() {
                tx.commit()?;
            }
            Ok(result)
        };
        attempt().map_err(|e| database::storage(&self.path, &e))?
    }
}

/// A profile that is not deleted, or what is wrong with it.
fn find(tx: &Transaction<'_>, id: ProfileId) -> rusqlite::Result<Option<Result<Profile>>> {
    let found = tx
        .prepare_cached("SELECT name, body FROM profile WHERE id = ?1 AND deleted_at IS NULL")?
        .query_row([id.to_string()], |row| Ok((row.get::<_, String>(0)?, row.get::<_, String>(1)?)))
        .optional()?;
    let read = |(name, body): (String, String)| {
        read_profile(&id.to_string(), &name, &body).map_err(|cause| {
            let message = format!("The connection “{name}” is damaged: {cause}");
            Error::because(ErrorCode::Storage, ErrorReason::Damaged, message)
                .with("id", id.to_string())
                .with("name", name)
        })
    };
    Ok(found.map(read))
}

/// Writes a profile where it stands, or a new one at the end of `folder`.
fn put(
    tx: &Transaction<'_>,
    profile: &Profile,
    body: &str,
    folder: Option<FolderId>,
) -> rusqlite::Result<Result<()>> {
    let id = profile.id.to_string();
    let known = tx.execute(
        "UPDATE profile SET name = ?2, body = ?3, deleted_at = NULL WHERE id = ?1",
        params![id, profile.name, body],
    )?;
    if known > 0 {
        return Ok(Ok(()));
    }
    let folder = folder.map(|f| f.0.to_string());
    if !folder_exists(tx, folder.as_deref())? {
        return Ok(Err(Error::not_found("The folder")));
    }
    insert(tx, &id, &profile.name, body, folder.as_deref())?;
    Ok(Ok(()))
}

/// The profile as it is written: without what belongs to the secrets.
fn body(profile: &Profile) -> Result<String> {
    let mut profile = profile.clone();
    for header in profile.settings.websocket.headers.iter_mut().filter(|h| h.secret) {
        header.value.clear();
    }
    let key_file = &mut profile.settings.client_certificate.key_file;
    *key_file = without_pin(key_file);
    serde_json::to_string(&profile).map_err(|_| unreadable())
}

fn unreadable() -> Error {
    Error::new(ErrorCode::Internal, "The connection cannot be written")
}

/// The columns have the last word on id and name.
fn read_profile(id: &str, name: &str, body: &str) -> std::result::Result<Profile, String> {
    let mut profile: Profile = serde_json::from_str(body).map_err(|e| e.to_string())?;
    profile.id = ProfileId(id.parse().map_err(|_| "its id is not a UUID".to_owned())?);
    name.clone_into(&mut profile.name);
    Ok(profile)
}

fn entry(profile: &Profile, folder: Option<FolderId>) -> ProfileEntry {
    ProfileEntry {
        id: profile.id,
        name: profile.name.clone(),
        folder,
        scheme: profile.endpoint.scheme(),
        url: profile.endpoint.url(),
        login: profile.settings.login.enabled,
        client_certificate: profile.settings.client_certificate.enabled,
    }
}

fn purged(tx: &Transaction<'_>) -> rusqlite::Result<Vec<String>> {
    let json: Option<String> = tx
        .prepare_cached("SELECT json FROM value WHERE key = ?1")?
        .query_row([PURGED], |row| row.get(0))
        .optional()?;
    Ok(json.and_then(|json| serde_json::from_str(&json).ok()).unwrap_or_default())
}

fn put_purged(tx: &Transaction<'_>, ids: &[String]) -> rusqlite::Result<()> {
    match ids.is_empty() {
        true => tx.execute("DELETE FROM value WHERE key = ?1", [PURGED]),
        false => tx.execute(
            "INSERT INTO value (key, json) VALUES (?1, ?2) ON CONFLICT DO UPDATE SET json = ?2",
            params![PURGED, Value::from(ids).to_string()],
        ),
    }
    .map(drop)
}

fn folder_exists(tx: &Transaction<'_>, folder: Option<&str>) -> rusqlite::Result<bool> {
    let Some(id) = folder else { return Ok(true) };
    tx.prepare_cached("SELECT 1 FROM folder WHERE id = ?1 AND deleted_at IS NULL")?.exists([id])
}

fn insert(
    tx: &Transaction<'_>,
    id: &str,
    name: &str,
    body: &str,
    folder: Option<&str>,
) -> rusqlite::Result<()> {
    tx.execute(
        "INSERT INTO profile (id, name, body, folder, position)
         VALUES (?1, ?2, ?3, ?4, (SELECT ifnull(max(position), -1) + 1 FROM profile WHERE folder IS ?4))",
        params![id, name, body, folder],
    )
    .map(drop)
}

fn strings(tx: &Transaction<'_>, sql: &str, value: Option<&str>) -> rusqlite::Result<Vec<String>> {
    tx.prepare_cached(sql)?.query_map([value], |row| row.get(0))?.collect()
}

const IN_FOLDER: &str =
    "SELECT id FROM profile WHERE folder IS ?1 AND deleted_at IS NULL ORDER BY position, rowid";

/// A profile's folder and its index there.
fn place(tx: &Transaction<'_>, id: &str) -> rusqlite::Result<Option<(Option<String>, usize)>> {
    let folder: Option<Option<String>> = tx
        .prepare_cached("SELECT folder FROM profile WHERE id = ?1 AND deleted_at IS NULL")?
        .query_row([id], |row| row.get(0))
        .optional()?;
    let Some(folder) = folder else { return Ok(None) };
    let index = strings(tx, IN_FOLDER, folder.as_deref())?.iter().position(|other| other == id);
    Ok(Some((folder, index.unwrap_or(0))))
}

/// Puts a profile at an index of a folder and numbers that folder anew.
fn put_at(tx: &Transaction<'_>, id: &str, folder: Option<&str>, index: usize) -> rusqlite::Result<()> {
    let mut ids = strings(tx, IN_FOLDER, folder)?;
    ids.retain(|other| other != id);
    ids.insert(index.min(ids.len()), id.to_owned());
    for (position, id) in (0_i64..).zip(&ids) {
        tx.execute("UPDATE profile SET position = ?2 WHERE id = ?1", params![id, position])?;
    }
    tx.execute(
        "UPDATE profile SET folder = ?2, former_folder = NULL, former_position = NULL WHERE id = ?1",
        params![id, folder],
    )
    .map(drop)
}

/// `Name copy`, or `Name copy 2` and so on when that is taken.
fn free_name(tx: &Transaction<'_>, name: &str) -> rusqlite::Result<String> {
    let is_copy = |rest: &str| rest.is_empty() || rest.trim_start().parse::<u32>().is_ok();
    let base = match name.rsplit_once(" copy") {
        Some((base, rest)) if is_copy(rest) => base,
        _ => name,
    };
    let taken = strings(tx, "SELECT name FROM profile WHERE deleted_at IS NULL AND ?1 IS NULL", None)?;
    let mut candidate = format!("{base} copy");
    let mut number = 2;
    while taken.contains(&candidate) {
        candidate = format!("{base} copy {number}");
        number += 1;
    }
    Ok(candidate)
}

/// Names a folder.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize, TS)]
#[serde(transparent)]
#[ts(export, type = "string")]
pub struct FolderId(pub Uuid);

/// Everything the sidebar lists, in order.
#[derive(Debug, Clone, Default, PartialEq, Serialize, TS)]
#[ts(export)]
pub struct LibraryTree {
    /// Folders in order.
    pub folders: Vec<Folder>,
    /// Profiles in order; those without a folder come first.
    pub profiles: Vec<ProfileEntry>,
    /// Profiles that are kept but cannot be read.
    pub damaged: Vec<DamagedProfile>,
}

/// A profile that is kept but cannot be read; the others are not affected.
#[derive(Debug, Clone, PartialEq, Serialize, TS)]
#[ts(export)]
pub struct DamagedProfile {
    /// Its id, as it stands in the file.
    pub id: String,
    /// Its name.
    pub name: String,
    /// What is wrong with it.
    pub message: String,
}

/// A folder of connections.
#[derive(Debug, Clone, PartialEq, Serialize, TS)]
#[ts(export)]
pub struct Folder {
    /// Its id.
    pub id: FolderId,
    /// Its name.
    pub name: String,
    /// Whether the sidebar shows it closed.
    pub collapsed: bool,
}

/// A profile as the sidebar shows it.
#[derive(Debug, Clone, PartialEq, Serialize, TS)]
#[ts(export)]
pub struct ProfileEntry {
    /// Its id.
    pub id: ProfileId,
    /// Its name.
    pub name: String,
    /// Its folder; `None` at the top.
    pub folder: Option<FolderId>,
    /// Its transport.
    pub scheme: Scheme,
    /// The exact URL, without user name and password.
    pub url: String,
    /// Whether a user name and password are used.
    pub login: bool,
    /// Whether a client certificate is used.
    pub client_certificate: bool,
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::profile::{Header, Settings};

    fn profile(name: &str) -> Profile {
        let endpoint = serde_json::from_str(r#"{"host":"broker.example","tls":true,"websocket":true}"#);
        Profile {
            id: ProfileId::random(),
            name: name.into(),
            endpoint: endpoint.expect("an endpoint"),
            settings: Settings::default(),
        }
    }

    fn names(library: &Library) -> Vec<String> {
        library.tree().expect("a tree").profiles.into_iter().map(|p| p.name).collect()
    }

    fn fresh() -> (tempfile::TempDir, PathBuf, Library) {
        let folder = tempfile::tempdir().expect("folder");
        let path = folder.path().join("heliograph.db");
        let library = Library::open(&path).expect("opened");
        (folder, path, library)
    }

    #[test]
    fn a_pin_in_a_uri_is_not_written_down() {
        let (_folder, _, library) = fresh();
        let mut profile = profile("token");
        let uri = "pkcs11:token=a?module-path=/m.so&pin-value=canary&pin-source=file:/canary";
        profile.settings.client_certificate.key_file = uri.into();
        library.save(&profile, None).expect("saved");
        let kept = library.profile(profile.id).expect("read").settings.client_certificate.key_file;
        assert_eq!(kept, "pkcs11:token=a?module-path=/m.so");
    }

    #[test]
    fn profiles_keep_their_order_through_copies_moves_and_undo() {
        let (_folder, _, library) = fresh();
        let all = ["a", "b", "c"].map(profile);
        for p in &all {
            library.save(p, None).expect("saved");
        }
        let copy = library.duplicate(all[0].id).expect("copied");
        library.duplicate(copy.id).expect("copied");
        assert_eq!(names(&library), ["a", "a copy", "a copy 2", "b", "c"]);
        assert_eq!(library.profile(all[1].id).expect("there"), all[1]);
        library.move_profile(all[2].id, None, 0).expect("moved");
        library.delete(copy.id).expect("deleted");
        assert_eq!(names(&library), ["c", "a", "a copy 2", "b"]);
        assert_eq!(library.profile(copy.id).expect_err("gone").code, ErrorCode::NotFound);
        library.restore(copy.id).expect("restored");
        assert_eq!(names(&library), ["c", "a", "a copy", "a copy 2", "b"]);

        let folder = library.create_folder("f").expect("made");
        let other = library.create_folder("g").expect("made");
        library.move_profile(all[1].id, Some(folder), 9).expect("moved");
        library.move_profile(all[0].id, Some(folder), 0).expect("moved");
        assert_eq!(names(&library), ["c", "a copy", "a copy 2", "a", "b"]);
        library.delete_folder(folder).expect("deleted");
        let tree = library.tree().expect("a tree");
        assert!(tree.profiles.iter().all(|p| p.folder.is_none()));
        assert_eq!(tree.folders.len(), 1);
        library.restore_folder(folder).expect("restored");
        library.move_folder(other, 0).expect("moved");
        library.rename_folder(folder, "F").expect("renamed");
        library.collapse_folder(folder, true).expect("collapsed");
        let tree = library.tree().expect("a tree");
        assert_eq!(tree.folders[1], Folder { id: folder, name: "F".into(), collapsed: true });
        assert_eq!(tree.profiles[4].folder, Some(folder));
        assert_eq!(names(&library), ["c", "a copy", "a copy 2", "a", "b"]);
        library.rename_profile(all[0].id, "z").expect("renamed");
        assert_eq!(library.profile(all[0].id).expect("there").name, "z");
    }

    #[test]
    fn what_was_deleted_goes_for_good_after_a_day() {
        let (_folder, path, library) = fresh();
        let p = profile("p");
        library.save(&p, None).expect("saved");
        library.delete(p.id).expect("deleted");
        let now = library.clock.now();
        assert!(library.purge_at(now + DAY / 2).expect("looked").is_empty());
        assert_eq!(library.purge_at(now + DAY + 1).expect("purged"), [p.id]);
        assert_eq!(library.restore(p.id).expect_err("gone").code, ErrorCode::NotFound);
        drop(library);
        let again = Library::open(&path).expect("opened");
        assert_eq!(again.purge().expect("looked"), [p.id], "what was not finished is not forgotten");
        again.forgotten(p.id).expect("kept");
        assert!(again.purge().expect("looked").is_empty());
        assert_eq!(again.value(PURGED).expect("read"), None);
    }

    #[test]
    fn a_damaged_profile_hides_no_other() {
        let (_folder, path, library) = fresh();
        let (good, bad) = (profile("good"), profile("bad"));
        library.save(&bad, None).expect("saved");
        library.save(&good, None).expect("saved");
        let other = Connection::open(path).expect("opened beside");
        assert!(!library.changed());
        let sql = "UPDATE profile SET body = '{' WHERE name = 'bad'";
        other.execute(sql, []).expect("damaged");
        assert!(library.changed() && !library.changed());
        let tree = library.tree().expect("a tree");
        assert_eq!((tree.profiles.len(), tree.damaged.len()), (1, 1));
        assert_eq!(library.profile(bad.id).expect_err("damaged").details["reason"], "damaged");
        assert_eq!(library.damaged_text(&tree.damaged[0].id).expect("its text"), "{");
        library.delete(bad.id).expect("deleted as any other");
        assert!(library.tree().expect("a tree").damaged.is_empty());
        library.restore(bad.id).expect("restored");
        let sql = "UPDATE profile SET body = json_remove(?1, '$.settings.timing') WHERE name = 'bad'";
        other.execute(sql, [body(&bad).expect("a body")]).expect("of an older version");
        assert_eq!(library.profile(bad.id).expect("there"), bad);
    }

    #[test]
    fn no_secret_reaches_the_files() {
        let (folder, _, library) = fresh();
        let mut p = profile("p");
        p.settings.websocket.headers.push(Header {
            name: "Authorization".into(),
            value: "canary-5e21".into(),
            secret: true,
        });
        library.save(&p, None).expect("saved");
        library.duplicate(p.id).expect("copied");
        library.set_value("window", serde_json::json!({"width": 7})).expect("kept");
        assert_eq!(library.value("window").expect("read"), Some(serde_json::json!({"width": 7})));
        library.set_value("window", Value::Null).expect("removed");
        assert_eq!(library.value("window").expect("read"), None);
        for file in std::fs::read_dir(folder.path()).expect("listed") {
            let bytes = std::fs::read(file.expect("a file").path()).expect("read");
            assert!(!bytes.windows(11).any(|w| w == b"canary-5e21"));
        }
    }

    #[test]
    fn every_version_of_the_file_becomes_the_newest() {
        let migrations = Migrations::from_slice(VERSIONS);
        for version in 0..=VERSIONS.len() {
            let mut connection = Connection::open_in_memory().expect("memory");
            migrations.to_version(&mut connection, version).expect("earlier");
            migrations.to_latest(&mut connection).expect("newest");
        }
    }
}
