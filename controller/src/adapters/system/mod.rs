//! The machine around the daemon: interfaces, what is attached to them, what must stay reachable, what changes.
//!
//! Everything is asked of the network namespace the calling thread is in, now; nothing is remembered.
pub mod facts;
pub mod interfaces;
pub mod links;
mod netlink;
pub mod netns;
pub mod nic;
pub mod packets;
pub mod paths;
pub mod sockets;
pub mod watch;
pub mod xdp;

use std::io;

/// A question the kernel did not answer.
#[derive(Debug, thiserror::Error)]
#[error("the kernel does not tell {what}")]
pub struct SystemError {
    /// What was asked.
    what: &'static str,
    /// The system call's error, or the kernel's answer.
    #[source]
    error: io::Error,
}

impl SystemError {
    fn about(what: &'static str) -> impl FnOnce(io::Error) -> Self {
        move |error| Self { what, error }
    }

    /// The error number the kernel answered with, where it gave one.
    pub fn number(&self) -> Option<i32> {
        self.error.raw_os_error()
    }
}

/// The kernel's release, as `uname -r` prints it; empty where it cannot be read.
pub fn kernel_release() -> String {
    std::fs::read_to_string("/proc/sys/kernel/osrelease").map(|text| text.trim().to_owned()).unwrap_or_default()
}

#[cfg(test)]
pub(crate) mod tests;
