//! Every way that a connection can fail has its name: the table of `tests/faults`, met row by row.

#[path = "../../../tests/brokers/mod.rs"]
mod brokers;
#[path = "../../../tests/faults/mod.rs"]
mod faults;

use std::collections::BTreeSet;
use std::sync::Arc;
use std::time::Instant;

use faults::{World, meet, report};

#[tokio::test(flavor = "multi_thread")]
async fn every_fault_is_named() {
    let began = Instant::now();
    let world = Arc::new(World::start());
    let met = meet(&world, faults::rows()).await;
    report("servers and scripts", &met, began.elapsed());
}

#[tokio::test(flavor = "multi_thread")]
async fn every_fault_of_rabbitmq_is_named() {
    let began = Instant::now();
    let (world, _rabbit) = World::of_rabbit();
    let met = meet(&Arc::new(world), faults::rabbit_rows()).await;
    report("RabbitMQ", &met, began.elapsed());
}

#[test]
fn names_and_routes() {
    faults::run_in_namespace("inside_a_network_of_its_own");
}

#[tokio::test(flavor = "multi_thread")]
#[ignore = "names_and_routes runs it in a network of its own"]
async fn inside_a_network_of_its_own() {
    if !faults::inside_namespace() {
        return;
    }
    let began = Instant::now();
    let world = Arc::new(World::of_scripts());
    let met = meet(&world, faults::namespace_rows()).await;
    report("names and routes", &met, began.elapsed());
}

#[test]
fn every_code_has_a_row() {
    let tables = [faults::rows(), faults::rabbit_rows(), faults::namespace_table()].concat();
    let reached: BTreeSet<_> = tables.iter().map(|row| row.code).collect();
    let missing: Vec<_> = CODES.iter().filter(|code| !reached.contains(*code)).collect();
    assert!(missing.is_empty(), "no row for {missing:?}");
    let unknown: Vec<_> =
        reached.iter().filter(|code| **code != "connected" && !CODES.contains(code)).collect();
    assert!(unknown.is_empty(), "not a code that an attempt can end with: {unknown:?}");
}

/// The codes that an attempt to connect can end with, stage by stage.
#[rustfmt::skip]
const CODES: [&str; 93] = [
    "file_not_found", "file_unreadable", "file_empty", "not_a_certificate", "not_a_private_key", "not_a_pkcs12",
    "files_swapped", "passphrase_required", "passphrase_wrong", "key_mismatch", "private_key_missing",
    "certificate_missing", "unsupported_key", "not_a_crl",
    "name_not_found", "dns_failed", "dns_timeout",
    "connection_refused", "connect_timeout", "network_unreachable", "host_unreachable", "permission_denied",
    "proxy_unreachable", "proxy_auth_required", "proxy_auth_rejected", "proxy_denied",
    "proxy_target_unreachable", "proxy_protocol_error",
    "server_cert_expired", "server_cert_not_yet_valid", "server_cert_name_mismatch", "server_cert_no_san",
    "server_cert_unknown_issuer", "server_cert_self_signed", "server_cert_chain_incomplete",
    "server_cert_wrong_purpose", "server_cert_revoked", "server_cert_invalid",
    "client_cert_required", "client_cert_unknown_ca", "client_cert_expired", "client_cert_wrong_purpose",
    "client_cert_chain_incomplete", "client_cert_rejected",
    "tls_version_unsupported", "tls_no_shared_parameters", "alpn_refused", "peer_is_not_tls",
    "peer_speaks_http", "peer_speaks_mqtt", "peer_speaks_ssh", "peer_speaks_smtp", "closed_during_tls",
    "tls_timeout",
    "ws_not_found", "ws_unauthorized", "ws_forbidden", "ws_redirected", "ws_not_upgraded", "ws_rejected",
    "ws_server_error", "ws_handshake_invalid", "ws_subprotocol_refused", "peer_is_not_http",
    "peer_speaks_tls", "closed_during_websocket", "ws_timeout",
    "unsupported_protocol_version", "client_id_rejected", "bad_credentials", "not_authorized",
    "server_unavailable", "server_busy", "banned", "bad_authentication_method", "packet_too_large",
    "quota_exceeded", "use_another_server", "server_moved", "connection_rate_exceeded",
    "unspecified_error", "protocol_error", "implementation_specific_error", "topic_name_invalid",
    "payload_format_invalid", "retain_not_supported", "qos_not_supported",
    "peer_is_not_mqtt", "malformed_packet", "ws_text_frame", "ws_closed", "closed_before_connack",
    "connack_timeout",
];
