//! One parameter of an analyzer: its name, what it means, its value and what is allowed.
use serde::Serialize;

use super::settings::SettingError;
use super::statuses::Statuses;
use crate::domain::duration;
use crate::domain::http::finding::Response;

/// Most words in a list, and bytes of one.
const MOST_WORDS: usize = 64;
const LONGEST_WORD: usize = 64;

/// How long a denial, limit or denial of a user lasts where no time is given, in seconds.
const RESPONSE_FOR_S: u64 = 3_600;
const USER_FOR_S: u64 = 900;

/// Shortest and longest response, in seconds.
const LEAST_FOR_S: u64 = 1;
const MOST_FOR_S: u64 = 30 * 86_400;

/// Bounds of what every analyzer has.
const LEAST_WINDOW_S: u64 = 15;
const MOST_WINDOW_S: u64 = 86_400;
const LEAST_KEYS: u32 = 64;
const MOST_KEYS: u32 = 4_194_304;

/// A value as a configuration file or a request gives it.
#[derive(Clone, Debug, PartialEq)]
pub enum Given {
    /// Yes or no.
    Flag(bool),
    /// A number.
    Number(f64),
    /// A text.
    Text(String),
    /// Texts; numbers among them as texts.
    List(Vec<String>),
}

/// A parameter, for people: in the API's list and in `weir rules`.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Parameter {
    /// Its key.
    pub name: &'static str,
    /// What it means.
    pub description: String,
    /// Its unit; empty: a plain number or no number.
    pub unit: &'static str,
    /// Its value.
    pub value: String,
    /// What it is if nobody sets it.
    pub default: String,
    /// The least it may be, for a number.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub least: Option<f64>,
    /// The most it may be, for a number.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub most: Option<f64>,
}

