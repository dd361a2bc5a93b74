//! Whatever is decided, and however lists are switched: tables say what the naive model says.
use super::*;

/// Few distinct bits, so that prefixes nest, touch and repeat.
fn any_prefix() -> impl Strategy<Value = IpNet> {
    let v4 = (0u32..16, 0u8..=32).prop_map(|(bits, len)| {
        let address = std::net::Ipv4Addr::from(bits << 28 | (bits & 3) << 13 | bits);
        IpNet::new(IpAddr::V4(address), len).unwrap().trunc()
    });
    // Differences at the borders of what tables are made of: /3, /20, /26, /64, and the end.
    let v6 = (0u128..16, 0u128..4, 0u128..4, 0u128..4, 0u8..=128).prop_map(|(first, chunk, half, last, len)| {
        let bits = first << 124 | chunk << 107 | chunk << 101 | half << 63 | last;
        IpNet::new(IpAddr::V6(std::net::Ipv6Addr::from(bits)), len).unwrap().trunc()
    });
    prop_oneof![v4, v6]
}

#[derive(Clone, Debug)]
struct Made {
    prefix: IpNet,
    list: u8,
    expires: u32,
    observe: bool,
    forced: bool,
}

fn made() -> impl Strategy<Value = Made> {
    (any_prefix(), 0u8..7, prop_oneof![Just(0u32), 1u32..9], any::<bool>(), any::<bool>())
        .prop_map(|(prefix, list, expires, observe, forced)| Made { prefix, list, expires, observe, forced })
}

/// Lists of every origin and kind.
const LISTS: u16 = 6;

fn desired_of<'a>(all: impl Iterator<Item = &'a Made>) -> Desired {
    let mut desired = Desired::new();
    let robot: Origin = "robot".parse().unwrap();
    let others = [
        ("robot", Kind::Deny, &robot),
        ("robot-allow", Kind::Allow, &robot),
        ("named", Kind::Deny, &Origin::Operator),
        ("office", Kind::Allow, &Origin::Operator),
    ];
    for (id, (name, kind, origin)) in (3..).zip(others) {
        assert_eq!(desired.list_for(name, kind, origin), Ok(ListId(id)));
    }
    let mut imported = Vec::new();
    for m in all {
        if m.list == 0 {
            imported.push(m.prefix);
            continue;
        }
        let list = desired.list_mut(ListId(m.list.into())).unwrap();
        let observe = m.observe && list.kind == Kind::Deny;
        let forced = m.forced && list.origin.is_operator();
        // The first one counts, so that the order in which all come does not matter where they differ.
        list.entries.entry(m.prefix).or_insert_with(|| info(m.expires, observe, forced));
    }
    desired.list_mut(ListId(5)).unwrap().imported = Prefixes::new(imported);
    desired
}

fn standing() -> impl Strategy<Value = [ListEnforcement; LISTS as usize]> {
    let one = prop_oneof![
        2 => Just(ListEnforcement::Enforce),
        1 => Just(ListEnforcement::Observe),
        1 => Just(ListEnforcement::Off),
    ];
    proptest::collection::vec(one, LISTS as usize).prop_map(|all| all.try_into().unwrap())
}

fn switched(desired: &Desired, standing: &[ListEnforcement]) -> Desired {
    let mut desired = desired.clone();
    for (list, enforcement) in desired.lists_mut().zip(standing) {
        list.enforcement = *enforcement;
    }
    desired
}

