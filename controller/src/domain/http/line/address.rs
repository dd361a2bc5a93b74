//! Addresses as logs write them.
use std::net::{IpAddr, Ipv4Addr};

use crate::domain::http::client::Peer;

/// The longest address with brackets, zone and port.
const LONGEST: usize = 80;

/// An address, with or without brackets, zone and port; IPv4-mapped IPv6 made IPv4.
pub(in crate::domain::http) fn parse(text: &[u8]) -> Option<IpAddr> {
    if let Some(address) = v4(text) {
        return Some(IpAddr::V4(address));
    }
    if text.len() > LONGEST {
        return None;
    }
    let text = str::from_utf8(text).ok()?;
    if let Some(bracketed) = text.strip_prefix('[') {
        let (inside, after) = bracketed.split_once(']')?;
        let whole = after.is_empty() || after.strip_prefix(':').is_some_and(is_port);
        return if whole { v6(inside) } else { None };
    }
    if let Some((before, port)) = text.split_once(':')
        && let Some(address) = v4(before.as_bytes())
    {
        return is_port(port).then_some(IpAddr::V4(address));
    }
    v6(text)
}

/// Who a server says it was connected to.
pub(in crate::domain::http) fn peer(text: &[u8]) -> Peer {
    match parse(text) {
        Some(address) => Peer::Address(address),
        None if text.starts_with(b"unix:") => Peer::Unix,
        None => Peer::Unknown,
    }
}

fn is_port(text: &str) -> bool {
    !text.is_empty() && text.len() <= 5 && text.bytes().all(|byte| byte.is_ascii_digit())
}

fn v6(text: &str) -> Option<IpAddr> {
    let address = text.split_once('%').map_or(text, |(address, _)| address);
    address.parse::<std::net::Ipv6Addr>().ok().map(|address| IpAddr::V6(address).to_canonical())
}

/// Four decimal numbers without leading zeros: those are octal to some.
fn v4(text: &[u8]) -> Option<Ipv4Addr> {
    if text.len() > 15 {
        return None;
    }
    let (mut address, mut number, mut digits, mut dots) = (0_u32, 0_u32, 0_u8, 0_u8);
    for byte in text {
        match byte {
            b'0'..=b'9' if digits == 1 && number == 0 => return None,
            b'0'..=b'9' => {
                number = number * 10 + u32::from(byte - b'0');
                digits += 1;
                if number > 255 {
                    return None;
                }
            }
            b'.' if digits > 0 && dots < 3 => {
                address = address << 8 | number;
                (number, digits, dots) = (0, 0, dots + 1);
            }
            _ => return None,
        }
    }
    (digits > 0 && dots == 3).then(|| Ipv4Addr::from(address << 8 | number))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn addresses_are_read_in_every_way_logs_write_them() {
        for (text, expected) in [
            ("192.0.2.7", Some("192.0.2.7")),
            ("192.0.2.7:51380", Some("192.0.2.7")),
            ("2001:db8::1", Some("2001:db8::1")),
            ("[2001:db8::1]", Some("2001:db8::1")),
            ("[2001:db8::1]:51548", Some("2001:db8::1")),
            ("fe80::1%eth0", Some("fe80::1")),
            ("::ffff:192.0.2.7", Some("192.0.2.7")),
            ("[::ffff:192.0.2.7]:80", Some("192.0.2.7")),
            ("192.0.2.7:", None),
            ("192.0.2.7:x", None),
            ("192.0.2.07", None),
            ("192.0.2.256", None),
            ("192.0.2", None),
            ("192.0.2.7.1", None),
            ("3221225991", None),
            ("0xC0000207", None),
            ("[2001:db8::1", None),
            ("[2001:db8::1]x", None),
            ("example.com", None),
            ("192.0.2.7.example.com", None),
            ("192.0.2.7,", None),
            ("-", None),
            ("", None),
        ] {
            assert_eq!(parse(text.as_bytes()).map(|ip| ip.to_string()).as_deref(), expected, "{text}");
        }
    }

    #[test]
    fn a_socket_of_this_host_is_a_peer_and_a_name_is_none() {
        assert_eq!(peer(b"unix:"), Peer::Unix);
        assert_eq!(peer(b"unix:/run/x.sock"), Peer::Unix);
        assert_eq!(peer(b"example.com"), Peer::Unknown);
    }
}
