//! What a person asked for, in few words. In: a transport and what is set beside it. Out: the profile of the
//! attempt, and the same as arguments of `mosquitto_sub`.

use heliograph_engine::endpoint::{Endpoint, Scheme};
use heliograph_engine::profile::{
    ClientCertificate, MqttVersion, Profile, ProfileId, Proxy as ProxySettings, ProxyKind, Settings,
    TlsVersion, TrustMode,
};
use heliograph_engine::secret::{Secret, SecretField, Secrets};
use heliograph_engine::session::SessionConfig;

use super::{Certificates, Proxy, Server};

/// A user name and a password.
type Login = (&'static str, &'static str);

/// What was asked for.
#[derive(Debug, Clone)]
pub struct Ask {
    scheme: Scheme,
    host: &'static str,
    path: &'static str,
    version: MqttVersion,
    authority: &'static str,
    client: Option<(&'static str, &'static str)>,
    passphrase: Option<&'static str>,
    alpn: Option<&'static str>,
    subprotocol: Option<&'static str>,
    login: Option<Login>,
    client_id: Option<&'static str>,
    tls_1_3: bool,
    unverified: bool,
    revoked: Option<&'static str>,
    /// A kind, what it does, and a login for it.
    pub proxy: Option<(ProxyKind, Proxy, Option<Login>)>,
    /// One second instead of ten.
    pub hurried: bool,
}

/// MQTT over TCP.
pub fn mqtt() -> Ask {
    Ask::of(Scheme::Mqtt)
}

/// MQTT over TLS.
pub fn mqtts() -> Ask {
    Ask::of(Scheme::Mqtts)
}

/// MQTT over WebSocket.
pub fn ws() -> Ask {
    Ask::of(Scheme::Ws)
}

/// MQTT over WebSocket over TLS.
pub fn wss() -> Ask {
    Ask::of(Scheme::Wss)
}

impl Ask {
    fn of(scheme: Scheme) -> Self {
        Self {
            scheme,
            host: "127.0.0.1",
            path: "/mqtt",
            version: MqttVersion::V5,
            authority: "plant",
            client: None,
            passphrase: None,
            alpn: None,
            subprotocol: None,
            login: None,
            client_id: None,
            tls_1_3: false,
            unverified: false,
            revoked: None,
            proxy: None,
            hurried: false,
        }
    }

    /// Another path than `/mqtt`.
    pub fn at(self, path: &'static str) -> Self {
        Self { path, ..self }
    }

    /// Another host than 127.0.0.1.
    pub fn host(self, host: &'static str) -> Self {
        Self { host, ..self }
    }

    /// MQTT 3.1.1 instead of 5.
    pub fn v311(self) -> Self {
        Self { version: MqttVersion::V311, ..self }
    }

    /// Another authority is trusted than the plant's.
    pub fn trusting(self, authority: &'static str) -> Self {
        Self { authority, ..self }
    }

    /// With a client certificate and its key.
    pub fn with(self, client: &'static str) -> Self {
        Self { client: Some((client, client)), ..self }
    }

    /// With any two files as client certificate and key.
    pub fn files(self, cert: &'static str, key: &'static str) -> Self {
        Self { client: Some((cert, key)), ..self }
    }

    /// A passphrase for the key.
    pub fn passphrase(self, passphrase: &'static str) -> Self {
        Self { passphrase: Some(passphrase), ..self }
    }

    /// Offers an application protocol.
    pub fn alpn(self, alpn: &'static str) -> Self {
        Self { alpn: Some(alpn), ..self }
    }

    /// Offers another WebSocket subprotocol than `mqtt`.
    pub fn subprotocol(self, subprotocol: &'static str) -> Self {
        Self { subprotocol: Some(subprotocol), ..self }
    }

    /// User name and password.
    pub fn login(self, user: &'static str, password: &'static str) -> Self {
        Self { login: Some((user, password)), ..self }
    }

    /// Client identifier.
    pub fn client_id(self, client_id: &'static str) -> Self {
        Self { client_id: Some(client_id), ..self }
    }

    /// TLS 1.3 at least.
    pub fn tls_1_3(self) -> Self {
        Self { tls_1_3: true, ..self }
    }

    /// Whatever certificate the server has.
    pub fn unverified(self) -> Self {
        Self { unverified: true, ..self }
    }

    /// With a revocation list.
    pub fn revoked_by(self, list: &'static str) -> Self {
        Self { revoked: Some(list), ..self }
    }

    /// Through a proxy.
    pub fn through(self, kind: ProxyKind, proxy: Proxy) -> Self {
        Self { proxy: Some((kind, proxy, None)), ..self }
    }

