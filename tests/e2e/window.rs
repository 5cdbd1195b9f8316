//! The real window under test: the built binary in WebKitGTK, driven through WebKitWebDriver. Everything it
//! starts is ended when the value is dropped, also when a test fails.

use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::Duration;

use anyhow::{Context, Result, bail};
use fantoccini::actions::{
    InputSource as _, KeyAction, KeyActions, MOUSE_BUTTON_LEFT, MouseActions, PointerAction,
};
use fantoccini::elements::Element;
use fantoccini::key::Key;
use fantoccini::{Client, ClientBuilder, Locator};
use hyper_util::client::legacy::connect::HttpConnector;
use serde_json::{Value, json};
use tokio::time::{Instant, sleep, timeout};

use crate::brokers::free_port;
use crate::picture;
use crate::private_session::Session;

/// How long anything in the window may take before the test gives up on it.
pub const PATIENCE: Duration = Duration::from_secs(20);
/// How many elements Tab may pass on its way.
const TABS: usize = 60;

/// An open window.
pub struct Window {
    client: Client,
    driver: Driver,
    shots: PathBuf,
    data: PathBuf,
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
        let window = Self::start(data, shots, args).await?;
        window.find("[data-ready=true]").await?;
        // Nobody is asked where secrets shall be kept, in tests of something else.
        window.engine("choose_vault", json!({ "keep": "session", "passphrase": null })).await?;
        Ok(window)
    }

    /// Starts the binary in a session of its own, where it may use the keyring; `environment` is what else it sees.
    pub async fn open_in(
        session: &Session,
        data: &Path,
        shots: &str,
        environment: &[(&str, &Path)],
    ) -> Result<Self> {
        let enter = |command: &mut Command| {
            session.enter(command);
            command.envs(environment.iter().copied());
        };
        let window = Self::start_with(data, shots, &[], enter).await?;
        window.find("[data-ready=true]").await?;
        Ok(window)
    }

    /// As [`Self::open`], with what it logs in a file.
    pub async fn open_logged(data: &Path, shots: &str, log: &Path) -> Result<Self> {
        let file = std::fs::File::create(log)?;
        let logs = |command: &mut Command| {
            command.env("HELIOGRAPH_LOG", "info").env("NO_COLOR", "1").stderr(file);
        };
        let window = Self::start_with(data, shots, &[], logs).await?;
        window.find("[data-ready=true]").await?;
        window.engine("choose_vault", json!({ "keep": "session", "passphrase": null })).await?;
        Ok(window)
    }

    /// Starts the binary, which may not get far.
    pub async fn start(data: &Path, shots: &str, args: &[&str]) -> Result<Self> {
        Self::start_with(data, shots, args, |_| {}).await
    }

    async fn start_with(
        data: &Path,
        shots: &str,
        args: &[&str],
        change: impl FnOnce(&mut Command),
    ) -> Result<Self> {
        let driver_port = free_port();
        let driver = {
            use std::os::unix::process::CommandExt as _;
            let mut command = Command::new("WebKitWebDriver");
            command
                .args([format!("--port={driver_port}"), "--host=127.0.0.1".into()])
                .env("TAURI_AUTOMATION", "true")
                .env("TAURI_WEBVIEW_AUTOMATION", "true")
                .env("LANG", "C.UTF-8")
                .env("LANGUAGE", "en")
                // The keyring of whoever runs the tests is left alone.
                .env("HELIOGRAPH_KEYRING", "off")
                // As on a computer where nobody has set them.
                .env_remove("WEBKIT_DISABLE_DMABUF_RENDERER")
                .env_remove("WEBKIT_DISABLE_COMPOSITING_MODE")
                .stdin(Stdio::null())
                .process_group(0);
            change(&mut command);
            command.spawn().context("WebKitWebDriver (package webkit2gtk-driver)")?
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
            let mut builder = ClientBuilder::new(connector);
            let connecting = builder.capabilities(capabilities.clone()).connect(&url);
            // Of a window that ended while it started, the driver says nothing.
            match timeout(PATIENCE, connecting).await.context("the window does not start")? {
                Ok(client) => break client,
                Err(_) if started.elapsed() < PATIENCE => sleep(Duration::from_millis(50)).await,
                Err(error) => return Err(error).context("a WebDriver session"),
            }
        };
        let shots = Path::new(env!("CARGO_MANIFEST_DIR")).join("target/e2e").join(shots);
        std::fs::create_dir_all(&shots)?;
        Ok(Self { client, driver, shots, data: data.to_owned() })
    }

    /// The element, once it is there and shown.
    pub async fn find(&self, css: &str) -> Result<Element> {
        self.appears(Locator::Css(css)).await
    }

    async fn appears(&self, place: Locator<'_>) -> Result<Element> {
        let started = Instant::now();
        loop {
            for element in self.client.find_all(place).await.unwrap_or_default() {
                if element.is_displayed().await.unwrap_or(false) {
                    return Ok(element);
                }
            }
            if started.elapsed() > PATIENCE {
                self.shot("not-found").await.ok();
                let text = self.js("return document.body.innerText").await.unwrap_or_default();
                bail!("{place:?} did not appear; see {}\n{text}", self.shots.display());
            }
            sleep(Duration::from_millis(25)).await;
        }
    }

    /// Clicks what can be clicked and is called so: a button, a switch, a tab, an item. Its text or label starts
    /// with `name`.
    pub async fn click(&self, name: &str) -> Result<()> {
        let roles = ["button", "menuitem", "option", "radio", "switch", "tab", "treeitem"]
            .map(|role| format!("@role='{role}'"))
            .join(" or ");
        let path = format!(
            "//*[self::button or {roles}][starts-with(normalize-space(.), \"{name}\") or @aria-label=\"{name}\"]"
        );
        self.click_at(Locator::XPath(&path)).await
    }

    /// Clicks the element, once it is there and shown.
    pub async fn click_css(&self, css: &str) -> Result<()> {
        self.click_at(Locator::Css(css)).await
    }

    async fn click_at(&self, place: Locator<'_>) -> Result<()> {
        let started = Instant::now();
        loop {
            match self.appears(place).await?.click().await {
                // It was drawn anew, or something was still in front of it: looked for once more.
                Err(_) if started.elapsed() < PATIENCE => sleep(Duration::from_millis(25)).await,
                clicked => return Ok(clicked?),
            }
        }
    }

    /// Replaces the text of the field that is called so.
    pub async fn fill(&self, label: &str, text: &str) -> Result<()> {
        let path =
            format!("//*[self::input or self::textarea or @contenteditable='true'][@aria-label=\"{label}\"]");
        let field = self.appears(Locator::XPath(&path)).await?;
        field.clear().await?;
        Ok(field.send_keys(text).await?)
    }

    /// Presses keys together, as in `Control+Shift+t`, wherever the focus is.
    pub async fn press(&self, keys: &str) -> Result<()> {
        let keys: Vec<char> = keys.split('+').map(key).collect::<Result<_>>()?;
        let down = keys.iter().map(|&value| KeyAction::Down { value });
        let up = keys.iter().rev().map(|&value| KeyAction::Up { value });
        self.keys(down.chain(up)).await
    }

    /// Types text, wherever the focus is.
    pub async fn write(&self, text: &str) -> Result<()> {
        self.keys(text.chars().flat_map(|value| [KeyAction::Down { value }, KeyAction::Up { value }])).await
    }

    async fn keys(&self, actions: impl Iterator<Item = KeyAction>) -> Result<()> {
        let all = actions.fold(KeyActions::new("keyboard".into()), KeyActions::then);
        Ok(self.client.perform_actions(all).await?)
    }

    /// Presses the mouse at a place of the page, and moves it to others while the button is down.
    pub async fn drag(&self, from: (f64, f64), over: &[(f64, f64)]) -> Result<()> {
        let to = |(x, y): (f64, f64)| PointerAction::MoveTo { duration: None, x, y };
        let mut all = vec![to(from), PointerAction::Down { button: MOUSE_BUTTON_LEFT }];
        all.extend(over.iter().map(|&place| to(place)));
        self.mouse(all).await
    }

    /// Lets the button of the mouse go.
    pub async fn drop(&self) -> Result<()> {
        self.mouse(vec![PointerAction::Up { button: MOUSE_BUTTON_LEFT }]).await
    }

    async fn mouse(&self, actions: Vec<PointerAction>) -> Result<()> {
        let all = actions.into_iter().fold(MouseActions::new("mouse".into()), MouseActions::then);
        Ok(self.client.perform_actions(all).await?)
    }

    /// A place in what a script returns, in pixels of the page: `x` and `y` are parts of its width and height.
    pub async fn place(&self, element: &str, x: f64, y: f64) -> Result<(f64, f64)> {
        let script = format!(
            "const box = ({element})?.getBoundingClientRect(); return box && [box.x, box.y, box.width, box.height]"
        );
        let found = self.until(element, &script).await?;
        let [left, top, width, height] = [0, 1, 2, 3].map(|at| found[at].as_f64().unwrap_or_default());
        Ok((left + width * x, top + height * y))
    }

    /// Waits until a text can be read in the window.
    pub async fn says(&self, text: &str) -> Result<()> {
        let wanted = json!(text);
        let script = format!("return document.body.innerText.includes({wanted})");
        self.until(text, &script).await.map(|_| ())
    }

    /// What has the focus: its label or its text.
    pub async fn focused(&self) -> Result<String> {
        let script = "const e = document.activeElement;\
                      return e === document.body ? '' : e.getAttribute('aria-label') || e.innerText || e.tagName";
        Ok(self.js(script).await?.as_str().unwrap_or_default().to_owned())
    }

    /// Presses Tab until what has the focus is called so.
    pub async fn tab_to(&self, name: &str) -> Result<()> {
        let mut passed = Vec::new();
        for _ in 0..TABS {
            let focused = self.focused().await?;
            if focused.trim_start().starts_with(name) {
                return Ok(());
            }
            passed.push(focused);
            self.press("Tab").await?;
        }
        bail!("Tab does not reach {name:?}, but {passed:?}")
    }

    /// Presses Tab until this element has the focus.
    pub async fn tab_to_css(&self, css: &str) -> Result<()> {
        let there = format!("return document.activeElement.matches({})", json!(css));
        for _ in 0..TABS {
            if self.js(&there).await? == json!(true) {
                return Ok(());
            }
            self.press("Tab").await?;
        }
        bail!("Tab does not reach {css}")
    }

    /// The inner size of the window, in CSS pixels.
    pub async fn resize(&self, width: u32, height: u32) -> Result<()> {
        self.client.set_window_size(width, height).await?;
        let there = format!("return innerWidth === {width} && innerHeight === {height}");
        self.until("the new size", &there).await.map(|_| ())
    }

    /// Answers of the engine, asked as the window asks.
    pub async fn engine(&self, command: &str, arguments: Value) -> Result<Value> {
        let script = "const [command, asked, done] = arguments;\
                      window.__TAURI_INTERNALS__.invoke(command, asked).then(\
                        (answer) => done({ answer: answer instanceof ArrayBuffer ? [...new Uint8Array(answer)] : answer ?? null }),\
                        (error) => done({ error }))";
        let told = self.client.execute_async(script, vec![json!(command), arguments]).await?;
        match told.get("error") {
            None => Ok(told["answer"].clone()),
            Some(error) => bail!("{command}: {error}"),
        }
    }

    /// Waits until a script returns something true, and hands that back.
    pub async fn until(&self, what: &str, script: &str) -> Result<Value> {
        let started = Instant::now();
        loop {
            // A script may look for something in what is not drawn yet.
            let found = self.js(script).await;
            if found.as_ref().is_ok_and(is_true) {
                return found;
            }
            if started.elapsed() > PATIENCE {
                self.shot("waited-in-vain").await.ok();
                let text = self.js("return document.body.innerText").await.unwrap_or_default();
                bail!("{what}: waited in vain, {found:?} at last; see {}\n{text}", self.shots.display());
            }
            sleep(Duration::from_millis(25)).await;
        }
    }

    /// Runs a script that hands its result to its last argument.
    #[allow(dead_code, reason = "for the figures of the window")]
    pub async fn later(&self, script: &str, arguments: Vec<Value>) -> Result<Value> {
        Ok(self.client.execute_async(script, arguments).await?)
    }

    /// The process of the window.
    #[allow(dead_code, reason = "for the figures of the window")]
    pub fn process(&self) -> Result<u32> {
        running_on(&self.data)?.context("the window's process")
    }

    /// The window in another language, then back to where it was.
    pub async fn speak(&self, language: &str) -> Result<()> {
        self.press("Control+,").await?;
        self.click(language).await?;
        self.press("Escape").await
    }

    /// Runs a script in the window.
    pub async fn js(&self, script: &str) -> Result<Value> {
        Ok(self.client.execute(script, Vec::new()).await?)
    }

    /// A picture, after what was asked for has been painted. Kept as test output.
    pub async fn shot(&self, name: &str) -> Result<()> {
        let painted = "const done = arguments[arguments.length - 1];\
                       const fading = document.getAnimations().filter((a) => a instanceof CSSTransition);\
                       Promise.allSettled(fading.map((a) => a.finished)).then(() =>\
                         requestAnimationFrame(() => requestAnimationFrame(() => setTimeout(done, 0))))";
        self.client.execute_async(painted, Vec::new()).await?;
        picture::take(&self.shots.join(format!("{name}.png"))).await
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

    /// Closes the window as a person does, and waits until its process has ended.
    pub async fn close(self) -> Result<()> {
        let Self { client, driver, data, .. } = self;
        let quit = KeyActions::new("keyboard".into())
            .then(KeyAction::Down { value: Key::Control.into() })
            .then(KeyAction::Down { value: 'q' });
        let quit = client.perform_actions(quit);
        tokio::pin!(quit);
        let mut answered = false;
        let started = Instant::now();
        while running_on(&data)?.is_some() {
            if started.elapsed() > PATIENCE {
                bail!("the window does not close");
            }
            // The driver may never answer for a window that is gone.
            tokio::select! {
                _ = &mut quit, if !answered => answered = true,
                () = sleep(Duration::from_millis(25)) => {}
            }
        }
        drop(driver);
        Ok(())
    }
}

