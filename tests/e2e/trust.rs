//! What a person decides about certificates, in the real window: those that end soon are announced; a passphrase is
//! asked for when it is needed; a server with another name is accepted for its name alone; its chain is saved.

use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::Duration;

use anyhow::{Result, ensure};
use serde_json::json;

use crate::brokers::{Identity, Mosquitto, MosquittoOptions, Nginx, NginxOptions, PASSWORD, Pki, USER};
use crate::dialog;
use crate::saved::{CONNECTED, OverTls, der, fix};
use crate::vault::small;
use crate::window::Window;

const PASSPHRASE: &str = "canary of the key";

/// A client certificate by its name, how long it lasts, and what is said of its end in English and in Chinese.
type Ending = (&'static str, Duration, Option<[&'static str; 2]>);

const ENDING: [Ending; 4] = [
    ("press-20", Duration::from_secs(20 * 24 * 3600), Some(["ends within 30 days", "将在 30 天内到期"])),
    ("press-5", Duration::from_secs(5 * 24 * 3600), Some(["ends within 7 days", "将在 7 天内到期"])),
    ("press-0", Duration::from_secs(12 * 3600), Some(["ends within a day", "将在一天内到期"])),
    ("press-40", Duration::from_secs(40 * 24 * 3600), None),
];

/// What is announced of each, in the connection list, the notices and the library, in both languages.
#[tokio::test(flavor = "multi_thread")]
async fn certificates_that_end_within_thirty_seven_and_one_days_are_announced() -> Result<()> {
    let dir = tempfile::tempdir()?;
    let pki = Pki::make(dir.path());
    let window = Window::open(&dir.path().join("data"), "ending", &[]).await?;
    for (name, life, _) in ENDING {
        let identity = pki.issue_ending_client(dir.path(), name, life);
        let server = OverTls::wss(8084, &pki.ca).with(&identity.cert, &identity.key);
        server.save(&window, &format!("With {name}")).await?;
    }
    window.press("Control+Shift+k").await?;
    for (name, _, ending) in ENDING {
        if let Some([en, _]) = ending {
            window.says(&format!("{name} {en}")).await?;
        }
    }
    // While somebody is at them, remarks stay.
    window.press("F8").await?;
    marked_in_the_library(&window, "left", "1-library-en").await?;
    window.press("Escape").await?;
    window.press("Control+,").await?;
    window.click("简体中文").await?;
    // A remark holds what it says, not the words: it follows the language.
    window.says("press-0 将在一天内到期").await?;
    window.press("Escape").await?;
    window.press("Control+Shift+k").await?;
    marked_in_the_library(&window, "剩余", "1-library-zh").await?;
    window.press("Escape").await?;
    for (name, _, ending) in ENDING {
        let mark = format!(
            "const row = [...document.querySelectorAll('[role=treeitem]')].find((r) => r.innerText.includes('With {name}'));\
             return row ? row.querySelector('[aria-label^=\"{name} \"]')?.getAttribute('aria-label') ?? 'none' : null"
        );
        let marked = window.until(&format!("{name} in the list"), &mark).await?;
        let wanted = ending.map_or_else(|| "none".to_owned(), |[_, zh]| format!("{name} {zh}"));
        ensure!(marked == json!(wanted), "{name}: {marked}");
    }
    window.shots("2-list-zh").await?;
    small(&window, "2-list-zh").await?;
    window.resize(900, 600).await?;
    for (name, _, ending) in ENDING {
        let square = format!(
            "const square = [...document.querySelectorAll('.rail .r')].find((r) => r.innerText.includes('With {name},'));\
             return square ? [square.innerText.trim().split(', ').at(-1), square.querySelector('.ends') !== null] : null"
        );
        let shown = window.until(&format!("{name} in the rail"), &square).await?;
        let marked = ending.is_some();
        ensure!(shown[1] == json!(marked), "{name}: {shown}");
        ensure!(ending.is_none_or(|[_, zh]| shown[0] == json!(format!("{name} {zh}"))), "{name}: {shown}");
    }
    window.close().await
}

