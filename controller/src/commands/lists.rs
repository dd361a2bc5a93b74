//! `weir block` and `weir allow`.
mod input;

use std::fs;
use std::io::Read as _;
use std::path::Path;

use anyhow::{Context as _, Result, bail};
use ipnet::IpNet;
use jiff::Timestamp;

use super::client;
use super::io::Io;
use crate::adapters::client::ImportOptions;
use crate::adapters::fail2ban;
use crate::cli::{Add, Allow, Block, Export, Global, Import, ImportFormat, Output, Remove, Target};
use crate::domain::decision::{Kind, Origin};
use crate::domain::listfile::Format;
use crate::domain::listfile::export::{self, ExportFormat};
use crate::domain::report::ChangeRequest;
use crate::render;

/// Carries out a verb of `weir block`.
pub(super) fn block(verb: &Block, global: &Global, io: &mut Io) -> Result<()> {
    let list = Kind::Deny;
    match verb {
        Block::Add(args) => {
            let mut request = added(&args.add, io)?;
            request.observe = args.observe;
            request.force = args.force;
            add(list, &request, global, io)
        }
        Block::Remove(args) => remove(list, args, global, io),
        Block::List => print(list, global, io),
        Block::Import(args) => import(list, args, global, io),
        Block::Export(args) => export_list(list, *args, global, io),
    }
}

/// Carries out a verb of `weir allow`.
pub(super) fn allow(verb: &Allow, global: &Global, io: &mut Io) -> Result<()> {
    let list = Kind::Allow;
    match verb {
        Allow::Add(args) => {
            let request = added(args, io)?;
            add(list, &request, global, io)
        }
        Allow::Remove(args) => remove(list, args, global, io),
        Allow::List => print(list, global, io),
        Allow::Import(args) => import(list, args, global, io),
        Allow::Export(args) => export_list(list, *args, global, io),
    }
}

fn added(args: &Add, io: &mut Io) -> Result<ChangeRequest> {
    Ok(ChangeRequest {
        prefixes: prefixes(&args.prefixes, io)?,
        for_s: args.for_s,
        reason: args.reason.clone(),
        origin: name(args.origin.as_ref()),
        dry_run: args.dry_run,
        ..ChangeRequest::default()
    })
}

fn add(list: Kind, request: &ChangeRequest, global: &Global, io: &mut Io) -> Result<()> {
    let report = client(global)?.add(list, request)?;
    io.report(global.output, &report, render::changes::change)?;
    Ok(())
}

fn remove(list: Kind, args: &Remove, global: &Global, io: &mut Io) -> Result<()> {
    let request = ChangeRequest {
        prefixes: prefixes(&args.prefixes, io)?,
        origin: name(args.origin.as_ref()),
        dry_run: args.dry_run,
        ..ChangeRequest::default()
    };
    let report = client(global)?.remove(list, &request)?;
    io.report(global.output, &report, render::changes::change)?;
    Ok(())
}

fn name(origin: Option<&Origin>) -> Option<String> {
    origin.map(|origin| origin.name().to_owned())
}

/// Everything the line names, with what standard input adds.
fn prefixes(targets: &[Target], io: &mut Io) -> Result<Vec<String>> {
    let mut prefixes: Vec<IpNet> = Vec::with_capacity(targets.len());
    let mut has_read = false;
    for target in targets {
        match target {
            Target::Prefix(named) => {
                if let Some(written) = &named.written {
                    io.note(format_args!("{written} is taken as {}", named.prefix));
                }
                prefixes.push(named.prefix);
            }
            Target::Input if has_read => {}
            Target::Input => {
                has_read = true;
                prefixes.extend(input::prefixes(io)?);
            }
        }
    }
    Ok(prefixes.iter().map(IpNet::to_string).collect())
}

fn print(list: Kind, global: &Global, io: &mut Io) -> Result<()> {
    let entries = client(global)?.entries(list)?;
    let now = Timestamp::now();
    io.report(global.output, entries.as_slice(), |rows, style, into| render::entries::entries(rows, now, style, into))?;
    Ok(())
}

