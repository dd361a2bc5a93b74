//! IPv4 ranges: a word for each /18, which holds the answer or points to lines in order.
use weir_common::lookup::{CHUNK_V4_BITS, VALUE_BITS, inline_word, search_word};

use super::{Draft, line_of_words, padded};

const CHUNKS: u32 = 1 << (32 - CHUNK_V4_BITS);
const CHUNK: u32 = 1 << CHUNK_V4_BITS;

/// Ranges that one line holds.
const EACH: usize = 8;

impl Draft {
    pub(super) fn ranges_v4(&mut self, ranges: &[(u32, u32)], word: impl Fn(u32) -> u32) {
        if ranges.iter().all(|(_, value)| *value == 0) {
            return;
        }
        let mut direct = Vec::with_capacity(CHUNKS as usize);
        let mut value = 0;
        let mut chunk_ranges: Vec<(u32, u32)> = Vec::new();
        for inside in ranges.chunk_by(|a, b| a.0 >> CHUNK_V4_BITS == b.0 >> CHUNK_V4_BITS) {
            let Some((first, _)) = inside.first() else { continue };
            // Chunks in which nothing begins say what holds behind the one before them.
            direct.resize((first >> CHUNK_V4_BITS) as usize, whole(value));
            chunk_ranges.clear();
            chunk_ranges.push((0, value));
            for (start, next) in inside {
                value = word(*next);
                put(&mut chunk_ranges, start & (CHUNK - 1), value);
            }
            direct.push(inlined(&chunk_ranges).unwrap_or_else(|| self.chunk_v4(&chunk_ranges)));
        }
        direct.resize(CHUNKS as usize, whole(value));
        self.layout.direct_v4 = self.words(&direct);
    }

    fn chunk_v4(&mut self, ranges: &[(u32, u32)]) -> u64 {
        let first = self.next();
        let words: Vec<u64> =
            ranges.iter().map(|(start, value)| u64::from(*start) << VALUE_BITS | u64::from(*value)).collect();
        self.lines.extend(padded(&words, EACH).map(|line| line_of_words(&line.collect::<Vec<u64>>())));
        search_word(first, self.next() - first)
    }
}

/// The word of a chunk in which nothing begins.
const fn whole(value: u32) -> u64 {
    inline_word(value, 0, 0, CHUNK_V4_BITS)
}

/// Adds a range behind the others; where it starts at the same address, it takes the other's place.
pub(super) fn put<A: PartialEq>(ranges: &mut Vec<(A, u32)>, start: A, value: u32) {
    if ranges.last().is_some_and(|(last, _)| *last == start) {
        ranges.pop();
    }
    if ranges.last().is_none_or(|(_, last)| *last != value) {
        ranges.push((start, value));
    }
}

/// The word of a chunk with one prefix inside at most, if its outside is a class.
fn inlined(ranges: &[(u32, u32)]) -> Option<u64> {
    let (inside, outside, start, end) = match *ranges {
        [(_, value)] => (value, value, 0, CHUNK),
        [(_, first), (start, second)] => {
            // Which one is the prefix: the one that starts the chunk, or the one that ends it.
            if start.is_power_of_two() { (first, second, 0, start) } else { (second, first, start, CHUNK) }
        }
        [(_, around), (start, inside), (end, after)] if around == after => (inside, around, start, end),
        _ => return None,
    };
    let size = end - start;
    let is_prefix = size.is_power_of_two() && start % size == 0;
    // Where there is no outside, it may be anything.
    let outside = if size == CHUNK { 0 } else { u16::try_from(outside).ok()? };
    is_prefix.then(|| inline_word(inside, outside, start, size.trailing_zeros()))
}
