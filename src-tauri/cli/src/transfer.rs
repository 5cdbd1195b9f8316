//! `helio profiles export` and `import`: saved connections out, and in from exports of ours, of MQTTX and of MQTT
//! Explorer and from pasted command lines. In: names, files. Out: text, and what was done or would be. No secret is
//! printed; those that come in go into the vault that the window uses, or nothing comes in.

use std::fmt::Write as _;
use std::path::Path;
use std::sync::Arc;

use heliograph_engine::export::{self, Export};
use heliograph_engine::import::{self, ImportDone, ImportPreview, ImportSource, Plan, bounded, not_text};
use heliograph_engine::library::{ImportedProfile, Library};
use heliograph_engine::paths::default_data_dir;
use heliograph_engine::secret::{Secret, SecretField};
use heliograph_engine::vault::Vault;
use heliograph_engine::whole_file;

use crate::args::{ExportArgs, ImportArgs};
use crate::failure::Ending;
use crate::output::{self, QUIET, printable};
use crate::{profiles, target, vault};

/// The passphrase of an export with secrets.
const PASSPHRASE: &str = "HELIO_EXPORT_PASSPHRASE";

pub fn export(args: &ExportArgs) -> Result<(), Ending> {
    let library = Arc::new(profiles::open()?);
    let tree = library.tree()?;
    let ids = (args.names.iter().map(|name| Ok(profiles::find(&tree, name)?.id)))
        .collect::<Result<Vec<_>, Ending>>()?;
    if let Some(file) = args.output.as_ref().filter(|file| !args.force && file.exists()) {
        let message = format!("{} is there already: choose another name, or --force", file.display());
        return Err(Ending::Usage(message));
    }
    let only = (!ids.is_empty()).then_some(ids.as_slice());
    let Export { text, summary } = match args.with_secrets {
        false => export::without_secrets(&library, only)?,
        true => {
            let Some(passphrase) = passphrase(args.passphrase_stdin)? else {
                return Err(Ending::Usage(format!(
                    "An export with secrets is sealed under a passphrase: --passphrase-stdin or {PASSPHRASE}"
                )));
            };
            let vault = vault::open(library.clone());
            let data_dir = default_data_dir();
            vault::unlocked(&vault, || export::with_secrets(&library, &vault, &data_dir, only, &passphrase))?
        }
    };
    for damaged in &summary.damaged {
        output::warn(&format!("{} cannot be read and is left out: {}", damaged.name, damaged.message));
    }
    if summary.missing > 0 {
        let secrets = output::count(summary.missing, "secret", "secrets");
        output::warn(&format!("{secrets} of these connections are not kept anywhere, and not in the export"));
    }
    if !summary.without_key.is_empty() {
        let names = summary.without_key.join(", ");
        let why = match args.with_secrets {
            true => "is not in this vault, and so not in the export",
            false => "is in the vault, and not in an export without secrets (--with-secrets takes it along)",
        };
        output::warn(&printable(&format!("The private key of these connections {why}: {names}")));
    }
    let Some(file) = &args.output else {
        output::print(&text);
        return Ok(());
    };
    whole_file::write(file, text.as_bytes())?;
    let connections = output::count(summary.profiles, "connection", "connections");
    let secrets = match args.with_secrets {
        true => format!(" with {}", output::count(summary.secrets, "secret", "secrets")),
        false => String::new(),
    };
    output::print_error(&format!("Exported {connections}{secrets} to {}\n", file.display()));
    Ok(())
}

pub fn import(args: &ImportArgs) -> Result<(), Ending> {
    let from_stdin = args.file == Path::new("-");
    if from_stdin && args.passphrase_stdin {
        return Err(Ending::Usage("Standard input cannot be the export and the passphrase at once".into()));
    }
    let text = match from_stdin {
        false => import::read_file(&args.file)?,
        true => {
            let cannot = |why: String| Ending::Usage(format!("Standard input cannot be read: {why}"));
            let read = bounded(std::io::stdin().lock()).map_err(|error| cannot(error.to_string()))?;
            read.ok_or_else(|| cannot("it is longer than any export (256 MiB)".into()))?
        }
    };
    let text = text.expose_text().map_err(|_| Ending::from(not_text()))?;
    let data_dir = default_data_dir();
    let mut plan = match passphrase(args.passphrase_stdin)? {
        Some(passphrase) => Plan::read(text, Some(&passphrase), &data_dir)?,
        None => Plan::read(text, None, &data_dir).map_err(|error| {
            let needed = error.details.get("reason").is_some_and(|reason| reason == "passphrase_needed");
            match needed {
                true => Ending::Usage(format!("{}: --passphrase-stdin or {PASSPHRASE}", error.message)),
                false => error.into(),
            }
        })?,
    };
    if args.without_secrets {
        plan.without_secrets();
    }
    let library = Arc::new(profiles::open()?);
    let vault = vault::open(library.clone());
    let preview = plan.preview(&library, &vault)?;
    if args.dry_run {
        match args.json {
            true => output::line(&output::json(&preview)),
            false => output::print(&dry_run(&preview)),
        }
        return Ok(());
    }
    let done = apply(&plan, &library, &vault)?;
    if args.json {
        done.profiles.iter().for_each(|profile| output::line(&output::json(profile)));
    } else {
        output::print(&added(&done));
    }
    for row in &preview.rows {
        for remark in &row.remarks {
            output::warn(&printable(&format!("{}: {}", row.name, remark.sentence())));
        }
    }
    preview.remarks.iter().for_each(|remark| output::warn(&printable(&remark.sentence())));
    if plan.secrets() > 0 && preview.source != ImportSource::HeliographSealed {
        let place = match (from_stdin, preview.source) {
            (_, ImportSource::CommandLine) => {
                "The history of your shell, and the clipboard if you pasted it,".to_owned()
            }
            (true, _) => "What standard input was read from".to_owned(),
            (false, _) => args.file.display().to_string(),
        };
        let secrets = output::count(done.secrets, "secret", "secrets");
        output::warn(&format!("{place} still holds {secrets} in the open: delete it, or change them"));
    }
    Ok(())
}

