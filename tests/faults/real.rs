//! The real servers of the corpus: one mosquitto, one nginx and some `openssl s_server`, each with many
//! listeners that differ in one thing. In: certificates. Out: ports by name.

use std::collections::HashMap;
use std::fmt::Write as _;
use std::path::Path;
use std::process::Command;
use std::sync::Mutex;

use tempfile::TempDir;

use super::proxies::{self, Proxy};
use super::{Certificates, Server, peers};
use crate::brokers::{Pki, Process, Rabbit, RabbitOptions, free_port, start as start_server};

/// Everything that rows meet.
pub struct World {
    /// The certificates on both sides.
    pub certificates: Certificates,
    ports: HashMap<&'static str, u16>,
    processes: Vec<Process>,
    held: Mutex<Vec<socket2::Socket>>,
    _folder: TempDir,
}

/// mosquitto's listeners: name, protocol, lines.
const MOSQUITTO: [(&str, &str, &str); 8] = [
    ("mosquitto", "mqtt", "allow_anonymous true"),
    ("mosquitto login", "mqtt", "allow_anonymous false\npassword_file {folder}/passwords"),
    ("mosquitto ws", "websockets", "allow_anonymous true"),
    ("mosquitto tls", "mqtt", "allow_anonymous true\n{tls}"),
    ("mosquitto wss", "websockets", "allow_anonymous true\n{tls}"),
    ("mosquitto tls 1.3, client", "mqtt", "allow_anonymous true\n{tls}\n{client}\ntls_version tlsv1.3"),
    (
        "mosquitto tls 1.2, version 1",
        "mqtt",
        "allow_anonymous true\ncertfile {folder}/server-version-1.pem\nkeyfile {folder}/server-version-1.key\n\
         tls_version tlsv1.2",
    ),
    ("mosquitto wss, client", "websockets", "allow_anonymous true\n{tls}\n{client}"),
];

/// Certificates that a mosquitto listener each presents, named `mosquitto CERTIFICATE`.
const PRESENTED: [&str; 11] = [
    "server-revoked",
    "server-of-strangers",
    "server-expired",
    "server-future",
    "server-other-name",
    "server-no-san",
    "server-as-client",
    "server-leaf-only",
    "server-chain",
    "server-self-signed",
    "server-version-1",
];

/// nginx's servers inside `http`.
const NGINX_HTTP: [(&str, &str); 7] = [
    ("nginx", "listen 127.0.0.1:{port};"),
    ("nginx tls", "listen 127.0.0.1:{port} ssl; {tls}"),
    ("nginx tls 1.2, client", "listen 127.0.0.1:{port} ssl; {tls} {client} ssl_protocols TLSv1.2;"),
    ("nginx tls 1.3, client", "listen 127.0.0.1:{port} ssl; {tls} {client} ssl_protocols TLSv1.3;"),
    (
        "nginx tls, client asked",
        "listen 127.0.0.1:{port} ssl; {tls} ssl_client_certificate {plant}; ssl_verify_client optional;\n\
         if ($ssl_client_verify != SUCCESS) { return 403; }",
    ),
    ("nginx expired", "listen 127.0.0.1:{port} ssl; {expired}"),
    ("nginx other name", "listen 127.0.0.1:{port} ssl; {other-name}"),
];

/// nginx's servers inside `stream`.
const NGINX_STREAM: [(&str, &str); 5] = [
    ("stream", "proxy_pass 127.0.0.1:{mosquitto};"),
    ("stream tls 1.2, client", "{tls} {client} ssl_protocols TLSv1.2; proxy_pass 127.0.0.1:{mosquitto};"),
    ("stream tls 1.3, client", "{tls} {client} ssl_protocols TLSv1.3; proxy_pass 127.0.0.1:{mosquitto};"),
    ("stream tls, backend down", "{tls} proxy_pass 127.0.0.1:{nobody};"),
    ("stream tls", "{tls} proxy_pass 127.0.0.1:{mosquitto};"),
];

/// `openssl s_server` with these arguments.
const OPENSSL: [(&str, &[&str]); 7] = [
    ("openssl tls 1.2, client", &["-tls1_2", "-Verify", "3", "-verify_return_error", "-CAfile", "{plant}"]),
    ("openssl short key", &["-cipher", "DEFAULT@SECLEVEL=0", "-cert", "{short}.pem", "-key", "{short}.key"]),
    ("openssl old ciphers", &["-tls1_2", "-cipher", "ECDHE-ECDSA-AES128-SHA"]),
    ("openssl tls 1.1", &["-tls1_1", "-cipher", "DEFAULT@SECLEVEL=0"]),
    ("openssl tls 1.0", &["-tls1", "-cipher", "DEFAULT@SECLEVEL=0"]),
    ("openssl alpn", &["-alpn", "http/1.1"]),
    ("openssl revoked", &["-status_file", "{staple}"]),
];

