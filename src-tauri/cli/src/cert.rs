//! `helio cert`: the development CA, and what is in certificate files. In: names and paths. Out: files, the lines that
//! make brokers use them, and problems in words.

use std::path::PathBuf;

use heliograph_engine::broker::{
    CertificateFormat, CertificateRequest, IssuedCertificate, create_development_ca, issue_certificate,
};
use heliograph_engine::draft;
use heliograph_engine::engine::{FileReport, Severity};
use heliograph_engine::identity::{self, CertificateInfo};
use heliograph_engine::paths::{broker_dir, default_data_dir};
use heliograph_engine::profile::{ClientCertificate, Settings, Trust, TrustMode};
use heliograph_engine::secret::{Secret, SecretField, Secrets};
use serde_json::json;

use crate::args::{CertCheckArgs, CertCommand, CertCreateArgs, CertIssueArgs, CertShowArgs};
use crate::failure::Ending;
use crate::output;
use crate::target::password_from_stdin;

pub fn run(command: CertCommand) -> Result<(), Ending> {
    match command {
        CertCommand::Create(args) => create(&args),
        CertCommand::Issue(args) => issue(args),
        CertCommand::Show(args) => show(&args),
        CertCommand::Check(args) => check(&args),
    }
}

fn folder(dir: Option<&PathBuf>) -> PathBuf {
    dir.cloned().unwrap_or_else(|| broker_dir(&default_data_dir()))
}

fn create(args: &CertCreateArgs) -> Result<(), Ending> {
    let ca = create_development_ca(&folder(args.dir.as_ref()), &args.name, args.days)?;
    if args.json {
        output::line(&json!(ca).to_string());
    } else {
        output::line(&format!("CA certificate  {}", ca.file));
        output::line(&format!("                {}", output::certificate(&ca.certificate)));
    }
    Ok(())
}

fn issue(args: CertIssueArgs) -> Result<(), Ending> {
    let passphrase = match (&args.key_password, args.key_password_stdin) {
        (Some(text), _) => Some(Secret::new(text.as_bytes())),
        (None, true) => Some(password_from_stdin()?),
        (None, false) => None,
    };
    let dir = folder(args.dir.as_ref());
    let request = CertificateRequest {
        purpose: args.purpose,
        common_name: args.name,
        names: args.san,
        days: args.days,
        format: if args.p12 { CertificateFormat::Pkcs12 } else { CertificateFormat::Pem },
        folder: args.out.map(|out| out.to_string_lossy().into_owned()).unwrap_or_default(),
    };
    let issued = issue_certificate(&dir, &request, passphrase.as_ref())?;
    if args.json {
        output::line(&json!(issued).to_string());
        return Ok(());
    }
    print_issued(&issued);
    Ok(())
}

fn print_issued(issued: &IssuedCertificate) {
    output::line(&format!("certificate     {}", issued.file));
    if !issued.key_file.is_empty() {
        output::line(&format!("key             {}", issued.key_file));
    }
    output::line(&format!("CA certificate  {}", issued.ca_file));
    output::line(&format!("                {}", output::certificate(&issued.certificate)));
    for lines in &issued.configuration {
        output::line(&format!("\n# {}: {}", lines.broker, lines.place));
        if !lines.commands.is_empty() {
            output::line(&lines.commands);
        }
        output::print(&lines.lines);
    }
}

fn show(args: &CertShowArgs) -> Result<(), Ending> {
    let passphrase = args.key_password.as_ref().map(|text| Secret::new(text.as_bytes()));
    let mut unusable = false;
    for path in &args.files {
        let report = identity::report_file(path, passphrase.as_ref());
        unusable |= report.error.is_some();
        if args.json {
            output::line(&json!(report).to_string());
        } else {
            print_file(&report);
        }
    }
    if unusable { Err(Ending::Shown(2)) } else { Ok(()) }
}

