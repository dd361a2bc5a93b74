//! Times as logs write them.
use jiff::Timestamp;
use jiff::civil::DateTime;
use jiff::tz::{Offset, TimeZone};

/// Bytes of `21/Nov/2026:01:56:33 +0000`.
const CLF_BYTES: usize = 26;

/// Seconds that a time without a year may lie in the future of when it was heard: clocks differ.
const AHEAD_S: i64 = 2 * 86_400;

/// Reads times, and remembers the last one: most lines are of the same second as the one before.
#[derive(Clone, Debug, Default)]
pub(super) struct Times {
    clf: Option<([u8; CLF_BYTES], Timestamp)>,
    local: Option<(DateTime, TimeZone, Timestamp)>,
}

impl Times {
    /// `21/Nov/2026:01:56:33 +0000`; without an offset it is a time of `zone`.
    pub(super) fn clf(&mut self, text: &[u8], zone: &TimeZone) -> Option<Timestamp> {
        if let Some((known, time)) = &self.clf
            && known.as_slice() == text
        {
            return Some(*time);
        }
        let (date, after) = text.split_at_checked(20)?;
        let civil = day_month_year(date)?;
        let after = after.trim_ascii();
        if after.is_empty() {
            return self.of_zone(civil, zone);
        }
        let time = offset(after)?.to_timestamp(civil).ok()?;
        if let Ok(known) = <[u8; CLF_BYTES]>::try_from(text) {
            self.clf = Some((known, time));
        }
        Some(time)
    }

    /// `06/Feb/2009:12:14:14.655`, as HAProxy writes it.
    pub(super) fn clf_fraction(&mut self, text: &[u8], zone: &TimeZone) -> Option<Timestamp> {
        let (date, fraction) = text.split_at_checked(20)?;
        let civil = day_month_year(date)?;
        let time = self.of_zone(civil, zone)?;
        plus(time, nanoseconds(fraction)?)
    }

    /// `2026/11/21 01:56:33`, as nginx writes it in its error log.
    pub(super) fn slashes(&mut self, text: &[u8], zone: &TimeZone) -> Option<Timestamp> {
        let [year @ .., b'/', mo1, mo2, b'/', d1, d2, b' ', h1, h2, b':', mi1, mi2, b':', s1, s2] = text else {
            return None;
        };
        let clock = [*h1, *h2, b':', *mi1, *mi2, b':', *s1, *s2];
        let month = number(&[*mo1, *mo2])?;
        let civil = civil(number(year.get(..4).filter(|four| four.len() == year.len())?)?, month, &[*d1, *d2], &clock)?;
        self.of_zone(civil, zone)
    }

    /// `Sat Jul 20 21:34:49.453232 2013`, as Apache writes it in its error log.
    pub(super) fn apache_error(&mut self, text: &[u8], zone: &TimeZone) -> Option<Timestamp> {
        let mut words = text.split(|byte| *byte == b' ').filter(|word| !word.is_empty());
        let weekday = words.next()?;
        if weekday.len() != 3 {
            return None;
        }
        let (name, day, clock, year) = (words.next()?, words.next()?, words.next()?, words.next()?);
        let (clock, fraction) = clock.split_at_checked(8)?;
        let civil = civil(number(year)?, month(name)?, day, clock)?;
        let time = self.of_zone(civil, zone)?;
        plus(time, nanoseconds(fraction)?)
    }

    /// `Nov 21 01:56:33`, as syslog writes it: the year is the one that brings it nearest before `received`.
    pub(super) fn syslog(&mut self, text: &[u8], received: Timestamp, zone: &TimeZone) -> Option<Timestamp> {
        let (name, rest) = text.split_at_checked(3)?;
        let (day, clock) = (rest.get(1..3)?, rest.get(4..)?);
        let month = month(name)?;
        let year = received.to_zoned(zone.clone()).year();
        // The 29th of February is a day of a leap year only, so a year may have no such time.
        (0..=8).find_map(|back| {
            let civil = civil(i64::from(year) + 1 - back, month, day, clock)?;
            let time = self.of_zone(civil, zone)?;
            (time.as_second() <= received.as_second().saturating_add(AHEAD_S)).then_some(time)
        })
    }

