//! What a set of decisions that cover one address comes to, now and as they end one after the other.
use weir_common::abi::{Ruling, Segment, class_flag, ruling_flag};
use weir_common::judge::RANK_OPERATOR_DENY;
use weir_common::verdict::Verdict;

use super::decision::{Decision, Enforcement, Kind};

/// A decision, reduced to what decides.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Item {
    /// Prefix length: within one rank the longer one decides.
    pub len: u8,
    /// Place in the order of origins.
    pub rank: u16,
    /// Its list.
    pub list: u16,
    /// Lets through or drops.
    pub kind: Kind,
    /// Counted only.
    pub observe: bool,
    /// Named by the operator with `--force`.
    pub forced: bool,
    /// What its drops are counted as.
    pub verdict: Verdict,
    /// Boot-time second from which it no longer holds; 0: never.
    pub expires_at_s: u32,
    /// Its list is off.
    pub is_off: bool,
}

impl From<&Decision> for Item {
    fn from(decision: &Decision) -> Self {
        Self {
            len: decision.prefix.prefix_len(),
            rank: decision.origin.rank(decision.kind),
            list: decision.list.0,
            kind: decision.kind,
            observe: decision.info.enforcement == Enforcement::Observe,
            forced: decision.info.forced,
            verdict: decision.origin.verdict(),
            expires_at_s: decision.info.expiry.map_or(0, super::time::Expiry::kernel_seconds),
            is_off: decision.is_off(),
        }
    }
}

impl Item {
    /// Whether protection leaves it standing; `flags` are [`class_flag`] bits.
    pub fn stands(&self, flags: u32) -> bool {
        if self.is_off || self.kind == Kind::Allow || self.forced {
            return !self.is_off;
        }
        let automatic = self.rank > RANK_OPERATOR_DENY;
        flags & class_flag::PROTECTED == 0 && !(automatic && flags & class_flag::NEVER_BLOCK != 0)
    }

    /// Whether it holds at a boot-time second.
    pub fn is_live(&self, at_s: u32) -> bool {
        self.expires_at_s == 0 || at_s < self.expires_at_s
    }

    fn ruling(&self) -> Ruling {
        match self.kind {
            Kind::Allow => Ruling::allow(self.rank, self.list),
            Kind::Deny => {
                let flags = if self.forced { ruling_flag::FORCED } else { 0 };
                Ruling::deny(self.rank, self.list, self.verdict, flags)
            }
        }
    }

    fn order(&self) -> (u16, u8) {
        (self.rank, u8::MAX - self.len)
    }
}

/// What holds from one moment to the next.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Step {
    /// Boot-time second at which it ends; 0: never.
    pub expires_at_s: u32,
    /// The strongest decision that is carried out.
    pub enforced: Ruling,
    /// The strongest observed denial.
    pub observed: Ruling,
}

impl Step {
    /// As an overlay value holds it.
    pub fn segment(&self) -> Segment {
        Segment { expires_at_s: self.expires_at_s, enforced: self.enforced, observed: self.observed }
    }
}

/// The ruling of the one that decides: the better origin, then the longer prefix, then the first.
pub fn strongest<'a>(items: impl Iterator<Item = &'a Item>) -> Ruling {
    items.min_by_key(|item| item.order()).map_or(Ruling::NONE, Item::ruling)
}

