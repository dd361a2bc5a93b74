//! Payloads as an application would come to read them: whatever they were wrapped in to slip past rules is taken off.
//!
//! Percent-encoding (also twice, overlong, `%u0041`), escapes of scripts (`\x41`, `\u0041`), HTML entities, SQL comments,
//! full-width forms, zero-width characters, case and runs of white space. The result is text in lower case for rules to
//! look at; it is nothing to hand on to a server.
//!
//! Linear in time, and bounded by [`bound`]. Most texts need none of it: they are borrowed.
mod comments;
mod entities;
mod unwrap;
pub mod views;

use std::borrow::Cow;

pub use views::{Part, Views};

/// Bytes of a text that are judged. What is behind them is not looked at.
pub const JUDGED_BYTES: usize = 64 * 1_024;

/// How often a text is unwrapped at most: no application does it more often.
const ROUNDS: usize = 4;

/// What stands at the end of a text that had NUL in it: NUL itself is taken out, so that it hides nothing.
pub const NUL_MARK: &str = "%00";

/// What kind of text it is: a plus or a backslash does not mean the same everywhere.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    /// A path: backslashes are slashes, `//` and `/./` are `/`; `..` stays, for rules to see.
    Path,
    /// A query, or an address with one: a plus is a space.
    Query,
    /// Anything else.
    Text,
}

/// The most bytes that [`decode`] makes of a text.
pub const fn bound(bytes: usize) -> usize {
    2 * bytes + NUL_MARK.len()
}

/// The text without its wrappings; the first [`JUDGED_BYTES`] of it.
pub fn decode(text: &str, kind: Kind) -> Cow<'_, str> {
    let text = judged(text);
    let look = Look::at(text, kind);
    if look.wrapped {
        return Cow::Owned(unwrapped(text, kind));
    }
    if look.upper { Cow::Owned(text.to_ascii_lowercase()) } else { Cow::Borrowed(text) }
}

/// The part of a text that is judged.
pub fn judged(text: &str) -> &str {
    if text.len() <= JUDGED_BYTES { text } else { text.get(..text.floor_char_boundary(JUDGED_BYTES)).unwrap_or(text) }
}

fn unwrapped(text: &str, kind: Kind) -> String {
    let mut had_nul = false;
    let mut now = unwrap::once(text, kind, &mut had_nul);
    let mut wrapped = Look::at(&now, kind).wrapped;
    for _ in 1..ROUNDS {
        if !wrapped {
            break;
        }
        let next = unwrap::once(&now, kind, &mut had_nul);
        let same = next == now;
        now = next;
        wrapped = Look::at(&now, kind).wrapped;
        if same {
            break;
        }
    }
    if wrapped {
        if kind == Kind::Path {
            now = plain_path(&now);
        }
        if let Some(without) = comments::taken_out(&now) {
            now = without;
        }
        now = single_spaced(&now);
    }
    if had_nul {
        now.push_str(NUL_MARK);
    }
    now
}

/// `//` and `/./` are `/`.
fn plain_path(path: &str) -> String {
    let mut plain = String::with_capacity(path.len());
    let mut pieces = path.split('/').peekable();
    let mut first = true;
    while let Some(piece) = pieces.next() {
        // A dot at the end of a path is its folder too, and no harm to see.
        let empty = piece.is_empty() || piece == ".";
        if !first && empty && pieces.peek().is_some() {
            continue;
        }
        if !first {
            plain.push('/');
        }
        plain.push_str(piece);
        first = false;
    }
    plain
}

/// One space for each run of them.
fn single_spaced(text: &str) -> String {
    let mut single = String::with_capacity(text.len() + NUL_MARK.len());
    let mut after_space = false;
    for c in text.chars() {
        let space = c == ' ';
        if !(space && after_space) {
            single.push(c);
        }
        after_space = space;
    }
    single
}

/// What a first look at a text says of it.
#[derive(Clone, Copy, Debug)]
pub(super) struct Look {
    /// Something in it may be a wrapping. Where nothing is, unwrapping changes nothing but its case.
    pub(super) wrapped: bool,
    /// Letters of it are in upper case.
    upper: bool,
}

impl Look {
    pub(super) fn at(text: &str, kind: Kind) -> Self {
        let bytes = text.as_bytes();
        // One thing a loop, and no branches: the compiler makes many bytes at a time of it.
        let any = |is: fn(u8) -> bool| bytes.iter().fold(false, |any, byte| any | is(*byte));
        let pair = |is: fn(u8, u8) -> bool| {
            bytes.iter().zip(bytes.iter().skip(1)).fold(false, |any, (one, next)| any | is(*one, *next))
        };
        let wrapped = any(|byte| !(0x20..0x7f).contains(&byte) || matches!(byte, b'%' | b'*' | b'\\'))
            || pair(|one, next| one == b' ' && next == b' ')
            || match kind {
                Kind::Path => pair(|one, next| one == b'/' && matches!(next, b'/' | b'.')),
                Kind::Query => any(|byte| byte == b'+'),
                Kind::Text => false,
            }
            || entities::any(text);
        Self { wrapped, upper: any(|byte| byte.is_ascii_uppercase()) }
    }
}

#[cfg(test)]
mod tests;
