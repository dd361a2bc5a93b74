//! Requests so far today against the daily mean of the seven days before, per API key, user or source.
use super::super::finding::Finding;
use super::super::severity::Severity;
use super::keys::{Seen, user};
use super::saying::{Said, Speaker, line_of};
use super::settings;
use super::table::{Kept, Places, Table, rank_of_many};

const DAY_S: i64 = 86_400;
const DAYS: usize = 8;

/// Seven days before a day, and the day.
const REACH: i64 = 7;

#[derive(Debug)]
pub(super) struct UsageSpike {
    pub(super) table: Table<Usage>,
    settings: settings::UsageSpike,
    speaker: Speaker,
}

/// Requests by day. A day knows which one it is, so a clock that is wrong by years costs one of them.
#[derive(Clone, Debug, Default)]
pub(super) struct Usage {
    days: [(i32, u32); DAYS],
    said: Said,
}

impl Kept for Usage {
    fn rank(&self) -> u8 {
        rank_of_many(self.days.iter().fold(0, |sum, (_, count)| sum.saturating_add(*count)))
    }
}

impl Usage {
    fn add(&mut self, day: i32) -> u32 {
        let place = usize::try_from(day.rem_euclid(8)).unwrap_or(0);
        let Some(kept) = self.days.get_mut(place) else { return 0 };
        if kept.0 != day {
            *kept = (day, 0);
        }
        kept.1 = kept.1.saturating_add(1);
        kept.1
    }

    /// The daily mean before a day, and the number of days with requests: over the days since the first of them, as a key
    /// that is three days old was not idle for four.
    fn before(&self, day: i32) -> Option<(f64, u32)> {
        let age = |then: i32| i64::from(day) - i64::from(then);
        let past = self.days.iter().filter(|(then, count)| *count > 0 && (1..=REACH).contains(&age(*then)));
        let (total, days, oldest) = past.fold((0.0, 0, 0), |(total, days, oldest), (then, count)| {
            (total + f64::from(*count), days + 1, oldest.max(age(*then)))
        });
        let span = u32::try_from(oldest).ok().filter(|span| *span > 0)?;
        Some((total / f64::from(span), days))
    }
}

impl UsageSpike {
    pub(super) fn new(settings: &settings::UsageSpike) -> Self {
        Self {
            table: Table::new(settings.max_keys, 8 * DAY_S.unsigned_abs(), Places::Contested),
            settings: settings.clone(),
            speaker: Speaker::new("usage_spike", "Spike in usage", &["T1499"]),
        }
    }

    pub(super) fn observe(&mut self, seen: &Seen<'_>, found: &mut Vec<Finding>) {
        if !seen.is_request() {
            return;
        }
        let settings = &self.settings;
        let known = seen.keys.api_key.or(seen.keys.user.filter(|_| seen.is_signed_in()));
        let minimum = if known.is_some() { settings.minimum } else { settings.minimum_source };
        let Some(key) = known.or(seen.keys.source) else { return };
        let Ok(day) = i32::try_from(seen.at_s().div_euclid(DAY_S)) else { return };
        let judged = self.table.with(key, seen.at_s(), |usage| {
            let today = usage.add(day);
            if today < minimum {
                return None;
            }
            let (mean, days) = usage.before(day)?;
            let times = f64::from(today) / mean;
            let level = u8::from(times > settings.warning) + u8::from(times > settings.critical);
            let level = if days < settings.history_days { 0 } else { level };
            // Once a day and level.
            let midnight_s = i64::from(day) * DAY_S;
            let is_due = usage.said.is_due(level, midnight_s, DAY_S.unsigned_abs());
            is_due.then_some((today, mean, times, level))
        });
        let Some((today, mean, times, level)) = judged.flatten() else { return };
        let (severity, threshold) =
            if level > 1 { (Severity::Critical, settings.critical) } else { (Severity::Medium, settings.warning) };
        let mut finding = self.speaker.finding(seen.event, severity, 60, settings.response);
        finding.source = seen.event.client;
        finding.user = user(seen.event).map(str::to_owned);
        finding.about = seen.event.api_key_id.as_ref().map(|id| format!("API key {id}"));
        finding.value = Some(times);
        finding.threshold = Some(threshold);
        finding.indicators = vec![format!("{today} requests today, {mean:.1} a day in the seven days before")];
        finding.evidence = line_of(seen.event);
        found.push(finding);
    }
}
