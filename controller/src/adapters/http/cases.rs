//! Alerts as people change them, datasets, hunts, and analyses of the past.
use axum::Json;
use axum::body::Bytes;
use axum::extract::{ConnectInfo, Path, Query, State};
use axum::http::StatusCode;
use serde::Serialize;
use serde::de::DeserializeOwned;

use super::Api;
use super::alerts::{alert_id, ask};
use super::error::ApiError;
use super::query::Try;
use super::socket::Peer;
use crate::adapters::store::{CaseError, EventReader};
use crate::daemon::CaseFault;
use crate::domain::http::alert::{Alert, AlertUpdate, TriageError};
use crate::domain::http::dataset::{Dataset, DatasetRequest, Hunt, HuntRequest};
use crate::domain::report::{
    AlertRequest, AnalysisReport, AnalyzeRequest, BulkReport, BulkUpdate, SwitchReport, UpdateReport,
};

impl From<CaseFault> for ApiError {
    fn from(error: CaseFault) -> Self {
        let detail = error.to_string();
        let status = match error {
            CaseFault::Bad(_) => StatusCode::BAD_REQUEST,
            CaseFault::Missing(_) => StatusCode::NOT_FOUND,
            CaseFault::Conflict(_) => StatusCode::CONFLICT,
            CaseFault::Busy | CaseFault::Closed(_) => StatusCode::SERVICE_UNAVAILABLE,
            CaseFault::Case(error) => match error {
                CaseError::NoAlert(_) | CaseError::NoDataset(_) | CaseError::NoHunt(_) => StatusCode::NOT_FOUND,
                CaseError::Triage(_, TriageError::Transition { .. }) => StatusCode::CONFLICT,
                CaseError::Triage(..) => StatusCode::BAD_REQUEST,
                CaseError::TooMany(_) => StatusCode::INSUFFICIENT_STORAGE,
                CaseError::Store(_) => StatusCode::INTERNAL_SERVER_ERROR,
            },
            CaseFault::Sync(error) => return error.into(),
            CaseFault::Failed(_) => StatusCode::INTERNAL_SERVER_ERROR,
        };
        Self::new(status, detail)
    }
}

/// What a body says.
pub(super) fn said<T: DeserializeOwned>(body: &[u8]) -> Result<T, ApiError> {
    serde_json::from_slice(body)
        .map_err(|error| ApiError::bad_request(format!("the request is not understood: {error}")))
}

/// Something that was made.
type Made<T> = Result<(StatusCode, Json<T>), ApiError>;

fn made<T: Serialize>(value: T, dry_run: bool) -> (StatusCode, Json<T>) {
    (if dry_run { StatusCode::OK } else { StatusCode::CREATED }, Json(value))
}

pub(super) async fn create(
    State(api): State<Api>,
    ConnectInfo(peer): ConnectInfo<Peer>,
    query: Query<Try>,
    body: Bytes,
) -> Made<Alert> {
    let request: AlertRequest = said(&body)?;
    Ok(made(api.cases.create(request, peer.actor(), query.dry_run).await?, query.dry_run))
}

pub(super) async fn update(
    State(api): State<Api>,
    ConnectInfo(peer): ConnectInfo<Peer>,
    Path(id): Path<String>,
    query: Query<Try>,
    body: Bytes,
) -> Result<Json<UpdateReport>, ApiError> {
    let (id, update): (_, AlertUpdate) = (alert_id(&id)?, said(&body)?);
    Ok(Json(api.cases.update(id, update, peer.actor(), query.dry_run).await?))
}

pub(super) async fn bulk_update(
    State(api): State<Api>,
    ConnectInfo(peer): ConnectInfo<Peer>,
    query: Query<Try>,
    body: Bytes,
) -> Result<Json<BulkReport>, ApiError> {
    let bulk: BulkUpdate = said(&body)?;
    Ok(Json(api.cases.bulk_update(bulk, peer.actor(), query.dry_run).await?))
}

fn gone(what: &str) -> Json<SwitchReport> {
    Json(SwitchReport { changed: true, state: format!("{what} deleted") })
}

pub(super) async fn delete(
    State(api): State<Api>,
    ConnectInfo(peer): ConnectInfo<Peer>,
    Path(id): Path<String>,
    query: Query<Try>,
) -> Result<Json<SwitchReport>, ApiError> {
    let alert = api.cases.delete(alert_id(&id)?, peer.actor(), query.dry_run).await?;
    Ok(gone(&format!("alert {}", alert.id)))
}

pub(super) async fn analyze(
    State(api): State<Api>,
    ConnectInfo(peer): ConnectInfo<Peer>,
    body: Bytes,
) -> Result<Json<AnalysisReport>, ApiError> {
    let request: AnalyzeRequest = said(&body)?;
    Ok(Json(api.cases.analyze(request, peer.actor()).await?))
}

pub(super) async fn datasets(State(api): State<Api>) -> Result<Json<Vec<Dataset>>, ApiError> {
    ask(&api, EventReader::datasets).await.map(Json)
}

pub(super) async fn add_dataset(
    State(api): State<Api>,
    ConnectInfo(peer): ConnectInfo<Peer>,
    query: Query<Try>,
    body: Bytes,
) -> Made<Dataset> {
    let request: DatasetRequest = said(&body)?;
    Ok(made(api.cases.add_dataset(request, peer.actor(), query.dry_run).await?, query.dry_run))
}

pub(super) async fn delete_dataset(
    State(api): State<Api>,
    ConnectInfo(peer): ConnectInfo<Peer>,
    Path(id): Path<String>,
    query: Query<Try>,
) -> Result<Json<SwitchReport>, ApiError> {
    let dataset = api.cases.delete_dataset(id, peer.actor(), query.dry_run).await?;
    Ok(gone(&format!("dataset {}", dataset.name)))
}

pub(super) async fn hunts(State(api): State<Api>) -> Result<Json<Vec<Hunt>>, ApiError> {
    ask(&api, EventReader::hunts).await.map(Json)
}

pub(super) async fn add_hunt(
    State(api): State<Api>,
    ConnectInfo(peer): ConnectInfo<Peer>,
    query: Query<Try>,
    body: Bytes,
) -> Made<Hunt> {
    let request: HuntRequest = said(&body)?;
    Ok(made(api.cases.add_hunt(request, peer.actor(), query.dry_run).await?, query.dry_run))
}

pub(super) async fn delete_hunt(
    State(api): State<Api>,
    ConnectInfo(peer): ConnectInfo<Peer>,
    Path(id): Path<String>,
    query: Query<Try>,
) -> Result<Json<SwitchReport>, ApiError> {
    let hunt = api.cases.delete_hunt(id, peer.actor(), query.dry_run).await?;
    Ok(gone(&format!("hunt {}", hunt.name)))
}
