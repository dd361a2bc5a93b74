//! What is counted of one subject over time, in little memory whatever is sent.
use std::collections::VecDeque;

use ahash::AHashMap;
use rsigma_eval::correlation::{WindowDecision, WindowState, apply_window_open};
use rsigma_eval::{CompiledCondition, CompiledCorrelation};
use rsigma_parser::{ConditionExpr, ConditionOperator, CorrelationType, WindowMode};

/// Up to this many, each event's own time is kept; above, they are counted by pieces of the window.
const EXACT: u64 = 64;
/// Pieces of a window. What leaves it does so up to one piece early: a count is never too high.
const PIECES: usize = 64;
/// Distinct values kept of one subject at most.
const DISTINCT: u64 = 4_096;
/// Entries kept of one subject for what rsigma counts.
const ENTRIES: usize = 256;

/// How something is counted.
#[derive(Clone, Debug)]
pub(super) struct Shape {
    pub(super) kind: CorrelationType,
    pub(super) span_s: u64,
    pub(super) mode: WindowMode,
    pub(super) gap_s: Option<u64>,
    pub(super) condition: CompiledCondition,
    pub(super) extended: Option<ConditionExpr>,
    pub(super) refs: Vec<String>,
}

/// What an event adds to a count.
#[derive(Clone, Copy, Debug)]
pub(super) enum Add<'a> {
    /// Itself.
    One,
    /// A value, by its hash.
    Value(u64),
    /// A number.
    Number(f64),
    /// That a rule matched.
    Rule(&'a str),
}

impl Shape {
    pub(super) fn of(compiled: &CompiledCorrelation) -> Self {
        Self {
            kind: compiled.correlation_type,
            span_s: compiled.timespan_secs,
            mode: compiled.window_mode,
            gap_s: compiled.gap_secs,
            condition: compiled.condition.clone(),
            extended: compiled.extended_expr.clone(),
            refs: compiled.rule_refs.clone(),
        }
    }

    pub(super) fn repeated(count: u64, span_s: u64) -> Self {
        #[expect(clippy::cast_precision_loss, reason = "at most a million")]
        let predicates = vec![(ConditionOperator::Gte, count as f64)];
        Self {
            kind: CorrelationType::EventCount,
            span_s,
            mode: WindowMode::Sliding,
            gap_s: None,
            condition: CompiledCondition { field: None, predicates, percentile: None },
            extended: None,
            refs: Vec::new(),
        }
    }

    pub(super) fn span_ms(&self) -> i64 {
        i64::try_from(self.span_s.saturating_mul(1_000)).unwrap_or(i64::MAX / 4)
    }

    /// What is held against the value: the highest of its bounds.
    pub(super) fn threshold(&self) -> Option<f64> {
        self.condition.predicates.iter().map(|(_, bound)| *bound).max_by(f64::total_cmp)
    }

    fn highest(&self) -> u64 {
        #[expect(
            clippy::cast_possible_truncation,
            clippy::cast_sign_loss,
            reason = "saturates, and counts are positive"
        )]
        self.threshold().map_or(1, |bound| bound as u64)
    }

    /// Changes the lower bound.
    pub(super) fn set_threshold(&mut self, threshold: u64) {
        for (operator, bound) in &mut self.condition.predicates {
            if matches!(operator, ConditionOperator::Gt | ConditionOperator::Gte | ConditionOperator::Eq) {
                #[expect(clippy::cast_precision_loss, reason = "a count that people write")]
                let wanted = threshold as f64;
                // More than 4 is 5 or more.
                *bound = if *operator == ConditionOperator::Gt { wanted - 1.0 } else { wanted };
            }
        }
    }
}

/// The count of one subject.
#[derive(Debug)]
pub(super) enum Window {
    Exact(VecDeque<i64>),
    Pieces(Box<Pieces>),
    Distinct(Distinct),
    Library(Box<WindowState>),
}

impl Window {
    pub(super) fn new(shape: &Shape) -> Self {
        match (shape.kind, shape.mode) {
            (CorrelationType::EventCount, WindowMode::Sliding) if shape.highest() <= EXACT => {
                Self::Exact(VecDeque::new())
            }
            (CorrelationType::EventCount, WindowMode::Sliding) => Self::Pieces(Box::new(Pieces::new(shape))),
            (CorrelationType::ValueCount, WindowMode::Sliding) => Self::Distinct(Distinct::default()),
            (kind, _) => Self::Library(Box::new(WindowState::new_for(kind))),
        }
    }

