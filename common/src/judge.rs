//! The whole way of a packet: shape, source class, limits, and the one place that counts.
//!
//! Order: link layer, bypass, network header and its shape, essential link traffic, source class, extension headers,
//! rates. The source is judged before anything behind the network header is read, so no protocol, fragment, option or
//! extension header walks around a list.
//!
//! A hit that is only observed never ends the walk; the first enforced drop wins; and a packet adds at most one to the
//! observed counters: the first observed hit, and only if the packet was let through in the end.
use crate::abi::{
    ClassRow, Control, OVERLAY_LIFT, Ruling, SLOTS, Segment, Slot, class_flag, control_word, feature, overlay_flag,
};
use crate::addr::{self, Source};
use crate::frame::{Frame, MAX_OFFSET};
use crate::limit::track;
use crate::lookup;
use crate::open::{self, Open};
use crate::quick;
use crate::rate::{self, Take};
use crate::tables::{Fault, Tables};
use crate::traffic::{self, Place, fact};
use crate::verdict::{Action, Enforcement, VERDICT_SLOTS, Verdict};
use crate::walk::{self, LinkKind, Network, TransportKind};

/// Rank of the operator's deny list: weaker ones are "automatic" and cannot cross the never-block set.
pub const RANK_OPERATOR_DENY: u16 = 1;

/// Essential packets let through per second and CPU, and at once; the rest is judged like any other packet.
pub const ESSENTIAL_PER_SECOND: u64 = 500;

/// What the walk concluded.
///
/// Verdicts are carried as counter slots: in the kernel they come out of a map, and a number needs no proof that it is
/// one of the enum's.
#[must_use]
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Judgement {
    verdict: u32,
    observed: u32,
    /// The list behind the verdict, or behind the observed one; 0: none.
    pub list: u16,
    /// What in particular is behind it ([`crate::traffic::detail`]).
    pub detail: u32,
}

impl Judgement {
    /// The verdict that decided.
    pub fn verdict(&self) -> Verdict {
        // Tables only hold slots of dropping verdicts, and the walk's own are the enum's.
        u8::try_from(self.verdict).ok().and_then(Verdict::from_slot).unwrap_or(Verdict::Denied)
    }

    /// The drop that would have decided, were nothing only observed; never beside a dropping verdict.
    pub fn observed(&self) -> Option<Verdict> {
        if self.observed == NOTHING {
            return None;
        }
        u8::try_from(self.observed).ok().and_then(Verdict::from_slot)
    }

    /// What is done with the frame.
    #[inline(always)]
    pub fn action(&self) -> Action {
        if self.verdict <= Verdict::Fault.slot() { Action::Pass } else { Action::Drop }
    }
}

/// No observed verdict: slot 0 is `pass`, which nobody observes.
const NOTHING: u32 = 0;

/// Judges one frame and counts the verdict.
#[inline(always)]
pub fn judge<F: Frame + ?Sized, T: Tables>(frame: &F, tables: &T) -> Judgement {
    let mut walk = Walk::NEW;
    let mut verdict = quick::judge(frame, tables, &mut walk);
    if verdict & COUNTED != 0 {
        let list = (walk.list & 0xffff) as u16;
        return Judgement { verdict: verdict & !COUNTED, observed: NOTHING, list, detail: 0 };
    }
    if verdict == LEFT {
        // From the beginning, whatever the short way had found out.
        walk = Walk::NEW;
        verdict = walk.run(frame, tables);
    }
    if verdict == OPEN {
        // Each way here leaves its own marks on these; what follows is the same for all.
        walk.list = tables.forget_half(10, walk.list);
        walk.slot = tables.forget_half(9, walk.slot);
        verdict = open::judge(frame, tables, &mut walk.hits);
        if verdict > Verdict::Fault.slot() {
            // Not the list's doing that was only observed.
            walk.list = 0;
        }
    }
    let list = (walk.list & 0xffff) as u16;
    let mut judgement = Judgement { verdict, observed: NOTHING, list, detail: 0 };
    if judgement.action() == Action::Pass {
        judgement.observed = walk.hits.observed();
        judgement.detail = walk.hits.observed_detail();
    } else {
        judgement.detail = walk.hits.detail;
    }
    count(frame, tables, &judgement, walk.slot);
    judgement
}

