//! What happened in a span of time: packets by verdict, pages fetched.
use std::time::{Duration, Instant};

use weir_common::verdict::{Action, Verdict};

use super::web::Fetch;
use crate::bench::spread::permille;
use crate::harness::ledger::Ledger;

/// Counters at a moment.
#[derive(Clone, Debug)]
pub struct Moment {
    /// When.
    pub at: Instant,
    /// What weir counted.
    pub ledger: Ledger,
    /// Packets the flood had sent.
    pub offered: u64,
    /// Packets that found the wire's queue full, and never came to weir.
    pub lost: u64,
}

/// What the client saw.
#[derive(Clone, Copy, Debug, Default)]
pub struct Pages {
    /// Asked for.
    pub asked: usize,
    /// That did not come.
    pub failed: usize,
    /// Half took at most so many milliseconds.
    pub p50: f64,
    /// 99 of 100 took at most so many.
    pub p99: f64,
    /// The slowest took so many.
    pub max: f64,
}

impl Pages {
    /// Of these fetches. Those that failed are in the latencies with the time they took to fail.
    pub fn of(fetches: &[Fetch]) -> Self {
        let mut took: Vec<f64> = fetches.iter().map(|fetch| fetch.took.as_secs_f64() * 1e3).collect();
        took.sort_by(f64::total_cmp);
        Self {
            asked: fetches.len(),
            failed: fetches.iter().filter(|fetch| !fetch.is_ok).count(),
            p50: permille(&took, 500),
            p99: permille(&took, 990),
            max: permille(&took, 1000),
        }
    }
}

/// A span of time.
#[derive(Clone, Debug)]
pub struct Span {
    /// How long it was.
    pub lasted: Duration,
    /// Packets by verdict.
    pub ledger: Ledger,
    /// Packets the flood sent.
    pub offered: u64,
    /// Packets that never came to weir.
    pub lost: u64,
    /// What the client saw.
    pub pages: Pages,
}

impl Span {
    /// From one moment to another.
    pub fn between(from: &Moment, to: &Moment, fetches: &[Fetch]) -> Self {
        Self {
            lasted: to.at.saturating_duration_since(from.at),
            ledger: to.ledger.since(&from.ledger),
            offered: to.offered.saturating_sub(from.offered),
            lost: to.lost.saturating_sub(from.lost),
            pages: Pages::of(fetches),
        }
    }

    /// So many, as a rate a second.
    pub fn per_second(&self, packets: u64) -> u64 {
        let nanoseconds = self.lasted.as_nanos().max(1);
        u64::try_from(u128::from(packets) * 1_000_000_000 / nanoseconds).unwrap_or(u64::MAX)
    }

    /// Packets of all verdicts that let through.
    pub fn passed(&self) -> u64 {
        self.packets(Action::Pass)
    }

    /// Packets of all verdicts that drop.
    pub fn dropped(&self) -> u64 {
        self.packets(Action::Drop)
    }

    fn packets(&self, action: Action) -> u64 {
        let those = Verdict::ALL.iter().filter(|verdict| verdict.action() == action);
        those.map(|verdict| self.ledger.packets_of(verdict.name())).sum()
    }

    /// Verdicts that any of these spans counted, in the order of their slots.
    pub fn verdicts(spans: &[&Self]) -> Vec<Verdict> {
        let counted = |verdict: &Verdict| spans.iter().any(|span| span.ledger.packets_of(verdict.name()) > 0);
        Verdict::ALL.into_iter().filter(counted).collect()
    }
}

/// A number with its thousands apart.
pub fn thousands(number: u64) -> String {
    let digits = number.to_string();
    let mut text = String::new();
    for (at, digit) in digits.chars().enumerate() {
        if at > 0 && (digits.len() - at).is_multiple_of(3) {
            text.push(',');
        }
        text.push(digit);
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn thousands_are_apart() {
        assert_eq!(
            ["0", "999", "1,000", "1,234,567"],
            [0, 999, 1000, 1_234_567].map(thousands).each_ref().map(String::as_str)
        );
    }

    #[test]
    fn a_span_is_what_lies_between_two_moments() {
        let at = Instant::now();
        let counted = |entries: &[(&str, u64)], offered, seconds| Moment {
            at: at + Duration::from_secs(seconds),
            ledger: Ledger::of(entries),
            offered,
            lost: 0,
        };
        let from = counted(&[("pass", 10), ("denied", 5)], 100, 0);
        let to = counted(&[("pass", 30), ("denied", 405), ("rate_source", 100)], 700, 2);
        let span = Span::between(&from, &to, &[]);
        assert_eq!((span.passed(), span.dropped(), span.offered, span.per_second(400)), (20, 500, 600, 200));
        assert_eq!(Span::verdicts(&[&span]), [Verdict::Pass, Verdict::Denied, Verdict::RateSource]);
    }
}
