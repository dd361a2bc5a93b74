//! What is known of detection: written by its task, read by reports.
use std::net::IpAddr;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError, RwLock};

use tokio::sync::broadcast;

use crate::adapters::clock;
use crate::adapters::store::EventReader;
use crate::domain::http::alert::Alert;
use crate::domain::http::denied_users::DeniedUsers;
use crate::domain::report::{AlertFilter, DeniedUserRow, DetectionRow};

/// Alerts of an address that an explanation names.
const EXPLAINED: usize = 20;
/// Users that are denied at once.
const MOST_USERS: usize = 10_000;
/// Alerts that wait for those who are to be told; of more, the oldest are not.
const MOST_NOTICES: usize = 256;

/// The board that the task writes on.
#[derive(Debug)]
pub struct Detected {
    row: RwLock<Option<DetectionRow>>,
    alerts: RwLock<Option<EventReader>>,
    users: Mutex<DeniedUsers>,
    notices: broadcast::Sender<Arc<Alert>>,
}

impl Default for Detected {
    fn default() -> Self {
        Self {
            row: RwLock::default(),
            alerts: RwLock::default(),
            users: Mutex::new(DeniedUsers::new(MOST_USERS)),
            notices: broadcast::channel(MOST_NOTICES).0,
        }
    }
}

impl Detected {
    /// How it does; `None`: nothing is read or heard.
    pub fn row(&self) -> Option<DetectionRow> {
        self.row.read().unwrap_or_else(PoisonError::into_inner).clone()
    }

    /// Says how it does.
    pub fn set_row(&self, row: Option<DetectionRow>) {
        *self.row.write().unwrap_or_else(PoisonError::into_inner) = row;
    }

    /// The alerts, to ask; `None`: their database is not open.
    pub fn alerts(&self) -> Option<EventReader> {
        self.alerts.read().unwrap_or_else(PoisonError::into_inner).clone()
    }

    /// Says where the alerts are.
    pub fn set_alerts(&self, reader: Option<EventReader>) {
        *self.alerts.write().unwrap_or_else(PoisonError::into_inner) = reader;
    }

    /// The users that are denied, to ask and to change. Never held across a wait.
    pub fn users(&self) -> MutexGuard<'_, DeniedUsers> {
        // Each change is whole before the next begins.
        self.users.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Says which users were denied before.
    pub fn restore_users(&self, users: Vec<crate::domain::http::denied_users::DeniedUser>) {
        *self.users() = DeniedUsers::restore(MOST_USERS, users);
    }

    /// The users that are denied now.
    pub fn user_rows(&self) -> Vec<DeniedUserRow> {
        let users = self.users();
        let rows = users.list(clock::now().boot).map(|denied| DeniedUserRow {
            user: denied.user.clone(),
            reason: denied.reason.clone(),
            since: denied.since,
            until: denied.expiry.wall,
        });
        rows.collect()
    }

    /// Alerts that somebody is to be told of, from now on. Whoever is slow misses the oldest, and is told how many.
    pub fn notices(&self) -> broadcast::Receiver<Arc<Alert>> {
        self.notices.subscribe()
    }

    /// Tells those who listen of an alert.
    pub fn notify(&self, alert: Arc<Alert>) {
        // Nobody may listen.
        let _heard = self.notices.send(alert);
    }

    /// Alerts about an address; none where they cannot be asked for.
    pub fn alerts_of(&self, address: IpAddr) -> Vec<Alert> {
        let Some(reader) = self.alerts() else { return Vec::new() };
        let filter = AlertFilter { source: Some(address.to_string()), ..AlertFilter::default() };
        match reader.list(&filter, EXPLAINED, 0) {
            Ok(list) => list.alerts,
            Err(error) => {
                tracing::warn!(%error, "alerts cannot be asked for");
                Vec::new()
            }
        }
    }
}
