//! Moments, as they are on a clock and as they are from now.
use jiff::{SignedDuration, Timestamp};

use crate::domain::duration;

/// A moment to the second, UTC: `2026-11-21 05:20:11Z`.
pub fn absolute(at: Timestamp) -> String {
    at.strftime("%Y-%m-%d %H:%M:%SZ").to_string()
}

/// A span in its two largest units: `1d4h`, `12m30s`.
pub fn span(seconds: u64) -> String {
    let unit = match seconds {
        86_400.. => 3_600,
        3_600.. => 60,
        _ => 1,
    };
    duration::format(seconds - seconds % unit)
}

/// When something ends, as it is from now and on the clock; `never` where it does not.
pub fn until(at: Option<Timestamp>, now: Timestamp) -> String {
    let Some(at) = at else { return "never".to_owned() };
    let left = at.duration_since(now);
    if left.is_positive() {
        format!("in {} ({})", span(rounded(left)), absolute(at))
    } else {
        format!("over ({})", absolute(at))
    }
}

/// How long ago something was.
pub fn ago(at: Timestamp, now: Timestamp) -> String {
    let gone = now.duration_since(at);
    if gone < SignedDuration::from_secs(1) { "now".to_owned() } else { format!("{} ago", span(rounded(gone))) }
}

/// Whole seconds, the next above: what ends in half a second does not end in none.
fn rounded(span: SignedDuration) -> u64 {
    let seconds = u64::try_from(span.as_secs()).unwrap_or(0);
    if span.subsec_nanos() > 0 { seconds.saturating_add(1) } else { seconds }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(text: &str) -> Timestamp {
        text.parse().unwrap()
    }

    #[test]
    fn spans_keep_their_two_largest_units() {
        for (seconds, text) in [
            (0, "0s"),
            (59, "59s"),
            (750, "12m30s"),
            (3_600, "1h"),
            (5_432, "1h30m"),
            (90_061, "1d1h"),
            (604_800, "7d"),
        ] {
            assert_eq!(span(seconds), text);
        }
    }

    #[test]
    fn an_end_is_told_from_now_and_on_the_clock() {
        let now = at("2026-11-21T05:00:00.4Z");
        assert_eq!(until(Some(at("2026-11-21T05:15:00Z")), now), "in 15m (2026-11-21 05:15:00Z)");
        assert_eq!(until(Some(at("2026-11-21T05:00:00Z")), now), "over (2026-11-21 05:00:00Z)");
        assert_eq!(until(None, now), "never");
        assert_eq!(ago(at("2026-11-21T03:59:00Z"), now), "1h1m ago");
        assert_eq!(ago(now, now), "now");
    }
}
