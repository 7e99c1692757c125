//! Every edge behind servers whose certificates come from a private authority, as those of a company's network do.

use std::{net::Ipv4Addr, path::PathBuf, process::Command, sync::Arc};

use rcgen::{BasicConstraints, CertificateParams, IsCa, Issuer, KeyPair};
use rustls::{
    ServerConfig,
    pki_types::{PrivateKeyDer, PrivatePkcs8KeyDer},
};
use tempfile::TempDir;
use toall::{
    clock::Clock,
    sandbox::{Sandbox, Settings},
};
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt, copy_bidirectional},
    net::{TcpListener, TcpStream},
};
use tokio_rustls::TlsAcceptor;
use url::Url;

use crate::{
    bucket::Bucket,
    discord::Discord,
    postgres,
    telegram::{TOKEN, Telegram},
    world::NOON,
};

/// An authority made for one test.
struct Authority {
    issuer: Issuer<'static, KeyPair>,
    folder: TempDir,
}

impl Authority {
    fn new() -> Authority {
        let folder = TempDir::new().unwrap();
        let key = KeyPair::generate().unwrap();
        let mut params = CertificateParams::new(Vec::new()).unwrap();
        params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        let certificate = params.self_signed(&key).unwrap();
        std::fs::write(folder.path().join("authority.pem"), certificate.pem()).unwrap();
        Authority { issuer: Issuer::new(params, key), folder }
    }

    fn file(&self) -> PathBuf {
        self.folder.path().join("authority.pem")
    }

    /// A port of this machine that speaks TLS under this name and passes everything on to `port` in the clear.
    async fn before(&self, port: u16, name: &str, opening: Opening) -> u16 {
        let key = KeyPair::generate().unwrap();
        let params = CertificateParams::new(vec![name.to_owned()]).unwrap();
        let certificate = params.signed_by(&key, &self.issuer).unwrap();
        let key = PrivateKeyDer::Pkcs8(PrivatePkcs8KeyDer::from(key.serialize_der()));
        let provider = Arc::new(rustls::crypto::ring::default_provider());
        let config = ServerConfig::builder_with_provider(provider)
            .with_safe_default_protocol_versions()
            .unwrap()
            .with_no_client_auth()
            .with_single_cert(vec![certificate.der().clone()], key)
            .unwrap();
        let acceptor = TlsAcceptor::from(Arc::new(config));
        let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).await.unwrap();
        let address = listener.local_addr().unwrap();
        tokio::spawn(async move {
            while let Ok((mut client, _)) = listener.accept().await {
                let acceptor = acceptor.clone();
                tokio::spawn(async move {
                    if opening == Opening::Postgres {
                        // The client asks first if it may (PostgreSQL's documentation, "SSLRequest").
                        client.read_exact(&mut [0; 8]).await?;
                        client.write_all(b"S").await?;
                    }
                    let mut client = acceptor.accept(client).await?;
                    let mut server = TcpStream::connect((Ipv4Addr::LOCALHOST, port)).await?;
                    copy_bidirectional(&mut client, &mut server).await
                });
            }
        });
        address.port()
    }

    async fn https(&self, url: &Url) -> String {
        let port = self.before(url.port().unwrap(), "localhost", Opening::Tls).await;
        format!("https://localhost:{port}")
    }
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum Opening {
    Tls,
    Postgres,
}

/// What `toall check` prints with these settings; with the authority in `SSL_CERT_FILE`, or without.
async fn checked(settings: &[(&'static str, String)], trusted: Option<PathBuf>) -> String {
    let folder = TempDir::new().unwrap();
    let mut program = Command::new(env!("CARGO_BIN_EXE_toall"));
    program.arg("check").env_clear().envs(settings.iter().cloned());
    program.env("TOALL_DATA_DIR", folder.path());
    program.env("TOALL_TWITTER__CLIENT_ID", "sandbox-client");
    program.env("TOALL_TWITTER__CLIENT_SECRET", "sandbox-secret");
    if let Some(file) = trusted {
        program.env("SSL_CERT_FILE", file);
    }
    let ran = tokio::task::spawn_blocking(move || program.output().unwrap()).await.unwrap();
    String::from_utf8([ran.stdout, ran.stderr].concat()).unwrap()
}

#[track_caller]
fn line<'a>(said: &'a str, part: &str) -> &'a str {
    let found = said.lines().find(|line| line.chars().skip(2).collect::<String>().starts_with(part));
    found.unwrap_or_else(|| panic!("no line about {part}: {said}"))
}

const UNKNOWN: &str = "its certificate is from an authority that this machine does not know";

