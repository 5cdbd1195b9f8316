//! The vault and processes: killed in the middle of a write, and many at once. Each test has a namesake that is the
//! other process.
#![allow(clippy::unwrap_used, clippy::panic, missing_docs)]

use std::io::{BufRead as _, BufReader};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::sync::Arc;

use heliograph_engine::endpoint::{Endpoint, Scheme};
use heliograph_engine::library::Library;
use heliograph_engine::profile::{Profile, ProfileId, Settings};
use heliograph_engine::secret::{Secret, SecretEdit, SecretField};
use heliograph_engine::vault::{Keep, Keyring, Vault, VaultState};

const FOLDER: &str = "VAULT_PROCESSES_FOLDER";
const NUMBER: &str = "VAULT_PROCESSES_NUMBER";

fn passphrase() -> Secret {
    Secret::new("correct horse")
}

fn profile(number: u128) -> Profile {
    let endpoint = Endpoint::parse_url("mqtt://broker.example", Scheme::Mqtt).expect("endpoint").endpoint;
    let mut settings = Settings::default();
    settings.login.enabled = true;
    let id = ProfileId(format!("00000000-0000-4000-8000-{number:012}").parse().expect("id"));
    Profile { id, name: "Line 4".into(), endpoint, settings }
}

fn vault(folder: &Path) -> Vault {
    let library = Library::open(&folder.join("heliograph.db")).expect("library");
    Vault::new(folder, Arc::new(library), Keyring::none(), || {})
}

fn set(vault: &Vault, number: u128, text: String) {
    vault.set(profile(number).id, &[SecretEdit::set(SecretField::Password, text)]).expect("set");
}

fn secret(vault: &Vault, number: u128) -> u64 {
    let secrets = vault.secrets_for(&profile(number), |_| None).expect("open");
    let secret = secrets.get(&SecretField::Password).expect("set");
    // The number is followed by what makes the file long enough to be caught half written.
    let text = secret.expose_text().expect("text");
    text.split(' ').next().expect("number").parse().expect("number")
}

/// Another process that writes to the vault, and says each number once it is kept.
fn writer(folder: &Path, number: u128) -> Child {
    Command::new(std::env::current_exe().expect("this test"))
        .args(["inside_writes_until_killed", "--exact", "--ignored", "--nocapture", "--test-threads=1"])
        .env(FOLDER, folder)
        .env(NUMBER, number.to_string())
        .stdin(Stdio::null())
        .stdout(Stdio::piped())
        .stderr(Stdio::inherit())
        .spawn()
        .expect("started")
}

/// The last number that the process said before it was killed, after it said `count` of them.
fn kill_after(mut child: Child, count: usize) -> u64 {
    let mut lines = BufReader::new(child.stdout.take().expect("stdout")).lines();
    let kept = |line: std::io::Result<String>| line.ok()?.strip_prefix("kept ")?.parse::<u64>().ok();
    let seen: Vec<u64> = lines.by_ref().filter_map(kept).take(count).collect();
    child.kill().expect("killed");
    child.wait().expect("ended");
    // What it said between our last look and its end.
    let rest: Vec<u64> = lines.filter_map(kept).collect();
    *rest.last().or(seen.last()).expect("it wrote")
}

#[test]
#[ignore = "is the other process"]
fn inside_writes_until_killed() {
    let folder = PathBuf::from(std::env::var_os(FOLDER).expect("folder"));
    let number: u128 = std::env::var(NUMBER).expect("number").parse().expect("number");
    let vault = vault(&folder);
    vault.unlock(&passphrase()).expect("unlocked");
    let first = vault.secrets_for(&profile(number), |_| None).ok().and_then(|secrets| {
        let text = secrets.get(&SecretField::Password)?.expose_text().ok()?.to_owned();
        text.split(' ').next()?.parse::<u64>().ok()
    });
    for value in first.unwrap_or(0) + 1.. {
        set(&vault, number, format!("{value} {}", "x".repeat(50_000)));
        println!("kept {value}");
    }
}

#[test]
fn a_process_killed_while_it_writes_leaves_a_whole_vault() {
    let folder = tempfile::tempdir().expect("folder");
    let first = vault(folder.path());
    first.choose(Keep::Passphrase, Some(&passphrase())).expect("chosen");
    set(&first, 0, "7 untouched".into());
    for round in 0..8 {
        let said = kill_after(writer(folder.path(), 1), 1 + round % 4);
        let vault = vault(folder.path());
        vault.unlock(&passphrase()).expect("unlocked");
        assert_eq!(vault.status().expect("status").state, VaultState::Open, "round {round}");
        let found = secret(&vault, 1);
        // What it said is kept; it may have kept one more without having said so.
        assert!(found == said || found == said + 1, "round {round}: said {said}, found {found}");
        assert_eq!(secret(&vault, 0), 7);
    }
    let names: Vec<_> =
        std::fs::read_dir(folder.path()).expect("listed").map(|e| e.expect("entry").file_name()).collect();
    assert!(!names.iter().any(|name| name.to_string_lossy().contains("damaged")), "{names:?}");
}

#[test]
fn processes_that_write_at_once_lose_nothing() {
    let folder = tempfile::tempdir().expect("folder");
    let first = vault(folder.path());
    first.choose(Keep::Passphrase, Some(&passphrase())).expect("chosen");
    set(&first, 0, "7".into());
    let writers: Vec<_> = (1..4).map(|number| (number, writer(folder.path(), number))).collect();
    let said: Vec<_> = std::thread::scope(|scope| {
        let threads =
            writers.into_iter().map(|(number, child)| (number, scope.spawn(|| kill_after(child, 6))));
        let threads: Vec<_> = threads.collect();
        threads.into_iter().map(|(number, thread)| (number, thread.join().expect("joined"))).collect()
    });
    let vault = vault(folder.path());
    vault.unlock(&passphrase()).expect("unlocked");
    for (number, said) in said {
        let found = secret(&vault, number);
        assert!(found == said || found == said + 1, "{number}: said {said}, found {found}");
    }
    assert_eq!(secret(&vault, 0), 7);
}
