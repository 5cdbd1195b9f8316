//! The table.

use heliograph_engine::profile::ProxyKind::{Http, Https, Socks5};

use super::peers::Asks;
use super::proxies::{PASSWORD, USER};
use super::{Ask, Certificates, Proxy, Row, Script, Server, TlsPeer, mqtt, mqtts, ws, wss};
use Script::*;
use Server::*;

/// One line of the table.
pub fn row(
    name: &'static str,
    server: Server,
    ask: Ask,
    code: &'static str,
    stage: &'static str,
    fix: &'static str,
    facts: &'static [&'static str],
) -> Row {
    Row { name, server, ask, code, stage, fix, facts }
}

/// Inside TLS 1.3.
fn tls(script: Script) -> Server {
    Tls(TlsPeer::PLAIN, script)
}

/// Inside TLS 1.3, with a client certificate asked for.
fn asking(asks: Asks, script: Script) -> Server {
    Tls(TlsPeer { asks, ..TlsPeer::PLAIN }, script)
}

/// Inside TLS 1.2, with a client certificate asked for.
fn asking_old(asks: Asks, script: Script) -> Server {
    Tls(TlsPeer { asks, ..TlsPeer::OLD }, script)
}

/// Files that are wrong in themselves.
pub fn make_files(certificates: &Certificates) {
    let read = |path: String| std::fs::read(path).expect("a file");
    certificates.write("empty.pem", "");
    certificates.write("text.pem", "Dear customer, please find attached.\n");
    certificates.write("garbage.pem", [0x30, 0x82, 0xff, 0xff, 1, 2, 3, 4, 5]);
    certificates.write("swapped.pem", read(certificates.key("client")));
    certificates.write("swapped.key", read(certificates.cert("client")));
    certificates.write(
        "key-in-cert.pem",
        [read(certificates.cert("client")), read(certificates.key("client"))].concat(),
    );
    certificates.write("cut.pem", &read(certificates.cert("client"))[..200]);
    certificates.write("empty.crl.pem", "");
    certificates.write("text.crl.pem", "Nothing was revoked.\n");
    certificates.write("certificate.crl.pem", read(certificates.cert("client")));
    certificates.write("text.key", "no key\n");
    certificates.write("empty.key", "");
    std::fs::create_dir(certificates.path("folder.pem")).expect("a folder");
    certificates.encrypt_key("client", "encrypted", "open");
    let bundle = certificates.bundle("client", "open");
    certificates.write("bundle.pem", &bundle);
    certificates.write("cut-bundle.pem", &bundle[..bundle.len() / 2]);
    certificates.write("encrypted.pem", read(certificates.cert("client")));
}

/// RabbitMQ's rows; it starts too slowly for the others to wait.
#[rustfmt::skip]
pub fn rabbit_rows() -> Vec<Row> {
    vec![
        row("RabbitMQ", Real("rabbit"), mqtt().v311(), "connected", "", "", &[]),
        row("RabbitMQ, wrong password", Real("rabbit"), mqtt().v311().login("guest", "wrong"), "bad_credentials", "mqtt", "set_credentials", &["reason_code=134"]),
        row("RabbitMQ 3.10 knows no MQTT 5 and hangs up", Real("rabbit"), mqtt(), "closed_before_connack", "mqtt", "set_transport mqtts", &["ended"]),
        row("RabbitMQ, TLS on the plain port", Real("rabbit"), mqtts(), "closed_during_tls", "tls", "set_transport mqtt", &["ended"]),
        row("RabbitMQ, no client certificate", Real("rabbit tls"), mqtts().v311(), "client_cert_required", "tls@mqtt", "choose_identity", &["alert"]),
        row("RabbitMQ, stranger's client certificate", Real("rabbit tls"), mqtts().v311().with("client-of-strangers"), "client_cert_unknown_ca", "tls@mqtt", "choose_identity", &["alert=unknown_ca"]),
        row("RabbitMQ, expired client certificate", Real("rabbit tls"), mqtts().v311().with("client-expired"), "client_cert_expired", "tls@mqtt", "choose_identity", &["alert=certificate_expired"]),
        row("RabbitMQ, client certificate for servers", Real("rabbit tls"), mqtts().v311().with("client-as-server"), "client_cert_wrong_purpose", "tls@mqtt", "choose_identity", &["alert"]),
        row("RabbitMQ, plain on the TLS port", Real("rabbit tls"), mqtt().v311(), "peer_speaks_tls", "mqtt", "set_transport mqtts", &["first_bytes_hex=15"]),
        row("RabbitMQ wss, no client certificate", Real("rabbit wss"), wss().at("/ws").v311(), "client_cert_required", "tls@websocket", "choose_identity", &["alert"]),
        row("RabbitMQ wss, another path", Real("rabbit ws"), ws().at("/nothing").v311(), "ws_not_found", "websocket", "set_path", &["http_status=404"]),
    ]
}

/// All others.
pub fn rows() -> Vec<Row> {
    [
        reach(),
        identity(),
        proxies(),
        server_certificates(),
        client_certificates(),
        tls_wire(),
        websocket(),
        connack(),
        mqtt_wire(),
    ]
    .concat()
}

#[rustfmt::skip]
fn reach() -> Vec<Row> {
    vec![
        row("all is well", Real("mosquitto"), mqtt(), "connected", "", "", &[]),
        row("all is well, 3.1.1", Real("mosquitto"), mqtt().v311(), "connected", "", "", &[]),
        row("nobody listens", Nobody, mqtt(), "connection_refused", "tcp", "set_port 1883", &["errno=111", "attempts"]),
        row("nobody listens, wss", Nobody, wss(), "connection_refused", "tcp", "set_port 443", &["errno=111"]),
        row("no answer to the connection request", Unanswering, mqtt(), "connect_timeout", "tcp", "set_port 1883", &["attempts"]),
        row("a broadcast address", Host("255.255.255.255"), mqtt(), "network_unreachable", "tcp", "retry", &["errno=101"]),
    ]
}

