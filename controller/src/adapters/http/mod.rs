//! The HTTP API: everything on the UNIX socket, what is safe to read on TCP where configured.
mod alerts;
mod audit;
mod cases;
mod changes;
mod error;
mod events;
mod feeds;
mod files;
mod lists;
mod openapi;
mod query;
mod reads;
mod reputation;
mod rules;
mod samples;
mod security;
mod socket;
mod top;

use std::sync::Arc;

use axum::Router;
use axum::extract::DefaultBodyLimit;
use axum::http::StatusCode;
use axum::middleware::map_response;
use axum::routing::{delete, get, post};
use tower_http::timeout::TimeoutLayer;

pub use socket::{bind, serve};

pub use super::socket_file::SocketError;

use crate::adapters::kernel::query::KernelPolicy;
use crate::sync::{Handle, Settings, Shared};

/// Largest body of an ordinary request.
const BODY: usize = 1 << 20;
/// Largest list that can be sent: a few million lines.
const LIST_BODY: usize = 128 << 20;
/// How long a request may take, imports included.
const TIMEOUT: std::time::Duration = std::time::Duration::from_mins(2);

/// Reads the configuration anew: from the file and environment the daemon was started with.
pub type Reload = Arc<dyn Fn() -> Result<Settings, String> + Send + Sync>;

/// What the handlers work with.
#[derive(Clone)]
pub struct Api {
    /// The state and the counters.
    pub shared: Shared,
    /// The way to the sync task.
    pub sync: Handle,
    /// The kernel's tables, for questions.
    pub policy: Arc<KernelPolicy>,
    /// Reads the configuration anew.
    pub reload: Reload,
    /// The way to the feeds' task.
    pub feeds: crate::daemon::FeedsHandle,
    /// The way to the sampled drops.
    pub samples: crate::daemon::SamplesHandle,
    /// The way to detection.
    pub detection: crate::daemon::DetectionHandle,
    /// The way to alerts, datasets and hunts, to change them.
    pub cases: crate::daemon::Cases,
    /// The way to what is kept of people.
    pub privacy: crate::daemon::PrivacyDesk,
    /// The way to the ledger of sources.
    pub reputation: crate::daemon::ReputationHandle,
    /// The way to the database of alerts and events.
    pub keeper: crate::daemon::Keeper,
}

impl std::fmt::Debug for Api {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Api").finish_non_exhaustive()
    }
}

/// Every route, for the socket.
pub fn routes(api: Api) -> Router {
    let lists = Router::new()
        .route("/api/block/import", post(files::import_block))
        .route("/api/allow/import", post(files::import_allow))
        .layer(DefaultBodyLimit::max(LIST_BODY));
    Router::new()
        .route("/api/openapi.json", get(openapi::show))
        .route("/api/status", get(reads::status))
        .route("/api/top", get(top::top))
        .route("/api/top/live", get(top::live))
        .route("/api/offenders", get(reads::offenders))
        .route("/api/explain/{address}", get(reads::explain))
        .route("/api/samples", get(samples::latest))
        .route("/api/samples/counters", get(samples::counters))
        .route("/api/samples/stream", get(samples::stream))
        .route("/api/block", get(lists::list_block).post(lists::add_block).delete(lists::remove_block))
        .route("/api/allow", get(lists::list_allow).post(lists::add_allow).delete(lists::remove_allow))
        .route("/api/block/export", get(files::export_block))
        .route("/api/allow/export", get(files::export_allow))
        .route("/api/feeds", get(feeds::list))
        .route("/api/feeds/refresh", post(feeds::refresh))
        .route("/api/config", get(reads::config))
        .route("/api/config/reload", post(changes::reload))
        .route("/api/config/apply", post(changes::apply))
        .route("/api/config/confirm", post(changes::confirm))
        .route("/api/config/rollback", post(changes::rollback))
        .route("/api/events", get(audit::events).post(events::submit))
        .route("/api/audit", get(audit::report))
        .route("/api/reputation", get(reputation::list))
        .route("/api/reputation/{address}", get(reputation::show).delete(reputation::reset))
        .route("/api/privacy/rotate", post(audit::rotate))
        .route("/api/privacy/erase", post(audit::erase))
        .route("/api/security/status", get(security::status))
        .route("/api/security/threat/{ip}", get(security::threat))
        .route("/api/security/ip/whitelist", get(security::allowed).post(security::allow).delete(security::disallow))
        .route("/api/security/ip/blacklist", get(security::denied).post(security::deny).delete(security::lift))
        .route("/api/datasets", get(cases::datasets).post(cases::add_dataset))
        .route("/api/datasets/{id}", delete(cases::delete_dataset))
        .route("/api/hunts", get(cases::hunts).post(cases::add_hunt))
        .route("/api/hunts/{id}", delete(cases::delete_hunt))
        .route("/api/alerts", get(alerts::list).post(cases::create))
        .route("/api/alerts/bulk-update", post(cases::bulk_update))
        .route("/api/alerts/analyze", post(cases::analyze))
        .route("/api/alerts/stats", get(alerts::stats))
        .route("/api/alerts/analyzers/list", get(rules::analyzers))
        .route("/api/alerts/rules", get(rules::list).post(rules::create))
        .route("/api/alerts/rules/list", get(rules::list))
        .route("/api/alerts/rules/{id}", get(rules::show).put(rules::update).delete(rules::delete))
        .route("/api/alerts/{id}", get(alerts::show).put(cases::update).delete(cases::delete))
        .route("/api/users/denied", get(alerts::users))
        .route("/api/users/denied/{user}", delete(alerts::lift))
        .route("/api/enforcement", post(changes::enforcement))
        .route("/api/bypass", post(changes::bypass))
        .layer(DefaultBodyLimit::max(BODY))
        .merge(lists)
        .layer(timeout())
        .layer(map_response(error::as_problem))
        .merge(health_routes().layer(timeout()))
        .fallback(error::no_such_path)
        .method_not_allowed_fallback(error::no_such_method)
        .with_state(api)
}

/// What may be read over TCP.
pub fn public_routes(api: Api) -> Router {
    health_routes().fallback(error::no_such_path).layer(timeout()).with_state(api)
}

fn timeout() -> TimeoutLayer {
    TimeoutLayer::with_status_code(StatusCode::SERVICE_UNAVAILABLE, TIMEOUT)
}

fn health_routes() -> Router<Api> {
    Router::new()
        .route("/metrics", get(reads::metrics))
        .route("/healthz", get(reads::healthz))
        .route("/readyz", get(reads::readyz))
}
