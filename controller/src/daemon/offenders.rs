//! Those that break limits: offences into the audit trail, denials into the sync task.
use std::sync::Arc;
use std::time::Duration;

use ipnet::{IpNet, Ipv4Net, Ipv6Net};
use serde_json::json;
use weir_common::abi::OffenderKey;
use weir_common::addr::{SourceKey, SourceNetwork};
use weir_common::traffic::Scope;

use super::keeper::Keeper;
use super::reputation::ReputationHandle;
use crate::adapters::clock;
use crate::adapters::kernel::query::KernelPolicy;
use crate::domain::decision::{Enforcement, ListEnforcement, Origin};
use crate::domain::floods::Floods;
use crate::domain::http::recorded::Recorded;
use crate::domain::limits::unit;
use crate::domain::offenders::{Book, Offence};
use crate::domain::time::MonotonicNs;
use crate::sync::{Batch, Command, Handle, Put, Shared};
use crate::views;

/// How often the buckets are looked at, if anything was refused since.
const LOOK_EVERY: Duration = Duration::from_millis(500);
/// Looks after which what is long ago is forgotten.
const SWEEP_AFTER: u32 = 600;
/// The list that denials are on, and the part that problems are noted under.
const NAME: &str = "offenders";

/// The name of the problem that there is no room for more who come near a limit.
const ROOM: &str = "max_sources";
const NO_ROOM: &str = "no room for buckets of more senders near a limit: they are held by what each CPU counts of them, which \
                       lets more through; raise [state] max_sources";
/// Looks without anybody who found no room until that is over: ten seconds.
const QUIET: u32 = 20;
/// Offences that move scores at one look.
const MOST_WEIGHED: usize = 1_000;
/// Offences that are kept as events at one look.
const MOST_EVENTS: usize = 10_000;
/// Offences that are written into the audit trail at one look: a flood of offenders is not to be one of records.
const MOST_RECORDS: usize = 100;

/// Looks until the daemon stops.
pub(super) async fn watch(
    shared: Shared,
    policy: Arc<KernelPolicy>,
    sync: Handle,
    keeper: Keeper,
    reputation: ReputationHandle,
) {
    let mut book = Book::new(usize::try_from(shared.read().offender_room).unwrap_or(usize::MAX));
    let mut refusals = 0;
    let mut room = Room::new(shared.reader.counters().offenders_full);
    let mut looks = 0u32;
    loop {
        tokio::time::sleep(LOOK_EVERY).await;
        looks = looks.wrapping_add(1);
        if looks.is_multiple_of(SWEEP_AFTER) {
            book.sweep(clock::monotonic().0);
        }
        let counters = shared.reader.counters();
        if room.look(counters.offenders_full) {
            let _stopping = sync.send(Command::Problem(ROOM.to_owned(), room.problem()));
        }
        let now_refused = counters.refusals;
        if now_refused == refusals {
            continue;
        }
        refusals = now_refused;
        let reader = Arc::clone(&shared.reader);
        let read = tokio::task::spawn_blocking(move || reader.all_offenders()).await;
        let buckets = match read {
            Ok(Ok(buckets)) => buckets,
            Ok(Err(error)) => {
                tracing::warn!(%error, "those that break limits cannot be read");
                continue;
            }
            Err(_) => return,
        };
        let (consequence, floods, enforcement) = {
            let state = shared.read();
            (state.settings.consequence, Arc::clone(&state.settings.floods), state.enforcement())
        };
        if enforcement == Enforcement::Observe {
            continue;
        }
        let buckets = buckets.into_iter().filter(|(key, _)| floods.enforces(key.scope));
        let buckets = buckets.map(|(key, offender)| (key, offender.buckets));
        let mut offences = book.look(buckets, clock::monotonic().0, &consequence);
        let (now, clocks) = (clock::monotonic().0, clock::Pair::now());
        // Whom nothing may deny is not said to be denied either.
        let guards = shared.read().guards.clone();
        for offence in offences.iter_mut().filter(|offence| guards.spares(prefix(offence.key)).is_some()) {
            offence.deny_for_s = None;
        }
        let histories = book.histories().map(|(key, offences, until)| {
            let is_denied = until > now && guards.spares(source(key)).is_none();
            (key, (offences, is_denied.then(|| clocks.wall_of(MonotonicNs(until)))))
        });
        shared.followed.set_offences(histories.collect());
        if !offences.is_empty() {
            tell(&shared, &keeper, &reputation, &offences);
            let records = records(&shared, &floods, &policy, &offences);
            carry_out(&sync, &offences, records).await;
        }
    }
}

/// Has offences of single sources kept and weighed. What a network does is nobody's by name.
fn tell(shared: &Shared, keeper: &Keeper, reputation: &ReputationHandle, offences: &[Offence]) {
    let now = clock::now().wall;
    let mut events = Vec::new();
    let single = offences.iter().filter(|offence| offence.key.scope & 0xff != Scope::Network.slot());
    for (at, offence) in single.enumerate() {
        let (source, limit) = (prefix(offence.key), unit(offence.dimension));
        let address = source.addr();
        // What anybody can forge does not push out what is proven.
        if at < MOST_WEIGHED {
            reputation.offended(address, limit, now);
        }
        let country = shared.followed.place(address).country.map(|country| country.to_string());
        let refused = format!("over its limit of {limit}: {} of {} packets refused", offence.refused, offence.offered);
        let message = match shared.read().guards.spares(source) {
            Some(why) => format!("{refused}; limited and never denied, as it is {why}"),
            None => refused,
        };
        events.push(Recorded::offence(now, address, country, message, 1));
    }
    let left_out = events.split_off(events.len().min(MOST_EVENTS)).len() as u64;
    // A thread that is too busy to take them counts them.
    let _busy = keeper.record(events, left_out);
}

