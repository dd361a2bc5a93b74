//! Bytes into lines.
use std::ops::Range;

use super::{BATCH_LINES, LONGEST_LINE};

/// What bytes came to.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct Split {
    /// Where the lines are, without their ends.
    pub(super) lines: Vec<Range<u32>>,
    /// Bytes that are done with; what follows is read again when there is more of it.
    pub(super) used: usize,
    /// Lines that were cut.
    pub(super) cut: u64,
    /// Bytes that were skipped.
    pub(super) skipped: u64,
    /// Whether no whole line is left in them.
    pub(super) is_all: bool,
    /// Whether what follows is the rest of a line that is skipped.
    pub(super) is_mid_line: bool,
}

/// How bytes are split.
#[derive(Clone, Copy, Debug)]
pub(super) struct How {
    /// They begin in the middle of a line, whose rest is skipped.
    pub(super) is_mid_line: bool,
    /// Lines that begin there or behind are left.
    pub(super) until: usize,
    /// Nothing follows: a last line without an end is one.
    pub(super) is_last: bool,
}

/// Splits bytes into lines. At most [`BATCH_LINES`]; empty ones are left out; `\r\n` ends a line as `\n` does; a line
/// longer than [`LONGEST_LINE`] is cut as soon as that is known.
pub(super) fn split(bytes: &[u8], how: How) -> Split {
    let mut split = Split { is_mid_line: how.is_mid_line, ..Split::default() };
    let mut ends = memchr::memchr_iter(b'\n', bytes);
    if split.is_mid_line {
        split.used = ends.next().map_or(bytes.len(), |end| end + 1);
        split.is_mid_line = split.used == 0 || bytes.get(split.used - 1) != Some(&b'\n');
        split.skipped = split.used as u64;
    }
    for end in ends {
        if split.used >= how.until || split.lines.len() >= BATCH_LINES {
            return split;
        }
        split.take(bytes, end);
        split.used = end + 1;
    }
    if split.used >= how.until || split.lines.len() >= BATCH_LINES {
        return split;
    }
    let rest = bytes.len() - split.used;
    split.is_all = true;
    if rest == 0 || split.is_mid_line {
        return split;
    }
    // The carriage return of a line that just fits may be its last byte.
    if rest > LONGEST_LINE + 1 || how.is_last {
        split.take(bytes, bytes.len());
        split.used = bytes.len();
        split.is_mid_line = true;
    }
    split
}

impl Split {
    /// Takes the line that begins where all before is used.
    fn take(&mut self, bytes: &[u8], end: usize) {
        let line = bytes.get(self.used..end).unwrap_or_default();
        let whole = line.strip_suffix(b"\r").unwrap_or(line).len();
        let kept = whole.min(LONGEST_LINE);
        if kept < whole {
            self.cut += 1;
            self.skipped += (whole - kept) as u64;
        }
        if let (Ok(start), Ok(len)) = (u32::try_from(self.used), u32::try_from(kept))
            && len > 0
        {
            self.lines.push(start..start + len);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const HOW: How = How { is_mid_line: false, until: usize::MAX, is_last: false };

    fn texts(bytes: &[u8], split: &Split) -> Vec<String> {
        let line = |line: &Range<u32>| bytes[line.start as usize..line.end as usize].to_vec();
        split.lines.iter().map(line).map(|line| String::from_utf8_lossy(&line).into_owned()).collect()
    }

    #[track_caller]
    fn check(bytes: &[u8], how: How, lines: &[&str], used: usize, is_mid_line: bool) {
        let split = split(bytes, how);
        assert_eq!(texts(bytes, &split), lines);
        assert_eq!((split.used, split.is_mid_line), (used, is_mid_line));
    }

    #[test]
    fn lines_end_with_a_line_feed_and_half_ones_wait() {
        check(b"", HOW, &[], 0, false);
        check(b"half", HOW, &[], 0, false);
        check(b"one\n", HOW, &["one"], 4, false);
        check(b"one\r\n\r\n\ntwo\nhal", HOW, &["one", "two"], 12, false);
        check(b"a\rb\n\0\x01\n", HOW, &["a\rb", "\0\x01"], 7, false);
        check(b"one\ntwo", How { is_last: true, ..HOW }, &["one", "two"], 7, true);
    }

    #[test]
    fn the_rest_of_a_line_that_is_known_is_skipped() {
        let how = How { is_mid_line: true, ..HOW };
        check(b"", how, &[], 0, true);
        check(b"rest", how, &[], 4, true);
        check(b"rest\none\ntwo", how, &["one"], 9, false);
        check(b"\none\n", how, &["one"], 5, false);
    }

    #[test]
    fn lines_that_begin_behind_the_border_are_left() {
        check(b"one\ntwo\nthree\n", How { until: 4, ..HOW }, &["one"], 4, false);
        check(b"one\ntwo\nthree\n", How { until: 5, ..HOW }, &["one", "two"], 8, false);
    }

    #[test]
    fn a_line_at_the_limit_is_whole_and_one_beyond_is_cut() {
        let line = |len: usize, end: &str| [vec![b'x'; len], end.as_bytes().to_vec()].concat();
        let of = |bytes: &[u8]| {
            let split = split(bytes, HOW);
            (split.lines.first().map(ExactSizeIterator::len), split.cut, split.used == bytes.len(), split.is_mid_line)
        };
        assert_eq!(of(&line(LONGEST_LINE, "\n")), (Some(LONGEST_LINE), 0, true, false));
        assert_eq!(of(&line(LONGEST_LINE, "\r\n")), (Some(LONGEST_LINE), 0, true, false));
        assert_eq!(of(&line(LONGEST_LINE, "")), (None, 0, false, false));
        assert_eq!(of(&line(LONGEST_LINE, "\r")), (None, 0, false, false));
        assert_eq!(of(&line(LONGEST_LINE + 1, "\n")), (Some(LONGEST_LINE), 1, true, false));
        assert_eq!(of(&line(LONGEST_LINE + 2, "")), (Some(LONGEST_LINE), 1, true, true));
    }

    #[test]
    fn a_batch_has_so_many_lines_and_no_more() {
        let bytes = b"x\n".repeat(BATCH_LINES + 5);
        let split = split(&bytes, HOW);
        assert_eq!((split.lines.len(), split.used), (BATCH_LINES, BATCH_LINES * 2));
    }
}
