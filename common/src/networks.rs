//! Networks, and sources at a port: the lines of [`crate::sources`] without totals, five to a cache line.
//!
//! They are told apart by 31 bits of a keyed hash. Two that share them are counted together until they get exact buckets,
//! which have the whole key.
use crate::abi::{NETWORK_WAYS, NetworkSet, NetworkWay};
use crate::sources::{self, PROMOTED};

/// Counts a packet of `tag` in its set; its own count, and [`PROMOTED`]. `hide` is [`crate::tables::Tables::forget`].
#[inline(always)]
pub(crate) fn touch(set: &mut NetworkSet, tag: u32, pressure: u32, epoch: u32, hide: impl Fn(u64) -> u64) -> u32 {
    let shift = sources::halvings(epoch, set.epoch);
    if shift != 0 {
        let mut i = 0;
        while i < NETWORK_WAYS {
            let way = &mut set.ways[i];
            way.heat >>= shift;
            way.own = sources::halved(way.own, shift);
            i += 1;
        }
        set.epoch = epoch;
    }
    let [a, b, c, d, e] = &mut set.ways;
    if a.tag == tag {
        return hit(a, pressure);
    }
    if b.tag == tag {
        return hit(b, pressure);
    }
    if c.tag == tag {
        return hit(c, pressure);
    }
    if d.tag == tag {
        return hit(d, pressure);
    }
    if e.tag == tag {
        return hit(e, pressure);
    }
    let place = |way: &NetworkWay, at: u64| u64::from(way.heat) << 3 | at;
    let mut coldest = place(a, 0);
    for other in [place(b, 1), place(c, 2), place(d, 3), place(e, 4)] {
        if other < coldest {
            coldest = other;
        }
    }
    // Whichever it is, one way for the verifier to go on.
    let at = hide(coldest) as usize & 7;
    let at = if at < NETWORK_WAYS { at } else { 0 };
    let way = &mut set.ways[at];
    way.tag = tag;
    way.heat = way.heat.wrapping_add(1);
    way.own = pressure;
    pressure
}

/// Notes that what was counted so far is in exact buckets.
#[inline(always)]
pub(crate) fn promote(set: &mut NetworkSet, tag: u32) {
    let [a, b, c, d, e] = &mut set.ways;
    if a.tag == tag {
        a.own |= PROMOTED;
    } else if b.tag == tag {
        b.own |= PROMOTED;
    } else if c.tag == tag {
        c.own |= PROMOTED;
    } else if d.tag == tag {
        d.own |= PROMOTED;
    } else if e.tag == tag {
        e.own |= PROMOTED;
    }
}

#[inline(always)]
fn hit(way: &mut NetworkWay, pressure: u32) -> u32 {
    way.heat = way.heat.wrapping_add(1);
    way.own = sources::pressed(way.own, pressure);
    way.own
}

#[cfg(test)]
mod tests {
    use super::*;

    fn count(set: &mut NetworkSet, tag: u32, pressure: u32, epoch: u32) -> u32 {
        touch(set, tag, pressure, epoch, |number| number)
    }

    #[test]
    fn a_steady_network_outlives_a_stream_of_forged_ones() {
        let mut set = NetworkSet::default();
        for i in 0..100_000 {
            count(&mut set, 1_000_001 + 2 * i, 1, 0);
            count(&mut set, 7, 1, 0);
        }
        assert_eq!(count(&mut set, 7, 1, 0), 100_001);
    }

    #[test]
    fn nobody_inherits_what_another_pressed_and_promotion_lasts_while_tracked() {
        let mut set = NetworkSet::default();
        for tag in (1..2_001).step_by(2) {
            assert_eq!(count(&mut set, tag, 9, 0), 9);
        }
        promote(&mut set, 1_999);
        assert_eq!(count(&mut set, 1_999, 9, 1), PROMOTED | 13);
        assert_eq!(count(&mut set, 1_999, 9, 200), PROMOTED | 9);
    }
}
