//! What a packet is judged by, in the plainest form: lists of decisions.
use std::net::IpAddr;

use ipnet::IpNet;
use weir_common::verdict::Verdict;

use super::floods::{Floods, Waiting};

/// Policy slots.
pub const SLOTS: usize = 4;

/// All that a packet is judged by.
#[derive(Clone, Debug, Default)]
pub struct World {
    /// Boot-time clock, seconds.
    pub now_s: u64,
    /// Monotonic clock, nanoseconds.
    pub now_ns: u64,
    /// Everything passes.
    pub bypass: bool,
    /// Policies, by slot.
    pub slots: [Policy; SLOTS],
    /// The slot in force.
    pub in_force: usize,
    /// Until when the slot in force must be confirmed, and what holds if it is not.
    pub confirm: Option<Confirm>,
    /// Changes the tables do not hold yet.
    pub overlay: Vec<Live>,
    /// Slots of which the overlay lifts nothing: they are a later daemon's.
    pub unlifted: [bool; SLOTS],
    /// Who waits for UDP.
    pub sockets: Vec<Waiting>,
}

/// A pending confirm.
#[derive(Clone, Copy, Debug)]
pub struct Confirm {
    /// Boot-time second at which the change is undone.
    pub deadline_s: u64,
    /// The slot that holds then.
    pub fallback: usize,
}

/// One generation.
#[derive(Clone, Debug, Default)]
pub struct Policy {
    /// Decisions that the tables hold.
    pub decisions: Vec<Decision>,
    /// Whom no decision may deny but a forced one.
    pub protected: Vec<IpNet>,
    /// Whom only the operator may deny.
    pub never_block: Vec<IpNet>,
    /// Addresses whose entry leads nowhere: weir's own fault.
    pub torn: Vec<IpAddr>,
    /// Whether packets are counted for their source.
    pub tracks: bool,
    /// What is held against floods.
    pub floods: Floods,
    /// A packet over the header budget passes.
    pub budget_passes: bool,
    /// Nothing is dropped.
    pub observe_all: bool,
    /// Drops sampled per second and at once; 0: none. No verdict depends on it.
    pub samples: u64,
}

/// What a decision does.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Act {
    /// Lets through.
    Allow,
    /// Drops.
    Deny(Verdict),
}

/// One decision.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Decision {
    /// Whom it covers.
    pub prefix: IpNet,
    /// What it does.
    pub act: Act,
    /// Place in the order of origins; lower is stronger. One rank has one kind of act.
    pub rank: u16,
    /// Counted only.
    pub observe: bool,
    /// The operator overrode protection.
    pub forced: bool,
    /// Boot-time second from which it no longer holds; 0: never.
    pub expires_at_s: u32,
}

impl Decision {
    /// Whether it holds at this second.
    pub fn is_live(&self, at_s: u64) -> bool {
        self.expires_at_s == 0 || at_s < u64::from(self.expires_at_s)
    }

    /// Whether protection leaves it standing.
    pub fn stands(&self, protected: bool, never_block: bool) -> bool {
        const OPERATOR_DENY: u16 = 1;
        self.act == Act::Allow || self.forced || !(protected || never_block && self.rank > OPERATOR_DENY)
    }
}

/// A change the tables do not hold yet.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Live {
    /// A decision more.
    Add(Decision),
    /// The tables' decisions of this rank on exactly this address are gone.
    Lift(IpAddr, u16),
}
