//! STIX 2.1 bundles and TAXII 2.1 envelopes: indicators whose pattern is one address or prefix.
use jiff::Timestamp;
use rstix::Pattern;
use serde::de::MapAccess;

use super::Item;
use super::arrays::close;
use super::collect::{Collector, RecordError};
use super::json::{Records, Scalar, Walk, Walker, document, pass_by};
use super::prefix::{self, Taken};

pub(super) fn read(bytes: &[u8], sink: &mut Collector<'_>) {
    let mut bundle = Bundle { sink, found: false };
    let read = document(bytes, &mut bundle);
    let found = bundle.found;
    close(read, found, bytes, "no array \"objects\"", sink);
}

struct Bundle<'s, 'c> {
    sink: &'s mut Collector<'c>,
    found: bool,
}

impl<'de> Walker<'de> for Bundle<'_, '_> {
    fn member<A: MapAccess<'de>>(&mut self, name: &str, map: &mut A) -> Result<(), A::Error> {
        if name != "objects" {
            return pass_by(map);
        }
        let sink = &mut *self.sink;
        let names = ["type", "pattern", "pattern_type", "revoked", "valid_from", "valid_until", "confidence"];
        let mut records = Records::new(names, |record: Option<&[Scalar<'_>; 7]>| object(record, sink));
        map.next_value_seed(Walk(&mut records))?;
        self.found |= records.found;
        Ok(())
    }
}

/// Takes an indicator; the other objects say nothing that can be denied.
fn object(record: Option<&[Scalar<'_>; 7]>, sink: &mut Collector<'_>) {
    sink.begin();
    let Some([kind, pattern, language, revoked, from, until, confidence]) = record else {
        return sink.reject(b"", RecordError::Syntax("not an object"));
    };
    if kind.text() != Some("indicator") {
        return sink.skip();
    }
    if revoked.is_true() {
        return sink.pass_over("revoked");
    }
    let shown = pattern.text().unwrap_or_default();
    let for_s = match (left(from, sink.reading.now), left(until, sink.reading.now)) {
        (Ok(Some(1..)), Ok(_)) => return sink.pass_over("early"),
        (Ok(_), Ok(Some(..=0))) => return sink.pass_over("expired"),
        (Ok(_), Ok(until)) => until.and_then(|seconds| u64::try_from(seconds).ok()),
        (Err(error), _) | (_, Err(error)) => return sink.reject(shown.as_bytes(), error),
    };
    if !(language.is_none() || language.text() == Some("stix")) {
        return sink.reject(shown.as_bytes(), RecordError::Kind("its pattern is not written in STIX patterning"));
    }
    match address(pattern) {
        Ok(Taken { prefix, normalised }) => {
            let score = confidence.number().and_then(|score| u32::try_from(score).ok());
            sink.item(&Item { prefix, normalised, score, for_s }, shown.as_bytes());
        }
        Err(error) => sink.reject(shown.as_bytes(), error),
    }
}

/// Seconds from now to a moment; `None` where none is given.
fn left(moment: &Scalar<'_>, now: Timestamp) -> Result<Option<i64>, RecordError> {
    if moment.is_none() {
        return Ok(None);
    }
    let moment: Option<Timestamp> = moment.text().and_then(|text| text.parse().ok());
    let moment = moment.ok_or(RecordError::Syntax("valid_from or valid_until is not a time"))?;
    Ok(Some(moment.as_second().saturating_sub(now.as_second())))
}

/// The address or prefix that the whole pattern is.
fn address(pattern: &Scalar<'_>) -> Result<Taken, RecordError> {
    const OTHER: RecordError =
        RecordError::Kind("not one comparison of ipv4-addr:value or ipv6-addr:value by = or ISSUBSET");
    let pattern = pattern.text().ok_or(RecordError::Syntax("an indicator without a text \"pattern\""))?;
    let pattern = Pattern::parse(pattern).ok().ok_or(RecordError::Syntax("the pattern is not STIX patterning"))?;
    // There is one way to write a parsed pattern. What stands between the quotes is an address, so no quote ends it
    // early and nothing else is said.
    let pattern = pattern.canonical();
    let whole = pattern.strip_prefix('[').and_then(|rest| rest.strip_suffix("']")).ok_or(OTHER)?;
    let (is_v6, rest) = match (whole.strip_prefix("ipv4-addr:value "), whole.strip_prefix("ipv6-addr:value ")) {
        (Some(rest), _) => (false, rest),
        (_, Some(rest)) => (true, rest),
        _ => return Err(OTHER),
    };
    let text = rest.strip_prefix("= '").or_else(|| rest.strip_prefix("ISSUBSET '")).ok_or(OTHER)?;
    if text.contains('\'') {
        return Err(OTHER);
    }
    if text.contains(':') != is_v6 {
        return Err(RecordError::Syntax("an address of the other family"));
    }
    Ok(prefix::take(text.as_bytes())?)
}
