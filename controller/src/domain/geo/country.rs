//! Codes of countries, and the continent each lies on.
use std::fmt;
use std::num::NonZeroU16;
use std::str::FromStr;

use serde::{Serialize, Serializer};

/// A continent, by the code the databases use.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Continent {
    /// AF.
    Africa,
    /// AN.
    Antarctica,
    /// AS.
    Asia,
    /// EU.
    Europe,
    /// NA: with Central America and the Caribbean.
    NorthAmerica,
    /// OC.
    Oceania,
    /// SA.
    SouthAmerica,
}

impl Continent {
    /// All of them, by code.
    pub const ALL: [Self; 7] = [
        Self::Africa,
        Self::Antarctica,
        Self::Asia,
        Self::Europe,
        Self::NorthAmerica,
        Self::Oceania,
        Self::SouthAmerica,
    ];

    /// Its code, two capital letters.
    pub fn code(self) -> &'static str {
        match self {
            Self::Africa => "AF",
            Self::Antarctica => "AN",
            Self::Asia => "AS",
            Self::Europe => "EU",
            Self::NorthAmerica => "NA",
            Self::Oceania => "OC",
            Self::SouthAmerica => "SA",
        }
    }

    /// Its English name.
    pub fn name(self) -> &'static str {
        match self {
            Self::Africa => "Africa",
            Self::Antarctica => "Antarctica",
            Self::Asia => "Asia",
            Self::Europe => "Europe",
            Self::NorthAmerica => "North America",
            Self::Oceania => "Oceania",
            Self::SouthAmerica => "South America",
        }
    }

    /// The continent with this code, in any case.
    pub fn of_code(code: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|continent| continent.code().eq_ignore_ascii_case(code))
    }

    /// The codes of ISO 3166-1 that lie on it, and `XK`. Countries on two continents are where the databases put them.
    pub fn countries(self) -> impl Iterator<Item = CountryCode> {
        self.codes().split(' ').filter_map(|code| code.parse().ok())
    }

    fn codes(self) -> &'static str {
        match self {
            Self::Africa => {
                "AO BF BI BJ BW CD CF CG CI CM CV DJ DZ EG EH ER ET GA GH GM GN GQ GW KE KM LR LS LY MA MG ML MR MU MW \
                 MZ NA NE NG RE RW SC SD SH SL SN SO SS ST SZ TD TG TN TZ UG YT ZA ZM ZW"
            }
            Self::Antarctica => "AQ BV GS HM TF",
            Self::Asia => {
                "AE AF AM AZ BD BH BN BT CC CN GE HK ID IL IN IO IQ IR JO JP KG KH KP KR KW KZ LA LB LK MM MN MO MV MY \
                 NP OM PH PK PS QA SA SG SY TH TJ TM TR TW UZ VN YE"
            }
            Self::Europe => {
                "AD AL AT AX BA BE BG BY CH CY CZ DE DK EE ES FI FO FR GB GG GI GR HR HU IE IM IS IT JE LI LT LU LV MC \
                 MD ME MK MT NL NO PL PT RO RS RU SE SI SJ SK SM UA VA XK"
            }
            Self::NorthAmerica => {
                "AG AI AW BB BL BM BQ BS BZ CA CR CU CW DM DO GD GL GP GT HN HT JM KN KY LC MF MQ MS MX NI PA PM PR SV \
                 SX TC TT US VC VG VI"
            }
            Self::Oceania => "AS AU CK CX FJ FM GU KI MH MP NC NF NR NU NZ PF PG PN PW SB TK TL TO TV UM VU WF WS",
            Self::SouthAmerica => "AR BO BR CL CO EC FK GF GY PE PY SR UY VE",
        }
    }
}

impl fmt::Display for Continent {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.code())
    }
}

impl Serialize for Continent {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_str(self.code())
    }
}

/// Codes that databases use beside those of ISO 3166-1, with what they mean.
const OF_DATABASES: [(&str, &str, Option<Continent>); 7] = [
    ("A1", "anonymous proxies", None),
    ("A2", "satellite providers", None),
    ("AP", "Asia and Pacific, no country named", Some(Continent::Asia)),
    ("EU", "Europe, no country named", Some(Continent::Europe)),
    ("O1", "other", None),
    ("T1", "Tor exits", None),
    ("ZZ", "unknown", None),
];

