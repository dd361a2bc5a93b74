use super::*;
use crate::domain::decision::{Enforcement, EntryInfo, Origin};
use crate::domain::desired::{ALLOW, BLOCK};
use crate::domain::prefixes::Prefixes;
use crate::domain::tables::{Capacity, Image, build, generation_key};
use crate::domain::time::Expiry;
use jiff::Timestamp;
use proptest::prelude::*;
use std::sync::Arc;
use weir_common::abi::{Control, Ruling, control_word};
use weir_common::addr::Source;
use weir_common::judge::classify;
use weir_common::model::Model;

/// A little sync task over the model: builds, flips, adds and removes as the daemon does.
struct Node {
    desired: Desired,
    guards: Guards,
    overlay: Overlay,
    model: Model,
    current: SlotView,
    building: Option<(SlotView, Image)>,
    /// What was changed live, in order: the change's number, list, prefix, and what stands there since.
    live: Vec<(u64, ListId, IpNet, Option<EntryInfo>)>,
    /// The last change that comes with a flip.
    queued: u64,
    sequence: u64,
    now: u64,
}

fn source(address: IpAddr) -> Source {
    match address {
        IpAddr::V4(a) => Source::V4(a.octets()),
        IpAddr::V6(a) => Source::V6(a.octets()),
    }
}

impl Node {
    fn new(guards: Guards) -> Self {
        let mut node = Self {
            desired: Desired::new(),
            guards,
            overlay: Overlay::new(Room { addresses: 6, prefixes: 4 }, 64),
            model: Model::new(),
            current: SlotView { slot: 0, snapshot: 0, base: Arc::new(Desired::new()) },
            building: None,
            live: Vec::new(),
            queued: 0,
            sequence: 0,
            now: 1,
        };
        let id = node.desired.list_for("robot", Kind::Deny, &"robot".parse().unwrap()).unwrap();
        assert_eq!(id.0, 3);
        let id = node.desired.list_for("feed", Kind::Deny, &Origin::Feed(0)).unwrap();
        assert_eq!(id.0, 4);
        // The protected set lives in the tables, so the first generation is built before anything else.
        node.start();
        node.flip();
        node
    }

    fn slots(&self) -> Vec<SlotView> {
        [Some(&self.current), self.building.as_ref().map(|(view, _)| view)].into_iter().flatten().cloned().collect()
    }

    fn write(&mut self, ops: Vec<Op>) {
        for op in ops {
            match op {
                Op::Set(Key::Address(a), value) => {
                    self.model.put_overlay(source(a), if a.is_ipv4() { 32 } else { 128 }, true, *value);
                }
                Op::Set(Key::Prefix(kind, p), value) => {
                    self.model.put_overlay(source(p.addr()), p.prefix_len(), kind == Kind::Deny, *value);
                }
                Op::Remove(Key::Address(a), ..) => {
                    self.model.overlay_exact.remove(&source(a)).unwrap();
                }
                Op::Remove(Key::Prefix(kind, p), ..) => {
                    let map =
                        if kind == Kind::Deny { &mut self.model.overlay_deny } else { &mut self.model.overlay_allow };
                    map.remove(&(source(p.addr()), p.prefix_len())).unwrap();
                }
            }
        }
        self.model.control[control_word::OVERLAY as usize] = self.overlay.flags();
    }

    fn entry(&self, list: ListId, life: u64, observe: bool) -> EntryInfo {
        let expiry = (life != 0).then(|| Expiry { boot: BootSeconds(self.now + life), wall: Timestamp::UNIX_EPOCH });
        let observes = observe && self.desired.list(list).unwrap().kind == Kind::Deny;
        EntryInfo {
            reason: Arc::from(""),
            added_at: Timestamp::UNIX_EPOCH,
            expiry,
            enforcement: if observes { Enforcement::Observe } else { Enforcement::Enforce },
            forced: false,
            sequence: self.sequence,
        }
    }

    /// Puts or takes out an entry, live if that can be.
    fn change(&mut self, prefix: IpNet, list: u16, add: Option<(u64, bool)>) {
        let list = ListId(list);
        let before: Vec<Decision> = self.desired.on(prefix).into_iter().filter(|d| d.list == list).collect();
        if add.is_none() && before.is_empty() {
            return;
        }
        self.put(prefix, list, add);
        let slots = self.slots();
        let context =
            Context { desired: &self.desired, guards: &self.guards, slots: &slots, now: BootSeconds(self.now) };
        if let Ok(ops) = self.overlay.change(&context, prefix, &before, self.sequence) {
            let now = self.desired.list(list).unwrap().entries.get(&prefix).cloned();
            self.live.push((self.sequence, list, prefix, now));
            self.write(ops);
        } else {
            self.queue();
        }
    }

