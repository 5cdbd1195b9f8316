//! The vault with a real gnome-keyring, in a private D-Bus session: unlocked, locked, absent, denied, silent, with a
//! wrong and with a broken entry. Each test has a namesake that runs inside the session.
#![cfg(target_os = "linux")]
#![allow(clippy::unwrap_used, clippy::panic, missing_docs)]

mod private_session;

use std::sync::{Arc, mpsc};
use std::time::{Duration, Instant};

use heliograph_engine::endpoint::{Endpoint, Scheme};
use heliograph_engine::error::ErrorCode;
use heliograph_engine::library::Library;
use heliograph_engine::profile::{Profile, ProfileId, Settings};
use heliograph_engine::secret::{Secret, SecretEdit, SecretField};
use heliograph_engine::vault::{Keep, Keyring, SecretPlace, Vault, VaultState};
use secret_service::EncryptionType;
use secret_service::blocking::SecretService;

use private_session::{Policy, Session, contains, inner_folder, inner_keyring, signal, unlock_keyring};

/// Longer than any call takes that is answered at all.
const PATIENCE: Duration = Duration::from_secs(20);

fn profile() -> Profile {
    let endpoint = Endpoint::parse_url("mqtt://broker.example", Scheme::Mqtt).expect("endpoint").endpoint;
    let mut settings = Settings::default();
    settings.login.enabled = true;
    let id = ProfileId("5bd3c7a8-0000-4000-8000-000000000001".parse().expect("id"));
    Profile { id, name: "Line 4".into(), endpoint, settings }
}

/// A vault as a new run of Heliograph opens it; the receiver hears when it changed.
fn vault_with(patience: Duration) -> (Vault, mpsc::Receiver<()>) {
    let library = Library::open(&inner_folder().join("heliograph.db")).expect("library");
    let (sender, changes) = mpsc::channel();
    let changed = move || _ = sender.send(());
    (Vault::new(&inner_folder(), Arc::new(library), Keyring::with_patience(patience), changed), changes)
}

fn vault() -> Vault {
    vault_with(PATIENCE).0
}

fn set(vault: &Vault, text: &str) {
    vault.set(profile().id, &[SecretEdit::set(SecretField::Password, text.into())]).expect("set");
}

fn secret(vault: &Vault) -> Result<Option<String>, heliograph_engine::Error> {
    let secrets = vault.secrets_for(&profile(), |_| None)?;
    Ok(secrets.get(&SecretField::Password).map(|s| s.expose_text().expect("text").to_owned()))
}

fn state(vault: &Vault) -> VaultState {
    vault.status().expect("status").state
}

fn place(vault: &Vault) -> Option<SecretPlace> {
    vault.places(profile().id).expect("places").first().map(|stored| stored.place)
}

fn file() -> std::path::PathBuf {
    inner_folder().join("secrets.vault")
}

