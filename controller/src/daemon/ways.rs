//! The ways to all that a change of what is kept may touch.
use super::detection::DetectionHandle;
use super::keeper::Keeper;
use super::reputation::ReputationHandle;
use crate::sync::{Handle, Shared};

/// The ways.
#[derive(Clone, Debug)]
pub(super) struct Ways {
    pub(super) shared: Shared,
    pub(super) sync: Handle,
    pub(super) keeper: Keeper,
    pub(super) reputation: ReputationHandle,
    pub(super) detection: DetectionHandle,
}
