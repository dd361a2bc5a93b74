//! What is found out only about those who are in the report.
use super::super::columns::Part;
use super::slot;

/// When somebody was seen, and what else is asked for.
#[derive(Clone, Copy, Debug)]
pub(super) struct Span<T> {
    pub(super) first: i64,
    pub(super) last: i64,
    pub(super) more: T,
}

/// The rank of who is not chosen. A report has far fewer rows.
const NOT_CHOSEN: u16 = u16::MAX;

/// Of those who are chosen by their number in a column, in the order of choice. `more` is told of the time and the row of
/// each of their records.
pub(super) fn spans<T: Clone>(
    part: &Part<'_>,
    ids: &[u32],
    slots: usize,
    chosen: &[u32],
    none: T,
    mut more: impl FnMut(&mut T, i64, usize),
) -> Vec<Span<T>> {
    // Small, for it is asked of every record: it nearly always says that somebody is not chosen.
    let mut ranks = vec![NOT_CHOSEN; slots];
    for (id, rank) in chosen.iter().zip(0..NOT_CHOSEN) {
        if let Some(place) = ranks.get_mut(slot(*id)) {
            *place = rank;
        }
    }
    let mut spans = vec![Span { first: i64::MAX, last: i64::MIN, more: none }; chosen.len()];
    for ((at, id), row) in part.at.iter().zip(ids).zip(0..) {
        if let Some(rank) = ranks.get(slot(*id)).filter(|rank| **rank != NOT_CHOSEN)
            && part.has(*at)
            && let Some(span) = spans.get_mut(usize::from(*rank))
        {
            (span.first, span.last) = (span.first.min(*at), span.last.max(*at));
            more(&mut span.more, *at, row);
        }
    }
    spans
}

/// How many different numbers each list has.
pub(super) fn distinct<'a>(lists: impl Iterator<Item = &'a [u32]>, slots: usize) -> Vec<u64> {
    let mut seen_in = vec![0_u32; slots];
    let distinct = lists.zip(1..).map(|(numbers, list)| {
        let mut is_new =
            |number: u32| seen_in.get_mut(slot(number)).is_some_and(|seen| std::mem::replace(seen, list) != list);
        numbers.iter().filter(|number| is_new(**number)).count() as u64
    });
    distinct.collect()
}
