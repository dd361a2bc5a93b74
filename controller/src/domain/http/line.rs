//! Lines: a line of a log in, an event out.
//!
//! The address of an event comes from the one place of its format where the server itself writes it. What a client sends
//! (path, agent, referer, user, `Host`, any header) is text, whatever it looks like; of a chain of proxies only what
//! [`TrustedProxies`] vouch for counts. Names are never resolved: an event without an address is still an event.
pub(in crate::domain::http) mod address;
mod apache_error;
mod caddy;
mod combined;
mod detect;
mod format;
mod grok;
mod haproxy;
mod json;
mod nginx_error;
mod nginx_json;
mod request;
mod syslog;
mod text;
mod time;
mod traefik;

use std::fmt;
use std::sync::Arc;

use jiff::Timestamp;
use jiff::tz::TimeZone;

pub use self::format::Format;
pub use self::grok::PatternError;
use self::time::Times;
use super::client::{Peer, TrustedProxies, ends_as_a_chain};
use super::event::{Doubt, Event, EventKind};

/// Bytes of a line that are read. What is longer is cut, and the event says so (`cut` in its details).
pub const LONGEST_LINE: usize = 65_536;

/// Recognised lines by which a file shows which formats it holds.
const LEARNED_FROM: u32 = 32;

/// Lines in a row that fit another format than the file's until it is learned anew: the server was set up differently.
const LEARNED_ANEW: u32 = 64;

/// How lines are to be read.
#[derive(Clone, Debug, Default)]
pub struct Choice {
    /// How they are written.
    pub format: Format,
    /// The pattern of [`Format::Grok`].
    pub pattern: Option<Arc<str>>,
    /// The proxies whose word about the client is believed.
    pub trusted: TrustedProxies,
    /// Whether lines of several programs come by the same door, as they do by a socket: [`Format::Auto`] then looks at each
    /// line by itself. Of a file, the first lines decide.
    pub mixed: bool,
    /// Whether every program of the machine may send lines.
    pub is_open: bool,
    /// What the events name as where they came from.
    pub origin: Option<Arc<str>>,
}

/// Why lines cannot be read as chosen.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum ReaderError {
    /// Grok without a pattern.
    #[error("format grok needs a pattern")]
    NoPattern,
    /// A pattern with another format.
    #[error("a pattern needs format grok, and the format is {0}")]
    StrayPattern(Format),
    /// The pattern is no pattern.
    #[error(transparent)]
    Pattern(#[from] PatternError),
}

/// What a line does not say of itself.
#[derive(Clone, Debug)]
pub struct Context {
    /// When it was heard: the year of a time without one, the time of a line without one.
    pub received: Timestamp,
    /// The zone of times that name none.
    pub zone: TimeZone,
}

/// What a line is.
#[derive(Clone, Debug, PartialEq)]
pub enum Line {
    /// Something happened.
    Event(Box<Event>),
    /// It is not understood.
    Unparsed(Unparsed),
    /// It is understood and tells of no client: empty, a comment, a notice of the server's about itself.
    Nothing,
}

/// Why a line is not understood.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Unparsed {
    /// It is not written in the format chosen, or in any that is known.
    Format,
    /// It is written in another format than the rest of its file.
    Foreign,
    /// Its time is no time.
    Time,
    /// It is no JSON.
    Json,
    /// It can be read in two ways that name different clients.
    Ambiguous,
    /// It is the rest of an entry that a line break of the client's cut in two.
    Broken,
}

impl Unparsed {
    /// All of them.
    pub const ALL: [Self; 6] = [Self::Format, Self::Foreign, Self::Time, Self::Json, Self::Ambiguous, Self::Broken];

    /// Its name, a metric's label.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Format => "format",
            Self::Foreign => "foreign",
            Self::Time => "time",
            Self::Json => "json",
            Self::Ambiguous => "ambiguous",
            Self::Broken => "broken",
        }
    }
}

impl fmt::Display for Unparsed {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Format => "not written in the format chosen, or in any known one",
            Self::Foreign => "written in another format than the rest of its file",
            Self::Time => "its time is no time",
            Self::Json => "no JSON",
            Self::Ambiguous => "can be read in two ways that name different clients",
            Self::Broken => "the rest of an entry that a line break cut in two",
        })
    }
}

/// Reads the lines of one file, or of one socket.
#[derive(Debug)]
pub struct Reader {
    format: Format,
    mixed: bool,
    is_open: bool,
    /// Whether line breaks of clients stand in the file as they came. Once that shows, it stays so, whatever lines look like
    /// later: clients may have written them.
    is_raw: bool,
    origin: Option<Arc<str>>,
    pattern: Option<grok::Grok>,
    learned: Learned,
    scope: Scope,
}

