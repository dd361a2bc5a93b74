//! The share of errors, per API key or source.
use super::super::finding::Finding;
use super::super::severity::Severity;
use super::keys::Seen;
use super::saying::{Lines, Said, Speaker};
use super::settings;
use super::table::{Kept, Places, Table, rank_of_many};
use super::window::{Width, Window};

#[derive(Debug)]
pub(super) struct ErrorRate {
    pub(super) table: Table<Rate>,
    lines: Lines,
    width: Width,
    settings: settings::ErrorRate,
    speaker: Speaker,
}

/// Requests and errors.
#[derive(Clone, Debug, Default)]
pub(super) struct Rate {
    window: Window<2>,
    said: Said,
    total: u32,
}

impl Kept for Rate {
    fn rank(&self) -> u8 {
        rank_of_many(self.total)
    }
}

impl ErrorRate {
    pub(super) fn new(settings: &settings::ErrorRate) -> Self {
        Self {
            table: Table::new(settings.max_keys, settings.window_s, Places::Contested),
            lines: Lines::default(),
            width: Width::of_window(settings.window_s),
            settings: settings.clone(),
            speaker: Speaker::new("error_rate", "High error rate", &[]),
        }
    }

    pub(super) fn observe(&mut self, seen: &Seen<'_>, found: &mut Vec<Finding>) {
        let Some(status) = seen.event.status.filter(|_| seen.is_request()) else { return };
        let Some(key) = seen.keys.api_key.or(seen.keys.source) else { return };
        let (settings, width) = (&self.settings, self.width);
        let is_error = settings.statuses.contains(status);
        if is_error {
            self.lines.push(key, seen.event);
        }
        let judged = self.table.with(key, seen.at_s(), |rate| {
            rate.window.add(width, seen.at_ms, [1, u32::from(is_error)]);
            rate.total = rate.total.saturating_add(1);
            if !is_error {
                // A share does not rise with a good answer.
                return None;
            }
            let [total, errors] = rate.window.sums(width, seen.at_ms);
            let share = f64::from(errors) / f64::from(total.max(1));
            let level = u8::from(share > settings.warning) + u8::from(share > settings.critical);
            let level = if total < settings.minimum { 0 } else { level };
            rate.said.is_due(level, seen.at_s(), settings.window_s).then_some((total, errors, share, level))
        });
        let Some((total, errors, share, level)) = judged.flatten() else { return };
        let (severity, threshold) =
            if level > 1 { (Severity::Critical, settings.critical) } else { (Severity::Medium, settings.warning) };
        let mut finding = self.speaker.finding(seen.event, severity, 70, settings.response);
        finding.source = seen.event.client;
        finding.about = seen.event.api_key_id.as_ref().map(|id| format!("API key {id}"));
        finding.value = Some(share);
        finding.threshold = Some(threshold);
        finding.indicators = vec![format!("{errors} errors in {total} requests")];
        finding.evidence = self.lines.of(key);
        found.push(finding);
    }
}
