//! What is too much or past its time, and how bad a span was.
use jiff::Timestamp;

use super::{Class, Tally, ThreatLevel};

impl Tally {
    /// Up to which number records are to go, where there are more than `most` of them, or the first ones happened before
    /// `oldest`.
    pub fn over(&self, most: usize, oldest: Timestamp) -> Option<i64> {
        let too_many = self.len().saturating_sub(most);
        let part = self.columns.part(i64::MIN, Timestamp::MAX.as_microsecond());
        let rows = part.number.iter().zip(part.at).filter(|(_, at)| part.has(**at)).enumerate();
        rows.take_while(|(row, (_, at))| *row < too_many || **at < oldest.as_microsecond())
            .last()
            .map(|(_, (number, _))| *number)
    }

    /// How bad it was from `since` to `until`.
    pub fn threat_level(&self, since: Timestamp, until: Timestamp) -> ThreatLevel {
        let (mut failed, mut denied, mut limited) = (0, 0, 0);
        let part = self.columns.part(since.as_microsecond(), until.as_microsecond());
        for ((at, class), count) in part.at.iter().zip(part.class).zip(part.count) {
            let count = if part.has(*at) { u64::from(*count) } else { 0 };
            match class {
                Class::FailedSignIn => failed += count,
                Class::Denial => denied += count,
                Class::RateLimit => limited += count,
                _ => {}
            }
        }
        ThreatLevel::of(failed, denied, limited)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::domain::audit::Seen;

    fn at(second: i64) -> Timestamp {
        Timestamp::from_second(1_790_000_000 + second).unwrap()
    }

    fn tally(seconds: impl IntoIterator<Item = i64>) -> Tally {
        let mut tally = Tally::new();
        for (number, second) in (1..).zip(seconds) {
            tally.push(&Seen {
                number,
                at: at(second),
                class: Class::FailedSignIn,
                source: Some("192.0.2.7"),
                user: None,
                country: None,
                endpoint: None,
                count: 10,
            });
        }
        tally
    }

    #[test]
    fn what_is_too_much_or_past_its_time_goes_from_the_front() {
        for (most, oldest, expected) in [
            (10, 0, None),
            (3, 0, Some(2)),
            (10, 2, Some(2)),
            (4, 3, Some(3)),
            (10, 100, Some(5)),
            // A clock that was wrong holds nothing up for long: what came later goes once it is the first.
            (0, 0, Some(5)),
        ] {
            assert_eq!(tally(0..5).over(most, at(oldest)), expected, "{most} {oldest}");
        }
        assert_eq!(tally([]).over(0, at(0)), None);
    }

    #[test]
    fn a_span_is_as_bad_as_what_is_in_it() {
        let tally = tally(0..10);
        assert_eq!(tally.threat_level(at(0), at(9)), ThreatLevel::of(100, 0, 0));
        assert_eq!(tally.threat_level(at(0), at(2)), ThreatLevel::of(30, 0, 0));
        assert_eq!(tally.threat_level(at(50), at(90)), ThreatLevel::Low);
    }
}