    /// The same with a flip, whatever could be live.
    fn change_by_build(&mut self, prefix: IpNet, list: u16, add: Option<(u64, bool)>) {
        self.put(prefix, ListId(list), add);
        self.queue();
    }

    /// A list's content anew.
    fn import(&mut self, list: u16, prefixes: &[IpNet]) {
        self.sequence += 1;
        let list = self.desired.list_mut(ListId(list)).unwrap();
        list.imported = Prefixes::new(prefixes.iter().copied());
        list.imported_sequence = self.sequence;
        self.queue();
    }

    fn put(&mut self, prefix: IpNet, list: ListId, add: Option<(u64, bool)>) {
        self.sequence += 1;
        let info = add.map(|(life, observe)| self.entry(list, life, observe));
        let list = self.desired.list_mut(list).unwrap();
        if let Some(info) = info {
            list.entries.insert(prefix, info);
        } else {
            list.entries.remove(&prefix);
            list.imported.remove(&prefix);
        }
    }

    fn queue(&mut self) {
        self.queued = self.sequence;
        if self.building.is_none() {
            self.start();
        }
    }

    fn start(&mut self) {
        let room = Capacity { addresses: 100, prefixes: 100, bytes: 16 << 20 };
        let now_s = u32::try_from(self.now).unwrap();
        let image = build(&self.desired, &self.guards, room, now_s, generation_key(7, self.sequence)).unwrap();
        let slot = (self.current.slot + 1) % 4;
        let base = Arc::new(self.desired.clone());
        self.building = Some((SlotView { slot, snapshot: self.sequence, base }, image));
        self.refresh();
    }

    /// Time passes, and what ends meanwhile is taken out.
    fn wait(&mut self, seconds: u64) {
        self.now += seconds;
        let now = BootSeconds(self.now);
        for (_, prefix) in self.desired.expire(now) {
            let slots = self.slots();
            let context = Context { desired: &self.desired, guards: &self.guards, slots: &slots, now };
            let ops = self.overlay.ended(&context, prefix);
            self.write(ops);
        }
    }

    fn refresh(&mut self) {
        let slots = self.slots();
        let context =
            Context { desired: &self.desired, guards: &self.guards, slots: &slots, now: BootSeconds(self.now) };
        let ops = self.overlay.refresh(&context);
        self.write(ops);
    }

    /// The build comes to nothing.
    fn fail(&mut self) {
        if self.building.take().is_some() {
            self.refresh();
        }
    }

    fn flip(&mut self) {
        let Some((view, image)) = self.building.take() else { return };
        let tables = (&*image.tables.lines, &*image.tables.filter);
        self.model.load(view.slot, image.tables.layout, tables, &image.rows);
        self.check("before the flip");
        self.model.control[control_word::CONTROL as usize] =
            Control::new(u32::try_from(view.slot).unwrap(), 1, false).word();
        // A value of a prefix is one for both slots: until the old one is retired it says what was live beside that.
        let before = std::mem::replace(&mut self.current, view);
        let late: Vec<Decision> = self
            .live
            .iter()
            .filter(|(sequence, _, prefix, _)| *sequence > before.snapshot && !is_single(prefix))
            .filter_map(|(_, list, prefix, info)| {
                let mut alone = self.desired.list(*list)?.without_entries();
                alone.entries.insert(*prefix, info.clone()?);
                alone.entry_decisions().next()
            })
            .collect();
        self.check_or("after the flip", &late);
        self.refresh();
        self.check("after the fold");
        if self.queued > self.current.snapshot {
            self.start();
        }
    }

    /// What is in force: what the tables were built from, and what was changed live since.
    fn in_force(&self) -> Desired {
        let mut desired = (*self.current.base).clone();
        for (sequence, list, prefix, info) in &self.live {
            if *sequence > self.current.snapshot {
                let list = desired.list_mut(*list).unwrap();
                if let Some(info) = info {
                    list.entries.insert(*prefix, info.clone());
                } else {
                    list.entries.remove(prefix);
                    list.imported.remove(prefix);
                }
            }
        }
        desired
    }

    fn check(&self, when: &str) {
        self.check_or(when, &[]);
    }

