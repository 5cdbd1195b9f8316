//! Ways to a broker that few people have at home: a proxy that is spoken to over TLS, a server that insists on an
//! ALPN name, an address with a zone.

use super::*;
use crate::profile::ProxyKind;

/// A proxy behind TLS that opens every tunnel, and writes one byte into it.
async fn tls_proxy(root: &Authority) -> u16 {
    let (der, _, key) = root.issue(|_| {});
    let mut config = Arc::unwrap_or_clone(server_config(vec![der], &key, None, &BOTH));
    config.alpn_protocols.clear();
    let acceptor = TlsAcceptor::from(Arc::new(config));
    serve(move |stream| {
        let acceptor = acceptor.clone();
        async move {
            let Ok(mut stream) = acceptor.accept(stream).await else { return };
            let head = read_head(&mut stream).await;
            assert!(
                head.starts_with("CONNECT broker.example:1883 HTTP/1.1\r\nHost: broker.example:1883\r\n")
            );
            assert!(head.contains("Proxy-Authorization: Basic YW5uOnB3ZA==\r\n"), "{head}");
            let _ = stream.write_all(b"HTTP/1.1 200 OK\r\n\r\n ").await;
            let _ = read_head(&mut stream).await;
        }
    })
    .await
}

#[tokio::test]
async fn a_proxy_behind_tls_is_verified_and_tunnels() {
    let folder = tempfile::tempdir().expect("folder");
    let root = Authority::new("Proxy CA");
    let ca = folder.path().join("ca.pem");
    std::fs::write(&ca, &root.pem).expect("ca");
    let port = tls_proxy(&root).await;
    let mut secrets = Secrets::default();
    secrets.put(SecretField::ProxyPassword, Some(Secret::new("pwd")));
    let mut profile = proxied(ProxyKind::Https, port, true);
    profile.settings.proxy.host = "localhost".into();

    let failure = attempt(&profile, &secrets, 5000).await.0.expect_err("nobody vouches for it");
    assert_eq!((failure.stage, failure.code), (Stage::Proxy, FailureCode::ProxyProtocolError));
    assert!(failure.message.contains(&format!("localhost:{port}")), "{}", failure.message);
    assert!(failure.cause.contains("UnknownIssuer"), "{}", failure.cause);
    assert!(matches!(failure.fixes[0].action, FixAction::AddTrust { .. }));

    // The broker's own URL has no TLS: the CA is there for the proxy alone.
    profile.settings.trust.ca_files = vec![ca.to_string_lossy().into_owned()];
    for mode in [TrustMode::SystemAndCa, TrustMode::CaOnly] {
        profile.settings.trust.mode = mode;
        let (result, trace) = attempt(&profile, &secrets, 5000).await;
        let mut connection = result.expect("connected");
        assert_eq!(connection.stream.read_u8().await.expect("the tunnel's first byte"), 0x20);
        let proxy = trace.stages.iter().find(|report| report.detail.stage() == Stage::Proxy);
        let Some(StageDetail::Proxy(detail)) = proxy.map(|report| report.detail.clone()) else {
            unreachable!("the proxy stage")
        };
        assert_eq!((detail.kind.as_str(), detail.sent_credentials), ("https", true));
    }
    profile.settings.proxy.host = "127.0.0.1".into();
    let failure = attempt(&profile, &secrets, 5000).await.0.expect_err("the certificate is for localhost");
    assert!(failure.cause.contains("127.0.0.1") || failure.cause.contains("NotValidForName"), "{failure:?}");

    let plain = answering(b"HTTP/1.1 400 Bad Request\r\n\r\n").await;
    let profile = proxied(ProxyKind::Https, plain, false);
    assert_eq!(code_of(&profile).await, FailureCode::ProxyProtocolError, "a proxy without TLS");
}

