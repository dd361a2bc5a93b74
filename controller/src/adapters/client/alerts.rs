//! Alerts, rules, analyzers, and users that are denied.
use reqwest::Method;
use serde::Serialize;

use super::{Client, ClientError, bool_word};
use crate::domain::http::alert::{Alert, AlertId};
use crate::domain::report::{
    AlertFilter, AlertList, AlertStats, AnalyzerRow, DeniedUserRow, OverrideRequest, RuleDetail, RuleReport, RuleRow,
    SwitchReport,
};

/// A rule's text, as it is sent.
#[derive(Clone, Copy, Debug)]
pub enum RuleText<'a> {
    /// Sigma.
    Yaml(&'a str),
    /// A form, or the settings of an analyzer.
    Json(&'a str),
}

impl Client {
    /// A page of the alerts that fit, by score, then the newest first.
    ///
    /// # Errors
    /// [`ClientError`].
    pub fn alerts(&self, filter: &AlertFilter, limit: u32, offset: u64) -> Result<AlertList, ClientError> {
        let (limit, offset) = (limit.to_string(), offset.to_string());
        let since = filter.since.map(|since| since.to_string());
        let mut query = vec![("limit", limit.as_str()), ("offset", &offset)];
        query.extend(filter.status.map(|status| ("status", status.name())));
        query.extend(filter.severity.map(|severity| ("severity", severity.name())));
        query.extend(filter.min_severity.map(|severity| ("min_severity", severity.name())));
        query.extend(filter.analyzer.as_deref().map(|name| ("analyzer", name)));
        query.extend(filter.source.as_deref().map(|source| ("source", source)));
        query.extend(filter.user.as_deref().map(|user| ("user", user)));
        query.extend(filter.hunt_id.as_deref().map(|hunt| ("hunt_id", hunt)));
        query.extend(filter.dataset_id.as_deref().map(|dataset| ("dataset_id", dataset)));
        query.extend(since.as_deref().map(|since| ("since", since)));
        self.wait_for(self.document(self.request(Method::GET, &["alerts"], &query)))
    }

    /// An alert.
    ///
    /// # Errors
    /// [`ClientError`].
    pub fn alert(&self, id: AlertId) -> Result<Alert, ClientError> {
        self.wait_for(self.document(self.request(Method::GET, &["alerts", &id.to_string()], &[])))
    }

    /// Alerts, counted.
    ///
    /// # Errors
    /// [`ClientError`].
    pub fn alert_stats(&self) -> Result<AlertStats, ClientError> {
        self.wait_for(self.document(self.request(Method::GET, &["alerts", "stats"], &[])))
    }

    /// The analyzers.
    ///
    /// # Errors
    /// [`ClientError`].
    pub fn analyzers(&self) -> Result<Vec<AnalyzerRow>, ClientError> {
        self.wait_for(self.document(self.request(Method::GET, &["alerts", "analyzers", "list"], &[])))
    }

    /// The users that are denied.
    ///
    /// # Errors
    /// [`ClientError`].
    pub fn denied_users(&self) -> Result<Vec<DeniedUserRow>, ClientError> {
        self.wait_for(self.document(self.request(Method::GET, &["users", "denied"], &[])))
    }

    /// Lets a user in again.
    ///
    /// # Errors
    /// [`ClientError`].
    pub fn lift_user(&self, user: &str, dry_run: bool) -> Result<SwitchReport, ClientError> {
        let query = [("dry_run", bool_word(dry_run))];
        self.wait_for(self.document(self.request(Method::DELETE, &["users", "denied", user], &query)))
    }

    /// The rules; those that are run, or not, where that is asked.
    ///
    /// # Errors
    /// [`ClientError`].
    pub fn rules(&self, enabled: Option<bool>) -> Result<Vec<RuleRow>, ClientError> {
        let mut query = Vec::new();
        query.extend(enabled.map(|enabled| ("enabled", bool_word(enabled))));
        self.wait_for(self.document(self.request(Method::GET, &["alerts", "rules", "list"], &query)))
    }

    /// A rule with its text.
    ///
    /// # Errors
    /// [`ClientError`].
    pub fn rule(&self, id: &str) -> Result<RuleDetail, ClientError> {
        self.wait_for(self.document(self.request(Method::GET, &["alerts", "rules", id], &[])))
    }

    /// Makes a rule, or puts a text in the place of one's own with this id.
    ///
    /// # Errors
    /// [`ClientError`].
    pub fn put_rule(&self, id: Option<&str>, text: RuleText<'_>, dry_run: bool) -> Result<RuleReport, ClientError> {
        let (method, path) = match id {
            None => (Method::POST, vec!["alerts", "rules"]),
            Some(id) => (Method::PUT, vec!["alerts", "rules", id]),
        };
        let (kind, body) = match text {
            RuleText::Yaml(text) => ("application/yaml", text),
            RuleText::Json(text) => ("application/json", text),
        };
        let request = self.request(method, &path, &[("dry_run", bool_word(dry_run))]);
        let request = request.header(reqwest::header::CONTENT_TYPE, kind).body(body.to_owned());
        self.wait_for(self.document(request))
    }

    /// Changes what a rule does.
    ///
    /// # Errors
    /// [`ClientError`].
    pub fn override_rule(&self, id: &str, change: &OverrideRequest, dry_run: bool) -> Result<RuleReport, ClientError> {
        self.change_rule(Method::PUT, id, Some(change), dry_run)
    }

    /// Removes a rule of one's own, or what was changed about another.
    ///
    /// # Errors
    /// [`ClientError`].
    pub fn delete_rule(&self, id: &str, dry_run: bool) -> Result<RuleReport, ClientError> {
        self.change_rule::<()>(Method::DELETE, id, None, dry_run)
    }

    fn change_rule<T: Serialize>(
        &self,
        method: Method,
        id: &str,
        change: Option<&T>,
        dry_run: bool,
    ) -> Result<RuleReport, ClientError> {
        let mut request = self.request(method, &["alerts", "rules", id], &[("dry_run", bool_word(dry_run))]);
        if let Some(change) = change {
            request = request.json(change);
        }
        self.wait_for(self.document(request))
    }
}