#[rustfmt::skip]
fn identity() -> Vec<Row> {
    let at = |name, ask: Ask, code, fix, facts| row(name, Real("mosquitto tls 1.3, client"), ask, code, "identity", fix, facts);
    vec![
        at("no such certificate file", mqtts().files("missing", "client"), "file_not_found", "choose_identity", &["path=missing.pem"]),
        at("no such key file", mqtts().files("client", "missing"), "file_not_found", "choose_identity", &["path=missing.key"]),
        at("no such CA file", mqtts().trusting("missing"), "file_not_found", "", &["path=missing.ca.pem"]),
        at("no such revocation list", mqtts().revoked_by("missing"), "file_not_found", "add_trust", &["path=missing.crl.pem"]),
        at("an empty revocation list", mqtts().revoked_by("empty"), "file_empty", "add_trust", &["path=empty.crl.pem"]),
        at("a certificate instead of a revocation list", mqtts().revoked_by("certificate"), "not_a_crl", "add_trust", &["path=certificate.crl.pem"]),
        at("text instead of a revocation list", mqtts().revoked_by("text"), "not_a_crl", "add_trust", &["path=text.crl.pem"]),
        at("a folder", mqtts().files("folder", "client"), "file_unreadable", "choose_identity", &["path=folder.pem"]),
        at("an empty certificate file", mqtts().files("empty", "client"), "file_empty", "choose_identity", &["path=empty.pem"]),
        at("an empty key file", mqtts().files("client", "empty"), "file_empty", "choose_identity", &["path=empty.key"]),
        at("text instead of a certificate", mqtts().files("text", "client"), "not_a_certificate", "choose_identity", &["path=text.pem"]),
        at("garbage instead of a certificate", mqtts().files("garbage", "client"), "not_a_certificate", "choose_identity", &["path=garbage.pem"]),
        at("a certificate cut in half", mqtts().files("cut", "client"), "not_a_certificate", "choose_identity", &["path=cut.pem"]),
        at("text instead of a key", mqtts().files("client", "text"), "not_a_private_key", "choose_identity", &["path=text.key"]),
        at("files swapped", mqtts().files("swapped", "swapped"), "files_swapped", "choose_identity true", &["path=swapped"]),
        at("another certificate's key", mqtts().files("client", "client-future"), "key_mismatch", "choose_identity", &["path=client-future.key"]),
        at("no key", mqtts().files("client", ""), "private_key_missing", "choose_identity", &["path=client.pem"]),
        at("no certificate", mqtts().files("swapped", ""), "certificate_missing", "choose_identity", &["path=swapped.pem"]),
        at("an encrypted key", mqtts().with("encrypted"), "passphrase_required", "enter_passphrase", &["path=encrypted.key"]),
        at("a bundle cut in half", mqtts().files("cut-bundle", "").passphrase("open"), "not_a_pkcs12", "choose_identity", &["path=cut-bundle.pem"]),
        at("a bundle without its passphrase", mqtts().files("bundle", ""), "passphrase_required", "enter_passphrase", &["path=bundle.pem"]),
        at("a bundle with a wrong passphrase", mqtts().files("bundle", "").passphrase("sesame"), "passphrase_wrong", "enter_passphrase", &["path=bundle.pem"]),
        at("a bundle with its passphrase", mqtts().files("bundle", "").passphrase("open"), "connected", "", &[]),
        at("a wrong passphrase", mqtts().with("encrypted").passphrase("sesame"), "passphrase_wrong", "enter_passphrase", &["path=encrypted.key"]),
        at("the right passphrase", mqtts().with("encrypted").passphrase("open"), "connected", "", &[]),
        at("a key that TLS cannot use", mqtts().files("odd-curve", "odd-curve"), "unsupported_key", "choose_identity", &["path=odd-curve"]),
        at("the same before wss", wss().files("client", "client-future"), "key_mismatch", "choose_identity", &["path=client-future.key"]),
    ]
}

#[rustfmt::skip]
fn proxies() -> Vec<Row> {
    vec![
        row("HTTP proxy", Real("mosquitto"), mqtt().through(Http, Proxy::Http), "connected", "", "", &[]),
        row("HTTP proxy with a login", Real("mosquitto"), mqtt().through(Http, Proxy::HttpLogin).proxy_login(USER, PASSWORD), "connected", "", "", &[]),
        row("SOCKS proxy", Real("mosquitto wss"), wss().through(Socks5, Proxy::Socks), "connected", "", "", &[]),
        row("SOCKS proxy with a login", Real("mosquitto tls"), mqtts().through(Socks5, Proxy::SocksLogin).proxy_login(USER, PASSWORD), "connected", "", "", &[]),
        row("HTTP proxy wants a login", Real("mosquitto"), mqtt().through(Http, Proxy::HttpLogin), "proxy_auth_required", "proxy", "set_credentials proxy", &["answer=407"]),
        row("HTTP proxy, wrong login", Real("mosquitto"), ws().through(Http, Proxy::HttpLogin).proxy_login(USER, "wrong"), "proxy_auth_rejected", "proxy", "set_credentials proxy", &["answer=407"]),
        row("HTTP proxy forbids the port", Real("mosquitto"), mqtts().through(Http, Proxy::HttpStrict), "proxy_denied", "proxy", "set_port", &["answer=403", "target"]),
        row("HTTP proxy, nobody behind it", Nobody, mqtt().through(Http, Proxy::Http), "proxy_target_unreachable", "proxy", "set_port 1883", &["answer=502", "target"]),
        row("HTTP proxy, no such name", Host("no-such-host.invalid"), mqtt().through(Http, Proxy::Http), "proxy_target_unreachable", "proxy", "set_server", &["answer=502"]),
        row("SOCKS proxy wants a login", Real("mosquitto"), mqtt().through(Socks5, Proxy::SocksLogin), "proxy_auth_required", "proxy", "set_credentials proxy", &["answer"]),
        row("SOCKS proxy, wrong login", Real("mosquitto"), mqtt().through(Socks5, Proxy::SocksLogin).proxy_login(USER, "wrong"), "proxy_auth_rejected", "proxy", "set_credentials proxy", &["answer"]),
        row("SOCKS proxy hangs up on a wrong login", Real("mosquitto"), mqtt().through(Socks5, Proxy::SocksLoginHangsUp).proxy_login(USER, "wrong"), "proxy_auth_rejected", "proxy", "set_credentials proxy", &[]),
        row("SOCKS proxy allows nothing", Real("mosquitto"), wss().through(Socks5, Proxy::SocksStrict), "proxy_denied", "proxy", "set_port", &["answer=ruleset"]),
        row("SOCKS proxy, nobody behind it", Nobody, mqtts().through(Socks5, Proxy::Socks), "proxy_target_unreachable", "proxy", "set_port 8883", &["answer=refused"]),
        row("SOCKS proxy hangs up on the target", Real("mosquitto"), mqtt().through(Socks5, Proxy::SocksHangsUp), "proxy_target_unreachable", "proxy", "set_port 1883", &["answer=closed"]),
        row("HTTP proxy answers 401 to a wrong login", Real("mosquitto"), mqtt().through(Http, Proxy::Other(SaysAndCloses(b"HTTP/1.0 401 Unauthorized\r\n\r\n"))).proxy_login(USER, "wrong"), "proxy_auth_rejected", "proxy", "set_credentials proxy", &["answer=401"]),
        row("HTTP proxy says yes and then closes", Nobody, mqtt().through(Http, Proxy::Other(SaysAndCloses(b"HTTP/1.1 200 OK\r\n\r\n"))), "closed_before_connack", "mqtt", "set_transport mqtts", &["ended"]),
        row("no HTTP proxy there", Real("mosquitto"), mqtt().through(Http, Proxy::Nobody), "proxy_unreachable", "proxy@tcp", "retry", &["errno=111"]),
        row("no SOCKS proxy there", Real("mosquitto"), mqtts().through(Socks5, Proxy::Nobody), "proxy_unreachable", "proxy@tcp", "retry", &["errno=111"]),
        row("SOCKS spoken to an HTTP proxy", Real("mosquitto"), mqtt().hurried().through(Socks5, Proxy::Http), "proxy_protocol_error", "proxy", "retry", &[]),
        row("HTTP spoken to a SOCKS proxy", Real("mosquitto"), mqtt().hurried().through(Http, Proxy::Socks), "proxy_protocol_error", "proxy", "retry", &[]),
        row("HTTP proxy is a web server", Real("mosquitto"), mqtt().through(Http, Proxy::Other(SaysAndCloses(b"HTTP/1.1 405 Not Allowed\r\nServer: nginx\r\n\r\n"))), "proxy_protocol_error", "proxy", "retry", &["answer=405"]),
        row("HTTP proxy is a web server that cannot CONNECT", Real("mosquitto"), mqtt().through(Http, Proxy::Other(SaysAndCloses(b"HTTP/1.0 501 Unsupported method ('CONNECT')\r\n\r\n"))), "proxy_protocol_error", "proxy", "retry", &["answer=501"]),
        row("HTTP proxy is SSH", Real("mosquitto"), mqtt().through(Http, Proxy::Other(Greets(b"SSH-2.0-OpenSSH_9.2p1\r\n"))), "proxy_protocol_error", "proxy", "retry", &["first_bytes_text=SSH-"]),
        row("SOCKS proxy answers HTTP", Real("mosquitto"), mqtt().through(Socks5, Proxy::Other(SaysAndCloses(b"HTTP/1.1 400 Bad Request\r\n\r\n"))), "proxy_protocol_error", "proxy", "retry", &["first_bytes_text=HTTP"]),
        row("SOCKS proxy speaks version 4", Real("mosquitto"), mqtt().through(Socks5, Proxy::Other(SaysAndCloses(b"\x00\x5b\0\0\0\0\0\0"))), "proxy_protocol_error", "proxy", "retry", &["first_bytes_hex=005b"]),
        row("proxy closes", Real("mosquitto"), mqtt().through(Http, Proxy::Other(ReadsAndCloses)), "proxy_protocol_error", "proxy", "retry", &[]),
        row("proxy resets", Real("mosquitto"), mqtt().through(Socks5, Proxy::Other(Resets)), "proxy_protocol_error", "proxy", "retry", &["errno=104"]),
        row("HTTP proxy is silent about its target", Real("mosquitto"), mqtt().hurried().through(Http, Proxy::Other(Silent)), "proxy_target_unreachable", "proxy", "retry", &["target"]),
        row("HTTPS proxy does not speak TLS", Real("mosquitto"), mqtt().hurried().through(Https, Proxy::Http), "proxy_protocol_error", "proxy", "", &[]),
        row("HTTP proxy answers without end", Real("mosquitto"), mqtt().through(Http, Proxy::Other(Repeats(b"HTTP/1.1 200 OK\r\nX: y\r\n"))), "proxy_protocol_error", "proxy", "retry", &[]),
        row("broker refuses behind a proxy", Real("mosquitto login"), mqtt().through(Http, Proxy::Http), "not_authorized", "mqtt", "set_credentials broker", &["reason_code=135"]),
    ]
}

