//! The vault without a keyring: session, passphrase, damage. With a real keyring: `tests/vault_keyring.rs`.

use tempfile::TempDir;

use super::*;
use crate::endpoint::{Endpoint, Scheme};

/// A data folder, and vaults on it as runs of Heliograph would open them.
struct Folder {
    dir: TempDir,
}

impl Folder {
    fn new() -> Self {
        Self { dir: tempfile::tempdir().expect("folder") }
    }

    fn vault(&self) -> Vault {
        let library = Library::open(&self.dir.path().join("heliograph.db")).expect("library");
        Vault::new(self.dir.path(), Arc::new(library), Keyring::none(), || {})
    }

    fn file(&self) -> PathBuf {
        self.dir.path().join("secrets.vault")
    }

    fn set_aside(&self) -> Vec<PathBuf> {
        let names =
            std::fs::read_dir(self.dir.path()).expect("listed").map(|entry| entry.expect("entry").path());
        let aside = |path: &PathBuf| path.to_string_lossy().contains("secrets.vault.damaged");
        names.filter(aside).collect()
    }
}

fn profile() -> Profile {
    let endpoint = Endpoint::parse_url("mqtt://broker.example", Scheme::Mqtt).expect("endpoint").endpoint;
    let mut settings = Settings::default();
    settings.login.enabled = true;
    Profile { id: ProfileId::random(), name: "Line 4".into(), endpoint, settings }
}

fn password(text: &str) -> Vec<SecretEdit> {
    vec![SecretEdit::set(SecretField::Password, text.into())]
}

