//! Recorded attacks: what each of their packets is, honest traffic to mix in, and what becomes of both under a profile.
//!
//! The captures are in `pcap/` in the folder that `WEIR_DATA` names; which of their packets are the attack is said by a
//! table of this crate's own, `data/captures/labels.toml`.
use std::sync::Arc;

use anyhow::{Context as _, Result};

pub mod fields;
pub mod file;
pub mod honest;
pub mod labels;
pub mod machine;
pub mod shares;
pub mod sockets;

use labels::{Label, Recorded, Table};

/// The table of labels, as it stands in the repository.
const LABELS: &str = include_str!("../data/captures/labels.toml");

/// A packet that is known for what it is.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Packet {
    /// When it came, in nanoseconds since the epoch.
    pub at_ns: u64,
    /// The frame.
    pub frame: Vec<u8>,
    /// What it is.
    pub label: Label,
    /// The group it belongs to.
    pub group: Arc<str>,
}

/// The committed table.
///
/// # Errors
/// Where it is no such table.
pub fn table() -> Result<Table> {
    toml::from_str(LABELS).context("tests/data/captures/labels.toml")
}

/// A capture's packets, each with its label.
///
/// # Errors
/// Where the capture cannot be read, or is not what the table says of it.
pub fn labelled(recorded: &Recorded, path: &std::path::Path) -> Result<Vec<Packet>> {
    recorded.label(file::read(path)?).with_context(|| format!("label {}", path.display()))
}

/// Two streams as one, in the order of time; what comes at the same moment in the order of the arguments.
pub fn interleaved(one: Vec<Packet>, other: Vec<Packet>) -> Vec<Packet> {
    let mut all = one;
    all.extend(other);
    all.sort_by_key(|packet| packet.at_ns);
    all
}
