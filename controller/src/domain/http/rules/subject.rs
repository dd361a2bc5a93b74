//! An event as the rule engine's library looks at it.
use std::borrow::Cow;

use rsigma_eval::{Event as Library, EventValue};
use serde_json::Value;

use super::fields::{self, Form};
use crate::domain::http::decode::{Views, judged};

/// An event with its decoded texts.
pub(super) struct Subject<'v, 'e>(pub(super) &'v Views<'e>);

impl Subject<'_, '_> {
    /// Every text that a rule's unbound keywords are looked for in; stops where told.
    pub(super) fn texts(&self, visit: &mut dyn FnMut(&'static str, &str) -> bool) -> bool {
        let event = self.0.event();
        let named = [
            ("cs-uri", &event.uri),
            ("cs-user-agent", &event.user_agent),
            ("cs-referer", &event.referer),
            ("cs-cookie", &event.cookie),
            ("cs-host", &event.host),
            ("cs-username", &event.user),
            ("message", &event.message),
            ("cs-method", &event.method),
            ("cs-version", &event.version),
            ("x-forwarded-for", &event.forwarded_for),
            ("session", &event.session),
            ("api-key-id", &event.api_key_id),
            ("endpoint", &event.endpoint),
            ("component", &event.component),
        ];
        named.into_iter().any(|(name, text)| text.as_deref().is_some_and(|text| visit(name, judged(text))))
            || event.details.values().any(|text| visit("details", judged(text)))
            || visit("payload", self.0.payload())
    }

    fn text(&self, name: &str) -> Option<Cow<'_, str>> {
        if let Some((part, form)) = fields::part(name) {
            let text = match form {
                Form::Raw => self.0.raw(part),
                Form::Decoded => self.0.decoded(part),
            };
            return text.map(Cow::Borrowed);
        }
        match name {
            "payload" | "payload-decoded" => Some(Cow::Borrowed(self.0.payload())),
            "request-decoded" => self.0.request().map(Cow::Borrowed),
            _ => {
                let event = self.0.event();
                let value = match name.strip_prefix(fields::DETAILS) {
                    Some(name) => event.details.get(name).map(|value| Cow::Borrowed(value.as_str())),
                    None => event.field(name),
                };
                value.map(|value| match value {
                    Cow::Borrowed(text) => Cow::Borrowed(judged(text)),
                    owned @ Cow::Owned(_) => owned,
                })
            }
        }
    }
}

impl Library for Subject<'_, '_> {
    fn get_field(&self, path: &str) -> Option<EventValue<'_>> {
        let event = self.0.event();
        let integer = |number: Option<u64>| number.and_then(|number| i64::try_from(number).ok()).map(EventValue::Int);
        match path {
            "sc-status" => integer(event.status.map(u64::from)),
            "sc-bytes" => integer(event.bytes_sent),
            "cs-bytes" => integer(event.bytes_received),
            "time-taken" => event.duration_s.map(EventValue::Float),
            // Published rules write parts of the path under the query's name as well.
            _ if fields::is_query(path) => {
                let texts = [self.text(fields::QUERY_ALONE), event.uri.as_deref().map(judged).map(Cow::Borrowed)];
                let texts: Vec<_> = texts.into_iter().flatten().map(EventValue::Str).collect();
                (!texts.is_empty()).then_some(EventValue::Array(texts))
            }
            _ => self.text(path).map(EventValue::Str),
        }
    }

    fn any_string_value(&self, pred: &dyn Fn(&str) -> bool) -> bool {
        self.texts(&mut |_, text| pred(text))
    }

    fn all_string_values(&self) -> Vec<Cow<'_, str>> {
        let mut all = Vec::new();
        self.texts(&mut |_, text| {
            all.push(Cow::Owned(text.to_owned()));
            false
        });
        all
    }

    fn to_json(&self) -> Value {
        Value::String(self.0.event().raw.clone())
    }
}

/// An event of which nothing is known.
pub(super) struct Nothing;

impl Library for Nothing {
    fn get_field(&self, _: &str) -> Option<EventValue<'_>> {
        None
    }

    fn any_string_value(&self, _: &dyn Fn(&str) -> bool) -> bool {
        false
    }

    fn all_string_values(&self) -> Vec<Cow<'_, str>> {
        Vec::new()
    }

    fn to_json(&self) -> Value {
        Value::Null
    }
}

/// A field's text, decoded where it has a decoded form.
pub(super) fn shown(views: &Views<'_>, field: &str) -> Option<String> {
    match fields::part(field) {
        Some((part, _)) => views.decoded(part).map(str::to_owned),
        None => Subject(views).text(field).map(Cow::into_owned),
    }
}
