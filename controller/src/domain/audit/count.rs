//! How a report is made.
//!
//! First it is summed up, with a place for each source, user, country and pair of a source and a user. Then it is known who
//! is in the report, and the columns are gone through once more to find out the rest about them. Of equals, the one that was
//! recorded last is in front.
mod details;
mod sums;
mod top;

use self::details::{Span, spans};
use self::sums::{Amount, CountrySum, PairSum, Sum, place};
use self::top::Top;
use super::columns::Part;
use super::dictionary::NONE;
use super::{
    COUNTRIES, Class, Counted, CountryRow, NO_COUNTRY, Row, SourceRow, Tally, UNKNOWN_COUNTRY, UserRow, country, slot,
    timestamp,
};

/// The report of a span of time, both ends included.
pub(super) fn report(tally: &Tally, since: i64, until: i64, most: usize) -> Counted {
    let part = tally.columns.part(since, until);
    // The places of a hundred thousand sources stay in the processor's cache only if they are small.
    let total: u64 = part.count.iter().map(|count| u64::from(*count)).sum();
    if u32::try_from(total).is_ok() { counted::<u32>(tally, &part, most) } else { counted::<u64>(tally, &part, most) }
}

fn counted<A: Amount>(tally: &Tally, part: &Part<'_>, most: usize) -> Counted {
    let sources = sums::by::<A>(part, part.source, tally.sources.slots(), Class::Anomaly);
    let users = sums::by::<A>(part, part.user, tally.users.slots(), Class::SignIn);
    let pairs = sums::by_pair::<A>(part, tally.pairs.slots());
    let countries = sums::by_country(part, tally.sources.slots());

    let top_sources = top(&sources, most, |sum| (sum.weight(), sum.total()));
    let top_users = top(&users, most, |sum| (sum.total().saturating_add(sum.failed()), 0));
    let top_pairs = top_pairs(tally, &pairs, most);

    let of_sources = spans(part, part.source, sources.len(), &top_sources, NO_COUNTRY, |last, _, row| {
        if let Some(country) = part.country.get(row).filter(|country| **country != NO_COUNTRY) {
            *last = *country;
        }
    });
    let of_users = spans(part, part.user, users.len(), &top_users, Vec::new(), |from, _, row| {
        if let Some(source) = part.source.get(row).filter(|source| **source != NONE && from.last() != Some(*source)) {
            from.push(*source);
        }
    });
    let of_pairs = spans(part, part.pair, pairs.len(), &top_pairs.concat(), (i64::MIN, NONE), |last, at, row| {
        if let Some(endpoint) = part.endpoint.get(row).filter(|endpoint| **endpoint != NONE && at >= last.0) {
            *last = (at, *endpoint);
        }
    });

    let mut counted = Counted {
        unique_sources: named(&sources).count() as u64,
        unique_users: named(&users).count() as u64,
        geographic: geographic(&countries),
        ..Counted::default()
    };
    for (class, events) in countries.iter().flat_map(|sum| Class::ALL.into_iter().zip(sum.events)) {
        *counted.by_class.of_mut(class) += events;
        counted.total_events += events;
    }
    counted.top_sources = (top_sources.iter().zip(&of_sources))
        .filter_map(|(id, span)| Some(source_row(tally.sources.text(*id)?, sources.get(slot(*id))?, span)))
        .collect();
    let distinct = details::distinct(of_users.iter().map(|span| span.more.as_slice()), sources.len());
    counted.user_activity = (top_users.iter().zip(&of_users).zip(distinct))
        .filter_map(|((id, span), from)| Some(user_row(tally.users.text(*id)?, users.get(slot(*id))?, span, from)))
        .collect();
    let mut of_pairs = of_pairs.iter();
    let [failed_sign_ins, denials, rate_limits] = top_pairs.each_ref().map(|ids| {
        let rows = ids.iter().zip(of_pairs.by_ref());
        rows.filter_map(|(id, span)| pair_row(tally, *id, pairs.get(slot(*id))?.count(), span)).collect()
    });
    Counted { failed_sign_ins, denials, rate_limits, ..counted }
}

