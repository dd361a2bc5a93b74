//! What is known of what is followed: feeds, GeoIP databases, a CrowdSec server. Written by their tasks, read by reports.
use std::collections::HashMap;
use std::net::IpAddr;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, PoisonError, RwLock, RwLockReadGuard, RwLockWriteGuard};

use arc_swap::ArcSwap;
use ipnet::IpNet;
use jiff::Timestamp;

use crate::domain::geo::{Asn, Place, Table};
use crate::domain::report::{CrowdsecRow, FeedRow, GeoRow};

/// The board that the tasks write on.
#[derive(Debug, Default)]
pub struct Followed {
    feeds: RwLock<Vec<FeedRow>>,
    crowdsec: RwLock<Option<CrowdsecRow>>,
    geo: RwLock<Vec<GeoRow>>,
    table: ArcSwap<Table>,
    version: AtomicU64,
    hosts: RwLock<Vec<(IpNet, String)>>,
    offences: RwLock<HashMap<u64, (u32, Option<Timestamp>)>>,
}

impl Followed {
    /// Offences of a source on record, and until when it is denied for them.
    pub fn offences_of(&self, key: u64) -> (u32, Option<Timestamp>) {
        read(&self.offences).get(&key).copied().unwrap_or_default()
    }

    /// Says what offences are on record.
    pub fn set_offences(&self, offences: HashMap<u64, (u32, Option<Timestamp>)>) {
        *write(&self.offences) = offences;
    }

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
            self.version.fetch_add(1, Ordering::Release);
        }
    }

    /// What the GeoIP databases say of all addresses.
    pub fn table(&self) -> Arc<Table> {
        self.table.load_full()
    }

    /// Which table is in use: another number for each.
    pub fn table_version(&self) -> u64 {
        self.version.load(Ordering::Acquire)
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

    /// The prefixes of autonomous systems.
    ///
    /// # Errors
    /// Why they are not known.
    pub fn expand_asns(&self, asns: &[u32]) -> Result<Vec<IpNet>, String> {
        if asns.is_empty() {
            return Ok(Vec::new());
        }
        let table = self.table();
        if table.networks.is_empty() {
            let why = "it names autonomous systems, and weir has no database that knows their addresses: set asn_file \
                       in [geo]";
            return Err(why.to_owned());
        }
        let wanted: std::collections::BTreeSet<Asn> = asns.iter().filter_map(|asn| Asn::new(*asn)).collect();
        Ok(table.networks.space(|asn| wanted.contains(&asn)).prefixes().iter().collect())
    }
}

fn read<T>(lock: &RwLock<T>) -> RwLockReadGuard<'_, T> {
    // Values are put in whole, so one that a panicking task left is as good as any.
    lock.read().unwrap_or_else(PoisonError::into_inner)
}

fn write<T>(lock: &RwLock<T>) -> RwLockWriteGuard<'_, T> {
    lock.write().unwrap_or_else(PoisonError::into_inner)
}
