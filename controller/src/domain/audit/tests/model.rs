//! What a report is to say, said in the plainest way.
use std::cmp::Reverse;
use std::collections::{BTreeMap, BTreeSet};

use super::*;

/// Records that belong together.
#[derive(Default)]
struct Group<'a>(Vec<&'a Noted>);

impl Group<'_> {
    fn events(&self) -> u64 {
        self.0.iter().map(|record| u64::from(record.count)).sum()
    }

    fn of(&self, class: Class) -> u64 {
        Group(self.0.iter().copied().filter(|record| record.class == class).collect()).events()
    }

    fn weight(&self) -> u64 {
        self.of(Class::FailedSignIn) * 3 + self.of(Class::Denial) * 2 + self.of(Class::RateLimit)
    }

    fn sources(&self) -> u64 {
        self.0.iter().filter_map(|record| record.source.as_ref()).collect::<BTreeSet<_>>().len() as u64
    }

    fn first(&self) -> Timestamp {
        self.0.iter().map(|record| record.at).min().unwrap()
    }

    fn last(&self) -> Timestamp {
        self.0.iter().map(|record| record.at).max().unwrap()
    }

    fn endpoint(&self) -> Option<String> {
        let asked = self.0.iter().filter(|record| record.endpoint.is_some());
        asked.max_by_key(|record| (record.at, record.number)).and_then(|record| record.endpoint.clone())
    }
}

/// Groups of the records that have a key, those with the greatest order in front; of equals, the last in front.
fn grouped<'a, K: Ord, O: Ord>(
    records: &[&'a Noted],
    key: impl Fn(&'a Noted) -> Option<K>,
    order: impl Fn(&Group<'a>) -> O,
) -> Vec<(K, Group<'a>)> {
    let mut groups: BTreeMap<K, Group<'a>> = BTreeMap::new();
    for record in records {
        if let Some(key) = key(record) {
            groups.entry(key).or_default().0.push(record);
        }
    }
    let mut groups: Vec<_> = groups.into_iter().collect();
    groups.sort_by_key(|(_, group)| Reverse((order(group), group.0.last().map(|record| record.number))));
    groups
}

fn rows(records: &[&Noted], class: Class, most: usize) -> Vec<Row> {
    let of_class = |record: &Noted| record.class == class;
    let pairs = grouped(
        records,
        |record| of_class(record).then(|| (record.source.clone(), record.user.clone())),
        Group::events,
    );
    let row = |((source, user), group): ((Option<String>, Option<String>), Group<'_>)| Row {
        source,
        user,
        endpoint: group.endpoint(),
        count: group.events(),
        first: group.first(),
        last: group.last(),
    };
    pairs.into_iter().take(most).map(row).collect()
}

#[expect(clippy::cast_precision_loss, reason = "small numbers")]
fn source_row((source, group): (String, Group<'_>)) -> SourceRow {
    SourceRow {
        source,
        country: group.0.iter().rev().find_map(|record| country_name(record)),
        failed_sign_ins: group.of(Class::FailedSignIn),
        denials: group.of(Class::Denial),
        rate_limits: group.of(Class::RateLimit),
        anomalies: group.of(Class::Anomaly),
        events: group.events(),
        weight: group.weight() as f64 / 10.0,
        first: group.first(),
        last: group.last(),
    }
}

fn user_row((user, group): (String, Group<'_>)) -> UserRow {
    UserRow {
        user,
        events: group.events(),
        failed_sign_ins: group.of(Class::FailedSignIn),
        sign_ins: group.of(Class::SignIn),
        denials: group.of(Class::Denial),
        sources: group.sources(),
        first: group.first(),
        last: group.last(),
    }
}

fn country_row((country, group): (String, Group<'_>)) -> CountryRow {
    CountryRow {
        country,
        events: group.events(),
        sources: group.sources(),
        failed_sign_ins: group.of(Class::FailedSignIn),
        denials: group.of(Class::Denial),
        rate_limits: group.of(Class::RateLimit),
    }
}

fn country_name(record: &Noted) -> Option<String> {
    let country = record.country.as_deref().filter(|country| country.len() == 2);
    country.filter(|country| country.chars().all(|letter| letter.is_ascii_alphabetic())).map(str::to_uppercase)
}

pub(super) fn model(records: &[Noted], since: Timestamp, until: Timestamp, most: usize) -> Counted {
    let records: Vec<&Noted> = records.iter().filter(|record| since <= record.at && record.at <= until).collect();
    let sources = grouped(&records, |record| record.source.clone(), |group| (group.weight(), group.events()));
    let users = grouped(&records, |record| record.user.clone(), |group| group.events() + group.of(Class::FailedSignIn));
    let mut countries =
        grouped(&records, |record| Some(country_name(record).unwrap_or("unknown".to_owned())), Group::events);
    countries.sort_by_key(|(country, group)| (Reverse(group.events()), country.clone()));
    let mut counted = Counted {
        total_events: Group(records.clone()).events(),
        by_class: ByClass::default(),
        unique_users: users.len() as u64,
        unique_sources: sources.len() as u64,
        failed_sign_ins: rows(&records, Class::FailedSignIn, most),
        denials: rows(&records, Class::Denial, most),
        rate_limits: rows(&records, Class::RateLimit, most),
        top_sources: sources.into_iter().take(most).map(source_row).collect(),
        user_activity: users.into_iter().take(most).map(user_row).collect(),
        geographic: countries.into_iter().map(country_row).collect(),
    };
    for class in Class::ALL {
        *counted.by_class.of_mut(class) = Group(records.clone()).of(class);
    }
    counted
}