/// The keyring's entries of Heliograph, through another client.
fn entries<T>(with: impl FnOnce(&[secret_service::blocking::Item<'_>]) -> T) -> T {
    let service = SecretService::connect(EncryptionType::Dh).expect("service");
    let mut found = service.search_items([("service", "heliograph")].into()).expect("search");
    found.unlocked.append(&mut found.locked);
    with(&found.unlocked)
}

fn lock_keyring() {
    let service = SecretService::connect(EncryptionType::Dh).expect("service");
    service.get_default_collection().expect("collection").lock().expect("locked");
}

#[test]
fn a_secret_is_there_after_a_restart() {
    let session = Session::with_keyring(Policy::Open);
    session.run("inside_a_secret_is_there_after_a_restart");
    let text = session.run("inside_a_secret_is_there_in_another_process");
    assert!(!text.contains("canary"));
    for entry in std::fs::read_dir(session.folder()).expect("listed") {
        let path = entry.expect("entry").path();
        assert!(!contains(&path, b"canary"), "{}", path.display());
    }
}

#[test]
#[ignore = "runs inside the session"]
fn inside_a_secret_is_there_after_a_restart() {
    use std::os::unix::fs::PermissionsExt as _;
    let first = vault();
    assert_eq!(first.check().expect("checked").state, VaultState::Empty);
    set(&first, "canary");
    assert_eq!((state(&first), place(&first)), (VaultState::Open, Some(SecretPlace::Keyring)));
    assert_eq!(first.status().expect("status").in_memory, 0);
    assert_eq!(file().metadata().expect("there").permissions().mode() & 0o777, 0o600);
    let next = vault();
    assert_eq!(state(&next), VaultState::Closed);
    assert_eq!(secret(&next).expect("opened").as_deref(), Some("canary"));
    assert_eq!(entries(|all| all.len()), 1);
}

#[test]
#[ignore = "runs inside the session"]
fn inside_a_secret_is_there_in_another_process() {
    assert_eq!(secret(&vault()).expect("opened").as_deref(), Some("canary"));
    assert_eq!(entries(|all| all.len()), 1);
}

#[test]
fn a_locked_keyring_is_said_and_what_is_typed_works_and_goes_in_later() {
    Session::with_keyring(Policy::Open).run("inside_a_locked_keyring");
}

#[test]
#[ignore = "runs inside the session"]
fn inside_a_locked_keyring() {
    set(&vault(), "first");
    let before = std::fs::read(file()).expect("file");
    lock_keyring();
    let next = vault();
    // Nobody is there to answer the prompt, so it is dismissed at once.
    let error = secret(&next).expect_err("locked");
    assert_eq!((error.code, error.details["state"].as_str()), (ErrorCode::VaultLocked, Some("locked")));
    assert_eq!(state(&next), VaultState::Locked);
    assert_eq!(std::fs::read(file()).expect("file"), before);

    set(&next, "second");
    assert_eq!(secret(&next).expect("in memory").as_deref(), Some("second"));
    assert_eq!(place(&next), Some(SecretPlace::Session));
    assert_eq!(entries(|all| all.len()), 1, "no second key");

    unlock_keyring();
    let status = next.check().expect("checked");
    assert_eq!((status.state, status.in_memory, status.stored), (VaultState::Open, 0, 1));
    assert_eq!(secret(&vault()).expect("opened").as_deref(), Some("second"));
}

#[test]
fn a_keyring_locked_before_the_first_secret_gets_it_when_it_opens() {
    Session::with_keyring(Policy::Open).run("inside_a_keyring_locked_before_the_first_secret");
}

#[test]
#[ignore = "runs inside the session"]
fn inside_a_keyring_locked_before_the_first_secret() {
    lock_keyring();
    let vault = vault();
    set(&vault, "canary");
    assert_eq!((state(&vault), place(&vault)), (VaultState::Locked, Some(SecretPlace::Session)));
    assert!(!file().exists());
    // Locked is not absent: nobody is asked to keep secrets elsewhere.
    assert!(!vault.status().expect("status").choice_needed);
    unlock_keyring();
    assert_eq!(vault.check().expect("checked").state, VaultState::Open);
    assert_eq!(place(&vault), Some(SecretPlace::Keyring));
}

#[test]
fn without_a_service_nothing_is_written_and_the_choice_is_asked_for() {
    Session::without_keyring(Policy::Open).run("inside_without_a_service");
}

#[test]
#[ignore = "runs inside the session"]
fn inside_without_a_service() {
    let vault = vault();
    assert_eq!(vault.check().expect("checked").state, VaultState::NoService);
    set(&vault, "canary");
    let status = vault.status().expect("status");
    assert_eq!((status.state, status.choice_needed), (VaultState::NoService, true));
    assert_eq!(secret(&vault).expect("in memory").as_deref(), Some("canary"));
    assert!(!file().exists());
}

#[test]
fn a_service_that_is_gone_makes_no_new_key() {
    let mut session = Session::with_keyring(Policy::Open);
    session.run("inside_a_secret_is_there_after_a_restart");
    let before = std::fs::read(session.folder().join("secrets.vault")).expect("file");
    session.end_keyring();
    session.run("inside_a_service_that_is_gone");
    assert_eq!(std::fs::read(session.folder().join("secrets.vault")).expect("file"), before);
}

#[test]
#[ignore = "runs inside the session"]
fn inside_a_service_that_is_gone() {
    let vault = vault();
    let error = secret(&vault).expect_err("no service");
    assert_eq!(error.details["state"].as_str(), Some("no_service"));
    set(&vault, "for now");
    assert_eq!(secret(&vault).expect("in memory").as_deref(), Some("for now"));
    // There is a vault, so it is not asked where else to keep secrets.
    assert!(!vault.status().expect("status").choice_needed);
}

#[test]
fn a_keyring_that_is_denied_is_told_from_one_that_is_absent() {
    let session = Session::with_keyring(Policy::KeyringDenied);
    session.run("inside_denied");
}

#[test]
#[ignore = "runs inside the session"]
fn inside_denied() {
    let vault = vault();
    assert_eq!(vault.check().expect("checked").state, VaultState::Denied);
    set(&vault, "canary");
    assert_eq!((state(&vault), place(&vault)), (VaultState::Denied, Some(SecretPlace::Session)));
    assert!(!file().exists());
}

#[test]
fn a_key_that_is_gone_wrong_or_broken_is_never_replaced() {
    Session::with_keyring(Policy::Open).run("inside_a_key_that_is_gone_wrong_or_broken");
}

#[test]
#[ignore = "runs inside the session"]
fn inside_a_key_that_is_gone_wrong_or_broken() {
    set(&vault(), "canary");
    let before = std::fs::read(file()).expect("file");
    let key = entries(|all| all[0].get_secret().expect("key"));
    assert_eq!(key.len(), 32);
    let put =
        |bytes: &[u8]| entries(|all| all[0].set_secret(bytes, "application/octet-stream").expect("put"));
    for (bytes, expected) in [(&b"broken"[..], VaultState::KeyCorrupt), (&[7; 32], VaultState::KeyWrong)] {
        put(bytes);
        let vault = vault();
        assert_eq!(secret(&vault).expect_err("no key").code, ErrorCode::VaultLocked);
        assert_eq!(state(&vault), expected);
        set(&vault, "typed");
        assert_eq!(state(&vault), expected);
        assert_eq!(secret(&vault).expect("works").as_deref(), Some("typed"));
        assert_eq!(std::fs::read(file()).expect("file"), before);
    }
    put(&key);
    assert_eq!(secret(&vault()).expect("opened").as_deref(), Some("canary"));

    entries(|all| all[0].delete().expect("deleted"));
    let vault = vault();
    assert_eq!(secret(&vault).expect_err("no key").details["state"].as_str(), Some("key_missing"));
    set(&vault, "typed");
    assert_eq!(state(&vault), VaultState::KeyMissing);
    assert_eq!(std::fs::read(file()).expect("file"), before);
    assert_eq!(entries(|all| all.len()), 0, "no new key");

    // Only the person can say that it is lost; it is kept all the same.
    let aside = vault.start_anew().expect("anew").set_aside.expect("set aside");
    assert_eq!(std::fs::read(aside).expect("kept"), before);
    assert_eq!((state(&vault), place(&vault)), (VaultState::Open, Some(SecretPlace::Keyring)));
}

#[test]
fn a_keyring_that_does_not_answer_holds_nobody_up_and_its_late_answer_is_used() {
    Session::with_keyring(Policy::Open).run("inside_a_keyring_that_does_not_answer");
}

#[test]
#[ignore = "runs inside the session"]
fn inside_a_keyring_that_does_not_answer() {
    set(&vault(), "canary");
    let patience = Duration::from_millis(300);
    let (next, changes) = vault_with(patience);
    signal("STOP", inner_keyring());
    let begun = Instant::now();
    let error = secret(&next).expect_err("silence");
    assert_eq!(error.details["state"].as_str(), Some("silent"));
    // One call is under way; others neither pile up behind it nor wait for ever.
    for _ in 0..3 {
        assert_eq!(secret(&next).expect_err("silence").details["state"].as_str(), Some("silent"));
    }
    assert!(begun.elapsed() < 5 * 2 * patience, "{:?}", begun.elapsed());
    set(&next, "typed");
    assert_eq!(secret(&next).expect("in memory").as_deref(), Some("typed"));
    signal("CONT", inner_keyring());
    // It opens by itself, and what was typed goes in.
    while next.status().expect("status").in_memory > 0 {
        changes.recv_timeout(PATIENCE).expect("it says when it changed");
    }
    assert_eq!(state(&next), VaultState::Open);
    assert_eq!(secret(&vault()).expect("opened").as_deref(), Some("typed"));
}

#[test]
fn secrets_move_between_keyring_passphrase_and_session() {
    Session::with_keyring(Policy::Open).run("inside_secrets_move");
}

#[test]
#[ignore = "runs inside the session"]
fn inside_secrets_move() {
    let passphrase = Secret::new("correct horse");
    let vault = vault();
    set(&vault, "canary");
    vault.choose(Keep::Passphrase, Some(&passphrase)).expect("passphrase");
    assert_eq!((place(&vault), entries(|all| all.len())), (Some(SecretPlace::Passphrase), 0));
    let restarted = self::vault();
    assert_eq!(state(&restarted), VaultState::Locked);
    restarted.unlock(&passphrase).expect("unlocked");
    restarted.choose(Keep::Keyring, None).expect("keyring");
    assert_eq!((place(&restarted), entries(|all| all.len())), (Some(SecretPlace::Keyring), 1));
    assert_eq!(secret(&self::vault()).expect("opened").as_deref(), Some("canary"));
    restarted.choose(Keep::Session, None).expect("session");
    assert_eq!((place(&restarted), entries(|all| all.len())), (Some(SecretPlace::Session), 0));
    assert!(!file().exists());
    restarted.choose(Keep::Keyring, None).expect("back");
    assert_eq!((place(&restarted), entries(|all| all.len())), (Some(SecretPlace::Keyring), 1));
    assert_eq!(secret(&self::vault()).expect("opened").as_deref(), Some("canary"));
}

#[test]
fn two_processes_make_one_vault_and_lose_nothing() {
    let session = Session::with_keyring(Policy::Open);
    std::thread::scope(|scope| {
        for _ in 0..3 {
            scope.spawn(|| session.run("inside_one_of_many_processes"));
        }
    });
    session.run("inside_after_many_processes");
}

#[test]
#[ignore = "runs inside the session"]
fn inside_one_of_many_processes() {
    let vault = vault();
    for _ in 0..10 {
        let id = ProfileId::random();
        vault.set(id, &[SecretEdit::set(SecretField::Password, id.to_string())]).expect("set");
        let stored = vault.places(id).expect("places");
        assert_eq!(stored[0].place, SecretPlace::Keyring, "{:?}", vault.status());
    }
}

#[test]
#[ignore = "runs inside the session"]
fn inside_after_many_processes() {
    let vault = vault();
    let status = vault.check().expect("checked");
    assert_eq!((status.state, status.stored), (VaultState::Open, 30));
    assert_eq!(entries(|all| all.len()), 1, "one key");
}
