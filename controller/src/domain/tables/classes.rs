//! Classes: the sets of lists that cover an address, and the row each comes to as the lists stand.
use std::collections::{BTreeMap, HashMap};

use weir_common::abi::{ClassRow, Ruling, class_flag};

use crate::domain::decision::{Kind, ListEnforcement};
use crate::domain::desired::Desired;
use crate::domain::resolve::{Item, strongest};

/// Most classes a generation can have: their numbers have 16 bits, and the last one says "elsewhere".
pub const MAX_CLASSES: usize = 65_535;

/// A list's decision on an address, without what the list as a whole says: that can change while tables stay.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Member {
    /// The list.
    pub list: u16,
    /// Whether this entry of it is only observed.
    pub observe: bool,
    /// Whether the operator named the address with `--force`.
    pub forced: bool,
}

/// Lists that cover an address, the one that decides first in front, and its protection.
#[derive(Clone, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Class {
    /// [`weir_common::abi::class_flag`] bits.
    pub flags: u32,
    /// In the order in which they decide.
    pub members: Vec<Member>,
}

impl Class {
    /// The lists, each once.
    pub fn lists(&self) -> impl Iterator<Item = u16> + '_ {
        let lists: std::collections::BTreeSet<u16> = self.members.iter().map(|member| member.list).collect();
        lists.into_iter()
    }
}

/// What each list as a whole says, in the terms of a decision.
#[derive(Clone, Debug, Default)]
pub struct Standing(BTreeMap<u16, (Item, ListEnforcement, u32)>);

impl Standing {
    /// As the lists stand.
    pub fn of(desired: &Desired) -> Self {
        let lists = desired.lists().map(|list| {
            let item = Item {
                len: 0,
                rank: list.origin.rank(list.kind),
                list: list.id.0,
                kind: list.kind,
                observe: false,
                forced: false,
                verdict: list.origin.verdict(),
                expires_at_s: 0,
                is_off: false,
            };
            (list.id.0, (item, list.enforcement, list.profile))
        });
        Self(lists.collect())
    }

    /// Place of a list in the order of origins.
    pub fn rank(&self, list: u16) -> u16 {
        self.0.get(&list).map_or(u16::MAX, |(item, ..)| item.rank)
    }

    /// The row of a class, as the lists stand.
    pub fn row(&self, class: &Class) -> ClassRow {
        let items: Vec<Item> = class.members.iter().filter_map(|member| self.item(*member)).collect();
        let best = |observe: bool| -> Ruling {
            strongest(items.iter().filter(|item| item.observe == observe && item.stands(class.flags)))
        };
        let profile = class.members.iter().find_map(|member| self.profile(member.list)).unwrap_or(0);
        // Who must not be cut off is not slowed down more than others either.
        let is_guarded = class.flags & class_flag::GUARDED != 0;
        let limited = if is_guarded { 0 } else { class_flag::profile(profile) };
        ClassRow::new(best(false), best(true), class.flags | limited)
    }

    /// The limit that sources on this list have; `None`: it is no list that limits. The first of several lists decides.
    fn profile(&self, list: u16) -> Option<u32> {
        let (_, enforcement, profile) = self.0.get(&list)?;
        (*enforcement == ListEnforcement::Limit).then_some(*profile)
    }

    /// A member as the decision it comes to; `None` where its list neither denies nor allows.
    fn item(&self, member: Member) -> Option<Item> {
        let (item, enforcement, _) = self.0.get(&member.list)?;
        let observe = match enforcement {
            ListEnforcement::Off | ListEnforcement::Limit => return None,
            ListEnforcement::Observe => true,
            ListEnforcement::Enforce => member.observe,
        };
        // To observe an allow is to do nothing.
        if observe && item.kind == Kind::Allow {
            return None;
        }
        Some(Item { observe, forced: member.forced, ..*item })
    }
}

/// Classes with their numbers; 0 is the class of the unlisted.
#[derive(Debug)]
pub(super) struct Classes {
    numbers: HashMap<Class, u32>,
    all: Vec<Class>,
}

/// There are [`MAX_CLASSES`] already.
#[derive(Debug)]
pub(super) struct NoMoreClasses;

impl Classes {
    pub(super) fn new() -> Self {
        Self { numbers: HashMap::from([(Class::default(), 0)]), all: vec![Class::default()] }
    }

    pub(super) fn number(&mut self, class: Class) -> Result<u32, NoMoreClasses> {
        if let Some(number) = self.numbers.get(&class) {
            return Ok(*number);
        }
        if self.all.len() >= MAX_CLASSES {
            return Err(NoMoreClasses);
        }
        let number = u32::try_from(self.all.len()).unwrap_or(u32::MAX);
        self.all.push(class.clone());
        self.numbers.insert(class, number);
        Ok(number)
    }

    pub(super) fn all(&self) -> &[Class] {
        &self.all
    }

    pub(super) fn into_vec(self) -> Vec<Class> {
        self.all
    }
}
