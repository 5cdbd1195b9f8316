//! Starts the process: one instance, the engine, the window, and a clean end.

use std::ffi::OsString;
use std::io::Write as _;
use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::time::Duration;

use heliograph_engine::Engine;
use heliograph_engine::error::{Error, ErrorCode};
use heliograph_engine::logging;
use heliograph_engine::paths::default_data_dir;
use tauri::{AppHandle, Emitter, Manager, RunEvent, WebviewUrl, WebviewWindowBuilder, Window, WindowEvent};

use crate::{commands, drawing, events};

/// A page that hangs does not keep the window open.
const CLOSES_WITHIN: Duration = Duration::from_secs(1);

/// What the command line of the window asks for.
#[derive(Default)]
struct Options {
    demo: bool,
    no_gpu: bool,
    data_dir: Option<PathBuf>,
}

impl Options {
    fn from_args(mut args: impl Iterator<Item = OsString>) -> Result<Self, Words> {
        let mut options = Self::default();
        while let Some(arg) = args.next() {
            match arg.to_str() {
                Some("--demo") => options.demo = true,
                Some("--no-gpu") => options.no_gpu = true,
                Some("--data-dir") => {
                    let dir = args.next().ok_or_else(|| Words::Wrong("--data-dir wants a folder".into()))?;
                    options.data_dir = Some(PathBuf::from(dir));
                }
                Some("--version") => {
                    return Err(Words::Asked(concat!("heliograph ", env!("CARGO_PKG_VERSION"))));
                }
                Some("--help") => return Err(Words::Asked(USAGE)),
                _ => {
                    let other = arg.display();
                    return Err(Words::Wrong(format!("{other} is not an option of heliograph\n{USAGE}")));
                }
            }
        }
        Ok(options)
    }
}

/// What is said instead of opening a window.
enum Words {
    Asked(&'static str),
    Wrong(String),
}

const USAGE: &str = "heliograph [--demo] [--data-dir FOLDER] [--no-gpu] [--version] [--help]

