//! Countries, continents and autonomous systems: what the databases say of an address, and the lists that rules make
//! of it.
mod country;
mod layer;
mod rules;
mod selector;
mod space;

use std::collections::BTreeMap;
use std::net::IpAddr;
use std::num::NonZeroU32;
use std::sync::Arc;

use serde::{Serialize, Serializer};

pub use self::country::{Continent, CountryCode, CountryError};
pub use self::layer::{Layer, Range, RangeError};
pub use self::rules::{GeoList, Rules, RulesError, Unknown, absent, lists};
pub use self::selector::{Selector, SelectorError};
pub use self::space::{Space, special_purpose};

/// Number of an autonomous system; 0 is none.
pub type Asn = NonZeroU32;

/// What the databases say of every address. Cloning shares the memory.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Table {
    /// Countries.
    pub countries: Layer<CountryCode>,
    /// Autonomous systems.
    pub networks: Layer<Asn>,
    /// Names of autonomous systems.
    pub names: Names,
}

/// Names of autonomous systems, by number. Cloning shares the memory.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Names(Arc<BTreeMap<Asn, Arc<str>>>);

impl Names {
    /// Of each system the first name given.
    pub fn new(names: impl IntoIterator<Item = (Asn, Arc<str>)>) -> Self {
        let mut all = BTreeMap::new();
        for (asn, name) in names {
            all.entry(asn).or_insert(name);
        }
        Self(Arc::new(all))
    }

    /// The name of a system.
    pub fn get(&self, asn: Asn) -> Option<&Arc<str>> {
        self.0.get(&asn)
    }

    /// How many there are.
    pub fn len(&self) -> usize {
        self.0.len()
    }

    /// Whether there are none.
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }
}

/// Where an address belongs, as far as the databases know.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize)]
pub struct Place {
    /// Its country.
    pub country: Option<CountryCode>,
    /// The continent of that country.
    pub continent: Option<Continent>,
    /// The autonomous system that announces it.
    pub asn: Option<u32>,
    /// That system's name.
    #[serde(serialize_with = "text")]
    pub as_name: Option<Arc<str>>,
}

#[expect(clippy::ref_option, reason = "the shape serde calls it with")]
fn text<S: Serializer>(name: &Option<Arc<str>>, serializer: S) -> Result<S::Ok, S::Error> {
    name.as_deref().serialize(serializer)
}

/// A database that knows far less than the one before it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error(
    "it covers {now} IPv4 addresses with {what}, where the one in force covers {before}; weir wants half as many at least"
)]
pub struct Shrunk {
    /// Countries or autonomous systems.
    pub what: &'static str,
    /// IPv4 addresses in force.
    pub before: u64,
    /// IPv4 addresses of the new one.
    pub now: u64,
}

impl Table {
    /// What is known of an address. An IPv4-mapped IPv6 address is the IPv4 address.
    pub fn place(&self, address: IpAddr) -> Place {
        let country = self.countries.get(address);
        let asn = self.networks.get(address);
        Place {
            country,
            continent: country.and_then(CountryCode::continent),
            asn: asn.map(Asn::get),
            as_name: asn.and_then(|asn| self.names.get(asn)).cloned(),
        }
    }

    /// Whether less than half of the IPv4 addresses that `before` knew are known: a cut or wrong file, most likely.
    ///
    /// # Errors
    /// [`Shrunk`] with both numbers.
    pub fn follows(&self, before: &Self) -> Result<(), Shrunk> {
        let counts = [
            ("countries", before.countries.known_v4(), self.countries.known_v4()),
            ("autonomous systems", before.networks.known_v4(), self.networks.known_v4()),
        ];
        for (what, before, now) in counts {
            if now < before / 2 {
                return Err(Shrunk { what, before, now });
            }
        }
        Ok(())
    }

    /// Bytes of memory it takes, names aside from their text not counted.
    pub fn bytes(&self) -> usize {
        let names = self.names.0.values().map(|name| name.len() + size_of::<(Asn, Arc<str>)>());
        self.countries.bytes() + self.networks.bytes() + names.sum::<usize>()
    }
}

#[cfg(test)]
mod tests {
    use ipnet::IpNet;

    use super::*;

    fn countries(rows: &[(&str, &str)]) -> Layer<CountryCode> {
        let parse = |(prefix, code): &(&str, &str)| {
            (Range::from(prefix.parse::<IpNet>().unwrap()), Some(code.parse::<CountryCode>().unwrap()))
        };
        Layer::build(rows.iter().map(parse))
    }

    #[test]
    fn a_place_names_country_continent_and_system() {
        let asn = Asn::new(64_496).unwrap();
        let networks = Layer::build([(Range::from("192.0.2.0/25".parse::<IpNet>().unwrap()), Some(asn))]);
        let names = Names::new([(asn, Arc::from("Example")), (asn, Arc::from("Second"))]);
        let table = Table { countries: countries(&[("192.0.2.0/24", "de")]), networks, names };
        let place = table.place("::ffff:192.0.2.1".parse().unwrap());
        let json = r#"{"country":"DE","continent":"EU","asn":64496,"as_name":"Example"}"#;
        assert_eq!(serde_json::to_string(&place).unwrap(), json);
        assert_eq!(table.place("192.0.2.200".parse().unwrap()).asn, None);
        assert_eq!(table.place("2001:db8::1".parse().unwrap()), Place::default());
    }

    #[test]
    fn a_table_that_lost_more_than_half_does_not_follow() {
        let table = |rows: &[(&str, &str)]| Table { countries: countries(rows), ..Table::default() };
        let before = table(&[("192.0.2.0/24", "DE"), ("198.51.100.0/24", "FR")]);
        assert_eq!(table(&[("192.0.2.0/24", "DE")]).follows(&before), Ok(()));
        let shrunk = table(&[("192.0.2.0/25", "DE")]).follows(&before).unwrap_err();
        assert_eq!((shrunk.before, shrunk.now), (512, 128));
        assert_eq!(before.follows(&Table::default()), Ok(()));
    }
}
