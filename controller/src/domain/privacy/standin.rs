//! Stand-ins: addresses for names, so that what asks for an address can go through events whose addresses have names.
use std::borrow::Cow;
use std::collections::BTreeMap;
use std::net::{IpAddr, Ipv6Addr};

use super::{NAME_PREFIX, scan};

/// What a stand-in begins with: a half of the unique local addresses that nobody may use (RFC 4193, section 3.2).
const FIRST: u8 = 0xfc;

/// Hexadecimal digits of a name that its stand-in holds: what is left of the upper 64 bits, by which IPv6 sources are
/// told apart.
const DIGITS: usize = 14;

/// Length of the longest prefix that holds all of a stand-in that is of its name.
const PREFIX_LEN: u8 = 64;

/// The address that stands for a name: the same for the same name, and one of few if two names are to share it (each two
/// of them by a chance of 2^-56). Of what is no name, it holds the hexadecimal digits there are.
pub fn stand_in(name: &str) -> Ipv6Addr {
    let digits = name.strip_prefix(NAME_PREFIX).unwrap_or(name).chars().filter_map(|digit| digit.to_digit(16));
    let missing = std::iter::repeat(0);
    let upper = digits.chain(missing).take(DIGITS).fold(u64::from(FIRST), |bits, digit| bits << 4 | u64::from(digit));
    Ipv6Addr::from_bits(u128::from(upper) << 64 | 1)
}

/// Which address stands for which name.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct StandIns {
    names: BTreeMap<IpAddr, String>,
}

impl StandIns {
    /// None stands for any.
    pub const fn new() -> Self {
        Self { names: BTreeMap::new() }
    }

    /// The address that stands for a name from now on: its stand-in, or where another name has that one, the next.
    pub fn add(&mut self, name: &str) -> IpAddr {
        let mut address = stand_in(name);
        loop {
            match self.names.get(&IpAddr::V6(address)) {
                Some(other) if other != name => address = Ipv6Addr::from_bits(address.to_bits().wrapping_add(1)),
                Some(_) => return address.into(),
                None => {
                    self.names.insert(address.into(), name.to_owned());
                    return address.into();
                }
            }
        }
    }

    /// The name that an address stands for.
    pub fn name_of(&self, address: IpAddr) -> Option<&str> {
        self.names.get(&address).map(String::as_str)
    }

    /// How many names have one.
    pub fn len(&self) -> usize {
        self.names.len()
    }

    /// Whether no name has one.
    pub fn is_empty(&self) -> bool {
        self.names.is_empty()
    }

    /// The text with names where their stand-ins stand, also where one stands as the source that it is: its upper 64 bits,
    /// if no other name has the same.
    pub fn text<'a>(&self, text: &'a str) -> Cow<'a, str> {
        if self.is_empty() {
            return Cow::Borrowed(text);
        }
        scan::replaced(text, |prefix| {
            if prefix.prefix_len() < PREFIX_LEN {
                return None;
            }
            let mut inside = self.names.range(prefix.network()..=prefix.broadcast());
            match (inside.next(), inside.next()) {
                (Some((_, name)), None) => Some(Cow::Borrowed(name)),
                _ => None,
            }
        })
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    const NAME: &str = "anon-0123456789abcdef01234567";

    #[test]
    fn the_upper_half_is_of_the_name() {
        assert_eq!(stand_in(NAME).to_string(), "fc01:2345:6789:abcd::1");
        assert_eq!(stand_in("anon-00000000000000ffffffffff").to_string(), "fc00::1");
        for no_name in ["", "anon-", "192.0.2.7", "é"] {
            assert!(stand_in(no_name).to_string().starts_with("fc"), "{no_name}");
        }
    }

    #[test]
    fn two_names_never_share_an_address() {
        let mut stand_ins = StandIns::new();
        let same = "anon-0123456789abcd0000000000";
        let (first, second) = (stand_ins.add(NAME), stand_ins.add(same));
        assert_ne!(first, second);
        assert_eq!((stand_ins.add(NAME), stand_ins.add(same)), (first, second));
        assert_eq!((stand_ins.name_of(first), stand_ins.name_of(second)), (Some(NAME), Some(same)));
        assert_eq!(stand_ins.len(), 2);
    }

    #[test]
    fn names_are_put_back_and_other_addresses_stay() {
        let mut stand_ins = StandIns::new();
        assert_eq!(stand_ins.text("fc01:2345:6789:abcd::1"), "fc01:2345:6789:abcd::1");
        stand_ins.add(NAME);
        for (text, expected) in [
            ("from fc01:2345:6789:abcd::1.", "from anon-0123456789abcdef01234567."),
            ("[fc01:2345:6789:abcd::1]:443", "[anon-0123456789abcdef01234567]:443"),
            ("fc01:2345:6789:abcd::/64 denied", "anon-0123456789abcdef01234567 denied"),
            ("fc01:2345:6789:abce::1 192.0.2.7 ::/0 fc00::/8", "fc01:2345:6789:abce::1 192.0.2.7 ::/0 fc00::/8"),
        ] {
            assert_eq!(stand_ins.text(text), expected);
        }
        stand_ins.add("anon-0123456789abcd0000000000");
        assert_eq!(stand_ins.text("fc01:2345:6789:abcd::/64"), "fc01:2345:6789:abcd::/64");
    }

    proptest! {
        #[test]
        fn every_name_comes_back(names in prop::collection::vec("anon-[0-9a-f]{24}", 1..20)) {
            let mut stand_ins = StandIns::new();
            for name in &names {
                let address = stand_ins.add(name);
                prop_assert_eq!(stand_ins.name_of(address), Some(name.as_str()));
                let text = stand_ins.text(&format!("{address}, {{\"source\":\"{address}\"}}")).into_owned();
                prop_assert_eq!(text, format!("{name}, {{\"source\":\"{name}\"}}"));
            }
        }
    }
}
