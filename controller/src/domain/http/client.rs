//! Who the client is, behind proxies.
//!
//! What a request says of its own way here is the word of whoever sent it. It is believed only from a peer that the
//! operator trusts, and then from the right: each trusted proxy adds whom it was connected to, so the first address from
//! the right that is no trusted proxy is the client. What stands left of it is the client's own word.
use std::net::IpAddr;

use ipnet::IpNet;

use super::line::address;

/// Addresses in a chain that are looked at, from the right.
pub const MOST_HOPS: usize = 32;

/// Bytes of a chain that are looked at, from the right.
pub const CHAIN_BYTES: usize = 4_096;

/// Who the server was connected to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Peer {
    /// An address.
    Address(IpAddr),
    /// A socket of this host: whoever is behind it is a proxy of this host.
    Unix,
    /// A name, or nothing: no address, and none is looked up.
    Unknown,
}

impl Peer {
    /// Its address, if it has one.
    pub const fn address(self) -> Option<IpAddr> {
        match self {
            Self::Address(address) => Some(address),
            Self::Unix | Self::Unknown => None,
        }
    }
}

/// The header that the trusted proxies add to. Only one is ever believed: a proxy that adds to one passes the other on as
/// it came, from anyone.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum ForwardedHeader {
    /// `X-Forwarded-For`.
    #[default]
    XForwardedFor,
    /// `Forwarded` (RFC 7239).
    Forwarded,
}

/// The proxies whose word about their own peers is believed. None at first.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct TrustedProxies {
    prefixes: Vec<IpNet>,
    unix: bool,
    header: ForwardedHeader,
}

impl TrustedProxies {
    /// These prefixes.
    pub fn new(prefixes: impl IntoIterator<Item = IpNet>) -> Self {
        let prefixes: Vec<IpNet> = prefixes.into_iter().collect();
        Self { prefixes: IpNet::aggregate(&prefixes), unix: false, header: ForwardedHeader::default() }
    }

    /// Also whoever comes by a socket of this host (`unix:`).
    #[must_use]
    pub fn with_unix(mut self) -> Self {
        self.unix = true;
        self
    }

    /// They add to this header.
    #[must_use]
    pub fn with_header(mut self, header: ForwardedHeader) -> Self {
        self.header = header;
        self
    }

    /// The header they add to.
    pub const fn header(&self) -> ForwardedHeader {
        self.header
    }

    /// Whether no one is trusted.
    pub fn is_empty(&self) -> bool {
        self.prefixes.is_empty() && !self.unix
    }

    /// Whether an address is a trusted proxy's.
    pub fn contains(&self, address: IpAddr) -> bool {
        self.prefixes.iter().any(|prefix| prefix.contains(&address))
    }

    /// Whether what this peer says of its own peer is believed.
    pub fn trusts(&self, peer: Peer) -> bool {
        match peer {
            Peer::Address(address) => self.contains(address),
            Peer::Unix => self.unix,
            Peer::Unknown => false,
        }
    }

    /// Who sent a request that came from `peer` with `chain` in [`TrustedProxies::header`].
    ///
    /// Of a chain that holds something else than addresses, what is right of it counts: the client is then the last proxy
    /// that is known, and never what stands left of the garbage.
    pub fn client(&self, peer: Peer, chain: Option<&str>) -> Option<IpAddr> {
        let mut client = peer.address();
        let Some(chain) = chain.filter(|_| self.trusts(peer)) else { return client };
        for hop in hops(chain).take(MOST_HOPS) {
            let Some(address) = hop_address(hop, self.header) else { break };
            client = Some(address);
            if !self.contains(address) {
                break;
            }
        }
        client
    }
}

/// Whether the last element of a chain is one that a proxy writes: an address, or a word for one that it hides.
pub(super) fn ends_as_a_chain(chain: &str) -> bool {
    hops(chain).next().is_some_and(|last| {
        hop_address(last, ForwardedHeader::XForwardedFor).is_some()
            || last == "unknown"
            || last.starts_with('_')
            || last.starts_with("unix:")
    })
}

/// The elements of a chain from the right. Of one that is longer than is looked at, the first may be cut in two: it is
/// then left out with all that is left of it.
fn hops(chain: &str) -> impl Iterator<Item = &str> {
    let whole = chain.len() <= CHAIN_BYTES;
    let mut start = chain.len().saturating_sub(CHAIN_BYTES);
    while !chain.is_char_boundary(start) {
        start = start.saturating_add(1);
    }
    let kept = chain.get(start..).unwrap_or_default();
    let kept = if whole { kept } else { kept.split_once(',').map_or("", |(_, rest)| rest) };
    kept.rsplit(',').map(|hop| hop.trim_matches([' ', '\t']))
}

/// The address of one element.
fn hop_address(hop: &str, header: ForwardedHeader) -> Option<IpAddr> {
    let node = match header {
        ForwardedHeader::XForwardedFor => hop,
        ForwardedHeader::Forwarded => forwarded_for(hop)?,
    };
    address::parse(node.as_bytes()).filter(|address| could_be_a_peer(*address))
}

/// The `for` of one element of `Forwarded`; `None` unless it has exactly one.
fn forwarded_for(element: &str) -> Option<&str> {
    let mut found = None;
    for pair in element.split(';') {
        let Some((name, value)) = pair.split_once('=') else { continue };
        if name.trim_matches([' ', '\t']).eq_ignore_ascii_case("for") {
            if found.is_some() {
                return None;
            }
            let value = value.trim_matches([' ', '\t']);
            found = Some(match value.strip_prefix('"') {
                Some(quoted) => quoted.strip_suffix('"')?,
                None => value,
            });
        }
    }
    found
}

/// Whether somebody can be connected from this address.
fn could_be_a_peer(address: IpAddr) -> bool {
    let broadcast = matches!(address, IpAddr::V4(address) if address.is_broadcast() || address.octets()[0] == 0);
    !address.is_unspecified() && !address.is_multicast() && !broadcast
}

#[cfg(test)]
mod tests;