#[rustfmt::skip]
fn server_certificates() -> Vec<Row> {
    let ca = "add_trust ca_only";
    let mut rows = vec![
        row("all is well inside TLS", Real("mosquitto tls"), mqtts(), "connected", "", "", &[]),
        row("all is well with an intermediate", Real("server-chain"), mqtts(), "connected", "", "", &[]),
        row("all is well with the intermediate as a CA file", Real("server-leaf-only"), mqtts().trusting("both"), "connected", "", "", &[]),
        row("server certificate expired", Real("server-expired"), mqtts(), "server_cert_expired", "tls", "add_trust pinned", &["not_after", "subject", "sha256"]),
        row("server certificate of the future", Real("server-future"), mqtts(), "server_cert_not_yet_valid", "tls", "retry", &["not_before"]),
        row("server certificate for other names", Real("server-other-name"), mqtts().host("localhost"), "server_cert_name_mismatch", "tls", "set_server other.example", &["expected=localhost", "sans=other.example"]),
        row("server certificate without names", Real("server-no-san"), mqtts(), "server_cert_no_san", "tls", "add_trust", &["subject=localhost"]),
        row("server certificate of version 1", Real("server-version-1"), mqtts(), "server_cert_no_san", "tls", "add_trust", &["subject=localhost"]),
        row("server certificate of strangers", Real("server-of-strangers"), mqtts(), "server_cert_unknown_issuer", "tls", ca, &["issuer=Strangers CA"]),
        row("server certificate signed by itself", Real("server-self-signed"), mqtts(), "server_cert_self_signed", "tls", "add_trust", &["chain_length=1"]),
        row("server certificate without its intermediate", Real("server-leaf-only"), mqtts(), "server_cert_chain_incomplete", "tls", ca, &["issuer=Plant Issuing CA", "chain_length=1"]),
        row("server certificate for clients", Real("server-as-client"), mqtts(), "server_cert_wrong_purpose", "tls", "add_trust pinned", &["subject"]),
        row("server certificate revoked, by a list", Real("server-revoked"), mqtts().revoked_by("revoking"), "server_cert_revoked", "tls", "retry", &["subject"]),
        row("server certificate revoked, by a list that has expired", Real("server-revoked"), mqtts().revoked_by("revoking-till-2021"), "server_cert_revoked", "tls", "retry", &["subject"]),
        row("a list that revokes others", Real("server-revoked"), mqtts().revoked_by("revoking-nothing"), "connected", "", "", &[]),
        row("a list of another authority", Real("server-revoked"), mqtts().revoked_by("revoking-by-strangers"), "connected", "", "", &[]),
        row("server certificate of version 1, unverified", Real("server-version-1"), mqtts().unverified(), "connected", "", "", &[]),
        row("server certificate of version 1, unverified, TLS 1.2", Real("mosquitto tls 1.2, version 1"), mqtts().unverified(), "connected", "", "", &[]),
        row("server certificate revoked, by a staple", Real("openssl revoked"), mqtts(), "server_cert_revoked", "tls", "retry", &["subject"]),
        row("the certificate of an authority in a server's place", Tls(TlsPeer { certificate: "server-authority", ..TlsPeer::PLAIN }, Silent), mqtts(), "server_cert_invalid", "tls", "add_trust", &["subject"]),
        row("server key too short", Real("openssl short key"), mqtts(), "server_cert_invalid", "tls", "retry", &["subject"]),
        row("server certificate expired, nginx", Real("nginx expired"), wss(), "server_cert_expired", "tls", "add_trust pinned", &["not_after"]),
        row("server certificate for other names, nginx", Real("nginx other name"), wss(), "server_cert_name_mismatch", "tls", "set_server other.example", &["expected=127.0.0.1"]),
        row("server certificate of strangers, wss", Real("mosquitto wss"), wss().trusting("strangers"), "server_cert_unknown_issuer", "tls", ca, &["issuer=Plant Root CA"]),
    ];
    // The same inside TLS 1.2, from a scripted server.
    let old = |name, certificate, code, fix| row(name, Tls(TlsPeer { certificate, ..TlsPeer::OLD }, Silent), mqtts(), code, "tls", fix, &["sha256"]);
    rows.extend([
        old("server certificate expired, TLS 1.2", "server-expired", "server_cert_expired", "add_trust pinned"),
        old("server certificate of the future, TLS 1.2", "server-future", "server_cert_not_yet_valid", "retry"),
        old("server certificate without names, TLS 1.2", "server-no-san", "server_cert_no_san", "add_trust"),
        old("server certificate of strangers, TLS 1.2", "server-of-strangers", "server_cert_unknown_issuer", ca),
        old("server certificate signed by itself as a CA, TLS 1.2", "server-self-signed-ca", "server_cert_self_signed", "add_trust"),
        old("server certificate without its intermediate, TLS 1.2", "server-leaf-only", "server_cert_chain_incomplete", ca),
        old("server certificate for clients, TLS 1.2", "server-as-client", "server_cert_wrong_purpose", "add_trust pinned"),
    ]);
    rows
}