/// The syslog header before a line.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Header {
    /// There is none.
    None,
    /// There is one that says no time.
    Untimed,
    /// There is one that says when.
    At(Timestamp),
}

impl Header {
    fn of(inner: &syslog::Inner<'_>) -> Self {
        inner.time.map_or(Self::Untimed, Self::At)
    }
}

/// What all formats read with.
#[derive(Debug)]
struct Scope {
    trusted: TrustedProxies,
    times: Times,
    header: Header,
    /// Whether the line has no time of its own.
    is_untimed: bool,
    /// Whether the line was cut.
    cut: bool,
    /// Whether a field without a name has shown that it is no chain of proxies.
    no_chain: bool,
    nginx: nginx_error::Entry,
}

impl Scope {
    /// The time of a line that says none: its header's, or when it was read.
    fn other_time(&mut self, context: &Context) -> Timestamp {
        match self.header {
            Header::At(time) => time,
            Header::None | Header::Untimed => {
                self.is_untimed = true;
                context.received
            }
        }
    }

    /// Says who sent it. The chain is what the format has under the name of the trusted proxies' header.
    fn client(&self, event: &mut Event, peer: Peer) {
        event.peer = peer.address();
        event.client = self.trusted.client(peer, event.forwarded_for.as_deref());
    }

    /// The same, where the chain stands in a field without a name: a log may well have something else there that the
    /// client chose. A trusted proxy's chain ends in an address, always; where one does not, the field is none, from then
    /// on.
    fn client_by_place(&mut self, event: &mut Event, peer: Peer) {
        if self.trusted.trusts(peer) && event.forwarded_for.as_deref().is_some_and(|chain| !ends_as_a_chain(chain)) {
            self.no_chain = true;
        }
        if self.no_chain {
            event.forwarded_for = None;
        }
        self.client(event, peer);
    }
}

/// The formats a file has shown.
#[derive(Clone, Copy, Debug, Default)]
struct Learned {
    formats: u16,
    lines: u32,
    foreign: u32,
}

impl Learned {
    const fn holds(self, format: Format) -> bool {
        self.formats & format.bit() != 0
    }

    /// Whether a line of this format may be one of the file's.
    const fn admits(&mut self, format: Format) -> bool {
        if self.holds(format) {
            self.foreign = 0;
            self.lines = self.lines.saturating_add(1);
            return true;
        }
        if self.lines >= LEARNED_FROM {
            self.foreign = self.foreign.saturating_add(1);
            if self.foreign < LEARNED_ANEW {
                return false;
            }
            *self = Self { formats: 0, lines: 0, foreign: 0 };
        }
        self.formats |= format.bit();
        self.lines = self.lines.saturating_add(1);
        true
    }
}

impl Reader {
    /// A reader for lines that are written as `choice` says.
    ///
    /// # Errors
    /// Where the pattern is missing, stray or no pattern.
    pub fn new(choice: &Choice) -> Result<Self, ReaderError> {
        let pattern = match (choice.format, &choice.pattern) {
            (Format::Grok, Some(pattern)) => Some(grok::Grok::new(pattern)?),
            (Format::Grok, None) => return Err(ReaderError::NoPattern),
            (other, Some(_)) => return Err(ReaderError::StrayPattern(other)),
            (_, None) => None,
        };
        Ok(Self {
            format: choice.format,
            mixed: choice.mixed,
            is_open: choice.is_open,
            is_raw: false,
            origin: choice.origin.clone(),
            pattern,
            learned: Learned::default(),
            scope: Scope {
                trusted: choice.trusted.clone(),
                times: Times::default(),
                header: Header::None,
                is_untimed: false,
                cut: false,
                no_chain: false,
                nginx: nginx_error::Entry::default(),
            },
        })
    }

    /// The formats that the lines have shown so far, or the one that was chosen.
    pub fn formats(&self) -> Vec<Format> {
        match self.format {
            Format::Auto => Format::ALL.into_iter().filter(|format| self.learned.holds(*format)).collect(),
            chosen => vec![chosen],
        }
    }

    /// Takes in how the file begins, of which nothing is an event: whether clients can write lines of their own shows there
    /// even if reading begins further on.
    pub fn begins_with(&mut self, head: &[u8]) {
        if self.mixed || self.format != Format::Auto {
            return;
        }
        let whole = memchr::memrchr(b'\n', head).map_or(0, |at| at + 1);
        let (lines, cut) = head.split_at_checked(whole).unwrap_or((head, &[]));
        // How a line that was cut ends may be the client's doing, how it begins is not.
        let mut formats = lines.split(|byte| *byte == b'\n').filter_map(|line| detect::detect(line, 0).ok());
        self.is_raw |= nginx_error::begins(cut) || formats.any(Format::is_raw);
    }