/// Each says how much is left, and stands out when that is announced.
async fn marked_in_the_library(window: &Window, left: &str, name: &str) -> Result<()> {
    for (name, _, ending) in ENDING {
        let marked = format!(
            "const when = document.querySelector(`article.entry[aria-label='{name}'] .when`);\
             return when !== null && when.innerText.includes('{left}') && when.matches('.warn') === {}",
            ending.is_some()
        );
        window.until(&format!("{name} in the library"), &marked).await?;
    }
    window.shots(name).await?;
    small(window, name).await
}

/// A copy of a private key that [`PASSPHRASE`] opens.
fn encrypted(key: &Path, dir: &Path) -> Result<PathBuf> {
    let copy = dir.join("encrypted.key");
    let made = Command::new("openssl")
        .args(["pkcs8", "-topk8", "-v2", "aes-256-cbc", "-passout", &format!("pass:{PASSPHRASE}"), "-in"])
        .arg(key)
        .arg("-out")
        .arg(&copy)
        .status()?;
    ensure!(made.success(), "openssl");
    Ok(copy)
}

/// The key is encrypted and its passphrase not at hand; the server has another name than it is asked for by.
#[tokio::test(flavor = "multi_thread")]
async fn a_passphrase_is_asked_for_and_another_name_accepted_and_nothing_else() -> Result<()> {
    let dir = tempfile::tempdir()?;
    let data = dir.path().join("data");
    let pki = Pki::make(dir.path());
    let broker = Mosquitto::start(&pki, &MosquittoOptions::default());
    let options = NginxOptions { required_header: None, ..NginxOptions::default() };
    let behind = |server: &Identity| {
        let mut pki = pki.clone();
        pki.server = server.clone();
        Nginx::start(&pki, broker.ws, &options)
    };
    let (other_name, foreign, expired) =
        (behind(&pki.other_name_server), behind(&pki.foreign_server), behind(&pki.expired_server));
    let key = encrypted(&pki.client.key, dir.path())?;
    let window = Window::open(&data, "trust", &[]).await?;
    let server = OverTls::wss(other_name.port, &pki.ca).with(&pki.client.cert, &key);
    let id = server.save(&window, "Press line").await?;

    // At the moment it is needed: asked for, a wrong one is told from a file that is damaged, the right one goes on.
    window.click("Press line").await?;
    window.click("Connect").await?;
    window.says("Enter the passphrase for Press line").await?;
    window.shots("1-asked").await?;
    small(&window, "1-asked").await?;
    window.fill("Passphrase of the private key", "not this one").await?;
    window.press("Enter").await?;
    window.says("The passphrase does not open the private key").await?;
    window.shots("2-wrong").await?;
    small(&window, "2-wrong").await?;
    window.click("Type passphrase…").await?;
    window.fill("Passphrase of the private key", PASSPHRASE).await?;
    window.press("Enter").await?;

    // The server is another one by its name: that alone can be accepted.
    window.says("The server certificate is for another host").await?;
    window.says("other.example").await?;
    window.shots("3-other-name").await?;
    small(&window, "3-other-name").await?;
    fix(&window, "Accept that the names differ").await?;
    window.says("A certificate of any other host is accepted too, if its CA is trusted").await?;
    window.shots("4-in-the-draft").await?;
    window.click("Save and connect").await?;
    window.until("connected", CONNECTED).await?;
    let profile = window.engine("profile", json!({ "id": id })).await?;
    let trust = &profile["settings"]["trust"];
    ensure!(trust["verify_host_name"] == false && trust["mode"] == "ca_only", "{trust}");

    // What the server said of issuers, and its chain as a file: the very bytes.
    window.press("Control+Shift+t").await?;
    window.says("Issuer is one the server accepts").await?;
    window.says("CN=Test CA").await?;
    window.js("document.querySelector('.chain').scrollIntoView({ block: 'center' }); return true").await?;
    window.shots("5-chain").await?;
    small(&window, "5-chain").await?;
    window.click("Save as PEM…").await?;
    let file = dir.path().join("chain.pem");
    dialog::choose("Save the server's certificates", &file.display().to_string()).await?;
    window.says("Certificates saved to").await?;
    ensure!(der(&file)? == der(&pki.other_name_server.cert)?, "the server's certificate");

    // Another issuer and another time are refused as before.
    for (server, said) in [
        (&foreign, "The server certificate comes from an unknown issuer"),
        (&expired, "The server certificate has expired"),
    ] {
        window.engine("disconnect", json!({ "id": id })).await?;
        let mut draft = window.engine("profile", json!({ "id": id })).await?;
        draft["endpoint"]["port"] = json!(server.port.to_string());
        window.engine("save_profile", json!({ "draft": draft, "folder": null, "secrets": [] })).await?;
        window.engine("connect", json!({ "id": id })).await?;
        window.says(said).await?;
    }
    window.shots("6-refused").await?;
    window.close().await
}

