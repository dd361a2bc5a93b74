//! Rules and analyzers over what is past: files, and events that were kept. Nothing is enforced.
mod judge;
mod lines;
mod merged;
mod pipeline;

pub(crate) use self::judge::{Judge, Observed};
pub(crate) use self::merged::Merged;
pub(crate) use self::pipeline::run as through;
