//! Lines of logs: which are read, how, and what the rules see in each.
use std::collections::BTreeMap;
use std::num::NonZeroUsize;
use std::sync::Arc;

use jiff::tz::TimeZone;

use super::engine::Matcher;
use crate::adapters::logs::{self, Batch, FileInput, SyslogAddress, SyslogInput};
use crate::config::{Detection, LogSource};
use crate::domain::http::client::TrustedProxies;
use crate::domain::http::detector::Counters;
use crate::domain::http::event::Event;
use crate::domain::http::line::{Choice, Context, Format, Line, Reader};
use crate::domain::http::rules::Matches;

/// Events that one thread judges before another is worth its start.
const FOR_A_THREAD: usize = 512;
/// Threads that judge at the most: the rest of the machine has work of its own.
const MOST_THREADS: usize = 4;
/// Files whose writing is remembered. Attackers do not choose their names; globs may.
const MOST_READERS: usize = 4_096;
/// The inputs of sockets.
const SYSLOG: &str = "syslog";
const SYSLOG_UDP: &str = "syslog-udp";

/// What the settings have read and heard.
pub(super) fn inputs(detection: &Detection) -> logs::Settings {
    let files = detection.logs.iter().map(|log| FileInput::new(log.name.as_str(), log.paths.clone()));
    let mut syslog = Vec::new();
    if let Some(path) = &detection.events.syslog {
        let address = SyslogAddress::Unix { path: path.clone(), group: detection.events.syslog_group.clone() };
        syslog.push(SyslogInput { name: SYSLOG.into(), address });
    }
    if let Some(address) = detection.events.syslog_udp {
        syslog.push(SyslogInput { name: SYSLOG_UDP.into(), address: SyslogAddress::Udp(address) });
    }
    logs::Settings { files: files.collect(), syslog }
}

/// How the lines of one input are read.
#[derive(Debug)]
struct Way {
    choice: Choice,
    zone: TimeZone,
}

/// How all lines are read.
#[derive(Debug)]
pub(super) struct Lines {
    ways: BTreeMap<Arc<str>, Way>,
    /// By input and path: what a file has shown of its format.
    readers: BTreeMap<(Arc<str>, Arc<str>), Reader>,
    threads: usize,
}

/// The proxies that are believed about a log.
fn trusted(detection: &Detection, log: Option<&LogSource>) -> TrustedProxies {
    let own = log.into_iter().flat_map(|log| &log.trusted_proxies);
    TrustedProxies::new(detection.events.trusted_proxies.iter().chain(own).copied())
}

/// How a log is read, as the settings say.
fn choice(detection: &Detection, log: &LogSource) -> Choice {
    Choice {
        format: if log.pattern.is_some() { Format::Grok } else { log.format },
        pattern: log.pattern.as_deref().map(Arc::from),
        trusted: trusted(detection, Some(log)),
        mixed: false,
        is_open: false,
        origin: None,
    }
}

impl Lines {
    /// As the settings say.
    pub(super) fn new(detection: &Detection) -> Self {
        let mut ways: BTreeMap<Arc<str>, Way> = BTreeMap::new();
        for log in &detection.logs {
            // The settings were checked when they were read.
            let zone = log.zone.as_deref().and_then(|zone| TimeZone::get(zone).ok()).unwrap_or_else(TimeZone::system);
            ways.insert(Arc::from(log.name.as_str()), Way { choice: choice(detection, log), zone });
        }
        for name in [SYSLOG, SYSLOG_UDP] {
            let is_open = name == SYSLOG_UDP;
            let choice = Choice { trusted: trusted(detection, None), mixed: true, is_open, ..Choice::default() };
            ways.insert(Arc::from(name), Way { choice, zone: TimeZone::system() });
        }
        let cpus = std::thread::available_parallelism().map_or(1, NonZeroUsize::get);
        Self { ways, readers: BTreeMap::new(), threads: cpus.min(MOST_THREADS) }
    }

    /// The events of a batch's lines, in order, each with what the rules see in it. Lines that are none are counted.
    pub(super) fn judge(
        &mut self,
        batch: &Batch,
        matcher: Option<&Matcher>,
        counters: &mut Counters,
    ) -> Vec<(Box<Event>, Option<Matches>)> {
        let Some(way) = self.ways.get(&batch.input) else { return Vec::new() };
        let place = (Arc::clone(&batch.input), Arc::clone(&batch.origin));
        if !self.readers.contains_key(&place) {
            if self.readers.len() >= MOST_READERS {
                self.readers.pop_first();
            }
            let choice = Choice { origin: Some(Arc::clone(&batch.origin)), ..way.choice.clone() };
            match Reader::new(&choice) {
                Ok(mut reader) => {
                    reader.begins_with(batch.head());
                    self.readers.insert(place.clone(), reader);
                }
                Err(error) => {
                    // The settings were checked when they were read.
                    tracing::error!(log = %batch.input, %error, "its lines are not read");
                    return Vec::new();
                }
            }
        }
        let Some(reader) = self.readers.get_mut(&place) else { return Vec::new() };
        let context = Context { received: batch.received, zone: way.zone.clone() };
        let mut events = Vec::with_capacity(batch.len());
        for line in batch.lines() {
            match reader.read(line, &context) {
                Line::Event(event) => events.push(event),
                Line::Unparsed(why) => counters.unparsed(&batch.input, why.name()),
                Line::Nothing => {}
            }
        }
        let Some(matcher) = matcher else { return events.into_iter().map(|event| (event, None)).collect() };
        self.matched(events, matcher)
    }

    /// What the rules see in each event: by several threads, where there are many.
    #[expect(clippy::vec_box, reason = "events come boxed: they are large, and move from thread to thread")]
    fn matched(&self, events: Vec<Box<Event>>, matcher: &Matcher) -> Vec<(Box<Event>, Option<Matches>)> {
        let judge = |one: Box<Event>| {
            let seen = matcher.matches(&one);
            (one, Some(seen))
        };
        let threads = (events.len() / FOR_A_THREAD).clamp(1, self.threads);
        if threads == 1 {
            return events.into_iter().map(judge).collect();
        }
        let share = events.len().div_ceil(threads);
        let mut parts: Vec<Vec<Box<Event>>> = Vec::with_capacity(threads);
        let mut left = events.into_iter();
        for _ in 0..threads {
            parts.push(left.by_ref().take(share).collect());
        }
        std::thread::scope(|scope| {
            let judge = &judge;
            let others = parts.split_off(1);
            let working: Vec<_> = others
                .into_iter()
                .map(|part| scope.spawn(move || part.into_iter().map(judge).collect::<Vec<_>>()))
                .collect();
            let mut judged: Vec<_> = parts.into_iter().flatten().map(judge).collect();
            for thread in working {
                match thread.join() {
                    Ok(part) => judged.extend(part),
                    // As if it had been judged here: the task's edge takes it up.
                    Err(panic) => std::panic::resume_unwind(panic),
                }
            }
            judged
        })
    }
}
