//! Networks, and sources at a port: the lines of [`crate::sources`] without totals, five to a cache line.
//!
//! They are told apart by 31 bits of a keyed hash. Two that share them are counted together until they get exact buckets,
//! which have the whole key.
use crate::abi::{NETWORK_WAYS, NetworkSet, NetworkWay, low};
use crate::sources::{self, PROMOTED, lesser, placed};

/// Counts a packet of `tag` in its set; its own count, and [`PROMOTED`]. `hide` is
/// [`crate::tables::Tables::hide_word`].
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
    let [first, second, third, fourth, fifth] = &mut set.ways;
    if first.tag == tag {
        return hit(first, pressure);
    }
    if second.tag == tag {
        return hit(second, pressure);
    }
    if third.tag == tag {
        return hit(third, pressure);
    }
    if fourth.tag == tag {
        return hit(fourth, pressure);
    }
    if fifth.tag == tag {
        return hit(fifth, pressure);
    }
    let one = lesser(placed(first.heat, 0), placed(second.heat, 1), &hide);
    let other = lesser(placed(third.heat, 2), placed(fourth.heat, 3), &hide);
    let coldest = lesser(lesser(one, other, &hide), placed(fifth.heat, 4), &hide);
    let at = (low(hide(coldest)) & 7) as usize;
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
    let [first, second, third, fourth, fifth] = &mut set.ways;
    if first.tag == tag {
        first.own |= PROMOTED;
    } else if second.tag == tag {
        second.own |= PROMOTED;
    } else if third.tag == tag {
        third.own |= PROMOTED;
    } else if fourth.tag == tag {
        fourth.own |= PROMOTED;
    } else if fifth.tag == tag {
        fifth.own |= PROMOTED;
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
        assert_eq!(count(&mut set, 1_999, 9, 1), PROMOTED + 13);
        assert_eq!(count(&mut set, 1_999, 9, 200), PROMOTED + 9);
    }
}
