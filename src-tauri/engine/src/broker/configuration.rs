//! What makes brokers use a server certificate: the exact lines, with the files' paths put in. In: paths. Out: text
//! for a person to copy. Pure.

use serde::Serialize;
use ts_rs::TS;

/// The lines for one broker.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, TS)]
#[ts(export)]
pub struct BrokerLines {
    /// Its name, e.g. `mosquitto`.
    pub broker: String,
    /// Where the lines go, e.g. `mosquitto.conf`.
    pub place: String,
    /// Commands to run first; empty when there are none.
    pub commands: String,
    /// The lines.
    pub lines: String,
}

/// For mosquitto, EMQX, HiveMQ and nginx: TLS on port 8883, demanding client certificates of the same CA. With an
/// empty `key` the certificate file is a PKCS#12 bundle.
pub fn lines(ca: &str, cert: &str, key: &str, passphrase: bool) -> Vec<BrokerLines> {
    let bundle = key.is_empty();
    let stem = cert.strip_suffix(".p12").or(cert.strip_suffix(".pem")).unwrap_or(cert);
    // Servers start without anybody to type a passphrase, and most read PEM only.
    let (commands, cert, key) = if bundle {
        let (pem, plain) = (format!("{stem}.pem"), format!("{stem}.key"));
        let commands = format!(
            "openssl pkcs12 -in {0} -nokeys -out {1}\n(umask 077; openssl pkcs12 -in {0} -nocerts -nodes -out {2})",
            quoted(cert),
            quoted(&pem),
            quoted(&plain)
        );
        (commands, pem, plain)
    } else if passphrase {
        let plain = format!("{stem}-plain.key");
        let commands = format!("(umask 077; openssl pkey -in {} -out {})", quoted(key), quoted(&plain));
        (commands, cert.to_owned(), plain)
    } else {
        (String::new(), cert.to_owned(), key.to_owned())
    };
    let of = |broker: &str, place: &str, commands: String, lines: String| BrokerLines {
        broker: broker.to_owned(),
        place: place.to_owned(),
        commands,
        lines,
    };
    vec![
        of("mosquitto", "mosquitto.conf", commands.clone(), mosquitto(ca, &cert, &key)),
        of("EMQX", "base.hocon", commands.clone(), emqx(ca, &cert, &key)),
        of(
            "HiveMQ",
            "config.xml, inside <listeners>",
            hivemq_commands(ca, &cert, &key, stem, &commands),
            hivemq(stem),
        ),
        of("nginx", "nginx.conf", commands, nginx(ca, &cert, &key)),
    ]
}

fn mosquitto(ca: &str, cert: &str, key: &str) -> String {
    // Since version 2 nobody gets in who does not log in: the certificate is the login, on this listener alone.
    format!(
        "listener 8883\n# For wss instead of mqtts:\n# protocol websockets\ncafile {ca}\ncertfile {cert}\nkeyfile {key}\n\
         # A certificate of this CA lets in, and its common name is the user name; without one nobody gets in.\n\
         require_certificate true\nuse_identity_as_username true\n"
    )
}

fn emqx(ca: &str, cert: &str, key: &str) -> String {
    format!(
        "listeners.ssl.default {{\n  bind = \"0.0.0.0:8883\"\n  ssl_options {{\n    cacertfile = {}\n    \
         certfile = {}\n    keyfile = {}\n    verify = verify_peer\n    \
         # false lets clients without a certificate in.\n    fail_if_no_peer_cert = true\n  }}\n}}\n",
        string(ca),
        string(cert),
        string(key)
    )
}

fn hivemq_commands(ca: &str, cert: &str, key: &str, stem: &str, before: &str) -> String {
    let [bundle, store, trust] =
        ["hivemq.p12", "hivemq.jks", "hivemq-trust.jks"].map(|end| quoted(&format!("{stem}-{end}")));
    let first = if before.is_empty() { String::new() } else { format!("{before}\n") };
    format!(
        "{first}openssl pkcs12 -export -in {} -inkey {} -name hivemq -passout pass:changeit -out {bundle}\n\
         (umask 077; keytool -importkeystore -srckeystore {bundle} -srcstoretype PKCS12 -srcstorepass changeit \
         -destkeystore {store} -deststorepass changeit)\n\
         keytool -importcert -noprompt -alias ca -file {} -keystore {trust} -storepass changeit",
        quoted(cert),
        quoted(key),
        quoted(ca)
    )
}

fn hivemq(stem: &str) -> String {
    let [store, trust] = ["hivemq.jks", "hivemq-trust.jks"].map(|end| xml(&format!("{stem}-{end}")));
    format!(
        "<tls-tcp-listener>\n  <port>8883</port>\n  <bind-address>0.0.0.0</bind-address>\n  <tls>\n    <keystore>\n      \
         <path>{store}</path>\n      <password>changeit</password>\n      \
         <private-key-password>changeit</private-key-password>\n    </keystore>\n    <truststore>\n      \
         <path>{trust}</path>\n      <password>changeit</password>\n    </truststore>\n    \
         <!-- NONE lets clients without a certificate in. -->\n    \
         <client-authentication-mode>REQUIRED</client-authentication-mode>\n  </tls>\n</tls-tcp-listener>\n"
    )
}

/// TLS ends at nginx; behind it a broker listens on 1883.
fn nginx(ca: &str, cert: &str, key: &str) -> String {
    format!(
        "stream {{\n  server {{\n    listen 8883 ssl;\n    ssl_certificate {};\n    ssl_certificate_key {};\n    \
         ssl_client_certificate {};\n    # off lets clients without a certificate in.\n    ssl_verify_client on;\n    \
         proxy_pass 127.0.0.1:1883;\n  }}\n}}\n",
        string(cert),
        string(key),
        string(ca)
    )
}

/// As HOCON and nginx take it.
fn string(path: &str) -> String {
    format!("\"{}\"", path.replace('\\', "\\\\").replace('"', "\\\""))
}

fn xml(text: &str) -> String {
    text.replace('&', "&amp;").replace('<', "&lt;").replace('>', "&gt;")
}

fn quoted(path: &str) -> String {
    crate::identity::quoted(path)
}
