//! From decisions to disjoint ranges: every address gets the number of the set of lists that cover it.
use std::cmp::Reverse;
use std::collections::HashMap;
use std::net::IpAddr;

use ipnet::IpNet;
use weir_common::abi::{RUN_STEPS, class_flag};
use weir_common::lookup::{RUN_GOES_ON, run_parts, run_word};

use super::BuildError;
use super::classes::{Class, Classes, Member, NoMoreClasses, Standing};
use super::layout::{Flat, RUN, Values};
use crate::domain::decision::Enforcement;
use crate::domain::desired::{Desired, List};
use crate::domain::guard::Guards;
use crate::domain::prefixes;

/// What the tables are to say, and the classes they name.
#[derive(Debug)]
pub(super) struct Flattened {
    pub(super) values: Values,
    pub(super) classes: Vec<Class>,
    /// Addresses and prefixes of each family: IPv4, IPv6.
    pub(super) addresses: [usize; 2],
    pub(super) prefixes: [usize; 2],
    /// Whether some run is too long to keep its steps apart, so that the rows hold for the lists as they stand only.
    pub(super) is_merged: bool,
}

/// Addresses of a family as numbers.
pub(super) trait Address: Copy + Ord {
    /// Bits of an address.
    const BITS: u8;
    /// The last address of the prefix that starts here.
    fn last(self, len: u8) -> Self;
    /// The next address, if there is one.
    fn next(self) -> Option<Self>;
    /// The prefix that starts here.
    fn prefix(self, len: u8) -> IpNet;
}

/// The same for both families: only the number's width differs.
macro_rules! address {
    ($number:ty, $bits:literal) => {
        impl Address for $number {
            const BITS: u8 = $bits;
            fn last(self, len: u8) -> Self {
                self | Self::MAX.checked_shr(u32::from(len)).unwrap_or(0)
            }
            fn next(self) -> Option<Self> {
                self.checked_add(1)
            }
            fn prefix(self, len: u8) -> IpNet {
                let address = IpAddr::from(self.to_be_bytes());
                IpNet::new(address, len).unwrap_or_else(|_| prefixes::single(address))
            }
        }
    };
}

address!(u32, 32);
address!(u128, 128);

/// A prefix of some list or guard. An IPv4 one is a word: a million of them are sorted and walked.
trait Listed: Copy + Ord {
    type Address: Address;
    fn start(self) -> Self::Address;
    fn len(self) -> u8;
    fn mark(self) -> u32;
}

/// Start, length and mark, from the top.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
struct ListedV4(u64);

/// Bits of a mark, as many as fit behind an IPv4 prefix.
const MARK_BITS: u32 = 26;

impl ListedV4 {
    fn new(start: u32, len: u8, mark: u32) -> Self {
        Self(u64::from(start) << 32 | u64::from(len) << MARK_BITS | u64::from(mark))
    }
}

impl Listed for ListedV4 {
    type Address = u32;
    fn start(self) -> u32 {
        weir_common::abi::low(self.0 >> 32)
    }
    fn len(self) -> u8 {
        ((self.0 >> MARK_BITS) & 0x3f) as u8
    }
    fn mark(self) -> u32 {
        weir_common::abi::low(self.0) & ((1 << MARK_BITS) - 1)
    }
}

#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
struct ListedV6 {
    start: u128,
    len: u8,
    mark: u32,
}

impl Listed for ListedV6 {
    type Address = u128;
    fn start(self) -> u128 {
        self.start
    }
    fn len(self) -> u8 {
        self.len
    }
    fn mark(self) -> u32 {
        self.mark
    }
}

/// What prefixes have in common, so that a million of one list have one.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
enum Mark {
    /// An entry of a list, until a boot-time second (0: for good).
    Entry(Member, u32),
    /// Of the guards: [`class_flag`] bits.
    Guard(u32),
}