#[rustfmt::skip]
fn client_certificates() -> Vec<Row> {
    let mut rows = vec![
        row("client certificate", Real("mosquitto tls 1.3, client"), mqtts().with("client"), "connected", "", "", &[]),
        row("client certificate with its chain", Real("mosquitto tls 1.3, client"), mqtts().with("client-chain"), "connected", "", "", &[]),
        row("client certificate, nginx", Real("nginx tls 1.3, client"), wss().with("client-chain"), "connected", "", "", &[]),
        row("client certificate, nginx that asks without insisting", Real("nginx tls, client asked"), wss().with("client"), "connected", "", "", &[]),
        row("no client certificate, nginx that asks without insisting", Real("nginx tls, client asked"), wss(), "client_cert_required", "tls@websocket", "choose_identity", &["http_status=403"]),
        row("expired client certificate, and a 403", asking(Asks::Plant, SaysAndCloses(b"HTTP/1.1 403 Forbidden\r\n\r\n")), wss().with("client-expired"), "client_cert_expired", "tls@websocket", "choose_identity", &["http_status=403"]),
        row("good client certificate, and a 403", asking(Asks::Plant, SaysAndCloses(b"HTTP/1.1 403 Forbidden\r\n\r\n")), wss().with("client"), "ws_forbidden", "websocket", "choose_identity", &["http_status=403"]),
        row("no client certificate, and a 401 that names no login", asking(Asks::Plant, SaysAndCloses(b"HTTP/1.1 401 Unauthorized\r\n\r\n")), wss(), "client_cert_required", "tls@websocket", "choose_identity", &["http_status=401", "other_reading=login"]),
        row("no client certificate, and a 401 that names no login, TLS 1.2", asking_old(Asks::Plant, SaysAndCloses(b"HTTP/1.1 401 Unauthorized\r\n\r\n")), wss(), "client_cert_required", "tls@websocket", "choose_identity", &["http_status=401", "other_reading=login"]),
        row("no client certificate, and a 401 that names a login", asking(Asks::Plant, SaysAndCloses(b"HTTP/1.1 401 Unauthorized\r\nWWW-Authenticate: Bearer\r\n\r\n")), wss(), "ws_unauthorized", "websocket", "set_credentials http", &["http_status=401", "www_authenticate=Bearer", "client_cert_asked"]),
        row("good client certificate, and a 401", asking(Asks::Plant, SaysAndCloses(b"HTTP/1.1 401 Unauthorized\r\n\r\n")), wss().with("client"), "ws_unauthorized", "websocket", "set_credentials http", &["http_status=401"]),
        row("expired client certificate, and a 401", asking(Asks::Plant, SaysAndCloses(b"HTTP/1.1 401 Unauthorized\r\n\r\n")), wss().with("client-expired"), "client_cert_expired", "tls@websocket", "choose_identity", &["http_status=401"]),
        row("client certificate of an authority made anew, stream proxy", Real("stream tls 1.3, client"), mqtts().with("client-of-namesake"), "client_cert_unknown_ca", "tls@mqtt", "choose_identity", &["ended"]),
        row("client certificate, stream proxy", Real("stream tls 1.3, client"), mqtts().with("client-chain"), "connected", "", "", &[]),
        row("no client certificate, mosquitto wss", Real("mosquitto wss, client"), wss(), "client_cert_required", "tls@websocket", "choose_identity", &["alert=certificate_required"]),
        row("stranger's client certificate, mosquitto wss", Real("mosquitto wss, client"), wss().with("client-of-strangers"), "client_cert_unknown_ca", "tls@websocket", "choose_identity", &["alert=unknown_ca"]),
        row("no client certificate, closed without a word", asking(Asks::AnyOne, ReadsAndCloses), mqtts(), "client_cert_required", "tls@mqtt", "choose_identity", &["ended=closed"]),
        row("no client certificate, closed without a word, TLS 1.2", asking_old(Asks::Plant, ReadsAndCloses), wss(), "client_cert_required", "tls@websocket", "choose_identity", &["client_cert_issuers=Plant Root CA"]),
        row("no client certificate, a page says so", asking(Asks::Plant, SaysAndCloses(b"HTTP/1.1 400 Bad Request\r\n\r\nNo required SSL certificate was sent")), wss(), "client_cert_required", "tls@websocket", "choose_identity", &["http_status=400"]),
        row("no client certificate, nginx's own status", asking(Asks::AnyOne, SaysAndCloses(b"HTTP/1.1 496 SSL Certificate Required\r\n\r\n")), wss(), "client_cert_required", "tls@websocket", "choose_identity", &["http_status=496"]),
        row("good client certificate, and a 400 about something else", asking(Asks::Plant, SaysAndCloses(b"HTTP/1.1 400 Bad Request\r\n\r\nmissing subprotocol")), wss().with("client"), "ws_rejected", "websocket", "set_path", &["http_status=400"]),
        row("good client certificate, and a page that says it did not verify", asking(Asks::Plant, SaysAndCloses(b"HTTP/1.1 400 Bad Request\r\n\r\nThe SSL certificate error")), wss().with("client"), "client_cert_rejected", "tls@websocket", "choose_identity", &["http_status=400"]),
        row("good client certificate, and closed without a word", asking(Asks::Plant, ReadsAndCloses), mqtts().with("client"), "closed_before_connack", "mqtt", "set_transport wss", &["ended=closed"]),
        row("good client certificate, and silence", asking(Asks::Plant, Silent), mqtts().with("client"), "connack_timeout", "mqtt", "set_transport wss", &[]),
    ];
    // Refused by servers that say why with an alert, at both versions.
    let brokers = ["openssl tls 1.2, client", "mosquitto tls 1.3, client"];
    let webs = ["nginx tls 1.2, client", "nginx tls 1.3, client"];
    let streams = ["stream tls 1.2, client", "stream tls 1.3, client"];
    let clients = [
        ("", "client_cert_required"),
        ("client-of-strangers", "client_cert_unknown_ca"),
        ("client-self-signed", "client_cert_unknown_ca"),
        ("client-expired", "client_cert_expired"),
        ("client-as-server", "client_cert_wrong_purpose"),
        ("client-leaf-only", "client_cert_chain_incomplete"),
        ("client-future", "client_cert_rejected"),
    ];
    for (client, code) in clients {
        let with = |ask: Ask| if client.is_empty() { ask } else { ask.with(client) };
        let [old, new] = brokers;
        rows.push(row(leak(client, old), Real(old), with(mqtts()), code, "tls", "choose_identity", &["alert", "tls_version=1.2"]));
        rows.push(row(leak(client, new), Real(new), with(mqtts()), code, "tls@mqtt", "choose_identity", &["alert", "tls_version=1.3"]));
        for web in webs {
            rows.push(row(leak(client, web), Real(web), with(wss()), code, "tls@websocket", "choose_identity", &["http_status=400", "client_cert_issuers"]));
        }
        for stream in streams {
            rows.push(row(leak(client, stream), Real(stream), with(mqtts()), code, "tls@mqtt", "choose_identity", &["ended", "client_cert_issuers"]));
        }
    }
    rows
}

/// A name of two, for as long as the table lives.
fn leak(client: &str, server: &str) -> &'static str {
    let client = if client.is_empty() { "no client certificate" } else { client };
    format!("{client} at {server}").leak()
}