fn cleared() -> Vec<SecretEdit> {
    serde_json::from_str(r#"[{"field":{"kind":"password"},"value":null}]"#).expect("edit")
}

fn secret(vault: &Vault, profile: &Profile) -> Result<Option<String>> {
    let secrets = vault.secrets_for(profile, |_| None)?;
    let text = secrets.get(&SecretField::Password).map(|s| s.expose_text().expect("text").to_owned());
    Ok(text)
}

fn state(vault: &Vault) -> VaultState {
    vault.status().expect("status").state
}

fn place(vault: &Vault, profile: &Profile) -> Option<SecretPlace> {
    let places = vault.places(profile.id).expect("places");
    places.into_iter().find(|stored| stored.field == SecretField::Password).map(|stored| stored.place)
}

fn passphrase() -> Secret {
    Secret::new("correct horse")
}

/// A vault with a passphrase that holds `text` as the password of `profile`.
fn with_passphrase(folder: &Folder, profile: &Profile, text: &str) -> Vault {
    let vault = folder.vault();
    vault.choose(Keep::Passphrase, Some(&passphrase())).expect("chosen");
    vault.set(profile.id, &password(text)).expect("set");
    vault
}

#[test]
fn without_a_keyring_a_secret_lasts_for_the_run() {
    let (folder, profile) = (Folder::new(), profile());
    let vault = folder.vault();
    assert_eq!(state(&vault), VaultState::Empty);
    vault.set(profile.id, &password("canary")).expect("set");
    assert_eq!(secret(&vault, &profile).expect("there").as_deref(), Some("canary"));
    assert_eq!(place(&vault, &profile), Some(SecretPlace::Session));
    let status = vault.status().expect("status");
    assert_eq!((status.state, status.choice_needed, status.in_memory), (VaultState::NoService, true, 1));
    assert!(!folder.file().exists());

    let next = folder.vault();
    let error = secret(&next, &profile).expect_err("gone with the run");
    assert_eq!(error.code, ErrorCode::SecretNeeded);
    assert_eq!(error.details["fields"], json!([{ "kind": "password" }]));
    next.set(profile.id, &cleared()).expect("cleared");
    assert_eq!(secret(&next, &profile).expect("nothing is expected any more"), None);
}

#[test]
fn the_choice_is_asked_for_once() {
    let (folder, profile) = (Folder::new(), profile());
    let vault = folder.vault();
    vault.set(profile.id, &password("canary")).expect("set");
    let status = vault.choose(Keep::Session, None).expect("chosen");
    assert_eq!((status.state, status.choice_needed), (VaultState::Off, false));
    assert_eq!(secret(&vault, &profile).expect("still there").as_deref(), Some("canary"));
    assert!(!folder.vault().status().expect("status").choice_needed);
}

#[test]
fn what_is_never_kept_is_forgotten_when_it_was_used() {
    let (folder, profile) = (Folder::new(), profile());
    let vault = folder.vault();
    vault.choose(Keep::Never, None).expect("chosen");
    vault.set(profile.id, &password("canary")).expect("set");
    assert_eq!(place(&vault, &profile), Some(SecretPlace::Once));
    assert_eq!(secret(&vault, &profile).expect("once").as_deref(), Some("canary"));
    assert_eq!(secret(&vault, &profile).expect_err("not twice").code, ErrorCode::SecretNeeded);
    assert!(!folder.file().exists());
}

#[test]
fn a_passphrase_opens_the_vault_of_an_earlier_run() {
    let (folder, profile) = (Folder::new(), profile());
    with_passphrase(&folder, &profile, "canary-1");
    let vault = folder.vault();
    assert_eq!((state(&vault), place(&vault, &profile)), (VaultState::Locked, Some(SecretPlace::Passphrase)));
    let error = secret(&vault, &profile).expect_err("locked");
    assert_eq!((error.code, &error.details["state"]), (ErrorCode::VaultLocked, &json!("locked")));
    let error = vault.unlock(&Secret::new("wrong horse")).expect_err("wrong");
    assert_eq!(error.code, ErrorCode::PassphraseWrong);
    assert_eq!(state(&vault), VaultState::Locked);
    vault.unlock(&passphrase()).expect("unlocked");
    assert_eq!(secret(&vault, &profile).expect("there").as_deref(), Some("canary-1"));
    vault.lock();
    assert_eq!(secret(&vault, &profile).expect_err("locked again").code, ErrorCode::VaultLocked);
}

#[test]
fn what_is_set_or_cleared_while_locked_goes_in_when_it_opens() {
    let (folder, first, second) = (Folder::new(), profile(), profile());
    with_passphrase(&folder, &first, "old");
    let vault = folder.vault();
    vault.set(first.id, &cleared()).expect("cleared");
    vault.set(second.id, &password("new")).expect("set");
    // It works meanwhile, without the passphrase.
    assert_eq!(secret(&vault, &second).expect("in memory").as_deref(), Some("new"));
    assert_eq!((place(&vault, &first), place(&vault, &second)), (None, Some(SecretPlace::Session)));
    let status = vault.unlock(&passphrase()).expect("unlocked");
    assert_eq!((status.stored, status.in_memory), (1, 0));

    let next = folder.vault();
    next.unlock(&passphrase()).expect("unlocked");
    assert_eq!(secret(&next, &first).expect("cleared"), None);
    assert_eq!(secret(&next, &second).expect("there").as_deref(), Some("new"));
}

#[test]
fn a_changed_passphrase_locks_the_old_one_out_everywhere() {
    let (folder, profile) = (Folder::new(), profile());
    let vault = with_passphrase(&folder, &profile, "canary");
    let helio = folder.vault();
    helio.unlock(&passphrase()).expect("unlocked");
    let new = Secret::new("battery staple");
    let error = vault.change_passphrase(&Secret::new("guessed it"), &new).expect_err("wrong");
    assert_eq!(error.code, ErrorCode::PassphraseWrong);
    let error = vault.change_passphrase(&passphrase(), &Secret::new("short")).expect_err("short");
    assert_eq!(error.code, ErrorCode::InvalidInput);
    let before = std::fs::read(folder.file()).expect("file");
    vault.change_passphrase(&passphrase(), &new).expect("changed");
    assert_eq!(secret(&vault, &profile).expect("open").as_deref(), Some("canary"));
    // The other one has the old key, which opens nothing any more.
    assert_eq!(secret(&helio, &profile).expect_err("locked").code, ErrorCode::VaultLocked);
    assert_eq!(helio.unlock(&passphrase()).expect_err("old").code, ErrorCode::PassphraseWrong);
    helio.unlock(&new).expect("new");
    assert_eq!(secret(&helio, &profile).expect("open").as_deref(), Some("canary"));
    let after = std::fs::read(folder.file()).expect("file");
    let (before, after) = (Sealed::parse(&before).expect("old"), Sealed::parse(&after).expect("new"));
    assert_ne!(
        before.unwrap(&passphrase()).expect("key").expose(),
        after.unwrap(&new).expect("key").expose()
    );
}

#[test]
fn it_locks_itself_when_nobody_uses_it() {
    let (folder, profile) = (Folder::new(), profile());
    let vault = with_passphrase(&folder, &profile, "canary");
    let after = |minutes: u64| Instant::now() + Duration::from_secs(minutes * 60);
    vault.set_auto_lock(5).expect("set");
    vault.lock_if_idle(after(4));
    assert_eq!(state(&vault), VaultState::Open);
    vault.lock_if_idle(after(6));
    assert_eq!(state(&vault), VaultState::Locked);
    vault.unlock(&passphrase()).expect("unlocked");
    vault.set_auto_lock(0).expect("never");
    vault.lock_if_idle(after(10_000));
    assert_eq!(state(&vault), VaultState::Open);
    assert_eq!(vault.set_auto_lock(1441).expect_err("too long").code, ErrorCode::InvalidInput);
}

#[test]
fn a_damaged_vault_is_set_aside_and_kept_byte_for_byte() {
    let (folder, profile) = (Folder::new(), profile());
    with_passphrase(&folder, &profile, "canary");
    let mut bytes = std::fs::read(folder.file()).expect("file");
    let middle = bytes.len() / 2;
    bytes[middle] ^= 1;
    std::fs::write(folder.file(), &bytes).expect("damaged");
    let vault = folder.vault();
    // The password is asked for; nothing else stands in the way.
    assert_eq!(secret(&vault, &profile).expect_err("gone").code, ErrorCode::SecretNeeded);
    let kept = folder.set_aside();
    assert_eq!(kept.len(), 1);
    assert_eq!(std::fs::read(&kept[0]).expect("kept"), bytes);
    let said = vault.status().expect("status").set_aside;
    assert_eq!(said.as_deref(), kept[0].to_str());

    vault.set(profile.id, &password("again")).expect("set");
    vault.choose(Keep::Passphrase, Some(&passphrase())).expect("a new vault");
    assert_eq!(secret(&vault, &profile).expect("there").as_deref(), Some("again"));
    assert_eq!(std::fs::read(&kept[0]).expect("kept"), bytes);
}

#[test]
fn a_vault_changed_by_somebody_who_repairs_its_digest_is_found_out() {
    use sha2::{Digest as _, Sha256};
    let (folder, profile) = (Folder::new(), profile());
    with_passphrase(&folder, &profile, "canary");
    let mut bytes = std::fs::read(folder.file()).expect("file");
    let end = bytes.len() - 32;
    // The last byte of the seal.
    bytes[end - 1] ^= 1;
    let digest = Sha256::digest(&bytes[..end]);
    bytes[end..].copy_from_slice(&digest);
    std::fs::write(folder.file(), &bytes).expect("changed");
    let vault = folder.vault();
    vault.unlock(&passphrase()).expect("the passphrase is right");
    assert_eq!(secret(&vault, &profile).expect_err("not used").code, ErrorCode::SecretNeeded);
    assert_eq!(std::fs::read(&folder.set_aside()[0]).expect("kept"), bytes);
}

#[test]
fn a_vault_of_a_later_version_is_left_alone() {
    use sha2::{Digest as _, Sha256};
    let (folder, profile) = (Folder::new(), profile());
    with_passphrase(&folder, &profile, "canary");
    let mut bytes = std::fs::read(folder.file()).expect("file");
    bytes[8] += 1;
    let end = bytes.len() - 32;
    let digest = Sha256::digest(&bytes[..end]);
    bytes[end..].copy_from_slice(&digest);
    std::fs::write(folder.file(), &bytes).expect("changed");
    let vault = folder.vault();
    vault.set(profile.id, &password("for now")).expect("in memory");
    assert_eq!(secret(&vault, &profile).expect("works").as_deref(), Some("for now"));
    assert_eq!(state(&vault), VaultState::NewerVersion);
    assert_eq!(std::fs::read(folder.file()).expect("file"), bytes);
}

#[test]
fn a_forgotten_passphrase_is_no_dead_end() {
    let (folder, profile) = (Folder::new(), profile());
    with_passphrase(&folder, &profile, "canary");
    let before = std::fs::read(folder.file()).expect("file");
    let vault = folder.vault();
    let error = vault.choose(Keep::Session, None).expect_err("what is in it would be lost");
    assert_eq!(error.code, ErrorCode::VaultLocked);
    let aside = vault.start_anew().expect("anew").set_aside.expect("set aside");
    assert_eq!(std::fs::read(aside).expect("kept"), before);
    vault.choose(Keep::Passphrase, Some(&Secret::new("battery staple"))).expect("a new one");
    vault.set(profile.id, &password("new")).expect("set");
    assert_eq!(secret(&vault, &profile).expect("there").as_deref(), Some("new"));
}

#[test]
fn leaving_the_vault_leaves_no_file() {
    let (folder, profile) = (Folder::new(), profile());
    let vault = with_passphrase(&folder, &profile, "canary");
    vault.choose(Keep::Session, None).expect("chosen");
    assert!(!folder.file().exists());
    assert_eq!(secret(&vault, &profile).expect("in memory").as_deref(), Some("canary"));
    vault.choose(Keep::Passphrase, Some(&passphrase())).expect("back");
    assert_eq!(
        (place(&vault, &profile), vault.status().expect("status").in_memory),
        (Some(SecretPlace::Passphrase), 0)
    );
    vault.choose(Keep::Never, None).expect("chosen");
    assert!(!folder.file().exists());
    assert_eq!(secret(&vault, &profile).expect_err("forgotten").code, ErrorCode::SecretNeeded);
}

#[test]
fn a_deleted_connection_takes_its_secrets_along() {
    let (folder, gone, kept) = (Folder::new(), profile(), profile());
    let vault = with_passphrase(&folder, &gone, "canary");
    vault.set(kept.id, &password("kept")).expect("set");
    let locked = folder.vault();
    assert_eq!(locked.forget(gone.id).expect_err("later").code, ErrorCode::VaultLocked);
    locked.unlock(&passphrase()).expect("unlocked");
    locked.forget(gone.id).expect("forgotten");
    assert_eq!((place(&vault, &gone), place(&vault, &kept)), (None, Some(SecretPlace::Passphrase)));
    assert_eq!(secret(&vault, &gone).expect("nothing is expected"), None);
    let nothing = profile();
    folder.vault().forget(nothing.id).expect("needs no key when there is nothing");
}

#[test]
fn a_draft_uses_what_is_saved_and_its_edits_on_top() {
    let (folder, mut profile) = (Folder::new(), profile());
    let vault = with_passphrase(&folder, &profile, "saved");
    let secrets = vault.secrets_for_draft(&profile, &password("typed")).expect("open");
    assert_eq!(secrets.get(&SecretField::Password).map(Secret::expose), Some(&b"typed"[..]));
    let secrets = vault.secrets_for_draft(&profile, &[]).expect("open");
    assert_eq!(secrets.get(&SecretField::Password).map(Secret::expose), Some(&b"saved"[..]));
    vault.lock();
    // What is typed, or not used, takes no vault.
    vault.secrets_for_draft(&profile, &password("typed")).expect("not needed");
    assert_eq!(vault.secrets_for_draft(&profile, &[]).expect_err("needed").code, ErrorCode::VaultLocked);
    profile.settings.login.enabled = false;
    vault.secrets_for_draft(&profile, &[]).expect("not used");
}

#[test]
fn a_draft_is_checked_without_asking_anybody() {
    let (folder, profile) = (Folder::new(), profile());
    let vault = with_passphrase(&folder, &profile, "saved");
    let at_hand = |edits: &[SecretEdit]| {
        let (secrets, locked) = vault.at_hand(profile.id, "", edits).expect("asked nobody");
        (secrets.get(&SecretField::Password).map(|s| s.expose().to_vec()), locked)
    };
    assert_eq!(at_hand(&[]), (Some(b"saved".to_vec()), vec![]));
    vault.lock();
    assert_eq!(at_hand(&[]), (None, vec![SecretField::Password]));
    assert_eq!(at_hand(&password("typed")), (Some(b"typed".to_vec()), vec![]));
    assert_eq!(state(&vault), VaultState::Locked);
}

#[test]
fn many_change_it_at_once_and_nothing_is_lost() {
    let (folder, first) = (Folder::new(), profile());
    with_passphrase(&folder, &first, "canary");
    let profiles: Vec<_> = (0..4).map(|_| profile()).collect();
    std::thread::scope(|scope| {
        for profile in &profiles {
            let folder = &folder;
            scope.spawn(move || {
                let vault = folder.vault();
                vault.unlock(&passphrase()).expect("unlocked");
                for round in 0..10 {
                    vault.set(profile.id, &password(&format!("{round}"))).expect("set");
                }
            });
        }
    });
    let vault = folder.vault();
    vault.unlock(&passphrase()).expect("unlocked");
    for profile in &profiles {
        assert_eq!(secret(&vault, profile).expect("there").as_deref(), Some("9"));
    }
    assert_eq!(vault.status().expect("status").stored, 5);
}

#[test]
fn nothing_of_it_can_be_read_from_the_folder() {
    let (folder, profile) = (Folder::new(), profile());
    let vault = with_passphrase(&folder, &profile, "canary-in-the-vault");
    vault.lock();
    vault.set(profile.id, &password("canary-in-memory")).expect("set");
    for entry in std::fs::read_dir(folder.dir.path()).expect("listed") {
        let path = entry.expect("entry").path();
        let bytes = std::fs::read(&path).expect("read");
        for canary in ["canary", "correct horse"] {
            assert!(!bytes.windows(canary.len()).any(|part| part == canary.as_bytes()), "{}", path.display());
        }
    }
}
