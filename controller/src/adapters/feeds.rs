//! Feeds: fetched, and kept for when they cannot be.
//!
//! Everything that comes from a feed's server is hostile until shown otherwise: its name, its address, its headers and
//! its body. What it may cost is bounded before it is asked.
pub mod address;
pub mod cache;
pub mod error;
pub mod fetch;
pub mod resolve;

#[cfg(test)]
mod tests;
