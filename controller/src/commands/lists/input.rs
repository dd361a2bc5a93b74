//! Addresses and prefixes from standard input, one a line.
use std::io::Read as _;

use anyhow::{Context as _, Result};
use ipnet::IpNet;

use crate::cli::Named;
use crate::commands::failure::UsageError;
use crate::commands::io::Io;

/// Most bytes that are read: more than that is a list, and `import` takes lists.
const LARGEST: u64 = 16 << 20;

/// Reads all of standard input. Blank lines and what follows `#` or `;` are left out, as in list files.
pub(super) fn prefixes(io: &mut Io) -> Result<Vec<IpNet>> {
    let mut bytes = Vec::new();
    (&mut io.input).take(LARGEST + 1).read_to_end(&mut bytes).context("read standard input")?;
    if bytes.len() as u64 > LARGEST {
        let why = "standard input holds more than 16 MiB; `import` takes lists of any size".to_owned();
        return Err(UsageError(why).into());
    }
    let text = String::from_utf8_lossy(&bytes);
    let mut prefixes = Vec::new();
    let mut normalised = 0u64;
    for (number, line) in (1u64..).zip(text.lines()) {
        let content = line.split(['#', ';']).next().unwrap_or_default().trim();
        if content.is_empty() {
            continue;
        }
        let named: Named = content.parse().map_err(|why| {
            UsageError(format!("standard input, line {number}: {content:?}: {why}; nothing was changed"))
        })?;
        normalised += u64::from(named.written.is_some());
        prefixes.push(named.prefix);
    }
    if prefixes.is_empty() {
        return Err(UsageError("standard input names no address".to_owned()).into());
    }
    if normalised > 0 {
        io.note(format_args!("{normalised} of standard input's lines had host bits set, which were cleared"));
    }
    Ok(prefixes)
}
