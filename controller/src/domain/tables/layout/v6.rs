//! IPv6 ranges: by the upper half of the address, and where that is not enough by the lower.
//!
//! In `2000::/3` a bitmap says which /26s differ from what most of their /20 say; those have a word each, which holds the
//! one prefix inside or says where a line of ranges is. Ranges that do not fit one line, the rest of the space, and /64s
//! with prefixes inside are searched in lines of four.
use weir_common::abi::{Line, low};
use weir_common::lookup::{
    CHUNK_V6_BITS, CHUNKS_V6, GROUP_V6, INLINE_V6_BITS, VALUE_BITS, inline_word_v6, search_word,
};

use super::exact::halves;
use super::v4::put;
use super::{Draft, line_of_words, padded};

/// Ranges that a chunk's own line holds.
const EACH: usize = 8;
/// Ranges that a line holds where starts are whole words.
const EACH_WIDE: usize = 4;

const GROUPS: u32 = CHUNKS_V6 / GROUP_V6;
/// The first upper half of the global space, and the first behind it.
const GLOBAL: (u64, u64) = (1 << 61, 2 << 61);

/// Bits of the upper half of an address below its chunk.
const BELOW: u64 = (1 << CHUNK_V6_BITS) - 1;

/// Ranges by one half of the address, from 0 on, with the words that tables hold.
type Ranges = Vec<(u64, u32)>;

impl Draft {
    /// Says how many /64s are looked into.
    pub(super) fn ranges_v6(&mut self, ranges: &[(u128, u32)], word: impl Fn(u32) -> u32) -> u32 {
        if ranges.iter().all(|(_, value)| *value == 0) {
            return 0;
        }
        let (upper, deep) = self.split(ranges, word);
        let inner: Vec<u64> = deep
            .iter()
            .map(|ranges| {
                let (first, lines) = self.wide(ranges);
                u64::from(lines) << 32 | u64::from(first)
            })
            .collect();
        if !inner.is_empty() {
            self.layout.deep = self.words(&inner);
        }
        let elsewhere = outside_global(&upper);
        if elsewhere.iter().any(|(_, value)| *value != 0) {
            (self.layout.elsewhere_v6, self.layout.elsewhere_v6_lines) = self.wide(&elsewhere);
        }
        self.global(&upper);
        u32::try_from(inner.len()).unwrap_or(u32::MAX)
    }

    /// Ranges by the upper half; those inside of a /64 by the lower half, each /64 by itself.
    fn split(&self, ranges: &[(u128, u32)], word: impl Fn(u32) -> u32) -> (Ranges, Vec<Ranges>) {
        let mut upper: Ranges = vec![(0, 0)];
        let mut deep: Vec<Ranges> = Vec::new();
        let mut value = 0;
        let by_upper = |a: &(u128, u32), b: &(u128, u32)| a.0 >> 64 == b.0 >> 64;
        for inside in ranges.chunk_by(by_upper) {
            let Some((first, _)) = inside.first() else { continue };
            let (half, start) = halves(*first);
            if let ([(_, next)], 0) = (inside, start) {
                value = word(*next);
                put(&mut upper, half, value);
                continue;
            }
            let mut lower: Ranges = vec![(0, value)];
            for (address, next) in inside {
                value = word(*next);
                put(&mut lower, halves(*address).1, value);
            }
            let place = self.layout.deep_from.saturating_add(u32::try_from(deep.len()).unwrap_or(u32::MAX));
            put(&mut upper, half, place);
            deep.push(lower);
            // What holds at the end of the /64 holds behind it, unless the next range starts there.
            if let Some(behind) = half.checked_add(1) {
                put(&mut upper, behind, value);
            }
        }
        (upper, deep)
    }

    /// Lines of whole words; where they are and how many.
    fn wide(&mut self, ranges: &[(u64, u32)]) -> (u32, u32) {
        let first = self.next();
        let lines = padded(ranges, EACH_WIDE).map(|line| {
            let words: Vec<u64> = line.flat_map(|(start, value)| [start, u64::from(value)]).collect();
            line_of_words(&words)
        });
        let lines: Vec<Line> = lines.collect();
        self.lines.extend(lines);
        (first, self.next() - first)
    }