    /// Adds what happened at a time; the value, where it satisfies the condition.
    pub(super) fn add(&mut self, shape: &Shape, at_ms: i64, add: Add<'_>) -> Option<f64> {
        let since = at_ms.saturating_sub(shape.span_ms());
        let value = match self {
            Self::Exact(times) => {
                // Late by more than the window: it is in none.
                if times.back().is_some_and(|newest| *newest > at_ms.saturating_add(shape.span_ms())) {
                    return None;
                }
                while times.front().is_some_and(|first| *first < since) || times.len() >= 2 * PIECES {
                    times.pop_front();
                }
                times.push_back(at_ms);
                times.len()
            }
            Self::Pieces(pieces) => pieces.add(at_ms)?,
            Self::Distinct(distinct) => match add {
                Add::Value(value) => distinct.add(shape, value, at_ms, since)?,
                _ => return None,
            },
            Self::Library(state) => return library(state, shape, at_ms, add),
        };
        #[expect(clippy::cast_precision_loss, reason = "a count of what is in memory")]
        let value = value as f64;
        shape.condition.check(value).then_some(value)
    }
}

fn library(state: &mut WindowState, shape: &Shape, at_ms: i64, add: Add<'_>) -> Option<f64> {
    let at = at_ms.div_euclid(1_000);
    if apply_window_open(state, at, shape.span_s, shape.mode, shape.gap_s) == WindowDecision::Discard {
        return None;
    }
    match add {
        Add::One => state.push_event_count(at),
        Add::Value(value) => state.push_value_count(at, value.to_string()),
        Add::Number(number) => state.push_numeric(at, number),
        Add::Rule(rule) => state.push_temporal(at, rule),
    }
    // What is counted to more than is kept would never be reached.
    let kept = usize::try_from(shape.highest()).unwrap_or(usize::MAX).saturating_mul(2).clamp(ENTRIES, 4 * ENTRIES);
    state.truncate_oldest(kept, shape.mode == WindowMode::Session);
    state.check_condition(&shape.condition, shape.kind, &shape.refs, shape.extended.as_ref())
}

/// Counts by pieces of the window.
#[derive(Debug)]
pub(super) struct Pieces {
    counts: [u32; PIECES],
    /// The number of the newest piece, from the beginning of time.
    newest: i64,
    piece_ms: i64,
    total: u64,
}

impl Pieces {
    fn new(shape: &Shape) -> Self {
        let pieces = i64::try_from(PIECES).unwrap_or(1);
        Self { counts: [0; PIECES], newest: i64::MIN, piece_ms: (shape.span_ms() / pieces).max(1), total: 0 }
    }

    fn add(&mut self, at_ms: i64) -> Option<usize> {
        let pieces = i64::try_from(PIECES).unwrap_or(1);
        let piece = at_ms.div_euclid(self.piece_ms);
        let passed = piece.saturating_sub(self.newest);
        if passed >= pieces {
            self.counts = [0; PIECES];
            self.total = 0;
        } else if passed > 0 {
            for gone in self.newest + 1..=piece {
                let old = self.slot(gone).map_or(0, std::mem::take);
                self.total -= u64::from(old);
            }
        } else if passed <= -pieces {
            return None;
        }
        self.newest = self.newest.max(piece);
        if let Some(slot) = self.slot(piece) {
            *slot = slot.saturating_add(1);
            self.total += 1;
        }
        usize::try_from(self.total).ok()
    }

    fn slot(&mut self, piece: i64) -> Option<&mut u32> {
        let pieces = i64::try_from(PIECES).unwrap_or(1);
        self.counts.get_mut(usize::try_from(piece.rem_euclid(pieces)).ok()?)
    }
}

/// When each distinct value was seen last.
#[derive(Debug, Default)]
pub(super) struct Distinct {
    seen: AHashMap<u64, i64>,
    /// No value was seen last before this.
    oldest: i64,
}

impl Distinct {
    fn add(&mut self, shape: &Shape, value: u64, at_ms: i64, since: i64) -> Option<usize> {
        let most = usize::try_from(shape.highest().saturating_mul(2).clamp(EXACT, DISTINCT)).ok()?;
        if self.seen.is_empty() {
            self.oldest = at_ms;
        }
        if self.seen.len() >= most && !self.seen.contains_key(&value) {
            self.sweep(since);
            if self.seen.len() >= most {
                return Some(self.seen.len());
            }
        }
        let last = self.seen.entry(value).or_insert(at_ms);
        *last = (*last).max(at_ms);
        self.oldest = self.oldest.min(at_ms);
        // Values that are gone matter only where their number does.
        #[expect(clippy::cast_precision_loss, reason = "a count of what is in memory")]
        if self.oldest < since && shape.condition.check(self.seen.len() as f64) {
            self.sweep(since);
        }
        Some(self.seen.len())
    }