/// Counts a verdict, once, and samples drops.
#[inline(always)]
pub(crate) fn count<F: Frame + ?Sized, T: Tables>(frame: &F, tables: &T, judgement: &Judgement, slot: u32) {
    let bytes = u64::from(frame.len());
    let would_drop = judgement.observed != NOTHING;
    let (mut cost, mut window) = (0, 0);
    if (would_drop || judgement.action() == Action::Drop)
        && let Some(slot) = tables.slot(slot)
    {
        (cost, window) = (slot.sample_cost, slot.sample_window);
    }
    let sampling = cost != 0;
    let now_ns = if sampling { tables.monotonic_ns() } else { 0 };
    let sampled = tables.with_cpu(|cpu| {
        cpu.enforced[tables.hide(judgement.verdict) as usize % VERDICT_SLOTS].add(bytes);
        if would_drop {
            cpu.observed[tables.hide(judgement.observed) as usize % VERDICT_SLOTS].add(bytes);
        }
        if !sampling {
            return false;
        }
        match rate::take(cpu.sample_tat, rate::ticks(now_ns), cost, window) {
            Take::Set(tat) => cpu.sample_tat = tat,
            Take::Add(by) => cpu.sample_tat += by,
            Take::Refused => return false,
        }
        cpu.samples += 1;
        true
    });
    if sampled == Some(true) && !emit_sample(frame, tables, judgement, now_ns) {
        tables.with_cpu(|cpu| cpu.samples_lost += 1);
    }
}

#[inline(always)]
fn emit_sample<F: Frame + ?Sized, T: Tables>(frame: &F, tables: &T, judgement: &Judgement, at_ns: u64) -> bool {
    tables.emit(|sample| {
        sample.at_ns = at_ns;
        sample.interface = tables.interface();
        sample.frame_len = frame.len();
        let observed = judgement.observed != NOTHING;
        sample.verdict = if observed { judgement.observed } else { judgement.verdict };
        sample.observed = u8::from(observed);
        sample.list = judgement.list;
        sample.detail = (judgement.detail & 0xff) as u8;
        sample.reserved = [0; 4];
        let mut captured = 0;
        let mut open = true;
        // Whole words only, written each to its own place: no variable offset reaches the ring's memory.
        for word in &mut sample.words {
            let bytes = if open { frame.read::<[u8; 8]>(captured) } else { None };
            open = bytes.is_some();
            *word = bytes.unwrap_or([0; 8]);
            captured += if open { 8 } else { 0 };
        }
        sample.captured = captured;
    })
}

/// What spoke against a packet so far.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Hits {
    /// The verdict of the first observed hit, its detail from bit 8 on, and [`Hits::OBSERVE_ALL`].
    word: u32,
    detail: u32,
}

impl Hits {
    pub(crate) const NONE: Self = Self { word: NOTHING, detail: 0 };
    const OBSERVE_ALL: u32 = 1 << 16;

    /// The verdict of the first observed hit.
    #[inline(always)]
    const fn observed(self) -> u32 {
        self.word & 0xff
    }

    #[inline(always)]
    const fn observed_detail(self) -> u32 {
        self.word >> 8 & 0xff
    }

    /// Notes a hit; `true` if it is enforced and decides, `false` if the walk goes on.
    #[inline(always)]
    pub(crate) fn hit(&mut self, verdict: u32, detail: u32, enforcement: Enforcement) -> bool {
        if enforcement == Enforcement::Enforce && self.word & Self::OBSERVE_ALL == 0 {
            self.detail = detail;
            return true;
        }
        if self.observed() == NOTHING {
            self.word |= verdict & 0xff | (detail & 0xff) << 8;
        }
        false
    }

    /// The same, through memory ([`Tables::forget`]).
    #[inline(always)]
    pub(crate) fn forget<T: Tables>(&mut self, tables: &T) {
        *self = Self { word: tables.forget_half(18, self.word), detail: 0 };
    }
}

/// Instead of a verdict's counter slot: nothing decided, and the packet was put aside as [`Open`].
pub(crate) const OPEN: u32 = 0x100;

/// The same: nothing was said or counted, the long way must see to it.
pub(crate) const LEFT: u32 = 0x101;

/// Beside a verdict's counter slot: it is counted, and there is no more to be done.
pub(crate) const COUNTED: u32 = 0x200;

/// No slot was looked at.
const NO_SLOT: u32 = u32::MAX;

pub(crate) struct Walk {
    pub(crate) hits: Hits,
    pub(crate) list: u32,
    /// The slot it is judged by, once that is known.
    pub(crate) slot: u32,
}

impl Walk {
    const NEW: Self = Self { hits: Hits::NONE, list: 0, slot: NO_SLOT };

