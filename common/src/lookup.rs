//! What the flat tables say of an address: lines, words and arithmetic, the same in the kernel and on the host.
//!
//! Every look-up ends in a *value*: a class, a run of classes that end one after the other, or (IPv6) a place where the
//! lower half of the address decides. Value 0 is the class of the unlisted. Tables hold whole answers, so the first one
//! that has the address decides: exact tables before ranges.
//!
//! Comparisons over a line are arithmetic without branches: which word matches is as good as random, and a mispredicted
//! branch costs more than the other words.
use zerocopy::IntoBytes as _;

use crate::abi::{BITMAP_WORDS, Layout, Line, RUN_STEPS, low};
use crate::tables::{Fault, Tables};

/// Bits of a value in a word of ranges.
pub const VALUE_BITS: u32 = 26;
/// The greatest value.
pub const VALUE_MASK: u64 = (1 << VALUE_BITS) - 1;

/// Addresses that a line of a quotient table holds.
pub const QUOTIENT_WAYS: usize = 20;
/// Value in a quotient table that says: the spill has the true one.
pub const QUOTIENT_SPILLED: u64 = 0xff;
/// Addresses for each word of a filter: eight bits for each. With fewer, more of the forged sources come through; with
/// more, less of the tables stays near.
pub const FILTER_EACH: usize = 8;
/// Entries of a line of a hashed table; its first word links to a line that goes on.
pub const HASHED_WAYS: usize = 7;
/// Lines of a hashed table that are looked at for one address.
pub const HASHED_STEPS: u32 = 8;

/// Bits of an IPv4 address below its chunk.
pub const CHUNK_V4_BITS: u32 = 14;
/// Bits of the upper half of an IPv6 address below its chunk: a chunk is a /26.
pub const CHUNK_V6_BITS: u32 = 38;
/// Chunks of IPv6 that share a background: as many as a word of the bitmap has bits.
pub const GROUP_V6: u32 = 64;
/// Chunks of IPv6 in `2000::/3`.
pub const CHUNKS_V6: u32 = BITMAP_WORDS * GROUP_V6;
/// Bits of a value in the word of an IPv6 chunk that holds one prefix.
pub const INLINE_V6_BITS: u32 = 19;

/// Halvings of a search, which thus reaches over 2^24 lines.
const SEARCH_STEPS: u32 = 24;

const LANES: u64 = 0x0001_0001_0001_0001;
const LANE_TOPS: u64 = 0x8000_8000_8000_8000;

/// A one-to-one keyed mix of IPv4 addresses.
#[inline(always)]
pub const fn mix_v4(key: &[u64; 2], address: u32) -> u32 {
    let mut h = (address ^ low(key[0])).wrapping_mul(low(key[0] >> 32) | 1);
    h ^= h >> 16;
    h.wrapping_mul(low(key[1]) | 1)
}

/// A keyed hash of an IPv6 address: the upper half chooses the line, the lower is the fingerprint.
#[inline(always)]
pub const fn hash_v6(key: &[u64; 2], upper: u64, lower: u64) -> u64 {
    let mut h = (upper ^ key[0]).wrapping_mul(0x9e37_79b9_7f4a_7c15);
    h ^= h >> 32;
    h = (h ^ lower).wrapping_mul(key[1] | 1);
    h ^= h >> 29;
    h = h.wrapping_mul(0xbf58_476d_1ce4_e5b9);
    h ^ (h >> 32)
}

/// Line and tag of a mixed IPv4 address in a quotient table of so many lines.
///
/// `h × lines` puts the line into the upper half; what is left in the lower one differs between two addresses of a line
/// by at least `lines`, so with 2^16 lines its upper 16 bits tell them apart: nothing is lost, the tag is exact.
#[inline(always)]
pub const fn quotient(mixed: u32, lines: u32) -> (u32, u64) {
    let product = mixed as u64 * lines as u64;
    (low(product >> 32), (product >> 16) & 0xffff)
}

/// The line of a hash among so many.
#[inline(always)]
pub const fn line_of(hash: u32, lines: u32) -> u32 {
    low((hash as u64 * lines as u64) >> 32)
}

