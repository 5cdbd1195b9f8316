//! The real `helio` against real servers: what a person types, what is printed, and the exit status.

#![allow(clippy::panic, reason = "a failed test says what it saw")]

mod bench;
#[path = "../../../../tests/brokers/mod.rs"]
mod brokers;
mod canaries;
mod command;
mod connections;
mod endings;
mod profiles;
mod proxy;
mod replay;
mod transfer;
mod vault;
mod words;
