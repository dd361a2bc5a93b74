//! Records of MaxMind DB files, in MaxMind's nested shape and in the flat ones of others.
use std::fmt;

use serde::Deserialize;
use serde::de::{Deserializer, IgnoredAny, MapAccess, SeqAccess, Visitor};

use crate::domain::geo::Asn;

/// What is looked for in a record; the rest is skipped.
#[derive(Debug, Default, Deserialize)]
#[serde(default)]
pub(super) struct Record<'a> {
    #[serde(borrow)]
    country: Field<'a>,
    #[serde(borrow)]
    registered_country: Field<'a>,
    #[serde(borrow)]
    country_code: Field<'a>,
    #[serde(borrow)]
    autonomous_system_number: Field<'a>,
    #[serde(borrow)]
    asn: Field<'a>,
    #[serde(borrow)]
    as_number: Field<'a>,
    #[serde(borrow)]
    autonomous_system_organization: Field<'a>,
    #[serde(borrow)]
    as_name: Field<'a>,
    #[serde(borrow)]
    as_domain: Field<'a>,
    #[serde(borrow)]
    org: Field<'a>,
}

/// A value of any type, as far as it matters.
#[derive(Clone, Copy, Debug, Default)]
enum Field<'a> {
    /// None, or nothing of use.
    #[default]
    Nothing,
    Text(&'a str),
    Number(u64),
    /// The `iso_code` of a map.
    Iso(&'a str),
}

impl<'a> Record<'a> {
    /// The code of the country: the nested shape first, then the flat ones, then where the network is registered.
    pub(super) fn country(&self) -> Option<&'a str> {
        let nested = |field| if let Field::Iso(code) = field { Some(code) } else { None };
        nested(self.country)
            .or(self.country_code.text())
            .or(self.country.text())
            .or_else(|| nested(self.registered_country))
            .or(self.registered_country.text())
    }

    /// The system's number; `None`: known to have none.
    ///
    /// # Errors
    /// What stands there and is no number of a system.
    pub(super) fn asn(&self) -> Result<Option<Asn>, String> {
        for field in [self.autonomous_system_number, self.asn, self.as_number] {
            match field {
                Field::Number(number) => {
                    return u32::try_from(number).ok().map(Asn::new).ok_or_else(|| number.to_string());
                }
                Field::Text(text) => return asn_of_text(text).map_err(|()| text.to_owned()),
                Field::Nothing | Field::Iso(_) => {}
            }
        }
        Ok(None)
    }

    /// The system's name.
    pub(super) fn as_name(&self) -> Option<&'a str> {
        let fields = [self.autonomous_system_organization, self.as_name, self.org, self.as_domain];
        fields.into_iter().find_map(Field::text).filter(|name| !name.is_empty())
    }
}

impl<'a> Field<'a> {
    fn text(self) -> Option<&'a str> {
        if let Field::Text(text) = self { Some(text) } else { None }
    }
}

/// `64496` or `AS64496`; `None` for 0, nothing and `-`.
pub(super) fn asn_of_text(text: &str) -> Result<Option<Asn>, ()> {
    if text.is_empty() || text == "-" {
        return Ok(None);
    }
    let number = text.strip_prefix("AS").or_else(|| text.strip_prefix("as")).unwrap_or(text);
    if number.is_empty() || !number.bytes().all(|b| b.is_ascii_digit()) {
        return Err(());
    }
    number.parse::<u32>().ok().map(Asn::new).ok_or(())
}

impl<'de: 'a, 'a> Deserialize<'de> for Field<'a> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_any(Any)
    }
}

struct Any;

impl<'de> Visitor<'de> for Any {
    type Value = Field<'de>;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("any value")
    }

    fn visit_borrowed_str<E>(self, text: &'de str) -> Result<Field<'de>, E> {
        Ok(Field::Text(text))
    }

    fn visit_str<E>(self, _: &str) -> Result<Field<'de>, E> {
        Ok(Field::Nothing)
    }

    fn visit_u64<E>(self, number: u64) -> Result<Field<'de>, E> {
        Ok(Field::Number(number))
    }

    fn visit_i64<E>(self, number: i64) -> Result<Field<'de>, E> {
        Ok(u64::try_from(number).map_or(Field::Nothing, Field::Number))
    }

    fn visit_u128<E>(self, _: u128) -> Result<Field<'de>, E> {
        Ok(Field::Nothing)
    }

    fn visit_bool<E>(self, _: bool) -> Result<Field<'de>, E> {
        Ok(Field::Nothing)
    }

    fn visit_f64<E>(self, _: f64) -> Result<Field<'de>, E> {
        Ok(Field::Nothing)
    }

    fn visit_bytes<E>(self, _: &[u8]) -> Result<Field<'de>, E> {
        Ok(Field::Nothing)
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut items: A) -> Result<Field<'de>, A::Error> {
        while items.next_element::<IgnoredAny>()?.is_some() {}
        Ok(Field::Nothing)
    }

    fn visit_map<A: MapAccess<'de>>(self, mut entries: A) -> Result<Field<'de>, A::Error> {
        let mut code = Field::Nothing;
        while let Some(key) = entries.next_key::<&str>()? {
            if key == "iso_code" || key == "code" {
                if let Field::Text(text) = entries.next_value()? {
                    code = Field::Iso(text);
                }
            } else {
                entries.next_value::<IgnoredAny>()?;
            }
        }
        Ok(code)
    }
}
