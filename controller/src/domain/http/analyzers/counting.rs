//! Counting one thing per key in a sliding window.
use super::super::event::Event;
use super::keys::Seen;
use super::saying::{Lines, Said};
use super::table::{Kept, Places, Table, rank_of};
use super::window::{Width, Window};

/// How often something happened, per key.
#[derive(Debug)]
pub(super) struct Counter {
    table: Table<Counted>,
    lines: Lines,
    threshold: u32,
    window_s: u64,
    width: Width,
}

#[derive(Clone, Debug, Default)]
struct Counted {
    window: Window<1>,
    said: Said,
    rank: u8,
}

impl Kept for Counted {
    fn rank(&self) -> u8 {
        self.rank
    }
}

/// What a count came to.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct Count {
    /// In the window.
    pub(super) count: u32,
    /// Whether it reached the threshold, and nothing was said of it in this window.
    pub(super) is_due: bool,
}

impl Counter {
    pub(super) fn new(threshold: u32, window_s: u64, most: u32) -> Self {
        let (table, lines) = (Table::new(most, window_s, Places::Kept), Lines::default());
        Self { table, lines, threshold, window_s, width: Width::of_window(window_s) }
    }

    /// Counts an event for a key.
    pub(super) fn count(&mut self, key: u64, seen: &Seen<'_>) -> Count {
        let (threshold, window_s, width) = (self.threshold, self.window_s, self.width);
        self.lines.push(key, seen.event);
        let count = self.table.with(key, seen.at_s(), |counted| {
            counted.window.add(width, seen.at_ms, [1]);
            let count = counted.window.most(width, seen.at_ms);
            counted.rank = rank_of(count);
            let level = u8::from(count >= threshold);
            Count { count, is_due: counted.said.is_due(level, seen.at_s(), window_s) }
        });
        count.unwrap_or_default()
    }

    /// The same, where there is a key.
    pub(super) fn count_if(&mut self, key: Option<u64>, seen: &Seen<'_>) -> Count {
        key.map(|key| self.count(key, seen)).unwrap_or_default()
    }

    /// The last lines that were counted for a key.
    pub(super) fn lines(&self, key: Option<u64>) -> Vec<String> {
        key.map(|key| self.lines.of(key)).unwrap_or_default()
    }

    pub(super) fn threshold(&self) -> f64 {
        f64::from(self.threshold)
    }

    /// Keys it remembers, those it forgot for want of room, and bytes it takes.
    pub(super) fn size(&self) -> (usize, u64, usize) {
        (self.table.len(), self.table.evicted(), self.table.bytes() + Lines::most_bytes())
    }
}

/// Paths at which people sign in.
#[derive(Clone, Debug)]
pub(super) struct LoginPaths(Vec<String>);

impl LoginPaths {
    pub(super) fn new(parts: &[String]) -> Self {
        Self(parts.to_vec())
    }

    /// Whether an event is a request to sign in, by its method and path.
    pub(super) fn is_login_post(&self, event: &Event) -> bool {
        let is_post = event.method.as_deref().is_some_and(|method| method.eq_ignore_ascii_case("post"));
        is_post && event.endpoint().is_some_and(|path| path.split('/').take(16).any(|segment| self.names(segment)))
    }

    fn names(&self, segment: &str) -> bool {
        let stem = segment.split_once('.').map_or(segment, |(stem, _)| stem);
        self.0.iter().any(|part| part.eq_ignore_ascii_case(stem))
    }
}
