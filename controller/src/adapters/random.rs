//! Numbers nobody can tell beforehand, for spreading what many would do at once. Not for secrets.
use std::hash::{BuildHasher as _, RandomState};

/// Any number, evenly spread.
pub fn number() -> u64 {
    // Each state has keys of its own.
    RandomState::new().hash_one(0)
}
