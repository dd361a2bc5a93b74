//! What is held against floods: limits, and policies for transport, fragments, ports and answers, as one value.
use std::collections::BTreeSet;

use weir_common::abi::{PROFILES, Slot, feature};
use weir_common::traffic::{Dimension, Scope};

use super::decision::Enforcement;
use super::limits::Limit;
use super::ports::{PortLimit, PortRule, PortTable, PortTableError};
use super::services::{AMPLIFIERS, IcmpType};

/// The number of the tighter limit among a slot's: 0 is everybody's.
pub const TIGHT: u32 = 1;

/// Limits that lists can name, beside the tighter one.
pub const MOST_PROFILES: usize = PROFILES - 2;

/// What becomes of first fragments.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum FirstFragments {
    /// They pass.
    #[default]
    Pass,
    /// They are dropped as `fragment`.
    Drop,
}

/// What becomes of later fragments.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum LaterFragments {
    /// They pass.
    #[default]
    Pass,
    /// They pass behind a first one that passed.
    Matched,
    /// They are dropped as `fragment`.
    Drop,
}

/// Answers by UDP that nobody asked for.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Amplification {
    /// Whether they are dropped.
    pub enforcement: Enforcement,
    /// The source ports that make a packet an answer.
    pub ports: BTreeSet<u16>,
}

impl Amplification {
    /// Answers of all known services but those in use, and of further ports.
    pub fn new(enforcement: Enforcement, uses: &[&str], further: &[u16]) -> Self {
        let known = AMPLIFIERS.iter().filter(|service| !uses.contains(&service.name)).flat_map(|service| service.ports);
        Self { enforcement, ports: known.chain(further).copied().collect() }
    }
}

/// Everything that is held against floods; by default nothing.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Floods {
    /// Each source's limit.
    pub source: Option<Limit>,
    /// Each network's.
    pub network: Option<Limit>,
    /// The limit for everything.
    pub global: Option<Limit>,
    /// That of sources on lists that limit and name no other.
    pub tight: Option<Limit>,
    /// Limits that lists name.
    pub profiles: Vec<(String, Limit)>,
    /// Limits of destination ports.
    pub port_limits: Vec<PortLimit>,
    /// Layer-4 headers that lie.
    pub transport: Option<Enforcement>,
    /// First fragments.
    pub first_fragments: FirstFragments,
    /// Later fragments.
    pub later_fragments: LaterFragments,
    /// Whether what is said about fragments is carried out.
    pub fragments: Enforcement,
    /// Answers nobody asked for.
    pub amplification: Option<Amplification>,
    /// Types of ICMP that are denied.
    pub icmp: Vec<IcmpType>,
    /// Whether that is carried out.
    pub icmp_enforcement: Enforcement,
    /// Rules for destination ports.
    pub port_rules: Vec<PortRule>,
}

/// Features that read on behind the network header.
const READS_ON: u32 = feature::SHAPE
    | feature::DROP_FIRST_FRAGMENTS
    | feature::DROP_LATER_FRAGMENTS
    | feature::MATCH_FRAGMENTS
    | feature::PORTS
    | feature::ANSWERS
    | feature::ICMP_TYPES;

impl Floods {
    /// The number of a limit that lists name; `None`: there is none of the name.
    pub fn profile(&self, name: &str) -> Option<u32> {
        let at = self.profiles.iter().position(|(known, _)| known == name)?;
        u32::try_from(at).ok().map(|at| at + TIGHT + 1)
    }

    /// The limit that a number stands for, as [`weir_common::abi::class_flag::profile_of`] reads it.
    pub fn limit_of(&self, profile: u32) -> Option<&Limit> {
        let named = match profile {
            0 => None,
            TIGHT => self.tight.as_ref(),
            other => {
                usize::try_from(other - TIGHT - 1).ok().and_then(|at| self.profiles.get(at)).map(|(_, limit)| limit)
            }
        };
        named.or(self.source.as_ref())
    }

    /// What the limit with a number is called; `None` where there is none of its own.
    pub fn profile_name(&self, profile: u32) -> Option<&str> {
        match profile {
            0 => None,
            TIGHT => self.tight.is_some().then_some("tight"),
            other => {
                let at = usize::try_from(other - TIGHT - 1).ok()?;
                self.profiles.get(at).map(|(name, _)| name.as_str())
            }
        }
    }

    /// Whether breaking the limit that buckets of this scope belong to ([`weir_common::abi::OffenderKey`]) costs packets: what
    /// is only counted is no offence. Which of several limits a source has, its buckets do not tell, so all must.
    pub fn enforces(&self, scope: u32) -> bool {
        let enforced = |limit: &Limit| limit.enforcement() == Enforcement::Enforce;
        let which = Scope::ALL.into_iter().find(|known| known.slot() == scope & 0xff);
        match which {
            Some(Scope::Source) => {
                let profiles = self.profiles.iter().map(|(_, limit)| limit);
                self.source.iter().chain(&self.tight).chain(profiles).all(enforced)
            }
            Some(Scope::Network) => self.network.as_ref().is_some_and(enforced),
            Some(Scope::Port) => self.port_limits.get((scope >> 8) as usize).is_some_and(|port| enforced(&port.limit)),
            Some(Scope::Global) | None => false,
        }
    }