    /// What the kernel would say of every address is what is in force, or what that and these come to.
    fn check_or(&self, when: &str, late: &[Decision]) {
        self.model.boot_seconds.set(self.now);
        let index = Control::from_word(self.model.control[0]).slot();
        let slot = self.model.slots[index as usize];
        let in_force = self.in_force();
        for address in addresses() {
            let got = classify(&self.model, index, &slot, source(address)).unwrap();
            let rank = |ruling: Ruling| (!ruling.is_none()).then(|| ruling.rank());
            let got = (rank(got.enforced()), rank(got.observed()));
            let covering = in_force.covering(single(address));
            let with_late: Vec<Decision> =
                covering.iter().chain(late.iter().filter(|d| d.prefix.contains(&address))).cloned().collect();
            let want = [self.best(address, &covering), self.best(address, &with_late)];
            assert!(want.contains(&got), "{address} {when} at {}: {got:?}, not {want:?}", self.now);
        }
    }

    /// Ranks of the strongest decision that is carried out, and of the strongest denial that is only counted where that is
    /// stronger still.
    fn best(&self, address: IpAddr, covering: &[Decision]) -> (Option<u16>, Option<u16>) {
        let flags = self.guards.flags(single(address));
        let items: Vec<Item> = covering.iter().map(Item::from).collect();
        let best = |observe: bool| {
            let now_s = u32::try_from(self.now).unwrap();
            let live = items.iter().filter(|i| i.is_live(now_s) && i.observe == observe && i.stands(flags));
            live.map(|i| i.rank).min()
        };
        (best(false), best(true).filter(|rank| best(false).is_none_or(|stronger| *rank < stronger)))
    }
}

fn addresses() -> impl Iterator<Item = IpAddr> {
    (0u8..8)
        .map(|i| IpAddr::from([203, 0, 113, i]))
        .chain((0u8..4).map(|i| IpAddr::V6(std::net::Ipv6Addr::new(0x2001, 0xdb8, 0, 0, 0, 0, 0, u16::from(i)))))
}

#[derive(Clone, Debug)]
enum Step {
    Change { prefix: IpNet, list: u16, add: Option<(u64, bool)>, live: bool },
    Import(Vec<IpNet>),
    Start,
    Fail,
    Flip,
    Wait(u64),
}

fn prefix() -> impl Strategy<Value = IpNet> {
    let v4 = (0u8..8, 26u8..=32).prop_map(|(i, len)| IpNet::new(IpAddr::from([203, 0, 113, i]), len).unwrap().trunc());
    let v6 = (0u16..4, 124u8..=128).prop_map(|(i, len)| {
        IpNet::new(IpAddr::V6(std::net::Ipv6Addr::new(0x2001, 0xdb8, 0, 0, 0, 0, 0, i)), len).unwrap().trunc()
    });
    prop_oneof![3 => v4, 1 => v6]
}

fn step() -> impl Strategy<Value = Step> {
    let add = prop_oneof![Just(0u64), 1u64..6];
    let live = || proptest::bool::weighted(0.8);
    prop_oneof![
        6 => (prefix(), 1u16..=3, add, any::<bool>(), live()).prop_map(|(prefix, list, life, observe, live)| {
            Step::Change { prefix, list, add: Some((life, observe)), live }
        }),
        4 => (prefix(), 1u16..=4, live())
            .prop_map(|(prefix, list, live)| Step::Change { prefix, list, add: None, live }),
        1 => proptest::collection::vec(prefix(), 0..4).prop_map(Step::Import),
        1 => Just(Step::Start),
        1 => Just(Step::Fail),
        3 => Just(Step::Flip),
        2 => (1u64..4).prop_map(Step::Wait),
    ]
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(200))]
    #[test]
    fn overlay_and_tables_together_always_say_what_is_in_force(
        steps in proptest::collection::vec(step(), 1..40), protect in any::<bool>(),
    ) {
        let guards = if protect {
            Guards::new([("203.0.113.2/32".parse().unwrap(), "gateway".to_owned())], [("203.0.113.4/31".parse().unwrap(), "cdn".to_owned())])
        } else {
            Guards::default()
        };
        let mut node = Node::new(guards);
        for step in steps {
            match step {
                Step::Change { prefix, list, add, live: true } => node.change(prefix, list, add),
                Step::Change { prefix, list, add, live: false } => node.change_by_build(prefix, list, add),
                Step::Import(prefixes) => node.import(4, &prefixes),
                Step::Start => if node.building.is_none() { node.start() },
                Step::Fail => node.fail(),
                Step::Flip => node.flip(),
                Step::Wait(seconds) => node.wait(seconds),
            }
            node.check("after a step");
        }
        // Two builds hold all there is.
        for _ in 0..2 {
            if node.building.is_none() {
                node.start();
            }
            node.flip();
        }
        prop_assert!(node.overlay.is_empty());
        prop_assert!(node.building.is_none());
    }
}

