//! Who may use the machine: many tests beside each other, or one that measures times.
use std::sync::{PoisonError, RwLock, RwLockReadGuard, RwLockWriteGuard};

static MACHINE: RwLock<()> = RwLock::new(());

/// A test's turn, over when it is dropped.
#[derive(Debug)]
pub enum Turn {
    /// Beside others.
    Shared(RwLockReadGuard<'static, ()>),
    /// With nobody beside.
    Alone(RwLockWriteGuard<'static, ()>),
}

impl Turn {
    /// A turn beside others.
    pub fn shared() -> Self {
        // A test that failed left nothing behind that could be wrong.
        Self::Shared(MACHINE.read().unwrap_or_else(PoisonError::into_inner))
    }

    /// A turn with nobody beside.
    pub fn alone() -> Self {
        Self::Alone(MACHINE.write().unwrap_or_else(PoisonError::into_inner))
    }
}
