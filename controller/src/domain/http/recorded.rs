//! Events as they are kept: what happened, without the line it stood in, secrets blotted out.
use std::borrow::Cow;
use std::collections::{BTreeMap, HashMap};
use std::net::IpAddr;

use jiff::Timestamp;
use serde::{Deserialize, Serialize};

use super::alert::cut;
use super::event::{Doubt, Event, EventKind};
use super::redact::redacted;
use crate::domain::audit::Class;
use crate::domain::erasure::Mentions;

/// Characters of a text that is kept.
pub(crate) const TEXT_CHARS: usize = 1_024;

/// Which events are kept.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Keep {
    /// None.
    Nothing,
    /// Those about security, and those in which something was found.
    #[default]
    Security,
    /// All of them.
    All,
}

/// An event as it is kept.
#[derive(Clone, Debug, PartialEq)]
pub struct Recorded {
    /// When it happened.
    pub at: Timestamp,
    /// What happened.
    pub kind: EventKind,
    /// What it counts as.
    pub class: Class,
    /// How many alike it stands for.
    pub count: u32,
    /// Who sent it.
    pub source: Option<Source>,
    /// Who they say they are.
    pub user: Option<String>,
    /// Country of the source, two letters.
    pub country: Option<String>,
    /// What was asked of.
    pub endpoint: Option<String>,
    /// The rest.
    pub particulars: Particulars,
}

/// Who sent an event.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub enum Source {
    /// By address.
    Address(IpAddr),
    /// By the name that is kept of it.
    Name(String),
}

/// What else is known of an event.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(default)]
pub struct Particulars {
    #[serde(skip_serializing_if = "Option::is_none")]
    method: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    uri: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    host: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    agent: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    referer: Option<String>,
    /// Status of the answer.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub status: Option<u16>,
    #[serde(skip_serializing_if = "Option::is_none")]
    bytes_sent: Option<u64>,
    #[serde(skip_serializing_if = "Option::is_none")]
    duration_s: Option<f64>,
    /// What the server or the application says in words.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub message: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    component: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    session: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    api_key_id: Option<String>,
    #[serde(skip_serializing_if = "BTreeMap::is_empty")]
    details: BTreeMap<String, String>,
    /// The file, socket, application or part of weir it came from.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub origin: Option<String>,
    /// Whether every program of this machine may have sent it.
    #[serde(skip_serializing_if = "std::ops::Not::not")]
    spoofable: bool,
}

/// What an event counts as.
///
/// A request counts as a failed sign-in where it was answered 401 and names a user (a browser that has not been asked yet
/// names none), as a denial at 403, as over a limit at 429. What somebody else may have written counts as nothing.
pub fn class_of(event: &Event) -> Class {
    if event.is_forgeable() {
        return Class::Message;
    }
    match event.kind {
        EventKind::Login => Class::SignIn,
        EventKind::AuthFailed => Class::FailedSignIn,
        EventKind::PermissionDenied => Class::Denial,
        EventKind::RateLimitExceeded => Class::RateLimit,
        EventKind::AnomalyDetected => Class::Anomaly,
        EventKind::ServerMessage => Class::Message,
        EventKind::Other => Class::Other,
        EventKind::HttpRequest => match event.status {
            Some(401) if event.user.is_some() => Class::FailedSignIn,
            Some(403) => Class::Denial,
            Some(429) => Class::RateLimit,
            _ => Class::Request,
        },
    }
}

