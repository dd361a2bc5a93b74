//! Keys, and the text of the file they are kept in.
use std::fmt;

use hmac::{Hmac, KeyInit as _, Mac as _};
use jiff::Timestamp;
use sha2::Sha256;

use super::{NAME_DIGITS, NAME_PREFIX};

/// The first line of a key file.
const HEADER: &str = "weir-privacy-key v1";

/// Bytes of a key.
const SECRET_BYTES: usize = 32;

/// Bytes of a block of SHA-256: HMAC takes a shorter key as if zeros followed it (RFC 2104, section 2).
const BLOCK_BYTES: usize = 64;

/// A secret that leads from addresses to their names. It is never printed but into a key file.
#[derive(Clone)]
pub struct Key {
    secret: [u8; SECRET_BYTES],
    made: Timestamp,
    /// The secret, taken in: half of the work is done once for all names.
    keyed: Hmac<Sha256>,
}

impl Key {
    /// A key of these random bytes.
    pub fn new(secret: [u8; SECRET_BYTES], made: Timestamp) -> Self {
        let mut block = [0; BLOCK_BYTES];
        for (byte, of_secret) in block.iter_mut().zip(secret) {
            *byte = of_secret;
        }
        Self { secret, made, keyed: Hmac::new(&block.into()) }
    }

    /// When it was made.
    pub fn made(&self) -> Timestamp {
        self.made
    }

    /// The name of what is `plain`.
    pub(super) fn name(&self, plain: &str) -> String {
        let mut keyed = self.keyed.clone();
        keyed.update(plain.as_bytes());
        let digest = keyed.finalize().into_bytes();
        let kept = digest.get(..NAME_DIGITS / 2).unwrap_or_default();
        format!("{NAME_PREFIX}{}", hex::encode(kept))
    }
}

impl PartialEq for Key {
    fn eq(&self, other: &Self) -> bool {
        (self.secret, self.made) == (other.secret, other.made)
    }
}

impl Eq for Key {}

impl fmt::Debug for Key {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Key").field("made", &self.made).finish_non_exhaustive()
    }
}

/// Why a text is no key file. Nothing of the text is repeated: it may be a secret.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum KeyError {
    /// There is nothing in it.
    #[error("the key file is empty: {WAY_OUT}")]
    Empty,
    /// It begins with something else.
    #[error("line {line} of the key file is not {HEADER:?}: {WAY_OUT}")]
    Header {
        /// The line, from 1.
        line: usize,
    },
    /// It is a later weir's.
    #[error(
        "line {line} of the key file names a form that this weir does not read, it reads {HEADER:?}: use the weir that wrote it"
    )]
    Version {
        /// The line, from 1.
        line: usize,
    },
    /// A line is not a time and a key.
    #[error("line {line} of the key file is not a time, a space, and a key of 64 hexadecimal digits: {WAY_OUT}")]
    Line {
        /// The line, from 1.
        line: usize,
    },
    /// The time of a key is none.
    #[error(
        "line {line} of the key file does not begin with a time such as 2026-10-10T13:55:36Z: correct it, any time will do"
    )]
    Time {
        /// The line, from 1.
        line: usize,
    },
    /// A key is none.
    #[error("the key in line {line} of the key file has {digits} characters, not 64 hexadecimal digits: {WAY_OUT}")]
    Secret {
        /// The line, from 1.
        line: usize,
        /// Characters there are.
        digits: usize,
    },
    /// There is no key.
    #[error("no key follows line {line} of the key file: {WAY_OUT}")]
    NoKey {
        /// The last line there is, from 1.
        line: usize,
    },
}

const WAY_OUT: &str =
    "bring it back from a copy, or move it away and a new key is made, under which every address has another name";

/// The keys of a key file, in its order: the first is the one in use.
///
/// Empty lines are skipped.
///
/// # Errors
///
/// The first line that is not as it must be.
pub fn parse_keys(text: &str) -> Result<Vec<Key>, KeyError> {
    let lines = text.lines().zip(1..).map(|(line, number)| (line.trim(), number));
    let mut lines = lines.filter(|(line, _)| !line.is_empty());
    let (header, first) = lines.next().ok_or(KeyError::Empty)?;
    if header != HEADER {
        let is_of_another = header.split_once(' ').is_some_and(|(what, _)| HEADER.starts_with(what) && what.len() > 4);
        return Err(if is_of_another { KeyError::Version { line: first } } else { KeyError::Header { line: first } });
    }
    let keys = lines.map(|(line, number)| parse_key(line, number)).collect::<Result<Vec<_>, _>>()?;
    if keys.is_empty() { Err(KeyError::NoKey { line: first }) } else { Ok(keys) }
}

fn parse_key(text: &str, line: usize) -> Result<Key, KeyError> {
    let (made, secret) = text.split_once(char::is_whitespace).ok_or(KeyError::Line { line })?;
    let made = made.parse::<Timestamp>().ok().ok_or(KeyError::Time { line })?;
    let secret = secret.trim_start();
    let mut bytes = [0; SECRET_BYTES];
    match hex::decode_to_slice(secret, &mut bytes) {
        Ok(()) => Ok(Key::new(bytes, made)),
        // What is wrong with it is not said in more detail: that would be a part of it.
        Err(_) => Err(KeyError::Secret { line, digits: secret.chars().count() }),
    }
}