#[test]
fn a_removal_during_a_build_stays_removed() {
    let mut node = Node::new(Guards::default());
    let prefix: IpNet = "203.0.113.1/32".parse().unwrap();
    node.change(prefix, BLOCK.0, Some((0, false)));
    node.start();
    node.change(prefix, BLOCK.0, None);
    node.flip();
    node.check("after all");
    assert!(node.desired.on(prefix).is_empty());
    assert_eq!(node.overlay.len(), 1, "the lift stays until the next build");
    node.start();
    node.flip();
    assert!(node.overlay.is_empty());
}

#[test]
fn an_allow_is_live_at_once_and_beats_a_wide_deny() {
    let mut node = Node::new(Guards::default());
    node.change("203.0.113.0/29".parse().unwrap(), BLOCK.0, Some((0, false)));
    node.change("203.0.113.1/32".parse().unwrap(), ALLOW.0, Some((0, false)));
    node.check("with both live");
}

/// A ban that ends on an address that a feed names too: the tables say both, and hold the end.
#[test]
fn an_end_of_what_the_tables_hold_makes_no_value_even_where_another_list_names_it() {
    for prefix in ["203.0.113.1/32", "203.0.113.0/30", "2001:db8::1/128"] {
        let mut node = Node::new(Guards::default());
        let prefix: IpNet = prefix.parse().unwrap();
        node.change(prefix, 3, Some((5, false)));
        node.change(prefix, BLOCK.0, Some((0, false)));
        node.start();
        node.flip();
        assert!(node.overlay.is_empty());
        node.wait(5);
        assert_eq!(node.desired.on(prefix).len(), 1);
        assert!(node.overlay.is_empty() && node.overlay.flags() == 0, "{prefix}");
        node.check("after the end");
    }
}

/// What ends while it is live leaves no value behind, and what lies beneath it shows through.
#[test]
fn an_end_of_what_is_live_takes_its_value_along() {
    let mut node = Node::new(Guards::default());
    for (prefix, seconds) in [("203.0.113.0/29", 5), ("203.0.113.0/30", 0)] {
        node.change(prefix.parse().unwrap(), BLOCK.0, Some((seconds, false)));
    }
    node.change("203.0.113.1/32".parse().unwrap(), 3, Some((5, false)));
    assert_eq!(node.overlay.len(), 3);
    node.wait(5);
    assert_eq!(node.overlay.len(), 1);
    node.check("after the ends");
}

/// A hundred thousand bans that end one by one, half of them on addresses that another list names for good.
#[test]
fn a_hundred_thousand_ends_leave_nothing_to_fold() {
    let (mut desired, guards) = (Desired::new(), Guards::default());
    let address = |number: u32| IpNet::from(IpAddr::from((45 << 24 | number).to_be_bytes()));
    let id = desired.list_for("robot", Kind::Deny, &"robot".parse().unwrap()).unwrap();
    let list = desired.list_mut(id).unwrap();
    list.entries.extend((0..100_000u32).map(|number| {
        let expiry = Expiry { boot: BootSeconds(u64::from(number % 1_000) + 1), wall: Timestamp::UNIX_EPOCH };
        let info = EntryInfo {
            reason: Arc::from(""),
            added_at: Timestamp::UNIX_EPOCH,
            expiry: Some(expiry),
            enforcement: Enforcement::Enforce,
            forced: false,
            sequence: 1,
        };
        (address(number), info)
    }));
    let block = desired.list_mut(BLOCK).unwrap();
    block.imported = Prefixes::new((0..50_000).map(|number| address(number * 2)));
    let mut overlay = Overlay::new(Room { addresses: 65_536, prefixes: 4_096 }, 147_456);
    let slots = [SlotView { slot: 0, snapshot: 1, base: Arc::new(desired.clone()) }];
    let mut ended = 0;
    for second in 1..=1_001 {
        let now = BootSeconds(second);
        for (_, prefix) in desired.expire(now) {
            let context = Context { desired: &desired, guards: &guards, slots: &slots, now };
            assert!(overlay.ended(&context, prefix).is_empty());
            ended += 1;
        }
        assert!(overlay.is_empty());
    }
    assert_eq!(ended, 100_000);
}