/// The steps from `now_s` on, until nothing more changes. Empty where nothing holds.
///
/// Neighbouring steps that decide alike are one, so a chain is only as long as verdicts differ. The last step either
/// never ends or is followed by nothing.
pub fn resolve(items: &[Item], flags: u32, now_s: u32) -> Vec<Step> {
    let mut ends: Vec<u32> =
        items.iter().map(|item| item.expires_at_s).filter(|&end| end != 0 && end > now_s).collect();
    ends.sort_unstable();
    ends.dedup();
    ends.push(0);
    let mut steps: Vec<Step> = Vec::new();
    let mut start = now_s;
    for end in ends {
        let live = || items.iter().filter(|item| item.is_live(start));
        let best = |observe: bool| {
            let heeded = live().filter(|item| item.observe == observe && item.stands(flags));
            strongest(heeded.filter(|item| !observe || item.kind == Kind::Deny))
        };
        if live().next().is_none() {
            break;
        }
        let step = Step { expires_at_s: end, enforced: best(false), observed: best(true) };
        match steps.last_mut() {
            Some(last) if last.enforced == step.enforced && last.observed == step.observed => last.expires_at_s = end,
            _ => steps.push(step),
        }
        start = end;
    }
    steps
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn deny(rank: u16, len: u8, expires_at_s: u32) -> Item {
        Item {
            len,
            rank,
            list: rank,
            kind: Kind::Deny,
            observe: false,
            forced: false,
            verdict: Verdict::Denied,
            expires_at_s,
            is_off: false,
        }
    }

    #[test]
    fn an_expired_strong_decision_uncovers_the_weak_one_beneath() {
        let steps = resolve(&[deny(1, 32, 100), deny(3, 24, 0)], 0, 50);
        assert_eq!(steps.len(), 2);
        assert_eq!((steps[0].enforced.rank(), steps[0].expires_at_s), (1, 100));
        assert_eq!((steps[1].enforced.rank(), steps[1].expires_at_s), (3, 0));
    }

    #[test]
    fn a_weak_decision_that_ends_first_makes_no_step() {
        let steps = resolve(&[deny(1, 32, 0), deny(3, 24, 60)], 0, 50);
        assert_eq!(steps.len(), 1);
        assert_eq!(steps[0].expires_at_s, 0);
    }

    #[test]
    fn within_a_rank_the_longer_prefix_decides() {
        let mut narrow = deny(1, 32, 0);
        narrow.list = 7;
        let steps = resolve(&[deny(1, 8, 0), narrow, deny(1, 24, 0)], 0, 0);
        assert_eq!(steps[0].enforced.list(), 7);
    }

    #[test]
    fn protection_voids_all_but_what_is_forced() {
        let mut forced = deny(1, 24, 0);
        forced.forced = true;
        forced.list = 9;
        let steps = resolve(&[deny(1, 32, 0), forced], class_flag::PROTECTED, 0);
        assert_eq!(steps[0].enforced.list(), 9);
        let steps = resolve(&[deny(1, 32, 0), deny(3, 32, 0)], class_flag::NEVER_BLOCK, 0);
        assert_eq!(steps[0].enforced.rank(), 1);
        let steps = resolve(&[deny(3, 32, 0)], class_flag::NEVER_BLOCK, 0);
        assert!(steps[0].enforced.is_none());
    }

    fn item() -> impl Strategy<Value = Item> {
        (0u8..33, 0u16..6, any::<bool>(), any::<bool>(), prop_oneof![Just(0u32), 1u32..20]).prop_map(
            |(len, rank, observe, forced, expires_at_s)| Item {
                kind: if rank == 0 || rank == 2 { Kind::Allow } else { Kind::Deny },
                observe: observe && rank != 0 && rank != 2,
                forced,
                ..deny(rank, len, expires_at_s)
            },
        )
    }

    proptest! {
        #[test]
        fn at_every_second_the_steps_say_what_the_live_decisions_say(
            items in proptest::collection::vec(item(), 0..8), flags in 0u32..4, now in 0u32..10,
        ) {
            let steps = resolve(&items, flags, now);
            for at in now..25 {
                let step = steps.iter().find(|s| s.expires_at_s == 0 || at < s.expires_at_s);
                let want = |observe: bool| items.iter()
                    .filter(|i| i.is_live(at) && i.observe == observe && i.stands(flags))
                    .min_by_key(|i| i.order()).map(|i| (i.rank, i.kind));
                let got = |r: Ruling| (!r.is_none()).then(|| (r.rank(), if r.is_allow() { Kind::Allow } else { Kind::Deny }));
                prop_assert_eq!(step.and_then(|s| got(s.enforced)), want(false));
                prop_assert_eq!(step.and_then(|s| got(s.observed)), want(true));
            }
        }
    }
}