/// What is known of an IPv4 address: a class, or a run. Whether the slot has lines at all is looked at only where something
/// may be known.
///
/// # Errors
/// [`Fault`] where a table is not as its layout says.
#[inline(always)]
pub fn v4<T: Tables>(tables: &T, slot: u32, layout: &Layout, address: u32) -> Result<u32, Fault> {
    let mixed = mix_v4(&layout.key, address);
    if !may_be_exact(tables, layout, mixed)? {
        // Before the tables are looked for: most of a flood ends here.
        if layout.direct_v4 == 0 {
            return Ok(0);
        }
        return range_v4(tables, tables.lines(slot).ok_or(Fault)?, layout, address);
    }
    let lines = tables.lines(slot).ok_or(Fault)?;
    let value = exact_v4(tables, lines, layout, address, mixed)?;
    if value != 0 || layout.direct_v4 == 0 {
        return Ok(value);
    }
    range_v4(tables, lines, layout, address)
}

/// What is known of the ranges an IPv4 address is in.
#[inline(always)]
fn range_v4<T: Tables>(tables: &T, lines: T::Lines, layout: &Layout, address: u32) -> Result<u32, Fault> {
    let word = word_at(tables, lines, layout.direct_v4, address >> CHUNK_V4_BITS)?;
    let offset = u64::from(address) & ((1 << CHUNK_V4_BITS) - 1);
    if word >> 63 != 0 {
        return search(tables, lines, low(word), low(word >> 32) & 0x7fff_ffff, offset);
    }
    Ok(low(inline_value(tables, word, offset)))
}

/// Whether something may be known of an IPv4 address by itself, by its mix.
#[inline(always)]
fn may_be_exact<T: Tables>(tables: &T, layout: &Layout, mixed: u32) -> Result<bool, Fault> {
    if layout.filter_v4_words == 0 {
        return Ok(layout.exact_v4_lines | layout.spill_v4_lines != 0);
    }
    let (word, bits) = filter(mixed, layout.filter_v4_words);
    let word = tables.filter_word(layout.filter_v4.wrapping_add(word)).ok_or(Fault)?;
    Ok(!word & bits == 0)
}

/// What is known of an IPv4 address by itself; 0: nothing.
#[inline(always)]
fn exact_v4<T: Tables>(tables: &T, lines: T::Lines, layout: &Layout, address: u32, mixed: u32) -> Result<u32, Fault> {
    let mut spilled = true;
    if layout.exact_v4_lines != 0 {
        let (line, tag) = quotient(mixed, layout.exact_v4_lines);
        let line = tables.line(lines, layout.exact_v4.wrapping_add(line)).ok_or(Fault)?;
        let value = find_quotient(tables, line, tag);
        if value != 0 && value != QUOTIENT_SPILLED {
            return Ok(low(value));
        }
        // The table has a spill for what found its line full.
        spilled = value != 0 || is_full(line);
    }
    if !spilled || layout.spill_v4_lines == 0 {
        return Ok(0);
    }
    find_hashed(tables, lines, layout.spill_v4.wrapping_add(line_of(mixed, layout.spill_v4_lines)), address)
}

/// Word and bits of a mixed IPv4 address in a filter of so many words: an address that lacks one of its bits there is in
/// no exact table.
///
/// The filter is small enough to stay in a CPU's own cache where the tables are not, so it ends the look-up of a forged
/// source at a tenth of the price. The bits are all in one word: what a look-up pays for is the line.
#[inline(always)]
pub const fn filter(mixed: u32, words: u32) -> (u32, u64) {
    // The product's upper bits depend on all of the mixed address.
    let spread = (mixed as u64).wrapping_mul(0x9e37_79b9_7f4a_7c15);
    let bits = 1 << (spread >> 58) | 1 << ((spread >> 52) & 63) | 1 << ((spread >> 46) & 63);
    (line_of(mixed, words), bits)
}

/// A word of a table of words.
#[inline(always)]
fn word_at<T: Tables>(tables: &T, lines: T::Lines, first: u32, place: u32) -> Result<u64, Fault> {
    let line = tables.line(lines, first.wrapping_add(place >> 3)).ok_or(Fault)?;
    Ok(line.words[tables.hide(place & 7) as usize & 7])
}

