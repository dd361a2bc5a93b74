//! Failed sign-ins, per source and per user.
use super::super::event::{Event, EventKind};
use super::super::finding::{Finding, Response};
use super::super::severity::Severity;
use super::counting::{Counter, LoginPaths};
use super::keys::{Seen, user};
use super::saying::Speaker;
use super::settings;

#[derive(Debug)]
pub(super) struct BruteForce {
    pub(super) sources: Counter,
    pub(super) users: Counter,
    login_paths: LoginPaths,
    response: Response,
    response_user: Response,
    speaker: Speaker,
}

impl BruteForce {
    pub(super) fn new(settings: &settings::BruteForce) -> Self {
        let counter = || Counter::new(settings.threshold, settings.window_s, settings.max_keys);
        Self {
            sources: counter(),
            users: counter(),
            login_paths: LoginPaths::new(&settings.login_paths),
            response: settings.response,
            response_user: settings.response_user,
            speaker: Speaker::new("brute_force", "Brute force against sign-in", &["T1110"]),
        }
    }

    pub(super) fn observe(&mut self, seen: &Seen<'_>, found: &mut Vec<Finding>) {
        if !self.is_failed_sign_in(seen.event) {
            return;
        }
        let by_source = self.sources.count_if(seen.keys.source, seen);
        let by_user = self.users.count_if(seen.keys.user, seen);
        let name = user(seen.event);
        if by_source.is_due {
            let mut finding = self.speaker.finding(seen.event, Severity::High, 85, self.response);
            finding.source = seen.event.client;
            finding.user = name.map(str::to_owned);
            finding.value = Some(f64::from(by_source.count));
            finding.threshold = Some(self.sources.threshold());
            finding.indicators = vec![format!("{} failed sign-ins from one source", by_source.count)];
            finding.evidence = self.sources.lines(seen.keys.source);
            found.push(finding);
        } else if by_user.is_due && by_user.count > by_source.count {
            // Who comes last may be the user themself: nobody's address is given.
            let mut finding = self.speaker.finding(seen.event, Severity::High, 75, self.response_user);
            finding.user = name.map(str::to_owned);
            finding.value = Some(f64::from(by_user.count));
            finding.threshold = Some(self.users.threshold());
            finding.indicators = vec![format!("{} failed sign-ins of one user from several sources", by_user.count)];
            finding.evidence = self.users.lines(seen.keys.user);
            found.push(finding);
        }
    }

    fn is_failed_sign_in(&self, event: &Event) -> bool {
        match event.kind {
            EventKind::AuthFailed => true,
            EventKind::HttpRequest => match event.status {
                // A 401 that names a user: the password of basic authentication was wrong.
                Some(401) => user(event).is_some() || self.login_paths.is_login_post(event),
                Some(403) => self.login_paths.is_login_post(event),
                _ => false,
            },
            _ => false,
        }
    }
}
