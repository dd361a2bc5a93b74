//! weir's daemon and command line.
pub mod adapters;