    /// Notes a hit about which nothing more is to be said.
    #[inline(always)]
    fn hit(&mut self, verdict: u32, enforcement: Enforcement) -> bool {
        self.hits.hit(verdict, 0, enforcement)
    }

    #[inline(always)]
    fn run<F: Frame + ?Sized, T: Tables>(&mut self, frame: &F, tables: &T) -> u32 {
        let link = walk::link(frame);
        if link.kind == LinkKind::Other {
            return Verdict::NotIp.slot();
        }
        match tables.control(control_word::BYPASS) {
            Some(0) => {}
            Some(_) => return Verdict::Bypassed.slot(),
            None => return Verdict::Fault.slot(),
        }
        let Some((index, slot)) = slot_in_force(tables) else { return Verdict::Fault.slot() };
        if slot.features & feature::OBSERVE_ALL != 0 {
            self.hits.word |= Hits::OBSERVE_ALL;
        }
        self.slot = index;
        // Whatever the tags, the header is at some offset up to here.
        let offset = tables.forget_half(0, link.offset);
        if offset > walk::MAX_NETWORK_OFFSET {
            return Verdict::Fault.slot();
        }
        // One copy of the rest for each family: neither pays for the other's cases.
        match link.kind {
            LinkKind::V4 => self.network(frame, tables, index, slot, walk::ipv4(frame, offset)),
            LinkKind::V6 => self.network(frame, tables, index, slot, walk::ipv6(frame, offset)),
            LinkKind::TooManyTags => self.over_budget(slot),
            LinkKind::Truncated | LinkKind::Other => self.malformed(),
        }
    }

    /// A frame without an address to judge by: where malformed is only observed, it has nowhere to go but through.
    #[inline(always)]
    fn malformed(&mut self) -> u32 {
        let verdict = Verdict::Malformed.slot();
        if self.hit(verdict, Enforcement::Enforce) { verdict } else { Verdict::Pass.slot() }
    }

    /// `pass` where the budget is only observed or the setting lets it through.
    #[inline(always)]
    fn over_budget(&mut self, slot: &Slot) -> u32 {
        let verdict = Verdict::Budget.slot();
        let passes = slot.features & feature::BUDGET_PASSES != 0;
        if !passes && self.hit(verdict, Enforcement::Enforce) { verdict } else { Verdict::Pass.slot() }
    }

    /// Shape, essential link traffic, then everything that needs the source's address.
    #[inline(always)]
    fn network<F: Frame + ?Sized, T: Tables>(
        &mut self,
        frame: &F,
        tables: &T,
        index: u32,
        slot: &Slot,
        network: Option<Network>,
    ) -> u32 {
        let Some(network) = network else { return self.malformed() };
        let bogon = walk::is_bogon(&network);
        if (!bogon || is_unspecified(network.source))
            && walk::is_essential(frame, &network, |offset| tables.hide(offset))
            && essential(tables)
        {
            return Verdict::Essential.slot();
        }
        if bogon && self.hit(Verdict::Bogon.slot(), Enforcement::Enforce) {
            return Verdict::Bogon.slot();
        }
        self.source(frame, tables, index, slot, &network)
    }