/// What the audit trail holds of offences: of whom, and all there is to say of it.
fn records(
    shared: &Shared,
    floods: &Floods,
    policy: &KernelPolicy,
    offences: &[Offence],
) -> Vec<(String, serde_json::Value)> {
    let record = |offence: &Offence| {
        let prefix = prefix(offence.key);
        let scope = Scope::ALL.into_iter().find(|scope| scope.slot() == offence.key.scope & 0xff);
        let is_network = scope == Some(Scope::Network);
        let never_denied = shared.read().guards.spares(prefix).filter(|_| !is_network);
        let (limit, per_second) = views::offenders::named(floods, policy, offence.key, offence.dimension);
        let detail = json!({
            "scope": scope.map(Scope::name),
            "limit": limit,
            "dimension": offence.dimension.name(),
            "per_second": per_second,
            "offered": offence.offered,
            "refused": offence.refused,
            "offences": offence.offences,
            "denied_for_s": offence.deny_for_s,
            "never_denied": never_denied,
        });
        (prefix.to_string(), detail)
    };
    offences.iter().take(MOST_RECORDS).map(record).collect()
}

/// Notes offences, and denies those whose time has come.
async fn carry_out(sync: &Handle, offences: &[Offence], records: Vec<(String, serde_json::Value)>) {
    let now = clock::now();
    let mut put = Vec::new();
    for offence in offences {
        let ends = offence.deny_for_s.map(|seconds| now.after(seconds));
        if let Some(expiry) = ends {
            let reason = format!(
                "over its limit of {} for the {}: {} of {} packets refused",
                unit(offence.dimension),
                nth(offence.offences),
                offence.refused,
                offence.offered
            );
            let put_one = Put { expiry: Some(expiry), reason: reason.into(), enforcement: Enforcement::Enforce };
            put.push((prefix(offence.key), put_one));
        }
    }
    tracing::info!(offences = offences.len(), denials = put.len(), "limits were broken");
    let left_out = offences.len() - records.len();
    let _stopping = sync.send(Command::Offences { records, left_out });
    if put.is_empty() {
        return;
    }
    let batch = Batch {
        list: NAME.to_owned(),
        origin: Origin::Offender,
        usual: ListEnforcement::Enforce,
        put,
        remove: Vec::new(),
        replace: false,
        only_with: None,
        dry_run: false,
    };
    let answer = sync.ask(|reply| Command::Batch(batch, NAME.to_owned(), reply)).await;
    let problem = answer.err().map(|error| format!("offenders are limited, and not denied: {error}"));
    let _stopping = sync.send(Command::Problem(NAME.to_owned(), problem));
}

/// Whether senders near a limit find room for buckets of their own.
#[derive(Debug)]
struct Room {
    found_none: u64,
    /// Looks since a packet found none, while that is said.
    quiet: Option<u32>,
}

impl Room {
    fn new(found_none: u64) -> Self {
        Self { found_none, quiet: None }
    }

    /// Takes in that so many packets have found none; whether there is something else to be said now.
    fn look(&mut self, found_none: u64) -> bool {
        if found_none != self.found_none {
            self.found_none = found_none;
            return self.quiet.replace(0).is_none();
        }
        let Some(quiet) = &mut self.quiet else { return false };
        *quiet += 1;
        let is_over = *quiet == QUIET;
        if is_over {
            self.quiet = None;
        }
        is_over
    }

    fn problem(&self) -> Option<String> {
        self.quiet.map(|_| NO_ROOM.to_owned())
    }
}

fn nth(offences: u32) -> String {
    match offences {
        1 => "first time".to_owned(),
        2 => "second time".to_owned(),
        3 => "third time".to_owned(),
        more => format!("{more}th time"),
    }
}

/// The addresses of a source.
fn source(key: u64) -> IpNet {
    prefix(OffenderKey { key, scope: Scope::Source.slot(), reserved: 0 })
}

/// The addresses behind a key.
fn prefix(key: OffenderKey) -> IpNet {
    let is_network = key.scope & 0xff == Scope::Network.slot();
    match SourceKey::from_word(key.key).network() {
        SourceNetwork::V4(address) => {
            let len = if is_network { 24 } else { 32 };
            Ipv4Net::new(address.into(), len).map_or_else(|_| Ipv4Net::default().into(), IpNet::from)
        }
        SourceNetwork::V6(upper) => {
            let mut octets = [0; 16];
            for (place, byte) in octets.iter_mut().zip(upper) {
                *place = byte;
            }
            let len = if is_network { 48 } else { 64 };
            Ipv6Net::new(octets.into(), len).map_or_else(|_| Ipv6Net::default().into(), IpNet::from)
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn that_there_is_no_room_is_said_once_and_taken_back_ten_seconds_after_the_last() {
        let mut room = Room::new(7);
        assert!(!room.look(7) && room.problem().is_none());
        assert!(room.look(8) && room.problem().is_some());
        assert!(!room.look(9));
        for _ in 1..QUIET {
            assert!(!room.look(9) && room.problem().is_some());
        }
        assert!(room.look(9) && room.problem().is_none());
        assert!(!room.look(9));
        assert!(room.look(10) && room.problem().is_some());
    }
}