/// Where anything can change: at the borders of every prefix, and beside them.
fn probes<'a>(prefixes: impl Iterator<Item = &'a IpNet>) -> Vec<IpAddr> {
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

/// The second at which tables are built: some entries are over by then.
const BUILT_AT_S: u32 = 2;
const MOMENTS_S: [u32; 7] = [BUILT_AT_S, 3, 4, 7, 8, 9, 100];

fn check(model: &Model, desired: &Desired, guards: &Guards, probes: &[IpAddr]) -> Result<(), TestCaseError> {
    let decisions: Vec<Decision> = desired.decisions().collect();
    for address in probes {
        let naive = Naive::of(&decisions, guards, *address);
        for now_s in MOMENTS_S {
            model.boot_seconds.set(u64::from(now_s));
            prop_assert_eq!(said(model, *address), naive.at(now_s), "{} at {}", address, now_s);
        }
    }
    Ok(())
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(160))]

    /// Switching needs new rows only: that is what lets a list be switched without building tables.
    #[test]
    fn tables_say_what_the_decisions_say_and_new_rows_what_they_say_once_lists_are_switched(
        all in proptest::collection::vec(made(), 0..16),
        protected in proptest::collection::vec(any_prefix(), 0..2),
        never in proptest::collection::vec(any_prefix(), 0..2),
        before in standing(),
        after in standing(),
    ) {
        let guards = Guards::new(
            protected.iter().map(|p| (*p, "p".to_owned())), never.iter().map(|p| (*p, "n".to_owned())));
        let probes = probes(all.iter().map(|made| &made.prefix).chain(&protected).chain(&never));
        let before = switched(&desired_of(all.iter()), &before);
        let after = switched(&before, &after);
        let Ok(image) = build(&before, &guards, ROOM, BUILT_AT_S, KEY) else { return Ok(()) };
        check(&model_at_zero(&image), &before, &guards, &probes)?;
        if image.is_switchable {
            let rows = rows(&image.classes, &after);
            check(&model(&image, &rows), &after, &guards, &probes)?;
            // A build of the switched state makes the very same tables.
            prop_assert_eq!(build(&after, &guards, ROOM, BUILT_AT_S, KEY), Ok(Image { rows, ..image }));
        }
    }

    #[test]
    fn the_order_in_which_decisions_came_does_not_matter(
        all in proptest::collection::vec(made(), 0..40), by in any::<prop::sample::Index>(),
    ) {
        let mut all = all;
        all.sort_by_key(|made| (made.list, made.prefix));
        all.dedup_by_key(|made| (made.list, made.prefix));
        let image = build(&desired_of(all.iter()), &Guards::default(), ROOM, BUILT_AT_S, KEY);
        let at = if all.is_empty() { 0 } else { by.index(all.len()) };
        let turned = all[at..].iter().rev().chain(&all[..at]);
        prop_assert_eq!(build(&desired_of(turned), &Guards::default(), ROOM, BUILT_AT_S, KEY), image);
    }
}

/// Both ends of the space, beside the shortest prefixes there are.
#[test]
fn half_the_internet_and_single_addresses_do_not_mix() {
    let mut desired = Desired::new();
    let wide = ["0.0.0.0/1", "::/1", "0.0.0.0/0", "::/0"];
    let narrow = ["0.0.0.0/32", "127.255.255.255/32", "128.0.0.0/32", "255.255.255.255/32", "::/128"];
    let deep = ["7fff:ffff:ffff:ffff:ffff:ffff:ffff:ffff/128", "8000::/128", "8000::/127", "ffff::/64", "2000::/3"];
    let prefixes: Vec<IpNet> = [&wide[..], &narrow, &deep].concat().into_iter().map(net).collect();
    let id = desired.list_for("named", Kind::Deny, &Origin::Operator).unwrap();
    for (at, prefix) in prefixes.iter().enumerate() {
        let list = [ALLOW, BLOCK, id][at % 3];
        desired.list_mut(list).unwrap().entries.insert(*prefix, info(0, false, false));
        let image = build(&desired, &Guards::default(), ROOM, BUILT_AT_S, KEY).unwrap();
        check(&model_at_zero(&image), &desired, &Guards::default(), &probes(prefixes.iter())).unwrap();
    }
}

#[test]
fn every_length_begins_and_ends_where_it_should() {
    let mut desired = Desired::new();
    let v4 = (0..=32).map(|len| IpNet::new(IpAddr::from([203, 0, 113, 97]), len).unwrap().trunc());
    let v6 = IpAddr::V6(std::net::Ipv6Addr::from(0x2001_0db8_5555_aaaa_5555_aaaa_5555_aaaa));
    let all: Vec<IpNet> = v4.chain((0..=128).map(|len| IpNet::new(v6, len).unwrap().trunc())).collect();
    let id = desired.list_for("named", Kind::Deny, &Origin::Operator).unwrap();
    for prefix in &all {
        let list = if prefix.prefix_len().is_multiple_of(2) { BLOCK } else { id };
        desired.list_mut(list).unwrap().entries.insert(*prefix, info(0, false, false));
    }
    let image = build(&desired, &Guards::default(), ROOM, BUILT_AT_S, KEY).unwrap();
    check(&model_at_zero(&image), &desired, &Guards::default(), &probes(all.iter())).unwrap();
}