    /// Source class, extension headers and rates: all that needs the source's address.
    #[inline(always)]
    fn source<F: Frame + ?Sized, T: Tables>(
        &mut self,
        frame: &F,
        tables: &T,
        index: u32,
        slot: &Slot,
        network: &Network,
    ) -> u32 {
        let bytes = u64::from(frame.len());
        let key = network.source.key();
        self.hits.forget(tables);
        let Ok(class) = classify(tables, index, slot, network.source) else { return Verdict::Fault.slot() };
        if class.class != 0 {
            tables.count_class(slot, index, class.class, bytes);
        }
        if class.counter != NO_COUNTER {
            tables.count_overlay(class.counter, bytes);
        }
        let observed = Ruling::from_word(tables.forget(1, class.observed().word()));
        let enforced = Ruling::from_word(tables.forget(2, class.enforced().word()));
        if !observed.is_none() {
            // The list behind the first observed hit; a bogon before it has none.
            if self.hits.observed() == NOTHING {
                self.list = u32::from(observed.list());
            }
            self.hit(observed.verdict_slot(), Enforcement::Observe);
        }
        if !enforced.is_none() {
            if self.hits.observed() == NOTHING {
                self.list = u32::from(enforced.list());
            }
            if enforced.is_allow() {
                track(tables, slot, key, bytes, false);
                return Verdict::Allowed.slot();
            }
            if self.hit(enforced.verdict_slot(), Enforcement::Enforce) {
                self.list = u32::from(enforced.list());
                track(tables, slot, key, bytes, true);
                return enforced.verdict_slot();
            }
        }
        let transport = walk::transport(frame, network, |offset| tables.forget_half(3, offset));
        let mut facts = traffic::of_network_only();
        let asks = slot.features & feature::TRANSPORT != 0;
        let dropped = match transport.kind {
            // Out of reach: were it let through unread, a long option would walk around every rule for transport.
            TransportKind::Header if asks && transport.offset > MAX_OFFSET => self.over_budget(slot),
            TransportKind::Header => {
                if asks {
                    let place = Place {
                        protocol: transport.protocol,
                        offset: tables.forget_half(3, transport.offset),
                        end: network.end,
                        fragment: transport.fragment,
                    };
                    facts = traffic::facts(frame, place);
                }
                Verdict::Pass.slot()
            }
            TransportKind::Later => {
                facts = traffic::of_later_fragment();
                Verdict::Pass.slot()
            }
            TransportKind::Malformed => {
                let verdict = Verdict::Malformed.slot();
                if self.hit(verdict, Enforcement::Enforce) { verdict } else { Verdict::Pass.slot() }
            }
            TransportKind::Budget => self.over_budget(slot),
        };
        if dropped != Verdict::Pass.slot() {
            self.list = 0;
            track(tables, slot, key, bytes, true);
            return dropped;
        }
        let mut fragment = 0;
        if asks && facts.bits & (fact::FIRST_FRAGMENT | fact::LATER_FRAGMENT) != 0 {
            fragment = open::fragment_of(tables, network, transport.id);
        }
        Open {
            slot: index,
            key,
            profile: class_flag::profile_of(tables.forget_half(7, class.flags)),
            facts,
            start: network.start,
            is_v6: matches!(network.source, Source::V6(_)),
            fragment,
            own: 0,
        }
        .keep(tables);
        OPEN
    }
}

/// The slot a packet is judged by: read once, and undone in the kernel if a confirm did not come in time.
#[inline(always)]
pub fn slot_in_force<T: Tables>(tables: &T) -> Option<(u32, &Slot)> {
    let control = Control::from_word(tables.control(control_word::CONTROL)?);
    let index = control.slot();
    let slot = tables.slot(index)?;
    if control.confirm_pending() && slot.confirm_deadline_s != 0 && tables.boot_seconds() >= slot.confirm_deadline_s {
        let fallback = slot.fallback & (SLOTS - 1);
        return Some((fallback, tables.slot(fallback)?));
    }
    Some((index, slot))
}

/// No overlay value decided.
pub const NO_COUNTER: u32 = u32::MAX;

/// What all that is known of a source comes to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Classification {
    enforced: u64,
    observed: u64,
    /// The class of the tables; 0: unlisted.
    pub class: u32,
    /// [`class_flag`] bits of the tables' class.
    pub flags: u32,
    /// Counter of the overlay value that decided; [`NO_COUNTER`]: none did.
    pub counter: u32,
}

impl Classification {
    /// The strongest ruling that is enforced.
    #[inline(always)]
    pub fn enforced(&self) -> Ruling {
        Ruling::from_word(self.enforced)
    }

    /// The strongest observed denial, if it is stronger than what is enforced.
    #[inline(always)]
    pub fn observed(&self) -> Ruling {
        if self.observed >> 48 > self.enforced >> 48 { Ruling::from_word(self.observed) } else { Ruling::NONE }
    }

    /// The ruling's word, or 0 where the source's protection voids it.
    #[inline(always)]
    fn standing(&self, ruling: Ruling) -> u64 {
        if self.flags & class_flag::GUARDED != 0 && ruling.is_deny() && !ruling.is_forced() {
            let automatic = ruling.rank() > RANK_OPERATOR_DENY;
            if self.flags & class_flag::PROTECTED != 0 || automatic {
                return 0;
            }
        }
        ruling.word()
    }

    /// Takes what is stronger than all so far, which `counter` then stands for.
    #[inline(always)]
    fn consider(&mut self, enforced: Ruling, observed: Ruling, counter: u32) {
        let enforced = self.standing(enforced);
        if enforced > self.enforced {
            self.enforced = enforced;
            self.counter = counter;
        }
        let observed = self.standing(observed);
        if observed > self.observed {
            self.observed = observed;
            self.counter = counter;
        }
    }

