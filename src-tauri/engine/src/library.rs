//! Saved connections: folders, order, profiles, subscriptions, settings of the window; in SQLite, with
//! versioned migrations, safe with the window and `helio` open at once.

use serde::{Deserialize, Serialize};
use ts_rs::TS;
use uuid::Uuid;

use crate::endpoint::Scheme;
use crate::profile::ProfileId;

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
