//! The answer's grammar, told to serde: lists that may be `null`, decisions that may be anything.
use std::fmt;

use ipnet::IpNet;
use serde::Deserializer;
use serde::de::{DeserializeSeed, Error, IgnoredAny, MapAccess, SeqAccess, Visitor};

use super::{MOST, Names, Page, Refused, Rules, Told, clean};
use crate::domain::crowdsec::duration::{self, GoDurationError};
use crate::domain::decision::Enforcement;
use crate::domain::listfile::{PrefixError, parse_prefix};

/// Reads the whole answer; `None`: it has neither of the two lists.
pub(super) struct PageSeed<'r> {
    pub(super) rules: &'r Rules,
    pub(super) startup: bool,
}

impl<'de> DeserializeSeed<'de> for PageSeed<'_> {
    type Value = Option<Page>;

    fn deserialize<D: Deserializer<'de>>(self, from: D) -> Result<Option<Page>, D::Error> {
        from.deserialize_map(self)
    }
}

impl<'de> Visitor<'de> for PageSeed<'_> {
    type Value = Option<Page>;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("an object with the lists `new` and `deleted`")
    }

    fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Option<Page>, A::Error> {
        let (mut page, mut names, mut is_page) = (Page::default(), Names::default(), false);
        while let Some(key) = map.next_key_seed(Key(&["new", "deleted"]))? {
            match key {
                Some(0) => {
                    is_page = true;
                    let take = |raw: &Raw| page.take(raw, self.rules, &mut names);
                    map.next_value_seed(List(take))?;
                }
                Some(_) => {
                    is_page = true;
                    let drop_all = self.startup;
                    let take = |raw: &Raw| {
                        if !drop_all {
                            page.forget(raw);
                        }
                    };
                    map.next_value_seed(List(take))?;
                }
                None => {
                    map.next_value::<IgnoredAny>()?;
                }
            }
        }
        Ok(is_page.then_some(page))
    }
}

impl Page {
    /// Takes what was told, or counts why not.
    fn take(&mut self, raw: &Raw, rules: &Rules, names: &mut Names) {
        match told(raw, rules, names) {
            Ok(_) if self.new.len() >= MOST => self.refusals.count(Refused::Full),
            Ok(told) => self.new.push(told),
            Err(why) => self.refusals.count(why),
        }
    }

    /// Takes the number of what is over: nothing else about it matters.
    fn forget(&mut self, raw: &Raw) {
        match raw.id {
            Some(_) if self.deleted.len() >= MOST => self.refusals.count(Refused::Full),
            Some(id) => self.deleted.push(id),
            None => self.refusals.count(Refused::Shape),
        }
    }
}

fn told(raw: &Raw, rules: &Rules, names: &mut Names) -> Result<Told, Refused> {
    let id = raw.id.filter(|id| *id > 0).ok_or(Refused::Shape)?;
    let scope = raw.scope.as_deref().ok_or(Refused::Shape)?;
    if !rules.takes_scope(scope) {
        return Err(Refused::Scope);
    }
    let mut enforcement = rules.enforcement(raw.kind.as_deref().ok_or(Refused::Shape)?).ok_or(Refused::Type)?;
    if raw.simulated {
        enforcement = Enforcement::Observe;
    }
    let prefix = raw.value.ok_or(Refused::Shape)?.ok().ok_or(Refused::Value)?;
    if matches!(prefix, IpNet::V6(_)) && !rules.ipv6 {
        return Err(Refused::Family);
    }
    let seconds = raw.duration.ok_or(Refused::Shape)?.ok().ok_or(Refused::Duration)?;
    let seconds = u64::try_from(seconds).ok().filter(|seconds| *seconds > 0).ok_or(Refused::Over)?;
    let origin = clean(raw.origin.as_deref().unwrap_or_default());
    let scenario = clean(raw.scenario.as_deref().unwrap_or_default());
    let (source, reason) = match (origin.as_str(), scenario.as_str()) {
        ("lists", scenario) => {
            let list = names.keep(&format!("lists:{scenario}"));
            (list.clone(), list)
        }
        (origin, "") => (names.keep(origin), names.keep(origin)),
        (origin, scenario) => (names.keep(origin), names.keep(&format!("{scenario} ({origin})"))),
    };
    Ok(Told { id, prefix, seconds, enforcement, reason, source })
}

/// A decision's fields as they stood there; `None`: missing, or of another type.
#[derive(Default)]
struct Raw {
    id: Option<i64>,
    kind: Option<String>,
    scope: Option<String>,
    origin: Option<String>,
    scenario: Option<String>,
    simulated: bool,
    value: Option<Result<IpNet, PrefixError>>,
    duration: Option<Result<i64, GoDurationError>>,
}

const FIELDS: [&str; 8] = ["id", "type", "scope", "origin", "scenario", "simulated", "value", "duration"];

/// Reads a list of decisions, each handed on as it is read; `null` is an empty one.
struct List<F>(F);

impl<'de, F: FnMut(&Raw)> DeserializeSeed<'de> for List<F> {
    type Value = ();

    fn deserialize<D: Deserializer<'de>>(self, from: D) -> Result<(), D::Error> {
        from.deserialize_any(self)
    }
}

impl<'de, F: FnMut(&Raw)> Visitor<'de> for List<F> {
    type Value = ();

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a list of decisions or null")
    }

    fn visit_unit<E: Error>(self) -> Result<(), E> {
        Ok(())
    }

    fn visit_seq<A: SeqAccess<'de>>(mut self, mut list: A) -> Result<(), A::Error> {
        while let Some(raw) = list.next_element_seed(Element)? {
            (self.0)(&raw);
        }
        Ok(())
    }
}

