//! Why nothing came of what people asked for.
use crate::adapters::store::{CaseError, StoreError};
use crate::daemon::keeper::KeepError;
use crate::sync::SyncError;

/// Why nothing is changed.
#[derive(Debug, thiserror::Error)]
pub enum CaseFault {
    /// What is asked for makes no sense.
    #[error("{0}")]
    Bad(String),
    /// What is asked about is not there, or empty.
    #[error("{0}")]
    Missing(String),
    /// It cannot be, as things are.
    #[error("{0}")]
    Conflict(String),
    /// Another analysis runs.
    #[error("another analysis is running; one runs at a time, for a minute at the most: ask again")]
    Busy,
    /// Something is not, or cannot become so.
    #[error(transparent)]
    Case(#[from] CaseError),
    /// There is no database to ask.
    #[error("{0}")]
    Closed(String),
    /// The sync task says no.
    #[error(transparent)]
    Sync(#[from] SyncError),
    /// A task broke off.
    #[error("{0}")]
    Failed(String),
}

impl From<KeepError<CaseError>> for CaseFault {
    fn from(error: KeepError<CaseError>) -> Self {
        match error {
            KeepError::Refused(error) => Self::Case(error),
            KeepError::Closed(_) | KeepError::Stopping => Self::Closed(error.to_string()),
        }
    }
}

impl From<KeepError<StoreError>> for CaseFault {
    fn from(error: KeepError<StoreError>) -> Self {
        match error {
            KeepError::Refused(error) => Self::Case(CaseError::Store(error)),
            KeepError::Closed(_) | KeepError::Stopping => Self::Closed(error.to_string()),
        }
    }
}
