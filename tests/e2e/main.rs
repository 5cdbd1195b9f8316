//! The product as a person uses it: the real binary in WebKitGTK against real brokers, by mouse and by keyboard.
//! Every step leaves a picture in both themes under `target/e2e`.

#![allow(clippy::panic, reason = "a test says what it missed")]

#[path = "../brokers/mod.rs"]
mod brokers;
mod certificates;
mod demo;
mod dialog;
mod failures;
mod first_run;
mod keyboard;
mod library;
mod recordings;
mod window;
mod wrong_transport;