#[rustfmt::skip]
fn tls_wire() -> Vec<Row> {

    let says = |name, bytes, code, fix, facts| row(name, Plain(Says(bytes)), mqtts(), code, "tls", fix, facts);
    vec![
        row("TLS 1.1 alone", Real("openssl tls 1.1"), mqtts(), "tls_version_unsupported", "tls", "probe_port", &["alert=protocol_version"]),
        row("TLS 1.0 alone", Real("openssl tls 1.0"), wss(), "tls_version_unsupported", "tls", "probe_port", &["alert=protocol_version"]),
        row("TLS 1.0 said in a ServerHello", Plain(Says(SERVER_HELLO_1_0)), mqtts(), "tls_version_unsupported", "tls", "probe_port", &[]),
        row("TLS 1.2 where 1.3 is asked for", Real("openssl old ciphers"), mqtts().tls_1_3(), "tls_version_unsupported", "tls", "probe_port", &[]),
        row("old cipher suites alone", Real("openssl old ciphers"), mqtts(), "tls_no_shared_parameters", "tls", "probe_port", &["alert=handshake_failure"]),
        row("another application protocol", Real("openssl alpn"), mqtts().alpn("mqtt"), "alpn_refused", "tls", "", &["alert=no_application_protocol", "alpn_offered=mqtt"]),
        row("TLS asked of mosquitto's plain port", Real("mosquitto"), mqtts(), "closed_during_tls", "tls", "set_transport mqtt", &["ended"]),
        row("wss asked of mosquitto's plain WebSocket port", Real("mosquitto ws"), wss(), "peer_speaks_http", "tls", "set_transport ws", &["first_bytes_text=403 Forbidden"]),
        row("TLS asked of nginx's plain port", Real("nginx"), wss(), "peer_speaks_http", "tls", "set_transport ws", &["first_bytes_text=HTTP/1.1 400"]),
        row("TLS asked of a plain stream proxy", Real("stream"), mqtts(), "closed_during_tls", "tls", "set_transport mqtt", &["ended"]),
        says("HTTP", b"HTTP/1.0 400 Bad Request\r\n\r\n", "peer_speaks_http", "set_transport ws", &["first_bytes_text=HTTP/1.0"]),
        says("MQTT", b"\x20\x02\x00\x01", "peer_speaks_mqtt", "set_transport mqtt", &["first_bytes_hex=20020001"]),
        says("MQTT 5", b"\x20\x03\x00\x84\x00", "peer_speaks_mqtt", "set_transport mqtt", &["first_bytes_hex=20030084"]),
        says("MQTT that says goodbye", b"\xe0\x01\x81", "peer_speaks_mqtt", "set_transport mqtt", &["first_bytes_hex=e00181"]),
        row("SSH", Plain(Greets(b"SSH-2.0-OpenSSH_9.2p1 Debian-2\r\n")), mqtts(), "peer_speaks_ssh", "tls", "set_port 8883", &["first_bytes_text=SSH-2.0"]),
        row("SMTP", Plain(Greets(b"220 mail.example ESMTP Postfix\r\n")), mqtts(), "peer_speaks_smtp", "tls", "set_port 8883", &["first_bytes_text=220 mail"]),
        row("SMTP that is busy", Plain(Greets(b"421 mail.example Service not available\r\n")), wss(), "peer_speaks_smtp", "tls", "set_port 443", &["first_bytes_text=421"]),
        row("FTP", Plain(Greets(b"220 (vsFTPd 3.0.3)\r\n")), mqtts(), "peer_is_not_tls", "tls", "", &["peer=FTP"]),
        row("FTP that does not say so", Plain(Greets(b"220-FileZilla Server 1.7.3\r\n220 Please visit\r\n")), mqtts(), "peer_is_not_tls", "tls", "", &["peer=FTP"]),
        says("Redis", b"-ERR unknown command\r\n", "peer_is_not_tls", "", &["peer=Redis"]),
        says("PostgreSQL", b"E\0\0\0\x8bSFATAL\0VFATAL\0C0A000\0Munsupported frontend protocol\0\0", "peer_is_not_tls", "", &["peer=PostgreSQL"]),
        says("AMQP", b"AMQP\0\0\x09\x01", "peer_is_not_tls", "", &["peer=AMQP"]),
        row("MySQL", Plain(Greets(b"\x4a\0\0\0\x0a8.0.36\0\x08\0\0\0abcdefgh\0")), mqtts(), "peer_is_not_tls", "tls", "", &["peer=MySQL"]),
        row("IMAP", Plain(Greets(b"* OK IMAP4rev1 ready\r\n")), mqtts(), "peer_is_not_tls", "tls", "", &["peer=IMAP"]),
        row("POP3", Plain(Greets(b"+OK ready\r\n")), mqtts(), "peer_is_not_tls", "tls", "", &["peer=POP3"]),
        row("VNC", Plain(Greets(b"RFB 003.008\n")), mqtts(), "peer_is_not_tls", "tls", "", &["peer=VNC"]),
        says("garbage", b"what is this, and why does it go on?", "peer_is_not_tls", "", &["first_bytes_text=what is this"]),
        says("garbage that begins like nothing", b"\0\0\0\0\0\0\0\0\0\0", "peer_is_not_tls", "", &["first_bytes_hex=0000"]),
        row("two bytes of garbage, then the end", Plain(SaysAndCloses(b"no")), mqtts(), "peer_is_not_tls", "tls", "", &["first_bytes_text=no"]),
        row("two bytes of garbage, then silence", Plain(Says(b"no")), mqtts().hurried(), "peer_is_not_tls", "tls", "", &["first_bytes_text=no"]),
        row("garbage without end", Plain(Repeats(b"chargen")), mqtts(), "peer_is_not_tls", "tls", "", &["first_bytes_text=chargen"]),
        row("SSH, a byte at a time", Plain(Trickles(b"SSH-2.0-OpenSSH_9.2p1\r\n")), mqtts(), "peer_speaks_ssh", "tls", "set_port", &[]),
        row("closed at once", Plain(Closes), mqtts(), "closed_during_tls", "tls", "set_transport mqtt", &["ended"]),
        row("closed after ClientHello", Plain(ReadsAndCloses), mqtts(), "closed_during_tls", "tls", "set_transport mqtt", &["ended"]),
        row("reset after ClientHello", Plain(Resets), wss(), "closed_during_tls", "tls", "set_transport ws", &["errno=104"]),
        row("half a TLS record, then the end", Plain(SaysAndCloses(b"\x16\x03\x03\x00\x7a\x02")), mqtts(), "closed_during_tls", "tls", "retry", &["first_bytes_hex=160303"]),
        row("an echo", Plain(Echoes), mqtts(), "peer_is_not_tls", "tls", "", &["peer=echo"]),
        row("silent", Plain(Silent), mqtts(), "tls_timeout", "tls", "set_transport mqtt", &[]),
        row("silent, wss", Plain(Silent), wss(), "tls_timeout", "tls", "set_transport ws", &[]),
        row("half a TLS record, then silence", Plain(Says(b"\x16\x03\x03\x00\x7a\x02")), mqtts(), "tls_timeout", "tls", "retry", &["first_bytes_hex=160303"]),
    ]
}

/// A ServerHello of TLS 1.0 (RFC 2246, 7.4.1.3) with a cipher suite of its time.
const SERVER_HELLO_1_0: &[u8] = b"\x16\x03\x01\x00\x2a\x02\x00\x00\x26\x03\x01\
    0123456789abcdef0123456789abcdef\x00\x00\x2f\x00";

