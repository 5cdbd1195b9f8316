//! The development CA: what it issues is what was asked for, nothing is written over, and the configuration lines make
//! real servers use it.

#[path = "../../../tests/brokers/mod.rs"]
mod brokers;

use std::path::Path;
use std::process::Command;
use std::sync::Arc;
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

use heliograph_engine::broker::{
    BrokerLines, CertificateFormat, CertificatePurpose, CertificateRequest, IssuedCertificate,
    create_development_ca, development_ca, issue_certificate,
};
use heliograph_engine::endpoint::{Endpoint, Scheme};
use heliograph_engine::error::ErrorCode;
use heliograph_engine::failure::FailureCode;
use heliograph_engine::profile::{ClientCertificate, Profile, ProfileId, Settings, TrustMode};
use heliograph_engine::secret::{Secret, SecretField, Secrets};
use heliograph_engine::session::{self, SessionConfig};

const PASSPHRASE: &str = "only for tests";

fn request(
    purpose: CertificatePurpose,
    name: &str,
    names: &[&str],
    format: CertificateFormat,
) -> CertificateRequest {
    let names = names.iter().map(|&name| name.to_owned()).collect();
    CertificateRequest { purpose, common_name: name.into(), names, days: 30, format, folder: String::new() }
}

#[test]
fn issues_what_is_asked_for_and_writes_over_nothing() {
    let dir = tempfile::tempdir().expect("directory");
    assert_eq!(development_ca(dir.path()), None);
    let client = |name: &str| request(CertificatePurpose::Client, name, &[], CertificateFormat::Pem);
    let missing = issue_certificate(dir.path(), &client("x"), None).expect_err("no CA");
    assert_eq!(missing.code, ErrorCode::NotFound);
    let ca = create_development_ca(dir.path(), "Plant CA", 365).expect("made");
    assert_eq!((ca.certificate.subject.as_str(), ca.certificate.is_ca), ("CN=Plant CA", true));
    assert_eq!(development_ca(dir.path()).as_ref(), Some(&ca));
    assert_eq!(
        create_development_ca(dir.path(), "Another", 365).expect_err("kept").code,
        ErrorCode::InvalidInput
    );

    let names = ["DNS:device-42", "urn:plant:42", "me@plant.example", "10.0.0.42"];
    let mut wanted = request(CertificatePurpose::Client, "device-42", &names, CertificateFormat::Pem);
    let issued = issue_certificate(dir.path(), &wanted, None).expect("issued");
    assert_eq!(issued.certificate.usages, ["digitalSignature", "clientAuth"]);
    assert_eq!(
        issued.certificate.sans,
        ["DNS:device-42", "URI:urn:plant:42", "email:me@plant.example", "IP:10.0.0.42"]
    );
    // Until it ends: the shortest that can be asked for is one of a day, not one that has ended.
    for days in [1, 30] {
        let name = format!("for-{days}");
        let asked = CertificateRequest { days, ..client(&name) };
        let before = SystemTime::now().duration_since(UNIX_EPOCH).expect("after 1970").as_secs();
        let issued = issue_certificate(dir.path(), &asked, None).expect("issued").certificate;
        let ends = u64::try_from(issued.not_after / 1_000_000).expect("after 1970");
        let whole = u64::from(days) * 86_400;
        assert!((before + whole..before + whole + 60).contains(&ends), "{days} days: {before} {ends}");
        assert!(u64::try_from(issued.not_before / 1_000_000).expect("after 1970") < before, "{days} days");
    }
    assert!(issued.configuration.is_empty() && issued.key_file.ends_with("device-42.key"));
    let before = std::fs::read(&issued.file).expect("certificate");
    let again = issue_certificate(dir.path(), &wanted, None).expect_err("exists");
    assert!(again.message.contains("exists already"), "{}", again.message);
    assert_eq!(std::fs::read(&issued.file).expect("certificate"), before);

    let server = request(
        CertificatePurpose::Server,
        "bröker.local",
        &["*.plant.example", "::1"],
        CertificateFormat::Pem,
    );
    let issued = issue_certificate(dir.path(), &server, None).expect("issued");
    assert_eq!(issued.certificate.sans, ["DNS:xn--brker-kua.local", "DNS:*.plant.example", "IP:::1"]);
    assert!(
        issued.certificate.names_host("a.plant.example") && !issued.certificate.names_host("plant.example")
    );
    let places: Vec<_> = issued.configuration.iter().map(|lines| lines.broker.as_str()).collect();
    assert_eq!(places, ["mosquitto", "EMQX", "HiveMQ", "nginx"]);

    for (change, field) in [
        (&mut |r: &mut CertificateRequest| r.common_name = " ".into(), "common_name"),
        (&mut |r: &mut CertificateRequest| r.common_name = "x".repeat(65), "common_name"),
        (&mut |r: &mut CertificateRequest| r.days = 0, "days"),
        (&mut |r: &mut CertificateRequest| r.names = vec!["no host name".into()], "names"),
        (&mut |r: &mut CertificateRequest| r.names = vec!["IP:x".into()], "names"),
        (&mut |r: &mut CertificateRequest| r.names = vec!["email:x".into()], "names"),
        (&mut |r: &mut CertificateRequest| r.names = vec!["URI:x".into()], "names"),
    ] as [(&mut dyn FnMut(&mut CertificateRequest), &str); 7]
    {
        wanted = client("other");
        change(&mut wanted);
        let error = issue_certificate(dir.path(), &wanted, None).expect_err(field);
        assert_eq!(error.details.get("field").and_then(|f| f.as_str()), Some(field), "{}", error.message);
    }
    let nameless = request(CertificatePurpose::Server, "a server", &[], CertificateFormat::Pem);
    assert!(issue_certificate(dir.path(), &nameless, None).is_err());
}

