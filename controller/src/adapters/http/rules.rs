//! Rules and analyzers.
use axum::Json;
use axum::body::Bytes;
use axum::extract::{ConnectInfo, Path, Query, State};
use axum::http::{HeaderMap, StatusCode, header};
use serde::Deserialize;
use utoipa::IntoParams;

use super::Api;
use super::error::ApiError;
use super::query::Try;
use super::socket::Peer;
use crate::daemon::{RuleChange, RuleError, SubmitError};
use crate::domain::report::{AnalyzerRow, OverrideRequest, RuleDetail, RuleReport, RuleRow};

impl From<RuleError> for ApiError {
    fn from(error: RuleError) -> Self {
        let detail = error.to_string();
        match error {
            RuleError::Unknown(_) => Self::new(StatusCode::NOT_FOUND, detail),
            RuleError::Bad(_, rejects) => Self::bad_request(detail).rejects(rejects),
            RuleError::Exists(_) | RuleError::NotOwn(..) => Self::new(StatusCode::CONFLICT, detail),
            RuleError::TooMany(_) => Self::new(StatusCode::INSUFFICIENT_STORAGE, detail),
            RuleError::Sync(error) => error.into(),
        }
    }
}

impl From<SubmitError> for ApiError {
    fn from(error: SubmitError) -> Self {
        Self::new(StatusCode::SERVICE_UNAVAILABLE, error.to_string())
    }
}

#[derive(Deserialize, IntoParams)]
#[serde(deny_unknown_fields)]
#[into_params(parameter_in = Query)]
pub(super) struct ListQuery {
    /// Only those that are run, or only those that are not.
    enabled: Option<bool>,
}

pub(super) async fn analyzers(State(api): State<Api>) -> Json<Vec<AnalyzerRow>> {
    Json(api.detection.rules().analyzers())
}

pub(super) async fn list(State(api): State<Api>, query: Query<ListQuery>) -> Json<Vec<RuleRow>> {
    Json(api.detection.rules().list(query.enabled))
}

pub(super) async fn show(State(api): State<Api>, Path(id): Path<String>) -> Result<Json<RuleDetail>, ApiError> {
    Ok(Json(api.detection.rules().show(&id)?))
}

type Changed = Result<Json<RuleReport>, ApiError>;

async fn change(api: &Api, peer: &Peer, change: RuleChange, dry_run: bool) -> Changed {
    Ok(Json(api.detection.rules().change(change, dry_run, peer.actor()).await?))
}

/// A rule's text: JSON where it says so or looks so, else YAML.
fn text(headers: &HeaderMap, body: &[u8]) -> Result<(String, bool), ApiError> {
    let text =
        str::from_utf8(body).map_err(|error| ApiError::bad_request(format!("the rule is not UTF-8: {error}")))?;
    let kind = headers.get(header::CONTENT_TYPE).and_then(|kind| kind.to_str().ok()).unwrap_or_default();
    let is_json = kind.starts_with("application/json") || !kind.contains("yaml") && text.trim_start().starts_with('{');
    Ok((text.to_owned(), is_json))
}

pub(super) async fn create(
    State(api): State<Api>,
    ConnectInfo(peer): ConnectInfo<Peer>,
    query: Query<Try>,
    headers: HeaderMap,
    body: Bytes,
) -> Changed {
    let (text, is_json) = text(&headers, &body)?;
    change(&api, &peer, RuleChange::Text { id: None, text, is_json }, query.dry_run).await
}

/// Another text for a rule of one's own; or what any rule is to be otherwise.
pub(super) async fn update(
    State(api): State<Api>,
    ConnectInfo(peer): ConnectInfo<Peer>,
    Path(id): Path<String>,
    query: Query<Try>,
    headers: HeaderMap,
    body: Bytes,
) -> Changed {
    let (text, is_json) = text(&headers, &body)?;
    let is_text =
        |value: &serde_json::Value| ["yaml", "conditions", "analyzer"].iter().any(|key| value.get(key).is_some());
    if is_json && serde_json::from_str(&text).is_ok_and(|value| !is_text(&value)) {
        let request: OverrideRequest = serde_json::from_str(&text).map_err(|error| {
            ApiError::bad_request(format!(
                "{error}; a change says enabled, severity, threshold, within_s or response; a text replaces a rule of one's own"
            ))
        })?;
        return change(&api, &peer, RuleChange::Override(id, request), query.dry_run).await;
    }
    change(&api, &peer, RuleChange::Text { id: Some(id), text, is_json }, query.dry_run).await
}

pub(super) async fn delete(
    State(api): State<Api>,
    ConnectInfo(peer): ConnectInfo<Peer>,
    Path(id): Path<String>,
    query: Query<Try>,
) -> Changed {
    change(&api, &peer, RuleChange::Delete(id), query.dry_run).await
}