    /// A login for the proxy.
    pub fn proxy_login(mut self, user: &'static str, password: &'static str) -> Self {
        self.proxy = self.proxy.map(|(kind, proxy, _)| (kind, proxy, Some((user, password))));
        self
    }

    /// Within one second.
    pub fn hurried(self) -> Self {
        Self { hurried: true, ..self }
    }

    fn host_of(&self, server: &Server) -> &'static str {
        if let Server::Host(host) = server { host } else { self.host }
    }

    /// The attempt.
    pub fn config(
        &self,
        server: &Server,
        port: u16,
        proxy: Option<u16>,
        bound: u16,
        certificates: &Certificates,
    ) -> SessionConfig {
        let path = if self.scheme.websocket() { self.path } else { "" };
        let url = format!("{}://{}:{port}{path}", self.scheme, self.host_of(server));
        let endpoint = Endpoint::parse_url(&url, self.scheme).expect("url").endpoint;
        let mut settings = Settings::default();
        let mut secrets = Secrets::default();
        settings.timing.connect_timeout_s = bound;
        settings.session.version = self.version;
        settings.session.client_id = self.client_id.unwrap_or_default().to_owned();
        settings.trust.mode = TrustMode::CaOnly;
        settings.trust.ca_files = vec![certificates.authority(self.authority)];
        settings.trust.crl_files = self.revoked.map(|list| certificates.list(list)).into_iter().collect();
        if self.unverified {
            settings.trust.mode = TrustMode::Insecure;
        }
        if let Some((cert, key)) = self.client {
            settings.client_certificate = ClientCertificate {
                enabled: true,
                cert_file: certificates.cert(cert),
                key_file: if key.is_empty() { String::new() } else { certificates.key(key) },
                ..ClientCertificate::default()
            };
        }
        if let Some(passphrase) = self.passphrase {
            secrets.put(SecretField::KeyPassphrase, Some(Secret::new(passphrase)));
        }
        if let Some((user, password)) = self.login {
            settings.login.enabled = true;
            settings.login.username = user.to_owned();
            secrets.put(SecretField::Password, Some(Secret::new(password)));
        }
        settings.tls.alpn = self.alpn.map(str::to_owned).into_iter().collect();
        if self.tls_1_3 {
            settings.tls.min_version = TlsVersion::V1_3;
        }
        if let Some(subprotocol) = self.subprotocol {
            settings.websocket.subprotocol = subprotocol.to_owned();
        }
        if let (Some((kind, _, login)), Some(port)) = (&self.proxy, proxy) {
            let username = login.map_or("", |(user, _)| user).to_owned();
            let host = "127.0.0.1".to_owned();
            settings.proxy = ProxySettings { kind: *kind, host, port, username, ..ProxySettings::default() };
            if let Some((_, password)) = login {
                secrets.put(SecretField::ProxyPassword, Some(Secret::new(*password)));
            }
        }
        let profile = Profile { id: ProfileId::random(), name: String::new(), endpoint, settings };
        SessionConfig { profile, secrets, keep_trying: false }
    }

    /// The same asked of `mosquitto_sub`; `None` where it cannot be asked so.
    pub fn mosquitto_sub(
        &self,
        server: &Server,
        port: u16,
        proxy: Option<u16>,
        certificates: &Certificates,
    ) -> Option<Vec<String>> {
        if self.scheme.websocket() || self.tls_1_3 || self.unverified || self.revoked.is_some() {
            return None;
        }
        let version = if self.version == MqttVersion::V5 { "5" } else { "311" };
        let port = port.to_string();
        let mut arguments: Vec<String> =
            ["-h", self.host_of(server), "-p", &port, "-V", version, "-t", "x", "-W", "2", "-C", "1"]
                .map(str::to_owned)
                .into();
        let mut option = |name: &str, value: String| arguments.extend([name.to_owned(), value]);
        if self.scheme.tls() {
            option("--cafile", certificates.authority(self.authority));
            if let Some((cert, key)) = self.client {
                option("--cert", certificates.cert(cert));
                option("--key", certificates.key(key));
            }
            if let Some(alpn) = self.alpn {
                option("--tls-alpn", alpn.to_owned());
            }
        }
        if let Some((user, password)) = self.login {
            option("-u", user.to_owned());
            option("-P", password.to_owned());
        }
        if let Some((kind, _, login)) = &self.proxy {
            if *kind != ProxyKind::Socks5 {
                return None;
            }
            let login = login.map(|(user, password)| format!("{user}:{password}@")).unwrap_or_default();
            option("--proxy", format!("socks5h://{login}127.0.0.1:{}", proxy?));
        }
        Some(arguments)
    }
}
