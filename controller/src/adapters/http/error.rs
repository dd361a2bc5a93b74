//! Errors as problem documents (RFC 9457).
use axum::Json;
use axum::http::{StatusCode, header};
use axum::response::{IntoResponse, Response};
use tokio::task::JoinError;

use crate::domain::guard::Refusal;
use crate::domain::report::{Problem, ProblemHit, REFUSED, RejectRow};
use crate::sync::{BuildFailure, SyncError};

/// An answer that says what is wrong, where, and the way out.
#[derive(Debug)]
pub(super) struct ApiError(Box<Problem>);

impl ApiError {
    pub(super) fn new(status: StatusCode, detail: impl Into<String>) -> Self {
        Self(Box::new(Problem {
            kind: "about:blank".to_owned(),
            title: status.canonical_reason().unwrap_or("error").to_owned(),
            status: status.as_u16(),
            detail: detail.into(),
            rejects: Vec::new(),
            hits: Vec::new(),
        }))
    }

    pub(super) fn bad_request(detail: impl Into<String>) -> Self {
        Self::new(StatusCode::BAD_REQUEST, detail)
    }

    pub(super) fn rejects(mut self, rejects: Vec<RejectRow>) -> Self {
        self.0.rejects = rejects;
        self
    }
}

impl From<SyncError> for ApiError {
    fn from(error: SyncError) -> Self {
        let detail = error.to_string();
        match error {
            SyncError::Refused(refusal) => {
                let mut problem = Self::new(StatusCode::FORBIDDEN, detail);
                REFUSED.clone_into(&mut problem.0.kind);
                if let Refusal::Protected { hits, .. } | Refusal::NeverBlock { hits, .. } = refusal {
                    problem.0.hits =
                        hits.into_iter().map(|hit| ProblemHit { prefix: hit.prefix, why: hit.why }).collect();
                }
                problem
            }
            SyncError::Build(failure) if matches!(*failure, BuildFailure::Panicked(_)) => {
                Self::new(StatusCode::INTERNAL_SERVER_ERROR, detail)
            }
            SyncError::Build(_) | SyncError::Full(_) => Self::new(StatusCode::INSUFFICIENT_STORAGE, detail),
            SyncError::List(_) => Self::bad_request(detail),
            SyncError::Pending(_) | SyncError::Nothing(_) => Self::new(StatusCode::CONFLICT, detail),
            SyncError::Kernel(_) | SyncError::NotSaved(_) => Self::new(StatusCode::INTERNAL_SERVER_ERROR, detail),
            SyncError::Stopping => Self::new(StatusCode::SERVICE_UNAVAILABLE, detail),
        }
    }
}

/// What was done off the workers broke off.
impl From<JoinError> for ApiError {
    fn from(error: JoinError) -> Self {
        Self::new(StatusCode::INTERNAL_SERVER_ERROR, error.to_string())
    }
}

impl IntoResponse for ApiError {
    fn into_response(self) -> Response {
        let status = StatusCode::from_u16(self.0.status).unwrap_or(StatusCode::INTERNAL_SERVER_ERROR);
        let mut response = (status, Json(*self.0)).into_response();
        response
            .headers_mut()
            .insert(header::CONTENT_TYPE, axum::http::HeaderValue::from_static("application/problem+json"));
        response
    }
}

/// Makes a problem document of what the framework refused by itself: a query, a body that is too large, a time-out.
pub(super) async fn as_problem(response: Response) -> Response {
    const LONGEST: usize = 1 << 16;
    let status = response.status();
    let kind = response.headers().get(header::CONTENT_TYPE);
    let is_bare = kind.is_none_or(|kind| kind.as_bytes().starts_with(b"text/plain"));
    if !is_bare || !(status.is_client_error() || status.is_server_error()) {
        return response;
    }
    let text = axum::body::to_bytes(response.into_body(), LONGEST).await.unwrap_or_default();
    let text = String::from_utf8_lossy(&text);
    ApiError::new(status, if text.is_empty() { "no answer in time" } else { &*text }).into_response()
}

pub(super) async fn no_such_path(uri: axum::http::Uri) -> ApiError {
    ApiError::new(StatusCode::NOT_FOUND, format!("there is nothing at {}", uri.path()))
}

pub(super) async fn no_such_method(method: axum::http::Method, uri: axum::http::Uri) -> ApiError {
    ApiError::new(StatusCode::METHOD_NOT_ALLOWED, format!("{method} is not for {}", uri.path()))
}
