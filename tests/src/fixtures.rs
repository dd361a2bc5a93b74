//! Named frames, each a claim: what it is, under which policy, and the verdict it must get.
//!
//! Letters and numbers in the section comments are those of the fault catalogue: P1 (every length) is made of all of
//! these, P2 (frames below an Ethernet header) cannot reach the program, which only the host can be asked about, P7
//! (tags taken off by the card) is the same frame with and without its tag, and P18 needs a real driver.
use std::net::IpAddr;

use ipnet::IpNet;
use weir_common::verdict::Verdict;

use crate::reference::world::{Act, Decision, Policy, World};

mod floods;
mod ipv4;
mod ipv6;
mod link;
mod outer;
pub mod random;

pub use ipv4::every_protocol_v4;
pub use ipv6::every_protocol_v6;
pub use link::every_tag_mix;

/// Which policy a fixture is judged by.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Scenario {
    /// The standard lists, everything enforced.
    Lists,
    /// The same lists, everything observed.
    ObserveAll,
    /// The same lists, and a packet over the header budget passes.
    BudgetPasses,
    /// The same lists, bypassed.
    Bypass,
    /// The same lists, and transport headers that lie are malformed.
    Shape,
    /// The same lists, and fragments of all kinds are dropped.
    NoFragments,
    /// The same lists, and later fragments pass only behind a first one that passed.
    Matched,
    /// The same lists, with rules for ports, answers and types of ICMP.
    Ports,
    /// All of the last four, observed.
    FloodsObserved,
}

impl Scenario {
    /// Every one.
    pub const ALL: [Self; 9] = [
        Self::Lists,
        Self::ObserveAll,
        Self::BudgetPasses,
        Self::Bypass,
        Self::Shape,
        Self::NoFragments,
        Self::Matched,
        Self::Ports,
        Self::FloodsObserved,
    ];

    /// The policy.
    pub fn world(self) -> World {
        let mut world = floods::world(self);
        match self {
            Self::Lists | Self::Shape | Self::NoFragments | Self::Matched | Self::Ports | Self::FloodsObserved => {}
            Self::ObserveAll => world.slots[0].observe_all = true,
            Self::BudgetPasses => world.slots[0].budget_passes = true,
            Self::Bypass => world.bypass = true,
        }
        world
    }
}

/// A frame and what must become of it.
#[derive(Clone, Debug)]
pub struct Fixture {
    /// What is claimed.
    pub name: String,
    /// The policy.
    pub scenario: Scenario,
    /// The frame.
    pub frame: Vec<u8>,
    /// The verdict that decides.
    pub verdict: Verdict,
    /// The verdict that would have decided.
    pub observed: Option<Verdict>,
}

impl Fixture {
    /// A fixture under the standard lists.
    pub fn new(name: impl Into<String>, frame: Vec<u8>, verdict: Verdict) -> Self {
        Self { name: name.into(), scenario: Scenario::Lists, frame, verdict, observed: None }
    }

    /// Under another policy.
    pub fn under(mut self, scenario: Scenario) -> Self {
        self.scenario = scenario;
        self
    }

    /// With a drop that is only counted.
    pub fn observing(mut self, verdict: Verdict) -> Self {
        self.observed = Some(verdict);
        self
    }
}

/// Denied by the operator.
pub const DENIED_V4: [u8; 4] = [192, 0, 2, 66];
/// Inside a denied prefix.
pub const DENIED_NET_V4: [u8; 4] = [198, 51, 100, 77];
/// Allowed, inside the same denied prefix.
pub const ALLOWED_V4: [u8; 4] = [198, 51, 100, 10];
/// Denied by an automation.
pub const RULED_V4: [u8; 4] = [192, 0, 2, 70];
/// Denied by the operator, observed only.
pub const OBSERVED_V4: [u8; 4] = [192, 0, 2, 71];
/// Denied by an automation and, observed only, by the operator.
pub const OBSERVED_AND_RULED_V4: [u8; 4] = [192, 0, 2, 72];
/// Its entry leads nowhere.
pub const TORN_V4: [u8; 4] = [192, 0, 2, 99];
/// Protected, though an automation denies it.
pub const PROTECTED_V4: [u8; 4] = [192, 0, 2, 1];
/// Protected, and denied by force.
pub const FORCED_V4: [u8; 4] = [192, 0, 2, 2];
/// Never to be blocked, though an automation denies it.
pub const NEVER_BLOCK_V4: [u8; 4] = [192, 0, 2, 3];
/// Never to be blocked, and denied by the operator.
pub const NEVER_BLOCK_DENIED_V4: [u8; 4] = [192, 0, 2, 4];
/// On no list.
pub const UNLISTED_V4: [u8; 4] = [203, 0, 113, 5];

