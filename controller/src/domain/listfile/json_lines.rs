//! Spamhaus DROP and ASN-DROP: a JSON object a line. The last one says how many there are, so a file that was cut
//! shows.
use super::collect::{Collector, RecordError};
use super::json::{Fields, Scalar, document};
use super::{prefix, text};

pub(super) fn drop(bytes: &[u8], sink: &mut Collector<'_>) {
    read(bytes, "cidr", sink, |value, line, sink| match value.text() {
        Some(cidr) => match prefix::take(cidr.as_bytes()) {
            Ok(taken) => sink.take(taken, line),
            Err(error) => sink.reject(line, error.into()),
        },
        None => sink.reject(line, RecordError::Syntax("not an object with the text \"cidr\"")),
    });
}

pub(super) fn asn_drop(bytes: &[u8], sink: &mut Collector<'_>) {
    read(bytes, "asn", sink, |value, line, sink| match value.number().map(u32::try_from) {
        // 0 is reserved (RFC 7607): a network number that is missing.
        Some(Ok(asn)) if asn > 0 => sink.asn(asn),
        Some(_) => sink.reject(line, RecordError::Syntax("\"asn\" is not between 1 and 4294967295")),
        None => sink.reject(line, RecordError::Syntax("not an object with the number \"asn\"")),
    });
}

fn read(bytes: &[u8], key: &'static str, sink: &mut Collector<'_>, take: fn(&Scalar<'_>, &[u8], &mut Collector<'_>)) {
    // Whether the last object was the metadata.
    let mut closed = false;
    for line in text::lines(bytes) {
        sink.begin();
        let record = match text::data(line) {
            Ok([] | [b'#', ..]) => {
                sink.skip();
                continue;
            }
            Ok(record) => record,
            Err(error) => {
                sink.reject(line, error);
                continue;
            }
        };
        let mut fields = Fields::new([key, "type", "records"]);
        closed = false;
        if document(record, &mut fields).is_err() || !fields.is_object {
            sink.reject(line, RecordError::Syntax("not a JSON object"));
            continue;
        }
        let [value, kind, records] = &fields.values;
        if kind.text() == Some("metadata") {
            closed = true;
            if let Some(records) = records.number() {
                sink.declare(records);
            }
            sink.skip();
        } else {
            take(value, line, sink);
        }
    }
    if !closed {
        sink.unfit("cut off: the metadata that ends such a list is missing");
    }
}
