//! Entries of deny and allow lists.
use std::sync::Arc;

use axum::Json;
use axum::body::Bytes;
use axum::extract::{ConnectInfo, State};
use axum::response::{IntoResponse as _, Response};
use ipnet::IpNet;

use super::Api;
use super::error::ApiError;
use super::socket::Peer;
use crate::domain::decision::{Enforcement, Kind, Origin};
use crate::domain::prefixes::single;
use crate::domain::report::{ChangeReport, ChangeRequest, EntryRow};
use crate::sync::{Add, Command, Remove};
use crate::views;

/// Most prefixes in one request; more are a list, to be imported.
const MOST_PREFIXES: usize = 10_000;
/// Longest reason, in bytes.
pub(super) const LONGEST_REASON: usize = 500;

pub(super) async fn list_block(State(api): State<Api>) -> Response {
    list(&api, Kind::Deny).await
}

pub(super) async fn list_allow(State(api): State<Api>) -> Response {
    list(&api, Kind::Allow).await
}

async fn list(api: &Api, kind: Kind) -> Response {
    let shared = api.shared.clone();
    match tokio::task::spawn_blocking(move || views::entries(&shared, kind)).await {
        Ok(rows) => Json::<Vec<EntryRow>>(rows).into_response(),
        Err(error) => ApiError::from(error).into_response(),
    }
}

type Changed = Result<Json<ChangeReport>, ApiError>;

pub(super) async fn add_block(State(api): State<Api>, ConnectInfo(peer): ConnectInfo<Peer>, body: Bytes) -> Changed {
    add(&api, &peer, Kind::Deny, &body).await
}

pub(super) async fn add_allow(State(api): State<Api>, ConnectInfo(peer): ConnectInfo<Peer>, body: Bytes) -> Changed {
    add(&api, &peer, Kind::Allow, &body).await
}

async fn add(api: &Api, peer: &Peer, kind: Kind, body: &[u8]) -> Changed {
    let request = request(body)?;
    if request.reason.len() > LONGEST_REASON {
        return Err(ApiError::bad_request(format!("the reason is longer than {LONGEST_REASON} bytes")));
    }
    if kind == Kind::Allow && request.observe {
        return Err(ApiError::bad_request("an allow entry cannot be observed: it either lets through or it does not"));
    }
    let add = Add {
        kind,
        prefixes: prefixes(&request.prefixes)?,
        for_s: request.for_s,
        reason: Arc::from(request.reason.as_str()),
        origin: origin(request.origin.as_deref())?.unwrap_or(Origin::Operator),
        enforcement: if request.observe { Enforcement::Observe } else { Enforcement::Enforce },
        force: request.force,
        dry_run: request.dry_run,
    };
    Ok(Json(api.sync.ask(|reply| Command::Add(add, peer.actor(), reply)).await?))
}

pub(super) async fn remove_block(State(api): State<Api>, ConnectInfo(peer): ConnectInfo<Peer>, body: Bytes) -> Changed {
    remove(&api, &peer, Kind::Deny, &body).await
}

pub(super) async fn remove_allow(State(api): State<Api>, ConnectInfo(peer): ConnectInfo<Peer>, body: Bytes) -> Changed {
    remove(&api, &peer, Kind::Allow, &body).await
}

async fn remove(api: &Api, peer: &Peer, kind: Kind, body: &[u8]) -> Changed {
    let request = request(body)?;
    let remove = Remove {
        kind,
        prefixes: prefixes(&request.prefixes)?,
        origin: origin(request.origin.as_deref())?,
        dry_run: request.dry_run,
    };
    removed(api, peer, remove).await
}

/// Removes entries, and has nobody put back what they were for.
pub(super) async fn removed(api: &Api, peer: &Peer, remove: Remove) -> Changed {
    let is_meant = remove.kind == Kind::Deny && remove.origin.is_none() && !remove.dry_run;
    let prefixes = remove.prefixes.clone();
    let report = api.sync.ask(|reply| Command::Remove(remove, peer.actor(), reply)).await?;
    if is_meant && report.changed {
        api.cases.lifted_by_hand(&prefixes).await?;
    }
    Ok(Json(report))
}

fn request(body: &[u8]) -> Result<ChangeRequest, ApiError> {
    serde_json::from_slice(body)
        .map_err(|error| ApiError::bad_request(format!("the request is not understood: {error}")))
}

fn origin(name: Option<&str>) -> Result<Option<Origin>, ApiError> {
    name.map(str::parse)
        .transpose()
        .map_err(|error: crate::domain::decision::OriginError| ApiError::bad_request(error.to_string()))
}

fn prefixes(texts: &[String]) -> Result<Vec<IpNet>, ApiError> {
    if texts.is_empty() {
        return Err(ApiError::bad_request("no prefix is named"));
    }
    if texts.len() > MOST_PREFIXES {
        return Err(ApiError::bad_request(format!(
            "{} prefixes in one request, {MOST_PREFIXES} are the most; import them as a list",
            texts.len()
        )));
    }
    let mut parsed: Vec<IpNet> = Vec::with_capacity(texts.len());
    for text in texts {
        let prefix = match (text.parse::<IpNet>(), text.parse()) {
            (Ok(prefix), _) => prefix.trunc(),
            (_, Ok(address)) => single(address),
            (Err(_), Err(_)) => {
                return Err(ApiError::bad_request(format!("{text:?} is not an address or a prefix")));
            }
        };
        if !parsed.contains(&prefix) {
            parsed.push(prefix);
        }
    }
    Ok(parsed)
}
