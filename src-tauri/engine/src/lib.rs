//! Everything MQTT in Heliograph: what a person saved, how it is dialled, the session that follows, and
//! what is kept of it. In: profiles, secrets and commands. Out: traces, messages and events. Knows neither
//! the window nor the terminal.
//!
//! Read the modules in the order in which a message travels: [`endpoint`] and [`profile`], [`identity`],
//! [`transport`], [`diagnosis`], [`session`], [`history`], [`recording`] and [`replay`]; [`engine`] wires them.

mod attempts;
pub mod broker;
pub mod counts;
mod database;
pub mod diagnosis;
pub mod draft;
pub mod endpoint;
pub mod engine;
pub mod error;
pub mod export;
pub mod failure;
pub mod history;
pub mod identity;
pub mod import;
mod kept;
pub mod library;
pub mod logging;
pub mod message;
pub mod paths;
pub mod probe;
pub mod profile;
pub mod recording;
pub mod replay;
pub mod secret;
pub mod session;
pub mod topic;
pub mod trace;
pub mod transport;
pub mod vault;
pub mod whole_file;

pub use engine::Engine;
pub use error::Error;