#[tokio::test]
async fn a_refused_alpn_name_is_named_with_what_was_offered() {
    let folder = tempfile::tempdir().expect("folder");
    let root = Authority::new("Test CA");
    let ca = folder.path().join("ca.pem");
    std::fs::write(&ca, &root.pem).expect("ca");
    let (der, _, key) = root.issue(|_| {});
    for version in [&rustls::version::TLS12, &rustls::version::TLS13] {
        let port = serve_tls(server_config(vec![der.clone()], &key, None, &[version])).await;
        for scheme in ["mqtts", "wss"] {
            let mut profile = trusting(port, &ca);
            profile.endpoint = self::profile(&format!("{scheme}://localhost:{port}")).endpoint;
            profile.settings.tls.alpn = vec!["x-amzn-mqtt-ca".into(), "h2".into()];
            let (result, trace) = attempt(&profile, &Secrets::default(), 5000).await;
            let failure = result.expect_err("it speaks mqtt alone");
            assert_eq!((failure.stage, failure.code), (Stage::Tls, FailureCode::AlpnRefused));
            assert!(failure.cause.contains("x-amzn-mqtt-ca, h2") && !failure.retryable, "{failure:?}");
            let Some(StageDetail::Tls(detail)) = trace.stages.last().map(|s| s.detail.clone()) else {
                unreachable!("the tls stage")
            };
            assert_eq!(detail.alpn_offered, ["x-amzn-mqtt-ca", "h2"]);
            assert_eq!(detail.alert.as_deref(), Some("no_application_protocol"));
        }
    }
}

/// A link-local address of this machine, its interface's name and number.
#[cfg(target_os = "linux")]
fn link_local() -> Option<(std::net::Ipv6Addr, String, u32)> {
    let table = std::fs::read_to_string("/proc/net/if_inet6").ok()?;
    table.lines().find_map(|line| {
        let [address, number, _, _, _, name] = line.split_whitespace().collect::<Vec<_>>()[..] else {
            return None;
        };
        let address = std::net::Ipv6Addr::from(u128::from_str_radix(address, 16).ok()?);
        let number = u32::from_str_radix(number, 16).ok()?;
        address.is_unicast_link_local().then(|| (address, name.to_owned(), number))
    })
}

#[cfg(target_os = "linux")]
#[tokio::test]
async fn an_address_with_a_zone_is_dialled_and_the_zone_stays_at_home() {
    let Some((address, name, number)) = link_local() else {
        eprintln!("this machine has no link-local address: nothing is dialled");
        return;
    };
    let listener = TcpListener::bind(std::net::SocketAddrV6::new(address, 0, 0, number)).await.expect("bind");
    let port = listener.local_addr().expect("address").port();
    let accepted = tokio::spawn(async move {
        let (mut stream, _) = listener.accept().await.expect("a client");
        upgrade(&mut stream).await
    });
    let profile = profile(&format!("ws://[{address}%25{name}]:{port}/mqtt"));
    assert_eq!(profile.endpoint.url(), format!("ws://[{address}%25{name}]:{port}/mqtt"));
    let (result, trace) = attempt(&profile, &Secrets::default(), 5000).await;
    result.expect("connected");
    let head = accepted.await.expect("no panic");
    assert!(head.contains(&format!("\r\nHost: [{address}]:{port}\r\n")), "{head}");
    assert!(trace.url.contains(&name));
}

#[tokio::test]
async fn a_zone_that_leads_nowhere_is_named() {
    let stray = profile("mqtt://[fe80::1%25nosuch0]:1883");
    let failure = attempt(&stray, &Secrets::default(), 5000).await.0.expect_err("no such interface");
    assert_eq!((failure.stage, failure.code), (Stage::Dns, FailureCode::NameNotFound));
    assert!(failure.message.contains("fe80::1%nosuch0"), "{}", failure.message);
    assert!(failure.cause.contains("network interface"), "{}", failure.cause);

    let mut proxied = proxied(ProxyKind::Socks5, 1080, false);
    proxied.endpoint = stray.endpoint;
    let failure = plan(&proxied, &Secrets::default()).expect_err("a proxy has other interfaces");
    assert_eq!((failure.stage, failure.code), (Stage::Proxy, FailureCode::InvalidSettings));
    assert!(failure.message.contains("%nosuch0"), "{}", failure.message);
}
