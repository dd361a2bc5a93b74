//! Where addresses and prefixes stand in a text.
//!
//! The text is read from the left, a character as it is meant at a time, and of all that could be an address from there the
//! longest is taken. What is decided never depends on whether an address further left or right has a name already: a text
//! whose addresses have names is found to hold none.
use std::borrow::Cow;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

use ipnet::IpNet;

use super::unit::{EDGE, Text, Unit, is_word};
use super::{NAME_DIGITS, NAME_PREFIX, begins_with_name};

/// Characters of the longest IPv6 address: six groups, and an IPv4 address.
const LONGEST: usize = 45;

/// Colons of an IPv6 address without `::` that ends as an IPv4 one does: others have more.
const COLONS: usize = 6;

/// Products whose versions look like addresses, in small letters: Chromium's, and what else calls itself by four short
/// numbers. One that is missing costs a version, a word too many would cost an address.
const PRODUCTS: [&str; 17] = [
    "brave",
    "chrome",
    "chromium",
    "crios",
    "edg",
    "edga",
    "edge",
    "edgios",
    "electron",
    "headlesschrome",
    "opr",
    "opera",
    "samsungbrowser",
    "vivaldi",
    "webview",
    "whatsapp",
    "yabrowser",
];

/// The text with what `name` says in the place of each address and prefix; where it says nothing, the text stays.
pub(super) fn replaced<'a, 'n>(text: &'a str, name: impl Fn(IpNet) -> Option<Cow<'n, str>>) -> Cow<'a, str> {
    let mut changed = String::new();
    let mut copied = 0;
    for found in Scan::new(text) {
        if let Some(name) = name(found.prefix) {
            changed.push_str(text.get(copied..found.start).unwrap_or_default());
            changed.push_str(&name);
            copied = found.end;
        }
    }
    if copied == 0 {
        return Cow::Borrowed(text);
    }
    changed.push_str(text.get(copied..).unwrap_or_default());
    Cow::Owned(changed)
}

/// An address or a prefix, and the bytes it stands in.
struct Found {
    start: usize,
    end: usize,
    prefix: IpNet,
}

/// Numbers with dots between them.
struct Dotted {
    count: usize,
    /// Where the last of them begins.
    last: usize,
    end: usize,
    /// The address they are, if they are four and small enough.
    address: Option<Ipv4Addr>,
}

struct Scan<'a> {
    text: Text<'a>,
    at: usize,
    /// The character before, as it is meant.
    before: u8,
}

impl Iterator for Scan<'_> {
    type Item = Found;

    fn next(&mut self) -> Option<Found> {
        while let Some(unit) = self.text.unit(self.at) {
            let start = self.at;
            if unit.end == start + 1 && !(unit.meant.is_ascii_hexdigit() || unit.meant == b':') {
                (self.at, self.before) = (unit.end, unit.meant);
                continue;
            }
            if self.text.0.get(start..).is_some_and(begins_with_name) {
                (self.at, self.before) = (start + NAME_PREFIX.len() + NAME_DIGITS, EDGE);
                continue;
            }
            if let Some((address, end)) = self.v6(start, self.before) {
                return Some(self.found(start, address.into(), end));
            }
            if let Some(address) = self.within(unit) {
                (self.at, self.before) = (address, EDGE);
                continue;
            }
            if unit.meant.is_ascii_digit() {
                let Dotted { end, address, .. } = self.dotted(start);
                if let Some(address) = address.filter(|_| !self.is_version()) {
                    return Some(self.found(start, address.into(), end));
                }
                (self.at, self.before) = (end, b'0');
                continue;
            }
            (self.at, self.before) = (unit.end, unit.meant);
        }
        None
    }
}

impl<'a> Scan<'a> {
    fn new(text: &'a str) -> Self {
        Self { text: Text(text.as_bytes()), at: 0, before: EDGE }
    }

