//! `weir top`: the tracked sources between two measurements.
use std::collections::HashMap;

use weir_common::addr::SourceKey;

use super::prefix;
use crate::adapters::kernel::reader::{Counters, KernelReader, SourceLines, TrackedSource};
use crate::domain::report::TopReport;
use crate::domain::top::{self, Query, Sent, Source};
use crate::followed::Followed;

/// What was counted at one moment.
#[derive(Debug)]
pub struct Measured {
    sources: HashMap<u64, TrackedSource>,
    packets: u64,
    lines: SourceLines,
}

impl Measured {
    /// Reads the counters now.
    pub fn now(reader: &KernelReader) -> Self {
        let packets = all_packets(&reader.counters());
        Self { sources: reader.sources(), packets, lines: reader.source_lines() }
    }
}

/// The rows asked for, from two measurements `seconds` apart.
pub fn report(
    before: &Measured,
    after: &Measured,
    seconds: f64,
    query: &Query,
    counting: bool,
    followed: &Followed,
) -> TopReport {
    let sources = after.sources.iter().map(|(key, now)| {
        let prefix = prefix(SourceKey::from_word(*key));
        let then = before.sources.get(key).copied().unwrap_or_default();
        let place = followed.place(prefix.addr());
        let all = sent(*now);
        Source {
            prefix,
            all,
            lately: all.since(sent(then)),
            country: place.country.map(|country| country.to_string()),
            asn: place.asn,
        }
    });
    let rows = top::rows(sources, seconds, query);
    #[expect(clippy::cast_precision_loss, reason = "a rate for people")]
    let packets = after.packets.saturating_sub(before.packets) as f64;
    TopReport {
        group: query.group,
        seconds,
        counting,
        tracked: after.sources.len() as u64,
        lines_used: after.lines.used,
        lines: after.lines.all,
        packets_per_second: if seconds > 0.0 { packets / seconds } else { 0.0 },
        matching_packets_per_second: rows.packets_per_second,
        matching: rows.matching,
        rows: rows.rows,
    }
}

fn sent(tracked: TrackedSource) -> Sent {
    Sent { packets: tracked.packets, bytes: tracked.bytes, dropped: tracked.dropped }
}

fn all_packets(counters: &Counters) -> u64 {
    counters.enforced.iter().fold(0, |sum: u64, tally| sum.saturating_add(tally.packets))
}
