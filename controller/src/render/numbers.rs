//! Numbers short enough to compare at a glance, or whole where each one counts.

/// Factors of a thousand from the largest down, as SI names them.
const UNITS: [(f64, &str); 6] = [(1e18, " E"), (1e15, " P"), (1e12, " T"), (1e9, " G"), (1e6, " M"), (1e3, " k")];

/// A count of about two digits: `999`, `1.2 k`, `34 k`, `560 M`.
pub fn short(count: u64) -> String {
    #[expect(clippy::cast_precision_loss, reason = "two digits are shown")]
    rate(count as f64)
}

/// As [`short`], of something a second: below ten with one decimal.
pub fn rate(value: f64) -> String {
    if value < 999.5 {
        return if value > 0.0 && value < 9.95 && value.fract() != 0.0 {
            format!("{value:.1}")
        } else {
            format!("{value:.0}")
        };
    }
    // What would be rounded up to 1000 of a unit is one of the next.
    let (factor, unit) = UNITS.into_iter().find(|(factor, _)| value >= factor * 0.9995).unwrap_or((1e3, " k"));
    let scaled = value / factor;
    if scaled < 9.95 { format!("{scaled:.1}{unit}") } else { format!("{scaled:.0}{unit}") }
}

/// Bytes of traffic, in thousands as line rates are: `999 B`, `1.5 kB`.
pub fn bytes(count: u64) -> String {
    let text = short(count);
    if text.contains(' ') { format!("{text}B") } else { format!("{text} B") }
}

/// Bytes a second.
pub fn byte_rate(value: f64) -> String {
    let text = rate(value);
    if text.contains(' ') { format!("{text}B/s") } else { format!("{text} B/s") }
}

/// Bytes of memory, in powers of two: `512 KiB`, `1.5 GiB`.
pub fn memory(bytes: u64) -> String {
    #[expect(clippy::cast_precision_loss, reason = "two digits are shown")]
    let mut value = bytes as f64 / 1024.0;
    let mut unit = "KiB";
    for next in ["MiB", "GiB", "TiB"] {
        if value < 1023.5 {
            break;
        }
        value /= 1024.0;
        unit = next;
    }
    if value > 0.0 && value < 9.95 { format!("{value:.1} {unit}") } else { format!("{value:.0} {unit}") }
}

/// Every digit, in groups of three: `120,430`.
pub fn whole(count: u64) -> String {
    let digits = count.to_string();
    let mut text = String::with_capacity(digits.len() * 4 / 3);
    for (at, digit) in digits.chars().enumerate() {
        if at > 0 && (digits.len() - at).is_multiple_of(3) {
            text.push(',');
        }
        text.push(digit);
    }
    text
}

/// A count and its noun: `1 entry`, `3 entries`.
pub fn counted(count: u64, one: &str, many: &str) -> String {
    format!("{} {}", whole(count), if count == 1 { one } else { many })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn counts_keep_about_two_digits() {
        for (count, text) in [
            (0, "0"),
            (7, "7"),
            (999, "999"),
            (1_000, "1.0 k"),
            (1_234, "1.2 k"),
            (9_949, "9.9 k"),
            (9_950, "10 k"),
            (34_000, "34 k"),
            (999_499, "999 k"),
            (999_500, "1.0 M"),
            (1_200_000, "1.2 M"),
            (560_000_000, "560 M"),
            (7_000_000_000, "7.0 G"),
            (u64::MAX, "18 E"),
        ] {
            assert_eq!(short(count), text, "{count}");
        }
    }

    #[test]
    fn rates_have_a_decimal_where_it_says_something() {
        assert_eq!([0.0, 0.04, 0.5, 3.0, 9.96, 12.4, 999.7].map(rate), ["0", "0.0", "0.5", "3", "10", "12", "1.0 k"]);
        assert_eq!(byte_rate(1_500_000.0), "1.5 MB/s");
        assert_eq!(byte_rate(12.0), "12 B/s");
    }

    #[test]
    fn bytes_and_memory_have_units_of_their_own() {
        assert_eq!([0, 999, 1_500].map(bytes), ["0 B", "999 B", "1.5 kB"]);
        assert_eq!([0, 512 << 10, 1 << 20, 3 << 29].map(memory), ["0 KiB", "512 KiB", "1.0 MiB", "1.5 GiB"]);
    }

    #[test]
    fn whole_numbers_are_grouped() {
        assert_eq!([0, 999, 1_000, 120_430, 1_000_000].map(whole), ["0", "999", "1,000", "120,430", "1,000,000"]);
        assert_eq!(counted(1, "entry", "entries"), "1 entry");
        assert_eq!(counted(2_000, "entry", "entries"), "2,000 entries");
    }
}
