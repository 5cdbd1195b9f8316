//! Secrets of saved connections come from the vault that the window uses.

use std::process::Stdio;
use std::sync::Arc;

use heliograph_engine::library::Library;
use heliograph_engine::secret::{Secret, SecretEdit, SecretField};
use heliograph_engine::vault::{Keep, Keyring, Vault};
use serde_json::json;

use crate::brokers::{MosquittoOptions, PASSWORD, PASSWORD_PART, USER};
use crate::command::{Bench, Ended, Helio};

const PASSPHRASE: &str = "correct horse";

fn trace(bench: &Bench, passphrase: Option<&str>) -> Ended {
    let mut command = bench.command(&["trace", "@line", "--json"]);
    command.stdin(Stdio::null()).env("HELIOGRAPH_KEYRING", "off").env_remove("HELIO_VAULT_PASSPHRASE");
    if let Some(passphrase) = passphrase {
        command.env("HELIO_VAULT_PASSPHRASE", passphrase);
    }
    Helio::start(&mut command).end()
}

#[test]
fn a_saved_connection_connects_with_the_password_in_the_vault() {
    let bench = Bench::new();
    let mosquitto = bench.mosquitto(&MosquittoOptions { password: true, ..Default::default() });
    let id = "00000001-0000-4000-8000-000000000000";
    let settings = json!({ "login": { "enabled": true, "username": USER } });
    let endpoint = json!({ "host": "localhost", "port": mosquitto.mqtt.to_string() });
    let profile = json!({ "id": id, "name": "line", "endpoint": endpoint, "settings": settings });
    let export =
        json!({ "format": "heliograph-connections", "version": 1, "profiles": [profile], "folders": [] });
    bench.run_with_input(&["profiles", "import", "-"], export.to_string().as_bytes()).assert_status(0);

    // As the window keeps it.
    let data = bench.dir.path().join("data");
    let library = Library::open(&data.join("heliograph.db")).expect("library");
    let saved = library.tree().expect("tree").profiles[0].id;
    let vault = Vault::new(&data, Arc::new(library), Keyring::none(), || {});
    vault.choose(Keep::Passphrase, Some(&Secret::new(PASSPHRASE))).expect("chosen");
    vault.set(saved, &[SecretEdit::set(SecretField::Password, PASSWORD.to_owned())]).expect("set");
    drop(vault);

    trace(&bench, None).assert_status(2).assert_says("HELIO_VAULT_PASSPHRASE");
    let ended = trace(&bench, Some("wrong horse")).assert_status(2);
    assert!(!ended.err.contains("wrong horse"), "{ended:?}");
    let ended = trace(&bench, Some(PASSPHRASE)).assert_status(0);
    assert_eq!(ended.json().last().expect("a verdict")["outcome"], "connected");
    assert!(!ended.out.contains(PASSWORD_PART) && !ended.err.contains(PASSWORD_PART), "{ended:?}");
}
