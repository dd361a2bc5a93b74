//! Single addresses: by quotient where there are many, else hashed.
use weir_common::abi::{FILTER_WORDS, Line, QUOTIENT_LINES, low};
use weir_common::addr;
use weir_common::lookup::{
    self, FILTER_EACH, HASHED_STEPS, HASHED_WAYS, QUOTIENT_SPILLED, QUOTIENT_WAYS, hash_v6, line_of, mix_v4, quotient,
};

use super::Draft;

/// More addresses than this, whose values fit, are looked up by quotient: from here on its lines take less memory than
/// hashed ones.
const QUOTIENT_FROM: usize = 300_000;

/// Addresses for each 2 lines of a quotient table: 15.5 of 20 ways, so that one address in sixty finds its line full.
const QUOTIENT_LOAD: usize = 31;

/// So many addresses have a filter before them: with fewer, the tables themselves stay in a CPU's cache; with more, there
/// are less than five bits for each, and it lets one in ten through.
const FILTERED: std::ops::RangeInclusive<usize> = 50_000..=FILTER_WORDS as usize * 13;

/// Entries for each 5 hashed lines: a little more than half full.
const HASHED_LOAD: usize = 21;

/// Whether a quotient table has room for a value. The classes of most addresses come first, so it does for nearly all.
fn fits(value: u32) -> bool {
    u64::from(value) < QUOTIENT_SPILLED
}

/// An entry of a hashed table.
#[derive(Clone, Copy)]
struct Hashed {
    hash: u32,
    tag: u32,
    value: u32,
}

impl Draft {
    /// IPv4; `false` where the key is a bad one.
    pub(super) fn exact_v4(&mut self, exact: &[(u32, u32)], word: impl Fn(u32) -> u32) -> bool {
        let mut spill = Vec::new();
        let hashed =
            |key: &[u64; 2], address: u32, value: u32| Hashed { hash: mix_v4(key, address), tag: address, value };
        let key = self.layout.key;
        if FILTERED.contains(&exact.len()) {
            self.filter_v4(exact);
        }
        if exact.iter().filter(|(_, value)| fits(word(*value))).count() > QUOTIENT_FROM {
            let lines = (exact.len() * 2).div_ceil(QUOTIENT_LOAD).max(QUOTIENT_LINES as usize);
            let lines = u32::try_from(lines).unwrap_or(u32::MAX);
            let first = self.lines.len();
            self.lines.resize(first + lines as usize, Line::default());
            self.layout.exact_v4 = u32::try_from(first).unwrap_or(u32::MAX);
            self.layout.exact_v4_lines = lines;
            let mut filled = vec![0u8; lines as usize];
            for (address, value) in exact {
                let value = word(*value);
                let (at, tag) = quotient(mix_v4(&key, *address), lines);
                let way = usize::from(filled[at as usize]);
                if way == QUOTIENT_WAYS || !fits(value) {
                    spill.push(hashed(&key, *address, value));
                }
                if way == QUOTIENT_WAYS {
                    continue;
                }
                filled[at as usize] += 1;
                let line = &mut self.lines[first + at as usize];
                let value = if fits(value) { u64::from(value) } else { QUOTIENT_SPILLED };
                let (tag_at, value_at) = lookup::way(way);
                line.words[tag_at / 4] |= tag << (16 * (tag_at % 4));
                line.words[value_at / 8] |= value << (8 * (value_at % 8));
            }
        } else {
            spill = exact.iter().map(|(address, value)| hashed(&key, *address, word(*value))).collect();
        }
        let Some((at, lines)) = self.hashed(&spill) else { return false };
        (self.layout.spill_v4, self.layout.spill_v4_lines) = (at, lines);
        true
    }

    fn filter_v4(&mut self, exact: &[(u32, u32)]) {
        let words = u32::try_from(exact.len().div_ceil(FILTER_EACH)).unwrap_or(u32::MAX).min(FILTER_WORDS);
        self.layout.filter_v4_words = words;
        let mut filter = vec![0; words as usize];
        for (address, _) in exact {
            let (at, bits) = lookup::filter(mix_v4(&self.layout.key, *address), words);
            filter[at as usize] |= bits;
        }
        self.filter = filter;
    }

    /// IPv6; `false` where the key is a bad one.
    pub(super) fn exact_v6(&mut self, exact: &[(u128, u32)], word: impl Fn(u32) -> u32) -> bool {
        if exact.is_empty() {
            return true;
        }
        let mut hashed = Vec::with_capacity(exact.len());
        let mut records = vec![0u64; 4 * (exact.len() + 1)];
        // Record 0 is nobody's: an entry that points to it is an empty one.
        for ((record, (address, value)), place) in
            (1u32..).zip(exact).zip(records.as_chunks_mut::<4>().0.iter_mut().skip(1))
        {
            let (upper, lower) = halves(*address);
            let hash = hash_v6(&self.layout.key, upper, lower);
            hashed.push(Hashed { hash: low(hash >> 32), tag: low(hash), value: record });
            *place = [upper, lower, u64::from(word(*value)), 0];
        }
        let Some((at, lines)) = self.hashed(&hashed) else { return false };
        (self.layout.exact_v6, self.layout.exact_v6_lines) = (at, lines);
        self.layout.records_v6 = self.words(&records);
        true
    }

    /// A hashed table: where it is, and its lines without those that others link to. `None` where the key is a bad one:
    /// it makes two entries of a line alike, or one line's links too many.
    fn hashed(&mut self, entries: &[Hashed]) -> Option<(u32, u32)> {
        if entries.is_empty() {
            return Some((0, 0));
        }
        let at = self.next();
        let lines = u32::try_from((entries.len() * 5).div_ceil(HASHED_LOAD)).unwrap_or(u32::MAX);
        self.lines.resize(self.lines.len() + lines as usize, Line::default());
        for entry in entries {
            let mut line = at + line_of(entry.hash, lines);
            let mut step = 1;
            loop {
                let words = &self.lines[line as usize].words;
                if words[1..].iter().any(|word| low(*word) != 0 && low(*word >> 32) == entry.tag) {
                    return None;
                }
                if let Some(free) = (1..=HASHED_WAYS).find(|way| words[*way] == 0) {
                    self.lines[line as usize].words[free] = u64::from(entry.tag) << 32 | u64::from(entry.value);
                    break;
                }
                if words[0] == 0 {
                    let next = self.next();
                    self.lines[line as usize].words[0] = u64::from(next);
                    self.lines.push(Line::default());
                }
                line = low(self.lines[line as usize].words[0]);
                step += 1;
                if step > HASHED_STEPS {
                    return None;
                }
            }
        }
        Some((at, lines))
    }
}

/// The halves of an IPv6 address.
pub(super) fn halves(address: u128) -> (u64, u64) {
    addr::halves(address.to_be_bytes())
}
