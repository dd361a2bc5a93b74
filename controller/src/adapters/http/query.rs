//! What several requests may say behind their question mark.
use serde::Deserialize;
use utoipa::IntoParams;

use super::error::ApiError;
use crate::domain::report::MOST_LISTED;

/// Rows in an answer, unless asked for another number.
const USUAL: usize = 100;

/// Whether a change is only to be tried.
#[derive(Clone, Copy, Debug, Deserialize, IntoParams)]
#[serde(deny_unknown_fields)]
#[into_params(parameter_in = Query)]
pub(super) struct Try {
    /// Say what would change, change nothing.
    #[serde(default)]
    pub(super) dry_run: bool,
}

/// How many rows are asked for.
pub(super) fn limit(asked: Option<usize>) -> Result<usize, ApiError> {
    match asked {
        None => Ok(USUAL),
        Some(limit) if (1..=MOST_LISTED).contains(&limit) => Ok(limit),
        Some(limit) => Err(ApiError::bad_request(format!("limit is {limit}; it must be from 1 to {MOST_LISTED}"))),
    }
}