/// A half of a word of a table of such halves, the lower one first.
#[inline(always)]
fn half_at<T: Tables>(tables: &T, lines: T::Lines, first: u32, place: u32) -> Result<u32, Fault> {
    Ok(low(word_at(tables, lines, first, place >> 1)? >> (32 * (place & 1))))
}

/// A chunk's word that holds at most one prefix: the value inside (26 bits), outside (16 bits), the prefix's first
/// address (14 bits) and size (4 bits).
#[inline(always)]
pub const fn inline_word(inside: u32, outside: u16, start: u32, bits: u32) -> u64 {
    inside as u64 | (outside as u64) << 26 | (start as u64) << 42 | (bits as u64) << 56
}

/// A chunk's word that points to lines of ranges.
#[inline(always)]
pub const fn search_word(first: u32, lines: u32) -> u64 {
    1 << 63 | (lines as u64) << 32 | first as u64
}

#[inline(always)]
fn inline_value<T: Tables>(tables: &T, word: u64, offset: u64) -> u64 {
    let start = (word >> 42) & 0x3fff;
    let away = (offset ^ start) >> ((word >> 56) & 0xf);
    // All ones where nothing is left of the difference.
    let inside = 0u64.wrapping_sub(tables.hide_word(away.wrapping_sub(1) >> 63));
    let (yes, no) = (word & VALUE_MASK, (word >> 26) & 0xffff);
    no ^ ((no ^ yes) & inside)
}

/// What is known of an IPv6 address, by its halves: a class, or a run.
///
/// # Errors
/// [`Fault`] where a table is not as its layout says.
#[inline(always)]
pub fn v6<T: Tables>(tables: &T, slot: u32, layout: &Layout, upper: u64, lower: u64) -> Result<u32, Fault> {
    let lines = tables.lines(slot).ok_or(Fault)?;
    if layout.exact_v6_lines != 0 {
        let hash = hash_v6(&layout.key, upper, lower);
        let line = layout.exact_v6.wrapping_add(line_of(low(hash >> 32), layout.exact_v6_lines));
        let record = find_hashed(tables, lines, line, low(hash))?;
        if record != 0 {
            let line = tables.line(lines, layout.records_v6.wrapping_add(record >> 1)).ok_or(Fault)?;
            let half = tables.hide(record & 1) as usize & 1;
            if line.words[half * 4] == upper && line.words[half * 4 + 1] == lower {
                return Ok(low(line.words[half * 4 + 2]));
            }
        }
    }
    let mut value = 0;
    let (mut first, mut count) = (layout.elsewhere_v6, layout.elsewhere_v6_lines);
    if upper >> 61 == 1 {
        if layout.bitmap_v6 == 0 {
            return Ok(0);
        }
        count = 0;
        let chunk = low(upper >> CHUNK_V6_BITS) & (CHUNKS_V6 - 1);
        let group = chunk / GROUP_V6;
        let bits = word_at(tables, lines, layout.bitmap_v6, group)?;
        let bit = 1 << (chunk % GROUP_V6);
        let mut is_background = true;
        if bits & bit != 0 {
            let rank = half_at(tables, lines, layout.ranks_v6, group)?.wrapping_add(ones(bits & (bit - 1)));
            let word = word_at(tables, lines, layout.chunks_v6, rank)?;
            let offset = upper & ((1 << CHUNK_V6_BITS) - 1);
            if word >> 63 != 0 {
                is_background = false;
                (first, count) = (low(word), low(word >> 32) & 0x7fff_ffff);
                if count == 1 {
                    count = 0;
                    value = pick(tables, tables.line(lines, first).ok_or(Fault)?, offset);
                }
            } else if (offset ^ (word & ((1 << CHUNK_V6_BITS) - 1))) >> (word >> CHUNK_V6_BITS & 63) == 0 {
                is_background = false;
                value = low(word >> (CHUNK_V6_BITS + 6));
            }
        }
        if is_background {
            // Most of a flood ends here.
            if layout.backgrounds_v6 == 0 {
                return Ok(0);
            }
            value = half_at(tables, lines, layout.backgrounds_v6, group)?;
        }
    }
    if count != 0 {
        value = search_wide(tables, lines, tables.forget_half(5, first), tables.forget_half(6, count), upper)?;
    }
    value = tables.forget_half(7, value);
    if value < layout.deep_from {
        return Ok(value);
    }
    let place = value - layout.deep_from;
    let word = word_at(tables, lines, layout.deep, place)?;
    search_wide(tables, lines, low(word), low(word >> 32), lower)
}

