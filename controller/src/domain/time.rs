//! Three clocks that must not be mixed: converted in one adapter only.
use jiff::Timestamp;
use serde::{Deserialize, Serialize};

/// Seconds of the boot-time clock (it counts through suspend): what the kernel compares expiries with.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub struct BootSeconds(pub u64);

/// Nanoseconds of the monotonic clock: what rates are measured by.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct MonotonicNs(pub u64);

/// One moment on the clocks that decisions need, read together.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Now {
    /// Boot-time clock.
    pub boot: BootSeconds,
    /// Wall clock: for people and for the store, never for comparing.
    pub wall: Timestamp,
}

/// When a decision ends: what the kernel compares, and what people read.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub struct Expiry {
    /// Boot-time second from which it no longer holds.
    pub boot: BootSeconds,
    /// The same moment on the wall clock, as it was when the decision was made.
    pub wall: Timestamp,
}

impl Now {
    /// The moment `seconds` from now. The boot-time clock is read in whole seconds, and the one that has begun does not
    /// count: what is to last so long is never over early, and less than a second late.
    pub fn after(self, seconds: u64) -> Expiry {
        let boot = BootSeconds(self.boot.0.saturating_add(seconds).saturating_add(1));
        let span = jiff::SignedDuration::from_secs(i64::try_from(seconds).unwrap_or(i64::MAX));
        Expiry { boot, wall: self.wall.checked_add(span).unwrap_or(Timestamp::MAX) }
    }
}

impl Expiry {
    /// Whether it has passed.
    pub fn is_over(self, now: BootSeconds) -> bool {
        now >= self.boot
    }

    /// The second as the kernel's maps hold it; beyond 136 years of uptime it is the furthest they can hold, and never
    /// 0, which would mean "never ends".
    pub fn kernel_seconds(self) -> u32 {
        u32::try_from(self.boot.0).unwrap_or(u32::MAX).max(1)
    }
}