  --demo             start the local broker and simulated devices, and connect to them
  --data-dir FOLDER  keep connections and messages there
  --no-gpu           draw without the graphics card, when its driver leaves the window blank";

const NO_DISPLAY: &str = "Heliograph cannot start: no display can be opened. Start it in a desktop session, or set DISPLAY \
                          or WAYLAND_DISPLAY to one. helio does the same on the command line, without a display.";

/// What the engine is opened with. It is there once that went well; until then the window calls nothing else.
pub(crate) struct Start {
    data_dir: PathBuf,
    demo: bool,
    turn: tauri::async_runtime::Mutex<()>,
}

impl Start {
    /// Opens the engine, unless it is open, and sets it to work.
    ///
    /// # Errors
    /// `storage`: the data folder cannot be used now; asked again, it is tried again.
    pub(crate) async fn engine(&self, app: &AppHandle) -> Result<(), Error> {
        let _turn = self.turn.lock().await;
        if app.try_state::<Engine>().is_some() {
            return Ok(());
        }
        let data_dir = self.data_dir.clone();
        let engine = tauri::async_runtime::spawn_blocking(move || Engine::open(&data_dir))
            .await
            .map_err(|error| Error::new(ErrorCode::Internal, error.to_string()))??;
        app.manage(engine.clone());
        tauri::async_runtime::spawn(events::forward(engine.clone(), app.clone()));
        let demo = self.demo;
        tauri::async_runtime::spawn(async move {
            let begun =
                if demo { engine.start_demo().await.map(|_| ()) } else { engine.resume_broker().await };
            if let Err(error) = begun {
                tracing::error!(%error, "the local broker did not start");
            }
        });
        Ok(())
    }
}

/// Runs the window until it is closed.
pub fn run() -> ExitCode {
    // First, while there is no other thread.
    drawing::be_frugal();
    let wanted = std::env::var("HELIOGRAPH_LOG").unwrap_or_else(|_| "error".into());
    tracing_subscriber::fmt()
        .with_env_filter(logging::directives(&wanted))
        .with_writer(std::io::stderr)
        .init();
    let options = match Options::from_args(std::env::args_os().skip(1)) {
        Ok(options) => options,
        Err(Words::Asked(text)) => {
            // Whoever asked may have stopped listening.
            let _ = writeln!(std::io::stdout(), "{text}");
            return ExitCode::SUCCESS;
        }
        Err(Words::Wrong(text)) => {
            let _ = writeln!(std::io::stderr(), "{text}");
            return ExitCode::from(2);
        }
    };
    if !drawing::has_display() {
        let _ = writeln!(std::io::stderr(), "{NO_DISPLAY}");
        return ExitCode::FAILURE;
    }
    match build(options) {
        Ok(app) => {
            app.run(|app, event| {
                if let RunEvent::Exit = event
                    && let Some(engine) = app.try_state::<Engine>()
                {
                    let engine = engine.inner().clone();
                    tauri::async_runtime::block_on(async move { engine.close().await });
                }
            });
            ExitCode::SUCCESS
        }
        Err(error) => {
            eprintln!("Heliograph cannot start: {error}");
            ExitCode::FAILURE
        }
    }
}

fn build(options: Options) -> tauri::Result<tauri::App> {
    let single = tauri_plugin_single_instance::init(|app, _args, _dir| show(app));
    let own_data = options.data_dir.is_some();
    let data_dir = options.data_dir.clone().unwrap_or_else(default_data_dir);
    let mut builder = tauri::Builder::default();
    if !own_data {
        // Two windows on the same data are one too many; a folder of its own is a different matter.
        builder = builder.plugin(single);
    }
    builder
        .plugin(tauri_plugin_dialog::init())
        .plugin(
            // An absolute path: what the window remembers lies with everything else that it keeps.
            tauri_plugin_window_state::Builder::default()
                .with_filename(data_dir.join("window.json").to_string_lossy())
                .build(),
        )
        .setup(move |app| {
            let handle = app.handle().clone();
            app.manage(commands::Clipboard::default());
            app.manage(events::Listening::default());
            app.manage(Start {
                data_dir: data_dir.clone(),
                demo: options.demo,
                turn: tauri::async_runtime::Mutex::default(),
            });
            // The window asks again and shows what stands in the way: a start that fails is said there.
            tauri::async_runtime::spawn(async move {
                if let Err(error) = handle.state::<Start>().engine(&handle).await {
                    tracing::error!(%error, "the data folder cannot be used");
                }
            });
            let window = WebviewWindowBuilder::new(app, "main", WebviewUrl::default())
                .title("Heliograph")
                .inner_size(1440.0, 900.0)
                .min_inner_size(900.0, 600.0);
            let web = data_dir.join("web");
            // Without a place to write, the web view keeps nothing: the window has to open all the same.
            let window = match make_private_folder(&web) {
                Ok(()) => window.data_directory(web).build()?,
                Err(_) => window.incognito(true).build()?,
            };
            if options.no_gpu || !drawing::has_gpu() {
                drawing::without_gpu(&window)?;
            }
            Ok(())
        })
        .on_window_event(|window, event| {
            if let WindowEvent::CloseRequested { api, .. } = event {
                api.prevent_close();
                closing(window);
            }
        })
        .invoke_handler(commands::handler())
        .build(tauri::generate_context!())
}

/// Lets the window write what was typed last, and closes it then; at the latest after [`CLOSES_WITHIN`].
fn closing(window: &Window) {
    let told = window.emit("closing", ());
    let window = window.clone();
    tauri::async_runtime::spawn(async move {
        if told.is_ok() {
            tokio::time::sleep(CLOSES_WITHIN).await;
        }
        // Gone already, as a rule.
        let _ = window.destroy();
    });
}

/// The data folder may be made by this: it is for its owner alone.
fn make_private_folder(path: &Path) -> std::io::Result<()> {
    let mut folder = std::fs::DirBuilder::new();
    folder.recursive(true);
    #[cfg(unix)]
    std::os::unix::fs::DirBuilderExt::mode(&mut folder, 0o700);
    folder.create(path)
}

fn show(app: &AppHandle) {
    if let Some(window) = app.get_webview_window("main") {
        let _ = window.unminimize();
        let _ = window.set_focus();
    }
}