/// The numbers of those who have a name and the greatest keys.
fn top<A: Amount>(sums: &[Sum<A>], most: usize, key: impl Fn(&Sum<A>) -> (u64, u64)) -> Vec<u32> {
    let mut top = Top::new(most);
    for (id, sum) in named(sums) {
        let (first, second) = key(sum);
        top.offer((first, second, sum.last), id);
    }
    top.into_sorted()
}

/// The sums of those who have a name, and their numbers.
fn named<A: Amount>(sums: &[Sum<A>]) -> impl Iterator<Item = (u32, &Sum<A>)> {
    (0..).zip(sums).skip(1).filter(|(_, sum)| sum.is_of_some())
}

/// The pairs with the most events, of each class that has them.
fn top_pairs<A: Amount>(tally: &Tally, pairs: &[PairSum<A>], most: usize) -> [Vec<u32>; 3] {
    let mut tops = [(); 3].map(|()| Top::new(most));
    for (sum, id) in pairs.iter().zip(0..) {
        let key = (sum.count(), 0, sum.last);
        if sum.last == 0 || !tops.iter().any(|top| top.takes(key)) {
            continue;
        }
        if let Some(pair) = tally.pairs.thing(id)
            && let Some(top) = tops.get_mut(place(pair.class, Class::Other))
        {
            top.offer(key, id);
        }
    }
    tops.map(Top::into_sorted)
}

fn geographic(countries: &[CountrySum]) -> Vec<CountryRow> {
    let seen = countries.iter().zip(0..).filter(|(sum, _)| sum.is_seen);
    let mut rows: Vec<CountryRow> = seen
        .map(|(sum, id)| {
            let of = |class: Class| sum.events.get(class as usize).copied().unwrap_or_default();
            CountryRow {
                country: country(id).unwrap_or_else(|| UNKNOWN_COUNTRY.to_owned()),
                events: sum.events.iter().sum(),
                sources: sum.sources,
                failed_sign_ins: of(Class::FailedSignIn),
                denials: of(Class::Denial),
                rate_limits: of(Class::RateLimit),
            }
        })
        .collect();
    rows.sort_by(|a, b| b.events.cmp(&a.events).then_with(|| a.country.cmp(&b.country)));
    rows
}

fn source_row<A: Amount>(source: String, sum: &Sum<A>, span: &Span<u16>) -> SourceRow {
    let [failed_sign_ins, denials, rate_limits, anomalies, _] = sum.events();
    SourceRow {
        source,
        country: country(span.more),
        failed_sign_ins,
        denials,
        rate_limits,
        anomalies,
        events: sum.total(),
        weight: tenths(sum.weight()),
        first: timestamp(span.first),
        last: timestamp(span.last),
    }
}

fn user_row<A: Amount>(user: String, sum: &Sum<A>, span: &Span<Vec<u32>>, sources: u64) -> UserRow {
    let [failed_sign_ins, denials, _, sign_ins, _] = sum.events();
    UserRow {
        user,
        events: sum.total(),
        failed_sign_ins,
        sign_ins,
        denials,
        sources,
        first: timestamp(span.first),
        last: timestamp(span.last),
    }
}

fn pair_row(tally: &Tally, id: u32, count: u64, span: &Span<(i64, u32)>) -> Option<Row> {
    let pair = tally.pairs.thing(id)?;
    Some(Row {
        source: tally.sources.text(pair.source),
        user: tally.users.text(pair.user),
        endpoint: tally.endpoints.text(span.more.1),
        count,
        first: timestamp(span.first),
        last: timestamp(span.last),
    })
}

#[expect(clippy::cast_precision_loss, reason = "it is read by people, and exact up to 2^53")]
fn tenths(tenths: u64) -> f64 {
    tenths as f64 / 10.0
}
