//! Names of feed hosts to addresses, checked at the moment of the connection.
//!
//! A check before the connection and a second look-up for it could be answered differently (rebinding): here the
//! addresses that are checked are those that are connected to.
use std::collections::BTreeMap;
use std::net::{IpAddr, SocketAddr};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use reqwest::dns::{Addrs, Name, Resolve, Resolving};

use super::address::{self, Forbidden};

/// Addresses kept for one host.
const ADDRESSES: usize = 64;
/// Hosts kept.
const HOSTS: usize = 1_024;

/// The addresses of the hosts that feeds are configured at. Not of those that they redirect to: a feed's host joins the
/// protected set, and a hostile one could protect whom it likes by a redirect.
#[derive(Clone, Debug, Default)]
pub struct Hosts(Arc<Mutex<BTreeMap<String, Vec<IpAddr>>>>);

impl Hosts {
    fn lock(&self) -> MutexGuard<'_, BTreeMap<String, Vec<IpAddr>>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// From now on the addresses of this host are kept.
    pub(super) fn follow(&self, host: &str) {
        let mut hosts = self.lock();
        if hosts.len() < HOSTS && !hosts.contains_key(host) {
            hosts.insert(host.to_owned(), Vec::new());
        }
    }

    /// The addresses of a followed host, in place of those before.
    pub(super) fn record(&self, host: &str, addresses: &[IpAddr]) {
        if let Some(kept) = self.lock().get_mut(host) {
            *kept = addresses.iter().take(ADDRESSES).copied().collect();
        }
    }

    /// Forgets the hosts that `keep` does not want.
    pub fn retain(&self, mut keep: impl FnMut(&str) -> bool) {
        self.lock().retain(|host, _| keep(host));
    }

    /// Each address with the host it belongs to.
    pub fn all(&self) -> Vec<(IpAddr, String)> {
        let hosts = self.lock();
        hosts.iter().flat_map(|(host, addresses)| addresses.iter().map(|a| (*a, host.clone()))).collect()
    }
}

/// None of a name's addresses may be asked.
#[derive(Clone, Debug, thiserror::Error)]
#[error("{host} is at {address}, {}", .why.what)]
pub(super) struct Rebound {
    pub(super) host: String,
    pub(super) address: IpAddr,
    pub(super) why: Forbidden,
}

/// A name that has no address.
#[derive(Clone, Debug, thiserror::Error)]
#[error("{host}: {cause}")]
pub(super) struct Unresolved {
    pub(super) host: String,
    pub(super) cause: String,
}

/// Names that are answered from here and not by the resolver of the system; for tests and fixed hosts.
pub type Fixed = BTreeMap<String, Vec<IpAddr>>;

/// The system's resolver, and the check.
#[derive(Clone, Debug)]
pub(super) struct Guarded {
    pub(super) allow_private: bool,
    pub(super) hosts: Hosts,
    pub(super) fixed: Arc<Fixed>,
}

impl Guarded {
    async fn addresses(&self, host: &str) -> Result<Vec<IpAddr>, Unresolved> {
        if let Some(fixed) = self.fixed.get(host) {
            return Ok(fixed.clone());
        }
        let unresolved = |cause: String| Unresolved { host: host.to_owned(), cause };
        let found = tokio::net::lookup_host((host, 0)).await.map_err(|error| unresolved(error.to_string()))?;
        let addresses: Vec<IpAddr> = found.take(ADDRESSES).map(|found| found.ip()).collect();
        if addresses.is_empty() { Err(unresolved("no address".to_owned())) } else { Ok(addresses) }
    }
}

impl Resolve for Guarded {
    fn resolve(&self, name: Name) -> Resolving {
        let guarded = self.clone();
        Box::pin(async move {
            let host = name.as_str();
            let addresses = guarded.addresses(host).await?;
            let may = |address: &IpAddr| address::forbidden(*address, guarded.allow_private);
            let allowed: Vec<IpAddr> = addresses.iter().copied().filter(|address| may(address).is_none()).collect();
            if let (true, Some(address)) = (allowed.is_empty(), addresses.first()) {
                let why = may(address).unwrap_or(Forbidden { what: "not allowed", allowable: false });
                return Err(Rebound { host: host.to_owned(), address: *address, why }.into());
            }
            guarded.hosts.record(host, &allowed);
            let sockets: Addrs = Box::new(allowed.into_iter().map(|address| SocketAddr::new(address, 0)));
            Ok(sockets)
        })
    }
}
