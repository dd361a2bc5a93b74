//! What is decided, the tables built of it, and a reference that needs none: one body for property tests and the fuzzer.
use std::net::{IpAddr, Ipv4Addr};
use std::sync::Arc;

use ipnet::IpNet;
use jiff::Timestamp;
use weir::domain::decision::{Decision, Enforcement, EntryInfo, Kind, ListEnforcement, ListId, Origin};
use weir::domain::desired::Desired;
use weir::domain::guard::Guards;
use weir::domain::prefixes::Prefixes;
use weir::domain::tables::{BuildError, Capacity, Image, build, rows};
use weir::domain::time::{BootSeconds, Expiry};
use weir_common::abi::{ClassRow, Ruling};
use weir_common::judge::classify;
use weir_common::model::Model;

use crate::kernel::image::source;

/// Room for whatever is made up here.
pub const ROOM: Capacity = Capacity { addresses: 1_000_000, prefixes: 1_000, bytes: 64 << 20 };

/// Keys the hashes.
pub const KEY: [u64; 2] = [0x5eed, 0xfeed];

/// The second at which tables are built: some entries are over by then.
pub const BUILT_AT_S: u32 = 2;

/// When they are asked.
const MOMENTS_S: [u32; 7] = [BUILT_AT_S, 3, 4, 7, 8, 9, 100];

/// Lists that a scenario has, of every origin and kind.
pub const LISTS: usize = 6;

/// The list whose entries are bare prefixes.
const BARE: ListId = ListId(5);

/// An entry of a list.
#[derive(Clone, Debug)]
pub struct Entry {
    /// What it names.
    pub prefix: IpNet,
    /// Which list it is on; 0: bare.
    pub list: u8,
    /// Boot-time second at which it ends; 0: never.
    pub expires: u32,
    /// Observed only.
    pub observe: bool,
    /// Named by the operator with force.
    pub forced: bool,
}

/// An entry's own facts.
pub fn info(expires: u32, observe: bool, forced: bool) -> EntryInfo {
    EntryInfo {
        reason: Arc::from("test"),
        added_at: Timestamp::UNIX_EPOCH,
        expiry: (expires != 0).then(|| Expiry { boot: BootSeconds(u64::from(expires)), wall: Timestamp::UNIX_EPOCH }),
        enforcement: if observe { Enforcement::Observe } else { Enforcement::Enforce },
        forced,
        sequence: 0,
    }
}

/// The entries on their lists, and so many bare addresses from all over the space.
pub fn desired<'a>(entries: impl Iterator<Item = &'a Entry>, crowd: u32) -> Desired {
    let mut desired = Desired::new();
    let robot: Origin = "robot".parse().expect("a name");
    let others = [
        ("robot", Kind::Deny, &robot),
        ("robot-allow", Kind::Allow, &robot),
        ("named", Kind::Deny, &Origin::Operator),
        ("office", Kind::Allow, &Origin::Operator),
    ];
    for (id, (name, kind, origin)) in (3..).zip(others) {
        assert_eq!(desired.list_for(name, kind, origin), Ok(ListId(id)));
    }
    let mut bare: Vec<IpNet> = crowd_of(crowd).map(IpNet::from).collect();
    for entry in entries {
        if entry.list == 0 {
            bare.push(entry.prefix);
            continue;
        }
        let list = desired.list_mut(ListId(entry.list.into())).expect("one of the lists");
        let observe = entry.observe && list.kind == Kind::Deny;
        let forced = entry.forced && list.origin.is_operator();
        // The first one counts, so that the order in which all come does not matter where they differ.
        if !list.entries.contains_key(&entry.prefix) {
            list.entries.insert(entry.prefix, info(entry.expires, observe, forced));
        }
    }
    desired.list_mut(BARE).expect("one of the lists").imported = Prefixes::new(bare);
    desired
}

/// One address in each of so many steps over the whole space, in no order.
fn crowd_of(count: u32) -> impl Iterator<Item = IpAddr> {
    (0..count).map(|number| IpAddr::V4(Ipv4Addr::from(number.wrapping_mul(0x9e37_79b1))))
}

/// The lists, switched.
pub fn switched(desired: &Desired, standing: &[ListEnforcement]) -> Desired {
    let mut desired = desired.clone();
    for (list, enforcement) in desired.lists_mut().zip(standing) {
        list.enforcement = *enforcement;
    }
    desired
}

/// Where anything can change: at the borders of every prefix, and beside them.
pub fn probes<'a>(prefixes: impl Iterator<Item = &'a IpNet>) -> Vec<IpAddr> {
    let mut all: Vec<IpAddr> = prefixes
        .flat_map(|prefix| match prefix {
            IpNet::V4(net) => {
                let (first, last) = (u32::from(net.network()), u32::from(net.broadcast()));
                [first.wrapping_sub(1), first, last, last.wrapping_add(1)].map(|a| IpAddr::V4(a.into()))
            }
            IpNet::V6(net) => {
                let (first, last) = (u128::from(net.network()), u128::from(net.broadcast()));
                [first.wrapping_sub(1), first, last, last.wrapping_add(1)].map(|a| IpAddr::V6(a.into()))
            }
        })
        .collect();
    all.sort_unstable();
    all.dedup();
    all
}

/// The image as the kernel would hold it, with these class rows.
pub fn model(image: &Image, rows: &[ClassRow]) -> Model {
    let mut model = Model::new();
    model.load(0, image.tables.layout, (&image.tables.lines, &image.tables.filter), rows);
    model
}

/// Who decides: rank, whether it lets through, list.
type Decider = Option<(u16, bool, u16)>;