/// Makes a visitor take what it does not look for as its default, whatever that is.
macro_rules! otherwise_default {
    ($($scalar:ident: $type:ty),*; $($composite:ident),*) => {
        $(fn $scalar<E: Error>(self, _: $type) -> Result<Self::Value, E> {
            Ok(Self::Value::default())
        })*
        fn visit_unit<E: Error>(self) -> Result<Self::Value, E> {
            Ok(Self::Value::default())
        }
        $(otherwise_default!(@ $composite);)*
    };
    (@ seq) => {
        fn visit_seq<A: SeqAccess<'de>>(self, mut list: A) -> Result<Self::Value, A::Error> {
            while list.next_element::<IgnoredAny>()?.is_some() {}
            Ok(Self::Value::default())
        }
    };
    (@ map) => {
        fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Self::Value, A::Error> {
            while map.next_entry::<IgnoredAny, IgnoredAny>()?.is_some() {}
            Ok(Self::Value::default())
        }
    };
}

/// Reads one decision.
struct Element;

impl<'de> DeserializeSeed<'de> for Element {
    type Value = Raw;

    fn deserialize<D: Deserializer<'de>>(self, from: D) -> Result<Raw, D::Error> {
        from.deserialize_any(self)
    }
}

impl<'de> Visitor<'de> for Element {
    type Value = Raw;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a decision")
    }

    fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Raw, A::Error> {
        let mut raw = Raw::default();
        while let Some(field) = map.next_key_seed(Key(&FIELDS))? {
            match field {
                Some(0) => raw.id = map.next_value_seed(Number)?,
                Some(1) => raw.kind = map.next_value_seed(Text(clean))?,
                Some(2) => raw.scope = map.next_value_seed(Text(clean))?,
                Some(3) => raw.origin = map.next_value_seed(Text(clean))?,
                Some(4) => raw.scenario = map.next_value_seed(Text(clean))?,
                Some(5) => raw.simulated = map.next_value_seed(Truth)?,
                Some(6) => raw.value = map.next_value_seed(Text(parse_prefix))?,
                Some(7) => raw.duration = map.next_value_seed(Text(duration::parse))?,
                _ => {
                    map.next_value::<IgnoredAny>()?;
                }
            }
        }
        Ok(raw)
    }

    otherwise_default!(visit_bool: bool, visit_i64: i64, visit_u64: u64, visit_f64: f64, visit_str: &str; seq);
}

/// Reads a key: its place among the known ones, `None` for all others.
struct Key<'k>(&'k [&'k str]);

impl<'de> DeserializeSeed<'de> for Key<'_> {
    type Value = Option<usize>;

    fn deserialize<D: Deserializer<'de>>(self, from: D) -> Result<Option<usize>, D::Error> {
        from.deserialize_identifier(self)
    }
}

impl Visitor<'_> for Key<'_> {
    type Value = Option<usize>;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a key")
    }

    fn visit_str<E: Error>(self, key: &str) -> Result<Option<usize>, E> {
        Ok(self.0.iter().position(|known| *known == key))
    }
}

/// Reads a text through a function; `None` for all that is no text.
struct Text<F>(F);

impl<'de, T, F: FnOnce(&str) -> T> DeserializeSeed<'de> for Text<F> {
    type Value = Option<T>;

    fn deserialize<D: Deserializer<'de>>(self, from: D) -> Result<Option<T>, D::Error> {
        from.deserialize_any(self)
    }
}

impl<'de, T, F: FnOnce(&str) -> T> Visitor<'de> for Text<F> {
    type Value = Option<T>;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a text")
    }

    fn visit_str<E: Error>(self, text: &str) -> Result<Option<T>, E> {
        Ok(Some((self.0)(text)))
    }

    otherwise_default!(visit_bool: bool, visit_i64: i64, visit_u64: u64, visit_f64: f64; seq, map);
}

/// Reads a whole number; `None` for all that is none.
struct Number;

impl<'de> DeserializeSeed<'de> for Number {
    type Value = Option<i64>;

    fn deserialize<D: Deserializer<'de>>(self, from: D) -> Result<Option<i64>, D::Error> {
        from.deserialize_any(self)
    }
}

impl<'de> Visitor<'de> for Number {
    type Value = Option<i64>;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a whole number")
    }

    fn visit_i64<E: Error>(self, number: i64) -> Result<Option<i64>, E> {
        Ok(Some(number))
    }

    fn visit_u64<E: Error>(self, number: u64) -> Result<Option<i64>, E> {
        Ok(i64::try_from(number).ok())
    }

    otherwise_default!(visit_bool: bool, visit_f64: f64, visit_str: &str; seq, map);
}

/// Reads a truth value; all else is not true.
struct Truth;

impl<'de> DeserializeSeed<'de> for Truth {
    type Value = bool;

    fn deserialize<D: Deserializer<'de>>(self, from: D) -> Result<bool, D::Error> {
        from.deserialize_any(self)
    }
}

impl<'de> Visitor<'de> for Truth {
    type Value = bool;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a truth value")
    }

    fn visit_bool<E: Error>(self, is: bool) -> Result<bool, E> {
        Ok(is)
    }

    otherwise_default!(visit_i64: i64, visit_u64: u64, visit_f64: f64, visit_str: &str; seq, map);
}
