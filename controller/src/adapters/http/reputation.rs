//! The ledger of sources.
use std::net::IpAddr;

use axum::Json;
use axum::extract::{ConnectInfo, Path, Query, State};
use ipnet::IpNet;
use serde::Deserialize;
use serde_json::json;
use utoipa::IntoParams;

use super::Api;
use super::error::ApiError;
use super::query::{self, Try};
use super::socket::Peer;
use crate::domain::http::source;
use crate::domain::report::{ReputationRow, ResetReport, SourceList};
use crate::views;

#[derive(Deserialize, IntoParams)]
#[serde(deny_unknown_fields)]
#[into_params(parameter_in = Query)]
pub(super) struct ListQuery {
    /// How many, at the most.
    #[param(minimum = 1, maximum = 500, default = 100)]
    limit: Option<usize>,
    /// How many to leave out before them.
    #[serde(default)]
    offset: usize,
}

pub(super) async fn list(State(api): State<Api>, query: Query<ListQuery>) -> Result<Json<SourceList>, ApiError> {
    let (sources, total) = views::reputation::worst(&api.shared, query::limit(query.limit)?, query.offset);
    Ok(Json(SourceList { sources, total }))
}

fn address(text: &str) -> Result<IpAddr, ApiError> {
    text.parse().map_err(|_error| ApiError::bad_request(format!("{text:?} is not an address")))
}

pub(super) async fn show(State(api): State<Api>, Path(text): Path<String>) -> Result<Json<ReputationRow>, ApiError> {
    let assessment = views::reputation::assess(&api.shared, address(&text)?);
    // Of whom nothing is known, nothing bad is.
    let nothing = ReputationRow { score: 0, sum: 0.0, evidence: Vec::new() };
    Ok(Json(views::reputation::row(&assessment).unwrap_or(nothing)))
}

pub(super) async fn reset(
    State(api): State<Api>,
    ConnectInfo(peer): ConnectInfo<Peer>,
    Path(text): Path<String>,
    query: Query<Try>,
) -> Result<Json<ResetReport>, ApiError> {
    let prefix = source::prefix(address(&text)?);
    let cleared = api.reputation.reset(prefix, query.dry_run).await?;
    let lifted: Vec<String> = cleared.lifted.iter().map(IpNet::to_string).collect();
    if cleared.changed && !query.dry_run {
        api.sync.note(&peer.actor(), "reputation reset", &prefix.to_string(), json!({"lifted": lifted})).await?;
    }
    Ok(Json(ResetReport { changed: cleared.changed, dry_run: query.dry_run, lifted }))
}
