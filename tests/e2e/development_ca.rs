//! The development CA in the real window: it is made, issues for servers and clients as PEM and PKCS#12, and real servers
//! run with exactly the lines that the window shows, and are connected to with what it issued.

use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::{Context as _, Result, bail, ensure};
use serde_json::json;

use crate::brokers::{Mosquitto, MosquittoOptions, Pki, Process, free_port};
use crate::keyboard::{OVERFLOWS, clipboard};
use crate::saved::{CONNECTED, OverTls};
use crate::window::Window;

const PASSPHRASE: &str = "canary of the device";
/// The port of the lines as they are shown.
const PORT: &str = "8883";

/// What the window says of a certificate that it issued.
struct Issued {
    cert: String,
    /// Empty for a bundle.
    key: String,
    ca: String,
}

/// Fills the form and issues; what was issued comes into view, for this name and with these names.
async fn issue(window: &Window, name: &str, names: &str, sans: &str) -> Result<Issued> {
    for (field, text) in [(1, name), (2, names)] {
        let label =
            format!("return document.querySelectorAll('#library-ca .issue input')[{}].ariaLabel", field - 1);
        window.fill(window.js(&label).await?.as_str().context("a label")?, text).await?;
    }
    window.click_css("#library-ca .issue [type=submit]").await?;
    let shown = format!(
        "const issued = document.querySelector('.issued');\
         const seen = issued && issued.getBoundingClientRect().top < innerHeight - 100;\
         return seen && issued.innerText.includes('CN={name}') && issued.innerText.includes({})\
           && [...issued.querySelectorAll('.path')].map((path) => path.innerText)",
        json!(sans)
    );
    let files = window.until(&format!("the certificate of {name}"), &shown).await?;
    let files: Vec<String> = serde_json::from_value(files)?;
    match files.as_slice() {
        [cert, key, ca] => Ok(Issued { cert: cert.clone(), key: key.clone(), ca: ca.clone() }),
        [cert, ca] => Ok(Issued { cert: cert.clone(), key: String::new(), ca: ca.clone() }),
        _ => bail!("{files:?}"),
    }
}

/// The commands and the lines that are shown for a server.
async fn shown(window: &Window, server: &str) -> Result<(Option<String>, String)> {
    window.click(server).await?;
    let chosen = format!(
        "return document.querySelector('.issued [role=radio][aria-checked=true]')?.innerText === '{server}'\
           && [...document.querySelectorAll('.issued pre')].map((block) => block.innerText)"
    );
    let blocks: Vec<String> = serde_json::from_value(window.until(server, &chosen).await?)?;
    match <[String; 2]>::try_from(blocks) {
        Ok([commands, lines]) => Ok((Some(commands), lines)),
        Err(blocks) => Ok((None, blocks.into_iter().next().context("lines")?)),
    }
}

/// A server that runs with these lines, on a port of its own.
fn run(name: &'static str, command: &mut Command, dir: &Path, config: &str) -> Result<(Process, u16)> {
    let port = free_port();
    let file = dir.join(format!("{name}.conf"));
    std::fs::write(&file, config.replace(PORT, &port.to_string()))?;
    let mut process = Process::spawn(name, command.arg("-c").arg(&file), dir);
    process.wait_for(&[port]).map_err(anyhow::Error::msg)?;
    Ok((process, port))
}

fn mosquitto(dir: &Path, lines: &str) -> Result<(Process, u16)> {
    // The key is its owner's alone; started by root, mosquitto would become somebody else. Version 2.0.11 does not start
    // with nothing but WebSocket listeners.
    let own = format!("log_type all\nuser root\nlistener {} 127.0.0.1\n", free_port());
    run("mosquitto", &mut Command::new("mosquitto"), dir, &format!("{own}{lines}"))
}

fn nginx(dir: &Path, lines: &str, upstream: u16) -> Result<(Process, u16)> {
    let module = PathBuf::from("/usr/lib/nginx/modules/ngx_stream_module.so");
    let load = if module.exists() { format!("load_module {};", module.display()) } else { String::new() };
    let lines = lines.replace("127.0.0.1:1883", &format!("127.0.0.1:{upstream}"));
    let own = format!("daemon off; master_process off; pid {0}/nginx.pid; events {{}}", dir.display());
    let mut command = Command::new("nginx");
    command.arg("-p").arg(dir).arg("-e").arg(dir.join("nginx-error.log"));
    run("nginx", &mut command, dir, &format!("{load}\n{own}\n{lines}"))
}

