//! Settings and switches.
use std::sync::Arc;

use axum::Json;
use axum::extract::{ConnectInfo, Query, State};
use axum::http::StatusCode;
use serde::Deserialize;

use super::Api;
use super::error::ApiError;
use super::socket::Peer;
use crate::domain::decision::Enforcement;
use crate::domain::report::{ConfigReport, SwitchReport};
use crate::sync::Command;

/// Longest time a settings change may wait for its confirmation.
const LONGEST_CONFIRM: u64 = 86_400;

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Apply {
    confirm_s: Option<u64>,
    #[serde(default)]
    dry_run: bool,
}

pub(super) async fn reload(
    State(api): State<Api>,
    ConnectInfo(peer): ConnectInfo<Peer>,
    query: Query<Apply>,
) -> Result<Json<ConfigReport>, ApiError> {
    put(&api, &peer, None, query.dry_run).await
}

pub(super) async fn apply(
    State(api): State<Api>,
    ConnectInfo(peer): ConnectInfo<Peer>,
    query: Query<Apply>,
) -> Result<Json<ConfigReport>, ApiError> {
    if query.confirm_s.is_some_and(|seconds| !(1..=LONGEST_CONFIRM).contains(&seconds)) {
        return Err(ApiError::bad_request("the time to confirm in is 1 second to 1 day"));
    }
    put(&api, &peer, query.confirm_s, query.dry_run).await
}

async fn put(api: &Api, peer: &Peer, confirm_s: Option<u64>, dry_run: bool) -> Result<Json<ConfigReport>, ApiError> {
    let reload = Arc::clone(&api.reload);
    let settings = tokio::task::spawn_blocking(move || reload())
        .await?
        .map_err(|error| ApiError::new(StatusCode::UNPROCESSABLE_ENTITY, error))?;
    let actor = peer.actor();
    let report = api.sync.ask(|reply| Command::Apply(Arc::new(settings), confirm_s, dry_run, actor, reply)).await?;
    Ok(Json(report))
}

/// What `confirm` and `rollback` take.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Trial {
    #[serde(default)]
    dry_run: bool,
}

/// What confirming or rolling back would come to.
fn tried(api: &Api) -> ConfigReport {
    let state = api.shared.read();
    let pending = crate::sync::pending_row(&state);
    ConfigReport { changed: pending.is_some(), dry_run: true, generation: state.generation, pending, notes: Vec::new() }
}

pub(super) async fn confirm(
    State(api): State<Api>,
    ConnectInfo(peer): ConnectInfo<Peer>,
    query: Query<Trial>,
) -> Result<Json<ConfigReport>, ApiError> {
    if query.dry_run {
        return Ok(Json(tried(&api)));
    }
    Ok(Json(api.sync.ask(|reply| Command::Confirm(peer.actor(), reply)).await?))
}

pub(super) async fn rollback(
    State(api): State<Api>,
    ConnectInfo(peer): ConnectInfo<Peer>,
    query: Query<Trial>,
) -> Result<Json<ConfigReport>, ApiError> {
    if query.dry_run {
        return Ok(Json(tried(&api)));
    }
    Ok(Json(api.sync.ask(|reply| Command::Rollback(peer.actor(), reply)).await?))
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct EnforcementQuery {
    to: Enforcement,
    #[serde(default)]
    dry_run: bool,
}

pub(super) async fn enforcement(
    State(api): State<Api>,
    ConnectInfo(peer): ConnectInfo<Peer>,
    query: Query<EnforcementQuery>,
) -> Result<Json<SwitchReport>, ApiError> {
    if query.dry_run {
        let now = api.shared.read().enforcement();
        let state = if now == Enforcement::Enforce { "enforce" } else { "observe" };
        return Ok(Json(SwitchReport { changed: now != query.to, state: state.to_owned() }));
    }
    Ok(Json(api.sync.ask(|reply| Command::Enforcement(query.to, peer.actor(), reply)).await?))
}

#[derive(Deserialize)]
#[serde(rename_all = "lowercase")]
pub(super) enum OnOff {
    On,
    Off,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct BypassQuery {
    to: OnOff,
}

pub(super) async fn bypass(
    State(api): State<Api>,
    ConnectInfo(peer): ConnectInfo<Peer>,
    query: Query<BypassQuery>,
) -> Result<Json<SwitchReport>, ApiError> {
    let on = matches!(query.to, OnOff::On);
    Ok(Json(api.sync.ask(|reply| Command::Bypass(on, peer.actor(), reply)).await?))
}
