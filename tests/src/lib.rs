//! What weir's tests stand on: frames, policies, and three judges of them.
#![expect(clippy::expect_used, clippy::panic, reason = "a test harness: a failure here is the test's failure")]

pub mod fixtures;
pub mod frames;
pub mod kernel;
pub mod reference;