/// A part of the page, at both sizes and in both themes, with nothing cut off.
async fn pictures(window: &Window, part: &str, name: &str) -> Result<()> {
    for (width, height, size) in [(1440, 900, ""), (900, 600, "-small")] {
        window.resize(width, height).await?;
        let show =
            format!("document.querySelector('{part}').scrollIntoView({{ block: 'start' }}); return true");
        window.js(&show).await?;
        window.shots(&format!("{name}{size}")).await?;
        let cut = window.js(OVERFLOWS).await?;
        ensure!(cut == json!(""), "{name} at {width}: {cut}");
    }
    window.resize(1440, 900).await
}

#[tokio::test(flavor = "multi_thread")]
async fn servers_run_with_the_lines_that_are_shown_and_take_what_was_issued() -> Result<()> {
    let dir = tempfile::tempdir()?;
    let window = Window::open(&dir.path().join("data"), "development-ca", &[]).await?;
    window.press("Control+Shift+k").await?;
    window.click("Development CA").await?;
    pictures(&window, "#library-ca", "1-none").await?;
    window.fill("Common name", "Plant CA").await?;
    window.click("Create CA").await?;
    window.says("CN=Plant CA").await?;

    // What cannot be a name is said beside the form, and announced.
    window.fill("More names", "press hall_7?").await?;
    window.click("Issue certificate").await?;
    let refused = "return [...document.querySelectorAll('#library-ca .issue [role=alert]')]\
                   .some((said) => said.innerText.includes('“hall_7?” cannot be a name in a certificate'))";
    window.until("the refusal", refused).await?;
    pictures(&window, "#library-ca", "2-refused").await?;

    let names = "127.0.0.1 *.plant.example ::1";
    let sans = "DNS:localhost, IP:127.0.0.1, DNS:*.plant.example, IP:::1";
    let server = issue(&window, "localhost", names, sans).await?;
    let (_, for_mosquitto) = shown(&window, "mosquitto").await?;
    pictures(&window, ".issued", "3-server").await?;
    let (_, for_nginx) = shown(&window, "nginx").await?;
    pictures(&window, ".issued [role=radiogroup]", "4-nginx").await?;
    let (_, for_emqx) = shown(&window, "EMQX").await?;
    pictures(&window, ".issued [role=radiogroup]", "5-emqx").await?;
    let (commands, for_hivemq) = shown(&window, "HiveMQ").await?;
    pictures(&window, ".issued [role=radiogroup]", "6-hivemq").await?;
    for lines in [&for_mosquitto, &for_nginx, &for_emqx] {
        ensure!(
            lines.contains(&server.cert) && lines.contains(&server.key) && lines.contains(&server.ca),
            "{lines}"
        );
    }
    ensure!(
        commands.is_some_and(|text| text.contains(&server.cert)) && for_hivemq.contains(".jks"),
        "{for_hivemq}"
    );

    window.click("A client").await?;
    let names = "press-7.plant.example urn:plant:7 me@plant.example 10.0.0.7";
    let sans = "DNS:press-7.plant.example, URI:urn:plant:7, email:me@plant.example, IP:10.0.0.7";
    let device = issue(&window, "press-7", names, sans).await?;
    ensure!(device.key.ends_with("press-7.key"), "{}", device.key);
    pictures(&window, ".issued", "7-client").await?;
    window.press("Control+,").await?;
    window.click("简体中文").await?;
    window.press("Control+Shift+k").await?;
    window.click("开发用 CA").await?;
    // Who goes elsewhere finds what was issued when they come back.
    window.says(&device.key).await?;
    window.click_css("#library-ca .issue [role=radio]:last-child").await?;
    window.click("使用单个 PKCS #12 证书包").await?;
    window.fill("口令", PASSPHRASE).await?;
    let bundle = issue(&window, "press-8", "press-8.plant.example", "DNS:press-8.plant.example").await?;
    ensure!(bundle.cert.ends_with("press-8.p12") && bundle.key.is_empty(), "{}", bundle.cert);
    pictures(&window, "#library-ca .issue", "8-bundle-zh").await?;
    window.speak("English").await?;

    let plain = Mosquitto::start(&Pki::make(&made(dir.path(), "pki")?), &MosquittoOptions::default());
    let wss = for_mosquitto.replace("# protocol websockets", "protocol websockets");
    ensure!(wss != for_mosquitto, "the line that makes it wss: {for_mosquitto}");
    let servers = [
        ("Over mqtts", false, mosquitto(&made(dir.path(), "mqtts")?, &for_mosquitto)?),
        ("Over wss", true, mosquitto(&made(dir.path(), "wss")?, &wss)?),
        ("Behind nginx", false, nginx(&made(dir.path(), "nginx")?, &for_nginx, plain.mqtt)?),
    ];
    for (name, websocket, (process, port)) in &servers {
        let ca = Some(Path::new(&server.ca));
        let anybody = OverTls { websocket: *websocket, port: *port, ca, client: None };
        for (issued, who) in [(&device, "press-7"), (&bundle, "press-8")] {
            let name = format!("{name} as {who}");
            anybody.with(Path::new(&issued.cert), Path::new(&issued.key)).save(&window, &name).await?;
            window.click(&name).await?;
            window.click("Connect").await?;
            if who == "press-8" {
                window.fill("Passphrase of the private key", PASSPHRASE).await?;
                window.press("Enter").await?;
            }
            window.until(&name, CONNECTED).await?;
            let log = process.log();
            ensure!(
                name.contains("nginx") || log.contains(&format!("u'{who}'")),
                "{who} is not known:\n{log}"
            );
            window.shots(&format!("connected {name}").replace(' ', "-")).await?;
            window.click("Disconnect").await?;
        }
        // Without a certificate nobody gets in.
        let nobody = format!("{name} as nobody");
        anybody.save(&window, &nobody).await?;
        window.click(&nobody).await?;
        window.click("Connect").await?;
        window.until(&nobody, "return /Failed at/.test(document.body.innerText)").await?;
    }
    window.close().await
}