    /// Every limit there is.
    fn limits(&self) -> impl Iterator<Item = &Limit> {
        let plain = self.source.iter().chain(&self.network).chain(&self.global).chain(&self.tight);
        plain.chain(self.profiles.iter().map(|(_, limit)| limit)).chain(self.port_limits.iter().map(|port| &port.limit))
    }

    /// Whether some limit is of this dimension.
    fn counts(&self, dimension: Dimension) -> bool {
        self.limits().any(|limit| limit.rate(dimension).is_some())
    }

    /// Whether a packet may be dropped for what stands in its transport header: where that is split over fragments, nobody
    /// but the host it is for could read it.
    fn goes_by_transport(&self) -> bool {
        const READ: [Dimension; 4] = [Dimension::Syn, Dimension::Udp, Dimension::Icmp, Dimension::New];
        let enforced = |enforcement| enforcement == Enforcement::Enforce;
        self.port_rules.iter().any(|rule| rule.is_denied && enforced(rule.enforcement))
            || self.port_limits.iter().any(|port| enforced(port.limit.enforcement()))
            || self.amplification.as_ref().is_some_and(|answers| enforced(answers.enforcement))
            || !self.icmp.is_empty() && enforced(self.icmp_enforcement)
            || self
                .limits()
                .any(|limit| enforced(limit.enforcement()) && READ.iter().any(|one| limit.rate(*one).is_some()))
    }

    /// What ports lead to.
    ///
    /// # Errors
    /// [`PortTableError`] where there are too many rules.
    pub fn port_table(&self) -> Result<PortTable, PortTableError> {
        PortTable::new(&self.port_rules, &self.port_limits)
    }

    /// Writes all of it into a slot, on a machine with so many CPUs, where sockets that ask for no port get one from
    /// `askers_from` on.
    pub fn fill(&self, slot: &mut Slot, ports: &PortTable, cpus: u32, askers_from: u16) {
        for (number, place) in (0..).zip(&mut slot.source_limits) {
            if let Some(limit) = self.limit_of(number) {
                *place = limit.words(cpus);
                slot.features |= feature::SOURCE_LIMIT;
            }
        }
        if let Some(limit) = &self.network {
            slot.network_limit = limit.words(cpus);
            slot.features |= feature::NETWORK_LIMIT;
        }
        if let Some(limit) = &self.global {
            slot.global_limit = limit.words(cpus);
            slot.features |= feature::GLOBAL_LIMIT;
        }
        for (place, port) in slot.port_limits.iter_mut().zip(&self.port_limits) {
            *place = port.limit.words(cpus);
        }
        slot.port_rows = ports.rows;
        slot.askers_from = u32::from(askers_from);
        let observed = |enforcement: Enforcement, bit: u32| if enforcement == Enforcement::Observe { bit } else { 0 };
        if let Some(enforcement) = self.transport {
            slot.features |= feature::SHAPE | observed(enforcement, feature::OBSERVE_SHAPE);
        }
        slot.features |= match self.first_fragments {
            FirstFragments::Pass => 0,
            FirstFragments::Drop => feature::DROP_FIRST_FRAGMENTS,
        };
        slot.features |= match self.later_fragments {
            LaterFragments::Pass => 0,
            LaterFragments::Matched => feature::MATCH_FRAGMENTS,
            LaterFragments::Drop => feature::DROP_LATER_FRAGMENTS,
        };
        slot.features |= observed(self.fragments, feature::OBSERVE_FRAGMENTS);
        if let Some(amplification) = &self.amplification {
            slot.features |= feature::ANSWERS | observed(amplification.enforcement, feature::OBSERVE_ANSWERS);
            for port in &amplification.ports {
                if let Some(word) = slot.answers.get_mut(usize::from(*port) / 64) {
                    *word |= 1 << (port % 64);
                }
            }
        }
        for kind in &self.icmp {
            slot.features |= feature::ICMP_TYPES | observed(self.icmp_enforcement, feature::OBSERVE_ICMP_TYPES);
            set_bit(&mut slot.icmp_v4, kind.v4);
            set_bit(&mut slot.icmp_v6, kind.v6);
        }
        if !ports.is_empty() {
            slot.features |= feature::PORTS;
        }
        if self.counts(Dimension::New) {
            slot.features |= feature::FLOWS;
        }
        if self.goes_by_transport() {
            slot.features |= feature::WHOLE_FIRST_FRAGMENTS;
        }
        let behind =
            Dimension::ALL.into_iter().filter(|dimension| !matches!(dimension, Dimension::Packets | Dimension::Bytes));
        if slot.features & READS_ON != 0 || behind.into_iter().any(|dimension| self.counts(dimension)) {
            slot.features |= feature::TRANSPORT;
        }
    }
}

fn set_bit(bits: &mut [u64; 4], place: Option<u8>) {
    if let Some(word) = place.and_then(|place| bits.get_mut(usize::from(place) / 64)) {
        *word |= 1 << (place.unwrap_or(0) % 64);
    }
}
