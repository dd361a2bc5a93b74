//! What happened, and what is kept of people.
use axum::Json;
use axum::body::Bytes;
use axum::extract::{ConnectInfo, Query, State};
use axum::http::StatusCode;
use jiff::Timestamp;
use serde::Deserialize;
use utoipa::IntoParams;

use super::Api;
use super::alerts::{ask, moment};
use super::cases::said;
use super::error::ApiError;
use super::query;
use super::socket::Peer;
use crate::adapters::clock;
use crate::domain::audit::{Class, Filter};
use crate::domain::http::finding::NotAName;
use crate::domain::report::{AuditReport, EraseReport, EraseRequest, EventList, RotateReport};
use crate::views;

/// The span of a report that names none.
const USUAL: &str = "24h";

#[derive(Deserialize, IntoParams)]
#[serde(deny_unknown_fields)]
#[into_params(parameter_in = Query)]
pub(super) struct AuditQuery {
    /// A moment, or how long ago it was: `2026-11-28T12:00:00Z`, `24h`, `7d`.
    #[param(example = "24h")]
    since: Option<String>,
}

pub(super) async fn report(State(api): State<Api>, query: Query<AuditQuery>) -> Result<Json<AuditReport>, ApiError> {
    let range = query.since.clone().unwrap_or_else(|| USUAL.to_owned());
    let since = moment(&range, clock::now().wall)?;
    let shared = api.shared.clone();
    let failed = |what: String| ApiError::new(StatusCode::INTERNAL_SERVER_ERROR, what);
    let made = tokio::task::spawn_blocking(move || views::audit::report(&shared, &range, since)).await;
    made.map_err(|error| failed(error.to_string()))?.map(Json).map_err(|error| failed(error.to_string()))
}

#[derive(Deserialize, IntoParams)]
#[serde(deny_unknown_fields)]
#[into_params(parameter_in = Query)]
pub(super) struct EventsQuery {
    /// What they count as.
    #[param(value_type = Option<Class>)]
    class: Option<String>,
    /// Who sent them: an address, or the name that is kept of one.
    #[param(example = "192.0.2.1")]
    source: Option<String>,
    /// Who they say they are.
    user: Option<String>,
    /// A moment, or how long ago it was: `2026-11-28T12:00:00Z`, `24h`, `7d`.
    #[param(example = "24h")]
    since: Option<String>,
    /// As `since`: the end.
    #[param(example = "1h")]
    until: Option<String>,
    /// How many, at the most.
    #[param(minimum = 1, maximum = 500, default = 100)]
    limit: Option<usize>,
    /// How many to leave out before them.
    #[serde(default)]
    offset: usize,
}

pub(super) async fn events(State(api): State<Api>, query: Query<EventsQuery>) -> Result<Json<EventList>, ApiError> {
    let now = clock::now().wall;
    let class = query.class.as_deref().map(|name| {
        let none = || NotAName::new("class of events", name, Class::ALL.map(Class::name));
        Class::named(name).ok_or_else(|| ApiError::bad_request(none().to_string()))
    });
    let class = class.transpose()?;
    let time = |text: &Option<String>| -> Result<Option<Timestamp>, ApiError> {
        text.as_deref().map(|text| moment(text, now)).transpose()
    };
    let (since, until) = (time(&query.since)?, time(&query.until)?);
    let limit = query::limit(query.limit)?;
    let names = match query.source.as_deref() {
        None => vec![None],
        Some(text) => views::names_of(&api.shared, text)
            .ok_or_else(|| ApiError::bad_request(format!("{text:?} is not an address")))?
            .into_iter()
            .map(Some)
            .collect(),
    };
    let (mut numbers, mut total) = (Vec::new(), 0);
    {
        let tally = api.shared.detected.tally();
        for name in &names {
            let filter = Filter { class, source: name.as_deref(), user: query.user.as_deref(), since, until };
            // An address may have several names; a page is then made of all of them.
            let (found, count) = match names.len() {
                1 => tally.select(&filter, limit, query.offset),
                _ => tally.select(&filter, limit.saturating_add(query.offset), 0),
            };
            numbers.extend(found);
            total += count;
        }
    }
    if names.len() > 1 {
        numbers.sort_unstable_by(|a, b| b.cmp(a));
        numbers = numbers.into_iter().skip(query.offset).take(limit).collect();
    }
    let events = ask(&api, move |reader| reader.events(&numbers)).await?;
    let events = events.into_iter().map(|(number, event)| views::audit::event(number, event)).collect();
    Ok(Json(EventList { events, total }))
}

#[derive(Deserialize, IntoParams)]
#[serde(deny_unknown_fields)]
#[into_params(parameter_in = Query)]
pub(super) struct RotateQuery {
    /// What is kept under the keys before is nobody's from then on.
    #[serde(default)]
    forget: bool,
    /// Say what would change, change nothing.
    #[serde(default)]
    dry_run: bool,
}

pub(super) async fn rotate(
    State(api): State<Api>,
    ConnectInfo(peer): ConnectInfo<Peer>,
    query: Query<RotateQuery>,
) -> Result<Json<RotateReport>, ApiError> {
    Ok(Json(api.privacy.rotate(query.forget, peer.actor(), query.dry_run).await?))
}

pub(super) async fn erase(
    State(api): State<Api>,
    ConnectInfo(peer): ConnectInfo<Peer>,
    body: Bytes,
) -> Result<Json<EraseReport>, ApiError> {
    let request: EraseRequest = said(&body)?;
    Ok(Json(api.privacy.erase(request, peer.actor()).await?))
}