/// Flattens what is desired.
///
/// # Errors
/// [`BuildError`].
pub(super) fn flatten(desired: &Desired, guards: &Guards, now_s: u32) -> Result<Flattened, BuildError> {
    let standing = Standing::of(desired);
    let mut marks = Marks::default();
    let (mut v4, mut v6) = (Vec::new(), Vec::new());
    collect(desired, guards, now_s, &mut marks, &mut v4, &mut v6)?;
    let mut covers = Covers::new(marks.all, &standing, now_s);
    let families = covers.family(&mut v4).and_then(|v4| Ok((v4, covers.family(&mut v6)?)));
    let (v4, v6) = families.map_err(|error| match error {
        BuildError::TooManyClasses(_) => BuildError::TooManyClasses(most_mixed(desired, covers.classes.all())),
        other => other,
    })?;
    let Covers { classes, runs, is_merged, .. } = covers;
    let mut classes = classes.into_vec();
    let count = u32::try_from(classes.len()).unwrap_or(u32::MAX);
    let mut values = Values { v4: v4.flat, v6: v6.flat, runs, classes: count };
    if classes.len() > FIRST {
        classes = popular_first(classes, &mut values);
    }
    Ok(Flattened {
        addresses: [values.v4.exact.len(), values.v6.exact.len()],
        prefixes: [v4.prefixes, v6.prefixes],
        values,
        classes,
        is_merged,
    })
}

/// The lists that are in the most classes: it is their overlaps that are too many.
fn most_mixed(desired: &Desired, classes: &[Class]) -> String {
    let mut uses: HashMap<u16, usize> = HashMap::new();
    for list in classes.iter().flat_map(Class::lists) {
        *uses.entry(list).or_default() += 1;
    }
    let count = |list: &List| uses.get(&list.id.0).copied().unwrap_or(0);
    let mut lists: Vec<_> = desired.lists().map(|list| (count(list), &list.name)).collect();
    lists.sort_by(|a, b| b.cmp(a));
    let named: Vec<String> = lists.iter().take(3).map(|(count, name)| format!("{name} (in {count} of them)")).collect();
    named.join(", ")
}

/// Classes that a byte has room for: with no more of them, their order is nothing to anybody.
const FIRST: usize = 254;

/// Numbers the classes anew, so that those of most addresses come first: tables have room for small numbers, and a slot
/// for the rows of the first. Class 0 stays what it is.
fn popular_first(classes: Vec<Class>, values: &mut Values) -> Vec<Class> {
    let mut uses = vec![0u32; classes.len()];
    let v4 = values.v4.exact.iter().map(|(_, value)| *value).chain(values.v4.ranges.iter().map(|(_, value)| *value));
    let v6 = values.v6.exact.iter().map(|(_, value)| *value).chain(values.v6.ranges.iter().map(|(_, value)| *value));
    for value in v4.chain(v6) {
        // A run is no class, and beyond them all.
        if let Some(uses) = uses.get_mut(value as usize) {
            *uses += 1;
        }
    }
    let mut order: Vec<usize> = (0..classes.len()).collect();
    order.sort_by_key(|class| (*class != 0, Reverse(uses.get(*class).copied()), *class));
    let mut numbers = vec![0u16; classes.len()];
    for (number, class) in (0..=u16::MAX).zip(&order) {
        if let Some(place) = numbers.get_mut(*class) {
            *place = number;
        }
    }
    let number = |class: u16| numbers.get(usize::from(class)).copied().unwrap_or(class);
    let renumber = |value: &mut u32| {
        if let Ok(class) = u16::try_from(*value) {
            *value = u32::from(number(class));
        }
    };
    values.v4.exact.iter_mut().chain(&mut values.v4.ranges).for_each(|(_, value)| renumber(value));
    values.v6.exact.iter_mut().chain(&mut values.v6.ranges).for_each(|(_, value)| renumber(value));
    for word in &mut values.runs {
        // The mark that the run goes on is no class's number.
        let (until, class, after) = run_parts(*word);
        *word = run_word(until, number(class), if after == GOES_ON { after } else { number(after) });
    }
    let mut all: Vec<Option<Class>> = classes.into_iter().map(Some).collect();
    order.into_iter().filter_map(|class| all.get_mut(class)?.take()).collect()
}

