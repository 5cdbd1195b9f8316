//! What the web view is told about the computer: who draws the window, the graphics card or the processor where there is
//! none, and how much memory there is to leave garbage in.

use tauri::WebviewWindow;

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

/// Bytes of memory that JavaScriptCore is told the computer has.
#[cfg(target_os = "linux")]
const MEMORY: usize = 128 << 20;

/// Lets the web view collect its garbage early. On a computer with much memory its heap would grow to many times what
/// lives in it, 70 MB more after a minute of messages; told that there is little, it takes no longer for a frame.
///
/// Called while there is one thread, since it sets a variable of the environment, which the web view's process reads.
#[cfg(target_os = "linux")]
pub fn collect_early() {
    // What a person has set stays. It fails for names and values that cannot be, and these can.
    let _ = webkit2gtk::glib::setenv("JSC_forceRAMSize", MEMORY.to_string(), false);
}

/// Elsewhere the web view is another.
#[cfg(not(target_os = "linux"))]
pub fn collect_early() {}
