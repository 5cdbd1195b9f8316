//! The product as a person uses it: the real binary in WebKitGTK against real brokers, by mouse and by keyboard.
//! Every step leaves a picture in both themes under `target/e2e`.

#![allow(clippy::panic, reason = "a test says what it missed")]

#[path = "../brokers/mod.rs"]
mod brokers;
mod certificates;
mod damaged;
mod demo;
mod development_ca;
mod dialog;
#[path = "../../src-tauri/engine/tests/disks/mod.rs"]
mod disk;
mod disks;
mod drag;
mod failures;
mod files;
mod filters;
mod first_run;
mod interrupted;
mod kept;
mod kept_by_keyboard;
mod keyboard;
mod library;
mod limits;
mod losses;
mod order;
mod picture;
#[path = "../../src-tauri/engine/tests/private_session/mod.rs"]
mod private_session;
mod recordings;
mod refusals;
mod saved;
mod secrets;
mod server_trust;
mod sizes;
mod transfer;
mod trust;
mod vault;
mod versions;
mod window;
mod wrong_transport;
