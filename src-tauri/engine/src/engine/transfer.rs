//! Connections in and out, as the window asks: a plan is made and shown, and applied as it was shown when the person
//! says so. One plan at a time is kept, with its secrets, until it is applied, dropped or replaced.

use std::path::PathBuf;

use serde::Deserialize;
use ts_rs::TS;

use super::{Engine, blocking, lock};
use crate::error::{Error, Result};
use crate::export::{self, ExportSummary};
use crate::import::{self, ImportDone, ImportPreview, Plan};
use crate::profile::ProfileId;
use crate::secret::{Secret, SecretText};
use crate::whole_file;

/// Where an import comes from.
#[derive(Deserialize, TS)]
#[serde(tag = "from", rename_all = "snake_case")]
#[ts(export)]
pub enum ImportInput {
    /// A file.
    File {
        /// Its path.
        path: String,
    },
    /// Text that was pasted; a password may stand in it.
    Text {
        /// The text.
        #[ts(type = "string")]
        text: SecretText,
    },
}

/// The plan that is shown.
#[derive(Default)]
pub(super) struct Planned {
    number: u64,
    plan: Option<Plan>,
}

impl Engine {
    /// Says what an import would do, and keeps the plan until [`Self::apply_import`].
    ///
    /// # Errors
    /// As [`Plan::read`]; `file`; `storage`.
    pub async fn preview_import(
        &self,
        input: ImportInput,
        passphrase: Option<Secret>,
    ) -> Result<ImportPreview> {
        let inner = self.inner.clone();
        blocking(move || {
            let text = match input {
                ImportInput::File { path } => import::read_file(&PathBuf::from(path))?,
                ImportInput::Text { text } => text.into(),
            };
            let text = text.expose_text().map_err(|_| import::not_text())?;
            let plan = Plan::read(text, passphrase.as_ref(), &inner.data_dir)?;
            let mut preview = plan.preview(&inner.library, &inner.vault)?;
            let mut planned = lock(&inner.planned);
            planned.number += 1;
            planned.plan = Some(plan);
            preview.plan = planned.number;
            Ok(preview)
        })
        .await
    }

    /// Does what the plan says, for the rows with these indices. The plan is gone then, unless nothing was done.
    ///
    /// # Errors
    /// `not_found`: another plan took its place; `file`, `storage`: nothing was added.
    pub async fn apply_import(&self, plan: u64, rows: Vec<u32>) -> Result<ImportDone> {
        let inner = self.inner.clone();
        let done = blocking(move || {
            let kept = {
                let mut planned = lock(&inner.planned);
                if planned.number == plan { planned.plan.take() } else { None }
            };
            let kept = kept.ok_or_else(|| Error::not_found("The import"))?;
            // The keyring may ask the person meanwhile: nothing is locked.
            kept.apply(Some(&rows), &inner.library, &inner.vault).inspect_err(|_| {
                let mut planned = lock(&inner.planned);
                if planned.number == plan {
                    planned.plan = Some(kept);
                }
            })
        });
        let done = done.await?;
        self.inner.outbox.library();
        Ok(done)
    }

    /// Forgets the plan, with its secrets.
    pub fn drop_import(&self) {
        lock(&self.inner.planned).plan = None;
    }

    /// Writes connections to a file: all of them or `only` these, with their secrets when there is a passphrase to
    /// seal them under.
    ///
    /// # Errors
    /// `not_found`, `vault_locked`, `invalid_input`: the passphrase is too short; `file`, `storage`.
    pub async fn export_connections(
        &self,
        path: String,
        only: Option<Vec<ProfileId>>,
        passphrase: Option<Secret>,
    ) -> Result<ExportSummary> {
        let inner = self.inner.clone();
        blocking(move || {
            let only = only.as_deref();
            let export = match &passphrase {
                None => export::without_secrets(&inner.library, only)?,
                Some(passphrase) => {
                    export::with_secrets(&inner.library, &inner.vault, &inner.data_dir, only, passphrase)?
                }
            };
            whole_file::write(&PathBuf::from(path), export.text.as_bytes())?;
            Ok(export.summary)
        })
        .await
    }
}
