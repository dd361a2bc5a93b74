//! How a file to import is written: a list, or another program's database.
use std::fmt;
use std::str::FromStr;

use crate::domain::listfile::{Format, UnknownFormat};

/// How a file to import is written.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ImportFormat {
    /// A list, which the daemon reads.
    List(Format),
    /// The database of fail2ban, which has to be read where it lies.
    Fail2ban,
}

impl Default for ImportFormat {
    fn default() -> Self {
        Self::List(Format::Auto)
    }
}

const FAIL2BAN: &str = "fail2ban";

impl fmt::Display for ImportFormat {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::List(format) => format.fmt(f),
            Self::Fail2ban => f.write_str(FAIL2BAN),
        }
    }
}

impl FromStr for ImportFormat {
    type Err = UnknownFormat;

    fn from_str(text: &str) -> Result<Self, UnknownFormat> {
        if text == FAIL2BAN { Ok(Self::Fail2ban) } else { text.parse().map(Self::List) }
    }
}
