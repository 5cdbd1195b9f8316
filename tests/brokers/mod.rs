//! Real servers for tests: mosquitto, nginx and RabbitMQ as child processes on free loopback ports, in
//! temporary directories, with certificates made for them. A server is ready when `start` returns and gone
//! when its value is dropped. Needs the Debian packages mosquitto, nginx and rabbitmq-server;
//! tokens need softhsm2 and opensc.

#![allow(dead_code, unused_imports, clippy::panic, reason = "each test uses a part")]

mod mosquitto;
mod nginx;
mod pki;
mod process;
mod rabbit;
mod token;

pub use mosquitto::{Mosquitto, MosquittoOptions, Turning};
pub use nginx::{Nginx, NginxOptions, VerifyClient};
pub use pki::{Identity, Pki, revocation_list};
pub use process::{Process, free_port, start};
pub use rabbit::{Rabbit, RabbitOptions};
pub use token::{SoftHsm, TOKEN_PIN};

/// The user that servers with a login know.
pub const USER: &str = "planta";
/// Its password: not ASCII, and with characters that configuration files like to treat in their own way.
pub const PASSWORD: &str = "s3cret \"§' grün";
/// A part of it that stays as it is however it is written down: what is searched for where it must not be, since JSON
/// and URLs escape the rest.
pub const PASSWORD_PART: &str = "s3cret";