    /// The address, with the length behind it if one is, and goes on behind that.
    fn found(&mut self, start: usize, address: IpAddr, end: usize) -> Found {
        let (prefix, end) = self.with_length(address, end).unwrap_or((address.into(), end));
        (self.at, self.before) = (end, EDGE);
        Found { start, end, prefix }
    }

    /// Where an address begins in what could be an escape, if none would behind it: `%12.3.4.5`, not `%20192.0.2.7`. Not
    /// in `\u…`: that would be no JSON any more.
    fn within(&self, unit: Unit) -> Option<usize> {
        let escape = self.text.0.get(self.at..unit.end)?;
        let is_escape = escape.starts_with(b"%") || escape.iter().rev().nth(2) == Some(&b'x');
        if !is_escape
            || escape.len() < 3
            || matches!(unit.meant, b':' | b'.' | b'/')
            || self.text.digit(unit.end).is_some()
        {
            return None;
        }
        let digits = escape.iter().rev().take(2).take_while(|byte| byte.is_ascii_digit()).count();
        let (v4, v6) = (unit.end - digits, unit.end - 2);
        if self.dotted(v4).address.is_some() {
            return Some(v4);
        }
        (self.v6(unit.end, EDGE).is_none() && self.v6(v6, EDGE).is_some()).then_some(v6)
    }

    /// The numbers with dots between them that begin at a byte, without a last one that an IPv6 address begins with.
    fn dotted(&self, start: usize) -> Dotted {
        let all = self.numbers(start, usize::MAX);
        if all.address.is_some() || all.count < 2 || self.v6(all.last, b'.').is_none() {
            return all;
        }
        self.numbers(start, all.count - 1)
    }

    /// The first so many of the numbers with dots between them that begin at a byte. Zeros in front are no matter.
    fn numbers(&self, start: usize, most: usize) -> Dotted {
        let mut dotted = Dotted { count: 0, last: start, end: start, address: None };
        let mut octets = [0; 4];
        let mut slots = octets.iter_mut();
        let mut is_small = true;
        loop {
            let (mut value, mut digits) = (0_u32, 0);
            while let Some((digit, behind)) = self.text.digit(dotted.end) {
                value = value.saturating_mul(10).saturating_add(digit);
                (dotted.end, digits) = (behind, digits + 1);
            }
            match (slots.next(), u8::try_from(value)) {
                (Some(slot), Ok(octet)) if matches!(digits, 1..=3) => *slot = octet,
                _ => is_small = false,
            }
            dotted.count += 1;
            match self.text.behind_dot(dotted.end) {
                Some(behind) if dotted.count < most => (dotted.last, dotted.end) = (behind, behind),
                _ => break,
            }
        }
        dotted.address = (is_small && dotted.count == octets.len()).then(|| octets.into());
        dotted
    }

    /// Whether the word and the slash before here make a version of what follows.
    fn is_version(&self) -> bool {
        let before = self.text.0.get(..self.at).unwrap_or_default();
        let Some(before) = before.strip_suffix(b"/") else { return false };
        let slashes = before.iter().rev().take_while(|byte| **byte == b'\\').count();
        let before = before.get(..before.len() - slashes).unwrap_or_default();
        let letters = before.iter().rev().take_while(|byte| byte.is_ascii_alphabetic()).count();
        let (front, word) = before.split_at_checked(before.len() - letters).unwrap_or_default();
        !front.last().is_some_and(|byte| is_word(*byte))
            && PRODUCTS.iter().any(|product| product.as_bytes().eq_ignore_ascii_case(word))
    }