/// A server, and its listeners by name.
type Started = (Process, Vec<(&'static str, u16)>);

impl World {
    /// Starts them all.
    pub fn start() -> Self {
        let folder = tempfile::tempdir().expect("folder");
        let certificates = Certificates::make(folder.path());
        super::table::make_files(&certificates);
        certificates.revoked_staple();
        let mut world = Self {
            certificates,
            ports: HashMap::new(),
            processes: Vec::new(),
            held: Mutex::default(),
            _folder: folder,
        };
        world.add(start_server(|| world.mosquitto()));
        world.add(start_server(|| world.nginx()));
        for (name, arguments) in OPENSSL {
            world.add(start_server(|| world.openssl(name, arguments)));
        }
        world
    }

    /// A world of certificates and scripts alone.
    pub fn of_scripts() -> Self {
        let folder = tempfile::tempdir().expect("folder");
        let certificates = Certificates::make(folder.path());
        super::table::make_files(&certificates);
        let (ports, processes) = (HashMap::new(), Vec::new());
        Self { certificates, ports, processes, held: Mutex::default(), _folder: folder }
    }

    /// RabbitMQ, with the corpus' certificates.
    pub fn of_rabbit() -> (Self, Rabbit) {
        let mut world = Self::of_scripts();
        let at = |file: String| std::path::PathBuf::from(file);
        let folder = tempfile::tempdir().expect("folder");
        let mut pki = Pki::make(folder.path());
        pki.ca = at(world.certificates.authority("plant"));
        pki.server.cert = at(world.certificates.cert("server"));
        pki.server.key = at(world.certificates.key("server"));
        let rabbit = Rabbit::start(&pki, &RabbitOptions::default());
        world.ports.extend([
            ("rabbit", rabbit.mqtt),
            ("rabbit tls", rabbit.mqtts),
            ("rabbit ws", rabbit.ws),
            ("rabbit wss", rabbit.wss),
        ]);
        (world, rabbit)
    }

    /// The port where a row's server is, which is there from now on.
    pub async fn port(&self, server: &Server) -> u16 {
        match server {
            Server::Nobody => self.nobody(),
            Server::Host(_) => 1883,
            Server::Unanswering => {
                let (port, sockets) = tokio::task::spawn_blocking(peers::unanswering).await.expect("sockets");
                self.held.lock().expect("sockets").extend(sockets);
                port
            }
            Server::Plain(script) => peers::serve(*script, None, &self.certificates).await,
            Server::Tls(tls, script) => peers::serve(*script, Some(*tls), &self.certificates).await,
            Server::Real(name) => *self.ports.get(name).unwrap_or_else(|| panic!("there is no {name}")),
        }
    }

    /// The port where a row's proxy is.
    pub async fn proxy(&self, proxy: &Proxy) -> u16 {
        match proxy {
            Proxy::Nobody => self.nobody(),
            proxy => proxies::serve(*proxy, &self.certificates).await,
        }
    }

    /// A port on which nobody listens, and nobody can: it is taken as long as this world is there.
    fn nobody(&self) -> u16 {
        let (port, socket) = peers::nobody();
        self.held.lock().expect("sockets").push(socket);
        port
    }

    fn add(&mut self, (process, ports): Started) {
        self.processes.push(process);
        self.ports.extend(ports);
    }

    /// Puts certificates and folders where `{…}` stands.
    fn fill(&self, text: &str) -> String {
        let certificates = &self.certificates;
        text.replace("{folder}", &certificates.path(""))
            .replace("{staple}", &certificates.path("ocsp.der"))
            .replace("{short}", &certificates.path("server-short-key"))
            .replace("{plant}", &certificates.authority("plant"))
    }

    fn mosquitto(&self) -> Result<Started, String> {
        let certificates = &self.certificates;
        let tls =
            |name: &str| format!("certfile {}\nkeyfile {}", certificates.cert(name), certificates.key(name));
        let client = format!("cafile {}\nrequire_certificate true", certificates.authority("plant"));
        let log = certificates.path("mosquitto.log");
        let mut config =
            format!("user root\npersistence false\nper_listener_settings true\nlog_dest file {log}\n");
        let mut ports = Vec::new();
        let presented = PRESENTED.map(|name| (name, "mqtt", "allow_anonymous true"));
        for (name, protocol, lines) in MOSQUITTO.into_iter().chain(presented) {
            let port = free_port();
            let lines = self.fill(lines).replace("{tls}", &tls("server")).replace("{client}", &client);
            write!(config, "listener {port} 127.0.0.1\nprotocol {protocol}\n{lines}\n").expect("text");
            if PRESENTED.contains(&name) {
                writeln!(config, "{}", tls(name)).expect("text");
            }
            ports.push((name, port));
        }
        certificates.write("passwords", "");
        let made = Command::new("mosquitto_passwd")
            .args(["-b", &certificates.path("passwords"), proxies::USER, proxies::PASSWORD])
            .output()
            .expect("mosquitto_passwd");
        assert!(made.status.success(), "{}", String::from_utf8_lossy(&made.stderr));
        let config = certificates.write("mosquitto.conf", config);
        let mut command = Command::new(program("mosquitto"));
        self.run("mosquitto", command.args(["-c", &config]), &log, ports)
    }

    fn nginx(&self) -> Result<Started, String> {
        let certificates = &self.certificates;
        let tls = |name: &str| {
            let (cert, key) = (certificates.cert(name), certificates.key(name));
            format!("ssl_certificate {cert}; ssl_certificate_key {key};")
        };
        let plant = certificates.authority("plant");
        let client = format!("ssl_client_certificate {plant}; ssl_verify_client on;");
        let nobody = self.nobody().to_string();
        let fill = |text: &str, port: u16| {
            text.replace("{port}", &port.to_string())
                .replace("{tls}", &tls("server"))
                .replace("{client}", &client)
                .replace("{plant}", &plant)
                .replace("{expired}", &tls("server-expired"))
                .replace("{other-name}", &tls("server-other-name"))
                .replace("{mosquitto}", &self.ports["mosquitto"].to_string())
                .replace("{nobody}", &nobody)
        };
        let locations = format!(
            "location = /mqtt {{ proxy_pass http://127.0.0.1:{}; proxy_http_version 1.1;\n\
             proxy_set_header Upgrade $http_upgrade; proxy_set_header Connection upgrade; }}\n\
             location = /page {{ return 200 \"<html>hello</html>\"; }}\n\
             location = /login {{ return 401; }} location = /forbidden {{ return 403; }}\n\
             location = /moved {{ return 301 https://elsewhere.example/mqtt; }}\n\
             location = /other-path {{ return 307 /mqtt; }}\n\
             location = /teapot {{ return 418; }} location = /bad {{ return 400; }}\n\
             location = /down {{ proxy_pass http://127.0.0.1:{nobody}; }} location / {{ return 404; }}",
            self.ports["mosquitto ws"],
        );
        let mut ports = Vec::new();
        let (mut http, mut stream) = (String::new(), String::new());
        for (name, lines) in NGINX_HTTP {
            let port = free_port();
            writeln!(http, "server {{ {} {locations} }}", fill(lines, port)).expect("text");
            ports.push((name, port));
        }
        for (name, lines) in NGINX_STREAM {
            let port = free_port();
            let tls = if name.contains("tls") { " ssl" } else { "" };
            writeln!(stream, "server {{ listen 127.0.0.1:{port}{tls}; {} }}", fill(lines, port))
                .expect("text");
            ports.push((name, port));
        }
        let folder = certificates.path("");
        let module = "/usr/lib/nginx/modules/ngx_stream_module.so";
        let module =
            if Path::new(module).exists() { format!("load_module {module};") } else { String::new() };
        // One process: there are no workers that could outlive it.
        let config = format!(
            "{module} daemon off; master_process off; pid {folder}/nginx.pid; error_log {folder}/nginx.log info;\n\
             events {{ worker_connections 512; }}\n\
             http {{ access_log off; client_body_temp_path {folder}/body; proxy_temp_path {folder}/proxy;\n\
             fastcgi_temp_path {folder}/fastcgi; uwsgi_temp_path {folder}/uwsgi; scgi_temp_path {folder}/scgi;\n\
             {http} }}\nstream {{ {stream} }}\n"
        );
        let config = certificates.write("nginx.conf", config);
        let log = certificates.path("nginx.log");
        let mut command = Command::new(program("nginx"));
        self.run("nginx", command.args(["-c", &config, "-e", &log, "-p", &folder]), &log, ports)
    }

    fn openssl(&self, name: &'static str, arguments: &[&str]) -> Result<Started, String> {
        let port = free_port();
        let (cert, key) = (self.certificates.cert("server"), self.certificates.key("server"));
        let mut command = Command::new("openssl");
        command.args(["s_server", "-quiet", "-accept", &format!("127.0.0.1:{port}"), "-cert", &cert]);
        command.args(["-key", &key]).args(arguments.iter().map(|argument| self.fill(argument)));
        self.run("openssl", &mut command, "", vec![(name, port)])
    }

    fn run(
        &self,
        name: &'static str,
        command: &mut Command,
        log: &str,
        ports: Vec<(&'static str, u16)>,
    ) -> Result<Started, String> {
        let mut process = Process::spawn(name, command, Path::new(&self.certificates.path("")));
        if !log.is_empty() {
            process = process.with_log(log.into());
        }
        process.wait_for(&ports.iter().map(|(_, port)| *port).collect::<Vec<_>>())?;
        Ok((process, ports))
    }
}

/// Debian keeps servers out of the path of ordinary users.
fn program(name: &str) -> String {
    let there = format!("/usr/sbin/{name}");
    if Path::new(&there).exists() { there } else { name.to_owned() }
}