#[rustfmt::skip]
fn websocket() -> Vec<Row> {
    let at = |name, path, code, fix, facts| row(name, Real("nginx"), ws().at(path), code, "websocket", fix, facts);
    let says = |name, bytes, code, fix, facts| row(name, Plain(SaysAndCloses(bytes)), ws(), code, "websocket", fix, facts);
    let upgrades = |name, head, code, facts| row(name, Plain(Upgrades(head)), ws(), code, "websocket", "", facts);
    vec![
        row("all is well through nginx", Real("nginx"), ws(), "connected", "", "", &[]),
        row("all is well through nginx and TLS", Real("nginx tls"), wss(), "connected", "", "", &[]),
        at("nothing at the path", "/nothing", "ws_not_found", "set_path /mqtt", &["http_status=404"]),
        row("nothing at the path, TLS", Real("nginx tls"), wss().at("/nothing"), "ws_not_found", "websocket", "set_path /mqtt", &["http_status=404", "server=nginx"]),
        at("HTTP login wanted", "/login", "ws_unauthorized", "set_credentials http", &["http_status=401"]),
        at("forbidden", "/forbidden", "ws_forbidden", "set_credentials http", &["http_status=403"]),
        at("redirected to another server", "/moved", "ws_redirected", "set_transport", &["http_status=301", "location=https://elsewhere.example/mqtt"]),
        at("redirected to another path", "/other-path", "ws_redirected", "set_path /mqtt", &["http_status=307"]),
        at("an ordinary page", "/page", "ws_not_upgraded", "set_path /mqtt", &["http_status=200", "body=hello"]),
        at("a teapot", "/teapot", "ws_rejected", "set_path /mqtt", &["http_status=418"]),
        row("a bad request inside TLS", Real("nginx tls"), wss().at("/bad"), "ws_rejected", "websocket", "set_path /mqtt", &["http_status=400"]),
        at("backend down", "/down", "ws_server_error", "retry", &["http_status=502"]),
        row("ws asked of nginx's TLS port", Real("nginx tls"), ws(), "ws_rejected", "websocket", "set_transport wss", &["http_status=400"]),
        says("upgrade required", b"HTTP/1.1 426 Upgrade Required\r\nUpgrade: h2c\r\n\r\n", "ws_rejected", "set_path", &["http_status=426"]),
        says("too many requests", b"HTTP/1.1 429 Too Many Requests\r\n\r\n", "ws_rejected", "", &["http_status=429"]),
        says("server error", b"HTTP/1.1 500 Internal Server Error\r\n\r\n", "ws_server_error", "retry", &["http_status=500"]),
        says("unavailable", b"HTTP/1.1 503 Service Unavailable\r\nRetry-After: 5\r\n\r\n", "ws_server_error", "retry", &["http_status=503"]),
        says("redirected to another port", b"HTTP/1.1 302 Found\r\nLocation: ws://127.0.0.1:1/mqtt\r\n\r\n", "ws_redirected", "set_server 127.0.0.1:1", &["http_status=302"]),
        says("redirected nowhere", b"HTTP/1.1 302 Found\r\n\r\n", "ws_redirected", "", &["http_status=302"]),
        says("no content", b"HTTP/1.1 204 No Content\r\n\r\n", "ws_not_upgraded", "set_path", &["http_status=204"]),
        row("a page that never ends", Plain(Says(b"HTTP/1.1 200 OK\r\n\r\n<html>")), ws().hurried(), "ws_not_upgraded", "websocket", "set_path", &["body=<html>"]),
        row("a head that never ends", Plain(Repeats(b"HTTP/1.1 200 OK\r\nX-Long: yes\r\n")), ws(), "peer_is_not_http", "websocket", "", &[]),
        row("a slow head", Plain(Trickles(b"HTTP/1.1 404 Not Found\r\nContent-Length: 0\r\n\r\n")), ws(), "ws_not_found", "websocket", "set_path", &["http_status=404"]),
        upgrades("wrong Sec-WebSocket-Accept", "HTTP/1.1 101 S\r\nUpgrade: websocket\r\nConnection: Upgrade\r\nSec-WebSocket-Accept: AAAA\r\n\r\n", "ws_handshake_invalid", &["http_status=101"]),
        upgrades("no Sec-WebSocket-Accept", "HTTP/1.1 101 S\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n\r\n", "ws_handshake_invalid", &["http_status=101"]),
        upgrades("no Upgrade header", "HTTP/1.1 101 S\r\nConnection: Upgrade\r\nSec-WebSocket-Accept: {accept}\r\n\r\n", "ws_handshake_invalid", &["http_status=101"]),
        upgrades("an extension that was not offered", "HTTP/1.1 101 S\r\nUpgrade: websocket\r\nConnection: Upgrade\r\nSec-WebSocket-Accept: {accept}\r\nSec-WebSocket-Extensions: permessage-deflate\r\n\r\n", "ws_handshake_invalid", &["http_status=101"]),
        upgrades("another subprotocol", "HTTP/1.1 101 S\r\nUpgrade: websocket\r\nConnection: Upgrade\r\nSec-WebSocket-Accept: {accept}\r\nSec-WebSocket-Protocol: chat\r\n\r\n", "ws_subprotocol_refused", &["chosen=chat", "offered=mqtt"]),
        says("MQTT", b"\x20\x02\x00\x01", "peer_speaks_mqtt", "set_transport mqtt", &["first_bytes_hex=20020001"]),
        row("MQTT inside TLS", tls(SaysAndCloses(b"\x20\x02\x00\x01")), wss(), "peer_speaks_mqtt", "websocket", "set_transport mqtts", &["first_bytes_hex=20020001"]),
        says("a TLS alert", b"\x15\x03\x01\x00\x02\x02\x46", "peer_speaks_tls", "set_transport wss", &["first_bytes_hex=150301"]),
        says("SSH", b"SSH-2.0-OpenSSH_9.2p1\r\n", "peer_is_not_http", "", &["peer=SSH"]),
        row("SSH inside TLS", tls(Greets(b"SSH-2.0-OpenSSH_9.2p1\r\n")), wss(), "peer_is_not_http", "websocket", "", &["peer=SSH"]),
        says("Redis", b"-ERR wrong number of arguments for 'get' command\r\n", "peer_is_not_http", "", &["peer=Redis"]),
        says("AMQP", b"AMQP\0\0\x09\x01", "peer_is_not_http", "", &["peer=AMQP"]),
        says("garbage", b"\x7f\x7f\x7f\x7f\x7f\x7f", "peer_is_not_http", "", &["first_bytes_hex=7f7f"]),
        row("an echo", Plain(Echoes), ws(), "peer_is_not_http", "websocket", "", &["peer=echo"]),
        row("garbage, then silence", Plain(Says(b"no")), ws().hurried(), "peer_is_not_http", "websocket", "", &["first_bytes_text=no"]),
        row("ws asked of mosquitto's plain port", Real("mosquitto"), ws(), "closed_during_websocket", "websocket", "set_transport mqtt", &["ended"]),
        row("wss asked of mosquitto's TLS port", Real("mosquitto tls"), wss(), "closed_during_websocket", "websocket", "set_transport mqtts", &["ended"]),
        row("ws asked of mosquitto's TLS port", Real("mosquitto tls"), ws(), "closed_during_websocket", "websocket", "set_transport", &["ended"]),
        row("closed at once", Plain(Closes), ws(), "closed_during_websocket", "websocket", "set_transport mqtt", &["ended"]),
        row("reset", Plain(Resets), ws(), "closed_during_websocket", "websocket", "set_transport mqtt", &["errno=104"]),
        row("closed inside TLS", tls(ReadsAndCloses), wss(), "closed_during_websocket", "websocket", "set_transport mqtts", &["ended"]),
        row("backend down behind a TLS stream proxy", Real("stream tls, backend down"), wss(), "closed_during_websocket", "websocket", "set_transport mqtts", &["ended"]),
        row("silent", Plain(Silent), ws(), "ws_timeout", "websocket", "set_transport mqtt", &[]),
        row("silent inside TLS", tls(Silent), wss(), "ws_timeout", "websocket", "set_transport mqtts", &[]),
        row("half a head, then silence", Plain(Says(b"HTTP/1.1 101 Sw")), ws(), "ws_timeout", "websocket", "", &["first_bytes_text=HTTP/1.1 101"]),
    ]
}

