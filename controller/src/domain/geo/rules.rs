//! Rules on countries and systems, and the lists they come to.
use std::collections::{BTreeMap, BTreeSet};

use super::country::CountryCode;
use super::selector::Selector;
use super::space::{Space, special_purpose};
use super::{Asn, Table};
use crate::domain::decision::{ListEnforcement, Origin};
use crate::domain::prefixes::Prefixes;

/// What becomes of addresses the country database does not know.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash, serde::Serialize, serde::Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Unknown {
    /// They pass.
    #[default]
    Pass,
    /// They are denied, but for special-purpose space.
    Deny,
}

/// Who is denied, who is only counted, who has the tighter limit, and who alone may pass. Free of contradictions.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Rules {
    deny: Vec<Selector>,
    observe: Vec<Selector>,
    limit: Vec<Selector>,
    allow_only: Vec<Selector>,
    unknown: Unknown,
}

/// Rules that contradict each other or do nothing.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum RulesError {
    /// The same selector twice under one key.
    #[error("\"{key}\": \"{selector}\" is named twice")]
    Repeated {
        /// The key.
        key: &'static str,
        /// The selector.
        selector: Selector,
    },
    /// Nobody may pass.
    #[error(
        "\"allow_only\" is empty, which would deny every country there is; name who may pass, or leave the key out"
    )]
    Nobody,
    /// Denied and alone allowed.
    #[error(
        "\"allow_only\": \"{allowed}\" is denied by \"{denied}\" in \"deny\", so it would never pass; drop one of them"
    )]
    Contradiction {
        /// Who may pass.
        allowed: Selector,
        /// Who is denied.
        denied: Selector,
    },
    /// Only counted, though denied.
    #[error(
        "\"observe\": \"{observed}\" is denied by \"{denied}\" in \"deny\", so there is nothing to observe; drop one of \
         them"
    )]
    NothingToObserve {
        /// Who is only counted.
        observed: Selector,
        /// Who is denied.
        denied: Selector,
    },
    /// Limited, though denied or only counted.
    #[error("\"limit\": \"{limited}\" is in \"{key}\" as \"{other}\", which goes before; drop one of them")]
    NothingToLimit {
        /// Who is limited.
        limited: Selector,
        /// Where else it is named.
        key: &'static str,
        /// As what.
        other: Selector,
    },
    /// Only counted, though not among those who may pass.
    #[error(
        "\"observe\": \"{0}\" is not among those in \"allow_only\", so it is denied and there is nothing to observe; \
         drop it, or name it in \"allow_only\" too"
    )]
    NotAllowed(Selector),
}

impl RulesError {
    /// The key of `[geo]` that it is about.
    pub fn key(&self) -> &'static str {
        match self {
            Self::Repeated { key, .. } => key,
            Self::Nobody | Self::Contradiction { .. } => "allow_only",
            Self::NothingToObserve { .. } | Self::NotAllowed(_) => "observe",
            Self::NothingToLimit { .. } => "limit",
        }
    }
}

impl Rules {
    /// The rules of `[geo]`; `allow_only` is `None` where the key is not given.
    ///
    /// # Errors
    /// [`RulesError`].
    pub fn new(
        deny: Vec<Selector>,
        observe: Vec<Selector>,
        limit: Vec<Selector>,
        allow_only: Option<Vec<Selector>>,
        unknown: Unknown,
    ) -> Result<Self, RulesError> {
        let allowed = allow_only.as_deref().unwrap_or_default();
        let all = [("deny", deny.as_slice()), ("observe", &observe), ("limit", &limit), ("allow_only", allowed)];
        for (key, selectors) in all {
            let mut seen = BTreeSet::new();
            if let Some(selector) = selectors.iter().find(|selector| !seen.insert(**selector)) {
                return Err(RulesError::Repeated { key, selector: *selector });
            }
        }
        if allow_only.as_ref().is_some_and(Vec::is_empty) {
            return Err(RulesError::Nobody);
        }
        let denial = |selector: &Selector| deny.iter().copied().find(|denied| denied.includes(*selector));
        for allowed in allowed {
            if let Some(denied) = denial(allowed) {
                return Err(RulesError::Contradiction { allowed: *allowed, denied });
            }
        }
        for observed in &observe {
            if let Some(denied) = denial(observed) {
                return Err(RulesError::NothingToObserve { observed: *observed, denied });
            }
            let is_country = matches!(observed, Selector::Country(_));
            if is_country && allow_only.is_some() && !allowed.iter().any(|allowed| allowed.includes(*observed)) {
                return Err(RulesError::NotAllowed(*observed));
            }
        }
        for limited in &limit {
            for (key, others) in [("deny", &deny), ("observe", &observe)] {
                if let Some(other) = others.iter().copied().find(|other| other.includes(*limited)) {
                    return Err(RulesError::NothingToLimit { limited: *limited, key, other });
                }
            }
        }
        Ok(Self { deny, observe, limit, allow_only: allow_only.unwrap_or_default(), unknown })
    }

    /// Whether no rule is given.
    pub fn is_empty(&self) -> bool {
        self.selectors().next().is_none() && self.unknown == Unknown::Pass
    }

    /// Whether a database of countries is needed.
    pub fn need_countries(&self) -> bool {
        let names_one = self.selectors().any(|selector| !matches!(selector, Selector::Asn(_)));
        names_one || !self.allow_only.is_empty() || self.unknown == Unknown::Deny
    }