    /// `2026-11-21T01:56:33.123+00:00`; without an offset it is a time of `zone`. A space or `T`, a comma or a dot.
    pub(super) fn iso(&mut self, text: &[u8], zone: &TimeZone) -> Option<Timestamp> {
        let text = str::from_utf8(text).ok().filter(|text| text.len() <= 40)?;
        if let Ok(time) = text.parse::<Timestamp>() {
            return Some(time);
        }
        let dotted = text.replace(',', ".");
        if let Ok(time) = dotted.parse::<Timestamp>() {
            return Some(time);
        }
        let civil = dotted.parse::<DateTime>().ok()?;
        self.of_zone(civil, zone)
    }

    /// Any of the others, or seconds since the epoch: for patterns, which name a time without saying how it is written.
    pub(super) fn any(&mut self, text: &[u8], received: Timestamp, zone: &TimeZone) -> Option<Timestamp> {
        self.clf(text, zone)
            .or_else(|| self.clf_fraction(text, zone))
            .or_else(|| self.slashes(text, zone))
            .or_else(|| self.apache_error(text, zone))
            .or_else(|| self.iso(text, zone))
            .or_else(|| epoch(str::from_utf8(text).ok()?.parse().ok()?))
            .or_else(|| self.syslog(text, received, zone))
    }

    fn of_zone(&mut self, civil: DateTime, zone: &TimeZone) -> Option<Timestamp> {
        if let Some((known, of, time)) = &self.local
            && *known == civil
            && of == zone
        {
            return Some(*time);
        }
        // An hour that a change of the clocks skips or repeats has a time all the same.
        let time = zone.to_ambiguous_zoned(civil).compatible().ok()?.timestamp();
        self.local = Some((civil, zone.clone(), time));
        Some(time)
    }
}

/// Seconds since the epoch, or milliseconds where there are too many of them.
pub(super) fn epoch(number: f64) -> Option<Timestamp> {
    /// Seconds of the year 5138, milliseconds of 1973.
    const TOO_MANY: f64 = 1e11;
    let seconds = if number.abs() >= TOO_MANY { number / 1_000.0 } else { number };
    let duration = jiff::SignedDuration::try_from_secs_f64(seconds).ok()?;
    Timestamp::from_duration(duration).ok()
}

/// `21/Nov/2026:01:56:33`.
fn day_month_year(text: &[u8]) -> Option<DateTime> {
    let [d1, d2, b'/', n1, n2, n3, b'/', y1, y2, y3, y4, b':', clock @ ..] = text else { return None };
    civil(number(&[*y1, *y2, *y3, *y4])?, month(&[*n1, *n2, *n3])?, &[*d1, *d2], clock)
}

/// A day with `01:56:33`. A leap second is the one before it.
fn civil(year: i64, month: i64, day: &[u8], clock: &[u8]) -> Option<DateTime> {
    let [h1, h2, b':', m1, m2, b':', s1, s2] = clock else { return None };
    let small = |number: i64| i8::try_from(number).ok();
    let (hour, minute) = (small(number(&[*h1, *h2])?)?, small(number(&[*m1, *m2])?)?);
    let second = small(number(&[*s1, *s2])?.min(59))?;
    let day = small(number(day.trim_ascii_start())?)?;
    DateTime::new(i16::try_from(year).ok()?, small(month)?, day, hour, minute, second, 0).ok()
}

/// `+0000`, `+00:00` or `Z`.
fn offset(text: &[u8]) -> Option<Offset> {
    let (sign, h, m) = match text {
        b"Z" => return Some(Offset::UTC),
        [sign, h1, h2, m1, m2] | [sign, h1, h2, b':', m1, m2] => (sign, number(&[*h1, *h2])?, number(&[*m1, *m2])?),
        _ => return None,
    };
    let seconds = i32::try_from(h * 3_600 + m * 60).ok().filter(|_| h < 24 && m < 60)?;
    match sign {
        b'+' => Offset::from_seconds(seconds).ok(),
        b'-' => Offset::from_seconds(-seconds).ok(),
        _ => None,
    }
}

