//! Feeds.
use axum::Json;
use axum::extract::{ConnectInfo, Query, State};
use serde::Deserialize;

use super::Api;
use super::error::ApiError;
use super::socket::Peer;
use crate::domain::report::{FeedRow, RefreshReport};

pub(super) async fn list(State(api): State<Api>) -> Json<Vec<FeedRow>> {
    Json(api.shared.followed.feed_rows())
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct RefreshQuery {
    /// Names, separated by commas; absent: all.
    names: Option<String>,
    #[serde(default)]
    force: bool,
    #[serde(default)]
    dry_run: bool,
}

pub(super) async fn refresh(
    State(api): State<Api>,
    ConnectInfo(peer): ConnectInfo<Peer>,
    query: Query<RefreshQuery>,
) -> Result<Json<RefreshReport>, ApiError> {
    let names = query.names.as_deref().unwrap_or_default();
    let names: Vec<String> = names.split(',').filter(|name| !name.is_empty()).map(str::to_owned).collect();
    let report = api.feeds.refresh(names, query.force, query.dry_run, peer.actor()).await;
    report.map(Json).map_err(|error| ApiError::new(axum::http::StatusCode::NOT_FOUND, error.to_string()))
}
