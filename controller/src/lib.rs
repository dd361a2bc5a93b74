//! weir's daemon and command line: a pure domain, adapters to the world, and the wiring between them.
pub mod adapters;
mod analysis;
mod causes;
pub mod cli;
pub mod commands;
pub mod config;
pub mod daemon;
pub mod detected;
#[deny(clippy::disallowed_methods)]
pub mod domain;
pub mod followed;
pub mod pack;
pub mod render;
pub mod sync;
pub mod views;
