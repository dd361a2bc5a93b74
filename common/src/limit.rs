//! Each source's packets: counted for `top`, and held against its limit.
use crate::abi::{Offender, SOURCE_SETS, Slot, class_flag, control_word, feature};
use crate::addr::{Source, SourceKey};
use crate::rate::{self, Take};
use crate::sources;
use crate::tables::{Bucket as _, Tables};

#[inline(always)]
fn set_of<T: Tables>(tables: &T, key: SourceKey) -> u32 {
    key.hash(tables.control(control_word::SEED).unwrap_or(0)) & (SOURCE_SETS - 1)
}

/// Counts a packet of the source for `top`, where that is wanted.
#[inline(always)]
pub(crate) fn track<T: Tables>(tables: &T, slot: &Slot, source: Source, bytes: u64, dropped: bool) {
    if slot.features & feature::TRACK_SOURCES == 0 {
        return;
    }
    let key = source.key();
    let epoch = sources::epoch(tables.monotonic_ns());
    tables.with_sources(set_of(tables, key), |set| sources::touch(set, key.word(), bytes, dropped, epoch));
}

/// Adds a drop to a packet of the source that was counted already.
#[inline(always)]
pub(crate) fn refuse<T: Tables>(tables: &T, source: Source) {
    let key = source.key();
    tables.with_sources(set_of(tables, key), |set| sources::refuse(set, key.word()));
}

/// A limit of each source's packets, in the words of the slot.
#[derive(Clone, Copy, Debug)]
pub(crate) struct SourceLimit {
    /// Time a packet costs; 0: no limit.
    pub(crate) cost: u64,
    window: u64,
    promote_at: u32,
    fallback_heat: u32,
    /// The [`feature`] by which it is only observed.
    pub(crate) observe: u32,
}

impl SourceLimit {
    /// Everybody's.
    #[inline(always)]
    pub(crate) fn usual(slot: &Slot) -> Self {
        Self {
            cost: slot.source_cost,
            window: slot.source_window,
            promote_at: slot.promote_at,
            fallback_heat: slot.source_fallback_heat,
            observe: feature::OBSERVE_SOURCE_LIMIT,
        }
    }

    /// That of a class with these [`class_flag`] bits.
    #[inline(always)]
    pub(crate) fn of(slot: &Slot, flags: u32) -> Self {
        if flags & class_flag::LIMITED == 0 || slot.tight_cost == 0 {
            return Self::usual(slot);
        }
        Self {
            cost: slot.tight_cost,
            window: slot.tight_window,
            promote_at: slot.tight_promote_at,
            fallback_heat: slot.tight_fallback_heat,
            observe: feature::OBSERVE_TIGHT_LIMIT,
        }
    }
}

/// Counts a packet of the source and says whether it is over the source's limit.
///
/// The unknown many are counted per CPU without a lock; only who gets near the limit moves to an exact bucket that all
/// CPUs share, and takes along what each CPU had counted, so that a source spread over all queues gets its limit once.
#[inline(always)]
pub(crate) fn over_source_limit<T: Tables>(tables: &T, limit: &SourceLimit, source: Source, bytes: u64) -> bool {
    let key = source.key();
    let set = set_of(tables, key);
    let now_ns = tables.monotonic_ns();
    let touched = tables.with_sources(set, |set| sources::touch(set, key.word(), bytes, false, sources::epoch(now_ns)));
    let Some(touch) = touched else { return false };
    if !touch.promoted && touch.own < limit.promote_at {
        return false;
    }
    let now = rate::ticks(now_ns);
    // What this CPU let through before: it counts against the bucket once, and never for more than the whole burst.
    let mut spent = 0;
    if !touch.promoted {
        spent = u64::from(touch.own - 1) * limit.cost;
        if spent > limit.window {
            spent = limit.window;
        }
    }
    let bucket = if let Some(bucket) = tables.offender(key) {
        if spent != 0 {
            if bucket.tat() <= now {
                bucket.set_tat(now + spent);
            } else {
                bucket.add_tat(spent);
            }
        }
        bucket
    } else {
        let offender = Offender { tat: now + spent, passed: 0, refused: 0, seen_ns: now_ns, since_ns: now_ns };
        if !tables.insert_offender(key, &offender) {
            tables.with_cpu(|cpu| cpu.offenders_full += 1);
            return touch.own > limit.fallback_heat;
        }
        let Some(bucket) = tables.offender(key) else { return false };
        bucket
    };
    if !touch.promoted {
        tables.with_sources(set, |set| sources::promote(set, key.word()));
    }
    match rate::take(bucket.tat(), now, limit.cost, limit.window) {
        Take::Set(tat) => bucket.set_tat(tat),
        Take::Add(by) => bucket.add_tat(by),
        Take::Refused => {
            bucket.count_refused(now_ns);
            return true;
        }
    }
    bucket.count_passed(now_ns);
    false
}
