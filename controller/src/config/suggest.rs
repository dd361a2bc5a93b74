//! What somebody may have meant.

/// Likeness from which a word is worth suggesting, by Jaro and Winkler: 1 is the same word.
const LIKE: f64 = 0.85;

/// The candidate most like `word`, if any is like it.
pub(super) fn nearest<'a>(word: &str, candidates: impl Iterator<Item = &'a str>) -> Option<&'a str> {
    let word = word.to_lowercase();
    let scored = candidates.map(|candidate| {
        let plain = candidate.to_lowercase();
        // A short word with two letters exchanged or one missing scores low and is yet the likeliest slip of all.
        let slip = plain.len() > 2 && strsim::damerau_levenshtein(&word, &plain) == 1;
        let score = if slip { 1.0 } else { strsim::jaro_winkler(&word, &plain) };
        (score, candidate)
    });
    let best = scored.fold(None, |best: Option<(f64, &str)>, next| match best {
        Some(best) if best.0 >= next.0 => Some(best),
        _ => Some(next),
    });
    best.filter(|(score, _)| *score >= LIKE).map(|(_, candidate)| candidate)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[track_caller]
    fn check(word: &str, expected: Option<&str>) {
        let known = ["packets_per_second", "burst", "dir", "interfaces", "max_addresses", "socket", "api"];
        assert_eq!(nearest(word, known.into_iter()), expected, "{word}");
    }

    #[test]
    fn slips_are_recognised_and_other_words_are_not() {
        check("packets_per_sec", Some("packets_per_second"));
        check("packets-per-second", Some("packets_per_second"));
        check("Burst", Some("burst"));
        check("brust", Some("burst"));
        check("dri", Some("dir"));
        check("interface", Some("interfaces"));
        check("max_addrs", Some("max_addresses"));
        check("socket_path", Some("socket"));
        check("apis", Some("api"));
        check("bytes_per_second", None);
        check("feeds", None);
        check("", None);
    }
}
