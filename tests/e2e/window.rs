//! The real window under test: the built binary in WebKitGTK, driven through WebKitWebDriver. Everything it
//! starts is ended when the value is dropped, also when a test fails.

use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::Duration;

use anyhow::{Context, Result, bail};
use fantoccini::elements::Element;
use fantoccini::{Client, ClientBuilder, Locator};
use hyper_util::client::legacy::connect::HttpConnector;
use serde_json::{Value, json};
use tokio::time::{Instant, sleep};

/// How long anything in the window may take before the test gives up on it.
pub const PATIENCE: Duration = Duration::from_secs(20);

/// An open window.
pub struct Window {
    /// The session; `None` once closed.
    client: Client,
    driver: Driver,
    shots: PathBuf,
}

struct Driver(Child);

impl Drop for Driver {
    fn drop(&mut self) {
        // The driver ends the window it started; its process group takes what is left.
        let _ = Command::new("kill").args(["--", &format!("-{}", self.0.id())]).status();
        let _ = self.0.wait();
    }
}

impl Window {
    /// Starts the binary with its data in `data`, and waits until the window is usable.
    pub async fn open(data: &Path, shots: &str, args: &[&str]) -> Result<Self> {
        let driver_port = free_port()?;
        let driver = {
            use std::os::unix::process::CommandExt as _;
            Command::new("WebKitWebDriver")
                .args([format!("--port={driver_port}"), "--host=127.0.0.1".into()])
                .env("TAURI_AUTOMATION", "true")
                .env("TAURI_WEBVIEW_AUTOMATION", "true")
                .env("LANG", "C.UTF-8")
                .env("LANGUAGE", "en")
                // WebDriver's screenshots hang with these.
                .env_remove("WEBKIT_DISABLE_DMABUF_RENDERER")
                .env_remove("WEBKIT_DISABLE_COMPOSITING_MODE")
                .stdin(Stdio::null())
                .process_group(0)
                .spawn()
                .context("WebKitWebDriver (package webkit2gtk-driver)")?
        };
        let driver = Driver(driver);
        let mut all = vec!["--data-dir".to_owned(), data.display().to_string()];
        all.extend(args.iter().map(|&arg| arg.to_owned()));
        let binary = env!("CARGO_BIN_EXE_heliograph");
        let capabilities = json!({"webkitgtk:browserOptions": {"binary": binary, "args": all}});
        let Value::Object(capabilities) = capabilities else { bail!("capabilities") };
        let url = format!("http://127.0.0.1:{driver_port}");
        let started = Instant::now();
        let client = loop {
            let connector = HttpConnector::new();
            match ClientBuilder::new(connector).capabilities(capabilities.clone()).connect(&url).await {
                Ok(client) => break client,
                Err(_) if started.elapsed() < PATIENCE => sleep(Duration::from_millis(50)).await,
                Err(error) => return Err(error).context("a WebDriver session"),
            }
        };
        let shots = Path::new(env!("CARGO_MANIFEST_DIR")).join("target/e2e").join(shots);
        std::fs::create_dir_all(&shots)?;
        let window = Self { client, driver, shots };
        window.find("[data-ready=true]").await?;
        Ok(window)
    }

    /// The element, once it is there and shown.
    pub async fn find(&self, css: &str) -> Result<Element> {
        let started = Instant::now();
        loop {
            if let Ok(element) = self.client.find(Locator::Css(css)).await
                && element.is_displayed().await.unwrap_or(false)
            {
                return Ok(element);
            }
            if started.elapsed() > PATIENCE {
                self.shot("not-found").await.ok();
                bail!("{css} did not appear; see {}", self.shots.display());
            }
            sleep(Duration::from_millis(25)).await;
        }
    }

    /// Waits until a script returns something true, and hands that back.
    pub async fn until(&self, what: &str, script: &str) -> Result<Value> {
        let started = Instant::now();
        loop {
            let value = self.js(script).await?;
            if !matches!(value, Value::Null | Value::Bool(false)) && value != json!("") && value != json!(0) {
                return Ok(value);
            }
            if started.elapsed() > PATIENCE {
                self.shot("waited-in-vain").await.ok();
                let text = self.js("return document.body.innerText").await.unwrap_or_default();
                bail!("{what}: waited in vain; see {}\n{text}", self.shots.display());
            }
            sleep(Duration::from_millis(25)).await;
        }
    }

    /// Runs a script in the window.
    pub async fn js(&self, script: &str) -> Result<Value> {
        Ok(self.client.execute(script, Vec::new()).await?)
    }

    /// A picture, after what was asked for has been painted. Kept as test output.
    pub async fn shot(&self, name: &str) -> Result<()> {
        let painted = "const done = arguments[arguments.length - 1];\
                       requestAnimationFrame(() => requestAnimationFrame(() => setTimeout(done, 0)))";
        self.client.execute_async(painted, Vec::new()).await?;
        let png = self.client.screenshot().await?;
        std::fs::write(self.shots.join(format!("{name}.png")), png)?;
        Ok(())
    }

    /// The same picture in both themes.
    pub async fn shots(&self, name: &str) -> Result<()> {
        for theme in ["dark", "light"] {
            let set = format!("document.documentElement.dataset.theme = '{theme}'");
            self.js(&set).await?;
            self.shot(&format!("{name}-{theme}")).await?;
        }
        Ok(())
    }

    /// Ends the window as closing it does.
    pub async fn close(self) -> Result<()> {
        self.client.close().await?;
        drop(self.driver);
        Ok(())
    }
}

fn free_port() -> Result<u16> {
    Ok(std::net::TcpListener::bind(("127.0.0.1", 0))?.local_addr()?.port())
}
