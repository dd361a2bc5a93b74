//! MaxMind DB files: every network once, under a budget.
use std::collections::HashMap;
use std::net::{IpAddr, Ipv6Addr};
use std::sync::Arc;

use ipnet::{IpNet, Ipv6Net};
use jiff::Timestamp;
use maxminddb::{MaxMindDbError, Reader, WithinOptions};

use super::record::Record;
use super::{Contents, Deadline, GeoProblem, MOST_RANGES, Value, shown};
use crate::domain::geo::{Asn, Range};

/// Networks that a node may come to: one more than nodes in a tree, four times that where IPv4 shows up in IPv6 under
/// its three aliases, and as much again for safety.
const NETWORKS_PER_NODE: u64 = 8;

/// Networks between two looks at the clock.
const STRIDE: u64 = 1024;

/// Where IPv4 shows up a second time: mapped, Teredo, 6to4. It is reported as IPv4 only.
const ALIASES: [Ipv6Net; 3] = [
    Ipv6Net::new_assert(Ipv6Addr::new(0, 0, 0, 0, 0, 0xffff, 0, 0), 96),
    Ipv6Net::new_assert(Ipv6Addr::new(0x2001, 0, 0, 0, 0, 0, 0, 0), 32),
    Ipv6Net::new_assert(Ipv6Addr::new(0x2002, 0, 0, 0, 0, 0, 0, 0), 16),
];

pub(super) fn read<V: Value>(bytes: Vec<u8>, deadline: Deadline) -> Result<Contents<V>, GeoProblem> {
    let reader = Reader::from_source(bytes).map_err(GeoProblem::Broken)?;
    let metadata = reader.metadata();
    let database = Some(shown(&metadata.database_type)).filter(|name| !name.is_empty());
    let built_at = i64::try_from(metadata.build_epoch).ok().and_then(|at| Timestamp::from_second(at).ok());
    let mut contents = Contents { ranges: Vec::new(), names: Vec::new(), database, built_at, has_other: false };
    walk(&reader, deadline, &mut contents)?;
    // What no network's fields show: other fields' values, pointers, the separator. Its walk is a part of the one that
    // has just ended, so it ends too. It insists on a description, which good databases go without: those have had every
    // record decoded above, unknown fields skipped by their sizes.
    if !reader.metadata().description.is_empty() && contents.database.is_some() {
        reader.verify().map_err(GeoProblem::Broken)?;
    }
    Ok(contents)
}

fn walk<V: Value>(reader: &Reader<Vec<u8>>, deadline: Deadline, contents: &mut Contents<V>) -> Result<(), GeoProblem> {
    let nodes = reader.metadata().node_count;
    let limit = u64::from(nodes).saturating_add(1).saturating_mul(NETWORKS_PER_NODE);
    // With everything included each step ends after 128 nodes at most: nothing is skipped inside of the iterator, where
    // nobody counts. A graph that is no tree unfolds without end otherwise.
    let everything = WithinOptions::default().include_aliased_networks().include_networks_without_data();
    let mut values: HashMap<usize, Option<V>> = HashMap::new();
    for (count, found) in (0u64..).zip(reader.networks(everything).map_err(GeoProblem::Broken)?) {
        if count >= limit {
            return Err(GeoProblem::Unfolds { nodes, limit });
        }
        if count.is_multiple_of(STRIDE) {
            deadline.check()?;
        }
        let found = found.map_err(GeoProblem::Broken)?;
        let Some(offset) = found.offset() else { continue };
        let network = found.network().map_err(GeoProblem::Broken)?;
        let net = IpNet::new(network.ip(), network.prefix())
            .map_err(|error| GeoProblem::Broken(MaxMindDbError::invalid_database(format!("{network}: {error}"))))?;
        if is_alias(net) {
            continue;
        }
        let value = if let Some(value) = values.get(&offset) {
            *value
        } else {
            deadline.check()?;
            let record: Record<'_> = found.decode().map_err(GeoProblem::Broken)?.unwrap_or_default();
            let value = V::of_record(&record).map_err(|found| GeoProblem::Value {
                network: net.to_string(),
                what: V::WHAT,
                found: shown(&found),
            })?;
            contents.has_other |= V::other(&record);
            name(contents, value.and_then(V::asn), &record);
            values.insert(offset, value);
            value
        };
        push(contents, Range::from(net), value)?;
    }
    Ok(())
}

fn is_alias(net: IpNet) -> bool {
    match net.addr() {
        IpAddr::V4(_) => false,
        IpAddr::V6(_) => ALIASES.iter().any(|alias| IpNet::V6(*alias).contains(&net)),
    }
}

fn name<V>(contents: &mut Contents<V>, asn: Option<Asn>, record: &Record<'_>) {
    if let (Some(asn), Some(name)) = (asn, record.as_name()) {
        contents.names.push((asn, Arc::from(shown(name))));
    }
}

/// Networks come in order and apart, so neighbours that say the same are one.
fn push<V: Value>(contents: &mut Contents<V>, range: Range, value: Option<V>) -> Result<(), GeoProblem> {
    if value.is_none() {
        return Ok(());
    }
    if let Some((last, same)) = contents.ranges.last_mut()
        && *same == value
        && let Some(joined) = last.joined(range)
    {
        *last = joined;
        return Ok(());
    }
    if contents.ranges.len() >= MOST_RANGES {
        return Err(GeoProblem::TooManyRanges);
    }
    contents.ranges.push((range, value));
    Ok(())
}
