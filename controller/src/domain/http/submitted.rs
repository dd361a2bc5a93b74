//! Events that applications send: JSON to events, each taken or refused by itself.
use std::borrow::Cow;
use std::collections::BTreeMap;
use std::net::IpAddr;

use jiff::{SignedDuration, Timestamp};
use serde::{Deserialize, Serialize};
use serde_json::value::RawValue;
use utoipa::ToSchema;

use super::event::{Event, EventKind};

/// Most events that are sent at once.
pub const MOST_EVENTS: usize = 10_000;
/// How far in the future an event's time may lie: clocks differ.
const MOST_AHEAD: SignedDuration = SignedDuration::from_mins(5);
/// Longest name, of a user, a session, a key, a method, a country.
const LONGEST_NAME: usize = 256;
/// Longest text of what was asked for.
const LONGEST_TEXT: usize = 8_192;
/// Most things an application may add.
const MOST_DETAILS: usize = 32;

/// Why an event is not taken: a label of metrics, so the set is closed.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Refusal {
    /// Not an event's shape.
    Syntax,
    /// No kind of event.
    Type,
    /// No address.
    Address,
    /// Neither an address nor a user.
    Nobody,
    /// No moment, or one that is yet to come.
    Time,
    /// Too much of something.
    Size,
}

impl Refusal {
    /// All of them.
    pub const ALL: [Self; 6] = [Self::Syntax, Self::Type, Self::Address, Self::Nobody, Self::Time, Self::Size];

    /// Its label.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Syntax => "syntax",
            Self::Type => "type",
            Self::Address => "address",
            Self::Nobody => "nobody",
            Self::Time => "time",
            Self::Size => "size",
        }
    }
}

/// An event that was not taken.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Rejected {
    /// Its place among those that were sent, from 0.
    pub index: usize,
    /// The kind of reason.
    pub refusal: Refusal,
    /// Why, and the way out.
    pub why: String,
}

/// What became of events that were sent together.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Submitted {
    /// Those that are taken, in order.
    pub events: Vec<Event>,
    /// Those that are not.
    pub rejected: Vec<Rejected>,
    /// Whether one was sent by itself, not in a list.
    pub is_single: bool,
}

/// Why nothing of a request is taken.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum SubmitError {
    /// It is no JSON of the right shape.
    #[error("the request is not understood: {0}; send one event, or a list of them")]
    NotEvents(String),
    /// It is too many.
    #[error("{0} events in one request, {MOST_EVENTS} are the most")]
    TooMany(usize),
}

/// An event as it is sent.
#[derive(Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
#[schema(as = Event)]
pub(crate) struct Given {
    #[serde(rename = "type")]
    #[schema(value_type = EventKind)]
    kind: String,
    time: Option<Moment>,
    user: Option<String>,
    session: Option<String>,
    api_key_id: Option<String>,
    #[schema(examples("192.0.2.1"))]
    address: Option<String>,
    agent: Option<String>,
    method: Option<String>,
    endpoint: Option<String>,
    status: Option<u16>,
    duration: Option<f64>,
    message: Option<String>,
    #[serde(default)]
    details: BTreeMap<String, serde_json::Value>,
}

/// A moment, as text or as seconds since 1970.
#[derive(Deserialize, ToSchema)]
#[serde(untagged)]
enum Moment {
    #[schema(format = DateTime)]
    Text(String),
    Seconds(f64),
}

/// Reads a request's body: one event, or a list of them. `now` is when it came.
///
/// # Errors
/// [`SubmitError`]: nothing of it is taken.
pub fn read(body: &[u8], now: Timestamp) -> Result<Submitted, SubmitError> {
    let not_events = |error: serde_json::Error| SubmitError::NotEvents(error.to_string());
    let is_single = body.iter().find(|byte| !byte.is_ascii_whitespace()) != Some(&b'[');
    let given: Vec<&RawValue> = if is_single {
        vec![serde_json::from_slice(body).map_err(not_events)?]
    } else {
        serde_json::from_slice(body).map_err(not_events)?
    };
    if given.len() > MOST_EVENTS {
        return Err(SubmitError::TooMany(given.len()));
    }
    let mut submitted = Submitted { is_single, ..Submitted::default() };
    for (index, given) in given.into_iter().enumerate() {
        match event(given.get(), now) {
            Ok(event) => submitted.events.push(event),
            Err((refusal, why)) => submitted.rejected.push(Rejected { index, refusal, why }),
        }
    }
    Ok(submitted)
}

type Refused = (Refusal, String);

