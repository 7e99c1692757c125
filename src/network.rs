//! Outgoing HTTPS: certificate authorities and proxies of every client, and readable causes of failed connections.

use std::{error::Error, sync::OnceLock};

use aws_sdk_s3::config::SharedHttpClient;
use aws_smithy_http_client::{
    Builder, Connector,
    proxy::ProxyConfig,
    tls::{Provider, rustls_provider::CryptoMode},
};
use reqwest::{Certificate, Client, ClientBuilder};
use rustls::RootCertStore;

/// Returns a client builder that trusts the system's certificate authorities in addition to the built-in ones.
///
/// The system's authorities come from `SSL_CERT_FILE` and `SSL_CERT_DIR`, otherwise from the usual locations.
pub fn client() -> ClientBuilder {
    system_authorities()
        .iter()
        .cloned()
        .fold(Client::builder().use_rustls_tls(), ClientBuilder::add_root_certificate)
}

/// Returns the client for AWS's libraries. It trusts the system's authorities, as is their default, and uses the
/// environment's proxies, which they ignore by default.
pub fn aws_client() -> SharedHttpClient {
    Builder::new().build_with_connector_fn(|settings, components| {
        let mut connector = Connector::builder()
            .tls_provider(Provider::Rustls(CryptoMode::Ring))
            .proxy_config(ProxyConfig::from_env());
        connector.set_connector_settings(settings.cloned());
        if let Some(components) = components {
            connector.set_sleep_impl(components.sleep_impl());
        }
        connector.build()
    })
}

/// The system's certificate authorities, read once per process.
fn system_authorities() -> &'static [Certificate] {
    static AUTHORITIES: OnceLock<Vec<Certificate>> = OnceLock::new();
    AUTHORITIES.get_or_init(|| {
        let found = rustls_native_certs::load_native_certs();
        for error in &found.errors {
            tracing::warn!(%error, "some of the system's certificate authorities cannot be read");
        }
        // A single unusable certificate would make building the client fail, so drop those first.
        let usable = found.certs.iter().filter(|der| RootCertStore::empty().add((*der).clone()).is_ok());
        usable.filter_map(|der| Certificate::from_der(der).ok()).collect()
    })
}

/// The system's certificate authorities as PEM, for clients that take no other form.
pub fn system_authorities_pem() -> String {
    use base64::{Engine, engine::general_purpose::STANDARD};
    let found = rustls_native_certs::load_native_certs();
    let mut pem = String::new();
    for der in found.certs {
        if RootCertStore::empty().add(der.clone()).is_err() {
            continue;
        }
        pem += "-----BEGIN CERTIFICATE-----\n";
        for line in STANDARD.encode(&der).as_bytes().chunks(64) {
            pem += &String::from_utf8_lossy(line);
            pem.push('\n');
        }
        pem += "-----END CERTIFICATE-----\n";
    }
    pem
}

/// Fragments of the libraries' error messages, each with a readable cause. The first match wins, so TLS comes first.
const CAUSES: &[(&str, &str)] = &[
    (
        "UnknownIssuer",
        "its certificate is from an authority that this machine does not know: add that to the system's, or name its file \
         in SSL_CERT_FILE",
    ),
    ("CaUsedAsEndEntity", "its certificate is one of an authority, not of a server"),
    ("NotValidForName", "its certificate is for another name"),
    ("not valid for name", "its certificate is for another name"),
    ("NotValidYet", "its certificate is not valid yet, or this machine's clock is wrong"),
    ("not valid yet", "its certificate is not valid yet, or this machine's clock is wrong"),
    ("Expired", "its certificate has expired, or this machine's clock is wrong"),
    ("certificate expired", "its certificate has expired, or this machine's clock is wrong"),
    ("invalid peer certificate", "its certificate cannot be used"),
    ("InvalidContentType", "it does not speak TLS: use http:// or another port"),
    ("received fatal alert", "it refuses a TLS connection"),
    ("tunnel", "the proxy lets no connection through"),
    ("proxy auth", "the proxy wants a user and a password"),
    ("dns error", "its name is not found (DNS)"),
    ("failed to lookup address", "its name is not found (DNS)"),
    ("Name or service not known", "its name is not found (DNS)"),
    ("Connection refused", "nothing listens there (connection refused)"),
    ("Network is unreachable", "there is no way to its network"),
    ("No route to host", "there is no way to its network"),
    ("Connection reset", "it closed the connection"),
    ("connection closed", "it closed the connection"),
    ("unexpected eof", "it closed the connection"),
    ("timed out", "it does not answer in time"),
    ("deadline has elapsed", "it does not answer in time"),
];

/// Variables that send requests through a proxy.
const PROXIES: [&str; 6] =
    ["HTTPS_PROXY", "https_proxy", "HTTP_PROXY", "http_proxy", "ALL_PROXY", "all_proxy"];

/// Cause of a failed HTTP connection, worded as the rest of a sentence about the server. Never contains a URL, since
/// URLs contain tokens.
pub fn cause(error: &(dyn Error + 'static)) -> String {
    let cause = direct_cause(error);
    match PROXIES.iter().find(|proxy| std::env::var_os(proxy).is_some_and(|value| !value.is_empty())) {
        Some(proxy) => format!("{cause} ({proxy} is set, so a proxy may stand between)"),
        None => cause,
    }
}

/// Like [`cause`], for a connection that uses no proxy.
pub fn direct_cause(error: &(dyn Error + 'static)) -> String {
    let messages = messages(error);
    let said = messages.join(": ");
    let known = CAUSES.iter().find(|(part, _)| said.contains(part)).map(|(_, cause)| (*cause).to_owned());
    known.unwrap_or_else(|| match messages.last() {
        Some(last) if !last.contains("://") => last.chars().take(160).collect(),
        _ => "the connection failed".to_owned(),
    })
}

/// Returns true if the connection itself failed, rather than the request sent over it.
pub fn is_known(error: &(dyn Error + 'static)) -> bool {
    let said = messages(error).join(": ");
    CAUSES.iter().any(|(part, _)| said.contains(part))
}

/// Messages of an error and its sources, outermost first.
fn messages(error: &(dyn Error + 'static)) -> Vec<String> {
    let mut messages = vec![error.to_string()];
    let mut source = error.source();
    while let Some(error) = source {
        messages.push(error.to_string());
        source = error.source();
    }
    messages
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn a_cause_is_named_without_the_address() {
        let nowhere = std::net::TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap();
        let asked =
            client().no_proxy().build().unwrap().get(format!("https://{nowhere}/bot1:hush")).send().await;
        assert_eq!(cause(&asked.unwrap_err()), "nothing listens there (connection refused)");

        let asked =
            client().no_proxy().build().unwrap().get("https://nowhere.invalid/bot1:hush").send().await;
        assert_eq!(cause(&asked.unwrap_err()), "its name is not found (DNS)");
    }

    #[test]
    fn an_unknown_cause_holds_no_address() {
        let odd = std::io::Error::other("error for url (https://api.telegram.org/bot1:hush/getMe)");
        assert_eq!(cause(&odd), "the connection failed");
        assert_eq!(cause(&std::io::Error::other("something else")), "something else");
    }
}