/// Nothing comes in when its secrets could not be kept: they would be gone with this process.
fn apply(plan: &Plan, library: &Library, vault: &Vault) -> Result<ImportDone, Ending> {
    if plan.secrets() > 0 {
        vault::can_keep(vault).map_err(|ending| match ending {
            Ending::Usage(why) => {
                Ending::Usage(format!("{why}. Nothing was added; --without-secrets leaves them out"))
            }
            other => other,
        })?;
    }
    let done = tokio::task::block_in_place(|| plan.apply(None, library, vault))?;
    match done.secrets_error {
        Some(error) => Err(error.into()),
        None => Ok(done),
    }
}

/// The first line of standard input, else what the environment has.
fn passphrase(from_stdin: bool) -> Result<Option<Secret>, Ending> {
    match from_stdin {
        true => target::password_from_stdin().map(Some),
        false => Ok(target::from_environment(PASSPHRASE)),
    }
}

fn added(done: &ImportDone) -> String {
    let connections = output::count(done.profiles.len(), "connection", "connections");
    let mut text = format!("Added {connections}");
    if !done.folders.is_empty() {
        let _ = write!(text, " and {}", output::count(done.folders.len(), "folder", "folders"));
    }
    if done.secrets > 0 {
        let _ = write!(text, ", {} into the vault", output::count(done.secrets, "secret", "secrets"));
    }
    text.push('\n');
    for ImportedProfile { name, folder, renamed_from, url, .. } in &done.profiles {
        let _ = writeln!(text, "{}", line(name, folder.as_deref(), renamed_from.as_deref(), url));
    }
    text
}

fn line(name: &str, folder: Option<&str>, renamed_from: Option<&str>, url: &str) -> String {
    let folder = folder.map(|folder| format!("{folder}/")).unwrap_or_default();
    let before = renamed_from.map(|name| format!(" (was {name})")).unwrap_or_default();
    printable(&format!("  {folder}{name}{before}  {url}"))
}

/// Row by row, what would come in, and what could not be understood.
fn dry_run(preview: &ImportPreview) -> String {
    let source = match preview.source {
        ImportSource::Heliograph => "An export of Heliograph",
        ImportSource::HeliographSealed => "An export of Heliograph with secrets",
        ImportSource::Mqttx => "An export of MQTTX",
        ImportSource::MqttExplorer => "The settings of MQTT Explorer",
        ImportSource::CommandLine => "Command lines",
    };
    let coming = preview.rows.iter().filter(|row| row.index.is_some()).count();
    let connections = output::count(coming, "connection", "connections");
    let mut text = format!("{source}: {connections} would be added; nothing was\n");
    for row in &preview.rows {
        let _ = writeln!(
            text,
            "{}",
            line(&row.name, row.folder.as_deref(), row.renamed_from.as_deref(), &row.url)
        );
        let mut facts = Vec::new();
        facts.extend(row.username.as_ref().map(|name| format!("user name {name}")));
        facts.extend((!row.secrets.is_empty()).then(|| {
            let names: Vec<_> = row.secrets.iter().map(name_of).collect();
            format!("into the vault: {}", names.join(", "))
        }));
        facts.extend(row.client_certificate.then(|| "client certificate".to_owned()));
        facts.extend((!row.files.is_empty()).then(|| format!("files written: {}", row.files.join(", "))));
        facts.extend(
            (!row.subscriptions.is_empty())
                .then(|| format!("subscriptions: {}", row.subscriptions.join(", "))),
        );
        for fact in facts {
            let _ = writeln!(text, "    {QUIET}{}{QUIET:#}", printable(&fact));
        }
        for remark in &row.remarks {
            let _ = writeln!(text, "    ! {}", printable(&remark.sentence()));
        }
    }
    for remark in &preview.remarks {
        let _ = writeln!(text, "! {}", printable(&remark.sentence()));
    }
    text
}

fn name_of(field: &SecretField) -> String {
    match field {
        SecretField::Password => "password".to_owned(),
        SecretField::KeyPassphrase => "passphrase of the key".to_owned(),
        SecretField::PrivateKey => "private key".to_owned(),
        SecretField::TokenPin => "PIN of the token".to_owned(),
        SecretField::ProxyPassword => "password of the proxy".to_owned(),
        SecretField::WebsocketHeader(name) => format!("header {name}"),
    }
}
