//! What addresses are called where they are kept: as they are, or by a name that only a secret key leads to.
//!
//! The name of an address is the same wherever it stands, so that whatever is counted, grouped and compared by address
//! still is. Whoever holds the key can find out what a given address is called, and nobody can read an address off its
//! name. An address that nobody has the key for any more is a name for ever.
mod key;
mod scan;
mod standin;
mod unit;

use std::borrow::Cow;
use std::net::{IpAddr, Ipv6Addr};

use ipnet::{IpNet, Ipv4Net};

pub use self::key::{Key, KeyError, parse_keys, write_keys};
pub use self::standin::{StandIns, stand_in};

/// What the name of an address begins with.
pub const NAME_PREFIX: &str = "anon-";

/// Hexadecimal digits of a name: 96 bits, which no two addresses of a lifetime share.
pub const NAME_DIGITS: usize = 24;

/// Names of addresses.
///
/// IPv4-mapped IPv6 addresses are the IPv4 ones. A prefix of one address is called as the address is, without its length.
#[derive(Clone, Debug, Default)]
pub struct Names {
    keys: Vec<Key>,
}

impl Names {
    /// Every address is called what it is.
    pub const fn plain() -> Self {
        Self { keys: Vec::new() }
    }

    /// Addresses have names under the first of these keys; the others led to names that may still stand somewhere. No
    /// key at all is [`Self::plain`].
    pub const fn keyed(keys: Vec<Key>) -> Self {
        Self { keys }
    }

    /// Whether every address is called what it is.
    pub fn is_plain(&self) -> bool {
        self.keys.is_empty()
    }

    /// The keys, the one in use in front.
    pub fn keys(&self) -> &[Key] {
        &self.keys
    }

    /// What an address is called.
    pub fn address(&self, address: IpAddr) -> String {
        self.called(address.to_canonical().to_string())
    }

    /// What a prefix is called, whatever its host bits are.
    pub fn prefix(&self, prefix: IpNet) -> String {
        self.called(canonical(prefix))
    }

    /// What is called by an address or a prefix, by the name it has now; `None` if that is the same, or if it is called by
    /// no address: nobody reads one off a name.
    pub fn renamed(&self, called: &str) -> Option<String> {
        Some(self.prefix(prefix_of(called)?)).filter(|name| name != called)
    }

    /// Everything a prefix may have been called: its name under each key, and what it is, from before there were keys.
    pub fn all_of(&self, prefix: IpNet) -> Vec<String> {
        let plain = canonical(prefix);
        let mut names: Vec<String> = Vec::with_capacity(self.keys.len() + 1);
        for name in self.keys.iter().map(|key| key.name(&plain)) {
            if !names.contains(&name) {
                names.push(name);
            }
        }
        names.push(plain);
        names
    }

    /// The text with every address and prefix in it by its name.
    ///
    /// - An address may stand in brackets, quotes, a URL, JSON, before a port, a zone or a length. `%3A`, `\u003a`, `\/`
    ///   and the like are read as what they mean. JSON stays JSON.
    /// - A length belongs to what is before it if it covers all bits that are set: in `192.0.2.7/24` the address is
    ///   called by its own name, and `/24` stays.
    /// - Times, MAC addresses, `1.2.3.4.5`, and `::` on its own stay. So does the version of a browser
    ///   (`Chrome/120.0.0.0`): only those known to have such versions, behind any other word it is an address.
    /// - When in doubt it is an address. Words are not: in `std::net` none is found.
    /// - What has a name already keeps it.
    pub fn text<'a>(&self, text: &'a str) -> Cow<'a, str> {
        if self.is_plain() {
            return Cow::Borrowed(text);
        }
        scan::replaced(text, |prefix| Some(Cow::Owned(self.prefix(prefix))))
    }

    fn called(&self, plain: String) -> String {
        match self.keys.first() {
            Some(key) => key.name(&plain),
            None => plain,
        }
    }
}

/// Whether a text is the name of an address, as far as one can tell without the key.
pub fn is_name(text: &str) -> bool {
    text.len() == NAME_PREFIX.len() + NAME_DIGITS && begins_with_name(text.as_bytes())
}

/// The prefix that a text is, or the address, if it is nothing else: without host bits, and the IPv4 one where an
/// IPv4-mapped one is meant.
pub fn prefix_of(text: &str) -> Option<IpNet> {
    let prefix = text.parse().or_else(|_| text.parse::<IpAddr>().map(IpNet::from)).ok()?;
    Some(unmapped(prefix).trunc())
}

/// The text with this in the place of each address and prefix that is one of `prefixes`, however it is written: they are
/// found as [`Names::text`] finds them.
pub fn without<'a>(text: &'a str, prefixes: &[IpNet], instead: &str) -> Cow<'a, str> {
    scan::replaced(text, |prefix| prefixes.contains(&unmapped(prefix)).then_some(Cow::Borrowed(instead)))
}

pub(crate) fn begins_with_name(text: &[u8]) -> bool {
    let digits = text.strip_prefix(NAME_PREFIX.as_bytes()).and_then(|rest| rest.get(..NAME_DIGITS));
    digits.is_some_and(|digits| digits.iter().all(|digit| matches!(digit, b'0'..=b'9' | b'a'..=b'f')))
}

fn canonical(prefix: IpNet) -> String {
    let prefix = unmapped(prefix).trunc();
    if prefix.prefix_len() == prefix.max_prefix_len() { prefix.addr().to_string() } else { prefix.to_string() }
}

/// The IPv4 prefix that an IPv4-mapped one is.
fn unmapped(prefix: IpNet) -> IpNet {
    const MAPPED_BITS: u8 = 96;
    let IpNet::V6(v6) = prefix else { return prefix };
    let v4 = v6.prefix_len().checked_sub(MAPPED_BITS).and_then(|len| {
        let address: Ipv6Addr = v6.addr();
        Ipv4Net::new(address.to_ipv4_mapped()?, len).ok()
    });
    v4.map_or(prefix, IpNet::V4)
}

#[cfg(test)]
mod tests;
