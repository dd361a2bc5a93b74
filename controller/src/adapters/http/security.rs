//! The security view, and the lists by the names that other tools know them by.
use std::net::IpAddr;
use std::sync::Arc;

use axum::Json;
use axum::body::Bytes;
use axum::extract::{ConnectInfo, Path, Query, State};
use ipnet::IpNet;
use serde::Deserialize;
use tokio::task::spawn_blocking;
use utoipa::IntoParams;

use super::Api;
use super::cases::said;
use super::error::ApiError;
use super::lists::LONGEST_REASON;
use super::socket::Peer;
use crate::domain::decision::{Enforcement, Kind, Origin};
use crate::domain::prefixes::single;
use crate::domain::report::{ChangeReport, IpEntry, IpRequest, SecurityStatus, Threat};
use crate::sync::{Add, Command, Remove};
use crate::views;

pub(super) async fn status(State(api): State<Api>) -> Result<Json<SecurityStatus>, ApiError> {
    Ok(Json(spawn_blocking(move || views::security::status(&api.shared)).await?))
}

pub(super) async fn threat(State(api): State<Api>, Path(ip): Path<String>) -> Result<Json<Threat>, ApiError> {
    let address: IpAddr = ip.parse().map_err(|_error| ApiError::bad_request(format!("{ip:?} is not an address")))?;
    Ok(Json(spawn_blocking(move || views::security::threat(&api.shared, &api.policy, address)).await?))
}

pub(super) async fn allowed(State(api): State<Api>) -> Result<Json<Vec<IpEntry>>, ApiError> {
    entries(&api, Kind::Allow).await
}

pub(super) async fn denied(State(api): State<Api>) -> Result<Json<Vec<IpEntry>>, ApiError> {
    entries(&api, Kind::Deny).await
}

async fn entries(api: &Api, kind: Kind) -> Result<Json<Vec<IpEntry>>, ApiError> {
    let shared = api.shared.clone();
    let rows = spawn_blocking(move || views::entries(&shared, kind)).await?;
    let entry = |row: crate::domain::report::EntryRow| IpEntry {
        ip: row.prefix,
        reason: row.reason,
        origin: row.origin,
        added_at: row.added_at,
        expires_at: row.expires_at,
    };
    Ok(Json(rows.into_iter().map(entry).collect()))
}

type Changed = Result<Json<ChangeReport>, ApiError>;

#[derive(Default, Deserialize, IntoParams)]
#[serde(default, deny_unknown_fields)]
#[into_params(parameter_in = Query)]
pub(super) struct IpQuery {
    /// The address or prefix to remove, where the body does not say it.
    ip: Option<String>,
    /// Say what would change, change nothing.
    dry_run: bool,
}

fn prefix(text: &str) -> Result<IpNet, ApiError> {
    match (text.parse::<IpNet>(), text.parse()) {
        (Ok(prefix), _) => Ok(prefix.trunc()),
        (_, Ok(address)) => Ok(single(address)),
        (Err(_), Err(_)) => Err(ApiError::bad_request(format!("`ip` is {text:?}, which is no address and no prefix"))),
    }
}

async fn add(api: &Api, peer: &Peer, kind: Kind, query: &IpQuery, body: &[u8]) -> Changed {
    let request: IpRequest = said(body)?;
    if request.reason.len() > LONGEST_REASON {
        return Err(ApiError::bad_request(format!("`reason` is longer than {LONGEST_REASON} bytes")));
    }
    if request.ttl == Some(0) {
        return Err(ApiError::bad_request("`ttl` is 0; leave it out for an entry that never ends"));
    }
    let add = Add {
        kind,
        prefixes: vec![prefix(&request.ip)?],
        for_s: request.ttl,
        reason: Arc::from(request.reason.as_str()),
        origin: Origin::Operator,
        enforcement: Enforcement::Enforce,
        force: false,
        dry_run: query.dry_run,
    };
    Ok(Json(api.sync.ask(|reply| Command::Add(add, peer.actor(), reply)).await?))
}

async fn remove(api: &Api, peer: &Peer, kind: Kind, query: &IpQuery, body: &[u8]) -> Changed {
    let ip = match &query.ip {
        Some(ip) => ip.clone(),
        None => said::<IpRequest>(body)?.ip,
    };
    let remove = Remove { kind, prefixes: vec![prefix(&ip)?], origin: None, dry_run: query.dry_run };
    super::lists::removed(api, peer, remove).await
}

pub(super) async fn allow(
    State(api): State<Api>,
    ConnectInfo(peer): ConnectInfo<Peer>,
    query: Query<IpQuery>,
    body: Bytes,
) -> Changed {
    add(&api, &peer, Kind::Allow, &query, &body).await
}

pub(super) async fn disallow(
    State(api): State<Api>,
    ConnectInfo(peer): ConnectInfo<Peer>,
    query: Query<IpQuery>,
    body: Bytes,
) -> Changed {
    remove(&api, &peer, Kind::Allow, &query, &body).await
}

pub(super) async fn deny(
    State(api): State<Api>,
    ConnectInfo(peer): ConnectInfo<Peer>,
    query: Query<IpQuery>,
    body: Bytes,
) -> Changed {
    add(&api, &peer, Kind::Deny, &query, &body).await
}

pub(super) async fn lift(
    State(api): State<Api>,
    ConnectInfo(peer): ConnectInfo<Peer>,
    query: Query<IpQuery>,
    body: Bytes,
) -> Changed {
    remove(&api, &peer, Kind::Deny, &query, &body).await
}