#[rustfmt::skip]
fn connack() -> Vec<Row> {
    let v3 = |name, bytes, code, fix| row(name, Plain(SaysAndCloses(bytes)), mqtt().v311(), code, "mqtt", fix, &["reason_code", "reason"]);
    let v5 = |name, bytes, code, fix| row(name, Plain(SaysAndCloses(bytes)), mqtt(), code, "mqtt", fix, &["reason_code", "reason"]);
    let mut rows = vec![
        row("mosquitto wants a login", Real("mosquitto login"), mqtt(), "not_authorized", "mqtt", "set_credentials broker", &["reason_code=135"]),
        row("mosquitto, wrong login", Real("mosquitto login"), mqtt().v311().login(USER, "wrong"), "not_authorized", "mqtt", "set_credentials broker", &["reason_code=135"]),
        row("mosquitto, right login", Real("mosquitto login"), mqtt().login(USER, PASSWORD), "connected", "", "", &[]),
        v3("3.1.1 code 1", b"\x20\x02\x00\x01", "unsupported_protocol_version", "set_version 5"),
        v3("3.1.1 code 2", b"\x20\x02\x00\x02", "client_id_rejected", ""),
        v3("3.1.1 code 3", b"\x20\x02\x00\x03", "server_unavailable", "retry"),
        v3("3.1.1 code 4", b"\x20\x02\x00\x04", "bad_credentials", "set_credentials broker"),
        v3("3.1.1 code 5", b"\x20\x02\x00\x05", "not_authorized", "set_credentials broker"),
        v3("3.1.1 asked, a code of 5", b"\x20\x02\x00\x87", "not_authorized", "set_credentials broker"),
        v5("5 asked, a return code of 3.1.1", b"\x20\x02\x00\x01", "unsupported_protocol_version", "set_version 3.1.1"),
        v5("5 asked, a login refused in 3.1.1", b"\x20\x02\x00\x05", "not_authorized", "set_credentials broker"),
        row("moved, with a server reference and a reason string", Plain(SaysAndCloses(b"\x20\x25\x00\x9d\x22\x1c\x00\x0eb.example:1884\x1f\x00\x0emoved for good")), mqtt(), "server_moved", "mqtt", "set_server b.example:1884", &["server_reference=b.example:1884", "reason_string=moved for good"]),
        row("another server for now", Plain(SaysAndCloses(b"\x20\x14\x00\x9c\x11\x1c\x00\x0eb.example:1884")), mqtt(), "use_another_server", "mqtt", "set_server b.example:1884", &["server_reference=b.example:1884"]),
        row("a reason string", Plain(Says(b"\x20\x0c\x00\x87\x09\x1f\x00\x06no way")), mqtt(), "not_authorized", "mqtt", "set_credentials", &["reason_string=no way"]),
        row("refused inside TLS", tls(Says(b"\x20\x03\x00\x8a\x00")), mqtts(), "banned", "mqtt", "", &["reason_code=138"]),
        row("refused over WebSocket", Plain(Frames(b"\x82\x05\x20\x03\x00\x89\x00")), ws(), "server_busy", "mqtt", "retry", &["reason_code=137"]),
        row("DISCONNECT instead of CONNACK", Plain(SaysAndCloses(b"\xe0\x02\x87\x00")), mqtt(), "not_authorized", "mqtt", "set_credentials", &["reason_code=135"]),
    ];
    let refusals: [(&str, &[u8], &str); 20] = [
        ("5 code 0x80", b"\x20\x03\x00\x80\x00", "unspecified_error"),
        ("5 code 0x81", b"\x20\x03\x00\x81\x00", "malformed_packet"),
        ("5 code 0x82", b"\x20\x03\x00\x82\x00", "protocol_error"),
        ("5 code 0x83", b"\x20\x03\x00\x83\x00", "implementation_specific_error"),
        ("5 code 0x84", b"\x20\x03\x00\x84\x00", "unsupported_protocol_version"),
        ("5 code 0x85", b"\x20\x03\x00\x85\x00", "client_id_rejected"),
        ("5 code 0x86", b"\x20\x03\x00\x86\x00", "bad_credentials"),
        ("5 code 0x87", b"\x20\x03\x00\x87\x00", "not_authorized"),
        ("5 code 0x88", b"\x20\x03\x00\x88\x00", "server_unavailable"),
        ("5 code 0x89", b"\x20\x03\x00\x89\x00", "server_busy"),
        ("5 code 0x8a", b"\x20\x03\x00\x8a\x00", "banned"),
        ("5 code 0x8c", b"\x20\x03\x00\x8c\x00", "bad_authentication_method"),
        ("5 code 0x90", b"\x20\x03\x00\x90\x00", "topic_name_invalid"),
        ("5 code 0x95", b"\x20\x03\x00\x95\x00", "packet_too_large"),
        ("5 code 0x97", b"\x20\x03\x00\x97\x00", "quota_exceeded"),
        ("5 code 0x99", b"\x20\x03\x00\x99\x00", "payload_format_invalid"),
        ("5 code 0x9a", b"\x20\x03\x00\x9a\x00", "retain_not_supported"),
        ("5 code 0x9b", b"\x20\x03\x00\x9b\x00", "qos_not_supported"),
        ("5 code 0x9c without a reference", b"\x20\x03\x00\x9c\x00", "use_another_server"),
        ("5 code 0x9f", b"\x20\x03\x00\x9f\x00", "connection_rate_exceeded"),
    ];
    rows.extend(refusals.map(|(name, bytes, code)| v5(name, bytes, code, "")));
    rows
}

