//! Real servers that refuse a client certificate, each in its own way and most of them late: the failure names
//! the certificate all the same, and says in which stage it showed.

use std::io::Write;
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::sync::Arc;
use std::time::{Duration, Instant};

use heliograph_engine::endpoint::{Endpoint, Scheme};
use heliograph_engine::failure::FailureCode;
use heliograph_engine::profile::{ClientCertificate, Profile, ProfileId, Settings, TlsVersion, TrustMode};
use heliograph_engine::secret::Secrets;
use heliograph_engine::session::{self, SessionConfig};
use heliograph_engine::trace::{Stage, StageDetail, VerdictOutcome};
use rcgen::{BasicConstraints, CertificateParams, DnType, ExtendedKeyUsagePurpose, IsCa, Issuer, KeyPair};

/// A server process, ended with the test.
struct Server(Child);

impl Drop for Server {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

struct Authority(Issuer<'static, KeyPair>, String);

fn authority(name: &str) -> Authority {
    let key = KeyPair::generate().expect("key");
    let mut params = CertificateParams::default();
    params.distinguished_name.push(DnType::CommonName, name);
    params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
    let pem = params.self_signed(&key).expect("authority").pem();
    Authority(Issuer::new(params, key), pem)
}

fn issue(
    folder: &Path,
    name: &str,
    by: &Authority,
    change: impl FnOnce(&mut CertificateParams),
) -> ClientCertificate {
    let key = KeyPair::generate().expect("key");
    let mut params = CertificateParams::new(vec!["localhost".to_owned()]).expect("params");
    params.distinguished_name.push(DnType::CommonName, name);
    change(&mut params);
    let pem = params.signed_by(&key, &by.0).expect("certificate").pem();
    let path = |end: &str| folder.join(format!("{name}.{end}")).to_string_lossy().into_owned();
    std::fs::write(path("pem"), pem).expect("certificate file");
    std::fs::write(path("key"), key.serialize_pem()).expect("key file");
    ClientCertificate { enabled: true, cert_file: path("pem"), key_file: path("key") }
}

fn free_port() -> u16 {
    std::net::TcpListener::bind("127.0.0.1:0").expect("bind").local_addr().expect("address").port()
}

/// Starts a program and waits until the port answers.
fn start(program: &str, arguments: &[&str], port: u16) -> Server {
    let child = Command::new(program).args(arguments).stdout(Stdio::null()).stderr(Stdio::null()).spawn();
    let server = Server(child.expect(program));
    let bound = Instant::now() + Duration::from_secs(10);
    while std::net::TcpStream::connect(("127.0.0.1", port)).is_err() {
        assert!(Instant::now() < bound, "{program} does not listen on {port}");
        std::thread::yield_now();
    }
    server
}

/// What an attempt came to: the code and where it showed, `None` when connected.
async fn outcome(
    url: &str,
    ca: &Path,
    client: Option<&ClientCertificate>,
    min: TlsVersion,
) -> Option<(FailureCode, Stage)> {
    let endpoint = Endpoint::parse_url(url, Scheme::Mqtt).expect("url").endpoint;
    let mut settings = Settings::default();
    settings.trust.mode = TrustMode::CaOnly;
    settings.trust.ca_files = vec![ca.to_string_lossy().into_owned()];
    settings.client_certificate = client.cloned().unwrap_or_default();
    settings.tls.min_version = min;
    let profile = Profile { id: ProfileId::random(), name: String::new(), endpoint, settings };
    let config = SessionConfig { profile, secrets: Secrets::default(), keep_trying: false };
    let trace = session::test(config, Arc::new(|_| {})).await;
    let alert = trace.stages.iter().find_map(|report| match &report.detail {
        StageDetail::Tls(detail) => detail.alert.clone(),
        _ => None,
    });
    let verdict = trace.verdict.expect("verdict");
    match verdict.failure {
        None => {
            assert_eq!(verdict.outcome, VerdictOutcome::Connected);
            None
        }
        Some(failure) => {
            assert_eq!(failure.stage, Stage::Tls, "{url}: {failure:?}");
            assert_eq!(alert.as_deref(), failure.evidence.get("alert").and_then(|name| name.as_str()));
            Some((failure.code, failure.seen_during))
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn mosquitto_and_nginx_refuse_by_name() {
    use FailureCode as C;
    let folder = tempfile::tempdir().expect("folder");
    let at = |name: &str| folder.path().join(name).to_string_lossy().into_owned();
    let (root, strangers) = (authority("Plant CA"), authority("Strangers CA"));
    let ca = folder.path().join("ca.pem");
    std::fs::write(&ca, &root.1).expect("ca");
    let server = issue(folder.path(), "server", &root, |_| {});
    let good = issue(folder.path(), "good", &root, |_| {});
    let table = [
        (None, Some(C::ClientCertRequired)),
        (Some(good), None),
        (Some(issue(folder.path(), "stranger", &strangers, |_| {})), Some(C::ClientCertUnknownCa)),
        (
            Some(issue(folder.path(), "expired", &root, |p| p.not_after = rcgen::date_time_ymd(2020, 1, 1))),
            Some(C::ClientCertExpired),
        ),
        (
            Some(issue(folder.path(), "purpose", &root, |p| {
                p.extended_key_usages = vec![ExtendedKeyUsagePurpose::ServerAuth];
            })),
            Some(C::ClientCertWrongPurpose),
        ),
    ];

    for version in ["tlsv1.2", "tlsv1.3"] {
        let port = free_port();
        let config = format!(
            "listener {port} 127.0.0.1\nallow_anonymous true\nrequire_certificate true\ntls_version {version}\n\
             cafile {}\ncertfile {}\nkeyfile {}\nuser root\n",
            ca.display(),
            server.cert_file,
            server.key_file
        );
        std::fs::write(at("mosquitto.conf"), config).expect("configuration");
        let _server = start("mosquitto", &["-c", &at("mosquitto.conf")], port);
        for (client, code) in &table {
            let url = format!("mqtts://localhost:{port}");
            let seen = outcome(&url, &ca, client.as_ref(), TlsVersion::V1_2).await;
            assert_eq!(seen.map(|(code, _)| code), *code, "mosquitto, {version}, {client:?}");
        }
    }

    let port = free_port();
    let config = format!(
        "daemon off; pid {0}/nginx.pid; error_log {0}/error.log; events {{}}\n\
         http {{ access_log off; client_body_temp_path {0}/b; proxy_temp_path {0}/p; fastcgi_temp_path {0}/f;\n\
         uwsgi_temp_path {0}/u; scgi_temp_path {0}/s;\n\
         server {{ listen 127.0.0.1:{port} ssl; ssl_certificate {1}; ssl_certificate_key {2};\n\
         ssl_client_certificate {3}; ssl_verify_client on; location / {{ return 404; }} }} }}\n",
        folder.path().display(),
        server.cert_file,
        server.key_file,
        ca.display()
    );
    let mut file = std::fs::File::create(at("nginx.conf")).expect("configuration");
    file.write_all(config.as_bytes()).expect("configuration");
    let _server = start("nginx", &["-c", &at("nginx.conf"), "-e", &at("error.log")], port);
    for (client, code) in table.iter().filter(|(_, code)| code.is_some()) {
        let url = format!("wss://localhost:{port}/mqtt");
        let seen = outcome(&url, &ca, client.as_ref(), TlsVersion::V1_2).await;
        assert_eq!(seen, code.map(|code| (code, Stage::Websocket)), "nginx, {client:?}");
    }
}
