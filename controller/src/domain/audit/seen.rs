//! A record as it is stored, and what is asked of records.
use jiff::Timestamp;
use serde::Serialize;
use utoipa::ToSchema;

/// What happened, as far as it is counted.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, ToSchema)]
#[serde(rename_all = "snake_case")]
#[repr(u8)]
#[schema(as = EventClass)]
pub enum Class {
    /// Somebody signed in.
    SignIn,
    /// Somebody failed to sign in.
    FailedSignIn,
    /// Somebody was refused what they may not do.
    Denial,
    /// A limit was broken.
    RateLimit,
    /// Something odd was found.
    Anomaly,
    /// A request was answered.
    Request,
    /// A server noted something.
    Message,
    /// Anything else.
    Other,
}

impl Class {
    /// All of them.
    pub const ALL: [Self; 8] = [
        Self::SignIn,
        Self::FailedSignIn,
        Self::Denial,
        Self::RateLimit,
        Self::Anomaly,
        Self::Request,
        Self::Message,
        Self::Other,
    ];

    /// Its name.
    pub const fn name(self) -> &'static str {
        match self {
            Self::SignIn => "sign_in",
            Self::FailedSignIn => "failed_sign_in",
            Self::Denial => "denial",
            Self::RateLimit => "rate_limit",
            Self::Anomaly => "anomaly",
            Self::Request => "request",
            Self::Message => "message",
            Self::Other => "other",
        }
    }

    /// The class of this name.
    pub fn named(name: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|class| class.name() == name)
    }
}

/// A record as it is stored.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Seen<'a> {
    /// Its row's number in the database: later records have greater ones.
    pub number: i64,
    /// When it happened. It is counted to the microsecond.
    pub at: Timestamp,
    /// What happened.
    pub class: Class,
    /// From where: an address, or the name of one.
    pub source: Option<&'a str>,
    /// Who.
    pub user: Option<&'a str>,
    /// The source's country: two letters, anything else is none.
    pub country: Option<&'a str>,
    /// What was asked of.
    pub endpoint: Option<&'a str>,
    /// How many events it stands for.
    pub count: u32,
}

/// Which records are asked for: those of which all of this is true.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Filter<'a> {
    /// Of this class.
    pub class: Option<Class>,
    /// From this source.
    pub source: Option<&'a str>,
    /// By this user.
    pub user: Option<&'a str>,
    /// Not earlier.
    pub since: Option<Timestamp>,
    /// Not later.
    pub until: Option<Timestamp>,
}

/// The number of a country of two letters.
pub(super) fn country_id(country: Option<&str>) -> u16 {
    let letter = |letter: u8| letter.is_ascii_alphabetic().then(|| u16::from(letter.to_ascii_uppercase() - b'A'));
    match country.map(str::as_bytes) {
        Some([first, second]) => match (letter(*first), letter(*second)) {
            (Some(first), Some(second)) => 1 + first * 26 + second,
            _ => NO_COUNTRY,
        },
        _ => NO_COUNTRY,
    }
}

/// The number of no country.
pub(super) const NO_COUNTRY: u16 = 0;

/// Numbers of countries there are.
pub(super) const COUNTRIES: usize = 1 + 26 * 26;

/// The two letters of a country's number.
pub(super) fn country(id: u16) -> Option<String> {
    let letter = |number: u16| char::from_digit(u32::from(number) + 10, 36).map(|letter| letter.to_ascii_uppercase());
    let id = id.checked_sub(1)?;
    Some([letter(id / 26)?, letter(id % 26)?].into_iter().collect())
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use super::*;

    #[test]
    fn every_country_of_two_letters_has_a_number_of_its_own() {
        let mut numbers = BTreeSet::new();
        for first in 'A'..='Z' {
            for second in 'A'..='Z' {
                let name = format!("{first}{second}");
                let id = country_id(Some(&name));
                assert!(numbers.insert(id) && usize::from(id) < COUNTRIES);
                assert_eq!(country(id), Some(name.clone()));
                assert_eq!(country_id(Some(&name.to_lowercase())), id);
            }
        }
        assert_eq!(country(NO_COUNTRY), None);
        assert!(["", "D", "DEU", "D1", "é"].iter().all(|other| country_id(Some(other)) == NO_COUNTRY));
        assert_eq!(country_id(None), NO_COUNTRY);
    }
}
