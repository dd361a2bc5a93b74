//! Datasets: a log file or a span of the events that are kept, under a name, to be analysed; and hunts, which group them.
use jiff::Timestamp;
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

use super::alert::{DESCRIPTION_CHARS, NAME_CHARS};
use super::finding::NotAName;
use super::line::Format;
use crate::domain::erasure::Mentions;

/// Most datasets, and most hunts.
pub const MOST_KEPT: usize = 1_000;

/// What a dataset holds.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "lowercase", tag = "kind")]
#[schema(as = DatasetContent)]
pub enum Content {
    /// The lines of a file.
    Log {
        /// Where it is.
        path: String,
        /// How its lines are written, by name.
        format: String,
        /// The time zone of times that name none; `null`: the machine's.
        #[serde(default)]
        zone: Option<String>,
    },
    /// Events that were kept.
    Events {
        /// From when on.
        from: Timestamp,
        /// Up to when, this moment not included.
        to: Timestamp,
    },
}

/// A dataset.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct Dataset {
    /// Its identity.
    pub id: String,
    /// What people call it.
    pub name: String,
    /// In more words; may be empty.
    pub description: String,
    /// What it holds.
    #[serde(flatten)]
    pub content: Content,
    /// The hunt it belongs to.
    pub hunt_id: Option<String>,
    /// When it was made.
    pub created_at: Timestamp,
    /// By whom.
    pub created_by: String,
}

/// A hunt.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct Hunt {
    /// Its identity.
    pub id: String,
    /// What people call it.
    pub name: String,
    /// In more words; may be empty.
    pub description: String,
    /// When it was made.
    pub created_at: Timestamp,
    /// By whom.
    pub created_by: String,
}

impl Dataset {
    /// Blots out who is to be mentioned nowhere, in the name of its file too, which is then not found any more. Whether they
    /// were mentioned.
    pub fn blot(&mut self, mentions: &Mentions) -> bool {
        let path = match &mut self.content {
            Content::Log { path, .. } => Some(path),
            Content::Events { .. } => None,
        };
        mentions.blot_all([&mut self.name, &mut self.description, &mut self.created_by].into_iter().chain(path))
    }
}

impl Hunt {
    /// Blots out who is to be mentioned nowhere; whether they were mentioned.
    pub fn blot(&mut self, mentions: &Mentions) -> bool {
        mentions.blot_all([&mut self.name, &mut self.description, &mut self.created_by])
    }
}

/// A dataset, as it is asked for: a file by `path`, or a span of events by `from` and `to`.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct DatasetRequest {
    /// What people call it.
    #[schema(min_length = 1, max_length = 256)]
    pub name: String,
    /// In more words.
    #[serde(default)]
    #[schema(max_length = 2048)]
    pub description: String,
    /// The file.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub path: Option<String>,
    /// How its lines are written; absent: recognised.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub format: Option<String>,
    /// The time zone of times that name none.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub zone: Option<String>,
    /// Events from this moment on.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub from: Option<Timestamp>,
    /// Events up to this moment; absent: up to now.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub to: Option<Timestamp>,
    /// The hunt it belongs to.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub hunt_id: Option<String>,
}

/// A hunt, as it is asked for.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct HuntRequest {
    /// What people call it.
    #[schema(min_length = 1, max_length = 256)]
    pub name: String,
    /// In more words.
    #[serde(default)]
    #[schema(max_length = 2048)]
    pub description: String,
}

/// Why there is no such dataset or hunt.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum DatasetError {
    /// It has no name, or one that is too long.
    #[error("`name` has {0} characters; it has 1 to {NAME_CHARS}")]
    Name(usize),
    /// It is described at too great length.
    #[error("`description` has {0} characters, {DESCRIPTION_CHARS} are the most")]
    Description(usize),
    /// It is neither a file nor a span, or both.
    #[error(
        "a dataset is a file (`path`) or a span of the events that are kept (`from`, and `to` if it has ended): say one of them"
    )]
    Content,
    /// The file is not named in full.
    #[error("`path` is {0:?}; it begins with / and has no .. in it")]
    Path(String),
    /// Nothing is within the span.
    #[error("`from` is {from} and `to` is {to}: the span ends before it begins")]
    Span {
        /// Its beginning.
        from: Timestamp,
        /// Its end.
        to: Timestamp,
    },
    /// No format.
    #[error(transparent)]
    Format(#[from] NotAName),
    /// A format that needs a pattern.
    #[error("the format grok is what its pattern says, and a dataset has none; use a [[logs]] section")]
    Grok,
}

