//! What weir decides about a packet, and the memory layout the kernel and user space agree on.
//!
//! The crate allocates nothing, asks no clock and does no I/O. It is compiled twice: into the XDP program and
//! into the host (tests, `weir explain`, `weir simulate`). [`judge::judge`] is the whole way of a packet; it is generic
//! over [`frame::Frame`] (where bytes come from) and [`tables::Tables`] (where policy and counters live).
#![cfg_attr(not(any(test, feature = "model")), no_std)]
#![forbid(unsafe_code)]

pub mod abi;
pub mod addr;
pub mod area;
pub mod frame;
pub mod judge;
mod limit;
pub mod lookup;
#[cfg(any(test, feature = "model"))]
pub mod model;
mod networks;
mod open;
mod quick;
pub mod rate;
pub mod sources;
pub mod tables;
pub mod traffic;
pub mod verdict;
pub mod walk;