fn print_file(report: &FileReport) {
    output::line(&format!("{}: {}", report.path, report.found));
    for certificate in &report.certificates {
        print_certificate(certificate);
    }
    if let Some(error) = &report.error {
        output::error(&error.message);
    }
}

fn print_certificate(certificate: &CertificateInfo) {
    output::line(&format!("  {}", output::printable(&output::certificate(certificate))));
    if !certificate.usages.is_empty() {
        output::line(&format!("    for {}", certificate.usages.join(", ")));
    }
    output::line(&format!("    key SHA-256 {}", certificate.spki_sha256));
}

fn check(args: &CertCheckArgs) -> Result<(), Ending> {
    let certificate = ClientCertificate {
        enabled: true,
        cert_file: args.cert.clone().or_else(|| args.p12.clone()).unwrap_or_default(),
        key_file: args.key.clone().unwrap_or_default(),
        pkcs12: args.cert.is_none() && args.p12.is_some(),
    };
    let named = !certificate.cert_file.is_empty() || !certificate.key_file.is_empty();
    if !named && args.ca.is_empty() && args.crl.is_empty() {
        return Err(Ending::Usage("Name files to check: --cert, --key, --p12, --ca or --crl".into()));
    }
    let trust = Trust {
        mode: TrustMode::CaOnly,
        ca_files: args.ca.clone(),
        crl_files: args.crl.clone(),
        ..Trust::default()
    };
    let settings = Settings { client_certificate: certificate, trust, ..Settings::default() };
    let mut secrets = Secrets::default();
    let passphrase = args.key_password.as_ref().map(|text| Secret::new(text.as_bytes()));
    secrets.put(SecretField::KeyPassphrase, passphrase);
    let found = draft::check_files(&settings, &secrets);
    let leaf = found.identity.as_ref().and_then(|identity| identity.chain.first());
    let server = args.server || args.host.is_some();
    let mut problems: Vec<(Severity, String, String)> = found
        .problems
        .iter()
        // A server's certificate is not made for clients, and need not be.
        .filter(|problem| named || !problem.field.starts_with("settings.client_certificate"))
        .filter(|problem| !(server && problem.code == "certificate_wrong_purpose"))
        .map(|problem| (problem.severity, problem.code.clone(), problem.message.clone()))
        .collect();
    if let Some(leaf) = leaf.filter(|leaf| server && !leaf.allows("serverAuth")) {
        let text =
            format!("{} is not made for servers: its extended key usage lacks serverAuth", leaf.short_name());
        problems.push((Severity::Error, "certificate_wrong_purpose".into(), text));
    }
    if let (Some(host), Some(leaf)) = (&args.host, leaf)
        && !leaf.names_host(host)
    {
        let text = format!("{} does not name {host}, but {}", leaf.short_name(), leaf.sans.join(", "));
        problems.push((Severity::Error, "server_cert_name_mismatch".into(), text));
    }
    let errors = problems.iter().any(|(severity, ..)| *severity == Severity::Error);
    if args.json {
        let listed: Vec<_> = problems
            .iter()
            .map(
                |(severity, code, message)| json!({ "severity": severity, "code": code, "message": message }),
            )
            .collect();
        let chain = found.identity.as_ref().map(|identity| &identity.chain);
        output::line(&json!({ "ok": !errors, "problems": listed, "chain": chain }).to_string());
    } else {
        if let Some(identity) = found.identity.filter(|identity| identity.key_matches == Some(true)) {
            output::line("The key matches the certificate. What is sent:");
            identity.chain.iter().for_each(print_certificate);
        }
        found.authorities.iter().chain(&found.revocation_lists).for_each(print_file);
        for (severity, _, message) in &problems {
            match severity {
                Severity::Error => output::error(message),
                Severity::Warning => output::warn(message),
            }
        }
    }
    if errors { Err(Ending::Shown(2)) } else { Ok(()) }
}
