//! The kernel: maps, program, links.
mod areas;
pub mod bpffs;
mod btf;
pub mod instance;
pub mod link;
pub mod map;
pub mod object;
pub mod probes;
pub mod query;
pub mod reader;
pub mod sys;
pub mod writer;