impl Keep {
    /// All of them, by name.
    pub const NAMES: [&'static str; 3] = ["nothing", "security", "all"];

    /// Whether an event of this class is kept. `found`: something was found in it.
    pub const fn keeps(self, class: Class, found: bool) -> bool {
        match self {
            Self::Nothing => false,
            Self::All => true,
            Self::Security => found || !matches!(class, Class::Request | Class::Message),
        }
    }
}

impl Recorded {
    /// What is kept of an event. `with_request`: what was asked for and by what stays, secrets blotted out.
    pub fn of(event: &Event, class: Class, with_request: bool) -> Self {
        let text = |text: &Option<String>| text.as_deref().map(kept).filter(|_| with_request);
        let endpoint = event.endpoint().map(kept).filter(|_| with_request);
        let is_uri_told = event.uri.as_deref() != endpoint.as_deref();
        let details = event.details.iter().filter(|_| with_request);
        Self {
            at: event.time,
            kind: event.kind,
            class,
            count: 1,
            source: event.client.map(Source::Address),
            user: event.user.as_deref().map(kept),
            country: event.country.clone(),
            particulars: Particulars {
                method: text(&event.method),
                uri: text(&event.uri).filter(|_| is_uri_told),
                host: text(&event.host),
                agent: text(&event.user_agent),
                referer: text(&event.referer),
                status: event.status,
                bytes_sent: event.bytes_sent.filter(|_| with_request),
                duration_s: event.duration_s.filter(|_| with_request),
                message: text(&event.message),
                component: text(&event.component),
                session: text(&event.session),
                api_key_id: event.api_key_id.as_deref().map(kept),
                details: details
                    .map(|(name, value)| (kept(name), kept(&format!("{name}={value}"))))
                    .map(unpaired)
                    .collect(),
                origin: event.origin.as_deref().map(str::to_owned),
                spoofable: event.doubt == Some(Doubt::Spoofable),
            },
            endpoint,
        }
    }

    /// What weir itself saw: somebody over a limit, as `limits` say.
    pub fn offence(at: Timestamp, address: IpAddr, country: Option<String>, message: String, count: u32) -> Self {
        Self {
            at,
            kind: EventKind::RateLimitExceeded,
            class: Class::RateLimit,
            count,
            source: Some(Source::Address(address)),
            user: None,
            country,
            endpoint: None,
            particulars: Particulars {
                message: Some(message),
                origin: Some("limits".to_owned()),
                spoofable: true,
                ..Particulars::default()
            },
        }
    }

    /// Blots out who is to be mentioned nowhere; whose doing it is stays. Whether they were mentioned.
    pub fn blot(&mut self, mentions: &Mentions) -> bool {
        let rest = &mut self.particulars;
        let texts =
            [&mut self.user, &mut self.endpoint, &mut rest.method, &mut rest.uri, &mut rest.host, &mut rest.agent]
                .into_iter()
                .chain([&mut rest.referer, &mut rest.message, &mut rest.component, &mut rest.session])
                .chain([&mut rest.api_key_id, &mut rest.origin]);
        let mut is_changed = mentions.blot_all(texts.flatten());
        is_changed |= mentions.blot_all(rest.details.values_mut());
        if rest.details.keys().any(|name| mentions.blotted(name).is_some()) {
            let details = std::mem::take(&mut rest.details).into_iter();
            rest.details = details.map(|(name, value)| (mentions.blotted(&name).unwrap_or(name), value)).collect();
            is_changed = true;
        }
        is_changed
    }

    /// Whether it is somebody's, by name or as a user.
    pub fn is_of(&self, who: &Mentions) -> bool {
        let source = self.source.as_ref().map(|source| match source {
            Source::Address(address) => address.to_string(),
            Source::Name(name) => name.clone(),
        });
        let is_one_of =
            |texts: &[String], text: &Option<String>| text.as_ref().is_some_and(|text| texts.contains(text));
        is_one_of(who.names(), &source) || is_one_of(who.users(), &self.user)
    }