/// The word of an IPv6 chunk that holds one prefix and has its group's background around it: the value (19 bits), the size
/// (6 bits) and the first upper half below the chunk (38 bits). One with more has a [`search_word`]: to one line of ranges
/// below the chunk, or to several of whole upper halves.
#[inline(always)]
pub const fn inline_word_v6(value: u32, start: u64, bits: u32) -> u64 {
    (value as u64) << (CHUNK_V6_BITS + 6) | (bits as u64) << CHUNK_V6_BITS | start
}

/// The class that holds now: what has ended uncovers what lies beneath it.
///
/// # Errors
/// [`Fault`] where a run is not as long as it says.
#[inline(always)]
pub fn live_class<T: Tables>(tables: &T, slot: u32, layout: &Layout, value: u32) -> Result<u32, Fault> {
    if value < layout.runs_from {
        return Ok(value);
    }
    let lines = tables.lines(slot).ok_or(Fault)?;
    let now = tables.boot_seconds();
    let mut at = value - layout.runs_from;
    let mut step = 0;
    while step < RUN_STEPS {
        at = tables.hide(at);
        let line = tables.line(lines, layout.runs.wrapping_add(at >> 3)).ok_or(Fault)?;
        let word = line.words[(at & 7) as usize];
        if now < word >> 32 {
            return Ok(low(word >> 16) & 0xffff);
        }
        if word & 0xffff != RUN_GOES_ON {
            return Ok(low(word & 0xffff));
        }
        at = at.wrapping_add(1);
        step += 1;
    }
    Err(Fault)
}

/// In a run's word instead of the class that holds afterwards: the next word says.
pub const RUN_GOES_ON: u64 = 0xffff;

/// A word of a run: until when a class holds, and which class holds afterwards.
#[inline(always)]
pub const fn run_word(expires_at_s: u32, class: u16, after: u16) -> u64 {
    (expires_at_s as u64) << 32 | (class as u64) << 16 | after as u64
}

/// The parts of [`run_word`], in its order.
pub const fn run_parts(word: u64) -> (u32, u16, u16) {
    (low(word >> 32), (word >> 16 & 0xffff) as u16, (word & 0xffff) as u16)
}

/// The value beside a tag in a line of a quotient table; 0: none.
///
/// Words 0–2 hold the values, a byte each, words 3–7 the tags: three bytes an address, because what a look-up pays for
/// is how much of the table stays near. An empty place has value 0, and ways fill in the order in which they are found,
/// so an empty one never hides a tag of 0.
#[inline(always)]
fn find_quotient<T: Tables>(tables: &T, line: &Line, tag: u64) -> u64 {
    let pattern = tag.wrapping_mul(LANES);
    let w = &line.words;
    // Known, the optimiser would make five constants of it, one for each shift.
    let tops = tables.hide_word(LANE_TOPS);
    let ways = (zero_lanes(w[3] ^ pattern, tops) >> 15)
        | (zero_lanes(w[4] ^ pattern, tops) >> 14)
        | (zero_lanes(w[5] ^ pattern, tops) >> 13)
        | (zero_lanes(w[6] ^ pattern, tops) >> 12)
        | (zero_lanes(w[7] ^ pattern, tops) >> 11);
    if ways == 0 {
        return 0;
    }
    let place = place_of_bit(ways & 0u64.wrapping_sub(ways));
    u64::from(w.as_bytes()[tables.hide(place) as usize & 31])
}

/// The top bit of the lowest 16-bit lane that is zero, and maybe of lanes above it; 0 where none is. `tops` is
/// [`LANE_TOPS`].
#[inline(always)]
const fn zero_lanes(word: u64, tops: u64) -> u64 {
    word.wrapping_sub(LANES) & !word & tops
}