#[rustfmt::skip]
fn mqtt_wire() -> Vec<Row> {
    let says = |name, bytes, code, fix, facts| row(name, Plain(Says(bytes)), mqtt(), code, "mqtt", fix, facts);
    let frames = |name, frames, code, facts| row(name, Plain(Frames(frames)), ws(), code, "mqtt", "", facts);
    vec![
        row("MQTT asked of mosquitto's TLS port", Real("mosquitto tls"), mqtt(), "closed_before_connack", "mqtt", "set_transport mqtts", &["ended"]),
        row("MQTT asked of mosquitto's WebSocket port", Real("mosquitto ws"), mqtt(), "peer_speaks_http", "mqtt", "set_transport ws", &["peer=HTTP"]),
        row("mqtts asked of mosquitto's wss port", Real("mosquitto wss"), mqtts(), "peer_speaks_http", "mqtt", "set_transport wss", &["peer=HTTP"]),
        row("MQTT asked of nginx", Real("nginx"), mqtt(), "peer_speaks_http", "mqtt", "set_transport ws", &["first_bytes_text=HTTP/1.1 400"]),
        row("MQTT asked of nginx's TLS port", Real("nginx tls"), mqtt(), "peer_speaks_http", "mqtt", "set_transport", &["first_bytes_text=HTTP/1.1 400"]),
        row("mqtts asked of nginx's TLS port", Real("nginx tls"), mqtts(), "peer_speaks_http", "mqtt", "set_transport wss", &["first_bytes_text=HTTP/1.1 400"]),
        row("MQTT asked of a TLS server that says so", tls(Silent), mqtt(), "peer_speaks_tls", "mqtt", "set_transport mqtts", &["first_bytes_hex=15"]),
        row("backend down behind a TLS stream proxy", Real("stream tls, backend down"), mqtts(), "closed_before_connack", "mqtt", "set_transport wss", &["ended"]),
        says("HTTP", b"HTTP/1.1 400 Bad Request\r\nContent-Length: 0\r\n\r\n", "peer_speaks_http", "set_transport ws", &["first_bytes_text=HTTP/1.1 400"]),
        says("a TLS alert", b"\x15\x03\x01\x00\x02\x02\x46", "peer_speaks_tls", "set_transport mqtts", &["first_bytes_hex=150301"]),
        row("SSH", Plain(Greets(b"SSH-2.0-OpenSSH_9.2p1\r\n")), mqtt(), "peer_speaks_ssh", "mqtt", "set_port 1883", &["first_bytes_text=SSH-2.0"]),
        row("SSH inside TLS", tls(Greets(b"SSH-2.0-OpenSSH_9.2p1\r\n")), mqtts(), "peer_speaks_ssh", "mqtt", "set_port 8883", &["first_bytes_text=SSH-2.0"]),
        row("SMTP", Plain(Greets(b"220 mail.example ESMTP\r\n")), mqtt(), "peer_is_not_mqtt", "mqtt", "set_port", &["peer=SMTP"]),
        row("SMTP inside TLS", tls(Greets(b"220 mail.example ESMTP\r\n")), mqtts(), "peer_is_not_mqtt", "mqtt", "set_port", &["peer=SMTP"]),
        row("FTP", Plain(Greets(b"220 ProFTPD Server ready.\r\n")), mqtt(), "peer_is_not_mqtt", "mqtt", "set_port", &["peer=FTP"]),
        says("Redis", b"-ERR Protocol error: invalid bulk length\r\n", "peer_is_not_mqtt", "", &["peer=Redis"]),
        says("Redis in protected mode", b"-DENIED Redis is running in protected mode\r\n", "peer_is_not_mqtt", "", &["peer=Redis"]),
        says("PostgreSQL", b"E\0\0\0\x8bSFATAL\0VFATAL\0C08P01\0Minvalid length of startup packet\0\0", "peer_is_not_mqtt", "", &["peer=PostgreSQL"]),
        says("AMQP 0-9-1", b"AMQP\0\0\x09\x01", "peer_is_not_mqtt", "", &["peer=AMQP"]),
        says("AMQP 1.0", b"AMQP\0\x01\0\0", "peer_is_not_mqtt", "", &["peer=AMQP"]),
        row("MySQL", Plain(Greets(b"\x4a\0\0\0\x0a8.0.36\0\x08\0\0\0abcdefgh\0")), mqtt(), "peer_is_not_mqtt", "mqtt", "", &["peer=MySQL"]),
        row("IMAP", Plain(Greets(b"* OK IMAP4rev1 ready\r\n")), mqtt(), "peer_is_not_mqtt", "mqtt", "", &["peer=IMAP"]),
        row("POP3", Plain(Greets(b"+OK ready\r\n")), mqtt(), "peer_is_not_mqtt", "mqtt", "", &["peer=POP3"]),
        row("NATS", Plain(Greets(b"INFO {\"server_id\":\"N\"}\r\n")), mqtt(), "peer_is_not_mqtt", "mqtt", "", &["peer=NATS"]),
        row("telnet", Plain(Greets(b"\xff\xfd\x18\xff\xfd\x20")), mqtt(), "peer_is_not_mqtt", "mqtt", "", &["peer=Telnet"]),
        row("Memcached", Plain(Says(b"ERROR\r\n")), mqtt(), "peer_is_not_mqtt", "mqtt", "", &["first_bytes_text=ERROR"]),
        says("garbage", b"\x07\x07\x07\x07\x07\x07\x07\x07", "peer_is_not_mqtt", "", &["first_bytes_hex=0707"]),
        row("an echo", Plain(Echoes), mqtt(), "peer_is_not_mqtt", "mqtt", "", &["peer=echo"]),
        row("garbage without end", Plain(Repeats(b"chargen")), mqtt(), "peer_is_not_mqtt", "mqtt", "", &["first_bytes_text=chargen"]),
        row("spaces without end", Plain(Repeats(b" ")), mqtt(), "peer_is_not_mqtt", "mqtt", "", &["first_bytes_hex=2020"]),
        row("a banner, a byte at a time", Plain(Trickles(b"220 mail.example ESMTP\r\n")), mqtt(), "peer_is_not_mqtt", "mqtt", "set_port", &["peer=SMTP"]),
        says("PINGRESP instead of CONNACK", b"\xd0\x00", "malformed_packet", "set_version", &["first_bytes_hex=d000"]),
        says("PUBLISH instead of CONNACK", b"\x30\x05\x00\x01ahi", "malformed_packet", "set_version", &["first_bytes_hex=3005"]),
        says("AUTH instead of CONNACK", b"\xf0\x02\x18\x00", "malformed_packet", "", &["first_bytes_hex=f002"]),
        says("CONNACK with reserved flags", b"\x20\x03\xfe\x00\x00", "malformed_packet", "set_version", &["first_bytes_hex=2003fe"]),
        says("CONNACK with flags in its first byte", b"\x2f\x03\x00\x00\x00", "malformed_packet", "set_version", &["first_bytes_hex=2f03"]),
        says("CONNACK too short", b"\x20\x01\x00", "malformed_packet", "set_version", &["first_bytes_hex=200100"]),
        says("CONNACK of nothing", b"\x20\x00", "malformed_packet", "set_version", &["first_bytes_hex=2000"]),
        says("CONNACK of 3.1.1 accepts a CONNECT of 5", b"\x20\x02\x00\x00", "malformed_packet", "set_version 3.1.1", &["first_bytes_hex=20020000"]),
        says("CONNACK with a property that does not exist", b"\x20\x05\x00\x00\x02\x7e\x00", "malformed_packet", "set_version", &["first_bytes_hex=2005"]),
        says("CONNACK with properties that run over", b"\x20\x05\x00\x00\x7f\x24\x01", "malformed_packet", "set_version", &["first_bytes_hex=2005"]),
        says("CONNACK with a code that does not exist", b"\x20\x03\x00\x7e\x00", "malformed_packet", "set_version", &["first_bytes_hex=2003007e"]),
        row("CONNACK of 3.1.1 with a code that does not exist", Plain(Says(b"\x20\x02\x00\x06")), mqtt().v311(), "malformed_packet", "mqtt", "set_version", &["first_bytes_hex=20020006"]),
        says("PUBLISH of nothing instead of CONNACK", b"\x30\x03\x00\x01a\x20\x03\x00\x00\x00", "malformed_packet", "set_version", &["packet=PUBLISH"]),
        says("CONNACK of 256 MiB", b"\x20\xff\xff\xff\x7f\x00\x00", "malformed_packet", "set_version", &["first_bytes_hex=20ffffff7f"]),
        says("CONNACK with an endless length", b"\x20\xff\xff\xff\xff\x01", "malformed_packet", "set_version", &["first_bytes_hex=20ffffffff"]),
        row("half a CONNACK, then the end", Plain(SaysAndCloses(b"\x20\x03\x00")), mqtt(), "closed_before_connack", "mqtt", "", &["first_bytes_hex=200300"]),
        row("half a CONNACK, then silence", Plain(Says(b"\x20\x03\x00")), mqtt(), "connack_timeout", "mqtt", "", &["first_bytes_hex=200300"]),
        row("closed at once", Plain(Closes), mqtt(), "closed_before_connack", "mqtt", "set_transport mqtts", &["ended"]),
        row("closed after CONNECT", Plain(ReadsAndCloses), mqtt(), "closed_before_connack", "mqtt", "set_transport mqtts", &["ended"]),
        row("reset after CONNECT", Plain(Resets), mqtt(), "closed_before_connack", "mqtt", "set_transport mqtts", &["errno=104"]),
        row("closed after CONNECT, inside TLS", tls(ReadsAndCloses), mqtts(), "closed_before_connack", "mqtt", "set_transport wss", &["ended"]),
        row("closed after CONNECT, over WebSocket", Plain(WebsocketThenCloses), ws(), "closed_before_connack", "mqtt", "", &["ended"]),
        row("closed after CONNECT, over WebSocket and TLS", tls(WebsocketThenCloses), wss(), "closed_before_connack", "mqtt", "", &["ended"]),
        row("silent", Plain(Silent), mqtt(), "connack_timeout", "mqtt", "set_transport mqtts", &[]),
        row("silent inside TLS", tls(Silent), mqtts(), "connack_timeout", "mqtt", "set_transport wss", &[]),
        row("silent over WebSocket", Plain(Frames(b"")), ws(), "connack_timeout", "mqtt", "", &[]),
        frames("a text frame", b"\x81\x05hello", "ws_text_frame", &["first_bytes_text=hello"]),
        frames("a text frame that is not text", b"\x81\x02\xff\xff", "ws_text_frame", &[]),
        frames("a close frame", b"\x88\x02\x03\xe8", "ws_closed", &["close_status=1000"]),
        frames("a close frame with a reason", b"\x88\x08\x03\xf0policy", "ws_closed", &["close_status=1008", "close_reason=policy"]),
        frames("a close frame without a status", b"\x88\x00", "ws_closed", &["close_status=1005"]),
        frames("a masked frame", b"\x82\x85\x01\x02\x03\x04\x21\x01\x03\x04\x01", "malformed_packet", &[]),
        frames("a frame of no known kind", b"\x83\x01a", "malformed_packet", &[]),
        frames("a frame with reserved bits", b"\xf2\x01a", "malformed_packet", &[]),
        frames("a frame of 288 TiB", b"\x82\x7f\x00\x01\x20\x00\x00\x00\x00\x00", "malformed_packet", &[]),
        frames("garbage in a binary frame", b"\x82\x05hello", "peer_is_not_mqtt", &["first_bytes_text=hello"]),
        frames("HTTP after the upgrade", b"HTTP/1.1 400 Bad Request\r\n\r\n", "malformed_packet", &[]),
    ]
}