fn words(name: &str, description: &str) -> Result<(), DatasetError> {
    let (name, description) = (name.trim().chars().count(), description.chars().count());
    if !(1..=NAME_CHARS).contains(&name) {
        return Err(DatasetError::Name(name));
    }
    if description > DESCRIPTION_CHARS { Err(DatasetError::Description(description)) } else { Ok(()) }
}

impl DatasetRequest {
    /// The dataset that is asked for `now`, of this id and by whoever asks.
    ///
    /// # Errors
    /// [`DatasetError`].
    pub fn made(self, id: String, by: String, now: Timestamp) -> Result<Dataset, DatasetError> {
        words(&self.name, &self.description)?;
        let content = match (self.path, self.from) {
            (Some(path), None) if self.to.is_none() => {
                let is_whole =
                    path.starts_with('/') && !path.split('/').any(|part| part == "..") && !path.contains('\0');
                if !is_whole || path.len() > 4_096 {
                    return Err(DatasetError::Path(path.chars().take(256).collect()));
                }
                let format: Format = self.format.as_deref().unwrap_or("auto").parse()?;
                if format == Format::Grok {
                    return Err(DatasetError::Grok);
                }
                Content::Log { path, format: format.name().to_owned(), zone: self.zone.filter(|zone| !zone.is_empty()) }
            }
            (None, Some(from)) if self.format.is_none() && self.zone.is_none() => {
                let to = self.to.unwrap_or(now);
                if to <= from {
                    return Err(DatasetError::Span { from, to });
                }
                Content::Events { from, to }
            }
            _ => return Err(DatasetError::Content),
        };
        let hunt_id = self.hunt_id.filter(|hunt| !hunt.is_empty());
        let (name, description) = (self.name.trim().to_owned(), self.description);
        Ok(Dataset { id, name, description, content, hunt_id, created_at: now, created_by: by })
    }
}

impl HuntRequest {
    /// The hunt that is asked for `now`, of this id and by whoever asks.
    ///
    /// # Errors
    /// [`DatasetError`].
    pub fn made(self, id: String, by: String, now: Timestamp) -> Result<Hunt, DatasetError> {
        words(&self.name, &self.description)?;
        let (name, description) = (self.name.trim().to_owned(), self.description);
        Ok(Hunt { id, name, description, created_at: now, created_by: by })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(second: i64) -> Timestamp {
        Timestamp::from_second(1_790_000_000 + second).unwrap()
    }

    fn made(request: DatasetRequest) -> Result<Dataset, DatasetError> {
        request.made("id".to_owned(), "uid 0".to_owned(), at(100))
    }

    fn named() -> DatasetRequest {
        DatasetRequest { name: "April".to_owned(), ..DatasetRequest::default() }
    }

    #[test]
    fn a_dataset_is_a_file_or_a_span() {
        let log = made(DatasetRequest { path: Some("/var/log/a.log".to_owned()), ..named() }).unwrap();
        let expected = Content::Log { path: "/var/log/a.log".to_owned(), format: "auto".to_owned(), zone: None };
        assert_eq!(log.content, expected);
        let json = serde_json::to_value(&log).unwrap();
        assert_eq!((json["kind"].as_str(), json["path"].as_str()), (Some("log"), Some("/var/log/a.log")));
        assert_eq!(serde_json::from_value::<Dataset>(json).unwrap(), log);
        let span = made(DatasetRequest { from: Some(at(0)), ..named() }).unwrap();
        assert_eq!(span.content, Content::Events { from: at(0), to: at(100) });
    }

    #[test]
    fn what_is_neither_or_both_is_refused_with_the_way_out() {
        for (request, expected) in [
            (named(), "say one of them"),
            (DatasetRequest { path: Some("/a".to_owned()), from: Some(at(0)), ..named() }, "say one of them"),
            (DatasetRequest { path: Some("a.log".to_owned()), ..named() }, "begins with /"),
            (DatasetRequest { path: Some("/var/log/../shadow".to_owned()), ..named() }, "has no .."),
            (DatasetRequest { from: Some(at(0)), to: Some(at(-1)), ..named() }, "ends before it begins"),
            (
                DatasetRequest { path: Some("/a".to_owned()), format: Some("combinde".to_owned()), ..named() },
                "combined",
            ),
            (DatasetRequest { path: Some("/a".to_owned()), format: Some("grok".to_owned()), ..named() }, "pattern"),
            (DatasetRequest { name: "  ".to_owned(), ..named() }, "`name` has 0 characters"),
        ] {
            let error = made(request).unwrap_err().to_string();
            assert!(error.contains(expected), "{error}");
        }
    }
}