/// Over wss with a client certificate and a password, whose secrets were kept for one session, in the next one; by keyboard
/// alone, in Chinese.
#[tokio::test(flavor = "multi_thread")]
async fn a_password_and_a_passphrase_are_asked_for_in_one_dialog() -> Result<()> {
    let dir = tempfile::tempdir()?;
    let pki = Pki::make(dir.path());
    let options =
        MosquittoOptions { password: true, require_certificate: true, ..MosquittoOptions::default() };
    let broker = Mosquitto::start(&pki, &options);
    let key = encrypted(&pki.client.key, dir.path())?;
    let data = dir.path().join("data");
    let window = Window::open(&data, "both", &[]).await?;
    let server = OverTls::wss(broker.wss, &pki.ca).with(&pki.client.cert, &key);
    let id = server.save(&window, "Press line").await?;
    let mut draft = window.engine("profile", json!({ "id": id })).await?;
    draft["settings"]["login"] = json!({ "enabled": true, "username": USER });
    let secret =
        |kind: &str, value: &str| json!({ "field": { "kind": kind }, "value": value, "encoding": "utf8" });
    let secrets = [secret("password", PASSWORD), secret("key_passphrase", PASSPHRASE)];
    window.engine("save_profile", json!({ "draft": draft, "folder": null, "secrets": secrets })).await?;
    window.click("Press line").await?;
    window.press("Control+Shift+Enter").await?;
    window.until("connected", CONNECTED).await?;
    window.close().await?;

    let window = Window::open(&data, "both", &[]).await?;
    window.speak("简体中文").await?;
    window.press("Control+Shift+Enter").await?;
    window.says("输入 Press line 的机密信息").await?;
    window.until("the password's field", "return document.activeElement.ariaLabel === '密码'").await?;
    window.shots("1-asked").await?;
    small(&window, "1-asked").await?;
    // What is not filled in keeps the dialog, and what was typed stays.
    window.write(PASSWORD).await?;
    window.press("Enter").await?;
    window.tab_to("私钥口令").await?;
    window.write("not this one").await?;
    window.press("Enter").await?;
    window.says("口令无法解开私钥").await?;
    // The password was taken: the passphrase alone is asked for again.
    window.tab_to_css(".fix button").await?;
    window.press("Enter").await?;
    window.says("输入 Press line 的私钥口令").await?;
    let fields = window.js("return document.querySelectorAll('[role=dialog] input').length").await?;
    ensure!(fields == json!(1), "{fields} fields");
    window.write(PASSPHRASE).await?;
    window.press("Enter").await?;
    window.until("connected", "return /^已连接 \\d/m.test(document.body.innerText)").await?;
    window.shots("2-connected").await?;
    window.close().await
}
