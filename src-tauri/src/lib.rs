//! The shell: a window around the engine. In: the window's commands, one call each. Out: the engine's
//! answers and events. Nothing about MQTT is decided here.

mod commands;
mod drawing;
mod events;
mod start;

pub use start::run;
