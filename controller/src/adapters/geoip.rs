//! Databases of countries and autonomous systems: files in, a [`Table`] out.
//!
//! A file is a whole: on any doubt it is refused and whoever asked keeps the table in force.
mod mmdb;
mod record;
mod rows;
mod watched;

use std::fmt;
use std::fs::{File, OpenOptions};
use std::io::{self, Read as _};
use std::os::unix::fs::OpenOptionsExt as _;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use jiff::Timestamp;
use serde::Serialize;

use crate::adapters::clock;
use crate::domain::geo::{Asn, CountryCode, Layer, Names, Range, Table};

pub use self::watched::Watched;

/// Largest file that is read. The largest databases of cities have half of it.
pub const LARGEST_FILE: u64 = 256 << 20;

/// Most ranges a database may come to. The whole world by country has 700,000, by system 520,000.
pub const MOST_RANGES: usize = 2_000_000;

/// Longest that reading one file may take: a crafted one costs time where it cannot cost memory.
const LONGEST_S: u64 = 60;

/// How far in the future a database may have been built before it is worth a word.
const AHEAD_S: i64 = 86_400;

/// The files to read.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct GeoFiles {
    /// Of countries.
    pub country: Option<PathBuf>,
    /// Of autonomous systems.
    pub asn: Option<PathBuf>,
}

/// What a database is read for.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum Purpose {
    /// Countries.
    Country,
    /// Autonomous systems.
    Asn,
}

impl Purpose {
    /// The key of `[geo]` that names the file.
    pub fn key(self) -> &'static str {
        match self {
            Self::Country => "country_file",
            Self::Asn => "asn_file",
        }
    }

    fn what(self) -> &'static str {
        match self {
            Self::Country => "countries",
            Self::Asn => "autonomous systems",
        }
    }

    fn other(self) -> &'static str {
        match self {
            Self::Country => Self::Asn.key(),
            Self::Asn => Self::Country.key(),
        }
    }
}

/// How a file is written.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum FileFormat {
    /// MaxMind DB.
    Mmdb,
    /// Lines of first address, last address and value.
    Csv,
}

/// What was read from one file.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct FileFacts {
    /// The file.
    pub path: PathBuf,
    /// What for.
    pub purpose: Purpose,
    /// How it is written.
    pub format: FileFormat,
    /// What it calls itself; CSV files do not.
    pub database: Option<String>,
    /// When it was built; CSV files do not say.
    pub built_at: Option<Timestamp>,
    /// Its size in bytes.
    pub bytes: u64,
    /// Boundaries between ranges of different values.
    pub boundaries: usize,
    /// Countries or systems in it.
    pub values: usize,
    /// What is odd about it and yet no reason to refuse it.
    pub notes: Vec<String>,
}

/// The databases as read.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Geo {
    /// What they say.
    pub table: Table,
    /// What was read, countries first.
    pub files: Vec<FileFacts>,
}

/// A file that is refused as a whole.
#[derive(Debug, thiserror::Error)]
#[error("{}: {problem}", .file.display())]
pub struct GeoError {
    /// The file.
    pub file: PathBuf,
    /// What it was read for.
    pub purpose: Purpose,
    /// What is wrong.
    pub problem: Box<GeoProblem>,
}

/// What is wrong with a file.
#[derive(Debug, thiserror::Error)]
pub enum GeoProblem {
    /// It cannot be read.
    #[error("cannot be read: {0}; `[geo] {1}` must name a file the daemon may read")]
    Unreadable(#[source] io::Error, &'static str),
    /// A folder, pipe or device.
    #[error("is {0}; a regular file is wanted")]
    NotAFile(&'static str),
    /// More than any database.
    #[error("is larger than {} MiB, the most weir reads; use a smaller edition of the database", LARGEST_FILE >> 20)]
    TooLarge,
    /// Nothing in it.
    #[error("is empty; fetch it again")]
    Empty,
    /// Neither format.
    #[error("is {0}; a MaxMind DB (.mmdb) or CSV file is wanted")]
    NotADatabase(&'static str),
    /// A broken MaxMind DB.
    #[error("is a broken MaxMind DB: {0}; fetch it again")]
    Broken(#[source] maxminddb::MaxMindDbError),
    /// A MaxMind DB whose search tree is no tree.
    #[error(
        "is a broken MaxMind DB: its search tree has {nodes} nodes and unfolds to more than {limit} networks; fetch it again"
    )]
    Unfolds {
        /// Nodes it has.
        nodes: u32,
        /// Networks that so many nodes may come to.
        limit: u64,
    },
    /// A record with a value that is none.
    #[error("network {network} has the {what} {found:?}; fetch it again, or use another database")]
    Value {
        /// Where.
        network: String,
        /// What it should be.
        what: &'static str,
        /// What stands there.
        found: String,
    },
    /// A line that is not understood.
    #[error("line {line}: {why}")]
    Line {
        /// From 1.
        line: u64,
        /// What is wrong.
        why: String,
    },
    /// Too many ranges.
    #[error("has more than {MOST_RANGES} ranges, the most weir keeps; use a smaller edition of the database")]
    TooManyRanges,
    /// It takes too long.
    #[error(
        "takes longer than {LONGEST_S} s to read; it is crafted or the machine is overloaded; use another database"
    )]
    TooSlow,
    /// A database of something else.
    #[error("holds no {what}{}{}", called(.database.as_ref()), if *has_other { format!("; name it as `{other}`") } else { format!("; `{key}` needs a database of {what}") })]
    NothingInIt {
        /// What it should hold.
        what: &'static str,
        /// What it calls itself.
        database: Option<String>,
        /// Whether it holds what the other key wants.
        has_other: bool,
        /// The other key.
        other: &'static str,
        /// The key it was named under.
        key: &'static str,
    },
}

