//! Denials of what one may not do, per user and per source.
use super::super::event::{Event, EventKind};
use super::super::finding::{Finding, Response};
use super::super::severity::Severity;
use super::counting::{Counter, LoginPaths};
use super::keys::{Seen, user};
use super::saying::Speaker;
use super::settings;

#[derive(Debug)]
pub(super) struct PrivilegeEscalation {
    pub(super) sources: Counter,
    pub(super) users: Counter,
    login_paths: LoginPaths,
    response: Response,
    response_user: Response,
    speaker: Speaker,
}

impl PrivilegeEscalation {
    pub(super) fn new(settings: &settings::PrivilegeEscalation, login_paths: &[String]) -> Self {
        let counter = || Counter::new(settings.threshold, settings.window_s, settings.max_keys);
        Self {
            sources: counter(),
            users: counter(),
            login_paths: LoginPaths::new(login_paths),
            response: settings.response,
            response_user: settings.response_user,
            speaker: Speaker::new("privilege_escalation", "Repeated denials of permission", &["T1068"]),
        }
    }

    pub(super) fn observe(&mut self, seen: &Seen<'_>, found: &mut Vec<Finding>) {
        if !self.is_denial(seen.event) {
            return;
        }
        let by_user = self.users.count_if(seen.keys.user, seen);
        let by_source = self.sources.count_if(seen.keys.source, seen);
        let (severity, confidence, response, count, what, evidence) = if by_user.is_due {
            let evidence = self.users.lines(seen.keys.user);
            // Of a request nobody knows whether the user is who it says: servers log the name before they have checked it.
            let is_proven = seen.event.kind != EventKind::HttpRequest;
            let response = if is_proven { self.response_user } else { Response::Notify };
            (Severity::High, 75, response, by_user.count, "of one user", evidence)
        } else if by_source.is_due && by_source.count > by_user.count {
            let evidence = self.sources.lines(seen.keys.source);
            (Severity::Medium, 55, self.response, by_source.count, "to one source", evidence)
        } else {
            return;
        };
        let mut finding = self.speaker.finding(seen.event, severity, confidence, response);
        finding.source = seen.event.client;
        finding.user = user(seen.event).map(str::to_owned);
        finding.value = Some(f64::from(count));
        finding.threshold = Some(self.users.threshold());
        finding.indicators = vec![format!("{count} denials {what}")];
        finding.evidence = evidence;
        found.push(finding);
    }

    /// A refused sign-in is none: [`super::brute_force`] counts those.
    fn is_denial(&self, event: &Event) -> bool {
        match event.kind {
            EventKind::PermissionDenied => true,
            EventKind::HttpRequest => event.status == Some(403) && !self.login_paths.is_login_post(event),
            _ => false,
        }
    }
}