/// Whether JavaScript would call it true.
fn is_true(value: &Value) -> bool {
    !matches!(value, Value::Null | Value::Bool(false)) && *value != json!("") && *value != json!(0)
}

/// The process that was started with this folder.
fn running_on(data: &Path) -> Result<Option<u32>> {
    let data = data.as_os_str().as_encoded_bytes();
    for process in std::fs::read_dir("/proc")? {
        let process = process?;
        let line = std::fs::read(process.path().join("cmdline")).unwrap_or_default();
        if line.split(|&byte| byte == 0).any(|argument| argument == data) {
            return Ok(process.file_name().to_str().and_then(|name| name.parse().ok()));
        }
    }
    Ok(None)
}

/// A key by its name, or the character that it types.
fn key(name: &str) -> Result<char> {
    let named = match name {
        "Control" => Key::Control,
        "Shift" => Key::Shift,
        "Alt" => Key::Alt,
        "Enter" => Key::Enter,
        "Escape" => Key::Escape,
        "Tab" => Key::Tab,
        "Up" => Key::Up,
        "Down" => Key::Down,
        "Left" => Key::Left,
        "Right" => Key::Right,
        "Home" => Key::Home,
        "End" => Key::End,
        "PageDown" => Key::PageDown,
        "PageUp" => Key::PageUp,
        "Delete" => Key::Delete,
        "F2" => Key::F2,
        "F6" => Key::F6,
        "F8" => Key::F8,
        "F10" => Key::F10,
        "Space" => return Ok(' '),
        other => {
            let mut letters = other.chars();
            let (Some(letter), None) = (letters.next(), letters.next()) else { bail!("no key {other}") };
            return Ok(letter);
        }
    };
    Ok(named.into())
}
