//! What analyzers need to say something: whether it is time to, the lines that show it, and who they are.
use std::sync::Arc;

use super::super::event::{Doubt, Event};
use super::super::finding::{Detector, Finding, Response};
use super::super::severity::Severity;

/// Lines in a finding, and bytes of each.
const LINES: usize = 5;
const LINE_BYTES: usize = 400;

/// Lines an analyzer remembers.
const REMEMBERED: usize = 1_024;

/// What was last said of a key.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Said {
    at_s: i64,
    level: u8,
}

impl Said {
    /// Whether it is time to say something: a level for the first time in a window, or one higher than was said in it.
    pub(super) fn is_due(&mut self, level: u8, at_s: i64, window_s: u64) -> bool {
        if level == 0 {
            return false;
        }
        let is_over = self.level == 0 || at_s.saturating_sub(self.at_s).unsigned_abs() >= window_s;
        if !is_over && level <= self.level {
            return false;
        }
        *self = Self { at_s, level };
        true
    }
}

/// The last lines that counted, of all keys together: a flood pushes out lines, and no counts.
#[derive(Debug, Default)]
pub(super) struct Lines {
    lines: Vec<(u64, String)>,
    next: usize,
}

impl Lines {
    /// Remembers an event's line.
    pub(super) fn push(&mut self, key: u64, event: &Event) {
        let line = cut(&event.raw);
        match self.lines.get_mut(self.next) {
            Some((owner, kept)) => {
                *owner = key;
                kept.clear();
                kept.push_str(line);
            }
            None => self.lines.push((key, line.to_owned())),
        }
        self.next = (self.next + 1) % REMEMBERED;
    }

    /// The last lines of a key, the oldest first.
    pub(super) fn of(&self, key: u64) -> Vec<String> {
        let (newer, older) = self.lines.split_at(self.next.min(self.lines.len()));
        let newest_first = newer.iter().rev().chain(older.iter().rev());
        let own = newest_first.filter(|(owner, line)| *owner == key && !line.is_empty());
        let mut lines: Vec<String> = own.take(LINES).map(|(_, line)| line.clone()).collect();
        lines.reverse();
        lines
    }

    /// Bytes they may take at the most.
    pub(super) const fn most_bytes() -> usize {
        REMEMBERED * (size_of::<(u64, String)>() + LINE_BYTES)
    }
}

/// An event's line alone.
pub(super) fn line_of(event: &Event) -> Vec<String> {
    if event.raw.is_empty() { Vec::new() } else { vec![cut(&event.raw).to_owned()] }
}

fn cut(line: &str) -> &str {
    line.get(..line.floor_char_boundary(LINE_BYTES)).unwrap_or(line)
}

/// Who says it.
#[derive(Clone, Debug)]
pub(super) struct Speaker {
    name: &'static str,
    title: Arc<str>,
    description: Arc<str>,
    techniques: Arc<[Arc<str>]>,
    tags: Arc<[Arc<str>]>,
}

impl Speaker {
    pub(super) fn new(name: &'static str, title: &str, techniques: &[&str]) -> Self {
        let texts = |texts: &[&str]| texts.iter().map(|text| Arc::from(*text)).collect();
        Self {
            name,
            title: Arc::from(title),
            description: Arc::from(super::about(name)),
            techniques: texts(techniques),
            tags: texts(&["analyzer"]),
        }
    }

    /// A finding about an event that names nobody yet.
    ///
    /// What analyzers hear is proven but where the event says otherwise: a request was read after a handshake, an event is
    /// the application's own word.
    pub(super) fn finding(&self, event: &Event, severity: Severity, confidence: u8, response: Response) -> Finding {
        Finding {
            detector: Detector::Analyzer(self.name),
            title: Arc::clone(&self.title),
            description: Arc::clone(&self.description),
            severity,
            confidence,
            techniques: Arc::clone(&self.techniques),
            tags: Arc::clone(&self.tags),
            source: None,
            user: None,
            about: None,
            time: event.time,
            value: None,
            threshold: None,
            indicators: Vec::new(),
            evidence: Vec::new(),
            response: Some(response),
            spoofable: event.doubt == Some(Doubt::Spoofable),
        }
    }
}

#[cfg(test)]
mod tests {
    use jiff::Timestamp;

    use super::*;
    use crate::domain::http::event::EventKind;

    fn line(text: &str) -> Event {
        let mut event = Event::new(Timestamp::UNIX_EPOCH, EventKind::HttpRequest);
        event.keep_raw(text.as_bytes());
        event
    }

    #[test]
    fn a_level_is_said_once_in_a_window_and_a_higher_one_at_once() {
        let mut said = Said::default();
        let steps = [
            (0, 0, false),
            (1, 0, true),
            (1, 59, false),
            (2, 59, true),
            (1, 60, false),
            (2, 118, false),
            (2, 119, true),
        ];
        for (level, at_s, expected) in steps {
            assert_eq!(said.is_due(level, at_s, 60), expected, "{level} at {at_s}");
        }
        assert!(said.is_due(1, i64::MIN, 60) && said.is_due(1, i64::MAX, 60));
    }

    #[test]
    fn the_last_lines_of_a_key_are_kept_in_order_and_cut() {
        let mut lines = Lines::default();
        for number in 0..3_000 {
            lines.push(number % 2, &line(&number.to_string()));
        }
        assert_eq!(lines.of(1), ["2991", "2993", "2995", "2997", "2999"]);
        lines.push(7, &line(&"\u{e4}".repeat(300)));
        assert_eq!(lines.of(7), ["\u{e4}".repeat(200)]);
        assert!(lines.of(8).is_empty());
    }
}