/// Denied by the operator.
pub const DENIED_V6: [u8; 16] = crate::frames::v6(0x2001_0db8, 1, 0x66);
/// Inside a denied prefix.
pub const DENIED_NET_V6: [u8; 16] = crate::frames::v6(0x2001_0db8, 0xdead_0001, 0x77);
/// Allowed, inside the same denied prefix.
pub const ALLOWED_V6: [u8; 16] = crate::frames::v6(0x2001_0db8, 0xdead_0001, 0x10);
/// Denied by the operator, observed only.
pub const OBSERVED_V6: [u8; 16] = crate::frames::v6(0x2001_0db8, 1, 0x71);
/// Its entry leads nowhere.
pub const TORN_V6: [u8; 16] = crate::frames::v6(0x2001_0db8, 1, 0x99);
/// Protected, though an automation denies it.
pub const PROTECTED_V6: [u8; 16] = crate::frames::v6(0x2001_0db8, 1, 0x1);
/// A router's link-local address that the operator denies.
pub const DENIED_LINK_LOCAL: [u8; 16] = crate::frames::v6(0xfe80_0000, 0, 0x66);
/// On no list.
pub const UNLISTED_V6: [u8; 16] = crate::frames::v6(0x2001_0db8, 5, 0x5);

/// The operator's deny: rank 1, `denied`.
pub fn deny(prefix: &str) -> Decision {
    let act = Act::Deny(Verdict::Denied);
    Decision { prefix: net(prefix), act, rank: 1, observe: false, forced: false, expires_at_s: 0 }
}

/// The operator's allow: rank 0.
pub fn allow(prefix: &str) -> Decision {
    Decision { act: Act::Allow, rank: 0, ..deny(prefix) }
}

/// An automation's deny: rank 3, `rule`.
pub fn rule(prefix: &str) -> Decision {
    Decision { act: Act::Deny(Verdict::Rule), rank: 3, ..deny(prefix) }
}

/// A weaker origin's deny.
pub fn weaker(prefix: &str, rank: u16, verdict: Verdict) -> Decision {
    Decision { act: Act::Deny(verdict), rank, ..deny(prefix) }
}

impl Decision {
    /// Counted only.
    pub fn observed(mut self) -> Self {
        self.observe = true;
        self
    }

    /// Whatever protection says.
    pub fn by_force(mut self) -> Self {
        self.forced = true;
        self
    }

    /// Until this boot-time second.
    pub fn until(mut self, second: u32) -> Self {
        self.expires_at_s = second;
        self
    }
}

/// A prefix, or a single address.
///
/// # Panics
/// Where it is none.
pub fn net(text: &str) -> IpNet {
    let parsed = text.parse().or_else(|_| text.parse::<IpAddr>().map(IpNet::from));
    parsed.unwrap_or_else(|error| panic!("{text} is no prefix: {error}"))
}

/// The lists that most fixtures are judged by.
pub fn standard() -> World {
    let decisions = vec![
        deny("192.0.2.66"),
        deny("198.51.100.0/25"),
        allow("198.51.100.10"),
        rule("192.0.2.70"),
        deny("192.0.2.71").observed(),
        deny("192.0.2.72").observed(),
        rule("192.0.2.72"),
        rule("192.0.2.1"),
        deny("192.0.2.2").by_force(),
        rule("192.0.2.3"),
        deny("192.0.2.4"),
        deny("0.0.0.0/8").by_force(),
        deny("127.0.0.0/8").by_force(),
        deny("2001:db8:0:1::66"),
        deny("2001:db8:dead::/48"),
        allow("2001:db8:dead:1::10"),
        deny("2001:db8:0:1::71").observed(),
        rule("2001:db8:0:1::1"),
        deny("fe80::66").by_force(),
    ];
    let policy = Policy {
        decisions,
        protected: vec![net("192.0.2.1"), net("192.0.2.2"), net("2001:db8:0:1::1")],
        never_block: vec![net("192.0.2.3"), net("192.0.2.4")],
        torn: vec![TORN_V4.into(), TORN_V6.into()],
        tracks: true,
        ..Policy::default()
    };
    let mut world = World { now_s: 5_000, now_ns: 5_000_000_000_000, ..World::default() };
    world.slots[0] = policy;
    world
}

/// Every named fixture.
pub fn named() -> Vec<Fixture> {
    let mut all = link::fixtures();
    all.extend(ipv4::fixtures());
    all.extend(ipv6::fixtures());
    all.extend(outer::fixtures());
    all.extend(floods::fixtures());
    all
}

/// Every fixture: the named ones and those made by counting.
pub fn all() -> Vec<Fixture> {
    let mut all = named();
    all.extend(every_tag_mix());
    all.extend(every_protocol_v4());
    all.extend(every_protocol_v6());
    all
}
