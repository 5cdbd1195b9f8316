//! Tokens in software (SoftHSM2) in a folder of their own. Whoever uses them runs in a process with [`SoftHsm::VARIABLE`]
//! set, since the module reads it when it starts.

use std::path::{Path, PathBuf};
use std::process::Command;

/// The PIN of every token made here.
pub const TOKEN_PIN: &str = "canary-pin-8f21";
const SO_PIN: &str = "so-pin-0000";

/// A folder of tokens.
pub struct SoftHsm {
    /// Its configuration.
    pub config: PathBuf,
}

impl SoftHsm {
    /// The environment variable that names the configuration.
    pub const VARIABLE: &str = "SOFTHSM2_CONF";

    /// An empty one in `dir`; `mechanisms` is `ALL`, or a list that begins with a minus for all but these.
    pub fn make(dir: &Path, mechanisms: &str) -> Self {
        let tokens = dir.join("tokens");
        std::fs::create_dir_all(&tokens).expect("folder");
        let config = dir.join("softhsm2.conf");
        let text = format!(
            "directories.tokendir = {}\nobjectstore.backend = file\nlog.level = ERROR\nslots.mechanisms = {mechanisms}\n",
            tokens.display()
        );
        std::fs::write(&config, text).expect("configuration");
        Self { config }
    }

    /// The module.
    pub fn module() -> &'static str {
        let places = ["/usr/lib/softhsm/libsofthsm2.so", "/usr/lib64/softhsm/libsofthsm2.so"];
        places.into_iter().find(|path| Path::new(path).exists()).expect("package softhsm2")
    }

    /// Makes a token.
    pub fn token(&self, label: &str) {
        self.run(
            "softhsm2-util",
            &["--init-token", "--free", "--label", label, "--so-pin", SO_PIN, "--pin", TOKEN_PIN],
        );
    }

    /// Puts a private key (PKCS#8, PEM) on a token.
    pub fn import(&self, token: &str, label: &str, id: &str, key: &Path) {
        let key = key.to_str().expect("path");
        self.run(
            "softhsm2-util",
            &["--import", key, "--token", token, "--label", label, "--id", id, "--pin", TOKEN_PIN],
        );
    }

    /// Puts a certificate (PEM) on a token, beside the key with the same identifier.
    pub fn certificate(&self, token: &str, label: &str, id: &str, certificate: &Path) {
        let der = certificate.with_extension("der");
        let (from, to) = (certificate.to_str().expect("path"), der.to_str().expect("path"));
        self.run("openssl", &["x509", "-in", from, "-outform", "DER", "-out", to]);
        self.tool(token, &["--write-object", to, "--type", "cert", "--label", label, "--id", id]);
    }

    /// Makes an RSA key on a token that wants the PIN before each signature (CKA_ALWAYS_AUTHENTICATE), and writes its
    /// public key (SubjectPublicKeyInfo, DER) to a file.
    pub fn generate_asking(&self, token: &str, label: &str, id: &str, public: &Path) {
        let made = ["--keypairgen", "--key-type", "rsa:2048", "--always-auth", "--label", label, "--id", id];
        self.tool(token, &made);
        let public = public.to_str().expect("path");
        self.tool(token, &["--read-object", "--type", "pubkey", "--id", id, "--output-file", public]);
    }

    fn tool(&self, token: &str, arguments: &[&str]) {
        let login = ["--module", Self::module(), "--token-label", token, "--login", "--pin", TOKEN_PIN];
        self.run("pkcs11-tool", &[&login, arguments].concat());
    }

    fn run(&self, program: &str, arguments: &[&str]) {
        let output = Command::new(program).args(arguments).env(Self::VARIABLE, &self.config).output();
        let output = output.unwrap_or_else(|error| panic!("{program} (packages softhsm2, opensc): {error}"));
        assert!(
            output.status.success(),
            "{program}: {}{}",
            String::from_utf8_lossy(&output.stdout),
            String::from_utf8_lossy(&output.stderr)
        );
    }
}
