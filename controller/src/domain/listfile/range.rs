//! Ranges of addresses as prefixes.
use std::net::IpAddr;

use ipnet::{IpNet, IpSubnets, Ipv4Subnets, Ipv6Subnets};

use super::collect::RecordError;
use super::prefix;
use crate::domain::prefixes::is_single;

/// The fewest prefixes that are exactly the addresses from `first` to `last`: at most 62 for IPv4, 254 for IPv6.
pub(super) fn cover(first: &[u8], last: &[u8]) -> Result<impl Iterator<Item = IpNet>, RecordError> {
    match (end(first)?, end(last)?) {
        (IpAddr::V4(first), IpAddr::V4(last)) if first <= last => Ok(IpSubnets::V4(Ipv4Subnets::new(first, last, 0))),
        (IpAddr::V6(first), IpAddr::V6(last)) if first <= last => Ok(IpSubnets::V6(Ipv6Subnets::new(first, last, 0))),
        (IpAddr::V4(_), IpAddr::V6(_)) | (IpAddr::V6(_), IpAddr::V4(_)) => {
            Err(RecordError::Syntax("a range from one family to the other"))
        }
        _ => Err(RecordError::Syntax("a range whose last address comes before its first")),
    }
}

/// One end of a range: an address, not a prefix.
fn end(text: &[u8]) -> Result<IpAddr, RecordError> {
    let prefix = prefix::take(text)?.prefix;
    if text.contains(&b'/') || !is_single(&prefix) {
        return Err(RecordError::Syntax("a prefix where a range has single addresses"));
    }
    Ok(prefix.addr())
}