/// A country as databases name it: two letters in capitals, or one of their own codes (`T1`, `EU`, `AP`, …).
///
/// Any two letters are a code: countries come and go. [`CountryCode::is_known`] says whether one is in use.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct CountryCode(NonZeroU16);

/// Not the code of a country.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{0:?} is not a country code: two letters such as DE are wanted")]
pub struct CountryError(pub String);

impl CountryCode {
    /// What databases write where they do not know.
    pub const UNKNOWN: Self = Self(NonZeroU16::new(u16::from_be_bytes(*b"ZZ")).unwrap());

    /// Whether the code is one of ISO 3166-1, `XK`, or one that databases use.
    pub fn is_known(self) -> bool {
        self.continent().is_some() || self.special().is_some()
    }

    /// What a code of the databases' own means; `None` for a country.
    pub fn special(self) -> Option<&'static str> {
        let mine = |(code, _, _): &&(&str, &str, _)| self.is(code);
        OF_DATABASES.iter().find(mine).map(|(_, meaning, _)| *meaning)
    }

    /// Where it lies; `None` where it is no country, or no longer one.
    pub fn continent(self) -> Option<Continent> {
        let country =
            Continent::ALL.into_iter().find(|continent| continent.codes().split(' ').any(|code| self.is(code)));
        let own = || OF_DATABASES.iter().find(|(code, _, _)| self.is(code)).and_then(|(_, _, continent)| *continent);
        country.or_else(own)
    }

    fn is(self, code: &str) -> bool {
        code.as_bytes() == self.0.get().to_be_bytes()
    }
}

impl FromStr for CountryCode {
    type Err = CountryError;

    fn from_str(text: &str) -> Result<Self, CountryError> {
        let refused = || CountryError(text.chars().take(40).collect());
        let &[first, second] = text.as_bytes() else { return Err(refused()) };
        let code = [first.to_ascii_uppercase(), second.to_ascii_uppercase()];
        let is_code = code.iter().all(u8::is_ascii_uppercase)
            || OF_DATABASES.iter().any(|(known, _, _)| known.as_bytes() == code.as_slice());
        if !is_code {
            return Err(refused());
        }
        NonZeroU16::new(u16::from_be_bytes(code)).map(Self).ok_or_else(refused)
    }
}

impl fmt::Display for CountryCode {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let [first, second] = self.0.get().to_be_bytes().map(char::from);
        write!(f, "{first}{second}")
    }
}

impl fmt::Debug for CountryCode {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

impl Serialize for CountryCode {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use super::*;

    #[test]
    fn every_country_lies_on_one_continent() {
        let all: Vec<CountryCode> = Continent::ALL.into_iter().flat_map(Continent::countries).collect();
        let once: BTreeSet<_> = all.iter().copied().collect();
        // The 249 of ISO 3166-1, and XK.
        assert_eq!((all.len(), once.len()), (250, 250));
        for continent in Continent::ALL {
            assert!(continent.countries().all(|country| country.continent() == Some(continent)));
            assert_eq!(Continent::of_code(continent.code()), Some(continent));
        }
    }

    #[test]
    fn codes_are_two_letters_in_any_case_or_the_databases_own() {
        for (text, shown) in [("de", "DE"), ("Gb", "GB"), ("xk", "XK"), ("t1", "T1"), ("EU", "EU"), ("zz", "ZZ")] {
            let code: CountryCode = text.parse().unwrap();
            assert_eq!(code.to_string(), shown);
            assert!(code.is_known(), "{text}");
        }
        for text in ["", "D", "DEU", "D ", " DE", "D1", "1D", "12", "\u{e4}", "D\0", "-", "DE\n"] {
            assert!(text.parse::<CountryCode>().is_err(), "{text:?}");
        }
        assert!(!"AN".parse::<CountryCode>().unwrap().is_known());
        assert_eq!("zz".parse(), Ok(CountryCode::UNKNOWN));
    }

    #[test]
    fn the_databases_own_codes_lie_where_they_say() {
        let continent = |text: &str| text.parse::<CountryCode>().unwrap().continent();
        assert_eq!(continent("EU"), Some(Continent::Europe));
        assert_eq!(continent("AP"), Some(Continent::Asia));
        assert_eq!((continent("T1"), continent("ZZ"), continent("QQ")), (None, None, None));
    }
}
