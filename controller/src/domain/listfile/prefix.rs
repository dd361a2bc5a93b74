//! An address or prefix as text: all of it understood, or refused.
use std::net::{Ipv4Addr, Ipv6Addr};

use ipnet::{IpNet, Ipv4Net, Ipv6Net};

/// Why a text is neither an address nor a prefix.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum PrefixError {
    /// Not an address: cut short, glued to another, a number, a name, a range, a mask.
    #[error("not an IPv4 or IPv6 address or prefix")]
    NotAnAddress,
    /// A part has a leading zero.
    #[error("a part of the address starts with 0, which some programs read as octal")]
    LeadingZero,
    /// A zone, as in `fe80::1%eth0`.
    #[error("a zone (%) means something on one machine only")]
    Zone,
    /// Something else than a number behind the slash.
    #[error("the prefix length is not a whole number")]
    NotALength,
    /// The length exceeds the family's.
    #[error("prefix length {len} exceeds {max}")]
    LengthTooLong {
        /// The length.
        len: u16,
        /// The family's longest.
        max: u8,
    },
    /// An IPv4-mapped IPv6 prefix that covers more than all of IPv4.
    #[error("IPv4-mapped with length {len}, which is wider than all of IPv4 (96); write the IPv4 prefix")]
    MappedTooWide {
        /// The length.
        len: u8,
    },
}

/// A prefix as it will be used.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Taken {
    /// Host bits cleared; IPv4-mapped IPv6 made IPv4.
    pub(super) prefix: IpNet,
    /// Whether host bits were set.
    pub(super) normalised: bool,
}

/// The prefix a text names; an address is the prefix of just itself.
///
/// The whole text must be understood: nothing around it, no leading zeros (octal to some), no hexadecimal, no plain
/// number, no zone. Host bits are cleared, as everybody who reads `192.0.2.7/24` means the network: refusing it would
/// leave a network open that the list's author wants shut. IPv4-mapped IPv6 (`::ffff:192.0.2.7`) is the IPv4 address:
/// a packet from there comes over IPv4.
///
/// # Errors
/// [`PrefixError`], without the text.
pub fn parse_prefix(text: &str) -> Result<IpNet, PrefixError> {
    take(text.as_bytes()).map(|taken| taken.prefix)
}

/// As [`parse_prefix`], over bytes, and says whether host bits were set.
pub(super) fn take(field: &[u8]) -> Result<Taken, PrefixError> {
    let slash = field.iter().position(|b| *b == b'/');
    let (address, len) = match slash.and_then(|at| Some((field.get(..at)?, field.get(at + 1..)?))) {
        Some((address, len)) => (address, Some(len)),
        None => (field, None),
    };
    let text = str::from_utf8(address).ok().ok_or(PrefixError::NotAnAddress)?;
    if address.contains(&b':') {
        let address: Ipv6Addr = text.parse().ok().ok_or_else(|| diagnose(text))?;
        return v6(address, length(len, 128)?);
    }
    let address: Ipv4Addr = text.parse().ok().ok_or_else(|| diagnose(text))?;
    v4(address, length(len, 32)?)
}

fn v4(address: Ipv4Addr, len: u8) -> Result<Taken, PrefixError> {
    let net = Ipv4Net::new(address, len).ok().ok_or(PrefixError::LengthTooLong { len: len.into(), max: 32 })?;
    Ok(Taken { prefix: IpNet::V4(net.trunc()), normalised: net.network() != address })
}

fn v6(address: Ipv6Addr, len: u8) -> Result<Taken, PrefixError> {
    if let Some(mapped) = address.to_ipv4_mapped() {
        let len = len.checked_sub(96).ok_or(PrefixError::MappedTooWide { len })?;
        return v4(mapped, len);
    }
    let net = Ipv6Net::new(address, len).ok().ok_or(PrefixError::LengthTooLong { len: len.into(), max: 128 })?;
    Ok(Taken { prefix: IpNet::V6(net.trunc()), normalised: net.network() != address })
}

/// The length behind the slash; the longest where there is no slash. No sign and no leading zero.
fn length(text: Option<&[u8]>, max: u8) -> Result<u8, PrefixError> {
    let Some(text) = text else { return Ok(max) };
    let is_number = matches!(text, [b'0'..=b'9'] | [b'1'..=b'9', _] | [b'1'..=b'9', _, _]);
    if !is_number || !text.iter().all(u8::is_ascii_digit) {
        return Err(PrefixError::NotALength);
    }
    let len = text.iter().fold(0, |len: u16, digit| len * 10 + u16::from(digit - b'0'));
    match u8::try_from(len) {
        Ok(fits) if fits <= max => Ok(fits),
        _ => Err(PrefixError::LengthTooLong { len, max }),
    }
}

/// What is wrong with a text that is no address.
fn diagnose(text: &str) -> PrefixError {
    if text.contains('%') {
        return PrefixError::Zone;
    }
    let parts = || text.split('.');
    let is_number = |part: &str| !part.is_empty() && part.bytes().all(|b| b.is_ascii_digit());
    if parts().count() == 4 && parts().all(is_number) && parts().any(|part| part.len() > 1 && part.starts_with('0')) {
        return PrefixError::LeadingZero;
    }
    PrefixError::NotAnAddress
}
