//! nginx in front of a broker's WebSocket listener: it ends TLS, asks for client certificates, and lets only
//! one path and one header through.

use std::path::Path;
use std::process::Command;

use tempfile::TempDir;

use super::Pki;
use super::process::{self, Process, free_port};

/// What nginx does about client certificates.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum VerifyClient {
    On,
    Optional,
    Off,
}

/// How to run it.
#[derive(Debug, Clone)]
pub struct NginxOptions {
    /// Client certificates.
    pub verify_client: VerifyClient,
    /// A header that requests need, with its value.
    pub required_header: Option<(&'static str, &'static str)>,
    /// How long a WebSocket may stand without traffic, as nginx writes it.
    pub idle: &'static str,
    /// Which versions of TLS, as nginx writes them.
    pub protocols: &'static str,
    /// Further lines inside the location.
    pub extra: String,
}

impl Default for NginxOptions {
    fn default() -> Self {
        Self {
            verify_client: VerifyClient::On,
            required_header: Some(("X-Plant", "north-3")),
            idle: "1h",
            protocols: "TLSv1.2 TLSv1.3",
            extra: String::new(),
        }
    }
}

/// A running nginx.
pub struct Nginx {
    /// `wss://localhost:PORT/mqtt`.
    pub port: u16,
    pub process: Process,
    _dir: TempDir,
}

impl Nginx {
    /// Starts it in front of the WebSocket listener on `upstream`.
    pub fn start(pki: &Pki, upstream: u16, options: &NginxOptions) -> Self {
        process::start(|| Self::attempt(pki, upstream, options))
    }

    fn attempt(pki: &Pki, upstream: u16, options: &NginxOptions) -> Result<Self, String> {
        let dir = tempfile::tempdir().expect("directory");
        let port = free_port();
        let config_file = dir.path().join("nginx.conf");
        std::fs::write(&config_file, config(dir.path(), pki, port, upstream, options))
            .expect("configuration");

        let program = if Path::new("/usr/sbin/nginx").exists() { "/usr/sbin/nginx" } else { "nginx" };
        let mut command = Command::new(program);
        command.arg("-c").arg(&config_file).arg("-p").arg(dir.path());
        command.arg("-e").arg(dir.path().join("error.log"));
        let mut process = Process::spawn("nginx", &mut command, dir.path())
            .with_log(dir.path().join("error.log"))
            .with_log(dir.path().join("access.log"));
        process.wait_for(&[port])?;
        Ok(Self { port, process, _dir: dir })
    }
}

fn config(dir: &Path, pki: &Pki, port: u16, upstream: u16, options: &NginxOptions) -> String {
    let verify = match options.verify_client {
        VerifyClient::On => "on",
        VerifyClient::Optional => "optional",
        VerifyClient::Off => "off",
    };
    let header = options.required_header.map_or_else(String::new, |(name, value)| {
        let variable = name.to_ascii_lowercase().replace('-', "_");
        format!("if ($http_{variable} != \"{value}\") {{ return 403; }}")
    });
    let dir = dir.display();
    let (ca, cert, key) = (pki.ca.display(), pki.server.cert.display(), pki.server.key.display());
    let (idle, protocols, extra) = (options.idle, options.protocols, &options.extra);
    // One process: there are no workers that could outlive it.
    format!(
        r#"daemon off;
master_process off;
pid {dir}/nginx.pid;
error_log {dir}/error.log info;
events {{ worker_connections 256; }}
http {{
  access_log {dir}/access.log;
  client_body_temp_path {dir}/body;
  proxy_temp_path {dir}/proxy;
  fastcgi_temp_path {dir}/fastcgi;
  uwsgi_temp_path {dir}/uwsgi;
  scgi_temp_path {dir}/scgi;
  server {{
    listen 127.0.0.1:{port} ssl;
    server_name localhost;
    ssl_certificate {cert};
    ssl_certificate_key {key};
    ssl_client_certificate {ca};
    ssl_verify_client {verify};
    ssl_protocols {protocols};
    location = /mqtt {{
      {header}
      {extra}
      proxy_pass http://127.0.0.1:{upstream};
      proxy_http_version 1.1;
      proxy_set_header Upgrade $http_upgrade;
      proxy_set_header Connection "upgrade";
      proxy_read_timeout {idle};
    }}
    location / {{ return 404; }}
  }}
}}
"#
    )
}