    fn global(&mut self, upper: &[(u64, u32)]) {
        let from = upper.partition_point(|(start, _)| *start < GLOBAL.0);
        let to = upper.partition_point(|(start, _)| *start < GLOBAL.1);
        let mut value = from.checked_sub(1).and_then(|before| upper.get(before)).map_or(0, |(_, value)| *value);
        let ranges = upper.get(from..to).unwrap_or_default();
        if value == 0 && ranges.iter().all(|(_, value)| *value == 0) {
            return;
        }
        let chunk_of = |start: u64| low(start >> CHUNK_V6_BITS) & (CHUNKS_V6 - 1);
        let group_of = |start: u64| chunk_of(start) / GROUP_V6;
        let groups = GROUPS as usize;
        let mut bitmap: Vec<u64> = Vec::with_capacity(groups);
        let (mut ranks, mut backgrounds) = (Vec::with_capacity(groups), Vec::with_capacity(groups));
        let mut chunks: Vec<u64> = Vec::new();
        for ranges in ranges.chunk_by(|a, b| group_of(a.0) == group_of(b.0)) {
            let Some((first, _)) = ranges.first() else { continue };
            let group = group_of(*first);
            // Groups in which nothing begins say what holds behind the one before them.
            bitmap.resize(group as usize, 0);
            backgrounds.resize(group as usize, value);
            ranks.resize(group as usize, 0);
            ranks.push(u32::try_from(chunks.len()).unwrap_or(u32::MAX));
            let mut whole = [None; GROUP_V6 as usize];
            let mut divided: Vec<Ranges> = Vec::new();
            let mut at = 0;
            for (chunk, whole) in (group * GROUP_V6..).zip(&mut whole) {
                let mut inside: Ranges = Vec::new();
                let before = (GLOBAL.0 | u64::from(chunk) << CHUNK_V6_BITS, value);
                while let Some((start, next)) = ranges.get(at).filter(|(start, _)| chunk_of(*start) == chunk) {
                    if inside.is_empty() {
                        inside.push(before);
                    }
                    value = *next;
                    put(&mut inside, *start, value);
                    at += 1;
                }
                match inside.as_slice() {
                    [] | [_] => *whole = Some(value),
                    _ => divided.push(inside),
                }
            }
            let background = most_common(&whole);
            let mut divided = divided.into_iter();
            let mut bits = 0;
            for (place, whole) in whole.into_iter().enumerate() {
                let inside = match whole {
                    Some(value) if value == background => continue,
                    Some(value) => vec![(0, value)],
                    None => divided.next().unwrap_or_default(),
                };
                bits |= 1 << place;
                let word = inlined(&inside, background).unwrap_or_else(|| self.chunk_v6(&inside));
                chunks.push(word);
            }
            bitmap.push(bits);
            backgrounds.push(background);
        }
        bitmap.resize(groups, 0);
        ranks.resize(groups, 0);
        backgrounds.resize(groups, value);
        self.layout.bitmap_v6 = self.words(&bitmap);
        self.layout.ranks_v6 = self.words(&paired(&ranks));
        if backgrounds.iter().any(|value| *value != 0) {
            self.layout.backgrounds_v6 = self.words(&paired(&backgrounds));
        }
        self.layout.chunks_v6 = self.words(&chunks);
    }

    /// The word of a chunk whose ranges have lines: one, or several of whole upper halves.
    fn chunk_v6(&mut self, ranges: &[(u64, u32)]) -> u64 {
        if ranges.len() > EACH {
            let (first, lines) = self.wide(ranges);
            return search_word(first, lines);
        }
        let words: Vec<u64> =
            ranges.iter().map(|(start, value)| (start & BELOW) << VALUE_BITS | u64::from(*value)).collect();
        let padded = padded(&words, EACH).next().map(Iterator::collect::<Vec<u64>>);
        let first = self.next();
        self.lines.push(line_of_words(&padded.unwrap_or_default()));
        search_word(first, 1)
    }
}

/// The word of a chunk with one prefix inside, if its value fits and the rest of the chunk is as its group's background.
fn inlined(ranges: &[(u64, u32)], background: u32) -> Option<u64> {
    const CHUNK: u64 = 1 << CHUNK_V6_BITS;
    let (start, end, inside) = match *ranges {
        [(_, value)] => (0, CHUNK, value),
        [(_, inside), (end, around)] if around == background => (0, end & BELOW, inside),
        [(_, around), (start, inside)] if around == background => (start & BELOW, CHUNK, inside),
        [(_, around), (start, inside), (end, after)] if around == background && after == background => {
            (start & BELOW, end & BELOW, inside)
        }
        _ => return None,
    };
    let size = end - start;
    let is_prefix = size.is_power_of_two() && start % size == 0;
    (is_prefix && inside >> INLINE_V6_BITS == 0).then(|| inline_word_v6(inside, start, size.trailing_zeros()))
}

/// Halves of words, the lower one first.
fn paired(halves: &[u32]) -> Vec<u64> {
    let word = |pair: &[u32]| pair.iter().rev().fold(0, |word, half| word << 32 | u64::from(*half));
    halves.chunks(2).map(word).collect()
}

/// The value that most of the chunks have that have one as a whole; the smallest of several, and 0 where none has.
fn most_common(chunks: &[Option<u32>]) -> u32 {
    let mut whole: Vec<u32> = chunks.iter().copied().flatten().collect();
    whole.sort_unstable();
    whole.chunk_by(PartialEq::eq).max_by_key(|same| (same.len(), std::cmp::Reverse(same[0]))).map_or(0, |same| same[0])
}

/// Ranges outside of the global space, which is nobody's there.
fn outside_global(upper: &[(u64, u32)]) -> Ranges {
    let mut elsewhere: Ranges = Vec::new();
    let mut value = 0;
    for (start, next) in upper {
        if *start >= GLOBAL.1 && elsewhere.last().is_none_or(|(last, _)| *last < GLOBAL.1) {
            put(&mut elsewhere, GLOBAL.1, value);
        }
        value = *next;
        if *start < GLOBAL.0 || *start >= GLOBAL.1 {
            put(&mut elsewhere, *start, value);
        }
    }
    if elsewhere.last().is_none_or(|(last, _)| *last < GLOBAL.1) {
        put(&mut elsewhere, GLOBAL.1, value);
    }
    elsewhere
}
