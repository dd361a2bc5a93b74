//! Sampled drops, from the kernel's ring into the latest few.
use std::collections::VecDeque;
use std::path::PathBuf;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use aya::maps::{Map, MapData, RingBuf};
use weir_common::abi::Sample;
use weir_common::verdict::Verdict;
use zerocopy::FromBytes as _;

use crate::adapters::clock;
use crate::domain::decision::ListId;
use crate::domain::report::SampleRow;
use crate::domain::time::MonotonicNs;
use crate::sync::Shared;

/// Samples that are kept.
const KEPT: usize = 256;
/// How often the ring is emptied: the program does not wake anybody, so that a flood costs no wake-ups.
const POLL: Duration = Duration::from_millis(100);

/// Reads the ring for as long as the daemon lives.
pub(super) async fn read(pin: PathBuf, into: Arc<Mutex<VecDeque<SampleRow>>>, shared: Shared) {
    let opened = MapData::from_pin(&pin).and_then(Map::from_map_data).and_then(RingBuf::try_from);
    let mut ring = match opened {
        Ok(ring) => ring,
        Err(error) => return tracing::warn!(%error, "sampled drops cannot be read"),
    };
    loop {
        let mut rows = Vec::new();
        while let Some(item) = ring.next() {
            if let Ok(sample) = Sample::read_from_bytes(&item) {
                rows.push(sample);
            }
        }
        if !rows.is_empty() {
            let state = shared.read();
            let rows: Vec<SampleRow> = rows
                .iter()
                .map(|sample| {
                    let list = state.desired.list(ListId(sample.list)).map(|list| list.name.to_string());
                    row(sample, list)
                })
                .collect();
            drop(state);
            let mut kept = into.lock().unwrap_or_else(std::sync::PoisonError::into_inner);
            kept.extend(rows);
            let excess = kept.len().saturating_sub(KEPT);
            kept.drain(..excess);
        }
        tokio::time::sleep(POLL).await;
    }
}

fn row(sample: &Sample, list: Option<String>) -> SampleRow {
    let bytes = sample.words.as_flattened();
    let captured = (sample.captured as usize).min(bytes.len());
    SampleRow {
        at: clock::wall_of(MonotonicNs(sample.at_ns)),
        interface: sample.interface,
        verdict: u8::try_from(sample.verdict)
            .ok()
            .and_then(Verdict::from_slot)
            .map_or("unknown", Verdict::name)
            .to_owned(),
        observed: sample.observed != 0,
        list,
        length: sample.frame_len,
        bytes: hex::encode(bytes.get(..captured).unwrap_or_default()),
    }
}
