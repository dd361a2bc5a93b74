//! Who sends most.
use std::time::{Duration, Instant};

use axum::Json;
use axum::extract::{Query, State};
use axum::http::StatusCode;
use serde::Deserialize;

use super::Api;
use super::error::ApiError;
use crate::domain::report::{TopBy, TopGroup, TopReport, TopRow};
use crate::domain::top;
use crate::domain::top::filter::Filter;
use crate::views::top::{Measured, report};

/// Time between the two measurements.
const MEASURED: Duration = Duration::from_millis(500);
/// Rows, unless asked for another number.
const ROWS: usize = 20;
/// Most rows.
const MOST_ROWS: usize = 10_000;

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct TopQuery {
    n: Option<usize>,
    #[serde(default)]
    by: TopBy,
    #[serde(default)]
    group: TopGroup,
    #[serde(default)]
    reversed: bool,
    #[serde(default)]
    filter: String,
}

/// The rows alone.
pub(super) async fn top(State(api): State<Api>, query: Query<TopQuery>) -> Result<Json<Vec<TopRow>>, ApiError> {
    Ok(Json(measure(api, query.0).await?.rows))
}

/// The rows, and what they were taken from.
pub(super) async fn live(State(api): State<Api>, query: Query<TopQuery>) -> Result<Json<TopReport>, ApiError> {
    Ok(Json(measure(api, query.0).await?))
}

async fn measure(api: Api, query: TopQuery) -> Result<TopReport, ApiError> {
    let query = top::Query {
        group: query.group,
        by: query.by,
        reversed: query.reversed,
        filter: Filter::of(&query.filter),
        limit: query.n.unwrap_or(ROWS).min(MOST_ROWS),
    };
    let counting = api.shared.read().settings.track_sources;
    let started = Instant::now();
    let before = Measured::now(&api.shared.reader);
    tokio::time::sleep(MEASURED).await;
    let seconds = started.elapsed().as_secs_f64();
    let after = Measured::now(&api.shared.reader);
    // Tens of thousands of sources are looked up, put together and sorted.
    let made =
        tokio::task::spawn_blocking(move || report(&before, &after, seconds, &query, counting, &api.shared.followed));
    made.await.map_err(|error| ApiError::new(StatusCode::INTERNAL_SERVER_ERROR, error.to_string()))
}