    /// The event again, to be looked at once more: `client` is who sent it.
    pub fn event(&self, client: Option<IpAddr>) -> Event {
        let rest = &self.particulars;
        let mut event = Event::new(self.at, self.kind);
        event.client = client;
        event.user.clone_from(&self.user);
        event.country.clone_from(&self.country);
        if self.kind == EventKind::HttpRequest {
            event.uri = rest.uri.clone().or_else(|| self.endpoint.clone());
        } else {
            event.uri.clone_from(&rest.uri);
            event.endpoint.clone_from(&self.endpoint);
        }
        event.method.clone_from(&rest.method);
        event.host.clone_from(&rest.host);
        event.user_agent.clone_from(&rest.agent);
        event.referer.clone_from(&rest.referer);
        event.status = rest.status;
        event.bytes_sent = rest.bytes_sent;
        event.duration_s = rest.duration_s;
        event.message.clone_from(&rest.message);
        event.component.clone_from(&rest.component);
        event.session.clone_from(&rest.session);
        event.api_key_id.clone_from(&rest.api_key_id);
        event.details.clone_from(&rest.details);
        event.origin = rest.origin.as_deref().map(Into::into);
        event.doubt = rest.spoofable.then_some(Doubt::Spoofable);
        event
    }
}

/// A text as it is kept: on one line, cut, secrets blotted out.
fn kept(text: &str) -> String {
    match redacted(&cut(text, TEXT_CHARS)) {
        Cow::Borrowed(text) => text.to_owned(),
        Cow::Owned(text) => cut(&text, TEXT_CHARS),
    }
}

/// A detail whose value was looked at together with its name, which tells whether it is secret.
fn unpaired((name, pair): (String, String)) -> (String, String) {
    let value = pair.split_once('=').map_or(pair.as_str(), |(_, value)| value).to_owned();
    (name, value)
}

/// What makes two events alike.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
struct Alike {
    /// The second they happened in.
    second: i64,
    kind: EventKind,
    class: Class,
    source: Option<Source>,
    user: Option<String>,
    endpoint: Option<String>,
    status: Option<u16>,
    origin: Option<String>,
}

/// Events on their way to the store: those of a second that are alike are one, that stands for all of them, so that a loud
/// source does not push out what others did.
#[derive(Debug, Default)]
pub struct Gathered {
    events: Vec<Recorded>,
    places: HashMap<Alike, usize>,
    left_out: u64,
}

/// Events that wait to be written.
const MOST_GATHERED: usize = 100_000;

impl Gathered {
    /// Takes in an event. Where too many wait already, it is only counted.
    pub fn add(&mut self, event: Recorded) {
        let alike = Alike {
            second: event.at.as_second(),
            kind: event.kind,
            class: event.class,
            source: event.source.clone(),
            user: event.user.clone(),
            endpoint: event.endpoint.clone(),
            status: event.particulars.status,
            origin: event.particulars.origin.clone(),
        };
        if let Some(first) = self.places.get(&alike).and_then(|at| self.events.get_mut(*at)) {
            first.count = first.count.saturating_add(event.count);
            return;
        }
        if self.events.len() >= MOST_GATHERED {
            self.left_out = self.left_out.saturating_add(1);
            return;
        }
        self.places.insert(alike, self.events.len());
        self.events.push(event);
    }

    /// Has nothing wait of somebody who is to be forgotten.
    pub fn forget(&mut self, who: &Mentions) {
        self.places.clear();
        self.events.retain(|event| !event.is_of(who));
        for event in &mut self.events {
            event.blot(who);
        }
    }

    /// As many more were left out.
    pub fn leave_out(&mut self, count: u64) {
        self.left_out = self.left_out.saturating_add(count);
    }

    /// Whether nothing waits.
    pub fn is_empty(&self) -> bool {
        self.events.is_empty()
    }