fn made(dir: &Path, name: &str) -> Result<PathBuf> {
    let folder = dir.join(name);
    std::fs::create_dir(&folder)?;
    Ok(folder)
}

/// The focus is on an element with this name.
async fn focus_is_on(window: &Window, name: &str) -> Result<()> {
    let there = format!(
        "const here = document.activeElement; return (here.ariaLabel ?? here.innerText).trim().startsWith({})",
        json!(name)
    );
    window.until(&format!("the focus on {name}"), &there).await.map(|_| ())
}

/// Every step without the mouse, at the smallest size and in Chinese: the CA, a client's bundle, a server's lines copied.
#[tokio::test(flavor = "multi_thread")]
async fn a_ca_is_made_and_issues_by_keyboard_alone() -> Result<()> {
    let dir = tempfile::tempdir()?;
    let window = Window::open(&dir.path().join("data"), "development-ca-keys", &[]).await?;
    window.speak("简体中文").await?;
    window.resize(900, 600).await?;
    window.press("Control+Shift+k").await?;
    window.says("开发用 CA").await?;
    window.tab_to("通用名称").await?;
    window.press("Control+a").await?;
    window.write("Plant CA").await?;
    window.press("Enter").await?;
    // The field is gone; the focus goes on to what is next.
    focus_is_on(&window, "服务器").await?;
    window.shots("1-made").await?;

    window.press("Right").await?;
    focus_is_on(&window, "客户端").await?;
    window.tab_to("通用名称").await?;
    window.press("Control+a").await?;
    window.write("press-7").await?;
    window.tab_to("使用单个 PKCS #12 证书包").await?;
    window.press("Space").await?;
    window.tab_to("口令").await?;
    window.write(PASSPHRASE).await?;
    window.press("Enter").await?;
    window.says("press-7.p12").await?;
    window.shots("2-bundle").await?;

    window.tab_to_css("#library-ca .issue [role=radio]").await?;
    window.press("Left").await?;
    focus_is_on(&window, "服务器").await?;
    window.tab_to("使用单个 PKCS #12 证书包").await?;
    window.press("Space").await?;
    window.press("Shift+Tab").await?;
    focus_is_on(&window, "天数").await?;
    window.press("Enter").await?;
    window.says("localhost.key").await?;
    window.tab_to("mosquitto").await?;
    window.press("Right").await?;
    focus_is_on(&window, "EMQX").await?;
    window.tab_to("复制").await?;
    window.shots("3-lines").await?;
    window.press("Enter").await?;
    window.says("已复制").await?;
    let copied = clipboard()?;
    ensure!(copied.contains("fail_if_no_peer_cert") && copied.contains("localhost.key"), "{copied}");
    window.close().await
}
