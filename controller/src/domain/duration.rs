//! Durations as people write them: `90s`, `15m`, `12h`, `7d`, and sums such as `1h30m`.

/// Units and their seconds, the longest first.
const UNITS: [(char, u64); 4] = [('d', 86_400), ('h', 3_600), ('m', 60), ('s', 1)];

/// Why a text is not a duration.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum DurationError {
    /// There is no text.
    #[error("no duration given; write one such as 90s, 15m, 12h, 7d or 1h30m")]
    Empty,
    /// A number stands without a unit.
    #[error("duration {text:?}: {number} of what? add a unit, as in {number}s, {number}m, {number}h or {number}d")]
    NoUnit {
        /// The whole text.
        text: String,
        /// The number.
        number: String,
    },
    /// A unit stands without a number, or something else stands where a number should.
    #[error("duration {text:?}: a whole number is wanted before {found:?}, as in 90s or 1h30m")]
    NoNumber {
        /// The whole text.
        text: String,
        /// What stands there.
        found: char,
    },
    /// Not a unit.
    #[error("duration {text:?}: {found:?} is not a unit; the units are s, m, h and d")]
    NotAUnit {
        /// The whole text.
        text: String,
        /// What stands there.
        found: char,
    },
    /// A number is 0: ended before it began.
    #[error("duration {text:?}: each number must be at least 1")]
    Zero {
        /// The whole text.
        text: String,
    },
    /// A unit comes twice or after a shorter one.
    #[error("duration {text:?}: {unit} comes too late; write each unit once and the longest first, as in 1d12h")]
    Order {
        /// The whole text.
        text: String,
        /// The unit.
        unit: char,
    },
    /// More seconds than can be counted.
    #[error("duration {text:?} is too long")]
    TooLong {
        /// The whole text.
        text: String,
    },
}

/// Seconds of a duration: whole numbers from 1, each with its unit (`s`, `m`, `h`, `d`), the longest unit first.
///
/// # Errors
/// [`DurationError`] with the text and what is wrong with it.
pub fn parse(text: &str) -> Result<u64, DurationError> {
    if text.is_empty() {
        return Err(DurationError::Empty);
    }
    let mut total = 0u64;
    // Seconds of the unit before: the next must be shorter.
    let mut longest = u64::MAX;
    let mut rest = text;
    while !rest.is_empty() {
        let digits = rest.bytes().take_while(u8::is_ascii_digit).count();
        let (number, after) = rest.split_at(digits);
        let Some(unit) = after.chars().next() else {
            return Err(DurationError::NoUnit { text: text.to_owned(), number: number.to_owned() });
        };
        if number.is_empty() {
            return Err(DurationError::NoNumber { text: text.to_owned(), found: unit });
        }
        let Some((_, seconds)) = UNITS.iter().find(|(name, _)| *name == unit) else {
            return Err(DurationError::NotAUnit { text: text.to_owned(), found: unit });
        };
        if *seconds >= longest {
            return Err(DurationError::Order { text: text.to_owned(), unit });
        }
        let too_long = || DurationError::TooLong { text: text.to_owned() };
        // Digits only, so what does not fit is too long and nothing else.
        let number: u64 = number.parse().ok().ok_or_else(too_long)?;
        if number == 0 {
            return Err(DurationError::Zero { text: text.to_owned() });
        }
        total = number.checked_mul(*seconds).and_then(|part| total.checked_add(part)).ok_or_else(too_long)?;
        longest = *seconds;
        rest = after.strip_prefix(unit).unwrap_or_default();
    }
    Ok(total)
}

