//! What is known of what is followed: feeds, GeoIP databases, a CrowdSec server. Written by their tasks, read by reports.
use std::net::IpAddr;
use std::sync::{Arc, PoisonError, RwLock, RwLockReadGuard, RwLockWriteGuard};

use arc_swap::ArcSwap;
use ipnet::IpNet;

use crate::domain::geo::{Asn, Place, Table};
use crate::domain::listfile::Parsed;
use crate::domain::report::{CrowdsecRow, FeedRow, GeoRow};

/// The board that the tasks write on.
#[derive(Debug, Default)]
pub struct Followed {
    feeds: RwLock<Vec<FeedRow>>,
    crowdsec: RwLock<Option<CrowdsecRow>>,
    geo: RwLock<Vec<GeoRow>>,
    table: ArcSwap<Table>,
    hosts: RwLock<Vec<(IpNet, String)>>,
}

impl Followed {
    /// Every feed, in the order of the configuration.
    pub fn feed_rows(&self) -> Vec<FeedRow> {
        read(&self.feeds).clone()
    }

    /// Says which feeds there are; what is known of those that stay is kept.
    pub fn set_feeds(&self, rows: Vec<FeedRow>) {
        let mut feeds = write(&self.feeds);
        let mut old = std::mem::take(&mut *feeds);
        *feeds = rows
            .into_iter()
            .map(|new| {
                let kept = old.iter().position(|old| old.name == new.name && old.source == new.source);
                match kept {
                    Some(at) => {
                        let old = old.swap_remove(at);
                        FeedRow { action: new.action, terms: new.terms, ..old }
                    }
                    None => new,
                }
            })
            .collect();
    }

    /// Changes what is known of a feed.
    pub fn update_feed(&self, name: &str, change: impl FnOnce(&mut FeedRow)) {
        if let Some(row) = write(&self.feeds).iter_mut().find(|row| row.name == name) {
            change(row);
        }
    }

    /// The CrowdSec server, if one is asked.
    pub fn crowdsec_row(&self) -> Option<CrowdsecRow> {
        read(&self.crowdsec).clone()
    }

    /// Says how the CrowdSec server does.
    pub fn set_crowdsec(&self, row: Option<CrowdsecRow>) {
        *write(&self.crowdsec) = row;
    }

    /// The GeoIP databases.
    pub fn geo_rows(&self) -> Vec<GeoRow> {
        read(&self.geo).clone()
    }

    /// Puts another table in use.
    pub fn set_geo(&self, rows: Vec<GeoRow>, table: Option<Table>) {
        *write(&self.geo) = rows;
        if let Some(table) = table {
            self.table.store(Arc::new(table));
        }
    }

    /// What the GeoIP databases say of all addresses.
    pub fn table(&self) -> Arc<Table> {
        self.table.load_full()
    }

    /// Where an address belongs.
    pub fn place(&self, address: IpAddr) -> Place {
        self.table.load().place(address)
    }

    /// Addresses of the hosts that are asked, with why they must not be cut off.
    pub fn hosts(&self) -> Vec<(IpNet, String)> {
        read(&self.hosts).clone()
    }

    /// Says which addresses the hosts that are asked have.
    pub fn set_hosts(&self, part: &str, addresses: impl IntoIterator<Item = (IpAddr, String)>) {
        let found = addresses.into_iter().map(|(address, host)| (IpNet::from(address), format!("{part} {host}")));
        let mut hosts = write(&self.hosts);
        hosts.retain(|(_, why)| !why.starts_with(part));
        hosts.extend(found);
        hosts.sort();
    }

    /// Puts the prefixes of autonomous systems in the place of their numbers; says why that cannot be done.
    pub fn expand_asns(&self, parsed: &mut Parsed) -> Option<String> {
        if parsed.asns.is_empty() {
            return None;
        }
        let table = self.table();
        if table.networks.is_empty() {
            return Some(
                "it names autonomous systems, and weir has no database that knows their addresses: set asn_file in \
                 [geo]"
                    .to_owned(),
            );
        }
        let wanted: std::collections::BTreeSet<Asn> = parsed.asns.iter().filter_map(|asn| Asn::new(*asn)).collect();
        parsed.entries.extend(table.networks.space(|asn| wanted.contains(&asn)).prefixes().iter());
        None
    }
}

fn read<T>(lock: &RwLock<T>) -> RwLockReadGuard<'_, T> {
    // Values are put in whole, so one that a panicking task left is as good as any.
    lock.read().unwrap_or_else(PoisonError::into_inner)
}

fn write<T>(lock: &RwLock<T>) -> RwLockWriteGuard<'_, T> {
    lock.write().unwrap_or_else(PoisonError::into_inner)
}