fn event(text: &str, now: Timestamp) -> Result<Event, Refused> {
    let given: Given = serde_json::from_str(text).map_err(|error| (Refusal::Syntax, error.to_string()))?;
    let kind: EventKind =
        given.kind.parse().map_err(|error: super::finding::NotAName| (Refusal::Type, error.to_string()))?;
    let time = given.time.map_or(Ok(now), moment)?;
    if time.duration_since(now) > MOST_AHEAD {
        return Err((Refusal::Time, format!("{time} is yet to come; it is {now} here: check the clocks")));
    }
    let client = given.address.as_deref().filter(|address| !address.is_empty()).map(address).transpose()?;
    let user = given.user.filter(|user| !user.is_empty());
    if client.is_none() && user.is_none() {
        let why = "neither an address nor a user is named, so nobody could be meant; send `address`, `user` or both";
        return Err((Refusal::Nobody, why.to_owned()));
    }
    if given.duration.is_some_and(|seconds| !seconds.is_finite() || seconds < 0.0) {
        return Err((Refusal::Syntax, "`duration` is not a number of seconds".to_owned()));
    }
    let mut event = Event::new(time, kind);
    event.client = client;
    event.user = text_of("user", user, LONGEST_NAME)?;
    event.session = text_of("session", given.session, LONGEST_NAME)?;
    event.api_key_id = text_of("api_key_id", given.api_key_id, LONGEST_NAME)?;
    event.user_agent = text_of("agent", given.agent, LONGEST_TEXT)?;
    event.method = text_of("method", given.method, LONGEST_NAME)?;
    event.message = text_of("message", given.message, LONGEST_TEXT)?;
    event.status = given.status;
    event.duration_s = given.duration;
    let endpoint = text_of("endpoint", given.endpoint, LONGEST_TEXT)?;
    // The path of a request is where payloads are looked for as well.
    if kind == EventKind::HttpRequest {
        event.uri = endpoint;
    } else {
        event.endpoint = endpoint;
    }
    event.details = details(given.details)?;
    event.keep_raw(one_line(text).as_bytes());
    event.origin = Some("application".into());
    Ok(event)
}

fn moment(given: Moment) -> Result<Timestamp, Refused> {
    let refused = |what: String| (Refusal::Time, format!("{what} is not a moment, as in \"2026-11-28T12:00:00Z\""));
    match given {
        Moment::Text(text) => text.parse().map_err(|_error: jiff::Error| refused(format!("{text:?}"))),
        Moment::Seconds(seconds) => {
            let since = SignedDuration::try_from_secs_f64(seconds).map_err(|_error| refused(seconds.to_string()))?;
            Timestamp::from_duration(since).map_err(|_error| refused(seconds.to_string()))
        }
    }
}

fn address(text: &str) -> Result<IpAddr, Refused> {
    let parsed = text.trim().parse::<IpAddr>();
    // What is no address is never looked up: whoever answers could have anybody denied.
    parsed.map(|address| address.to_canonical()).map_err(|_error| {
        let shown: String = text.chars().take(64).collect();
        (Refusal::Address, format!("{shown:?} is not an address"))
    })
}

/// A text on one line, refused where it is too long.
fn text_of(name: &str, text: Option<String>, most: usize) -> Result<Option<String>, Refused> {
    let Some(text) = text.filter(|text| !text.is_empty()) else { return Ok(None) };
    if text.len() > most {
        return Err((Refusal::Size, format!("`{name}` has {} bytes, {most} are the most", text.len())));
    }
    Ok(Some(one_line(&text).into_owned()))
}

/// A text without what would end a line or a text: it stands percent-encoded, as in events of logs.
fn one_line(text: &str) -> Cow<'_, str> {
    if !text.contains(['\n', '\r', '\0']) {
        return Cow::Borrowed(text);
    }
    Cow::Owned(text.replace('\n', "%0A").replace('\r', "%0D").replace('\0', "%00"))
}

fn details(given: BTreeMap<String, serde_json::Value>) -> Result<BTreeMap<String, String>, Refused> {
    if given.len() > MOST_DETAILS {
        return Err((Refusal::Size, format!("{} details, {MOST_DETAILS} are the most", given.len())));
    }
    let mut details = BTreeMap::new();
    for (name, value) in given {
        if name.is_empty() || name.len() > LONGEST_NAME {
            return Err((Refusal::Size, format!("the name of a detail has 1 to {LONGEST_NAME} bytes")));
        }
        let value = match value {
            serde_json::Value::Null => continue,
            serde_json::Value::String(text) => text,
            other => other.to_string(),
        };
        if let Some(value) = text_of(&name, Some(value), LONGEST_TEXT)? {
            details.insert(one_line(&name).into_owned(), value);
        }
    }
    Ok(details)
}

/// The answer to events that were sent.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct SubmitReport {
    /// How many were taken.
    pub accepted: u64,
    /// Those that were not.
    pub rejected: Vec<RejectedRow>,
}

/// An event that was not taken, in an answer.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct RejectedRow {
    /// Its place among those that were sent, from 0.
    pub index: usize,
    /// Why, and the way out.
    pub why: String,
}

#[cfg(test)]
mod tests;