#[tokio::test(flavor = "multi_thread")]
async fn every_edge_trusts_the_systems_authorities() {
    let authority = Authority::new();
    let folder = TempDir::new().unwrap();
    let x = Sandbox::start(Settings::new(folder.path().join("x"))).await.unwrap();
    let telegram = Telegram::start().await;
    let discord = Discord::start(Clock::by_hand(NOON)).await;
    let bucket = Bucket::start().await;
    let endpoint = bucket.settings().endpoint_url.unwrap();
    let settings = [
        ("TOALL_TWITTER__API_URL", authority.https(&x.url().parse().unwrap()).await),
        ("TOALL_TELEGRAM__API_URL", authority.https(&telegram.settings().api_url).await),
        ("TOALL_TELEGRAM__TOKEN", TOKEN.to_owned()),
        ("TOALL_DISCORD__API_URL", authority.https(&discord.settings().api_url).await),
        ("TOALL_DISCORD__TOKEN", crate::discord::TOKEN.to_owned()),
        ("TOALL_STAGING__ENDPOINT_URL", authority.https(&endpoint).await),
        ("TOALL_STAGING__BUCKET", "videos".to_owned()),
        ("TOALL_STAGING__ACCESS_KEY_ID", "key".to_owned()),
        ("TOALL_STAGING__SECRET_ACCESS_KEY", "secret".to_owned()),
    ];

    let trusted = checked(&settings, Some(authority.file())).await;
    for part in ["X app", "Telegram", "Discord", "staging"] {
        assert!(!line(&trusted, part).contains("certificate"), "{trusted}");
    }
    for part in ["X app", "Telegram", "Discord"] {
        assert!(line(&trusted, part).starts_with('✓'), "{trusted}");
    }

    let untrusted = checked(&settings, None).await;
    for part in ["X app", "Telegram", "Discord", "staging"] {
        let line = line(&untrusted, part);
        assert!(line.starts_with('✗') && line.contains(UNKNOWN), "{line}");
        assert!(!untrusted.contains(TOKEN), "{untrusted}");
    }
}

/// The settings of every edge, all at this address.
fn all_at(url: &str) -> Vec<(&'static str, String)> {
    let mut settings: Vec<_> = [
        "TOALL_TWITTER__API_URL",
        "TOALL_TELEGRAM__API_URL",
        "TOALL_DISCORD__API_URL",
        "TOALL_STAGING__ENDPOINT_URL",
    ]
    .map(|name| (name, url.to_owned()))
    .into();
    settings.extend([
        ("TOALL_TELEGRAM__TOKEN", TOKEN.to_owned()),
        ("TOALL_DISCORD__TOKEN", crate::discord::TOKEN.to_owned()),
        ("TOALL_STAGING__BUCKET", "videos".to_owned()),
        ("TOALL_STAGING__ACCESS_KEY_ID", "key".to_owned()),
        ("TOALL_STAGING__SECRET_ACCESS_KEY", "secret".to_owned()),
    ]);
    settings
}

#[tokio::test(flavor = "multi_thread")]
async fn every_edge_names_a_dns_or_proxy_failure() {
    let mut without_dns = all_at("https://nowhere.invalid");
    without_dns.extend([
        ("TOALL_DATABASE__URL", "postgres://toall:hush@nowhere.invalid/toall".to_owned()),
        ("TOALL_SECURITY__ENCRYPTION_KEY", "AAECAwQFBgcICQoLDA0ODxAREhMUFRYXGBkaGxwdHh8=".to_owned()),
    ]);
    // A proxy would find the name, and is not there.
    let mut without_proxy = all_at("https://nowhere.invalid");
    without_proxy.push(("HTTPS_PROXY", "http://somebody:hush@127.0.0.1:1".to_owned()));
    let (dns, proxy) = tokio::join!(checked(&without_dns, None), checked(&without_proxy, None));

    for part in ["database", "staging", "Discord", "Telegram", "X app"] {
        let line = line(&dns, part);
        assert!(line.starts_with('✗') && line.contains("its name is not found (DNS)"), "{line}");
    }
    for part in ["staging", "Discord", "Telegram", "X app"] {
        let line = line(&proxy, part);
        assert!(line.starts_with('✗') && line.contains("HTTPS_PROXY is set"), "{line}");
        assert!(!line.contains("DNS"), "{part} does not use the proxy: {line}");
    }
    for said in [dns, proxy] {
        assert!(!said.contains("hush") && !said.contains(TOKEN), "{said}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn postgresql_trusts_the_systems_authorities() {
    let Some(cluster) = postgres::cluster().await else { return };
    let authority = Authority::new();
    let database = cluster.empty().await;
    let port = authority.before(cluster.port(), "localhost", Opening::Postgres).await;
    let elsewhere = authority.before(cluster.port(), "db.example.org", Opening::Postgres).await;
    let url = |port: u16, more: &str| {
        let address =
            format!("postgres://toall@localhost:{port}/{}?sslmode=verify-full{more}", database.name);
        [
            ("TOALL_DATABASE__URL", address),
            ("TOALL_TWITTER__API_URL", "http://127.0.0.1:1".to_owned()),
            ("TOALL_SECURITY__ENCRYPTION_KEY", "AAECAwQFBgcICQoLDA0ODxAREhMUFRYXGBkaGxwdHh8=".to_owned()),
        ]
    };
    let trusted = Some(authority.file());

    let said = checked(&url(port, ""), None).await;
    assert!(line(&said, "database").contains(UNKNOWN), "{said}");
    let said = checked(&url(elsewhere, ""), trusted.clone()).await;
    assert!(line(&said, "database").contains("its certificate is for another name"), "{said}");
    let said = checked(&url(port, "&sslrootcert=/nonexistent/ca.pem"), None).await;
    assert!(line(&said, "database").contains("a file for the TLS connection"), "{said}");
    assert!(line(&said, "database").contains("sslrootcert"), "{said}");

    let said = checked(&url(port, ""), trusted).await;
    assert!(line(&said, "database").starts_with('✓'), "{said}");
}