/// The text of a key file, with the keys in this order: the one in use in front.
pub fn write_keys(keys: &[Key]) -> String {
    let lines = keys.iter().map(|key| format!("{} {}\n", key.made, hex::encode(key.secret)));
    std::iter::once(format!("{HEADER}\n")).chain(lines).collect()
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    const HEX: &str = "000102030405060708090a0b0c0d0e0f101112131415161718191a1b1c1d1e1f";

    fn key(byte: u8, second: i64) -> Key {
        Key::new([byte; SECRET_BYTES], Timestamp::constant(second, 0))
    }

    #[test]
    fn keys_are_written_and_read_in_their_order() {
        let keys = vec![key(0xab, 1_790_000_000), key(1, 1_700_000_000)];
        let text = write_keys(&keys);
        assert_eq!(
            text,
            format!(
                "weir-privacy-key v1\n2026-09-21T14:13:20Z {}\n2023-11-14T22:13:20Z {}\n",
                "ab".repeat(32),
                "01".repeat(32)
            )
        );
        assert_eq!(parse_keys(&text), Ok(keys));
    }

    #[test]
    fn line_ends_of_another_system_and_empty_lines_are_no_matter() {
        let text = format!("\r\nweir-privacy-key v1\r\n\r\n2026-09-21T14:13:20Z   {}\r\n", HEX.to_uppercase());
        let keys = parse_keys(&text).unwrap();
        assert_eq!(write_keys(&keys), format!("weir-privacy-key v1\n2026-09-21T14:13:20Z {HEX}\n"));
        assert_eq!(keys.first().unwrap().made().as_second(), 1_790_000_000);
    }

    #[test]
    fn what_is_no_key_file_is_refused_by_line() {
        let good = format!("2026-09-21T14:13:20Z {HEX}");
        for (text, expected) in [
            (String::new(), KeyError::Empty),
            (" \n\n".to_owned(), KeyError::Empty),
            (good.clone(), KeyError::Header { line: 1 }),
            ("\nweir-privacy-key".to_owned(), KeyError::Header { line: 2 }),
            ("weir-privacy-key v2\nx".to_owned(), KeyError::Version { line: 1 }),
            ("weir-privacy-key v1".to_owned(), KeyError::NoKey { line: 1 }),
            (format!("{HEADER}\n{HEX}"), KeyError::Line { line: 2 }),
            (format!("{HEADER}\n{good}\nyesterday {HEX}"), KeyError::Time { line: 3 }),
            (format!("{HEADER}\n\n2026-09-21T14:13:20Z 00"), KeyError::Secret { line: 3, digits: 2 }),
            (format!("{HEADER}\n{good}0"), KeyError::Secret { line: 2, digits: 65 }),
            (format!("{HEADER}\n{good} {HEX}"), KeyError::Secret { line: 2, digits: 129 }),
            (format!("{HEADER}\n{}", good.replace("1f", "1g")), KeyError::Secret { line: 2, digits: 64 }),
        ] {
            assert_eq!(parse_keys(&text), Err(expected), "{text:?}");
        }
    }

    #[test]
    fn an_error_says_where_and_what_to_do_and_nothing_of_the_secret() {
        for text in
            [HEX.to_owned(), format!("{HEADER}\n{HEX}"), format!("{HEADER}\nx {HEX}"), format!("{HEADER}\n1 {HEX}f")]
        {
            let error = parse_keys(&text).unwrap_err();
            let said = format!("{error} {error:?}");
            assert!(said.contains("line ") && !said.contains("00010203"), "{said}");
        }
        let said = KeyError::Empty.to_string();
        assert!(said.contains("bring it back") && said.contains("move it away"), "{said}");
    }

    #[test]
    fn a_key_is_not_printed() {
        let printed = format!("{:?}", key(0xab, 1_790_000_000));
        assert_eq!(printed, "Key { made: 2026-09-21T14:13:20Z, .. }");
    }

    #[test]
    fn a_name_is_what_any_other_hmac_makes_of_it() {
        // printf 192.0.2.7 | openssl dgst -sha256 -mac HMAC -macopt hexkey:000102…1f
        let mut secret = [0; SECRET_BYTES];
        hex::decode_to_slice(HEX, &mut secret).unwrap();
        assert_eq!(Key::new(secret, Timestamp::UNIX_EPOCH).name("192.0.2.7"), "anon-2eb3513ee0e06c25d4428a1a");
    }

    proptest! {
        #[test]
        fn no_text_stops_it(text in "(weir-privacy-key v1\n)?(\\PC|[0-9a-fTZ: \n-]){0,200}") {
            if let Err(error) = parse_keys(&text) {
                let _said: String = error.to_string();
            }
        }

        #[test]
        fn what_is_written_is_read(
            keys in prop::collection::vec((any::<[u8; 32]>(), -377_705_023_201..253_402_207_200_i64, 0..1_000_000_000_i32), 1..5),
        ) {
            let keys: Vec<Key> = keys.into_iter().filter_map(|(secret, second, nano)| {
                Some(Key::new(secret, Timestamp::new(second, nano).ok()?))
            }).collect();
            prop_assume!(!keys.is_empty());
            prop_assert_eq!(parse_keys(&write_keys(&keys)), Ok(keys));
        }
    }
}