fn decider(ruling: Ruling) -> Decider {
    (!ruling.is_none()).then(|| (ruling.rank(), ruling.is_allow(), ruling.list()))
}

fn said(model: &Model, address: IpAddr) -> (Decider, Decider) {
    let got = classify(model, 0, &model.slots[0], source(address)).expect("tables are as their layout says");
    (decider(got.enforced()), decider(got.observed()))
}

/// The naive model of one address: all decisions that cover it and that its protection leaves standing.
struct Naive<'a>(Vec<&'a Decision>);

impl<'a> Naive<'a> {
    fn of(decisions: &'a [Decision], guards: &Guards, address: IpAddr) -> Self {
        let is_protected = guards.protects(address).is_some();
        let is_never_blocked = guards.never_blocks(address).is_some();
        let stands = |decision: &&Decision| {
            let is_voided = is_protected || (is_never_blocked && !decision.origin.is_operator());
            !decision.is_off() && (decision.kind == Kind::Allow || decision.info.forced || !is_voided)
        };
        Self(decisions.iter().filter(|decision| decision.prefix.contains(&address)).filter(stands).collect())
    }

    /// Of those that hold, the best origin's decides, then the longest prefix, then the first list. An observed denial
    /// counts if it is stronger than what is enforced.
    fn at(&self, now_s: u32) -> (Decider, Decider) {
        let holds = |decision: &Decision| {
            !decision.info.expiry.is_some_and(|expiry| expiry.is_over(BootSeconds(u64::from(now_s))))
        };
        let best = |enforcement: Enforcement| {
            let of_it = self.0.iter().filter(|one| one.info.enforcement == enforcement && holds(one));
            let of_it = of_it.filter(|one| enforcement == Enforcement::Enforce || one.kind == Kind::Deny);
            let first = of_it.min_by_key(|one| (one.order(), one.list));
            first.map(|one| (one.origin.rank(one.kind), one.kind == Kind::Allow, one.list.0))
        };
        let (enforced, observed) = (best(Enforcement::Enforce), best(Enforcement::Observe));
        let is_stronger = |observed: &(u16, bool, u16)| enforced.is_none_or(|enforced| observed.0 < enforced.0);
        (enforced, observed.filter(is_stronger))
    }
}

/// The model says of these addresses, at each of these seconds, what the decisions say.
///
/// # Errors
/// The first difference.
pub fn check_at(
    model: &Model,
    desired: &Desired,
    guards: &Guards,
    probes: &[IpAddr],
    moments_s: &[u32],
) -> Result<(), String> {
    let decisions: Vec<Decision> = desired.decisions().collect();
    for address in probes {
        let naive = Naive::of(&decisions, guards, *address);
        for now_s in moments_s.iter().copied() {
            model.boot_seconds.set(u64::from(now_s));
            let (said, wanted) = (said(model, *address), naive.at(now_s));
            if said != wanted {
                return Err(format!("{address} at {now_s}: tables say {said:?}, decisions {wanted:?}"));
            }
        }
    }
    Ok(())
}

/// As [`check_at`], at seconds before, at and after all ends of a scenario.
///
/// # Errors
/// The first difference.
pub fn check(model: &Model, desired: &Desired, guards: &Guards, probes: &[IpAddr]) -> Result<(), String> {
    check_at(model, desired, guards, probes, &MOMENTS_S)
}

/// Everything tables are made of, and how lists are switched once they are made.
#[derive(Clone, Debug)]
pub struct Scenario {
    /// What the lists hold.
    pub entries: Vec<Entry>,
    /// Bare addresses besides.
    pub crowd: u32,
    /// The protected set.
    pub protected: Vec<IpNet>,
    /// The never-block set.
    pub never: Vec<IpNet>,
    /// How the lists stand when tables are built.
    pub before: [ListEnforcement; LISTS],
    /// How they stand afterwards.
    pub after: [ListEnforcement; LISTS],
}

impl Scenario {
    /// Tables say what the decisions say, and with new rows what they say once lists are switched. `false` where
    /// more ends than the kernel follows meet over an address.
    ///
    /// # Errors
    /// What they say that the decisions do not, or why they cannot be built.
    pub fn check(&self) -> Result<bool, String> {
        let guards = Guards::new(
            self.protected.iter().map(|prefix| (*prefix, "p".to_owned())),
            self.never.iter().map(|prefix| (*prefix, "n".to_owned())),
        );
        let own = self.entries.iter().map(|entry| &entry.prefix).chain(&self.protected).chain(&self.never);
        let mut probes = probes(own);
        probes.extend(crowd_of(self.crowd).step_by(1 + self.crowd as usize / 16));
        let before = switched(&desired(self.entries.iter(), self.crowd), &self.before);
        let after = switched(&before, &self.after);
        let image = match build(&before, &guards, ROOM, BUILT_AT_S, KEY) {
            Ok(image) => image,
            // The one thing that so few entries can be too many of.
            Err(BuildError::TooManyEnds { .. }) => return Ok(false),
            Err(error) => return Err(error.to_string()),
        };
        check(&model(&image, &image.rows), &before, &guards, &probes)?;
        if image.is_switchable {
            let rows = rows(&image.classes, &after);
            check(&model(&image, &rows), &after, &guards, &probes).map_err(|error| format!("switched: {error}"))?;
            // A build of the switched state makes the very same tables.
            if build(&after, &guards, ROOM, BUILT_AT_S, KEY) != Ok(Image { rows, ..image }) {
                return Err("other tables are built of the switched lists".to_owned());
            }
        }
        Ok(true)
    }
}
