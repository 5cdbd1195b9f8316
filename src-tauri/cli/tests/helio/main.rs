//! The real `helio` against real servers: what a person types, what is printed, and the exit status.

#![allow(clippy::panic, reason = "a failed test says what it saw")]

#[path = "../../../../tests/brokers/mod.rs"]
mod brokers;
mod command;
mod connections;
mod endings;
mod profiles;
mod proxy;
mod replay;
mod vault;
mod words;
