//! Who sends: a fixed set of lines per CPU that keeps the loudest sources and forgets the quietest.
//!
//! Nothing is inserted into or deleted from a kernel map for it, so a flood of forged sources costs one line each and
//! no memory. A new source takes the place of the coldest way of its set and inherits its heat, so whoever sends
//! steadily is not washed out by ten million who send once; its packets, bytes and drops start at zero and are exact
//! for as long as it is tracked.
use crate::abi::{SOURCE_WAYS, SourceSet, SourceWay, low};

/// Marks in [`SourceWay::own`] a source whose packets are in an offender's bucket.
pub const PROMOTED: u32 = 1 << 31;

/// What a source must come to on one CPU until it gets exact buckets: each packet adds the part of it that its limit's
/// words say. So much below what the count can hold, because where there is no room for buckets the count alone must tell
/// who is over.
pub const PRESSURE: u32 = 1 << 16;

/// Length of the epoch after which decaying counts halve, as a shift of nanoseconds: 1.07 s.
pub const EPOCH_SHIFT: u32 = 30;

/// The epoch `now_ns` falls in.
#[inline(always)]
pub const fn epoch(now_ns: u64) -> u32 {
    low(now_ns >> EPOCH_SHIFT)
}

/// What is known of a source after its packet was counted.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Touch {
    /// What its own packets came to on this CPU, decaying by half each epoch.
    pub own: u32,
    /// Whether its earlier packets are already in an offender's bucket.
    pub promoted: bool,
}

impl Touch {
    /// Of a way's own count and mark.
    #[inline(always)]
    pub(crate) const fn of(own: u32) -> Self {
        Self { own: own & !PROMOTED, promoted: own & PROMOTED != 0 }
    }
}

/// How often decaying counts must be halved.
#[inline(always)]
pub(crate) const fn halvings(epoch: u32, last: u32) -> u32 {
    let age = epoch.wrapping_sub(last);
    // After 31, nothing is left of any.
    if age > 31 { 31 } else { age }
}

/// A source's own count, halved so often; its mark stays.
#[inline(always)]
pub(crate) const fn halved(own: u32, times: u32) -> u32 {
    (own & PROMOTED) | ((own & !PROMOTED) >> times)
}

/// A source's own count and so much more, up to what it can hold.
#[inline(always)]
pub(crate) const fn pressed(own: u32, pressure: u32) -> u32 {
    let sum = (own & !PROMOTED) + pressure;
    // A sum of two numbers of 31 bits has 32: the highest says that it is too large.
    let most = PROMOTED - 1;
    (own & PROMOTED) | if sum > most { most } else { sum }
}

/// Counts a packet of `key` in its set, which adds `pressure` to its own count; that count, and [`PROMOTED`]. `hide` is
/// [`crate::tables::Tables::hide_word`].
#[inline(always)]
pub fn touch(
    set: &mut SourceSet,
    key: u64,
    bytes: u64,
    dropped: bool,
    pressure: u32,
    epoch: u32,
    hide: impl Fn(u64) -> u64,
) -> u32 {
    let shift = halvings(epoch, set.epoch);
    if shift != 0 {
        let mut i = 0;
        while i < SOURCE_WAYS {
            let way = &mut set.ways[i];
            way.heat >>= shift;
            way.own = halved(way.own, shift);
            i += 1;
        }
        set.epoch = epoch;
    }
    let [a, b, c] = &mut set.ways;
    if a.key == key {
        return hit(a, bytes, dropped, pressure);
    }
    if b.key == key {
        return hit(b, bytes, dropped, pressure);
    }
    if c.key == key {
        return hit(c, bytes, dropped, pressure);
    }
    let coldest = lesser(placed(a.heat, 0), placed(b.heat, 1), &hide);
    // Hidden behind the mask: the optimiser would make "not three" of the bound, which old verifiers learn nothing from.
    let at = low(hide(lesser(coldest, placed(c.heat, 2), &hide) & 3)) as usize;
    let at = if at < SOURCE_WAYS { at } else { 0 };
    replace(&mut set.ways[at], key, bytes, dropped, pressure)
}

/// A way's heat, and which way it is.
#[inline(always)]
pub(crate) const fn placed(heat: u32, way: u64) -> u64 {
    (heat as u64) << 3 | way
}