#[derive(Default)]
struct Marks {
    numbers: HashMap<Mark, u32>,
    all: Vec<Mark>,
}

impl Marks {
    fn number(&mut self, mark: Mark) -> Result<u32, BuildError> {
        if let Some(number) = self.numbers.get(&mark) {
            return Ok(*number);
        }
        let number = u32::try_from(self.all.len()).ok().filter(|number| number >> MARK_BITS == 0);
        let number = number.ok_or(BuildError::Layout(super::layout::LayoutError::TooManyValues))?;
        self.all.push(mark);
        self.numbers.insert(mark, number);
        Ok(number)
    }
}

fn collect(
    desired: &Desired,
    guards: &Guards,
    now_s: u32,
    marks: &mut Marks,
    v4: &mut Vec<ListedV4>,
    v6: &mut Vec<ListedV6>,
) -> Result<(), BuildError> {
    v4.reserve_exact(desired.lists().map(|list| list.imported.v4().len()).sum());
    v6.reserve_exact(desired.lists().map(|list| list.imported.v6().len()).sum());
    for list in desired.lists() {
        if list.imported.is_empty() {
            continue;
        }
        // One mark for a million entries that share everything but the prefix.
        let mark = marks.number(Mark::Entry(Member { list: list.id.0, observe: false, forced: false }, 0))?;
        let imported = &list.imported;
        v4.extend(imported.v4().iter().map(|net| ListedV4::new(net.network().into(), net.prefix_len(), mark)));
        let of_v6 = |net: &ipnet::Ipv6Net| ListedV6 { start: net.network().into(), len: net.prefix_len(), mark };
        v6.extend(imported.v6().iter().map(of_v6));
    }
    let mut put = |prefix: IpNet, mark: u32| match prefix.network() {
        IpAddr::V4(a) => v4.push(ListedV4::new(a.into(), prefix.prefix_len(), mark)),
        IpAddr::V6(a) => v6.push(ListedV6 { start: a.into(), len: prefix.prefix_len(), mark }),
    };
    for list in desired.lists() {
        for (prefix, info) in list.entries.iter() {
            let observe = info.enforcement == Enforcement::Observe;
            let expires_at_s = info.expiry.map_or(0, crate::domain::time::Expiry::kernel_seconds);
            if expires_at_s == 0 || now_s < expires_at_s {
                let member = Member { list: list.id.0, observe, forced: info.forced };
                put(*prefix, marks.number(Mark::Entry(member, expires_at_s))?);
            }
        }
    }
    for prefix in guards.protected_prefixes() {
        put(prefix, marks.number(Mark::Guard(class_flag::PROTECTED))?);
    }
    for prefix in guards.never_block_prefixes() {
        put(prefix, marks.number(Mark::Guard(class_flag::NEVER_BLOCK))?);
    }
    Ok(())
}

/// A set of marks on the way from the whole space to a prefix: the mark of the narrowest, and what it lies in.
struct Cover {
    around: u32,
    len: u8,
    mark: u32,
    /// What it comes to, once some prefix has it as a whole: of a hundred lists on one prefix, one set matters.
    value: Option<u32>,
}

/// Nothing covers.
const BARE: u32 = 0;

/// One family, flat.
struct Family<A> {
    flat: Flat<A>,
    prefixes: usize,
}

struct Covers<'a> {
    standing: &'a Standing,
    now_s: u32,
    marks: Vec<Mark>,
    sets: Vec<Cover>,
    numbers: HashMap<(u32, u8, u32), u32>,
    classes: Classes,
    runs: Vec<u64>,
    run_numbers: HashMap<Vec<u64>, u32>,
    is_merged: bool,
}

impl<'a> Covers<'a> {
    fn new(marks: Vec<Mark>, standing: &'a Standing, now_s: u32) -> Self {
        let bare = Cover { around: BARE, len: 0, mark: u32::MAX, value: Some(0) };
        Self {
            standing,
            now_s,
            marks,
            sets: vec![bare],
            numbers: HashMap::new(),
            classes: Classes::new(),
            runs: Vec::new(),
            run_numbers: HashMap::new(),
            is_merged: false,
        }
    }

