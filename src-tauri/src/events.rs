//! Carries what the engine has to tell to the window: at most once a display frame.

use std::time::Duration;

use heliograph_engine::Engine;
use tauri::{AppHandle, Emitter};

/// The least time between two deliveries.
const FRAME: Duration = Duration::from_millis(16);

/// Forwards events until the window's process ends.
pub async fn forward(engine: Engine, app: AppHandle) {
    loop {
        let events = engine.events().await;
        for event in events {
            if let Err(error) = app.emit("engine", &event) {
                tracing::warn!(%error, "the window did not take an event");
            }
        }
        tokio::time::sleep(FRAME).await;
    }
}
