//! MISP events: attributes of the event and of its objects.
use serde::de::{MapAccess, SeqAccess};

use super::Item;
use super::arrays::close;
use super::collect::{Collector, RecordError};
use super::json::{Records, Scalar, Walk, Walker, document, pass_by};
use super::prefix;
use super::text::number;

/// An event as a feed has it (`{"Event":{…}}`), or the answer of a search (`{"response":…}`).
pub(super) fn read(bytes: &[u8], sink: &mut Collector<'_>) {
    let mut event = Event { sink, found: false };
    let read = document(bytes, &mut event);
    let found = event.found;
    close(read, found, bytes, "no MISP event and no attributes", sink);
}

struct Event<'s, 'c> {
    sink: &'s mut Collector<'c>,
    found: bool,
}

impl<'de> Walker<'de> for Event<'_, '_> {
    fn member<A: MapAccess<'de>>(&mut self, name: &str, map: &mut A) -> Result<(), A::Error> {
        match name {
            "Event" => {
                self.found = true;
                map.next_value_seed(Walk(self))
            }
            // Proposals of others ("ShadowAttribute") and related events are not what the event says.
            "response" | "Object" => map.next_value_seed(Walk(self)),
            "Attribute" => {
                let sink = &mut *self.sink;
                let names = ["type", "value", "to_ids", "deleted"];
                let mut records = Records::new(names, |record: Option<&[Scalar<'_>; 4]>| attribute(record, sink));
                map.next_value_seed(Walk(&mut records))?;
                self.found |= records.found;
                Ok(())
            }
            _ => pass_by(map),
        }
    }

    fn element<A: SeqAccess<'de>>(&mut self, seq: &mut A) -> Result<bool, A::Error> {
        Ok(seq.next_element_seed(Walk(self))?.is_some())
    }
}

/// Takes an attribute that is an address and meant for detection (`to_ids`); the others are for people.
fn attribute(record: Option<&[Scalar<'_>; 4]>, sink: &mut Collector<'_>) {
    sink.begin();
    let Some([kind, value, to_ids, deleted]) = record else {
        return sink.reject(b"", RecordError::Syntax("an attribute that is no object"));
    };
    let with_port = match kind.text() {
        Some("ip-src" | "ip-dst") => false,
        Some("ip-src|port" | "ip-dst|port") => true,
        _ => return sink.skip(),
    };
    if !to_ids.is_true() || deleted.is_true() {
        return sink.skip();
    }
    let Some(value) = value.text() else {
        return sink.reject(b"", RecordError::Syntax("an attribute without a text \"value\""));
    };
    let address = match (with_port, value.split_once('|')) {
        (false, _) => value,
        (true, Some((address, port))) if number(port.as_bytes()).is_some_and(|port| port <= 65_535) => address,
        (true, _) => return sink.reject(value.as_bytes(), RecordError::Syntax("not an address, a | and a port")),
    };
    match prefix::take(address.as_bytes()) {
        Ok(taken) => {
            let item = Item { prefix: taken.prefix, normalised: taken.normalised, score: None, for_s: None };
            sink.item(&item, value.as_bytes());
        }
        Err(error) => sink.reject(value.as_bytes(), error.into()),
    }
}