fn lines<'a>(issued: &'a IssuedCertificate, broker: &str) -> &'a BrokerLines {
    issued.configuration.iter().find(|lines| lines.broker == broker).expect("lines")
}

/// Runs the commands as a person would.
fn prepare(lines: &BrokerLines) {
    let output = Command::new("sh")
        .args(["-ec", &lines.commands.replace(" -in ", " -passin pass:only\\ for\\ tests -in ")])
        .output()
        .expect("sh");
    assert!(output.status.success(), "{}: {}", lines.commands, String::from_utf8_lossy(&output.stderr));
}

fn started(mut command: Command, port: u16) -> std::process::Child {
    let child = command.spawn().expect("server");
    let bound = Instant::now() + Duration::from_secs(10);
    while std::net::TcpStream::connect(("127.0.0.1", port)).is_err() {
        assert!(Instant::now() < bound, "nothing listens on {port}");
        std::thread::yield_now();
    }
    child
}

fn free_port() -> u16 {
    std::net::TcpListener::bind("127.0.0.1:0").expect("bind").local_addr().expect("address").port()
}

async fn outcome(port: u16, ca: &str, client: Option<&IssuedCertificate>) -> Option<FailureCode> {
    let endpoint =
        Endpoint::parse_url(&format!("mqtts://localhost:{port}"), Scheme::Mqtt).expect("url").endpoint;
    let mut settings = Settings::default();
    settings.trust.mode = TrustMode::CaOnly;
    settings.trust.ca_files = vec![ca.to_owned()];
    let mut secrets = Secrets::default();
    if let Some(client) = client {
        secrets.put(SecretField::KeyPassphrase, Some(Secret::new(PASSPHRASE)));
        settings.client_certificate = ClientCertificate {
            enabled: true,
            cert_file: client.file.clone(),
            key_file: client.key_file.clone(),
            ..ClientCertificate::default()
        };
    }
    let profile = Profile { id: ProfileId::random(), name: String::new(), endpoint, settings };
    let trace = session::test(SessionConfig { profile, secrets, keep_trying: false }, Arc::new(|_| {})).await;
    trace.verdict.expect("verdict").failure.map(|failure| failure.code)
}

#[tokio::test]
async fn the_lines_make_mosquitto_and_nginx_use_it() {
    let dir = tempfile::tempdir().expect("directory");
    create_development_ca(dir.path(), "Plant CA", 365).expect("made");
    let secret = Secret::new(PASSPHRASE);
    let client = issue_certificate(
        dir.path(),
        &request(CertificatePurpose::Client, "device", &[], CertificateFormat::Pkcs12),
        Some(&secret),
    );
    let client = client.expect("issued");
    let server = |name: &str, format, passphrase: Option<&Secret>| {
        let mut wanted = request(CertificatePurpose::Server, "localhost", &["127.0.0.1"], format);
        wanted.folder = dir.path().join(name).to_string_lossy().into_owned();
        issue_certificate(dir.path(), &wanted, passphrase).expect("issued")
    };
    for (name, format, passphrase) in [
        ("plain", CertificateFormat::Pem, None),
        ("encrypted", CertificateFormat::Pem, Some(&secret)),
        ("bundle", CertificateFormat::Pkcs12, Some(&secret)),
    ] {
        let issued = server(name, format, passphrase);
        let mosquitto = lines(&issued, "mosquitto");
        prepare(mosquitto);
        let port = free_port();
        let file = dir.path().join(format!("{name}.conf"));
        // As the owner of the key; root would become somebody else.
        let text = format!("user root\n{}", mosquitto.lines.replace("8883", &port.to_string()));
        std::fs::write(&file, text).expect("written");
        let mut command = Command::new("mosquitto");
        command.arg("-c").arg(&file).stderr(std::process::Stdio::null());
        let mut child = started(command, port);
        assert_eq!(outcome(port, &issued.ca_file, Some(&client)).await, None, "{name}");
        assert_eq!(
            outcome(port, &issued.ca_file, None).await,
            Some(FailureCode::ClientCertRequired),
            "{name}"
        );
        child.kill().expect("ended");
        child.wait().expect("ended");
    }
    behind_nginx(dir.path(), &server("nginx", CertificateFormat::Pem, None), &client).await;
}

