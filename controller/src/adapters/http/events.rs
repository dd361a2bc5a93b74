//! Events that applications send.
use axum::Json;
use axum::body::Bytes;
use axum::extract::State;
use axum::http::StatusCode;

use super::Api;
use super::error::ApiError;
use crate::adapters::clock;
use crate::domain::http::submitted::{self, RejectedRow, SubmitReport};

/// Rejected events that are named.
const SHOWN: usize = 1_000;

pub(super) async fn submit(State(api): State<Api>, body: Bytes) -> Result<Json<SubmitReport>, ApiError> {
    if !api.shared.read().settled.detection.events.application {
        let why = "events of applications are not taken here; `application = true` under [events] takes them";
        return Err(ApiError::new(StatusCode::CONFLICT, why));
    }
    let now = clock::now().wall;
    let read = tokio::task::spawn_blocking(move || submitted::read(&body, now)).await?;
    let submitted = read.map_err(|error| ApiError::bad_request(error.to_string()))?;
    let first = submitted.rejected.first().map(|rejected| rejected.why.clone());
    let report = SubmitReport {
        accepted: submitted.events.len() as u64,
        rejected: submitted
            .rejected
            .iter()
            .take(SHOWN)
            .map(|rejected| RejectedRow { index: rejected.index, why: rejected.why.clone() })
            .collect(),
    };
    let is_single = submitted.is_single;
    api.detection.submit(submitted)?;
    match first {
        // Whoever sends one event wants to know at once.
        Some(why) if is_single => Err(ApiError::bad_request(why)),
        _ => Ok(Json(report)),
    }
}
