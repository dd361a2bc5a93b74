//! What weir's tests stand on: frames, policies, and three judges of them.
#![expect(
    clippy::expect_used,
    clippy::panic,
    clippy::missing_panics_doc,
    reason = "a test harness: a failure here is the test's failure"
)]
#![expect(clippy::return_self_not_must_use, reason = "builders: what is not used is seen in the test that lacks it")]

pub mod bench;
pub mod captures;
pub mod crowdsec;
pub mod demo;
pub mod differential;
pub mod fail2ban;
pub mod fixtures;
pub mod frames;
pub mod fuzz;
pub mod harness;
pub mod kernel;
pub mod nginx;
pub mod reference;
pub mod soak;
pub mod tables;
pub mod tool;