fn import(list: Kind, args: &Import, global: &Global, io: &mut Io) -> Result<()> {
    let (format, file) = match args.format {
        ImportFormat::Fail2ban => (Format::Ipset, bans(args, io)?),
        ImportFormat::List(format) => (format, read(&args.file, io)?),
    };
    let of_tool = args.origin.as_ref().map(|origin| origin.name().to_owned());
    let name = args.name.clone().or(of_tool).unwrap_or_else(|| list_name(list, &args.file));
    let reason = match &args.jail {
        Some(jail) if args.reason.is_empty() => format!("banned by fail2ban jail {jail}"),
        _ => args.reason.clone(),
    };
    let options = ImportOptions {
        name: &name,
        format,
        column: args.column.as_deref(),
        least_score: args.least_score,
        origin: args.origin.as_ref().map(Origin::name),
        reason: &reason,
        skip_bad: args.skip_bad,
        dry_run: args.dry_run,
    };
    let progress = io.progress(&format!("importing {name}"));
    let imported = client(global)?.import(list, &options, file);
    progress.finish_and_clear();
    let report = imported?;
    io.report(global.output, &report, render::changes::import)?;
    Ok(())
}

fn read(file: &Path, io: &mut Io) -> Result<Vec<u8>> {
    if file == Path::new("-") {
        let mut bytes = Vec::new();
        io.input.read_to_end(&mut bytes).context("read standard input")?;
        return Ok(bytes);
    }
    fs::read(file).with_context(|| format!("read {}", file.display()))
}

/// What fail2ban's database holds, as the daemon reads it: it is read here, where its file lies.
fn bans(args: &Import, io: &mut Io) -> Result<Vec<u8>> {
    let now = Timestamp::now();
    let found = fail2ban::bans(&args.file, now, args.jail.as_deref())?;
    if found.refused > 0 {
        let first = found.refusals.first().map(|refused| format!(", first {:?}: {}", refused.text, refused.why));
        let what = format!("{} of its bans are not understood{}", found.refused, first.unwrap_or_default());
        if !args.skip_bad {
            bail!("{}: {what}; --skip-bad takes the rest", args.file.display());
        }
        io.warn(what);
    }
    let left = |until: Timestamp| u64::try_from(until.duration_since(now).as_secs()).unwrap_or(0).max(1);
    let entries = found.live.iter().map(|ban| (ban.address, ban.until.map(left)));
    let mut text = String::new();
    export::write(ExportFormat::Ipset, "fail2ban", entries, &mut text)?;
    Ok(text.into_bytes())
}

/// The list a file becomes where none is named: one of the file's name, so that two files are two lists.
fn list_name(list: Kind, file: &Path) -> String {
    const LONGEST: usize = 64;
    let stem = file.file_stem().unwrap_or_default().to_string_lossy();
    let fits = |c: char| if c.is_ascii_alphanumeric() || matches!(c, '-' | '_' | '.') { c } else { '-' };
    let name: String = stem.chars().map(fits).take(LONGEST).collect();
    if name.chars().any(|c| c.is_ascii_alphanumeric()) {
        return name;
    }
    match list {
        Kind::Allow => "allow".to_owned(),
        Kind::Deny => "block".to_owned(),
    }
}

fn export_list(list: Kind, args: Export, global: &Global, io: &mut Io) -> Result<()> {
    let client = client(global)?;
    let format = if global.output == Output::Json { ExportFormat::Json } else { args.format };
    client.export(list, format, |lines| Ok::<_, anyhow::Error>(io.write(lines)?))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_list_has_its_files_name_where_it_has_one() {
        for (file, name) in [
            ("ipsum.txt", "ipsum"),
            ("/x/firehol level1.netset", "firehol-level1"),
            ("-", "block"),
            ("/", "block"),
            ("\u{e4}.txt", "block"),
        ] {
            assert_eq!(list_name(Kind::Deny, Path::new(file)), name);
        }
        assert_eq!(list_name(Kind::Allow, Path::new("-")), "allow");
        assert_eq!(list_name(Kind::Deny, Path::new(&"a".repeat(99))).len(), 64);
    }
}
