//! The window and the computer: whether there is a display, who draws, the graphics card or the processor where there is
//! none, and how the web view is to deal with memory.

use tauri::WebviewWindow;

/// Whether there is a display that a window can be opened on. Called on the thread that will run the window.
#[cfg(target_os = "linux")]
pub fn has_display() -> bool {
    gtk::init().is_ok()
}

/// Elsewhere nobody is logged in without one.
#[cfg(not(target_os = "linux"))]
pub fn has_display() -> bool {
    true
}

/// Whether this machine has a graphics card that a program may draw with. Where it has not, OpenGL is emulated by the
/// processor, which puts the page together anew for each frame: twice the work, and 100 MB, for the same picture.
#[cfg(target_os = "linux")]
pub fn has_gpu() -> bool {
    let nodes = std::fs::read_dir("/dev/dri").into_iter().flatten().flatten();
    nodes.into_iter().any(|node| node.file_name().to_string_lossy().starts_with("renderD"))
}

/// Elsewhere the web view knows by itself.
#[cfg(not(target_os = "linux"))]
pub fn has_gpu() -> bool {
    true
}

/// Lets the web view draw with the processor alone.
///
/// # Errors
/// The web view is gone.
#[cfg(target_os = "linux")]
pub fn without_gpu(window: &WebviewWindow) -> tauri::Result<()> {
    use webkit2gtk::{HardwareAccelerationPolicy, SettingsExt as _, WebViewExt as _};
    window.with_webview(|view| {
        if let Some(settings) = view.inner().settings() {
            settings.set_hardware_acceleration_policy(HardwareAccelerationPolicy::Never);
        }
    })
}

/// Elsewhere there is nothing to choose.
///
/// # Errors
/// None.
#[cfg(not(target_os = "linux"))]
pub fn without_gpu(_: &WebviewWindow) -> tauri::Result<()> {
    Ok(())
}

/// Options of JavaScriptCore, which the web view's process reads from its environment. Without them its memory grows with
/// the time that messages pour in; with them no frame takes longer (docs/performance.md).
///
/// - On a computer with much memory the heap grows to many times what lives in it. Told that there is 128 MiB, it does not.
/// - Its last compiler is for programs that compute. What it makes of a list of rows is thrown away and made again.
/// - What is told to the page is a program each time, and the compiled ones would be kept, though none comes twice.
#[cfg(target_os = "linux")]
const FRUGAL: [(&str, &str); 3] =
    [("JSC_forceRAMSize", "134217728"), ("JSC_useFTLJIT", "0"), ("JSC_useCodeCache", "0")];

/// Lets the web view do with little memory.
///
/// Called while there is one thread, since it sets variables of the environment.
#[cfg(target_os = "linux")]
pub fn be_frugal() {
    for (name, value) in FRUGAL {
        // What a person has set stays. It fails for names and values that cannot be, and these can.
        let _ = webkit2gtk::glib::setenv(name, value, false);
    }
}

/// Elsewhere the web view is another.
#[cfg(not(target_os = "linux"))]
pub fn be_frugal() {}
