//! Durations as Go writes them: `9m59.017219087s`, `-16.793187ms`, `167h59m58s`, `0s`.

const NANOS_PER_SECOND: i128 = 1_000_000_000;

/// Longest text that is looked at; Go writes at most 25 characters.
const LONGEST: usize = 64;

/// Why a text is not a duration.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum GoDurationError {
    /// Nothing stands where numbers should.
    #[error("not a duration")]
    Empty,
    /// Longer than any duration.
    #[error("longer than {LONGEST} bytes, which no duration is")]
    TooLong,
    /// A number is missing before a unit.
    #[error("a number is wanted before a unit")]
    NoNumber,
    /// A unit is missing or unknown.
    #[error("a number must have a unit: h, m, s, ms, us or ns")]
    NoUnit,
    /// More than Go's type can hold (292 years).
    #[error("longer than 292 years")]
    OutOfRange,
}

/// Seconds of a Go duration, rounded up: what is to end in 0.2 s is not over yet. Negative: over since so long.
///
/// All of the text must be understood. A sum of numbers with their units, each possibly with a fraction; one sign
/// before all of it; `0` alone needs no unit. That is all that Go itself reads, and no more than its type holds.
///
/// # Errors
/// [`GoDurationError`].
pub fn parse(text: &str) -> Result<i64, GoDurationError> {
    if text.len() > LONGEST {
        return Err(GoDurationError::TooLong);
    }
    let (negative, mut rest) = match text.as_bytes() {
        [b'-', rest @ ..] => (true, rest),
        [b'+', rest @ ..] | rest => (false, rest),
    };
    match rest {
        [] => return Err(GoDurationError::Empty),
        b"0" => return Ok(0),
        _ => {}
    }
    let mut nanos = 0i128;
    while !rest.is_empty() {
        let (part, after) = part(rest)?;
        // Each part is at most a few times 10^31, and there are at most 64: no overflow, and none unnoticed.
        nanos = nanos.checked_add(part).ok_or(GoDurationError::OutOfRange)?;
        rest = after;
    }
    let most = i128::from(i64::MAX) + i128::from(negative);
    if nanos > most {
        return Err(GoDurationError::OutOfRange);
    }
    let seconds =
        if negative { -(nanos / NANOS_PER_SECOND) } else { (nanos + NANOS_PER_SECOND - 1) / NANOS_PER_SECOND };
    i64::try_from(seconds).ok().ok_or(GoDurationError::OutOfRange)
}

/// Nanoseconds of one number with its unit, and what stands behind. Below a nanosecond counts as one.
fn part(text: &[u8]) -> Result<(i128, &[u8]), GoDurationError> {
    let (whole, rest) = digits(text);
    let (fraction, rest) = match rest {
        [b'.', rest @ ..] => digits(rest),
        rest => (&[][..], rest),
    };
    if whole.is_empty() && fraction.is_empty() {
        return Err(GoDurationError::NoNumber);
    }
    let (unit, rest) = unit(rest)?;
    let whole = number(whole).and_then(|whole| whole.checked_mul(unit)).ok_or(GoDurationError::OutOfRange)?;
    Ok((whole.checked_add(of_unit(fraction, unit)).ok_or(GoDurationError::OutOfRange)?, rest))
}

fn digits(text: &[u8]) -> (&[u8], &[u8]) {
    text.split_at(text.iter().take_while(|b| b.is_ascii_digit()).count())
}

fn number(digits: &[u8]) -> Option<i128> {
    digits.iter().try_fold(0i128, |sum, digit| sum.checked_mul(10)?.checked_add(i128::from(digit - b'0')))
}

/// The unit's nanoseconds, and what stands behind it. The longer names come first.
fn unit(text: &[u8]) -> Result<(i128, &[u8]), GoDurationError> {
    const UNITS: [(&[u8], i128); 8] = [
        (b"ns", 1),
        (b"us", 1_000),
        // The sign for micro has two characters, U+00B5 and U+03BC.
        ("\u{b5}s".as_bytes(), 1_000),
        ("\u{3bc}s".as_bytes(), 1_000),
        (b"ms", 1_000_000),
        (b"s", NANOS_PER_SECOND),
        (b"m", 60 * NANOS_PER_SECOND),
        (b"h", 3_600 * NANOS_PER_SECOND),
    ];
    let found = UNITS.iter().find_map(|(name, nanos)| Some((*nanos, text.strip_prefix(*name)?)));
    found.ok_or(GoDurationError::NoUnit)
}