    /// All that waits, in the order it came, and how many there was no room for.
    pub fn take(&mut self) -> (Vec<Recorded>, u64) {
        self.places.clear();
        (std::mem::take(&mut self.events), std::mem::take(&mut self.left_out))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(second: i64) -> Timestamp {
        Timestamp::from_second(1_790_000_000 + second).unwrap()
    }

    fn request(status: u16, user: Option<&str>) -> Event {
        let mut event = Event::new(at(0), EventKind::HttpRequest);
        event.client = Some("192.0.2.7".parse().unwrap());
        event.uri = Some("/login?password=hunter2&next=/".to_owned());
        event.method = Some("POST".to_owned());
        event.status = Some(status);
        event.user = user.map(str::to_owned);
        event.details.insert("api_key".to_owned(), "hunter2".to_owned());
        event.details.insert("colour".to_owned(), "red".to_owned());
        event
    }

    #[test]
    fn answers_tell_what_a_request_counts_as() {
        for (status, user, expected) in [
            (401, Some("bob"), Class::FailedSignIn),
            (401, None, Class::Request),
            (403, None, Class::Denial),
            (429, None, Class::RateLimit),
            (200, Some("bob"), Class::Request),
        ] {
            assert_eq!(class_of(&request(status, user)), expected, "{status} {user:?}");
        }
        let forged = Event { doubt: Some(Doubt::Forgeable), ..request(403, None) };
        assert_eq!(class_of(&forged), Class::Message);
    }

    #[test]
    fn ordinary_requests_are_kept_only_where_something_was_found_or_all_are_asked_for() {
        assert!(!Keep::Security.keeps(Class::Request, false));
        assert!(Keep::Security.keeps(Class::Request, true));
        assert!(Keep::Security.keeps(Class::Denial, false));
        assert!(Keep::All.keeps(Class::Request, false));
        assert!(!Keep::Nothing.keeps(Class::Denial, true));
    }

    #[test]
    fn what_is_kept_makes_the_event_again_without_its_secrets() {
        let event = request(403, Some("bob"));
        let recorded = Recorded::of(&event, Class::Denial, true);
        let text = serde_json::to_string(&recorded.particulars).unwrap();
        assert!(!text.contains("hunter2") && recorded.endpoint.as_deref() == Some("/login"), "{text}");
        let again = recorded.event(event.client);
        assert_eq!(again.uri.as_deref(), Some("/login?password=***&next=/"));
        assert_eq!((again.method, again.status, again.user), (event.method, Some(403), event.user));
        assert_eq!(again.details.get("colour").map(String::as_str), Some("red"));
        assert_eq!(again.details.get("api_key").map(String::as_str), Some("***"));
    }

    #[test]
    fn where_requests_are_dropped_nothing_of_them_stays() {
        let recorded = Recorded::of(&request(403, Some("bob")), Class::Denial, false);
        assert_eq!(recorded.endpoint, None);
        let expected = Particulars { status: Some(403), ..Particulars::default() };
        assert_eq!(recorded.particulars, expected);
        assert_eq!(recorded.user.as_deref(), Some("bob"));
    }

    #[test]
    fn events_that_are_alike_are_one_and_others_stay_apart() {
        let mut gathered = Gathered::default();
        for _ in 0..1_000 {
            gathered.add(Recorded::of(&request(403, None), Class::Denial, true));
        }
        gathered.add(Recorded::of(&request(403, Some("bob")), Class::Denial, true));
        // What happened on another day is another event, though it is told at the same time.
        let before = Event { time: at(-86_400), ..request(403, None) };
        gathered.add(Recorded::of(&before, Class::Denial, true));
        let (events, left_out) = gathered.take();
        let counts: Vec<u32> = events.iter().map(|event| event.count).collect();
        assert_eq!((counts, left_out, gathered.is_empty()), (vec![1_000, 1, 1], 0, true));
    }

    #[test]
    fn what_there_is_no_room_for_is_counted() {
        let mut gathered = Gathered::default();
        for number in 0..=MOST_GATHERED {
            let user = format!("user{number}");
            gathered.add(Recorded::of(&request(403, Some(&user)), Class::Denial, false));
        }
        let (events, left_out) = gathered.take();
        assert_eq!((events.len(), left_out), (MOST_GATHERED, 1));
    }
}
