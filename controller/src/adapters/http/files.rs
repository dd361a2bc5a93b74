//! Lists as files: imported and exported.
use std::collections::BTreeMap;
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
use super::lists::LONGEST_REASON;
use super::socket::Peer;
use crate::adapters::clock;
use crate::domain::decision::{Enforcement, Kind, ListEnforcement, Origin, OriginError};
use crate::domain::guard::WouldHit;
use crate::domain::listfile::export::{self, ExportFormat, UnknownExport};
use crate::domain::listfile::{self, Format, Item, Reading};
use crate::domain::prefixes::Prefixes;
use crate::domain::report::{ImportReport, RejectRow};
use crate::sync::{Batch, Command, Import, Put};
use crate::views;

/// Refused lines that are shown.
const SHOWN_REJECTS: usize = 20;

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct ExportQuery {
    format: Option<String>,
}

type Exported = Result<Response, ApiError>;

pub(super) async fn export_block(State(api): State<Api>, query: Query<ExportQuery>) -> Exported {
    exported(&api, Kind::Deny, query.0).await
}

pub(super) async fn export_allow(State(api): State<Api>, query: Query<ExportQuery>) -> Exported {
    exported(&api, Kind::Allow, query.0).await
}

/// What people and tools put on lists of this kind, as another firewall or `import` reads it. Lists that are off or only
/// observed are left out: whoever reads it would enforce them.
async fn exported(api: &Api, kind: Kind, query: ExportQuery) -> Exported {
    let format: ExportFormat = match query.format.as_deref() {
        None => ExportFormat::Plain,
        Some(name) => name.parse().map_err(|error: UnknownExport| ApiError::bad_request(error.to_string()))?,
    };
    let shared = api.shared.clone();
    let written = tokio::task::spawn_blocking(move || {
        let (now, state) = (clock::now(), shared.read());
        let lists: Vec<_> = state
            .desired
            .lists()
            .filter(|list| list.kind == kind && !list.is_derived() && list.enforcement == ListEnforcement::Enforce)
            .collect();
        let entries = lists.iter().flat_map(|list| {
            let own = list.entries.iter().map(|(prefix, info)| {
                (*prefix, info.expiry.map(|expiry| expiry.boot.0.saturating_sub(now.boot.0 + 1)))
            });
            own.chain(list.imported.iter().map(|prefix| (prefix, None)))
        });
        let name = match kind {
            Kind::Deny => "weir-block",
            Kind::Allow => "weir-allow",
        };
        let mut text = String::new();
        export::write(format, name, entries, &mut text).map(|()| text)
    });
    let text = written
        .await
        .map_err(|error| ApiError::new(StatusCode::INTERNAL_SERVER_ERROR, error.to_string()))?
        .map_err(|error| ApiError::new(StatusCode::INTERNAL_SERVER_ERROR, error.to_string()))?;
    let kind = if format == ExportFormat::Json { "application/json" } else { "text/plain; charset=utf-8" };
    Ok(([(header::CONTENT_TYPE, kind)], Body::from(text)).into_response())
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct ImportQuery {
    name: String,
    format: Option<String>,
    column: Option<String>,
    #[serde(default)]
    least_score: u32,
    /// The list of a tool that names itself.
    origin: Option<String>,
    #[serde(default)]
    reason: String,
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
    let reading = Reading {
        column: query.column.as_deref().map(Arc::from),
        least_score: query.least_score,
        ..Reading::new(format, clock::now().wall)
    };
    let origin: Origin = match query.origin.as_deref() {
        None => Origin::Operator,
        Some(name) => name.parse().map_err(|error: OriginError| ApiError::bad_request(error.to_string()))?,
    };
    if !origin.is_operator() && kind == Kind::Allow {
        return Err(ApiError::bad_request("a tool's list is one of denials; import it with `weir block import`"));
    }
    if query.reason.len() > LONGEST_REASON {
        return Err(ApiError::bad_request(format!("the reason is longer than {LONGEST_REASON} bytes")));
    }
    let (shared, asker) = (api.shared.clone(), origin.clone());
    let read = tokio::task::spawn_blocking(move || {
        let guards = shared.read().guards.clone();
        let mut would_hit = WouldHit::default();
        let admit =
            |item: &Item| guards.admit(item.prefix, kind, &asker, false).inspect_err(|refusal| would_hit.note(refusal));
        let mut parsed = listfile::parse_admitted(&body, &reading, admit);
        drop(body);
        let declared = parsed.declared.filter(|declared| *declared != parsed.records());
        let unknown = match shared.followed.expand_asns(&parsed.asns) {
            Ok(expanded) => {
                let admitted = |prefix: &IpNet| guards.admit(*prefix, kind, &asker, false).is_ok();
                parsed.entries.extend(expanded.into_iter().filter(admitted));
                declared.map(|declared| format!("it says it has {declared} records and has others; it may be cut off"))
            }
            Err(unknown) => Some(unknown),
        };
        let prefixes = Prefixes::new(std::mem::take(&mut parsed.entries));
        let reach = views::reach(&shared, &guards, &prefixes, &would_hit);
        (parsed, prefixes, reach, unknown)
    });
    let (parsed, prefixes, reach, unknown) =
        read.await.map_err(|error| ApiError::new(StatusCode::INTERNAL_SERVER_ERROR, error.to_string()))?;
    let rejects: Vec<RejectRow> = parsed
        .rejects
        .iter()
        .take(SHOWN_REJECTS)
        .map(|reject| RejectRow { line: reject.line as u64, text: reject.text.clone(), why: reject.why.clone() })
        .collect();
    if let Some(why) = parsed.unfit {
        let detail = format!("this is no list: {why}; nothing was imported");
        return Err(ApiError::new(StatusCode::UNPROCESSABLE_ENTITY, detail).rejects(rejects));
    }
    if let Some(unknown) = unknown.filter(|_| !query.skip_bad) {
        return Err(ApiError::new(
            StatusCode::UNPROCESSABLE_ENTITY,
            format!("{unknown}; nothing was imported; --skip-bad takes what there is"),
        ));
    }
    if parsed.rejected > 0 && !query.skip_bad {
        let first = rejects.first().map(|reject| format!(": line {}: {:?}: {}", reject.line, reject.text, reject.why));
        let detail = format!(
            "{} of {} lines are refused{}; nothing was imported; --skip-bad takes the rest",
            parsed.rejected,
            parsed.lines,
            first.unwrap_or_default()
        );
        return Err(ApiError::new(StatusCode::UNPROCESSABLE_ENTITY, detail).rejects(rejects));
    }
    let (accepted, ending) = ((prefixes.len() + parsed.ending.len()) as u64, parsed.ending.len() as u64);
    let (name, dry_run) = (query.name, query.dry_run);
    let (changed, generation) = if origin.is_operator() {
        let (kind, name) = (kind, name.clone());
        let usual = ListEnforcement::Enforce;
        let import = Import { kind, name, origin, usual, prefixes, ending: parsed.ending, dry_run };
        let imported = api.sync.ask(|reply| Command::Import(import, peer.actor(), reply)).await?;
        (imported.changed, imported.generation)
    } else {
        let batch = of_tool(&origin, &query.reason, &prefixes, &parsed.ending, dry_run);
        let batched = api.sync.ask(|reply| Command::Batch(batch, peer.actor(), reply)).await?;
        (batched.put + batched.removed > 0, batched.generation)
    };
    Ok(Json(ImportReport {
        list: name,
        format: parsed.format.name().to_owned(),
        lines: parsed.lines as u64,
        accepted,
        rejected: parsed.rejected as u64,
        rejects,
        ending,
        reasons: views::reasons(&parsed.reasons),
        reach,
        changed,
        dry_run,
        generation,
    }))
}

/// What brings a tool's list in line with a file.
fn of_tool(origin: &Origin, reason: &str, prefixes: &Prefixes, ending: &[(IpNet, u64)], dry_run: bool) -> Batch {
    let (now, reason) = (clock::now(), Arc::<str>::from(reason));
    let put = |prefix: IpNet, left: Option<u64>| {
        let expiry = left.map(|seconds| now.after(seconds));
        (prefix, Put { expiry, reason: Arc::clone(&reason), enforcement: Enforcement::Enforce })
    };
    // Of the same prefix twice the one that lasts longer stays.
    let mut all: BTreeMap<IpNet, Put> = BTreeMap::new();
    let lasting = prefixes.iter().map(|prefix| put(prefix, None));
    for (prefix, put) in ending.iter().map(|(prefix, left)| put(*prefix, Some(*left))).chain(lasting) {
        match all.get(&prefix) {
            Some(Put { expiry: Some(old), .. }) if put.expiry.is_some_and(|new| new.boot <= old.boot) => {}
            _ => drop(all.insert(prefix, put)),
        }
    }
    Batch {
        list: origin.name().to_owned(),
        origin: origin.clone(),
        usual: ListEnforcement::Enforce,
        put: all.into_iter().collect(),
        remove: Vec::new(),
        replace: true,
        only_with: None,
        dry_run,
    }
}
