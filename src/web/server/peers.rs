//! The address of a client, which proxies in front may name.

use std::net::IpAddr;

use axum::http::HeaderMap;
use ipnet::IpNet;

/// The address of the client that sent a request, as an extension of the request.
#[derive(Clone, Copy, Debug)]
pub(in crate::web) struct ClientAddress {
    pub(in crate::web) address: IpAddr,
    /// False for a trusted proxy that named no client: its address speaks for many, so nothing is counted by it.
    pub(in crate::web) counted: bool,
}

/// Tells whether `address` belongs to a trusted proxy.
pub(super) fn is_trusted(address: IpAddr, trusted: &[IpNet]) -> bool {
    trusted.iter().any(|net| net.contains(&address.to_canonical()))
}

/// The nearest address that is not a trusted proxy: the peer itself, or an entry of `X-Forwarded-For`, read from its
/// end, where the nearest proxy writes. Entries further left may be the client's own invention.
pub(super) fn client_address(peer: IpAddr, headers: &HeaderMap, trusted: &[IpNet]) -> IpAddr {
    let lines: Vec<&str> =
        headers.get_all("x-forwarded-for").iter().filter_map(|line| line.to_str().ok()).collect();
    let mut named = lines.iter().rev().flat_map(|line| line.rsplit(',')).map(address);
    let mut nearest = peer.to_canonical();
    while is_trusted(nearest, trusted) {
        match named.next() {
            Some(Some(next)) => nearest = next,
            _ => break,
        }
    }
    nearest
}

/// An entry of `X-Forwarded-For`: an address, possibly with a port.
fn address(entry: &str) -> Option<IpAddr> {
    let entry = entry.trim();
    let with_port = || entry.parse::<std::net::SocketAddr>().ok().map(|address| address.ip());
    let bracketed = entry.trim_start_matches('[').trim_end_matches(']');
    bracketed.parse::<IpAddr>().ok().or_else(with_port).map(|address| address.to_canonical())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn client(peer: &str, forwarded: &[&str]) -> String {
        let trusted = ["127.0.0.0/8".parse().unwrap(), "10.0.0.0/8".parse().unwrap()];
        let mut headers = HeaderMap::new();
        for line in forwarded {
            headers.append("x-forwarded-for", line.parse().unwrap());
        }
        client_address(peer.parse().unwrap(), &headers, &trusted).to_string()
    }

    #[test]
    fn only_a_trusted_proxy_names_the_client() {
        assert_eq!(client("203.0.113.9", &["198.51.100.1"]), "203.0.113.9");
        assert_eq!(client("127.0.0.1", &["198.51.100.1"]), "198.51.100.1");
        assert_eq!(client("::ffff:127.0.0.1", &["198.51.100.1"]), "198.51.100.1");
        assert_eq!(client("127.0.0.1", &[]), "127.0.0.1");
    }

    #[test]
    fn what_a_client_claims_itself_counts_for_nothing() {
        assert_eq!(client("127.0.0.1", &["192.0.2.7, 198.51.100.1, 10.1.2.3"]), "198.51.100.1");
        assert_eq!(client("127.0.0.1", &["192.0.2.7", "198.51.100.1"]), "198.51.100.1");
        assert_eq!(client("127.0.0.1", &["192.0.2.7, junk"]), "127.0.0.1");
        assert_eq!(client("127.0.0.1", &["192.0.2.7, 198.51.100.1:4711"]), "198.51.100.1");
        assert_eq!(client("127.0.0.1", &["[2001:db8::1]:443"]), "2001:db8::1");
        assert_eq!(client("127.0.0.1", &["2001:db8::1"]), "2001:db8::1");
    }
}