    /// Whose word an event may be. Behind a socket a datagram is one line, whatever it holds.
    fn doubt(&mut self) -> Option<Doubt> {
        if self.mixed {
            return self.is_open.then_some(Doubt::Spoofable);
        }
        self.is_raw |= match self.format {
            Format::Auto => self.learned.holds(Format::NginxError) || self.learned.holds(Format::Traefik),
            chosen => chosen.is_raw(),
        };
        self.is_raw.then_some(Doubt::Forgeable)
    }

    /// What a line is, without its line break. It never fails, and takes time and memory as the line's length, of which
    /// [`LONGEST_LINE`] bytes count.
    pub fn read(&mut self, line: &[u8], context: &Context) -> Line {
        let whole = line.strip_suffix(b"\n").unwrap_or(line);
        let whole = whole.strip_suffix(b"\r").unwrap_or(whole);
        let kept = whole.get(..LONGEST_LINE).unwrap_or(whole);
        let kept = kept.strip_prefix(b"\xef\xbb\xbf").unwrap_or(kept);
        if kept.trim_ascii().is_empty() {
            return Line::Nothing;
        }
        self.scope.cut = kept.len() < whole.len();
        (self.scope.header, self.scope.is_untimed) = (Header::None, false);
        let mut line = self.read_kept(kept, context);
        // A comment; but a host that a client chose may begin so, too.
        if line == Line::Unparsed(Unparsed::Format) && kept.starts_with(b"#") {
            return Line::Nothing;
        }
        if let Line::Event(event) = &mut line {
            event.keep_raw(whole);
            event.origin.clone_from(&self.origin);
            event.has_own_time = !self.scope.is_untimed;
            event.doubt = self.doubt();
            if self.scope.cut {
                event.details.insert("cut".to_owned(), format!("{} bytes, {LONGEST_LINE} read", whole.len()));
            }
        }
        line
    }

    fn read_kept(&mut self, line: &[u8], context: &Context) -> Line {
        match self.format {
            Format::Auto => self.recognised(line, context),
            Format::Grok => match &self.pattern {
                Some(pattern) => pattern.read(line, &mut self.scope, context),
                None => Line::Unparsed(Unparsed::Format),
            },
            named => {
                let mut line = line;
                if !detect::begins(named, line)
                    && let Some(inner) = syslog::strip(line, &mut self.scope.times, context)
                    && (detect::begins(named, inner.message) || named == Format::Haproxy)
                {
                    self.scope.header = Header::of(&inner);
                    line = inner.message;
                }
                parse(named, line, &mut self.scope, context)
            }
        }
    }

    /// A line that shows its own format.
    fn recognised(&mut self, line: &[u8], context: &Context) -> Line {
        let (format, line) = match detect::detect(line, self.learned.formats) {
            Ok(format) => (format, line),
            Err(Unparsed::Format) => match self.behind_a_header(line, context) {
                Some(known) => known,
                // What a line break of a client's cut off an entry begins with anything; a datagram is whole.
                None if !self.mixed && self.learned.holds(Format::NginxError) => (Format::NginxError, line),
                None => return Line::Unparsed(Unparsed::Format),
            },
            Err(why) => return Line::Unparsed(why),
        };
        if !self.mixed && !self.learned.admits(format) {
            return Line::Unparsed(Unparsed::Foreign);
        }
        if self.mixed {
            self.learned.formats |= format.bit();
        }
        parse(format, line, &mut self.scope, context)
    }

    /// What stands behind a syslog header, and its format.
    fn behind_a_header<'a>(&mut self, line: &'a [u8], context: &Context) -> Option<(Format, &'a [u8])> {
        let inner = syslog::strip(line, &mut self.scope.times, context)?;
        let format = detect::detect(inner.message, self.learned.formats).ok()?;
        self.scope.header = Header::of(&inner);
        Some((format, inner.message))
    }
}

fn parse(format: Format, line: &[u8], scope: &mut Scope, context: &Context) -> Line {
    match format {
        Format::Combined => combined::read(line, combined::Shape::Plain, scope, context),
        Format::VhostCombined => combined::read(line, combined::Shape::Vhost, scope, context),
        Format::Traefik => combined::read(line, combined::Shape::Traefik, scope, context),
        Format::NginxError => nginx_error::read(line, scope, context),
        Format::ApacheError => apache_error::read(line, scope, context),
        Format::NginxJson => nginx_json::read(line, scope, context),
        Format::Caddy => caddy::read(line, scope, context),
        Format::TraefikJson => traefik::read(line, scope, context),
        Format::Haproxy => haproxy::read(line, scope, context),
        Format::Auto | Format::Grok => Line::Unparsed(Unparsed::Format),
    }
}

/// An event of a request, boxed at once: it is large.
fn request_event(time: Timestamp) -> Box<Event> {
    Box::new(Event::new(time, EventKind::HttpRequest))
}

#[cfg(test)]
mod tests;
