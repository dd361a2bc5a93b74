use proptest::prelude::*;

use super::*;

fn trusted() -> TrustedProxies {
    TrustedProxies::new(["192.0.2.0/24", "2001:db8:1::/48", "10.0.0.0/8"].map(|prefix| prefix.parse().unwrap()))
}

#[track_caller]
fn check(trusted: &TrustedProxies, peer: &str, chain: &str, expected: Option<&str>) {
    let peer = address::peer(peer.as_bytes());
    let client = trusted.client(peer, Some(chain)).map(|address| address.to_string());
    assert_eq!(client.as_deref(), expected, "{chain:?} from {peer:?}");
}

#[test]
fn the_client_is_the_first_untrusted_from_the_right() {
    for (peer, chain, expected) in [
        ("192.0.2.1", "198.51.100.7", "198.51.100.7"),
        ("192.0.2.1", "203.0.113.9, 198.51.100.7", "198.51.100.7"),
        ("192.0.2.1", "203.0.113.9,198.51.100.7,192.0.2.9, 10.1.1.1", "198.51.100.7"),
        ("192.0.2.1", "198.51.100.7:51000", "198.51.100.7"),
        ("192.0.2.1", "[2001:db8:2::7]:443", "2001:db8:2::7"),
        ("192.0.2.1", "2001:db8:2::7", "2001:db8:2::7"),
        ("2001:db8:1::1", "::ffff:198.51.100.7", "198.51.100.7"),
        // All of them trusted: the farthest.
        ("192.0.2.1", "10.0.0.5, 192.0.2.9", "10.0.0.5"),
        // A client within, as a trusted proxy saw it.
        ("192.0.2.1", "203.0.113.9, 172.16.0.5", "172.16.0.5"),
    ] {
        check(&trusted(), peer, chain, Some(expected));
    }
}

#[test]
fn garbage_ends_the_chain_and_nothing_left_of_it_counts() {
    for chain in [
        "",
        ",",
        "garbage",
        "unknown",
        "203.0.113.9, garbage",
        "203.0.113.9, unknown",
        "203.0.113.9,",
        "203.0.113.9, ,",
        "203.0.113.9 198.51.100.7",
        "203.0.113.9;198.51.100.7",
        "0.0.0.0",
        "0.1.2.3",
        "::",
        "255.255.255.255",
        "224.0.0.1",
        "ff02::1",
        "203.0.113.9, 0.0.0.0",
        "example.com",
        "203.0.113.009",
        "203.0.113.9\n",
        "\u{0}203.0.113.9",
        "\"203.0.113.9\"",
        "for=203.0.113.9",
    ] {
        check(&trusted(), "192.0.2.1", chain, Some("192.0.2.1"));
    }
    check(&trusted(), "192.0.2.1", "203.0.113.9, garbage, 10.0.0.3", Some("10.0.0.3"));
}

#[test]
fn nobody_is_believed_but_a_trusted_peer() {
    for chain in ["203.0.113.9", "203.0.113.9, 192.0.2.1", "192.0.2.1"] {
        check(&trusted(), "198.51.100.7", chain, Some("198.51.100.7"));
        check(&TrustedProxies::default(), "192.0.2.1", chain, Some("192.0.2.1"));
        check(&trusted(), "unix:", chain, None);
        check(&trusted(), "example.com", chain, None);
    }
    check(&trusted().with_unix(), "unix:", "203.0.113.9, 198.51.100.7", Some("198.51.100.7"));
    check(&trusted().with_unix(), "example.com", "203.0.113.9", None);
}

#[test]
fn forwarded_is_read_where_the_proxies_write_it_and_only_there() {
    let both = trusted().with_header(ForwardedHeader::Forwarded);
    for (chain, expected) in [
        ("for=198.51.100.7", "198.51.100.7"),
        ("for=203.0.113.9, For=198.51.100.7;proto=https;by=192.0.2.1", "198.51.100.7"),
        ("for=\"198.51.100.7:4711\"", "198.51.100.7"),
        ("for=\"[2001:db8:2::7]:4711\"", "2001:db8:2::7"),
        ("for=198.51.100.7, for=192.0.2.9", "198.51.100.7"),
        ("for=203.0.113.9, for=_hidden", "192.0.2.1"),
        ("for=203.0.113.9, for=unknown", "192.0.2.1"),
        ("for=203.0.113.9;for=198.51.100.7", "192.0.2.1"),
        ("for=\"203.0.113.9", "192.0.2.1"),
        ("203.0.113.9", "192.0.2.1"),
        ("by=203.0.113.9", "192.0.2.1"),
    ] {
        check(&both, "192.0.2.1", chain, Some(expected));
    }
    check(&trusted(), "192.0.2.1", "for=203.0.113.9", Some("192.0.2.1"));
}

#[test]
fn a_long_chain_is_looked_at_from_the_right_up_to_its_limits() {
    let many = format!("203.0.113.9{}", ", 10.0.0.1".repeat(MOST_HOPS));
    check(&trusted(), "192.0.2.1", &many, Some("10.0.0.1"));
    let long = format!("{},198.51.100.7", "203.0.113.9,".repeat(100_000));
    check(&trusted(), "192.0.2.1", &long, Some("198.51.100.7"));
    // What the limit cuts in two is not taken for an address of its own.
    for extra in 0..16 {
        let spaces = " ".repeat(CHAIN_BYTES - 12 + extra);
        let cut = format!("é203.0.113.99{spaces}");
        assert!(cut.len() > CHAIN_BYTES);
        check(&trusted(), "192.0.2.1", &cut, Some("192.0.2.1"));
    }
}

proptest! {
    /// Whatever an untrusted peer sends: it is itself.
    #[test]
    fn from_an_untrusted_peer_nothing_changes_the_client(
        peer in any::<u32>(),
        chain in prop_oneof![
            "(([0-9]{1,3}\\.){3}[0-9]{1,3}|[0-9a-f:]{2,20}|for=[0-9.]{7,15}|unknown)(, ?(([0-9]{1,3}\\.){3}[0-9]{1,3}|for=\"\\[[0-9a-f:]{2,20}\\]\")){0,8}",
            ".{0,200}",
        ],
        forwarded in any::<bool>(),
    ) {
        let peer = std::net::Ipv4Addr::from(peer);
        let trusted = trusted();
        prop_assume!(!trusted.contains(IpAddr::V4(peer)));
        let header = if forwarded { ForwardedHeader::Forwarded } else { ForwardedHeader::XForwardedFor };
        let trusted = trusted.with_header(header).with_unix();
        prop_assert_eq!(trusted.client(Peer::Address(IpAddr::V4(peer)), Some(&chain)), Some(IpAddr::V4(peer)));
    }

    /// Whatever stands left of the address that a trusted proxy added: it is that address.
    #[test]
    fn behind_a_trusted_proxy_nothing_left_of_its_word_changes_the_client(left in ".{0,200}", last in any::<u32>()) {
        let last = IpAddr::V4(std::net::Ipv4Addr::from(last));
        prop_assume!(!trusted().contains(last) && could_be_a_peer(last));
        let chain = format!("{left},{last}");
        let peer = Peer::Address("192.0.2.1".parse().unwrap());
        prop_assert_eq!(trusted().client(peer, Some(&chain)), Some(last));
    }
}
