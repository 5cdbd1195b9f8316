//! Which servers are accepted, in the real window: a pin that breaks shows what differs and can be set anew, a list of
//! revoked certificates counts, and so does the lowest version of TLS.

use anyhow::{Result, ensure};
use serde_json::json;

use crate::brokers::{Identity, Mosquitto, MosquittoOptions, Nginx, NginxOptions, Pki, VerifyClient};
use crate::dialog;
use crate::saved::{CONNECTED, OverTls, fix, last_attempt};
use crate::vault::small;
use crate::window::Window;

/// The rows in which the pinned certificate and the presented one differ.
const DIFFERENT: &str =
    "return [...document.querySelectorAll('table.diff .differs th')].map((row) => row.innerText)";

/// The server that starts next has this certificate.
fn serve(current: &Identity, next: &Identity) -> Result<()> {
    std::fs::copy(&next.cert, &current.cert)?;
    std::fs::copy(&next.key, &current.key)?;
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn a_pin_that_breaks_shows_what_differs_and_can_be_set_anew() -> Result<()> {
    let dir = tempfile::tempdir()?;
    let pki = Pki::make(dir.path());
    let current = Identity { cert: dir.path().join("current.pem"), key: dir.path().join("current.key") };
    let [first, second] =
        [("first", 1), ("second", 2)].map(|(name, serial)| pki.issue_server(dir.path(), name, serial));
    serve(&current, &first)?;
    let options = MosquittoOptions { server: Some(current.clone()), ..MosquittoOptions::default() };
    let mut broker = Mosquitto::start(&pki, &options);
    let window = Window::open(&dir.path().join("data"), "broken-pin", &[]).await?;
    let unknown = OverTls { websocket: true, port: broker.wss, ca: None, client: None };
    let id = unknown.save(&window, "Press line").await?;
    window.click("Press line").await?;
    let pin = || async {
        fix(&window, "Pin this server's key").await?;
        window.find("[role=dialog] article.cert").await?;
        window.click("Pin and try again").await?;
        window.says("Connected in").await?;
        window.click("Save and connect").await?;
        window.until("connected", CONNECTED).await?;
        let profile = window.engine("profile", json!({ "id": id })).await?;
        let (code, tls) = last_attempt(&window, &id).await?;
        ensure!(code.is_null() && profile["settings"]["trust"]["mode"] == "pinned", "{code} {profile}");
        let pinned = profile["settings"]["trust"]["pinned_sha256"].clone();
        ensure!(pinned == tls["server_chain"][0]["spki_sha256"], "{pinned} is not the key of {tls}");
        Ok(pinned)
    };
    window.click("Connect").await?;
    window.says("The server certificate comes from an unknown issuer").await?;
    let before = pin().await?;

    // The same names, issuer and all, but another key.
    window.engine("disconnect", json!({ "id": id })).await?;
    serve(&current, &second)?;
    broker.restart();
    window.click("Connect").await?;
    window.says("presented another certificate than the pinned one").await?;
    window.says("It looks like a renewal with a new key").await?;
    let differs = window.js(DIFFERENT).await?;
    ensure!(differs == json!(["Key SHA-256", "Serial", "SHA-256"]), "{differs}");
    ensure!(last_attempt(&window, &id).await?.0 == "server_cert_pin_mismatch", "the code");
    window.shots("1-broken").await?;
    small(&window, "1-broken").await?;
    window.speak("简体中文").await?;
    window.says("固定").await?;
    window.shots("2-broken-zh").await?;
    small(&window, "2-broken-zh").await?;
    window.speak("English").await?;

    let after = pin().await?;
    ensure!(before != after, "{after}");
    window.shots("3-pinned-anew").await?;
    window.close().await
}

#[tokio::test(flavor = "multi_thread")]
async fn a_revoked_server_and_one_without_the_lowest_version_are_refused() -> Result<()> {
    let dir = tempfile::tempdir()?;
    let pki = Pki::make(dir.path());
    let server = pki.issue_server(dir.path(), "server-7", 7);
    let options = MosquittoOptions { server: Some(server), ..MosquittoOptions::default() };
    let broker = Mosquitto::start(&pki, &options);
    let older = Nginx::start(
        &pki,
        broker.ws,
        &NginxOptions {
            verify_client: VerifyClient::Off,
            required_header: None,
            protocols: "TLSv1.2",
            ..NginxOptions::default()
        },
    );
    let window = Window::open(&dir.path().join("data"), "server-trust", &[]).await?;

    // A list that does not name it, then one that does.
    let id = OverTls::wss(broker.wss, &pki.ca).save(&window, "Press line").await?;
    window.click("Press line").await?;
    for (name, serials, holds) in [("others", &[6, 8][..], "2 revoked"), ("this-one", &[7][..], "1 revoked")]
    {
        let list = pki.revocation_list(dir.path(), name, serials);
        window.press("Control+e").await?;
        window.click("Add revocation list").await?;
        dialog::choose("Revocation list", &list.display().to_string()).await?;
        window.says(&format!("{holds} by CN=Test CA")).await?;
        window.js("document.querySelector('[data-field=\"settings.trust.crl_files\"]').scrollIntoView({ block: 'center' }); return true").await?;
        window.shots(&format!("1-list-{name}")).await?;
        small(&window, &format!("1-list-{name}")).await?;
        window.click("Save and connect").await?;
        if name == "others" {
            window.until("connected", CONNECTED).await?;
            window.engine("disconnect", json!({ "id": id })).await?;
        }
    }
    window.says("The server certificate was revoked").await?;
    window.says("Its issuer CN=Test CA took it back; the server needs a new one").await?;
    ensure!(last_attempt(&window, &id).await?.0 == "server_cert_revoked", "the code");
    window.says("this-one.crl: revocation lists: 1").await?;
    window.shots("2-revoked").await?;
    small(&window, "2-revoked").await?;

    // What was agreed on is shown; what is too old is refused.
    OverTls::wss(broker.wss, &pki.ca).save(&window, "Newer").await?;
    agreed(&window, "Newer", ["TLS 1.3", "TLS13_AES_256_GCM_SHA384", "X25519"], "3-newer").await?;
    let id = OverTls::wss(older.port, &pki.ca).save(&window, "Older").await?;
    agreed(&window, "Older", ["TLS 1.2", "TLS_ECDHE_ECDSA_WITH_AES_256_GCM_SHA384", "X25519"], "4-older")
        .await?;
    window.press("Control+e").await?;
    window.click("Minimum version").await?;
    window.click("TLS 1.3").await?;
    window.shots("5-lowest").await?;
    window.click("Save and connect").await?;
    window.says("No TLS version in common").await?;
    window.says("The lowest version is set to TLS 1.3; the server likely speaks TLS 1.2 at most").await?;
    ensure!(last_attempt(&window, &id).await?.0 == "tls_version_unsupported", "the code");
    window.shots("6-refused").await?;
    small(&window, "6-refused").await?;
    window.speak("简体中文").await?;
    window.says("最低版本").await?;
    window.shots("7-refused-zh").await?;
    small(&window, "7-refused-zh").await?;
    window.close().await
}

/// Connects, and reads what TLS agreed on in the trace: version, cipher suite and the group of the key exchange.
async fn agreed(window: &Window, connection: &str, facts: [&str; 3], name: &str) -> Result<()> {
    window.click(connection).await?;
    window.click("Connect").await?;
    window.until("connected", CONNECTED).await?;
    window.press("Control+Shift+t").await?;
    let shown = "const block = document.querySelector('#stage-tls');\
        return block && ['Version', 'Cipher', 'Key exchange'].map((label) =>\
          [...block.querySelectorAll('dt')].find((term) => term.innerText === label)?.nextElementSibling.innerText.trim())";
    let shown = window.until("the facts of TLS", shown).await?;
    ensure!(shown == json!(facts), "{shown}");
    window.shots(name).await?;
    window.click("Disconnect").await
}
