//! JSON documents with one array of flat records: Feodo Tracker and AbuseIPDB.
use serde::de::{MapAccess, SeqAccess};

use super::collect::{Collector, RecordError};
use super::json::{Records, Scalar, Walk, Walker, document, pass_by, without_records};
use super::{Item, prefix};

/// An array of objects with `ip_address`. An empty one is in order: the tracker often follows nobody.
pub(super) fn feodo(bytes: &[u8], sink: &mut Collector<'_>) {
    let mut records = Records::new(["ip_address"], |record: Option<&[Scalar<'_>; 1]>| {
        sink.begin();
        match record.and_then(|[address]| address.text()) {
            Some(address) => address_of(address, None, sink),
            None => sink.reject(b"", RecordError::Syntax("not an object with the text \"ip_address\"")),
        }
    });
    let read = document(bytes, &mut records);
    let found = records.found;
    close(read, found, bytes, "no array of objects with \"ip_address\"", sink);
}

/// An object whose `data` is an array of objects with `ipAddress` and `abuseConfidenceScore`.
pub(super) fn abuseipdb(bytes: &[u8], sink: &mut Collector<'_>) {
    let mut list = Blacklist { sink, found: false };
    let read = document(bytes, &mut list);
    let found = list.found;
    close(read, found, bytes, "no array \"data\"", sink);
}

struct Blacklist<'s, 'c> {
    sink: &'s mut Collector<'c>,
    found: bool,
}

impl<'de> Walker<'de> for Blacklist<'_, '_> {
    fn member<A: MapAccess<'de>>(&mut self, name: &str, map: &mut A) -> Result<(), A::Error> {
        if name != "data" {
            return pass_by(map);
        }
        let sink = &mut *self.sink;
        let names = ["ipAddress", "abuseConfidenceScore"];
        let mut records = Records::new(names, |record: Option<&[Scalar<'_>; 2]>| {
            sink.begin();
            let Some([address, score]) = record else {
                return sink.reject(b"", RecordError::Syntax("not an object"));
            };
            let Some(address) = address.text() else {
                return sink.reject(b"", RecordError::Syntax("no text \"ipAddress\""));
            };
            match score.number().and_then(|score| u32::try_from(score).ok()).filter(|score| *score <= 100) {
                Some(score) => address_of(address, Some(score), sink),
                None => sink.reject(
                    address.as_bytes(),
                    RecordError::Syntax("\"abuseConfidenceScore\" is not between 0 and 100"),
                ),
            }
        });
        map.next_value_seed(Walk(&mut records))?;
        self.found |= records.found;
        Ok(())
    }

    fn element<A: SeqAccess<'de>>(&mut self, seq: &mut A) -> Result<bool, A::Error> {
        Ok(seq.next_element::<serde::de::IgnoredAny>()?.is_some())
    }
}

/// Hands on a record's address.
fn address_of(address: &str, score: Option<u32>, sink: &mut Collector<'_>) {
    match prefix::take(address.as_bytes()) {
        Ok(taken) => {
            let item = Item { prefix: taken.prefix, normalised: taken.normalised, score, for_s: None };
            sink.item(&item, address.as_bytes());
        }
        Err(error) => sink.reject(address.as_bytes(), error.into()),
    }
}

/// Says what is wrong with the document as a whole.
pub(super) fn close(read: Result<(), String>, found: bool, bytes: &[u8], missing: &str, sink: &mut Collector<'_>) {
    match read {
        Err(error) => sink.unfit(error),
        Ok(()) if !found => sink.unfit(without_records(bytes, missing)),
        Ok(()) => {}
    }
}