/// The lesser of two numbers below 2^63, computed: which of a flood's ways is the coldest is as good as random, and a
/// branch that goes wrong costs more than all of this.
#[inline(always)]
pub(crate) fn lesser(one: u64, other: u64, hide: impl Fn(u64) -> u64) -> u64 {
    let away = other.wrapping_sub(one);
    one.wrapping_add(away & hide(away >> 63).wrapping_neg())
}

/// Adds a drop to a source whose packet was counted before its verdict was known.
#[inline(always)]
pub fn refuse(set: &mut SourceSet, key: u64) {
    let [a, b, c] = &mut set.ways;
    if a.key == key {
        a.dropped += 1;
    } else if b.key == key {
        b.dropped += 1;
    } else if c.key == key {
        c.dropped += 1;
    }
}

/// Notes that a source's packets so far are in an offender's bucket.
#[inline(always)]
pub fn promote(set: &mut SourceSet, key: u64) {
    let [a, b, c] = &mut set.ways;
    if a.key == key {
        a.own |= PROMOTED;
    } else if b.key == key {
        b.own |= PROMOTED;
    } else if c.key == key {
        c.own |= PROMOTED;
    }
}

#[inline(always)]
fn hit(way: &mut SourceWay, bytes: u64, dropped: bool, pressure: u32) -> u32 {
    way.packets += 1;
    way.bytes += bytes;
    way.dropped += u64::from(dropped);
    // Thirty-one bits hold two seconds at a billion packets a second; wrapping only forgets.
    way.heat = way.heat.wrapping_add(1);
    way.own = pressed(way.own, pressure);
    way.own
}

#[inline(always)]
fn replace(way: &mut SourceWay, key: u64, bytes: u64, dropped: bool, pressure: u32) -> u32 {
    way.key = key;
    way.packets = 1;
    way.bytes = bytes;
    way.dropped = u64::from(dropped);
    way.heat = way.heat.wrapping_add(1);
    way.own = pressure;
    pressure
}

#[cfg(test)]
mod tests {
    use super::*;

    fn count(set: &mut SourceSet, key: u64, bytes: u64, dropped: bool, pressure: u32, epoch: u32) -> u32 {
        touch(set, key, bytes, dropped, pressure, epoch, |word| word)
    }

    fn way(set: &SourceSet, key: u64) -> Option<SourceWay> {
        set.ways.iter().copied().find(|w| w.key == key && w.packets > 0)
    }

    #[test]
    fn totals_are_exact_while_a_source_is_tracked() {
        let mut set = SourceSet::default();
        for i in 0..100 {
            count(&mut set, 7, 60, i % 4 == 0, 1, 0);
        }
        let w = way(&set, 7).unwrap();
        assert_eq!((w.packets, w.bytes, w.dropped), (100, 6000, 25));
    }

    #[test]
    fn a_steady_source_outlives_a_stream_of_forged_ones() {
        let mut set = SourceSet::default();
        for i in 0..100_000u64 {
            count(&mut set, 1_000_000 + i, 60, false, 1, 0);
            count(&mut set, 7, 60, false, 1, 0);
        }
        assert_eq!(way(&set, 7).unwrap().packets, 100_000);
    }

    #[test]
    fn a_source_never_inherits_what_another_sent() {
        let mut set = SourceSet::default();
        for key in 1..=1000u64 {
            assert_eq!(count(&mut set, key, 60, true, 1, 0), 1);
            assert_eq!(way(&set, key).unwrap().dropped, 1);
        }
    }

    #[test]
    fn own_count_halves_each_epoch_and_keeps_the_promotion() {
        let mut set = SourceSet::default();
        for _ in 0..64 {
            count(&mut set, 7, 60, false, 1, 10);
        }
        promote(&mut set, 7);
        assert_eq!(count(&mut set, 7, 60, false, 1, 12), PROMOTED + 17);
        assert_eq!(Touch::of(count(&mut set, 7, 60, false, 1, 1000)), Touch { own: 1, promoted: true });
    }

    #[test]
    fn refusing_touches_drops_alone() {
        let mut set = SourceSet::default();
        count(&mut set, 7, 60, false, 1, 0);
        refuse(&mut set, 7);
        let w = way(&set, 7).unwrap();
        assert_eq!((w.packets, w.dropped), (1, 1));
    }
}
