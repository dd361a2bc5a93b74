//! Feeds: lists of others that are followed.
pub mod judge;
pub mod presets;
pub mod reach;
pub mod schedule;
