//! Alerts, and users that are denied.
use axum::Json;
use axum::extract::{ConnectInfo, Path, Query, State};
use axum::http::StatusCode;
use jiff::{SignedDuration, Timestamp};
use serde::Deserialize;
use utoipa::IntoParams;

use super::Api;
use super::error::ApiError;
use super::query::{self, Try};
use super::socket::Peer;
use crate::adapters::clock;
use crate::adapters::store::{EventReader, StoreError};
use crate::domain::duration;
use crate::domain::http::alert::{Alert, AlertId, Status};
use crate::domain::http::severity::Severity;
use crate::domain::privacy::is_name;
use crate::domain::report::{AlertFilter, AlertList, AlertStats, DeniedUserRow, SwitchReport};

#[derive(Debug, Default, Deserialize, IntoParams)]
#[serde(deny_unknown_fields)]
#[into_params(parameter_in = Query)]
pub(super) struct AlertsQuery {
    /// How far people are with them.
    #[param(value_type = Option<Status>)]
    status: Option<String>,
    /// Exactly as bad.
    #[param(value_type = Option<Severity>)]
    severity: Option<String>,
    /// As bad or worse.
    #[param(value_type = Option<Severity>)]
    min_severity: Option<String>,
    /// Who found them: an analyzer, or `rules`, or a rule's id.
    analyzer: Option<String>,
    /// Whose doing: an address, or the name that is kept of one.
    #[param(example = "192.0.2.1")]
    source: Option<String>,
    /// Whose doing, or whose account.
    user: Option<String>,
    /// The hunt they belong to.
    hunt_id: Option<String>,
    /// The dataset they were found in.
    dataset_id: Option<String>,
    /// Last seen then or later: a moment, or how long ago it was (`2026-11-28T12:00:00Z`, `24h`, `7d`).
    #[param(example = "24h")]
    since: Option<String>,
    /// How many, at the most.
    #[param(minimum = 1, maximum = 500, default = 100)]
    limit: Option<usize>,
    /// How many to leave out before them.
    #[serde(default)]
    offset: u64,
}

impl AlertsQuery {
    fn filter(&self, now: Timestamp) -> Result<AlertFilter, ApiError> {
        let source = self.source.as_deref().map(|text| {
            // Where addresses are hashed, the name that is kept is as good.
            if is_name(text) {
                return Ok(text.to_owned());
            }
            // As alerts have it.
            let address = text.parse::<std::net::IpAddr>();
            address
                .map(|address| address.to_canonical().to_string())
                .map_err(|_error| ApiError::bad_request(format!("{text:?} is not an address")))
        });
        Ok(AlertFilter {
            status: word(self.status.as_deref())?,
            severity: word(self.severity.as_deref())?,
            min_severity: word(self.min_severity.as_deref())?,
            analyzer: self.analyzer.clone(),
            source: source.transpose()?,
            user: self.user.clone(),
            hunt_id: self.hunt_id.clone(),
            dataset_id: self.dataset_id.clone(),
            since: self.since.as_deref().map(|text| moment(text, now)).transpose()?,
        })
    }
}

/// One of a set of words.
pub(super) fn word<T: std::str::FromStr<Err: std::fmt::Display>>(text: Option<&str>) -> Result<Option<T>, ApiError> {
    text.map(str::parse).transpose().map_err(|error: T::Err| ApiError::bad_request(error.to_string()))
}

/// A moment, or how long ago it was.
pub(super) fn moment(text: &str, now: Timestamp) -> Result<Timestamp, ApiError> {
    if let Ok(at) = text.parse() {
        return Ok(at);
    }
    let Ok(seconds) = duration::parse(text) else {
        return Err(ApiError::bad_request(format!(
            "{text:?} is neither a moment, as in 2026-11-28T12:00:00Z, nor a time until now, as in 24h or 7d"
        )));
    };
    let span = SignedDuration::from_secs(i64::try_from(seconds).unwrap_or(i64::MAX));
    Ok(now.checked_sub(span).unwrap_or(Timestamp::MIN))
}

/// Asks the alerts, where they can be asked.
pub(super) async fn ask<T: Send + 'static>(
    api: &Api,
    question: impl FnOnce(&EventReader) -> Result<T, StoreError> + Send + 'static,
) -> Result<T, ApiError> {
    if api.shared.detected.alerts().is_none() {
        // Asked for the first time, it is made. Why it could not be opened is told below, as it is everywhere else.
        let _closed = api.keeper.ask(|_| Ok::<_, StoreError>(())).await;
    }
    let Some(reader) = api.shared.detected.alerts() else {
        let why = "the alerts' database is not open; `weir status` says why, if it stays so";
        return Err(ApiError::new(StatusCode::SERVICE_UNAVAILABLE, why));
    };
    let answer = tokio::task::spawn_blocking(move || question(&reader)).await?;
    answer.map_err(|error| ApiError::new(StatusCode::INTERNAL_SERVER_ERROR, error.to_string()))
}

pub(super) async fn list(State(api): State<Api>, query: Query<AlertsQuery>) -> Result<Json<AlertList>, ApiError> {
    let (filter, limit, offset) = (query.filter(clock::now().wall)?, query::limit(query.limit)?, query.offset);
    ask(&api, move |alerts| alerts.list(&filter, limit, offset)).await.map(Json)
}

pub(super) async fn stats(State(api): State<Api>) -> Result<Json<AlertStats>, ApiError> {
    ask(&api, EventReader::stats).await.map(Json)
}

/// What is no id is the id of no alert.
pub(super) fn alert_id(text: &str) -> Result<AlertId, ApiError> {
    text.parse().map_err(|error| ApiError::new(StatusCode::NOT_FOUND, format!("{error}")))
}

pub(super) async fn show(State(api): State<Api>, Path(id): Path<String>) -> Result<Json<Alert>, ApiError> {
    let id = alert_id(&id)?;
    let found = ask(&api, move |alerts| alerts.get(id)).await?;
    let missing = || ApiError::new(StatusCode::NOT_FOUND, format!("there is no alert {id}; it may be past its time"));
    found.map(Json).ok_or_else(missing)
}

pub(super) async fn users(State(api): State<Api>) -> Json<Vec<DeniedUserRow>> {
    Json(api.shared.detected.user_rows())
}

/// Lets a user in again.
pub(super) async fn lift(
    State(api): State<Api>,
    ConnectInfo(peer): ConnectInfo<Peer>,
    Path(user): Path<String>,
    query: Query<Try>,
) -> Result<Json<SwitchReport>, ApiError> {
    let changed = if query.dry_run {
        api.shared.detected.user_rows().iter().any(|row| row.user == user)
    } else {
        api.detection.lift(user, peer.actor()).await?
    };
    Ok(Json(SwitchReport { changed, state: "not denied".to_owned() }))
}