/// Where a parameter is kept, and its bounds.
#[derive(Debug)]
pub(super) enum Slot<'a> {
    Flag(&'a mut bool),
    Count(&'a mut u32, u32, u32),
    Seconds(&'a mut u64, u64, u64),
    Number(&'a mut f64, f64, f64),
    Statuses(&'a mut Statuses),
    Words(&'a mut Vec<String>),
    Response(&'a mut Response),
}

/// A parameter of some settings.
#[derive(Debug)]
pub(super) struct Field<'a> {
    pub(super) key: &'static str,
    what: String,
    unit: &'static str,
    slot: Slot<'a>,
}

impl<'a> Field<'a> {
    /// A level's meaning ends with its name: "above which it is critical".
    pub(super) fn new(key: &'static str, what: &str, unit: &'static str, slot: Slot<'a>) -> Self {
        let what = if what.ends_with(" it is") { format!("{what} {key}") } else { what.to_owned() };
        Self { key, what, unit, slot }
    }

    pub(super) fn enabled(slot: &'a mut bool) -> Self {
        Self::new("enabled", "whether it runs", "", Slot::Flag(slot))
    }

    pub(super) fn window(slot: &'a mut u64) -> Self {
        Self::new("window", "how far back it looks", "s", Slot::Seconds(slot, LEAST_WINDOW_S, MOST_WINDOW_S))
    }

    pub(super) fn minimum(slot: &'a mut u32) -> Self {
        Self::new("minimum", "fewest requests that are judged", "", Slot::Count(slot, 1, 1_000_000))
    }

    pub(super) fn threshold(of_what: &str, slot: &'a mut u32) -> Self {
        let what = format!("{of_what} in a window at which it alerts");
        Self::new("threshold", &what, "", Slot::Count(slot, 1, 1_000_000))
    }

    pub(super) fn max_keys(of_what: &str, slot: &'a mut u32) -> Self {
        let what = format!("most {of_what} that are remembered at once");
        Self::new("max_keys", &what, "", Slot::Count(slot, LEAST_KEYS, MOST_KEYS))
    }

    pub(super) fn response(slot: &'a mut Response) -> Self {
        Self::new(
            "response",
            "what is done: observe, notify, limit, deny or deny_user, the last three with a time",
            "",
            Slot::Response(slot),
        )
    }

    /// Sets it.
    pub(super) fn set(&mut self, key: &str, value: &Given) -> Result<(), SettingError> {
        let kind = |wanted| SettingError::Kind { key: key.to_owned(), wanted };
        match &mut self.slot {
            Slot::Flag(slot) => match value {
                Given::Flag(flag) => **slot = *flag,
                _ => return Err(kind("true or false")),
            },
            Slot::Count(slot, least, most) => {
                let Given::Number(number) = value else { return Err(kind("a whole number")) };
                within(key, *number, f64::from(*least), f64::from(*most))?;
                if number.fract() != 0.0 {
                    return Err(kind("a whole number"));
                }
                #[expect(
                    clippy::cast_possible_truncation,
                    clippy::cast_sign_loss,
                    reason = "whole and within the range"
                )]
                {
                    **slot = *number as u32;
                }
            }
            Slot::Seconds(slot, least, most) => {
                let seconds = seconds_of(value).ok_or_else(|| kind("a duration such as 15m, or whole seconds"))?;
                within(key, lossy(seconds), lossy(*least), lossy(*most))?;
                **slot = seconds;
            }
            Slot::Number(slot, least, most) => {
                let Given::Number(number) = value else { return Err(kind("a number")) };
                within(key, *number, *least, *most)?;
                **slot = *number;
            }
            Slot::Statuses(slot) => {
                let Given::List(words) = value else { return Err(kind("a list such as [\"5xx\", \"!503\"]")) };
                **slot =
                    Statuses::parse(words).map_err(|problem| SettingError::Status { key: key.to_owned(), problem })?;
            }
            Slot::Words(slot) => {
                let Given::List(words) = value else { return Err(kind("a list of texts")) };
                check_words(key, words)?;
                slot.clone_from(words);
            }
            Slot::Response(slot) => {
                let wanted =
                    "observe, notify, or limit, deny or deny_user with a time from 1s to 30d, as in \"deny 60m\",";
                let Given::Text(text) = value else { return Err(kind(wanted)) };
                **slot = response_named(text).ok_or_else(|| kind(wanted))?;
            }
        }
        Ok(())
    }

    /// Whether its value may be.
    pub(super) fn validate(&self, key: &str) -> Result<(), SettingError> {
        match &self.slot {
            Slot::Flag(_) | Slot::Statuses(_) => Ok(()),
            Slot::Count(value, least, most) => within(key, f64::from(**value), f64::from(*least), f64::from(*most)),
            Slot::Seconds(value, least, most) => within(key, lossy(**value), lossy(*least), lossy(*most)),
            Slot::Number(value, least, most) => within(key, **value, *least, *most),
            Slot::Words(words) => check_words(key, words),
            Slot::Response(response) => match **response {
                Response::Observe | Response::Notify => Ok(()),
                Response::Limit { for_s } | Response::Deny { for_s } | Response::DenyUser { for_s } => {
                    within(key, lossy(for_s), lossy(LEAST_FOR_S), lossy(MOST_FOR_S))
                }
            },
        }
    }

    pub(super) fn describe(self, default: &Field<'_>) -> Parameter {
        let (least, most) = match &self.slot {
            Slot::Count(_, least, most) => (Some(f64::from(*least)), Some(f64::from(*most))),
            Slot::Seconds(_, least, most) => (Some(lossy(*least)), Some(lossy(*most))),
            Slot::Number(_, least, most) => (Some(*least), Some(*most)),
            Slot::Flag(_) | Slot::Statuses(_) | Slot::Words(_) | Slot::Response(_) => (None, None),
        };
        let (value, default) = (self.text(), default.text());
        Parameter { name: self.key, description: self.what, unit: self.unit, value, default, least, most }
    }

    /// Its value, as a configuration file gives it.
    pub(super) fn given(&self) -> Given {
        match &self.slot {
            Slot::Flag(value) => Given::Flag(**value),
            Slot::Count(value, ..) => Given::Number(f64::from(**value)),
            Slot::Number(value, ..) => Given::Number(**value),
            Slot::Statuses(value) => Given::List(value.to_string().split_whitespace().map(str::to_owned).collect()),
            Slot::Words(words) => Given::List((*words).clone()),
            Slot::Seconds(..) | Slot::Response(_) => Given::Text(self.text()),
        }
    }

    /// Whether its value is a whole number.
    pub(super) const fn is_whole(&self) -> bool {
        matches!(self.slot, Slot::Count(..))
    }

    fn text(&self) -> String {
        match &self.slot {
            Slot::Flag(value) => value.to_string(),
            Slot::Count(value, ..) => value.to_string(),
            Slot::Seconds(value, ..) => duration::format(**value),
            Slot::Number(value, ..) => value.to_string(),
            Slot::Statuses(value) => value.to_string(),
            Slot::Words(words) => words.join(" "),
            Slot::Response(response) => response_text(**response),
        }
    }
}

/// The response of this text: its name, and for those that last a time after a space.
fn response_named(text: &str) -> Option<Response> {
    let (name, time) = text.trim().split_once(' ').map_or((text.trim(), None), |(name, time)| (name, Some(time)));
    let for_s = |default| match time {
        Some(time) => duration::parse(time.trim()).ok().filter(|for_s| (LEAST_FOR_S..=MOST_FOR_S).contains(for_s)),
        None => Some(default),
    };
    match name {
        "observe" if time.is_none() => Some(Response::Observe),
        "notify" if time.is_none() => Some(Response::Notify),
        "limit" => Some(Response::Limit { for_s: for_s(RESPONSE_FOR_S)? }),
        "deny" => Some(Response::Deny { for_s: for_s(RESPONSE_FOR_S)? }),
        "deny_user" => Some(Response::DenyUser { for_s: for_s(USER_FOR_S)? }),
        _ => None,
    }
}

fn response_text(response: Response) -> String {
    match response {
        Response::Observe => "observe".to_owned(),
        Response::Notify => "notify".to_owned(),
        Response::Limit { for_s } => format!("limit {}", duration::format(for_s)),
        Response::Deny { for_s } => format!("deny {}", duration::format(for_s)),
        Response::DenyUser { for_s } => format!("deny_user {}", duration::format(for_s)),
    }
}

fn seconds_of(value: &Given) -> Option<u64> {
    match value {
        Given::Text(text) => duration::parse(text).ok(),
        #[expect(
            clippy::cast_possible_truncation,
            clippy::cast_sign_loss,
            reason = "whole and within a u64's exact numbers"
        )]
        Given::Number(number) => ((0.0..1e15).contains(number) && number.fract() == 0.0).then_some(*number as u64),
        Given::Flag(_) | Given::List(_) => None,
    }
}

fn within(key: &str, found: f64, least: f64, most: f64) -> Result<(), SettingError> {
    if (least..=most).contains(&found) {
        return Ok(());
    }
    let (found, least, most) = (found.to_string(), least.to_string(), most.to_string());
    Err(SettingError::Range { key: key.to_owned(), found, least, most })
}

fn check_words(key: &str, words: &[String]) -> Result<(), SettingError> {
    let fits = words.len() <= MOST_WORDS && words.iter().all(|word| (1..=LONGEST_WORD).contains(&word.len()));
    let error = || SettingError::Words { key: key.to_owned(), most: MOST_WORDS, longest: LONGEST_WORD };
    if fits { Ok(()) } else { Err(error()) }
}

#[expect(clippy::cast_precision_loss, reason = "seconds of at most years, far below 2^53")]
fn lossy(seconds: u64) -> f64 {
    seconds as f64
}