    /// Whether a database of autonomous systems is needed.
    pub fn need_networks(&self) -> bool {
        self.selectors().any(|selector| matches!(selector, Selector::Asn(_)))
    }

    /// All selectors, as the keys stand: deny, observe, limit, allow-only.
    pub fn selectors(&self) -> impl Iterator<Item = Selector> + '_ {
        self.deny.iter().chain(&self.observe).chain(&self.limit).chain(&self.allow_only).copied()
    }

    /// What becomes of a country of the table; `None`: it passes.
    fn of_country(&self, country: CountryCode) -> Option<Ruled> {
        let covers = |selectors: &[Selector]| selectors.iter().any(|selector| selector.covers(country));
        if covers(&self.deny) {
            return Some(Ruled::Denied);
        }
        if !self.allow_only.is_empty() && !covers(&self.allow_only) {
            return Some(Ruled::NotAllowed);
        }
        if covers(&self.observe) {
            return Some(Ruled::Observed);
        }
        covers(&self.limit).then_some(Ruled::Limited)
    }

    /// What becomes of a system of the table; `None`: nothing by its number.
    fn of_network(&self, asn: Asn) -> Option<ListEnforcement> {
        let named = Selector::Asn(asn);
        if self.deny.contains(&named) {
            return Some(ListEnforcement::Enforce);
        }
        if self.observe.contains(&named) {
            return Some(ListEnforcement::Observe);
        }
        self.limit.contains(&named).then_some(ListEnforcement::Limit)
    }
}

/// Why a country does not simply pass.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Ruled {
    /// It is named in `deny`.
    Denied,
    /// It is not named in `allow_only`.
    NotAllowed,
    /// It is named in `observe`.
    Observed,
    /// It is named in `limit`.
    Limited,
}

/// A list that rules and a table come to.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct GeoList {
    /// `country-DE`, `asn-64496`, `country-unknown`.
    pub name: String,
    /// Country or ASN.
    pub origin: Origin,
    /// What becomes of it.
    pub enforcement: ListEnforcement,
    /// The fewest prefixes that cover it.
    pub prefixes: Prefixes,
}

/// The lists that the rules come to with this table: countries by code, the unknown, systems by number. A country or
/// system without an address in the table gets none. The prefixes can be wider than a feed's may be: they are a
/// person's word, so they are not for [`crate::domain::guard::Guards::admit`]; protected and never-block addresses are
/// kept by the classes of the tables.
pub fn lists(rules: &Rules, table: &Table) -> Vec<GeoList> {
    let mut lists = Vec::new();
    let is_allowed = |asn: Asn| rules.allow_only.contains(&Selector::Asn(asn));
    let allowed = if rules.allow_only.iter().any(|selector| matches!(selector, Selector::Asn(_))) {
        table.networks.space(is_allowed)
    } else {
        Space::default()
    };
    // Each country once: the table has them in hundreds of thousands of ranges.
    let present = table.countries.values().into_iter();
    let decided: BTreeMap<CountryCode, Ruled> = present.filter_map(|own| Some((own, rules.of_country(own)?))).collect();
    for (country, space) in table.countries.spaces(|country| decided.contains_key(&country)) {
        let (space, enforcement) = match decided.get(&country) {
            Some(Ruled::Denied) => (space, ListEnforcement::Enforce),
            // A system that may pass passes wherever its addresses are.
            Some(Ruled::NotAllowed) => (space.without(&allowed), ListEnforcement::Enforce),
            Some(Ruled::Observed) => (space, ListEnforcement::Observe),
            Some(Ruled::Limited) => (space, ListEnforcement::Limit),
            None => continue,
        };
        push(&mut lists, format!("country-{country}"), Origin::Country, enforcement, &space);
    }
    // Without a database every address is unknown, and none may be denied for it.
    if rules.unknown == Unknown::Deny && !table.countries.is_empty() {
        let unknown = Space::all().without(&table.countries.space(|_| true)).without(&allowed);
        push(&mut lists, "country-unknown".to_owned(), Origin::Country, ListEnforcement::Enforce, &unknown);
    }
    for (asn, space) in table.networks.spaces(|asn| rules.of_network(asn).is_some()) {
        let enforcement = rules.of_network(asn).unwrap_or(ListEnforcement::Observe);
        push(&mut lists, format!("asn-{asn}"), Origin::Asn, enforcement, &space);
    }
    lists
}

fn push(lists: &mut Vec<GeoList>, name: String, origin: Origin, enforcement: ListEnforcement, space: &Space) {
    let prefixes = space.without(special_purpose()).prefixes();
    if !prefixes.is_empty() {
        lists.push(GeoList { name, origin, enforcement, prefixes });
    }
}

/// What the rules name and the table has no address of: a wrong file, most likely, or a number that is not announced.
pub fn absent(rules: &Rules, table: &Table) -> Vec<Selector> {
    let (countries, networks) = (table.countries.values(), table.networks.values());
    let has = |selector: &Selector| match selector {
        Selector::Country(_) | Selector::Continent(_) => countries.iter().any(|country| selector.covers(*country)),
        Selector::Asn(asn) => networks.binary_search(asn).is_ok(),
    };
    rules.selectors().filter(|selector| !has(selector)).collect()
}

#[cfg(test)]
mod tests;
