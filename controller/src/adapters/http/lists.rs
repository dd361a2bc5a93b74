//! Deny and allow lists.
use std::sync::Arc;

use axum::Json;
use axum::body::{Body, Bytes};
use axum::extract::{ConnectInfo, Query, State};
use axum::http::{StatusCode, header};
use axum::response::{IntoResponse as _, Response};
use ipnet::IpNet;
use serde::Deserialize;

use super::Api;
use super::error::ApiError;
use super::socket::Peer;
use crate::domain::decision::{Enforcement, Kind, Origin};
use crate::domain::listfile::{self, Format};
use crate::domain::prefixes::{Prefixes, single};
use crate::domain::report::{ChangeReport, ChangeRequest, EntryRow, ImportReport, RejectRow};
use crate::sync::{Add, Command, Import, Remove};
use crate::views;

/// Most prefixes in one request; more are a list, to be imported.
const MOST_PREFIXES: usize = 10_000;
/// Longest reason, in bytes.
const LONGEST_REASON: usize = 500;
/// Refused lines that are shown.
const SHOWN_REJECTS: usize = 20;

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
        Err(error) => ApiError::new(StatusCode::INTERNAL_SERVER_ERROR, error.to_string()).into_response(),
    }
}

pub(super) async fn export_block(State(api): State<Api>) -> Response {
    export(&api, Kind::Deny)
}

pub(super) async fn export_allow(State(api): State<Api>) -> Response {
    export(&api, Kind::Allow)
}

/// One prefix a line: what `import` reads.
fn export(api: &Api, kind: Kind) -> Response {
    let mut text = String::new();
    let state = api.shared.read();
    for list in state.desired.lists().filter(|list| list.kind == kind) {
        for prefix in list.entries.keys().copied().chain(list.imported.iter()) {
            text.push_str(&crate::domain::guard::bare(prefix));
            text.push('\n');
        }
    }
    drop(state);
    ([(header::CONTENT_TYPE, "text/plain; charset=utf-8")], Body::from(text)).into_response()
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
    Ok(Json(api.sync.ask(|reply| Command::Remove(remove, peer.actor(), reply)).await?))
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

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct ImportQuery {
    name: String,
    format: Option<String>,
    #[serde(default)]
    skip_bad: bool,
    #[serde(default)]
    dry_run: bool,
}

type ImportAnswer = Result<Json<ImportReport>, ApiError>;

pub(super) async fn import_block(
    State(api): State<Api>,
    ConnectInfo(peer): ConnectInfo<Peer>,
    query: Query<ImportQuery>,
    body: Bytes,
) -> ImportAnswer {
    import(&api, &peer, Kind::Deny, query.0, body).await
}

pub(super) async fn import_allow(
    State(api): State<Api>,
    ConnectInfo(peer): ConnectInfo<Peer>,
    query: Query<ImportQuery>,
    body: Bytes,
) -> ImportAnswer {
    import(&api, &peer, Kind::Allow, query.0, body).await
}

/// A list, checked line by line: one bad line refuses the whole unless they are to be skipped.
async fn import(api: &Api, peer: &Peer, kind: Kind, query: ImportQuery, body: Bytes) -> ImportAnswer {
    let format: Format = match query.format.as_deref() {
        None => Format::Auto,
        Some(name) => {
            name.parse().map_err(|error: listfile::UnknownFormat| ApiError::bad_request(error.to_string()))?
        }
    };
    let guards = api.shared.read().guards.clone();
    let read = tokio::task::spawn_blocking(move || {
        let admit = |prefix| guards.admit(prefix, kind, &Origin::Operator, false);
        let parsed = listfile::parse_admitted(&body, format, admit);
        drop(body);
        let rejects: Vec<RejectRow> = parsed
            .rejects
            .iter()
            .take(SHOWN_REJECTS)
            .map(|reject| RejectRow { line: reject.line as u64, text: reject.text.clone(), why: reject.why.clone() })
            .collect();
        (parsed.format, parsed.lines, Prefixes::new(parsed.entries), parsed.rejected, rejects)
    });
    let (format, lines, prefixes, rejected, rejects) =
        read.await.map_err(|error| ApiError::new(StatusCode::INTERNAL_SERVER_ERROR, error.to_string()))?;
    if rejected > 0 && !query.skip_bad {
        let first = rejects.first().map(|reject| format!(": line {}: {:?}: {}", reject.line, reject.text, reject.why));
        let detail = format!(
            "{rejected} of {lines} lines are refused{}; nothing was imported; --skip-bad takes the rest",
            first.unwrap_or_default()
        );
        return Err(ApiError::new(StatusCode::UNPROCESSABLE_ENTITY, detail).rejects(rejects));
    }
    let accepted = prefixes.len() as u64;
    let addresses_v4 = prefixes.v4().iter().map(|net| 1u64 << (32 - net.prefix_len())).sum();
    let (name, dry_run) = (query.name, query.dry_run);
    let import = Import { kind, name: name.clone(), prefixes, dry_run };
    let imported = api.sync.ask(|reply| Command::Import(import, peer.actor(), reply)).await?;
    Ok(Json(ImportReport {
        list: name,
        format: format.name().to_owned(),
        lines: lines as u64,
        accepted,
        rejected: rejected as u64,
        rejects,
        addresses_v4,
        changed: imported.changed,
        dry_run,
        generation: imported.generation,
    }))
}