    /// Walks a family's prefixes in order, with the stack of those that cover the current one.
    fn family<L: Listed>(&mut self, listed: &mut [L]) -> Result<Family<L::Address>, BuildError> {
        if !listed.is_sorted() {
            listed.sort_unstable();
        }
        let mut family = Family { flat: Flat { exact: Vec::new(), ranges: Vec::new() }, prefixes: 0 };
        family.flat.exact.reserve_exact(listed.iter().filter(|one| one.len() == L::Address::BITS).count());
        // The last address each covers, and what covers it.
        let mut stack: Vec<(L::Address, u32)> = Vec::new();
        let mut known = ((u32::MAX, 0, 0), BARE);
        for same in listed.chunk_by(|a, b| a.start() == b.start() && a.len() == b.len()) {
            let Some(first) = same.first() else { continue };
            let (start, len) = (first.start(), first.len());
            while let Some((last, _)) = stack.last().copied().filter(|(last, _)| *last < start) {
                stack.pop();
                self.close(&mut family.flat, last, &stack);
            }
            let mut cover = stack.last().map_or(BARE, |(_, cover)| *cover);
            for one in same {
                let key = (cover, len, one.mark());
                if known.0 != key {
                    known = (key, self.cover(key));
                }
                cover = known.1;
            }
            let value = self.value(cover, || start.prefix(len))?;
            if len == L::Address::BITS {
                if value != 0 {
                    family.flat.exact.push((start, value));
                }
            } else {
                family.prefixes += 1;
                starts(&mut family.flat.ranges, start, value);
                stack.push((start.last(len), cover));
            }
        }
        while let Some((last, _)) = stack.pop() {
            self.close(&mut family.flat, last, &stack);
        }
        Ok(family)
    }

    /// Behind the last address of a prefix holds what covers it from further out.
    fn close<A: Address>(&self, flat: &mut Flat<A>, last: A, stack: &[(A, u32)]) {
        // What is on the stack has had its value since it was put there.
        let around = stack.last().map_or(BARE, |(_, cover)| *cover);
        let value = self.sets.get(around as usize).and_then(|cover| cover.value).unwrap_or(0);
        if let Some(behind) = last.next() {
            starts(&mut flat.ranges, behind, value);
        }
    }

    /// What a cover comes to on a prefix.
    fn value(&mut self, cover: u32, prefix: impl Fn() -> IpNet) -> Result<u32, BuildError> {
        if let Some(value) = self.sets.get(cover as usize).and_then(|cover| cover.value) {
            return Ok(value);
        }
        let value = self.value_of(cover, prefix)?;
        if let Some(cover) = self.sets.get_mut(cover as usize) {
            cover.value = Some(value);
        }
        Ok(value)
    }

    /// The cover of a mark on a prefix of a length inside of another cover.
    fn cover(&mut self, key: (u32, u8, u32)) -> u32 {
        let (around, len, mark) = key;
        *self.numbers.entry(key).or_insert_with(|| {
            let number = u32::try_from(self.sets.len()).unwrap_or(u32::MAX);
            self.sets.push(Cover { around, len, mark, value: None });
            number
        })
    }