/// The duration of these seconds as [`parse`] reads it, in the largest units that hold it; `0s` for none.
pub fn format(seconds: u64) -> String {
    if seconds == 0 {
        return "0s".to_owned();
    }
    let mut left = seconds;
    let mut text = String::new();
    for (unit, length) in UNITS {
        if left >= length {
            text.push_str(&(left / length).to_string());
            text.push(unit);
            left %= length;
        }
    }
    text
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[track_caller]
    fn check(text: &str, expected: Result<u64, &str>) {
        match (parse(text), expected) {
            (Ok(seconds), Ok(wanted)) => assert_eq!(seconds, wanted, "{text}"),
            (Err(error), Err(wanted)) => assert_eq!(error.to_string(), wanted),
            (got, wanted) => panic!("{text:?}: {got:?}, wanted {wanted:?}"),
        }
    }

    #[test]
    fn every_unit_and_sums_of_them_are_read() {
        check("90s", Ok(90));
        check("15m", Ok(900));
        check("12h", Ok(43_200));
        check("7d", Ok(604_800));
        check("1h30m", Ok(5_400));
        check("1d2h3m4s", Ok(93_784));
        check("08m", Ok(480));
        check("18446744073709551615s", Ok(u64::MAX));
    }

    #[test]
    fn what_is_wrong_is_said() {
        check("", Err("no duration given; write one such as 90s, 15m, 12h, 7d or 1h30m"));
        check("90", Err("duration \"90\": 90 of what? add a unit, as in 90s, 90m, 90h or 90d"));
        check("1h30", Err("duration \"1h30\": 30 of what? add a unit, as in 30s, 30m, 30h or 30d"));
        check("h", Err("duration \"h\": a whole number is wanted before 'h', as in 90s or 1h30m"));
        check("-5m", Err("duration \"-5m\": a whole number is wanted before '-', as in 90s or 1h30m"));
        check("1h 30m", Err("duration \"1h 30m\": a whole number is wanted before ' ', as in 90s or 1h30m"));
        check("1.5h", Err("duration \"1.5h\": '.' is not a unit; the units are s, m, h and d"));
        check("2w", Err("duration \"2w\": 'w' is not a unit; the units are s, m, h and d"));
        check("15M", Err("duration \"15M\": 'M' is not a unit; the units are s, m, h and d"));
        check("5\u{b5}s", Err("duration \"5\u{b5}s\": '\u{b5}' is not a unit; the units are s, m, h and d"));
        check("\u{661}s", Err("duration \"\u{661}s\": a whole number is wanted before '\u{661}', as in 90s or 1h30m"));
        check("0s", Err("duration \"0s\": each number must be at least 1"));
        check("1h0m", Err("duration \"1h0m\": each number must be at least 1"));
        check(
            "30m1h",
            Err("duration \"30m1h\": h comes too late; write each unit once and the longest first, as in 1d12h"),
        );
        check(
            "1h2h",
            Err("duration \"1h2h\": h comes too late; write each unit once and the longest first, as in 1d12h"),
        );
        check("18446744073709551616s", Err("duration \"18446744073709551616s\" is too long"));
        check("213503982334602d", Err("duration \"213503982334602d\" is too long"));
        check("213503982334601d24h", Err("duration \"213503982334601d24h\" is too long"));
    }

    #[test]
    fn seconds_are_written_in_the_largest_units() {
        assert_eq!(format(0), "0s");
        assert_eq!(format(59), "59s");
        assert_eq!(format(90), "1m30s");
        assert_eq!(format(5_400), "1h30m");
        assert_eq!(format(604_800), "7d");
        assert_eq!(format(90_061), "1d1h1m1s");
    }

    proptest! {
        #[test]
        fn what_is_written_is_read_back(seconds in prop_oneof![1u64.., 1u64..1_000_000]) {
            prop_assert_eq!(parse(&format(seconds)), Ok(seconds));
        }

        #[test]
        fn no_text_stops_the_parser(text in "\\PC*|[0-9smhd]{0,40}") {
            if let Ok(seconds) = parse(&text) {
                prop_assert!(seconds > 0);
                prop_assert_eq!(parse(&format(seconds)), Ok(seconds));
            }
        }
    }
}
