//! Imported prefixes as they lie in the database.
//!
//! A list's prefixes are cut where their first byte (IPv4) or first two bytes (IPv6) change, and each piece is one row:
//! prefix after prefix in order, the address and then the length, 5 or 17 bytes. So taking one address out of a million,
//! or importing a feed that has changed a little, writes a few pieces, and a damaged byte spoils one of them.
use std::net::{Ipv4Addr, Ipv6Addr};

use ipnet::{IpNet, Ipv4Net, Ipv6Net};

use crate::domain::decision::ListId;
use crate::domain::prefixes::Prefixes;

const V4: u8 = 4;
const V6: u8 = 6;
const V4_BYTES: usize = 5;
const V6_BYTES: usize = 17;

/// One piece of a list's imported prefixes.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Chunk {
    /// The list.
    pub(super) list: ListId,
    /// 4 or 6.
    pub(super) family: u8,
    /// The first byte of the addresses, or the first two.
    pub(super) bucket: u16,
    /// The prefixes.
    pub(super) prefixes: Vec<u8>,
}

impl Chunk {
    /// The prefixes.
    pub(super) fn prefixes(&self) -> impl Iterator<Item = IpNet> + '_ {
        let is_v4 = self.family == V4;
        let v4 = self.prefixes.chunks_exact(V4_BYTES).take(if is_v4 { usize::MAX } else { 0 }).filter_map(v4_of);
        let v6 = self.prefixes.chunks_exact(V6_BYTES).take(if is_v4 { 0 } else { usize::MAX }).filter_map(v6_of);
        v4.map(IpNet::V4).chain(v6.map(IpNet::V6))
    }

    /// Whether every byte of it is part of a prefix that belongs here, in order.
    pub(super) fn is_well_formed(&self) -> bool {
        let size = match self.family {
            V4 => V4_BYTES,
            V6 => V6_BYTES,
            _ => return false,
        };
        let mut count = 0;
        let mut last = None;
        for prefix in self.prefixes() {
            let bucket = match prefix {
                IpNet::V4(net) => bucket4(net),
                IpNet::V6(net) => bucket6(&net),
            };
            if bucket != self.bucket || prefix.trunc() != prefix || last.is_some_and(|last| last >= prefix) {
                return false;
            }
            last = Some(prefix);
            count += 1;
        }
        count > 0 && count * size == self.prefixes.len()
    }
}

/// The pieces that `prefixes` make.
pub(super) fn cut(list: ListId, prefixes: &Prefixes) -> impl Iterator<Item = Chunk> + '_ {
    let v4 = prefixes.v4().chunk_by(|a, b| bucket4(*a) == bucket4(*b)).filter_map(move |nets| {
        let mut bytes = Vec::with_capacity(nets.len() * V4_BYTES);
        for net in nets {
            bytes.extend_from_slice(&net.addr().octets());
            bytes.push(net.prefix_len());
        }
        Some(Chunk { list, family: V4, bucket: bucket4(*nets.first()?), prefixes: bytes })
    });
    let v6 = prefixes.v6().chunk_by(|a, b| bucket6(a) == bucket6(b)).filter_map(move |nets| {
        let mut bytes = Vec::with_capacity(nets.len() * V6_BYTES);
        for net in nets {
            bytes.extend_from_slice(&net.addr().octets());
            bytes.push(net.prefix_len());
        }
        Some(Chunk { list, family: V6, bucket: bucket6(nets.first()?), prefixes: bytes })
    });
    v4.chain(v6)
}

fn bucket4(net: Ipv4Net) -> u16 {
    let [first, ..] = net.addr().octets();
    u16::from(first)
}

fn bucket6(net: &Ipv6Net) -> u16 {
    let [first, second, ..] = net.addr().octets();
    u16::from_be_bytes([first, second])
}

fn v4_of(bytes: &[u8]) -> Option<Ipv4Net> {
    let (address, len) = bytes.split_first_chunk::<4>()?;
    Ipv4Net::new(Ipv4Addr::from(*address), *len.first()?).ok()
}

fn v6_of(bytes: &[u8]) -> Option<Ipv6Net> {
    let (address, len) = bytes.split_first_chunk::<16>()?;
    Ipv6Net::new(Ipv6Addr::from(*address), *len.first()?).ok()
}