    /// The longest IPv6 address that begins at a byte, behind this character, and the byte behind it.
    fn v6(&self, start: usize, before: u8) -> Option<(Ipv6Addr, usize)> {
        let first = self.text.unit(start)?;
        if before.is_ascii_hexdigit() || !self.has_colon(first) {
            return None;
        }
        let mut chars = [0; LONGEST];
        let mut ends = [0; LONGEST];
        let (mut len, mut at, mut last, mut gaps) = (0, start, EDGE, 0);
        for (char, end) in chars.iter_mut().zip(&mut ends) {
            let unit =
                self.text.unit(at).filter(|unit| unit.meant.is_ascii_hexdigit() || matches!(unit.meant, b':' | b'.'));
            let Some(unit) = unit else { break };
            gaps += usize::from((last, unit.meant) == (b':', b':'));
            // No address has two gaps: most of what is no address ends here.
            if gaps > 1 {
                break;
            }
            (*char, *end) = (unit.meant, unit.end);
            (len, at, last) = (len + 1, unit.end, unit.meant);
        }
        let chars = str::from_utf8(chars.get(..len)?).ok()?;
        if gaps == 0 && chars.bytes().filter(|byte| *byte == b':').count() < COLONS {
            return None;
        }
        if is_word(before) && !is_widely_used(chars.split(':').next().unwrap_or_default()) {
            return None;
        }
        (3..=len).rev().find_map(|len| {
            let (candidate, behind) = chars.split_at_checked(len)?;
            if candidate.ends_with(|char: char| char.is_ascii_hexdigit())
                && behind.starts_with(|char: char| char.is_ascii_hexdigit())
            {
                return None;
            }
            let address: Ipv6Addr = candidate.parse().ok()?;
            let end = *ends.get(len - 1)?;
            let group = candidate.rfind(':').and_then(|colon| ends.get(colon))?;
            self.ends_well(candidate, *group, end).then_some((address, end))
        })
    }

    /// Whether this is the first of two colons, or of a group of four digits at the most and a colon: nearly everything is
    /// neither.
    fn has_colon(&self, first: Unit) -> bool {
        let mut unit = first;
        for _ in 0..4 {
            if !unit.meant.is_ascii_hexdigit() {
                break;
            }
            let Some(next) = self.text.unit(unit.end) else { return false };
            unit = next;
        }
        unit.meant == b':' && (first.meant != b':' || self.text.meant(unit.end) == Some(b':'))
    }

    /// Whether an address may end here, whose last group begins at `group`.
    fn ends_well(&self, address: &str, group: usize, end: usize) -> bool {
        let (Some(last), Some(next)) = (address.bytes().last(), self.text.meant(end)) else { return true };
        if is_word(next) {
            // `2001:db8::1x` is one, `dead::beefy` is none. No group ends between two of its digits.
            return last.is_ascii_digit() && !next.is_ascii_hexdigit();
        }
        if self.text.behind_dot(end).is_some() {
            // A port, unless the group is the first number of an IPv4 address, or the fourth of five.
            return !address.contains('.') && self.numbers(group, usize::MAX).address.is_none();
        }
        true
    }

    /// The prefix that an address and a length behind it are: one that leaves no bit of the address out.
    fn with_length(&self, address: IpAddr, end: usize) -> Option<(IpNet, usize)> {
        let slash = self.text.unit(end).filter(|unit| unit.meant == b'/')?;
        let (mut len, mut end) = self.text.digit(slash.end)?;
        let has_zero_in_front = len == 0;
        while let Some((digit, behind)) = self.text.digit(end) {
            if has_zero_in_front {
                return None;
            }
            (len, end) = (len.saturating_mul(10).saturating_add(digit), behind);
        }
        if self.text.meant(end).is_some_and(is_word) || self.text.behind_dot(end).is_some() {
            return None;
        }
        let prefix = IpNet::new(address, u8::try_from(len).ok()?).ok()?;
        (prefix.trunc() == prefix).then_some((prefix, end))
    }
}

/// Whether addresses that are in use begin with this group, and few words end with it: behind a letter only these are
/// taken for addresses (`x2001:db8::1`), what is left of a word is not (`IPv6:2001:db8::1`, `eth0:::1`, `std::ace`).
fn is_widely_used(group: &str) -> bool {
    group.len() == 4 && group.starts_with(['2', '3', 'f', 'F']) && group.bytes().any(|byte| byte.is_ascii_digit())
}
