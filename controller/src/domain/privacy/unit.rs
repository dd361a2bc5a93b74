//! A text, read by the character as it is meant: what is escaped for a URL, JSON or a log is read as what it stands for.

/// What an edge, a name and every character that matters to no address are taken for.
pub(super) const EDGE: u8 = b' ';

/// One character as it is meant, and the byte behind it.
#[derive(Clone, Copy)]
pub(super) struct Unit {
    pub(super) meant: u8,
    pub(super) end: usize,
}

/// A text.
#[derive(Clone, Copy)]
pub(super) struct Text<'a>(pub(super) &'a [u8]);

impl Text<'_> {
    /// The character that begins at a byte, as it is meant.
    ///
    /// Of `%` and `\x`, letters and digits stay as they are: nobody makes an address of them, but `%11` may well be the
    /// zone of one. Of a JSON text in a JSON text every backslash is two: any number of them is as good as one.
    pub(super) fn unit(self, at: usize) -> Option<Unit> {
        let rest = self.0.get(at..)?;
        let first = *rest.first()?;
        if !matches!(first, b'%' | b'\\') {
            return Some(Unit { meant: first, end: at + 1 });
        }
        let backslashes = rest.iter().take_while(|byte| **byte == b'\\').count();
        let escaped = rest.get(backslashes..)?;
        let sign = |digits| hexadecimal(escaped.get(1..=digits)).filter(|meant| digits > 2 || !is_word(*meant));
        let escape = match (backslashes, escaped.first()) {
            (0, Some(b'%')) | (1.., Some(b'x')) => sign(2).map(|meant| (meant, 3)),
            (1.., Some(b'u')) => sign(4).map(|meant| (meant, 5)),
            (1.., Some(b'b' | b'f' | b'n' | b'r' | b't')) => Some((EDGE, 1)),
            (1.., Some(b'/')) => Some((b'/', 1)),
            _ => None,
        };
        Some(match escape {
            Some((meant, len)) => Unit { meant, end: at + backslashes + len },
            None => Unit { meant: first, end: at + backslashes.max(1) },
        })
    }

    /// What is meant at a byte.
    pub(super) fn meant(self, at: usize) -> Option<u8> {
        self.unit(at).map(|unit| unit.meant)
    }

    /// The digit that begins at a byte, and the byte behind it.
    pub(super) fn digit(self, at: usize) -> Option<(u32, usize)> {
        let unit = self.unit(at)?;
        Some((char::from(unit.meant).to_digit(10)?, unit.end))
    }

    /// The byte behind a dot, if a dot and then a digit begin here.
    pub(super) fn behind_dot(self, at: usize) -> Option<usize> {
        let dot = self.unit(at).filter(|unit| unit.meant == b'.')?;
        self.digit(dot.end).map(|_| dot.end)
    }
}

/// Whether letters and digits before or behind belong to the same word.
pub(super) fn is_word(byte: u8) -> bool {
    byte.is_ascii_alphanumeric() || byte == b'_'
}

/// The character that hexadecimal digits mean, an edge if none that matters.
fn hexadecimal(digits: Option<&[u8]>) -> Option<u8> {
    let mut value = 0;
    for digit in digits? {
        value = value << 4 | char::from(*digit).to_digit(16)?;
    }
    Some(u8::try_from(value).ok().filter(u8::is_ascii).unwrap_or(EDGE))
}
