//! The latest changes, in memory: who changed what, from where, and why. The store has all of them.
use std::collections::VecDeque;
use std::sync::{PoisonError, RwLock};

use jiff::Timestamp;

use crate::adapters::store::AuditRecord;

/// Changes that are at hand.
pub const MOST: usize = 10_000;

/// The latest changes.
#[derive(Debug, Default)]
pub struct Trail(RwLock<VecDeque<AuditRecord>>);

impl Trail {
    /// Says what happened before, in the order it did.
    pub fn restore(&self, records: Vec<AuditRecord>) {
        let mut trail = self.0.write().unwrap_or_else(PoisonError::into_inner);
        trail.clear();
        let too_many = records.len().saturating_sub(MOST);
        trail.extend(records.into_iter().skip(too_many));
    }

    /// Adds a change.
    pub fn push(&self, record: AuditRecord) {
        let mut trail = self.0.write().unwrap_or_else(PoisonError::into_inner);
        if trail.len() >= MOST {
            trail.pop_front();
        }
        trail.push_back(record);
    }

    /// Changes made at `since` or later, the latest in front, `most` of them; and how many there are.
    pub fn since(&self, since: Timestamp, most: usize) -> (Vec<AuditRecord>, u64) {
        let trail = self.0.read().unwrap_or_else(PoisonError::into_inner);
        // The wall clock may have been set back, so an older time does not end the search.
        let fitting = || trail.iter().rev().filter(|record| record.at >= since);
        (fitting().take(most).cloned().collect(), fitting().count() as u64)
    }

    /// Changes every record.
    pub fn rewrite(&self, mut rewrite: impl FnMut(&mut AuditRecord)) {
        self.0.write().unwrap_or_else(PoisonError::into_inner).iter_mut().for_each(&mut rewrite);
    }
}
