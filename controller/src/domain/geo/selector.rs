//! What a rule names: a country, a continent or an autonomous system.
use std::fmt;
use std::str::FromStr;

use super::country::{Continent, CountryCode};
use super::{Asn, Place};

/// What a rule names.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Selector {
    /// `DE`: a country.
    Country(CountryCode),
    /// `continent:EU`: all countries of a continent.
    Continent(Continent),
    /// `AS64496`: an autonomous system.
    Asn(Asn),
}

impl Selector {
    /// Whether it covers this country.
    pub fn covers(self, country: CountryCode) -> bool {
        match self {
            Self::Country(own) => own == country,
            Self::Continent(own) => country.continent() == Some(own),
            Self::Asn(_) => false,
        }
    }

    /// Whether whatever `other` names it names too.
    pub fn includes(self, other: Self) -> bool {
        match other {
            Self::Country(country) => self.covers(country),
            Self::Continent(_) | Self::Asn(_) => self == other,
        }
    }

    /// Whether it covers this place.
    pub fn matches(self, place: &Place) -> bool {
        match self {
            Self::Country(_) | Self::Continent(_) => place.country.is_some_and(|country| self.covers(country)),
            Self::Asn(asn) => place.asn == Some(asn.get()),
        }
    }
}

impl fmt::Display for Selector {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Country(country) => write!(f, "{country}"),
            Self::Continent(continent) => write!(f, "continent:{continent}"),
            Self::Asn(asn) => write!(f, "AS{asn}"),
        }
    }
}

/// Why a text names nothing.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum SelectorError {
    /// Not a country.
    #[error(
        "not a country of ISO 3166-1; write DE for a country, continent:EU for a continent, AS64496 for an autonomous \
         system{}",
        meant(.suggestion.as_ref())
    )]
    NotACountry {
        /// What may be meant.
        suggestion: Option<String>,
    },
    /// A code under which databases file what they have no country for.
    #[error("{0} is no country but what databases write for \"unknown\"; use `unknown = \"deny\"` for those")]
    Unknown(CountryCode),
    /// Not a continent.
    #[error("not a continent; the continents are AF, AN, AS, EU, NA, OC and SA{}", meant(.suggestion.as_ref()))]
    NotAContinent {
        /// What may be meant.
        suggestion: Option<String>,
    },
    /// Not the number of an autonomous system.
    #[error("not an autonomous system: AS and a number from 1 to 4294967295, as in AS64496")]
    NotANetwork,
}

fn meant(suggestion: Option<&String>) -> String {
    suggestion.map(|meant| format!("; did you mean {meant}?")).unwrap_or_default()
}

/// What people write for a country, and its code.
const SLIPS: [(&str, &str); 22] = [
    ("UK", "GB"),
    ("EL", "GR"),
    ("JA", "JP"),
    ("SU", "RU"),
    ("YU", "RS"),
    ("USA", "US"),
    ("GBR", "GB"),
    ("CHN", "CN"),
    ("RUS", "RU"),
    ("DEU", "DE"),
    ("GER", "DE"),
    ("FRA", "FR"),
    ("IND", "IN"),
    ("BRA", "BR"),
    ("IRN", "IR"),
    ("PRK", "KP"),
    ("UKR", "UA"),
    ("CHINA", "CN"),
    ("RUSSIA", "RU"),
    ("GERMANY", "DE"),
    ("FRANCE", "FR"),
    ("INDIA", "IN"),
];

impl FromStr for Selector {
    type Err = SelectorError;

    fn from_str(text: &str) -> Result<Self, SelectorError> {
        if let Some(code) = strip(text, "continent:") {
            return Continent::of_code(code)
                .map(Self::Continent)
                .ok_or_else(|| SelectorError::NotAContinent { suggestion: named_continent(code) });
        }
        if let Ok(country) = text.parse::<CountryCode>() {
            return of_country(country);
        }
        match strip(text, "AS") {
            Some(number) if number.starts_with(|c: char| c.is_ascii_digit()) => network(number),
            _ => Err(SelectorError::NotACountry { suggestion: suggestion(text) }),
        }
    }
}

fn of_country(country: CountryCode) -> Result<Selector, SelectorError> {
    if country == CountryCode::UNKNOWN {
        return Err(SelectorError::Unknown(country));
    }
    // A code for a region without a country: who writes it means the continent.
    let region = country.special().and(country.continent());
    if country.is_known() && region.is_none() {
        return Ok(Selector::Country(country));
    }
    let suggestion = region.map(|continent| format!("continent:{continent}"));
    Err(SelectorError::NotACountry { suggestion: suggestion.or_else(|| suggestion_of(&country.to_string())) })
}