/// Which byte of a line holds the value of the way with this bit: the product's top five bits differ for all twenty, and
/// none is beyond the three words of values.
#[inline(always)]
const fn place_of_bit(bit: u64) -> u32 {
    low(bit.wrapping_mul(0xa8d7_8337_9381_16ca) >> 59)
}

/// Where the tag of a way stands in a line of a quotient table, in lanes of 16 bits, and its value, in bytes.
pub const fn way(way: usize) -> (usize, usize) {
    let (word, lane) = (way % 5, way / 5);
    ((3 + word) * 4 + lane, place_of_bit(1 << (16 * lane + word)) as usize)
}

/// Whether no way of a line is empty: the last one's value is there.
#[inline(always)]
fn is_full(line: &Line) -> bool {
    const LAST: usize = way(QUOTIENT_WAYS - 1).1;
    (line.words[LAST / 8] >> (8 * (LAST % 8))) & 0xff != 0
}

/// The value beside a tag in a line of a hashed table, or in the lines it links to; 0: none.
#[inline(always)]
fn find_hashed<T: Tables>(tables: &T, lines: T::Lines, first: u32, tag: u32) -> Result<u32, Fault> {
    let mut at = first;
    let mut step = 0;
    while step < HASHED_STEPS {
        let line = tables.line(lines, at).ok_or(Fault)?;
        let tag = u64::from(tag);
        let mut value = 0;
        let mut way = 1;
        while way <= HASHED_WAYS {
            let word = line.words[way];
            let differs = (word >> 32) ^ tag;
            value |= word & 0u64.wrapping_sub(tables.hide_word(differs.wrapping_sub(1) >> 63));
            way += 1;
        }
        if low(value) != 0 {
            return Ok(low(value));
        }
        at = low(line.words[0]);
        if at == 0 {
            return Ok(0);
        }
        step += 1;
    }
    Err(Fault)
}

/// The last of some lines in order of which `reaches` says that its first word does not lie beyond what is looked for;
/// the first line if none does.
#[inline(always)]
fn last_line<T: Tables>(
    tables: &T,
    lines: T::Lines,
    (first, count): (u32, u32),
    reaches: impl Fn(u64) -> bool,
) -> Result<&Line, Fault> {
    let (mut first, mut count) = (first, count);
    let mut step = 0;
    while count > 1 {
        if step == SEARCH_STEPS {
            return Err(Fault);
        }
        let half = count >> 1;
        let line = tables.line(lines, first.wrapping_add(half)).ok_or(Fault)?;
        if reaches(line.words[0]) {
            first = first.wrapping_add(half);
            count -= half;
        } else {
            count = half;
        }
        first = tables.hide(first);
        count = tables.hide(count);
        step += 1;
    }
    tables.line(lines, first).ok_or(Fault)
}

/// The value of the last range that starts at or before `offset`, over lines in order.
#[inline(always)]
fn search<T: Tables>(tables: &T, lines: T::Lines, first: u32, count: u32, offset: u64) -> Result<u32, Fault> {
    let line = last_line(tables, lines, (first, count), |start| start >> VALUE_BITS <= offset)?;
    Ok(pick(tables, line, offset))
}

/// The value of the last word of a line whose range starts at or before `offset`; the first word's if none does.
#[inline(always)]
fn pick<T: Tables>(tables: &T, line: &Line, offset: u64) -> u32 {
    let mut started = 0;
    let mut word = 1;
    while word < 8 {
        // 1 where the start is not beyond the offset.
        started += (line.words[word] >> VALUE_BITS).wrapping_sub(offset + 1) >> 63;
        word += 1;
    }
    low(line.words[tables.hide(low(started)) as usize & 7] & VALUE_MASK)
}

/// As [`search`], over ranges of 64 bits: each line holds four starts with their values.
#[inline(always)]
fn search_wide<T: Tables>(tables: &T, lines: T::Lines, first: u32, count: u32, key: u64) -> Result<u32, Fault> {
    let w = &last_line(tables, lines, (first, count), |start| start <= key)?.words;
    let mut value = w[1];
    if w[2] <= key {
        value = w[3];
    }
    if w[4] <= key {
        value = w[5];
    }
    if w[6] <= key {
        value = w[7];
    }
    Ok(low(value))
}