    fn sweep(&mut self, since: i64) {
        if self.oldest >= since {
            return;
        }
        let mut oldest = i64::MAX;
        self.seen.retain(|_, last| {
            let kept = *last >= since;
            if kept {
                oldest = oldest.min(*last);
            }
            kept
        });
        self.oldest = oldest;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Values at times in seconds, and what is said at each.
    fn values(shape: &Shape, adds: &[(i64, Add<'_>)]) -> Vec<Option<f64>> {
        let mut window = Window::new(shape);
        adds.iter().map(|(at, add)| window.add(shape, at * 1_000, *add)).collect()
    }

    fn distinct(count: u64) -> Shape {
        Shape { kind: CorrelationType::ValueCount, ..Shape::repeated(count, 10) }
    }

    #[test]
    fn few_are_counted_exactly() {
        let shape = Shape::repeated(3, 10);
        let at = |times: &[i64]| values(&shape, &times.iter().map(|at| (*at, Add::One)).collect::<Vec<_>>());
        assert_eq!(at(&[0, 5, 10]), [None, None, Some(3.0)]);
        assert_eq!(at(&[0, 5, 11, 12]), [None, None, None, Some(3.0)]);
        assert_eq!(at(&[0, 1, 2, 100]), [None, None, Some(3.0), None]);
        assert_eq!(at(&[100, 101, 5, 102]), [None, None, None, Some(3.0)]);
    }

    #[test]
    fn many_are_counted_by_pieces_and_never_too_many() {
        let shape = Shape::repeated(1_000, 64);
        let mut window = Window::new(&shape);
        let fired: Vec<i64> = (0..2_000).filter(|n| window.add(&shape, n * 50, Add::One).is_some()).collect();
        assert_eq!(fired.first(), Some(&999));
        let mut slow = Window::new(&shape);
        assert!((0..4_000).all(|n| slow.add(&shape, n * 65, Add::One).is_none()));
        // Long after, and long before.
        assert_eq!(window.add(&shape, 10_000_000, Add::One), None);
        assert_eq!(window.add(&shape, 0, Add::One), None);
    }

    #[test]
    fn distinct_values_are_counted_once_each_within_the_window() {
        let shape = distinct(3);
        let seen =
            |adds: &[(i64, u64)]| values(&shape, &adds.iter().map(|(at, v)| (*at, Add::Value(*v))).collect::<Vec<_>>());
        assert_eq!(seen(&[(0, 1), (1, 1), (2, 2), (3, 3)]), [None, None, None, Some(3.0)]);
        assert_eq!(seen(&[(0, 1), (1, 2), (12, 3), (13, 4), (14, 5)]), [None, None, None, None, Some(3.0)]);
        assert_eq!(seen(&[(0, 1), (1, 2), (9, 1), (11, 3)]), [None, None, None, Some(3.0)]);
    }

    #[test]
    fn distinct_values_are_bounded() {
        let shape = distinct(100);
        let mut window = Window::new(&shape);
        for n in 0..100_000 {
            let value = window.add(&shape, i64::try_from(n).unwrap(), Add::Value(n));
            assert!(value.unwrap_or_default() <= 200.0);
        }
    }

    proptest::proptest! {
        #[test]
        fn what_is_counted_here_is_what_the_library_counts(
            steps in proptest::collection::vec((0i64..8, 0u64..6), 1..120),
            bound in 1u64..8,
            span in 1u64..20,
        ) {
            for kind in [CorrelationType::EventCount, CorrelationType::ValueCount] {
                let shape = Shape { kind, ..Shape::repeated(bound, span) };
                let (mut ours, mut at) = (Window::new(&shape), 0);
                let mut theirs = WindowState::new_for(kind);
                for (step, value) in &steps {
                    at += step * 1_000;
                    let add = if kind == CorrelationType::EventCount { Add::One } else { Add::Value(*value) };
                    let counted = ours.add(&shape, at, add);
                    proptest::prop_assert_eq!(counted, library(&mut theirs, &shape, at, add), "at {} ms", at);
                }
            }
        }
    }
}
