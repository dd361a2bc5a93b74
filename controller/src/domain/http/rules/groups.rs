//! Subjects that something is counted of: as many as there is room for, the oldest go first.
use std::collections::VecDeque;
use std::net::IpAddr;
use std::sync::Arc;

use ahash::AHashMap;

use super::window::{Shape, Window};
use crate::domain::http::event::Doubt;

/// Who or what is counted.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub(super) enum Who {
    /// A source.
    Source(IpAddr),
    /// Anything else.
    Text(Arc<str>),
    /// Any of them, by events that are doubted.
    Doubted(Doubt, Arc<str>),
}

/// What is counted of whom.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub(super) struct Key {
    pub(super) slot: u32,
    pub(super) who: Who,
}

/// Lines kept beside the first.
const LAST: usize = 2;

/// One subject.
#[derive(Debug)]
pub(super) struct Group {
    pub(super) window: Window,
    pub(super) fired_ms: Option<i64>,
    touched_ms: i64,
    span_ms: i64,
    first: Option<Arc<str>>,
    last: [Option<Arc<str>>; LAST],
    kept_bytes: usize,
}

impl Group {
    fn new(shape: &Shape) -> Self {
        Self {
            window: Window::new(shape),
            fired_ms: None,
            touched_ms: i64::MIN,
            span_ms: shape.span_ms(),
            first: None,
            last: [None, None],
            kept_bytes: 0,
        }
    }

    /// The lines kept of it, the oldest first.
    pub(super) fn evidence(&self) -> Vec<String> {
        let lines = self.first.iter().chain(self.last.iter().flatten());
        lines.map(ToString::to_string).collect()
    }

    /// Keeps a line, if there is room.
    fn keep(&mut self, line: &Arc<str>, room: usize) {
        if self.first.is_none() {
            if line.len() <= room {
                self.first = Some(Arc::clone(line));
                self.kept_bytes += line.len();
            }
        } else if line.len() <= room || self.last.iter().all(Option::is_some) {
            self.last.rotate_left(1);
            if let Some(newest) = self.last.last_mut() {
                let gone = newest.replace(Arc::clone(line)).map_or(0, |gone| gone.len());
                self.kept_bytes = (self.kept_bytes + line.len()).saturating_sub(gone);
            }
        }
    }

    /// Keeps none of its lines.
    fn forget_lines(&mut self) {
        self.first = None;
        self.last = [None, None];
        self.kept_bytes = 0;
    }
}

/// All subjects.
#[derive(Debug)]
pub(super) struct Groups {
    all: AHashMap<Key, Group>,
    /// The order in which they go: with the time each was last seen when it came into the queue.
    queue: VecDeque<(Key, i64)>,
    most: usize,
    most_bytes: usize,
    kept_bytes: usize,
    /// How many went before their time.
    pub(super) evicted: u64,
}

impl Groups {
    pub(super) fn new(most: usize, most_bytes: usize) -> Self {
        Self { all: AHashMap::new(), queue: VecDeque::new(), most: most.max(1), most_bytes, kept_bytes: 0, evicted: 0 }
    }

    pub(super) fn len(&self) -> usize {
        self.all.len()
    }

    pub(super) const fn kept_bytes(&self) -> usize {
        self.kept_bytes
    }

    /// Does something to a subject, which is made if it is new, and keeps a line of it.
    pub(super) fn with<T>(
        &mut self,
        key: Key,
        shape: &Shape,
        now_ms: i64,
        line: Option<&Arc<str>>,
        act: impl FnOnce(&mut Group) -> T,
    ) -> T {
        let mut is_new = false;
        let room = self.most_bytes.saturating_sub(self.kept_bytes);
        let group = self.all.entry(key.clone()).or_insert_with(|| {
            is_new = true;
            Group::new(shape)
        });
        // A group that outlived its window begins anew as far as lines go.
        let before = group.kept_bytes;
        if !is_new && group.touched_ms.saturating_add(group.span_ms) < now_ms {
            group.forget_lines();
        }
        group.touched_ms = group.touched_ms.max(now_ms);
        if let Some(line) = line {
            group.keep(line, room);
        }
        self.kept_bytes = self.kept_bytes.saturating_sub(before).saturating_add(group.kept_bytes);
        let done = act(group);
        if is_new {
            self.queue.push_back((key, now_ms));
            self.make_room(now_ms);
        }
        done
    }

    /// Lets go of the oldest: of those that are too many, and of a few that are past their window anyway.
    fn make_room(&mut self, now_ms: i64) {
        // Those seen again since they came into the queue go to its end: each at most once a call.
        let mut chances = 8;
        let mut ended = 2;
        while let Some((key, queued_ms)) = self.queue.front() {
            let Some(group) = self.all.get(key) else {
                self.queue.pop_front();
                continue;
            };
            let full = self.all.len() > self.most;
            let over = group.touched_ms.saturating_add(group.span_ms) < now_ms;
            let seen_again = group.touched_ms > *queued_ms;
            if !full && (!over || ended == 0) {
                break;
            }
            let touched_ms = group.touched_ms;
            let Some((key, _)) = self.queue.pop_front() else { break };
            if !over && seen_again && chances > 0 {
                chances -= 1;
                self.queue.push_back((key, touched_ms));
                continue;
            }
            if let Some(gone) = self.all.remove(&key) {
                self.kept_bytes = self.kept_bytes.saturating_sub(gone.kept_bytes);
                if over {
                    ended = ended.max(1) - 1;
                } else {
                    self.evicted += 1;
                }
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn key(n: u32) -> Key {
        Key { slot: 0, who: Who::Source(std::net::Ipv4Addr::from(0xc633_6400 | n).into()) }
    }

    #[test]
    fn the_oldest_go_when_there_are_too_many_and_are_counted() {
        let shape = Shape::repeated(3, 60);
        let mut groups = Groups::new(10, 1_000);
        let line: Arc<str> = Arc::from("x".repeat(50));
        for n in 0..100 {
            groups.with(key(n), &shape, i64::from(n), Some(&line), |_| ());
            // One that comes again and again stays.
            groups.with(key(0), &shape, i64::from(n), Some(&line), |_| ());
            assert!(groups.len() <= 10);
            assert!(groups.kept_bytes() <= 1_000);
        }
        assert_eq!(groups.evicted, 90);
        assert!(groups.all.contains_key(&key(0)) && groups.all.contains_key(&key(99)));
    }

    #[test]
    fn those_past_their_window_go_uncounted() {
        let shape = Shape::repeated(3, 60);
        let mut groups = Groups::new(1_000, 0);
        for n in 0..200 {
            groups.with(key(n), &shape, i64::from(n) * 10_000, None, |_| ());
        }
        assert!(groups.len() < 20, "{}", groups.len());
        assert_eq!(groups.evicted, 0);
    }
}
