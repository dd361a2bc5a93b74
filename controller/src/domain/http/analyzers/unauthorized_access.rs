//! Answers of 401, per source.
use super::super::finding::Finding;
use super::super::severity::Severity;
use super::counting::Counter;
use super::keys::Seen;
use super::saying::Speaker;
use super::settings;
use crate::domain::http::finding::Response;

#[derive(Debug)]
pub(super) struct UnauthorizedAccess {
    pub(super) counter: Counter,
    response: Response,
    speaker: Speaker,
}

impl UnauthorizedAccess {
    pub(super) fn new(settings: &settings::UnauthorizedAccess) -> Self {
        Self {
            counter: Counter::new(settings.threshold, settings.window_s, settings.max_keys),
            response: settings.response,
            speaker: Speaker::new("unauthorized_access", "Repeated unauthorized requests", &["T1078"]),
        }
    }

    pub(super) fn observe(&mut self, seen: &Seen<'_>, found: &mut Vec<Finding>) {
        if seen.event.status != Some(401) {
            return;
        }
        let Some(key) = seen.keys.source else { return };
        let count = self.counter.count(key, seen);
        if count.is_due {
            let mut finding = self.speaker.finding(seen.event, Severity::Medium, 60, self.response);
            finding.source = seen.event.client;
            finding.value = Some(f64::from(count.count));
            finding.threshold = Some(self.counter.threshold());
            finding.indicators = vec![format!("{} answers of 401", count.count)];
            finding.evidence = self.counter.lines(Some(key));
            found.push(finding);
        }
    }
}
