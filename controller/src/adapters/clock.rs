//! The one place that reads clocks and converts between them.
use std::io;

use jiff::Timestamp;

use crate::domain::time::{BootSeconds, MonotonicNs, Now};

/// This moment, on the clocks that decisions need.
pub fn now() -> Now {
    Now { boot: BootSeconds(nanoseconds(libc::CLOCK_BOOTTIME) / 1_000_000_000), wall: Timestamp::now() }
}

/// The monotonic clock.
pub fn monotonic() -> MonotonicNs {
    MonotonicNs(nanoseconds(libc::CLOCK_MONOTONIC))
}

/// The wall clock that the kernel stamps files by: it stands still from one tick to the next. The precise one is ahead of
/// it, on a busy virtual machine by any number of ticks, so a file made after a look would seem made before.
pub fn of_files() -> Timestamp {
    let ns = i128::from(nanoseconds(libc::CLOCK_REALTIME_COARSE));
    Timestamp::from_nanosecond(ns).unwrap_or_else(|_| Timestamp::now())
}

/// Nanoseconds that this thread has run on a CPU: what it waited for one, or was interrupted by, does not count.
pub fn thread_cpu_ns() -> u64 {
    nanoseconds(libc::CLOCK_THREAD_CPUTIME_ID)
}

/// The monotonic and the wall clock at one moment: what is converted by the same pair keeps its distances.
#[derive(Clone, Copy, Debug)]
pub struct Pair {
    monotonic: MonotonicNs,
    wall: Timestamp,
}

impl Pair {
    /// This moment.
    pub fn now() -> Self {
        Self { monotonic: monotonic(), wall: Timestamp::now() }
    }

    /// A moment before this one on the wall clock; one after it is this one.
    pub fn wall_of(self, at: MonotonicNs) -> Timestamp {
        let ago = self.monotonic.0.saturating_sub(at.0);
        let span = jiff::SignedDuration::from_nanos(i64::try_from(ago).unwrap_or(i64::MAX));
        self.wall.checked_sub(span).unwrap_or(Timestamp::UNIX_EPOCH)
    }
}

/// Identifies this boot of the machine: boot-time seconds of another one mean nothing.
///
/// # Errors
/// The read's.
pub fn boot_id() -> io::Result<String> {
    Ok(std::fs::read_to_string("/proc/sys/kernel/random/boot_id")?.trim().to_owned())
}

fn nanoseconds(clock: libc::clockid_t) -> u64 {
    let mut time = libc::timespec { tv_sec: 0, tv_nsec: 0 };
    // SAFETY: `time` is a valid place for the result; the clocks asked for always exist.
    unsafe { libc::clock_gettime(clock, &raw mut time) };
    let seconds = u64::try_from(time.tv_sec).unwrap_or(0);
    let rest = u64::try_from(time.tv_nsec).unwrap_or(0);
    seconds.saturating_mul(1_000_000_000).saturating_add(rest)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_made_after_a_moment_on_the_clock_of_files_is_stamped_no_earlier() {
        let folder = tempfile::tempdir().unwrap();
        for number in 0..2_000 {
            let before = of_files();
            let path = folder.path().join(number.to_string());
            std::fs::write(&path, b"").unwrap();
            let made = std::fs::metadata(&path).unwrap().modified().unwrap();
            assert!(Timestamp::try_from(made).unwrap() >= before, "file {number}");
        }
    }
}
