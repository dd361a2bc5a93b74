//! Which sources are shown.
use std::net::IpAddr;

use ipnet::IpNet;

use crate::domain::prefixes::single;

/// Longest text of a filter, in characters.
pub const LONGEST: usize = 100;

/// Which sources are shown.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub enum Filter {
    /// All.
    #[default]
    All,
    /// Those inside of a prefix; also the /64 an IPv6 address is in.
    Within(IpNet),
    /// Those with this in their address, from this country (`unknown`: from none that is known), or of this autonomous
    /// system (`AS64496`, or how it begins). Capital letters.
    Text(String),
}

impl Filter {
    /// What was written: nothing, an address, a prefix, or any other text.
    pub fn of(text: &str) -> Self {
        let text: String = text.trim().chars().take(LONGEST).collect();
        if text.is_empty() {
            return Self::All;
        }
        if let Ok(address) = text.parse::<IpAddr>() {
            return Self::Within(single(address));
        }
        if let Ok(prefix) = text.parse::<IpNet>() {
            return Self::Within(prefix.trunc());
        }
        Self::Text(text.to_uppercase())
    }

    /// Whether a source is shown.
    pub fn takes(&self, prefix: &IpNet, country: Option<&str>, asn: Option<u32>) -> bool {
        match self {
            Self::All => true,
            Self::Within(within) => within.contains(prefix) || prefix.contains(within),
            Self::Text(text) => {
                country.map_or(text == "UNKNOWN", |country| country.eq_ignore_ascii_case(text))
                    || asn.is_some_and(|asn| format!("AS{asn}").starts_with(text) && text.len() > 2)
                    || prefix.to_string().to_uppercase().contains(text)
            }
        }
    }

    /// Whether a word is shown, where rows have no address: a text that is in it.
    pub fn takes_word(&self, word: &str) -> bool {
        match self {
            Self::All => true,
            Self::Within(_) => false,
            Self::Text(text) => word.to_uppercase().contains(text),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[track_caller]
    fn check(filter: &str, prefix: &str, expected: bool) {
        let taken = Filter::of(filter).takes(&prefix.parse().unwrap(), Some("DE"), Some(64_496));
        assert_eq!(taken, expected, "{filter:?} on {prefix}");
    }

    #[test]
    fn a_prefix_takes_what_is_in_it() {
        for (filter, prefix, expected) in [
            ("10.0.0.0/8", "10.1.2.3/32", true),
            ("10.9.9.9/8", "10.1.2.3/32", true),
            ("10.0.0.0/8", "110.0.0.8/32", false),
            ("10.1.2.3", "10.1.2.3/32", true),
            ("10.1.2.3", "10.1.2.33/32", false),
            ("2001:db8::/32", "2001:db8:7::/64", true),
            ("2001:db8:7::9", "2001:db8:7::/64", true),
            ("2001:db8:7:1::9", "2001:db8:7::/64", false),
            ("0.0.0.0/0", "2001:db8:7::/64", false),
        ] {
            check(filter, prefix, expected);
        }
    }

    #[test]
    fn a_text_takes_parts_of_addresses_countries_and_systems() {
        for (filter, expected) in [
            ("", true),
            ("  ", true),
            ("0.2.7", true),
            ("0.2.8", false),
            ("de", true),
            ("d", false),
            ("fr", false),
            ("as64496", true),
            ("AS644", true),
            ("as", false),
            ("AS65000", false),
            ("unknown", false),
        ] {
            check(filter, "192.0.2.7/32", expected);
        }
        assert!(Filter::of("Unknown").takes(&"192.0.2.7/32".parse().unwrap(), None, None));
    }

    #[test]
    fn a_word_is_taken_by_text_alone() {
        assert!(Filter::of("den").takes_word("denied") && Filter::of("").takes_word("denied"));
        assert!(!Filter::of("10.0.0.0/8").takes_word("denied") && !Filter::of("pass").takes_word("denied"));
    }

    #[test]
    fn no_text_is_too_long() {
        assert_eq!(Filter::of(&"ä".repeat(500)), Filter::Text("Ä".repeat(LONGEST)));
    }
}
