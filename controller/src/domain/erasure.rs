//! Erasure: who is to be forgotten is blotted out wherever they are mentioned.
use std::borrow::Cow;
use std::net::IpAddr;

use ipnet::IpNet;
use serde_json::Value;

use super::http::alert::{NAME_CHARS, cut};
use super::http::recorded::TEXT_CHARS;
use super::http::source;
use super::prefixes::single;
use super::privacy::{self, Names, begins_with_name, prefix_of};

/// What stands where something was erased.
pub const ERASED: &str = "erased";

/// Who is to be mentioned nowhere any more: an address or a user, by every name that they are kept under.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Mentions {
    names: Vec<String>,
    /// Those of the names that are addresses and prefixes: they are looked for by value, not by how they are written.
    prefixes: Vec<IpNet>,
    users: Vec<String>,
    /// The users as they stand in a document.
    in_json: Vec<String>,
}

impl Mentions {
    /// Those who are called so.
    pub fn new(mut names: Vec<String>, mut users: Vec<String>) -> Self {
        for all in [&mut names, &mut users] {
            all.retain(|text| !text.is_empty());
            // The longest in front: of one that another begins with, no rest is to stay.
            all.sort_by(|a, b| b.len().cmp(&a.len()).then_with(|| a.cmp(b)));
            all.dedup();
        }
        let prefixes = names.iter().filter_map(|name| prefix_of(name)).collect();
        let in_json = users.iter().map(|user| in_json(user)).collect();
        Self { names, prefixes, users, in_json }
    }

    /// An address and the source it is of, under every key there is.
    pub fn of_address(address: IpAddr, names: &Names) -> Self {
        let mut called = Vec::new();
        for prefix in [single(address.to_canonical()), source::prefix(address)] {
            called.extend(names.all_of(prefix));
            // As an earlier weir wrote it.
            called.push(prefix.to_string());
        }
        Self::new(called, Vec::new())
    }

    /// A user, also as it is cut where it is kept, and with addresses in it by their names under every key there is.
    pub fn of_user(user: &str, names: &Names) -> Self {
        let mut users = Vec::new();
        for user in [user.to_owned(), cut(user, TEXT_CHARS), cut(user, NAME_CHARS)] {
            let under = names.keys().iter().map(|key| Names::keyed(vec![key.clone()]).text(&user).into_owned());
            users.extend(under);
            users.push(user);
        }
        Self::new(Vec::new(), users)
    }

    /// The names of the address.
    pub fn names(&self) -> &[String] {
        &self.names
    }

    /// The names of the user.
    pub fn users(&self) -> &[String] {
        &self.users
    }

    /// Whether something in a text, or in the texts of a JSON document, may be blotted out. Where this says no, nothing is.
    pub fn may_be_in(&self, text: &str) -> bool {
        self.names.iter().any(|name| find_in_any_case(text, name).is_some())
            || self.users.iter().chain(&self.in_json).any(|user| text.contains(user.as_str()))
            || !self.prefixes.is_empty() && matches!(privacy::without(text, &self.prefixes, ERASED), Cow::Owned(_))
    }

    /// The text without them: addresses however they are written, names of addresses in whatever case, users as whole
    /// words. `None` if they are not in it.
    pub fn blotted(&self, text: &str) -> Option<String> {
        if !self.may_be_in(text) {
            return None;
        }
        let mut blotted = privacy::without(text, &self.prefixes, ERASED).into_owned();
        for name in &self.names {
            blotted = without(&blotted, name, find_in_any_case);
        }
        for user in &self.users {
            blotted = without(&blotted, user, |text, user| text.find(user));
        }
        Some(blotted).filter(|blotted| blotted != text)
    }

    /// Blots them out in a text; whether they were in it.
    pub fn blot(&self, text: &mut String) -> bool {
        let Some(blotted) = self.blotted(text) else { return false };
        *text = blotted;
        true
    }

    /// The same in all texts of several.
    pub fn blot_all<'t>(&self, texts: impl IntoIterator<Item = &'t mut String>) -> bool {
        let mut changed = false;
        for text in texts {
            changed |= self.blot(text);
        }
        changed
    }

    /// The same in all texts of a document.
    pub fn blot_value(&self, value: &mut Value) -> bool {
        match value {
            Value::String(text) => self.blot(text),
            Value::Array(values) => self.blot_values(values.iter_mut()),
            Value::Object(map) => self.blot_values(map.values_mut()),
            Value::Null | Value::Bool(_) | Value::Number(_) => false,
        }
    }

    fn blot_values<'v>(&self, values: impl Iterator<Item = &'v mut Value>) -> bool {
        let mut changed = false;
        for value in values {
            changed |= self.blot_value(value);
        }
        changed
    }
}

/// A text as it stands in a document, without its quotes.
fn in_json(text: &str) -> String {
    let quoted = serde_json::to_string(text).unwrap_or_default();
    quoted.get(1..quoted.len().saturating_sub(1)).unwrap_or_default().to_owned()
}

/// Where a name begins in a text, whatever the case of its letters.
fn find_in_any_case(text: &str, name: &str) -> Option<usize> {
    let (first, rest) = name.as_bytes().split_first()?;
    let text = text.as_bytes();
    memchr::memchr2_iter(first.to_ascii_lowercase(), first.to_ascii_uppercase(), text).find(|at| {
        let behind = text.get(at + 1..).and_then(|behind| behind.get(..rest.len()));
        behind.is_some_and(|behind| behind.eq_ignore_ascii_case(rest))
    })
}

/// The text with each whole mention of another one blotted out: not within a longer word or address, nor where the name of
/// an address begins with it.
fn without(text: &str, mention: &str, find: impl Fn(&str, &str) -> Option<usize>) -> String {
    let is_word = |c: char| c.is_alphanumeric();
    // A dot or colon belongs to an address only if more of it follows.
    let goes_on = |after: &str| {
        let mut rest = after.chars();
        match rest.next() {
            Some('.' | ':') => {
                rest.next().is_some_and(is_word)
                    && mention.contains(['.', ':'])
                    && (mention.contains(':') || !is_port(after))
            }
            Some(c) => is_word(c),
            None => false,
        }
    };
    let mut out = String::with_capacity(text.len());
    let mut rest = text;
    while let Some((before, (found, after))) =
        find(rest, mention).and_then(|at| rest.split_at_checked(at)).and_then(|(before, from)| {
            let is_name = begins_with_name(from.as_bytes()) && !begins_with_name(mention.as_bytes());
            let length = if is_name { privacy::NAME_PREFIX.len() + privacy::NAME_DIGITS } else { mention.len() };
            Some((before, from.split_at_checked(length)?))
        })
    {
        let before_it =
            before.chars().next_back().or_else(|| if before.is_empty() { out.chars().next_back() } else { None });
        let is_within = before_it.is_some_and(is_word) || found.len() != mention.len() || goes_on(after);
        out.push_str(before);
        out.push_str(if is_within { found } else { ERASED });
        rest = after;
    }
    out.push_str(rest);
    out
}

/// Whether a port and nothing else of an address follows.
fn is_port(after: &str) -> bool {
    let Some(rest) = after.strip_prefix(':') else { return false };
    let digits = rest.bytes().take_while(u8::is_ascii_digit).count();
    digits > 0 && !rest.as_bytes().get(digits).is_some_and(|byte| *byte == b':' || byte.is_ascii_alphanumeric())
}

#[cfg(test)]
mod tests;
