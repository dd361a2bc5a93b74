//! Addresses and prefixes on the command line.
use std::net::IpAddr;
use std::str::FromStr;

use ipnet::IpNet;

use crate::domain::listfile::{PrefixError, parse_prefix};

/// What an entry covers, as it was said.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Target {
    /// `-`: standard input names them.
    Input,
    /// A prefix; an address is the prefix of just itself.
    Prefix(Named),
}

/// A prefix and how it was written.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Named {
    /// The prefix, host bits cleared.
    pub prefix: IpNet,
    /// The text, where it says something else: host bits were set, or IPv4 was written as IPv6.
    pub written: Option<String>,
}

impl FromStr for Target {
    type Err = PrefixError;

    fn from_str(text: &str) -> Result<Self, PrefixError> {
        if text == "-" { Ok(Self::Input) } else { text.parse().map(Self::Prefix) }
    }
}

impl FromStr for Named {
    type Err = PrefixError;

    fn from_str(text: &str) -> Result<Self, PrefixError> {
        let prefix = parse_prefix(text)?;
        let address = text.split('/').next().and_then(|address| address.parse::<IpAddr>().ok());
        let written = (address != Some(prefix.network())).then(|| text.to_owned());
        Ok(Self { prefix, written })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[track_caller]
    fn check(text: &str, prefix: &str, written: Option<&str>) {
        let named = Named { prefix: prefix.parse().unwrap(), written: written.map(str::to_owned) };
        assert_eq!(text.parse(), Ok(Target::Prefix(named)), "{text}");
    }

    #[test]
    fn addresses_and_prefixes_are_taken_as_they_stand() {
        check("192.0.2.7", "192.0.2.7/32", None);
        check("192.0.2.0/24", "192.0.2.0/24", None);
        check("2001:db8::1", "2001:db8::1/128", None);
        check("2001:DB8:0::/32", "2001:db8::/32", None);
        assert_eq!("-".parse(), Ok(Target::Input));
    }

    #[test]
    fn what_becomes_something_else_is_kept_as_it_was_written() {
        check("192.0.2.7/24", "192.0.2.0/24", Some("192.0.2.7/24"));
        check("2001:db8::1/64", "2001:db8::/64", Some("2001:db8::1/64"));
        check("::ffff:192.0.2.7", "192.0.2.7/32", Some("::ffff:192.0.2.7"));
    }

    #[test]
    fn what_is_no_prefix_is_refused() {
        for text in
            ["", "192.0.2", "192.0.2.0/33", "192.0.2.0-192.0.2.9", "example.org", "--", "192.0.2.07", "fe80::1%eth0"]
        {
            assert!(text.parse::<Target>().is_err(), "{text:?}");
        }
    }
}