    /// Takes the first segment that has not ended.
    #[inline(always)]
    fn consider_live<T: Tables>(&mut self, tables: &T, segments: &[Segment], counter: u32) {
        for segment in segments {
            if !is_over(tables, segment.expires_at_s) {
                self.consider(segment.enforced, segment.observed, counter);
                return;
            }
        }
    }
}

/// Whether what ends at this boot-time second has ended. The clock is read only for what ends at all: it costs more than
/// a look-up.
#[inline(always)]
fn is_over<T: Tables>(tables: &T, expires_at_s: u32) -> bool {
    expires_at_s != 0 && tables.boot_seconds() >= u64::from(expires_at_s)
}

/// Looks a source up in tables and overlay; the better rank decides. Counts nothing.
///
/// # Errors
/// [`Fault`] where a table that should be there is not.
#[inline(always)]
pub fn classify<T: Tables>(tables: &T, index: u32, slot: &Slot, source: Source) -> Result<Classification, Fault> {
    let value = match source {
        Source::V4(a) => lookup::v4(tables, index, &slot.layout, u32::from_be_bytes(a))?,
        Source::V6(a) => {
            let (upper, lower) = addr::halves(a);
            lookup::v6(tables, index, &slot.layout, upper, lower)?
        }
    };
    let overlay = tables.control(control_word::OVERLAY).ok_or(Fault)?;
    if value == 0 && overlay == 0 {
        return Ok(Classification { enforced: 0, observed: 0, class: 0, flags: 0, counter: NO_COUNTER });
    }
    let value = tables.forget_half(4, value);
    let mut class = 0;
    let mut row = ClassRow::default();
    if value != 0 {
        class = tables.forget_half(9, lookup::live_class(tables, index, &slot.layout, value)?);
        row = *tables.row(index, slot, class).ok_or(Fault)?;
    }
    let class = tables.forget_half(10, class);
    let row = ClassRow {
        enforced: Ruling::from_word(tables.forget(5, row.enforced.word())),
        observed: Ruling::from_word(tables.forget(6, row.observed.word())),
        flags: tables.forget_half(7, row.flags),
        ..ClassRow::default()
    };
    let mut result = Classification { enforced: 0, observed: 0, class, flags: row.flags, counter: NO_COUNTER };
    let mut lifted = false;
    if overlay != 0 {
        let (exact_bit, allow_bit, deny_bit) = match source {
            Source::V4(_) => (overlay_flag::EXACT_V4, overlay_flag::ALLOW_V4, overlay_flag::DENY_V4),
            Source::V6(_) => (overlay_flag::EXACT_V6, overlay_flag::ALLOW_V6, overlay_flag::DENY_V6),
        };
        if overlay & exact_bit != 0
            && let Some(value) = tables.overlay_exact(source)
        {
            let slot = tables.hide(index) as usize % SLOTS as usize;
            if value.flags & OVERLAY_LIFT << slot != 0 {
                lifted = true;
                result.consider_live(tables, &value.lifted[slot], NO_COUNTER);
            }
            result.consider_live(tables, &value.segments, value.counter);
        }
        if overlay & allow_bit != 0
            && let Some(value) = tables.overlay_allow(source)
        {
            result.consider_live(tables, &value.segments, value.counter);
        }
        if overlay & deny_bit != 0
            && let Some(value) = tables.overlay_deny(source)
        {
            result.consider_live(tables, &value.segments, value.counter);
        }
    }
    if !lifted {
        result.consider(row.enforced, row.observed, NO_COUNTER);
    }
    result.counter = tables.forget_half(8, result.counter);
    Ok(result)
}

#[inline(always)]
fn is_unspecified(source: Source) -> bool {
    source == Source::V4([0; 4]) || source == Source::V6([0; 16])
}

/// Takes a token of this CPU's essential bucket.
#[inline(always)]
fn essential<T: Tables>(tables: &T) -> bool {
    const COST: u64 = rate::cost(ESSENTIAL_PER_SECOND);
    let now = rate::ticks(tables.monotonic_ns());
    let taken = tables.with_cpu(|cpu| match rate::take(cpu.essential_tat, now, COST, COST * ESSENTIAL_PER_SECOND) {
        Take::Set(tat) => {
            cpu.essential_tat = tat;
            true
        }
        Take::Add(by) => {
            cpu.essential_tat += by;
            true
        }
        Take::Refused => false,
    });
    taken == Some(true)
}
