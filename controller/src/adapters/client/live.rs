//! What a live view asks, side by side and without waiting.
use std::net::IpAddr;
use std::time::Duration;

use reqwest::Method;

use super::{Client, ClientError, list};
use crate::domain::decision::Kind;
use crate::domain::report::{ChangeReport, ChangeRequest, Explain, Status, TopBy, TopGroup, TopReport, TopRow};

/// How long an answer may take that is asked for anew each second.
const LIVE: Duration = Duration::from_secs(5);

/// Which rows of `top` are wanted.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct TopRequest {
    /// Most rows.
    pub n: u32,
    /// What they are sorted by.
    pub by: TopBy,
    /// Whether the other way around.
    pub reversed: bool,
    /// What a row is.
    pub group: TopGroup,
    /// Which sources count, as people write it; empty: all.
    pub filter: String,
}

impl TopRequest {
    /// What is as usual is not said.
    fn query<'a>(&'a self, n: &'a str) -> Vec<(&'static str, &'a str)> {
        let mut query = vec![("n", n), ("by", self.by.name())];
        query.extend((self.group != TopGroup::Source).then(|| ("group", self.group.name())));
        query.extend(self.reversed.then_some(("reversed", "true")));
        query.extend((!self.filter.is_empty()).then_some(("filter", self.filter.as_str())));
        query
    }
}

impl Client {
    /// The rows of `top`.
    ///
    /// # Errors
    /// [`ClientError`], as for all requests.
    pub async fn top_rows(&self, request: &TopRequest) -> Result<Vec<TopRow>, ClientError> {
        self.document(self.request(Method::GET, &["top"], &request.query(&request.n.to_string()))).await
    }

    /// The rows of `top`, and what they were taken from.
    ///
    /// # Errors
    /// [`ClientError`].
    pub async fn top_live(&self, request: &TopRequest) -> Result<TopReport, ClientError> {
        let query = request.n.to_string();
        let request = self.request(Method::GET, &["top", "live"], &request.query(&query)).timeout(LIVE);
        self.document_within(request, LIVE).await
    }

    /// As [`Client::status`], within a few seconds.
    ///
    /// # Errors
    /// [`ClientError`].
    pub async fn status_live(&self) -> Result<Status, ClientError> {
        self.document_within(self.request(Method::GET, &["status"], &[]).timeout(LIVE), LIVE).await
    }

    /// As [`Client::explain`].
    ///
    /// # Errors
    /// [`ClientError`].
    pub async fn explain_live(&self, address: IpAddr) -> Result<Explain, ClientError> {
        self.document(self.request(Method::GET, &["explain", &address.to_string()], &[])).await
    }

    /// As [`Client::add`].
    ///
    /// # Errors
    /// [`ClientError`].
    pub async fn add_live(&self, kind: Kind, change: &ChangeRequest) -> Result<ChangeReport, ClientError> {
        self.document(self.request(Method::POST, &[list(kind)], &[]).json(change)).await
    }

    /// As [`Client::remove`].
    ///
    /// # Errors
    /// [`ClientError`].
    pub async fn remove_live(&self, kind: Kind, change: &ChangeRequest) -> Result<ChangeReport, ClientError> {
        self.document(self.request(Method::DELETE, &[list(kind)], &[]).json(change)).await
    }
}
