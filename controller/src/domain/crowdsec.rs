//! Decisions of a CrowdSec server: what it says, what of it is in force, when to ask again.
//!
//! A server keeps decisions under numbers. Several may name the same prefix; each ends for itself. What is in force on
//! a prefix is the strongest of them ([`Decisions`]), and only what changes there is told on ([`Delta`]).
pub mod bouncer_file;
pub mod decisions;
pub mod duration;
pub mod page;
pub mod poll;
pub mod usage;

use super::decision::Enforcement;

pub use self::decisions::{Decisions, Delta, Put};
pub use self::page::{Page, PageError, Refusals, Refused};
pub use self::poll::{Ask, Poll, Take};

/// What weir is to a server: the type that `cscli bouncers list` shows.
pub const COMPONENT_TYPE: &str = "crowdsec-weir-bouncer";

/// Scopes whose values are prefixes, in the server's spelling of its parameter.
pub const SCOPES: [&str; 2] = ["ip", "range"];

/// Which decisions are taken, and what becomes of them.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Rules {
    /// Scopes that are taken; compared without regard to case. Those beside `ip` and `range` are never taken.
    pub scopes: Vec<String>,
    /// Types that deny.
    pub deny_types: Vec<String>,
    /// Types that are only counted as "would drop".
    pub observe_types: Vec<String>,
    /// Whether IPv6 prefixes are taken.
    pub ipv6: bool,
}

impl Default for Rules {
    fn default() -> Self {
        Self {
            scopes: SCOPES.map(str::to_owned).to_vec(),
            deny_types: vec!["ban".to_owned()],
            observe_types: vec!["captcha".to_owned()],
            ipv6: true,
        }
    }
}

impl Rules {
    /// What becomes of a decision of this type; `None`: nothing. A type that is on both lists denies.
    fn enforcement(&self, kind: &str) -> Option<Enforcement> {
        let is_on = |types: &[String]| types.iter().any(|named| named.eq_ignore_ascii_case(kind));
        if is_on(&self.deny_types) {
            Some(Enforcement::Enforce)
        } else {
            is_on(&self.observe_types).then_some(Enforcement::Observe)
        }
    }

    fn takes_scope(&self, scope: &str) -> bool {
        let is = |named: &str| named.eq_ignore_ascii_case(scope);
        SCOPES.iter().any(|known| is(known)) && self.scopes.iter().any(|named| is(named))
    }
}

/// What the server is asked to leave out. An empty list leaves out nothing.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Filters {
    /// Only these scopes.
    pub scopes: Vec<String>,
    /// Only decisions of these origins: `crowdsec`, `cscli`, `CAPI`, `lists`.
    pub origins: Vec<String>,
    /// Only scenarios that contain one of these words.
    pub scenarios_containing: Vec<String>,
    /// No scenario that contains one of these words.
    pub scenarios_not_containing: Vec<String>,
}

impl Default for Filters {
    fn default() -> Self {
        Self {
            scopes: SCOPES.map(str::to_owned).to_vec(),
            origins: Vec::new(),
            scenarios_containing: Vec::new(),
            scenarios_not_containing: Vec::new(),
        }
    }
}

impl Filters {
    /// The parameters of a request for decisions: all of them (`startup`), or what changed since the last.
    ///
    /// A server by itself names, of several decisions on one value, only the one that ends last, and then keeps quiet
    /// when that one is deleted while another lives. So all are asked for (`dedup=false`).
    pub fn parameters(&self, startup: bool) -> Vec<(&'static str, String)> {
        let mut parameters = vec![("startup", startup.to_string()), ("dedup", "false".to_owned())];
        let lists = [
            ("scopes", &self.scopes),
            ("origins", &self.origins),
            ("scenarios_containing", &self.scenarios_containing),
            ("scenarios_not_containing", &self.scenarios_not_containing),
        ];
        let given = lists.into_iter().filter(|(_, words)| !words.is_empty());
        parameters.extend(given.map(|(name, words)| (name, words.join(","))));
        parameters
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_server_is_asked_for_every_decision_of_a_value() {
        let filters = Filters { origins: vec!["cscli".to_owned(), "CAPI".to_owned()], ..Filters::default() };
        let named: Vec<String> =
            filters.parameters(true).into_iter().map(|(name, value)| format!("{name}={value}")).collect();
        assert_eq!(named, ["startup=true", "dedup=false", "scopes=ip,range", "origins=cscli,CAPI"]);
    }

    #[test]
    fn types_and_scopes_are_compared_without_regard_to_case() {
        let rules = Rules { observe_types: vec!["captcha".to_owned(), "BAN".to_owned()], ..Rules::default() };
        assert_eq!(rules.enforcement("Ban"), Some(Enforcement::Enforce));
        assert_eq!(rules.enforcement("Captcha"), Some(Enforcement::Observe));
        assert_eq!(rules.enforcement("throttle"), None);
        assert!(rules.takes_scope("Ip") && rules.takes_scope("RANGE"));
        assert!(!Rules { scopes: vec!["country".to_owned()], ..rules }.takes_scope("Country"));
    }
}
