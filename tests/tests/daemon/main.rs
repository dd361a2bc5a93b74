//! The daemon from outside: the real binary between two network namespaces, judged by the kernel's counters.
//!
//! Each test has a weir of its own, so they run beside each other; those that measure times run alone.
#![expect(
    clippy::expect_used,
    clippy::panic,
    clippy::unwrap_used,
    reason = "a broken expectation is the test's failure"
)]
#![expect(clippy::print_stdout, reason = "measured numbers are part of what the tests say")]
mod attacks;
mod capture;
mod cases;
mod confirm;
mod crowdsec;
mod detection;
mod drill;
mod endpoints;
mod exchange;
mod fail2ban;
mod faults;
mod feeds;
mod floods;
mod geo;
mod headers;
mod import;
mod inputs;
mod interfaces;
mod latency;
mod lists;
mod log_drills;
mod lookup;
mod openapi;
mod rates;
mod restart;
mod starts;
mod switches;
mod top;

use weir_common::verdict::Verdict;

/// Where the kernel counts what passed.
const PASS: usize = Verdict::Pass as usize;
/// Where it counts what the operator lets through.
const ALLOWED: usize = Verdict::Allowed as usize;
/// Where it counts what the operator denies.
const DENIED: usize = Verdict::Denied as usize;
/// Where it counts what was over its source's limit.
const RATE_SOURCE: usize = Verdict::RateSource as usize;
