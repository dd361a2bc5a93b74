//! From addresses and ranges with their values to the lines that packets look them up in.
//!
//! The inverse of `weir_common::lookup`: pure, deterministic, and blind to what a value means.
mod exact;
mod v4;
mod v6;

use weir_common::abi::{Layout, Line};
use weir_common::lookup::VALUE_MASK;
use zerocopy::IntoBytes as _;

use super::generation_key;

/// Marks a value that is a run: the rest is the run's first word.
pub const RUN: u32 = 1 << 31;

/// One family's addresses and ranges.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Flat<A> {
    /// Single addresses in order, each with the whole answer for it; never with value 0.
    pub exact: Vec<(A, u32)>,
    /// Where ranges start, in order, each with the value from there on; before the first it is 0.
    pub ranges: Vec<(A, u32)>,
}

/// What the tables are to say.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Values {
    /// IPv4.
    pub v4: Flat<u32>,
    /// IPv6.
    pub v6: Flat<u128>,
    /// Words of all runs ([`weir_common::lookup::run_word`]).
    pub runs: Vec<u64>,
    /// Number of classes; a value below it is a class.
    pub classes: u32,
}

/// The address tables of one generation.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Tables {
    /// All lines; the first belongs to no table.
    pub lines: Vec<Line>,
    /// The words of the filter before the single addresses of IPv4.
    pub filter: Vec<u64>,
    /// Where each table is; where the filter is is for whoever puts it there to say.
    pub layout: Layout,
}

/// What tables cannot hold.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum LayoutError {
    /// More than they can number.
    #[error("entries end at more than 67 million different moments, or lie inside of more /64s")]
    TooManyValues,
    /// No key spreads the addresses; as likely as a broken machine.
    #[error("the addresses do not spread over their table, whatever its key")]
    NoKey,
}

/// Keys that are tried one after the other, should an unlucky one put too many addresses into one line.
const TRIES: u64 = 16;

/// Lays the tables out; `key` keys their hashes.
///
/// # Errors
/// [`LayoutError`].
pub fn lay_out(values: &Values, key: [u64; 2]) -> Result<Tables, LayoutError> {
    for again in 0..TRIES {
        // Nothing of a key that is given up is left in the next one: it may be weak in any of its parts.
        let key = if again == 0 { key } else { generation_key(key[0] ^ key[1].rotate_left(32), again) };
        let mut made = Draft::new(values, key);
        if made.all(values)? {
            return Ok(Tables { lines: made.lines, filter: made.filter, layout: made.layout });
        }
    }
    Err(LayoutError::NoKey)
}

/// Tables on the way.
struct Draft {
    lines: Vec<Line>,
    filter: Vec<u64>,
    layout: Layout,
}

impl Draft {
    fn new(values: &Values, key: [u64; 2]) -> Self {
        let runs = u32::try_from(values.runs.len()).unwrap_or(u32::MAX);
        let layout = Layout {
            key,
            runs_from: values.classes,
            deep_from: values.classes.saturating_add(runs),
            ..Layout::default()
        };
        Self { lines: vec![Line::default()], filter: Vec::new(), layout }
    }

    /// Everything; `false` where the key is a bad one.
    fn all(&mut self, values: &Values) -> Result<bool, LayoutError> {
        let word = |value: u32| if value & RUN == 0 { value } else { values.classes + (value & !RUN) };
        let deep = self.ranges_v6(&values.v6.ranges, word);
        if u64::from(self.layout.deep_from) + u64::from(deep) > VALUE_MASK {
            return Err(LayoutError::TooManyValues);
        }
        self.ranges_v4(&values.v4.ranges, word);
        if !values.runs.is_empty() {
            self.layout.runs = self.words(&values.runs);
        }
        Ok(self.exact_v4(&values.v4.exact, word) && self.exact_v6(&values.v6.exact, word))
    }

    /// The number of the next line.
    fn next(&self) -> u32 {
        u32::try_from(self.lines.len()).unwrap_or(u32::MAX)
    }

    /// Appends words, eight to a line; says where.
    fn words(&mut self, words: &[u64]) -> u32 {
        let at = self.next();
        let first = self.lines.len();
        self.lines.resize(first + words.len().div_ceil(8), Line::default());
        let places = self.lines.get_mut(first..).unwrap_or_default().as_mut_bytes();
        if let Some(places) = places.get_mut(..size_of_val(words)) {
            places.copy_from_slice(words.as_bytes());
        }
        at
    }
}

fn line_of_words(words: &[u64]) -> Line {
    let mut line = Line::default();
    for (place, word) in line.words.iter_mut().zip(words) {
        *place = *word;
    }
    line
}

/// Lines of so many entries each, the last one repeated in what is left of the last line.
fn padded<T: Copy>(entries: &[T], each: usize) -> impl Iterator<Item = impl Iterator<Item = T>> {
    entries.chunks(each).map(move |chunk| {
        let last = chunk.last().copied();
        chunk.iter().copied().chain(std::iter::repeat_n(last, each - chunk.len()).flatten())
    })
}

#[cfg(test)]
mod tests;