fn network(number: &str) -> Result<Selector, SelectorError> {
    let is_plain = number.bytes().all(|b| b.is_ascii_digit()) && !number.starts_with('0');
    let asn = if is_plain { number.parse().ok() } else { None };
    asn.map(Selector::Asn).ok_or(SelectorError::NotANetwork)
}

fn strip<'a>(text: &'a str, head: &str) -> Option<&'a str> {
    let (start, rest) = text.split_at_checked(head.len())?;
    start.eq_ignore_ascii_case(head).then_some(rest)
}

fn suggestion(text: &str) -> Option<String> {
    if let Some(number) = strip(text, "ASN").or(Some(text)).filter(|number| network(number).is_ok()) {
        return Some(format!("AS{number}"));
    }
    suggestion_of(text.trim()).or_else(|| named_continent(text.trim()))
}

fn suggestion_of(text: &str) -> Option<String> {
    let slip = SLIPS.iter().find(|(slip, _)| slip.eq_ignore_ascii_case(text)).map(|(_, code)| (*code).to_owned());
    let country = || text.parse().ok().filter(|code: &CountryCode| code.is_known() && code.special().is_none());
    let continent = || Continent::of_code(text).map(|continent| format!("continent:{continent}"));
    slip.or_else(|| country().map(|code| code.to_string())).or_else(continent)
}

fn named_continent(text: &str) -> Option<String> {
    let named = Continent::ALL.into_iter().find(|continent| continent.name().eq_ignore_ascii_case(text));
    named.map(|continent| format!("continent:{continent}"))
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[track_caller]
    fn check(text: &str, expected: Result<&str, &str>) {
        match (text.parse::<Selector>(), expected) {
            (Ok(selector), Ok(shown)) => assert_eq!(selector.to_string(), shown, "{text}"),
            (Err(error), Err(part)) => assert!(error.to_string().contains(part), "{text}: {error}"),
            (got, wanted) => panic!("{text:?}: {got:?}, wanted {wanted:?}"),
        }
    }

    #[test]
    fn countries_continents_and_systems_are_read_in_any_case() {
        check("DE", Ok("DE"));
        check("kp", Ok("KP"));
        check("xk", Ok("XK"));
        check("T1", Ok("T1"));
        check("AS", Ok("AS"));
        check("continent:EU", Ok("continent:EU"));
        check("Continent:as", Ok("continent:AS"));
        check("AS64496", Ok("AS64496"));
        check("as4294967295", Ok("AS4294967295"));
    }

    #[test]
    fn slips_are_met_with_what_may_be_meant() {
        check("UK", Err("did you mean GB?"));
        check("uk", Err("did you mean GB?"));
        check("EU", Err("did you mean continent:EU?"));
        check("AP", Err("did you mean continent:AS?"));
        check("OC", Err("did you mean continent:OC?"));
        check("Germany", Err("did you mean DE?"));
        check(" DE", Err("did you mean DE?"));
        check("Europe", Err("did you mean continent:EU?"));
        check("continent:Africa", Err("did you mean continent:AF?"));
        check("64496", Err("did you mean AS64496?"));
        check("ASN64496", Err("did you mean AS64496?"));
        check("ZZ", Err("unknown = \"deny\""));
    }

    #[test]
    fn what_is_nothing_is_refused() {
        for text in ["", "QQ", "XX", "D", "DEUX", "12", "\u{e4}\u{f6}", "ASX", "DE,FR", "192.0.2.0/24", "country:DE"] {
            check(text, Err("not a country of ISO 3166-1"));
        }
        for text in ["AS0", "AS007", "AS4294967296", "AS1.10", "AS12x", "AS1 "] {
            check(text, Err("from 1 to 4294967295"));
        }
        for text in ["continent:", "continent:DE", "continent: EU", "continent:E"] {
            check(text, Err("AF, AN, AS, EU, NA, OC and SA"));
        }
    }

    proptest! {
        #[test]
        fn what_is_shown_is_read_back(text in "\\PC{0,12}|(AS|as|continent:|ASN)?[A-Za-z0-9]{0,4}") {
            if let Ok(selector) = text.parse::<Selector>() {
                prop_assert_eq!(selector.to_string().parse(), Ok(selector));
            }
        }
    }
}
