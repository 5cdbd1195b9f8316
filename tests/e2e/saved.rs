//! Connections over TLS to servers on this computer, saved as the editor saves them, and what tests of them share.

use std::path::Path;

use anyhow::{Context as _, Result};
use serde_json::{Value, json};

use crate::window::Window;

/// Whether the window says of the selected connection that it is connected.
pub const CONNECTED: &str = "return /^Connected \\d/m.test(document.body.innerText)";

/// How a server is reached, and what is shown to it.
#[derive(Clone, Copy)]
pub struct OverTls<'a> {
    pub websocket: bool,
    pub port: u16,
    /// The only authority that is trusted; without one, those of this computer.
    pub ca: Option<&'a Path>,
    /// The files of certificate and private key; the second is empty for a bundle.
    pub client: Option<(&'a Path, &'a Path)>,
}

impl<'a> OverTls<'a> {
    /// Over wss, trusting this authority alone, without a certificate of its own.
    pub fn wss(port: u16, ca: &'a Path) -> Self {
        Self { websocket: true, port, ca: Some(ca), client: None }
    }

    /// The same with a certificate and its key.
    pub fn with(self, cert: &'a Path, key: &'a Path) -> Self {
        Self { client: Some((cert, key)), ..self }
    }

    /// Saves it; its id.
    pub async fn save(self, window: &Window, name: &str) -> Result<Value> {
        let mut draft = window.engine("new_draft", json!({})).await?;
        draft["name"] = json!(name);
        let path = if self.websocket { "/mqtt" } else { "" };
        draft["endpoint"] = json!({
            "websocket": self.websocket, "tls": true, "host": "localhost", "port": self.port.to_string(), "path": path,
        });
        if let Some(ca) = self.ca {
            draft["settings"]["trust"]["mode"] = json!("ca_only");
            draft["settings"]["trust"]["ca_files"] = json!([ca]);
        }
        if let Some((cert, key)) = self.client {
            draft["settings"]["client_certificate"] =
                json!({ "enabled": true, "cert_file": cert, "key_file": key });
        }
        let request = json!({ "draft": draft, "folder": null, "secrets": [] });
        Ok(window.engine("save_profile", request).await?["id"].clone())
    }
}

/// Clicks the button of the fix with this title.
pub async fn fix(window: &Window, title: &str) -> Result<()> {
    let click = format!(
        "const found = [...document.querySelectorAll('.fix')].find((fix) => fix.innerText.includes({}));\
         found?.querySelector('button').click(); return found !== undefined",
        json!(title)
    );
    window.until(title, &click).await.map(|_| ())
}

/// The last attempt's code of failure, null when there is none, and what it recorded of TLS.
pub async fn last_attempt(window: &Window, id: &Value) -> Result<(Value, Value)> {
    let trace = window.engine("traces", json!({ "id": id })).await?[0].clone();
    let stages = trace["stages"].as_array().context("stages")?;
    let tls = stages.iter().find(|stage| stage["stage"] == "tls").context("TLS")?;
    Ok((trace["verdict"]["failure"]["code"].clone(), tls["detail"].clone()))
}

/// The certificates of a PEM file, as bytes.
pub fn der(file: &Path) -> Result<Vec<Vec<u8>>> {
    use rustls_pki_types::{CertificateDer, pem::PemObject as _};
    CertificateDer::pem_file_iter(file)?.map(|certificate| Ok(certificate.context("PEM")?.to_vec())).collect()
}
