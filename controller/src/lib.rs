//! weir's daemon and command line: a pure domain, adapters to the world, and the wiring between them.
pub mod adapters;
#[deny(clippy::disallowed_methods)]
pub mod domain;
