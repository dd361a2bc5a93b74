//! Limits that were broken again and again, per source and per API key or user.
use super::super::event::EventKind;
use super::super::finding::{Finding, Response};
use super::super::severity::Severity;
use super::counting::Counter;
use super::keys::{Seen, user};
use super::saying::Speaker;
use super::settings;

#[derive(Debug)]
pub(super) struct RateLimitAbuse {
    pub(super) sources: Counter,
    pub(super) owners: Counter,
    response: Response,
    speaker: Speaker,
}

impl RateLimitAbuse {
    pub(super) fn new(settings: &settings::RateLimitAbuse) -> Self {
        let counter = || Counter::new(settings.threshold, settings.window_s, settings.max_keys);
        Self {
            sources: counter(),
            owners: counter(),
            response: settings.response,
            speaker: Speaker::new("rate_limit_abuse", "Rate limits broken repeatedly", &["T1499"]),
        }
    }

    pub(super) fn observe(&mut self, seen: &Seen<'_>, found: &mut Vec<Finding>) {
        if seen.event.kind != EventKind::RateLimitExceeded && seen.event.status != Some(429) {
            return;
        }
        let owner = seen.keys.api_key.or(seen.keys.user);
        let by_source = self.sources.count_if(seen.keys.source, seen);
        let by_owner = self.owners.count_if(owner, seen);
        if by_source.is_due {
            let mut finding = self.speaker.finding(seen.event, Severity::Medium, 80, self.response);
            finding.source = seen.event.client;
            finding.user = user(seen.event).map(str::to_owned);
            finding.value = Some(f64::from(by_source.count));
            finding.threshold = Some(self.sources.threshold());
            finding.indicators = vec![format!("{} limits broken by one source", by_source.count)];
            finding.evidence = self.sources.lines(seen.keys.source);
            found.push(finding);
        } else if by_owner.is_due && by_owner.count > by_source.count {
            // From several sources, each of which may be a customer's own server: somebody is told, nobody is limited.
            let mut finding = self.speaker.finding(seen.event, Severity::Medium, 70, Response::Notify);
            finding.user = user(seen.event).map(str::to_owned);
            finding.about = seen.event.api_key_id.as_ref().map(|id| format!("API key {id}"));
            finding.value = Some(f64::from(by_owner.count));
            finding.threshold = Some(self.owners.threshold());
            finding.indicators = vec![format!("{} limits broken by one API key or user", by_owner.count)];
            finding.evidence = self.owners.lines(owner);
            found.push(finding);
        }
    }
}
