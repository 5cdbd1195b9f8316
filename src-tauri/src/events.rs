//! Carries what the engine has to tell to the window: at most once a display frame, and counters less often,
//! since nobody reads numbers sixty times a second.

use std::time::Duration;

use heliograph_engine::Engine;
use heliograph_engine::engine::EngineEvent;
use tauri::{AppHandle, Emitter};

/// The least time between two deliveries when all that moved is counters.
const PULSE: Duration = Duration::from_millis(60);
/// The least time between two deliveries otherwise.
const FRAME: Duration = Duration::from_millis(16);

/// Forwards events until the window's process ends.
pub async fn forward(engine: Engine, app: AppHandle) {
    loop {
        let events = engine.events().await;
        let only_counters = events.iter().all(|event| matches!(event, EngineEvent::Pulse { .. }));
        for event in events {
            if let Err(error) = app.emit("engine", &event) {
                tracing::warn!(%error, "the window did not take an event");
            }
        }
        tokio::time::sleep(if only_counters { PULSE } else { FRAME }).await;
    }
}