/// A prefix that has no room leaves everything as it was: values, counters, flags.
#[test]
fn a_change_that_needs_a_build_leaves_the_overlay_as_it_was() {
    let mut node = Node::new(Guards::default());
    for prefix in ["203.0.113.0/28", "203.0.113.0/29", "203.0.113.0/30", "203.0.113.0/31"] {
        node.change(prefix.parse().unwrap(), BLOCK.0, Some((0, false)));
    }
    let (before, mut free) = (node.overlay.clone(), node.overlay.free.clone());
    free.sort_unstable();
    let wide: IpNet = "203.0.113.0/27".parse().unwrap();
    let list = node.desired.list_mut(BLOCK).unwrap();
    let info = EntryInfo { sequence: 9, ..list.entries.values().next().unwrap().clone() };
    list.entries.insert(wide, info);
    let slots = node.slots();
    let context = Context { desired: &node.desired, guards: &node.guards, slots: &slots, now: BootSeconds(1) };
    assert_eq!(node.overlay.change(&context, wide, &[], 9), Err(NeedsRebuild::Full));
    let mut now = node.overlay.free.clone();
    now.sort_unstable();
    assert_eq!((now, &node.overlay.cells), (free, &before.cells));
    assert_eq!((node.overlay.prefixes(), node.overlay.flags()), (before.prefixes(), before.flags()));
}

fn net(text: &str) -> IpNet {
    text.parse().unwrap()
}

/// A list of prefixes and one of its addresses, both in the tables; the address is removed while the list is read anew.
fn lifted_over(kind_of: ListId) -> Node {
    let mut node = Node::new(Guards::default());
    node.import(kind_of.0, &[net("203.0.113.0/29")]);
    node.flip();
    node.change(net("203.0.113.1/32"), 3, Some((0, false)));
    node.start();
    node.flip();
    assert!(node.overlay.is_empty());
    node.change(net("203.0.113.1/32"), 3, None);
    node.check("once it is lifted");
    node
}

#[test]
fn what_lies_under_a_lift_stays_while_its_list_is_read_anew() {
    for list in [BLOCK, ALLOW] {
        let mut node = lifted_over(list);
        node.import(list.0, &[net("203.0.113.0/29"), net("203.0.113.4/32")]);
        node.check("while the new list is built");
        node.fail();
        node.check("once that has failed");
        node.start();
        node.flip();
        node.check("once it is in force");
        assert!(node.overlay.is_empty());
    }
}

#[test]
fn what_waits_behind_a_build_and_is_removed_is_out_of_the_tables_at_once() {
    let mut node = Node::new(Guards::default());
    let prefix = net("203.0.113.1/32");
    node.change(prefix, BLOCK.0, Some((0, false)));
    node.start();
    node.flip();
    node.start();
    node.change_by_build(prefix, BLOCK.0, Some((0, true)));
    node.change(prefix, BLOCK.0, None);
    assert_eq!(node.live.len(), 2, "the removal is live");
    node.check("at once");
    for _ in 0..2 {
        node.flip();
    }
    assert!(node.overlay.is_empty() && node.desired.on(prefix).is_empty());
}

#[test]
fn what_is_taken_back_is_what_the_tables_say() {
    let mut node = Node::new(Guards::default());
    let prefix = net("203.0.113.1/32");
    node.change(prefix, BLOCK.0, Some((0, false)));
    node.start();
    node.flip();
    let old = node.desired.list(BLOCK).unwrap().entries.get(&prefix).cloned().unwrap();
    node.change(prefix, BLOCK.0, None);
    node.change(net("203.0.113.2/32"), BLOCK.0, Some((0, false)));
    node.desired.list_mut(BLOCK).unwrap().entries.insert(prefix, old);
    node.desired.list_mut(BLOCK).unwrap().entries.remove(&net("203.0.113.2/32"));
    for (sequence, prefix) in [(2, prefix), (3, net("203.0.113.2/32"))] {
        node.overlay.take_back(&node.desired, BLOCK, prefix, sequence);
    }
    node.refresh();
    node.live.truncate(1);
    node.check("once both are taken back");
    assert_eq!(node.overlay.len(), 1, "nothing is said of what never was in the tables");
}
