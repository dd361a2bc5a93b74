//! What of an event is judged: each text as it came and decoded, made when first asked for.
use std::borrow::Cow;
use std::cell::OnceCell;

use super::{Kind, Look, decode, judged};
use crate::domain::http::event::Event;

/// A text of an event that a client has written, all or in part.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Part {
    /// The path.
    Path,
    /// The query.
    Query,
    /// `Referer`.
    Referer,
    /// `User-Agent`.
    Agent,
    /// `Cookie`.
    Cookie,
    /// `Host`.
    Host,
    /// The user's name.
    User,
    /// What the server says, quoting the client.
    Message,
}

impl Part {
    /// All of them.
    pub const ALL: [Self; 8] =
        [Self::Path, Self::Query, Self::Referer, Self::Agent, Self::Cookie, Self::Host, Self::User, Self::Message];

    /// What kind of text it is.
    const fn kind(self) -> Kind {
        match self {
            Self::Path => Kind::Path,
            Self::Query | Self::Referer => Kind::Query,
            _ => Kind::Text,
        }
    }

    /// The name that rules know the decoded text by, where it has one of its own.
    pub const fn decoded_name(self) -> Option<&'static str> {
        match self {
            Self::Path => Some("path-decoded"),
            Self::Query => Some("query-decoded"),
            Self::Referer => Some("referer-decoded"),
            Self::Agent => Some("agent-decoded"),
            Self::Cookie => Some("cookie-decoded"),
            Self::Host => Some("host-decoded"),
            Self::User => Some("user-decoded"),
            Self::Message => None,
        }
    }
}

/// The texts of one event.
#[derive(Debug)]
pub struct Views<'e> {
    event: &'e Event,
    looks: [OnceCell<Look>; Part::ALL.len()],
    decoded: [OnceCell<Option<Cow<'e, str>>>; Part::ALL.len()],
    request: OnceCell<Option<String>>,
    payload: OnceCell<String>,
}

impl<'e> Views<'e> {
    /// Those of this event; nothing is decoded yet.
    pub fn new(event: &'e Event) -> Self {
        Self {
            event,
            looks: Default::default(),
            decoded: Default::default(),
            request: OnceCell::new(),
            payload: OnceCell::new(),
        }
    }

    /// Decodes all of it now, for who measures what comes after.
    pub fn warm(&self) {
        self.request();
        self.payload();
    }

    /// The event.
    pub const fn event(&self) -> &'e Event {
        self.event
    }

    /// A text as it came, as far as it is judged.
    pub fn raw(&self, part: Part) -> Option<&'e str> {
        let event = self.event;
        let text = match part {
            Part::Path => event.path(),
            Part::Query => event.query(),
            Part::Referer => event.referer.as_deref(),
            Part::Agent => event.user_agent.as_deref(),
            Part::Cookie => event.cookie.as_deref(),
            Part::Host => event.host.as_deref(),
            Part::User => event.user.as_deref(),
            Part::Message => event.message.as_deref(),
        };
        text.map(judged)
    }

    /// Whether decoding a text changes more of it than its case.
    pub fn is_wrapped(&self, part: Part) -> bool {
        let Some(cell) = self.looks.get(part as usize) else { return true };
        self.raw(part).is_some_and(|text| cell.get_or_init(|| Look::at(text, part.kind())).wrapped)
    }

    /// A text, decoded.
    pub fn decoded(&self, part: Part) -> Option<&str> {
        let cell = self.decoded.get(part as usize)?;
        cell.get_or_init(|| self.raw(part).map(|text| decode(text, part.kind()))).as_deref()
    }

    /// Path and query, decoded, each on a line. `request-decoded`.
    pub fn request(&self) -> Option<&str> {
        let made = || {
            let path = self.decoded(Part::Path)?;
            Some(match self.decoded(Part::Query) {
                Some(query) => [path, query].join("\n"),
                None => path.to_owned(),
            })
        };
        self.request.get_or_init(made).as_deref()
    }

    /// All that a client has written, decoded, each text on a line. `payload`.
    ///
    /// Not what a server says: its messages name paths and commands of its own, and nobody is denied for those.
    pub fn payload(&self) -> &str {
        self.payload.get_or_init(|| {
            let mut payload = String::new();
            let mut add = |text: &str| {
                if !payload.is_empty() {
                    payload.push('\n');
                }
                payload.push_str(text);
            };
            for part in Part::ALL {
                if part != Part::Message
                    && let Some(text) = self.decoded(part)
                {
                    add(text);
                }
            }
            for text in [self.event.method.as_deref(), self.event.version.as_deref()].into_iter().flatten() {
                add(&decode(text, Kind::Text));
            }
            payload
        })
    }
}
