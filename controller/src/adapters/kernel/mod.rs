//! The kernel: maps, program, links.
pub mod map;
pub mod object;
pub mod sys;