/// Bits that are set. The BPF target has no instruction for it.
#[inline(always)]
const fn ones(word: u64) -> u32 {
    let pairs = word - ((word >> 1) & 0x5555_5555_5555_5555);
    let nibbles = (pairs & 0x3333_3333_3333_3333) + ((pairs >> 2) & 0x3333_3333_3333_3333);
    let bytes = (nibbles + (nibbles >> 4)) & 0x0f0f_0f0f_0f0f_0f0f;
    low(bytes.wrapping_mul(0x0101_0101_0101_0101) >> 56)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_mix_is_one_to_one_and_the_tag_tells_addresses_of_a_line_apart() {
        let key = [0x1234_5678_9abc_def0, 0x0fed_cba9_8765_4321];
        for lines in [QUOTIENT, 65_537, 100_003, 1 << 20, 0xffff_ffff] {
            // Neighbours, and addresses from all over.
            let addresses: std::collections::HashSet<u32> =
                (0..300_000u32).chain((0..100_000).map(|step| step * 42_949)).collect();
            let seen: Vec<_> = addresses.iter().map(|address| quotient(mix_v4(&key, *address), lines)).collect();
            let places: std::collections::HashSet<_> = seen.iter().collect();
            assert_eq!(places.len(), seen.len(), "{lines} lines");
        }
    }

    const QUOTIENT: u32 = crate::abi::QUOTIENT_LINES;

    #[test]
    fn a_tag_is_found_at_every_place_and_an_empty_place_hides_none() {
        let model = crate::model::Model::new();
        // By bytes, so that tags and values cannot share one.
        let places: std::collections::HashSet<_> =
            (0..QUOTIENT_WAYS).flat_map(|at| [2 * way(at).0, 2 * way(at).0 + 1, way(at).1]).collect();
        assert_eq!((places.len(), places.iter().max()), (3 * QUOTIENT_WAYS, Some(&63)));
        for tag in [0u64, 1, 0x7fff, 0x8000, 0xffff] {
            for last in 0..QUOTIENT_WAYS {
                let mut line = Line::default();
                for before in 0..=last {
                    let other = if before == last { tag } else { (tag + 1 + before as u64) & 0xffff };
                    let (tag_at, value_at) = way(before);
                    line.words[tag_at / 4] |= other << (16 * (tag_at % 4));
                    line.words[value_at / 8] |= (100 + before as u64) << (8 * (value_at % 8));
                }
                assert_eq!(find_quotient(&model, &line, tag), 100 + last as u64, "tag {tag} at {last}");
                assert_eq!(find_quotient(&model, &line, (tag + 40) & 0xffff), 0);
                assert_eq!(is_full(&line), last + 1 == QUOTIENT_WAYS);
            }
        }
        assert_eq!(find_quotient(&model, &Line::default(), 0), 0);
    }

    #[test]
    fn an_inline_word_knows_inside_from_outside() {
        let model = crate::model::Model::new();
        let inline_value = |word, offset| inline_value(&model, word, offset);
        let word = inline_word(0x3ff_ffff, 7, 0x1230, 4);
        assert_eq!(inline_value(word, 0x1230), 0x3ff_ffff);
        assert_eq!(inline_value(word, 0x123f), 0x3ff_ffff);
        assert_eq!((inline_value(word, 0x122f), inline_value(word, 0x1240), inline_value(word, 0)), (7, 7, 7));
        let whole = inline_word(9, 0, 0, CHUNK_V4_BITS);
        assert_eq!((inline_value(whole, 0), inline_value(whole, 0x3fff)), (9, 9));
        let one = inline_word(5, 0, 0x3fff, 0);
        assert_eq!((inline_value(one, 0x3fff), inline_value(one, 0x3ffe)), (5, 0));
    }

    #[test]
    fn ones_are_counted() {
        for word in [0u64, 1, u64::MAX, 0x8000_0000_0000_0001, 0x5555_5555_5555_5555, 0x1234_5678_9abc_def0] {
            assert_eq!(ones(word), word.count_ones());
        }
    }
}
