//! What changes nothing.
use std::net::IpAddr;

use axum::Json;
use axum::extract::{Path, Query, State};
use axum::http::{StatusCode, header};
use axum::response::{IntoResponse, Response};
use serde::Deserialize;

use super::Api;
use super::error::ApiError;
use crate::adapters::metrics as prometheus;
use crate::domain::report::{Explain, OffenderRow, SettingRow, Status};
use crate::views;

pub(super) async fn status(State(api): State<Api>) -> Json<Status> {
    Json(views::status(&api.shared))
}

/// Most rows of offenders.
const MOST_ROWS: usize = 10_000;

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct OffendersQuery {
    n: Option<usize>,
}

pub(super) async fn offenders(
    State(api): State<Api>,
    query: Query<OffendersQuery>,
) -> Result<Json<Vec<OffenderRow>>, ApiError> {
    let most = query.n.unwrap_or(20).min(MOST_ROWS);
    let rows = views::offenders::all(&api.shared, &api.policy, most);
    rows.map(Json).map_err(|error| {
        ApiError::new(StatusCode::INTERNAL_SERVER_ERROR, format!("read those that came near a limit: {error}"))
    })
}

pub(super) async fn explain(State(api): State<Api>, Path(address): Path<String>) -> Result<Json<Explain>, ApiError> {
    let Ok(address) = address.parse::<IpAddr>() else {
        return Err(ApiError::bad_request(format!("{address:?} is not an address; explain takes one, not a prefix")));
    };
    Ok(Json(tokio::task::spawn_blocking(move || views::explain(&api.shared, &api.policy, address)).await?))
}

pub(super) async fn config(State(api): State<Api>) -> Json<Vec<SettingRow>> {
    Json(api.shared.read().settings.rows.clone())
}

pub(super) async fn metrics(State(api): State<Api>) -> Result<impl IntoResponse, ApiError> {
    let text = tokio::task::spawn_blocking(move || scraped(&api)).await?;
    Ok(([(header::CONTENT_TYPE, "text/plain; version=0.0.4; charset=utf-8")], text))
}

/// The metrics, as they are scraped.
fn scraped(api: &Api) -> String {
    let counters = api.shared.reader.counters();
    let detected = &api.shared.detected;
    let kept = prometheus::Kept {
        events: detected.tally().len(),
        events_left_out: detected.events_left_out(),
        sources: detected.ledger().len(),
        not_weighed: detected.not_weighed(),
        threat: views::audit::threat_level(&api.shared),
        offenders_full: counters.offenders_full,
    };
    prometheus::render(&views::status(&api.shared), &kept, counters.samples, counters.samples_lost)
}

/// Whether the daemon answers at all.
pub(super) async fn healthz() -> &'static str {
    "ok\n"
}

/// Whether it protects what it should: 503 with the reasons otherwise.
pub(super) async fn readyz(State(api): State<Api>) -> Response {
    let health = views::status(&api.shared).health;
    if health.ok {
        return "ok\n".into_response();
    }
    (StatusCode::SERVICE_UNAVAILABLE, health.problems.join("\n") + "\n").into_response()
}