fn called(database: Option<&String>) -> String {
    database.map(|name| format!(" (it calls itself {name:?})")).unwrap_or_default()
}

/// What a file says, whatever its format.
#[derive(Debug)]
struct Contents<V> {
    ranges: Vec<(Range, Option<V>)>,
    names: Vec<(Asn, Arc<str>)>,
    database: Option<String>,
    built_at: Option<Timestamp>,
    /// Whether records hold what the other purpose wants.
    has_other: bool,
}

/// A value of a range: what differs between countries and systems.
trait Value: Copy + Ord {
    const PURPOSE: Purpose;
    /// What it is called in an error.
    const WHAT: &'static str;
    /// Columns of a CSV line, at least and at most.
    const COLUMNS: (usize, usize);
    /// From the text of a CSV column; `None`: known to have none.
    fn of_text(text: &str) -> Result<Option<Self>, ()>;
    /// From a record of a MaxMind DB.
    fn of_record(record: &record::Record<'_>) -> Result<Option<Self>, String>;
    /// Whether the record holds what the other purpose wants.
    fn other(record: &record::Record<'_>) -> bool;
    /// The system it is, for its name.
    fn asn(self) -> Option<Asn>;
}

impl Value for CountryCode {
    const PURPOSE: Purpose = Purpose::Country;
    const WHAT: &'static str = "country code";
    const COLUMNS: (usize, usize) = (3, 3);

    fn of_text(text: &str) -> Result<Option<Self>, ()> {
        match text {
            "" | "-" | "None" => Ok(None),
            text => match text.parse::<Self>() {
                Ok(code) if code == Self::UNKNOWN || code.to_string() == "XX" => Ok(None),
                Ok(code) => Ok(Some(code)),
                Err(_) => Err(()),
            },
        }
    }

    fn of_record(record: &record::Record<'_>) -> Result<Option<Self>, String> {
        record.country().map_or(Ok(None), |text| Self::of_text(text).map_err(|()| text.to_owned()))
    }

    fn other(record: &record::Record<'_>) -> bool {
        matches!(record.asn(), Ok(Some(_)))
    }

    fn asn(self) -> Option<Asn> {
        None
    }
}

impl Value for Asn {
    const PURPOSE: Purpose = Purpose::Asn;
    const WHAT: &'static str = "AS number";
    const COLUMNS: (usize, usize) = (3, 4);

    fn of_text(text: &str) -> Result<Option<Self>, ()> {
        record::asn_of_text(text)
    }

    fn of_record(record: &record::Record<'_>) -> Result<Option<Self>, String> {
        record.asn()
    }

    fn other(record: &record::Record<'_>) -> bool {
        record.country().is_some()
    }

    fn asn(self) -> Option<Asn> {
        Some(self)
    }
}

/// Reads the files. Blocks for as long as that takes: some hundred milliseconds for the whole world.
///
/// # Errors
/// [`GeoError`] with the first file that is refused; what is in force stays.
pub fn load(files: &GeoFiles) -> Result<Geo, GeoError> {
    let mut geo = Geo::default();
    if let Some(path) = &files.country {
        let (countries, _, facts) = layer::<CountryCode>(path)?;
        geo.table.countries = countries;
        geo.files.push(facts);
    }
    if let Some(path) = &files.asn {
        let (networks, names, facts) = layer::<Asn>(path)?;
        geo.table.networks = networks;
        geo.table.names = names;
        geo.files.push(facts);
    }
    Ok(geo)
}

fn layer<V: Value>(path: &Path) -> Result<(Layer<V>, Names, FileFacts), GeoError> {
    let refused = |problem| GeoError { file: path.to_owned(), purpose: V::PURPOSE, problem: Box::new(problem) };
    let bytes = read(path, V::PURPOSE).map_err(refused)?;
    let format = format(&bytes).map_err(refused)?;
    let size = u64::try_from(bytes.len()).unwrap_or(u64::MAX);
    let deadline = Deadline::new();
    let contents: Contents<V> = match format {
        FileFormat::Mmdb => mmdb::read(bytes, deadline).map_err(refused)?,
        FileFormat::Csv => rows::read(&bytes, deadline).map_err(refused)?,
    };
    let Contents { ranges, names, database, built_at, has_other } = contents;
    let layer = Layer::build(ranges);
    let values = layer.values().len();
    if values == 0 {
        return Err(refused(GeoProblem::NothingInIt {
            what: V::PURPOSE.what(),
            database,
            has_other,
            other: V::PURPOSE.other(),
            key: V::PURPOSE.key(),
        }));
    }
    let ahead = built_at.filter(|at| at.as_second().saturating_sub(clock::now().wall.as_second()) > AHEAD_S);
    let notes = ahead.map(|at| format!("says it was built at {at}, which is in the future")).into_iter().collect();
    let facts = FileFacts {
        path: path.to_owned(),
        purpose: V::PURPOSE,
        format,
        database,
        built_at,
        bytes: size,
        boundaries: layer.len(),
        values,
        notes,
    };
    Ok((layer, Names::new(names), facts))
}

/// When reading has taken too long.
#[derive(Clone, Copy, Debug)]
struct Deadline(u64);

impl Deadline {
    fn new() -> Self {
        Self(clock::monotonic().0.saturating_add(LONGEST_S * 1_000_000_000))
    }

    fn check(self) -> Result<(), GeoProblem> {
        if clock::monotonic().0 > self.0 { Err(GeoProblem::TooSlow) } else { Ok(()) }
    }
}

/// Opens a regular file; never waits for a pipe's other end.
fn open(path: &Path, purpose: Purpose) -> Result<(File, std::fs::Metadata), GeoProblem> {
    let unreadable = |error| GeoProblem::Unreadable(error, purpose.key());
    let file = OpenOptions::new().read(true).custom_flags(libc::O_NONBLOCK).open(path).map_err(unreadable)?;
    let metadata = file.metadata().map_err(unreadable)?;
    let kind = metadata.file_type();
    if kind.is_file() {
        return Ok((file, metadata));
    }
    Err(GeoProblem::NotAFile(if kind.is_dir() { "a folder" } else { "a pipe, socket or device" }))
}

fn read(path: &Path, purpose: Purpose) -> Result<Vec<u8>, GeoProblem> {
    let (file, metadata) = open(path, purpose)?;
    if metadata.len() > LARGEST_FILE {
        return Err(GeoProblem::TooLarge);
    }
    let mut bytes = Vec::with_capacity(usize::try_from(metadata.len()).unwrap_or(0).saturating_add(1));
    // A file may grow while it is read.
    let unreadable = |error| GeoProblem::Unreadable(error, purpose.key());
    file.take(LARGEST_FILE + 1).read_to_end(&mut bytes).map_err(unreadable)?;
    if u64::try_from(bytes.len()).is_ok_and(|len| len <= LARGEST_FILE) { Ok(bytes) } else { Err(GeoProblem::TooLarge) }
}

/// The format by content; names lie.
fn format(bytes: &[u8]) -> Result<FileFormat, GeoProblem> {
    const MARKER: &[u8] = b"\xab\xcd\xefMaxMind.com";
    /// The metadata lies behind the last marker, within this many bytes of the end.
    const METADATA: usize = 128 << 10;
    /// What is looked at to tell text from other data.
    const HEAD: usize = 4096;
    let tail = bytes.get(bytes.len().saturating_sub(METADATA)..).unwrap_or(bytes);
    if tail.windows(MARKER.len()).any(|window| window == MARKER) {
        return Ok(FileFormat::Mmdb);
    }
    let head = bytes.get(..HEAD).unwrap_or(bytes);
    let text = head.trim_ascii_start();
    if text.is_empty() {
        return Err(GeoProblem::Empty);
    }
    if head.starts_with(b"\x1f\x8b") || head.starts_with(b"PK\x03\x04") || head.starts_with(b"\x28\xb5\x2f\xfd") {
        return Err(GeoProblem::NotADatabase("compressed (unpack it first)"));
    }
    if text.starts_with(b"<") {
        return Err(GeoProblem::NotADatabase("a web page, not data"));
    }
    if text.starts_with(b"{") || text.starts_with(b"[") {
        return Err(GeoProblem::NotADatabase("JSON"));
    }
    if head.contains(&0) {
        return Err(GeoProblem::NotADatabase("binary without the metadata of a MaxMind DB, so perhaps cut short"));
    }
    Ok(FileFormat::Csv)
}

/// A text as it may be shown: no control characters, and not endless.
fn shown(text: &str) -> String {
    const MOST: usize = 120;
    text.chars().take(MOST).map(|c| if c.is_control() { ' ' } else { c }).collect::<String>().trim().to_owned()
}

impl fmt::Display for Purpose {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.what())
    }
}

#[cfg(test)]
mod tests;