fn month(name: &[u8]) -> Option<i64> {
    const NAMES: [&[u8]; 12] =
        [b"Jan", b"Feb", b"Mar", b"Apr", b"May", b"Jun", b"Jul", b"Aug", b"Sep", b"Oct", b"Nov", b"Dec"];
    let at = NAMES.iter().position(|known| *known == name)?;
    i64::try_from(at + 1).ok()
}

/// A decimal number of at most nine digits and nothing else.
fn number(text: &[u8]) -> Option<i64> {
    if text.is_empty() || text.len() > 9 || !text.iter().all(u8::is_ascii_digit) {
        return None;
    }
    Some(text.iter().fold(0, |number, digit| number * 10 + i64::from(digit - b'0')))
}

/// `.453232`, or nothing.
fn nanoseconds(text: &[u8]) -> Option<i64> {
    let Some((dot, digits)) = text.split_first() else { return Some(0) };
    let digits = digits.get(..9).unwrap_or(digits);
    let missing = 9 - u32::try_from(digits.len()).ok()?;
    (*dot == b'.').then_some(number(digits)?.checked_mul(10_i64.pow(missing))?)
}

fn plus(time: Timestamp, nanoseconds: i64) -> Option<Timestamp> {
    time.checked_add(jiff::SignedDuration::from_nanos(nanoseconds)).ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(text: &str) -> Timestamp {
        text.parse().unwrap()
    }

    #[test]
    fn times_are_read_in_every_way_logs_write_them() {
        let mut times = Times::default();
        let zone = TimeZone::fixed(Offset::constant(1));
        let received = at("2026-01-02T00:00:00Z");
        for (text, expected) in [
            ("21/Nov/2026:01:56:33 +0000", Some("2026-11-21T01:56:33Z")),
            ("21/Nov/2026:01:56:33 +0000", Some("2026-11-21T01:56:33Z")),
            ("21/Nov/2026:01:56:33 -0230", Some("2026-11-21T04:26:33Z")),
            ("31/Jan/2015:14:29:44 ", Some("2015-01-31T13:29:44Z")),
            ("27/Jun/2013:11:55:44", Some("2013-06-27T10:55:44Z")),
            ("06/Feb/2009:12:14:14.655", Some("2009-02-06T11:14:14.655Z")),
            ("2026/11/21 01:56:33", Some("2026-11-21T00:56:33Z")),
            ("Sat Jul 20 21:34:49.453232 2013", Some("2013-07-20T20:34:49.453232Z")),
            ("Sat Jun  1 02:17:42 2013", Some("2013-06-01T01:17:42Z")),
            ("Jan  2 00:56:33", Some("2026-01-01T23:56:33Z")),
            ("Dec 31 23:56:33", Some("2025-12-31T22:56:33Z")),
            ("Feb 29 12:00:00", Some("2024-02-29T11:00:00Z")),
            ("2026-11-21T01:56:33.5+02:00", Some("2026-11-20T23:56:33.5Z")),
            ("2026-11-21 01:56:33,123", Some("2026-11-21T00:56:33.123Z")),
            ("1700000000.5", Some("2023-11-14T22:13:20.5Z")),
            ("1700000000500", Some("2023-11-14T22:13:20.5Z")),
            ("31/Dec/2016:23:59:60 +0000", Some("2016-12-31T23:59:59Z")),
            ("31/Feb/2026:01:56:33 +0000", None),
            ("21/Nov/2026:25:56:33 +0000", None),
            ("21/Nov/2026:01:56:33 +9900", None),
            ("21/Nov/2026:01:56:33 0000", None),
            ("21/Nov/20261:01:56:33", None),
            ("1e400", None),
            ("nan", None),
            ("", None),
            ("-", None),
        ] {
            assert_eq!(times.any(text.as_bytes(), received, &zone), expected.map(at), "{text}");
        }
    }
}
