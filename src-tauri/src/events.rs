//! Carries what the engine has to tell to the window: at most once a display frame.

use std::time::Duration;

use heliograph_engine::Engine;
use tauri::{AppHandle, Emitter, Manager};
use tokio::sync::Notify;

/// The least time between two deliveries.
const FRAME: Duration = Duration::from_millis(16);

/// Whether the window listens. What the engine has to tell before that waits: an event that nobody listens to is lost, and
/// what was found while the engine opened is told once.
#[derive(Default)]
pub struct Listening(Notify);

impl Listening {
    /// The window listens from now on.
    pub fn begin(&self) {
        self.0.notify_one();
    }
}

/// Forwards events from when the window listens until its process ends.
pub async fn forward(engine: Engine, app: AppHandle) {
    app.state::<Listening>().0.notified().await;
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
