//! What is known of detection: written by its task, read by reports.
use std::net::IpAddr;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError, RwLock, RwLockReadGuard, RwLockWriteGuard};

use jiff::{SignedDuration, Timestamp};
use tokio::sync::broadcast;

use crate::adapters::clock;
use crate::adapters::store::{EventReader, SharedPrivacy};
use crate::domain::audit::Tally;
use crate::domain::http::alert::Alert;
use crate::domain::http::denied_users::DeniedUsers;
use crate::domain::report::{AlertFilter, DeniedUserRow, DetectionRow};
use crate::domain::reputation::{Ledger, Limits};
use crate::domain::steady::SteadyClock;
use crate::domain::time::Now;

/// Alerts of an address that an explanation names.
const EXPLAINED: usize = 20;
/// Users that are denied at once.
const MOST_USERS: usize = 10_000;
/// Alerts that wait for those who are to be told; of more, the oldest are not.
const MOST_NOTICES: usize = 256;

/// How long the wall clock must not have stepped before anything is let go by it, in seconds, at the most.
const STEADY_S: u64 = 3_600;

/// The board that the task writes on.
#[derive(Debug)]
pub struct Detected {
    row: RwLock<Option<DetectionRow>>,
    alerts: RwLock<Option<EventReader>>,
    users: Mutex<DeniedUsers>,
    ledger: Mutex<Ledger>,
    weigh_left_out: AtomicU64,
    tally: RwLock<Tally>,
    left_out: AtomicU64,
    /// What of people is written down.
    pub privacy: SharedPrivacy,
    keys: Mutex<()>,
    clock: Mutex<SteadyClock>,
    notices: broadcast::Sender<Arc<Alert>>,
}

impl Default for Detected {
    fn default() -> Self {
        Self {
            row: RwLock::default(),
            alerts: RwLock::default(),
            users: Mutex::new(DeniedUsers::new(MOST_USERS)),
            ledger: Mutex::new(Ledger::new(Limits { most_sources: 1, half_life_s: 86_400 })),
            weigh_left_out: AtomicU64::new(0),
            tally: RwLock::new(Tally::new()),
            left_out: AtomicU64::new(0),
            privacy: SharedPrivacy::default(),
            keys: Mutex::default(),
            clock: Mutex::new(SteadyClock::new(clock::now())),
            notices: broadcast::channel(MOST_NOTICES).0,
        }
    }
}

impl Detected {
    /// This moment, its wall clock without steps that are not believed yet: evidence fades by it, and what is kept is let
    /// go by it.
    pub fn now(&self) -> Now {
        let now = clock::now();
        Now { wall: self.clock().look(now), ..now }
    }

    /// Before when nothing is kept; `None` where it is not known, as while the clock is not trusted.
    pub fn oldest_kept(&self, retention_s: u64) -> Option<Timestamp> {
        let retention = SignedDuration::from_secs(i64::try_from(retention_s).unwrap_or(i64::MAX));
        self.is_steady(retention_s).then(|| self.now().wall.checked_sub(retention).unwrap_or(Timestamp::MIN))
    }

    /// Whether the wall clock is to be trusted with what lasts so long: what is kept for days is kept for an hour longer
    /// after a step, what is kept for a minute some seconds.
    pub fn is_steady(&self, lasts_s: u64) -> bool {
        let now = clock::now();
        let mut clock = self.clock();
        clock.look(now);
        clock.steady_for_s(now) >= STEADY_S.min(lasts_s / 24)
    }

    /// Something was kept last at this moment, by an earlier run.
    pub fn last_kept(&self, at: Timestamp) {
        self.clock().goes_on_from(at, clock::now());
    }

    /// Something was kept at this moment: it is not earlier than that.
    pub fn has_kept(&self, at: Timestamp) {
        self.clock().not_before(at, clock::now());
    }

    fn clock(&self) -> MutexGuard<'_, SteadyClock> {
        self.clock.lock().unwrap_or_else(PoisonError::into_inner)
    }

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

    /// Held by who changes the keys that addresses are hashed with, from reading them to having them in use.
    pub fn keys(&self) -> MutexGuard<'_, ()> {
        self.keys.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// What evidence there is of sources, to ask and to add to. Never held across a wait.
    pub fn ledger(&self) -> MutexGuard<'_, Ledger> {
        // Each change is whole before the next begins.
        self.ledger.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Counts evidence that came too fast to be weighed.
    pub fn weigh_left_out(&self) {
        self.weigh_left_out.fetch_add(1, Ordering::Relaxed);
    }

    /// Evidence that was not weighed, since the start.
    pub fn not_weighed(&self) -> u64 {
        self.weigh_left_out.load(Ordering::Relaxed)
    }

    /// The events that are kept, counted.
    pub fn tally(&self) -> RwLockReadGuard<'_, Tally> {
        self.tally.read().unwrap_or_else(PoisonError::into_inner)
    }

    /// The same, to change: whoever keeps events does.
    pub fn tally_mut(&self) -> RwLockWriteGuard<'_, Tally> {
        self.tally.write().unwrap_or_else(PoisonError::into_inner)
    }

    /// Events that should have been kept and are not, since the start.
    pub fn events_left_out(&self) -> u64 {
        self.left_out.load(Ordering::Relaxed)
    }

    /// Says how many those are.
    pub fn set_events_left_out(&self, left_out: u64) {
        self.left_out.store(left_out, Ordering::Relaxed);
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
