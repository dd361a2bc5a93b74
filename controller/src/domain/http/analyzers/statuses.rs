//! Sets of answer statuses, written as people name them: `5xx`, `404`, `!403`.
use std::fmt;

/// A set of statuses from 100 to 599.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Statuses {
    words: Vec<String>,
    holds: [u64; 8],
}

/// Most words one set is written with.
const MOST_WORDS: usize = 64;

const FIRST: u16 = 100;
const LAST: u16 = 599;

impl Statuses {
    /// The set these words name, from left to right: a status (`404`) or a class (`4xx`) is added, and taken out again
    /// with a `!` before it. No words: the empty set.
    ///
    /// # Errors
    /// The first word that is neither.
    pub fn parse<T: AsRef<str>>(words: &[T]) -> Result<Self, NotAStatus> {
        if words.len() > MOST_WORDS {
            return Err(NotAStatus { word: format!("{} words", words.len()) });
        }
        let mut set = Self::none();
        for word in words {
            let word = word.as_ref().trim();
            let (name, is_in) = word.strip_prefix('!').map_or((word, true), |name| (name, false));
            let (first, last) = range(name).ok_or_else(|| NotAStatus { word: word.chars().take(32).collect() })?;
            (first..=last).for_each(|status| set.put(status, is_in));
            set.words.push(word.to_owned());
        }
        Ok(set)
    }

    /// The empty set.
    pub fn none() -> Self {
        Self { words: Vec::new(), holds: [0; 8] }
    }

    /// Whether a status is one of them.
    pub fn contains(&self, status: u16) -> bool {
        place(status).is_some_and(|(word, bit)| self.holds.get(word).is_some_and(|bits| bits & bit != 0))
    }

    /// The words it was written with.
    pub fn words(&self) -> &[String] {
        &self.words
    }

    fn put(&mut self, status: u16, is_in: bool) {
        if let Some((word, bit)) = place(status)
            && let Some(bits) = self.holds.get_mut(word)
        {
            *bits = if is_in { *bits | bit } else { *bits & !bit };
        }
    }
}

impl fmt::Display for Statuses {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.words.join(" "))
    }
}

/// A word that names no status.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{word:?} is no status: write one such as 404, a class such as 5xx, or either behind a ! to take it out again")]
pub struct NotAStatus {
    /// The word.
    pub word: String,
}

fn range(name: &str) -> Option<(u16, u16)> {
    if let Some(class) = name.strip_suffix("xx") {
        let class = class.parse::<u16>().ok().filter(|class| (1..=5).contains(class))?;
        return Some((class * 100, class * 100 + 99));
    }
    let status = name.parse::<u16>().ok().filter(|status| (FIRST..=LAST).contains(status) && name.len() == 3)?;
    Some((status, status))
}

fn place(status: u16) -> Option<(usize, u64)> {
    let at = status.checked_sub(FIRST).filter(|_| status <= LAST)?;
    Some((usize::from(at / 64), 1 << (at % 64)))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn classes_and_exceptions_are_read_from_left_to_right() {
        let set = Statuses::parse(&["4xx", "5xx", "!404", "!5xx", "503"]).unwrap();
        for (status, expected) in [(400, true), (404, false), (499, true), (500, false), (503, true), (200, false)] {
            assert_eq!(set.contains(status), expected, "{status}");
        }
        assert!(![0, 99, 600, u16::MAX].into_iter().any(|status| set.contains(status)));
        assert_eq!(set.to_string(), "4xx 5xx !404 !5xx 503");
    }

    #[test]
    fn what_is_no_status_is_named() {
        for word in ["", "!", "6xx", "0xx", "xx", "99", "600", "0404", "+44", "five"] {
            assert_eq!(Statuses::parse(&["404", word]).unwrap_err().word, word);
        }
    }
}
