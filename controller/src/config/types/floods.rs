//! Words of the sections that are held against floods.
use super::Choice;
use crate::domain::decision::Enforcement;
use crate::domain::ports;

/// Off, or on in one of two ways.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(in crate::config) enum Switch {
    /// Nothing is looked at.
    Off,
    /// Hits are counted.
    Observe,
    /// Hits are dropped.
    Enforce,
}

impl Switch {
    /// `None` where it is off.
    pub(in crate::config) fn enforcement(self) -> Option<Enforcement> {
        match self {
            Self::Off => None,
            Self::Observe => Some(Enforcement::Observe),
            Self::Enforce => Some(Enforcement::Enforce),
        }
    }
}

/// What becomes of fragments.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(in crate::config) enum FragmentWord {
    /// They pass.
    Pass,
    /// They pass behind a first one that passed.
    Matched,
    /// They are dropped.
    Drop,
}

/// What becomes of ports.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(in crate::config) enum PortAction {
    /// They can be reached.
    Allow,
    /// They cannot.
    Deny,
}

/// Whose limit that of ports is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(in crate::config) enum PortScope {
    /// Everybody's together.
    Service,
    /// Each source's.
    Source,
}

impl Choice for Switch {
    const ALL: &'static [Self] = &[Self::Off, Self::Observe, Self::Enforce];

    fn word(self) -> &'static str {
        match self {
            Self::Off => "off",
            Self::Observe => "observe",
            Self::Enforce => "enforce",
        }
    }
}

impl Choice for FragmentWord {
    const ALL: &'static [Self] = &[Self::Pass, Self::Matched, Self::Drop];

    fn word(self) -> &'static str {
        match self {
            Self::Pass => "pass",
            Self::Matched => "matched",
            Self::Drop => "drop",
        }
    }
}

impl Choice for PortAction {
    const ALL: &'static [Self] = &[Self::Allow, Self::Deny];

    fn word(self) -> &'static str {
        match self {
            Self::Allow => "allow",
            Self::Deny => "deny",
        }
    }
}

impl Choice for PortScope {
    const ALL: &'static [Self] = &[Self::Service, Self::Source];

    fn word(self) -> &'static str {
        match self {
            Self::Service => "service",
            Self::Source => "source",
        }
    }
}

impl Choice for ports::Protocol {
    const ALL: &'static [Self] = &[Self::Tcp, Self::Udp, Self::Any];

    fn word(self) -> &'static str {
        match self {
            Self::Tcp => "tcp",
            Self::Udp => "udp",
            Self::Any => "any",
        }
    }
}