    /// Marks of a cover, from the narrowest prefix to the widest.
    fn marks_of(&self, cover: u32) -> impl Iterator<Item = (u8, Mark)> + '_ {
        let mut at = cover;
        std::iter::from_fn(move || {
            let cover = self.sets.get(at as usize).filter(|_| at != BARE)?;
            at = cover.around;
            Some((cover.len, *self.marks.get(cover.mark as usize)?))
        })
    }

    fn value_of(&mut self, cover: u32, prefix: impl Fn() -> IpNet) -> Result<u32, BuildError> {
        let (mut flags, mut members, mut ends) = (0, Vec::new(), Vec::new());
        for (len, mark) in self.marks_of(cover) {
            match mark {
                Mark::Guard(bits) => flags |= bits,
                Mark::Entry(member, expires_at_s) => {
                    // What decides comes first: the better origin, then the longer prefix.
                    members.push(((self.standing.rank(member.list), Reverse(len), member), expires_at_s));
                    if expires_at_s > self.now_s {
                        ends.push(expires_at_s);
                    }
                }
            }
        }
        members.sort_unstable();
        ends.sort_unstable();
        ends.dedup();
        let holds_after = |moment: u32| -> Class {
            let alive = members.iter().filter(|(_, expires_at_s)| *expires_at_s == 0 || moment < *expires_at_s);
            let mut class = Class { flags, members: Vec::new() };
            for ((_, _, member), _) in alive {
                // A set: what a list says of a wider prefix too, it says once.
                if !class.members.contains(member) {
                    class.members.push(*member);
                }
            }
            class
        };
        let mut moments = vec![self.now_s];
        moments.extend(&ends);
        let steps = moments.iter().map(|moment| holds_after(*moment)).collect();
        let (mut steps, mut ends) = merged(steps, ends, PartialEq::eq);
        if ends.len() > RUN_STEPS as usize {
            self.is_merged = true;
            // As the lists stand, some may come to the same.
            let standing = self.standing;
            (steps, ends) = merged(steps, ends, |a, b| standing.row(a) == standing.row(b));
        }
        if ends.len() > RUN_STEPS as usize {
            return Err(BuildError::TooManyEnds { prefix: prefix(), ends: ends.len() });
        }
        let mut classes = Vec::with_capacity(steps.len());
        for class in steps {
            let number =
                self.classes.number(class).map_err(|NoMoreClasses| BuildError::TooManyClasses(String::new()))?;
            classes.push(u16::try_from(number).unwrap_or(u16::MAX));
        }
        let [first, ..] = classes.as_slice() else { return Ok(0) };
        if ends.is_empty() {
            return Ok(u32::from(*first));
        }
        self.run(&classes, &ends)
    }

    fn run(&mut self, classes: &[u16], ends: &[u32]) -> Result<u32, BuildError> {
        let count = ends.len();
        let words: Vec<u64> = ends
            .iter()
            .zip(classes)
            .enumerate()
            .map(|(step, (end, class))| {
                let after = if step + 1 == count { classes.last().copied().unwrap_or(0) } else { GOES_ON };
                run_word(*end, *class, after)
            })
            .collect();
        if let Some(at) = self.run_numbers.get(&words) {
            return Ok(RUN | at);
        }
        let at = u32::try_from(self.runs.len()).ok().filter(|at| at & RUN == 0);
        let at = at.ok_or(BuildError::Layout(super::layout::LayoutError::TooManyValues))?;
        self.runs.extend(&words);
        self.run_numbers.insert(words, at);
        Ok(RUN | at)
    }
}

/// Steps with nothing between them that counts, made one.
fn merged(steps: Vec<Class>, ends: Vec<u32>, is_same: impl Fn(&Class, &Class) -> bool) -> (Vec<Class>, Vec<u32>) {
    let mut kept: Vec<Class> = Vec::new();
    let mut kept_ends: Vec<u32> = Vec::new();
    for (class, start) in steps.into_iter().zip(std::iter::once(None).chain(ends.into_iter().map(Some))) {
        if kept.last().is_some_and(|last| is_same(last, &class)) {
            continue;
        }
        kept_ends.extend(start);
        kept.push(class);
    }
    (kept, kept_ends)
}

#[expect(clippy::cast_possible_truncation, reason = "the constant has 16 bits")]
const GOES_ON: u16 = RUN_GOES_ON as u16;

/// A range begins; one that began at the same address before is hidden by it.
fn starts<A: PartialEq>(ranges: &mut Vec<(A, u32)>, start: A, value: u32) {
    if ranges.last().is_some_and(|(last, _)| *last == start) {
        ranges.pop();
    }
    if ranges.last().map_or(0, |(_, last)| *last) != value {
        ranges.push((start, value));
    }
}