/// A key that everybody knows the store's password of is its owner's to read alone.
#[cfg(unix)]
#[test]
fn the_commands_make_the_stores_of_hivemq_and_show_nobody_the_key() {
    use std::os::unix::fs::PermissionsExt;
    if Command::new("keytool").arg("-help").output().is_err() {
        return;
    }
    let dir = tempfile::tempdir().expect("directory");
    create_development_ca(dir.path(), "Plant CA", 365).expect("made");
    let wanted = request(CertificatePurpose::Server, "localhost", &[], CertificateFormat::Pem);
    let issued = issue_certificate(dir.path(), &wanted, None).expect("issued");
    let hivemq = lines(&issued, "HiveMQ");
    prepare(hivemq);
    for (store, entry) in
        [("localhost-hivemq.jks", "PrivateKeyEntry"), ("localhost-hivemq-trust.jks", "trustedCertEntry")]
    {
        let path = dir.path().join(store);
        assert!(hivemq.lines.contains(&path.display().to_string()), "{}", hivemq.lines);
        let listed = Command::new("keytool")
            .args(["-list", "-storepass", "changeit", "-keystore"])
            .arg(&path)
            .output()
            .expect("keytool");
        assert!(String::from_utf8_lossy(&listed.stdout).contains(entry), "{store}: {listed:?}");
        let mode = path.metadata().expect("there").permissions().mode() & 0o077;
        assert!(mode == 0 || entry != "PrivateKeyEntry", "{store} can be read by others: {mode:o}");
    }
}

async fn behind_nginx(dir: &Path, issued: &IssuedCertificate, client: &IssuedCertificate) {
    let pki = dir.join("pki");
    std::fs::create_dir(&pki).expect("folder");
    let pki = brokers::Pki::make(&pki);
    let broker = brokers::Mosquitto::start(&pki, &brokers::MosquittoOptions::default());
    let port = free_port();
    let stream = lines(issued, "nginx").lines.replace("8883", &port.to_string());
    let stream = stream.replace("127.0.0.1:1883", &format!("127.0.0.1:{}", broker.mqtt));
    let modules = "/usr/lib/nginx/modules/ngx_stream_module.so";
    let load = if Path::new(modules).exists() { format!("load_module {modules};\n") } else { String::new() };
    let file = dir.join("nginx.conf");
    let text = format!(
        "{load}daemon off;\nmaster_process off;\npid {0}/nginx.pid;\nerror_log {0}/error.log;\nevents {{}}\n{stream}",
        dir.display()
    );
    std::fs::write(&file, text).expect("written");
    let mut command = Command::new("nginx");
    command.arg("-p").arg(dir).arg("-c").arg(&file).stderr(std::process::Stdio::null());
    let mut child = started(command, port);
    assert_eq!(outcome(port, &issued.ca_file, Some(client)).await, None, "through nginx");
    assert!(outcome(port, &issued.ca_file, None).await.is_some(), "without a certificate");
    child.kill().expect("ended");
    child.wait().expect("ended");
}

#[tokio::test]
async fn it_is_the_local_brokers_ca() {
    use heliograph_engine::broker::{BrokerOptions, BrokerPorts, LocalBroker};
    let dir = tempfile::tempdir().expect("directory");
    let ca = create_development_ca(dir.path(), "Plant CA", 365).expect("made");
    let wanted = request(CertificatePurpose::Client, "device", &[], CertificateFormat::Pem);
    let client = issue_certificate(dir.path(), &wanted, None).expect("issued");
    let options = BrokerOptions {
        ports: BrokerPorts { mqtt: 0, mqtts: 0, ws: 0, wss: 0 },
        require_client_certificate: true,
        ..BrokerOptions::default()
    };
    let broker = LocalBroker::start(dir.path(), &options, None).await.expect("started");
    let url = broker.urls().iter().find(|url| url.starts_with("mqtts://")).expect("mqtts").clone();
    let port: u16 = url.rsplit(':').next().expect("port").trim_end_matches('/').parse().expect("port");
    assert_eq!(outcome(port, &ca.file, Some(&client)).await, None);
    assert_eq!(development_ca(dir.path()), Some(ca), "the broker kept it");
    broker.stop().await;
}