/// The fraction of a unit in nanoseconds, rounded up. Digits beyond the sixteenth only round.
fn of_unit(fraction: &[u8], unit: i128) -> i128 {
    const LOOKED_AT: usize = 16;
    let kept = fraction.get(..LOOKED_AT).unwrap_or(fraction);
    let more = fraction.iter().skip(LOOKED_AT).any(|digit| *digit != b'0');
    // What is cut off counts as one more of the last digit that is looked at.
    let (mut value, mut scale) = (i128::from(more), 1i128);
    for digit in kept.iter().rev() {
        value += i128::from(digit - b'0') * scale;
        scale *= 10;
    }
    (value * unit + scale - 1) / scale
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    /// As Go's `Duration.String` writes it.
    fn go(nanos: i64) -> String {
        let sign = if nanos < 0 { "-" } else { "" };
        let n = nanos.unsigned_abs();
        let fraction = |whole: u64, rest: u64, width: usize| {
            let text = format!("{whole}.{rest:0width$}");
            text.trim_end_matches('0').trim_end_matches('.').to_owned()
        };
        match n {
            0 => "0s".to_owned(),
            1..1_000 => format!("{sign}{n}ns"),
            1_000..1_000_000 => format!("{sign}{}\u{b5}s", fraction(n / 1_000, n % 1_000, 3)),
            1_000_000..1_000_000_000 => format!("{sign}{}ms", fraction(n / 1_000_000, n % 1_000_000, 6)),
            _ => {
                let (all, rest) = (n / 1_000_000_000, n % 1_000_000_000);
                let (hours, minutes, seconds) = (all / 3_600, all / 60 % 60, all % 60);
                let seconds = fraction(seconds, rest, 9);
                match (hours, minutes) {
                    (0, 0) => format!("{sign}{seconds}s"),
                    (0, _) => format!("{sign}{minutes}m{seconds}s"),
                    _ => format!("{sign}{hours}h{minutes}m{seconds}s"),
                }
            }
        }
    }

    #[track_caller]
    fn check(text: &str, expected: Result<i64, GoDurationError>) {
        assert_eq!(parse(text), expected, "{text:?}");
    }

    #[test]
    fn what_servers_send_is_read() {
        check("9m59.017219087s", Ok(600));
        check("-16.793187ms", Ok(0));
        check("-2.000000001s", Ok(-2));
        check("1h", Ok(3_600));
        check("167h59m58s", Ok(604_798));
        check("0s", Ok(0));
        check("0", Ok(0));
        check("1ns", Ok(1));
        check("999\u{b5}s", Ok(1));
        check("999\u{3bc}s", Ok(1));
        check("1500ms", Ok(2));
        check(".5s", Ok(1));
        check("5.s", Ok(5));
        check("+1.0s", Ok(1));
        check("1s1h", Ok(3_601));
        check("0.00000000000000000001s", Ok(1));
        check("2562047h47m16.854775807s", Ok(9_223_372_037));
        check("-2562047h47m16.854775808s", Ok(-9_223_372_036));
    }

    #[test]
    fn what_is_not_understood_is_refused() {
        check("", Err(GoDurationError::Empty));
        check("-", Err(GoDurationError::Empty));
        check("4", Err(GoDurationError::NoUnit));
        check("00", Err(GoDurationError::NoUnit));
        check("1d", Err(GoDurationError::NoUnit));
        check("1h30", Err(GoDurationError::NoUnit));
        check("h", Err(GoDurationError::NoNumber));
        check(".s", Err(GoDurationError::NoNumber));
        check("1h-1m", Err(GoDurationError::NoNumber));
        check(" 1h", Err(GoDurationError::NoNumber));
        check("1h ", Err(GoDurationError::NoNumber));
        check("--1h", Err(GoDurationError::NoNumber));
        check("\u{661}s", Err(GoDurationError::NoNumber));
        check("1e3s", Err(GoDurationError::NoUnit));
        check("2562047h47m16.854775808s", Err(GoDurationError::OutOfRange));
        check("99999999999999999999999999999999999999999999999999s", Err(GoDurationError::OutOfRange));
        check(&"1h".repeat(40), Err(GoDurationError::TooLong));
    }

    proptest! {
        #[test]
        fn whatever_go_writes_is_read_rounded_up(nanos in prop_oneof![any::<i64>(), -3_000_000_000i64..3_000_000_000]) {
            let wanted = i128::from(nanos).div_euclid(NANOS_PER_SECOND) + i128::from(nanos.rem_euclid(1_000_000_000) != 0);
            prop_assert_eq!(parse(&go(nanos)).map(i128::from), Ok(wanted));
        }

        #[test]
        fn no_text_stops_the_parser(text in "\\PC*|[-+0-9.hmsun\u{b5}]{0,70}") {
            if let Ok(seconds) = parse(&text) {
                prop_assert!((-9_223_372_036..=9_223_372_037).contains(&seconds));
            }
        }
    }
}
