//! `weir detach`: off every interface and out of the kernel, whether a daemon runs or not.
use std::collections::BTreeMap;
use std::fmt::{self, Write};
use std::os::fd::AsFd as _;

use anyhow::{Context as _, Result};
use serde::Serialize;

use super::instance;
use super::io::Io;
use crate::adapters::kernel::instance::Instance;
use crate::adapters::kernel::{probes, sys};
use crate::adapters::system::{interfaces, xdp};
use crate::cli::{DetachArgs, Global};

/// What `detach` took away, or would.
#[derive(Debug, Serialize)]
struct Report {
    /// Whether anything was there.
    changed: bool,
    /// Whether it was only tried.
    dry_run: bool,
    /// Interfaces it was attached to.
    interfaces: Vec<Row>,
    /// The folder of its pins.
    pins: Option<String>,
}

/// An interface.
#[derive(Debug, Serialize)]
struct Row {
    /// Its index.
    index: u32,
    /// Its name in this network namespace; `null`: it is in another, or gone.
    name: Option<String>,
}

pub(super) fn run(args: DetachArgs, global: &Global, io: &mut Io) -> Result<()> {
    let report = match instance::find(global, io)? {
        None => Report { changed: false, dry_run: args.dry_run, interfaces: Vec::new(), pins: None },
        Some(instance) => take_off(&instance, args.dry_run)?,
    };
    io.report(global.output, &report, |report, _, into| view(report, into))?;
    Ok(())
}

fn take_off(instance: &Instance, dry_run: bool) -> Result<Report> {
    let folder = instance.links().parent().map(|folder| folder.display().to_string());
    let names = names(instance);
    let attached = if dry_run {
        let links = instance.pinned_links().context("read the pinned links; only root may")?;
        links.into_iter().map(|(index, _)| index).collect()
    } else {
        instance.detach().context("detach; only root may, and what is off by now stays off")?
    };
    let interfaces = attached.into_iter().map(|index| Row { index, name: names.get(&index).cloned() }).collect();
    Ok(Report { changed: true, dry_run, interfaces, pins: folder })
}

/// Names of the interfaces that are attached to, for reading only. An index means another interface in another network
/// namespace, so a name counts only where the link's program is on it.
fn names(instance: &Instance) -> BTreeMap<u32, String> {
    let links = instance.pinned_links().unwrap_or_default();
    let known = interfaces::list().unwrap_or_default();
    let mut names = BTreeMap::new();
    for (index, pin) in links {
        let Ok(info) = sys::open_pin(&pin).and_then(|link| sys::link_info(link.as_fd())) else { continue };
        let there = xdp::attached(index, probes::program_name).unwrap_or_default();
        if there.iter().any(|attached| attached.program_id == info.program_id)
            && let Some(interface) = known.iter().find(|interface| interface.index == index)
        {
            names.insert(index, interface.name.clone());
        }
    }
    names
}

fn view(report: &Report, into: &mut impl Write) -> fmt::Result {
    if !report.changed {
        return writeln!(into, "no weir is attached here");
    }
    let would = if report.dry_run { "would be " } else { "" };
    for row in &report.interfaces {
        match &row.name {
            Some(name) => writeln!(into, "{would}detached from {name} (index {})", row.index)?,
            None => writeln!(into, "{would}detached from the interface with index {}", row.index)?,
        }
    }
    if let Some(pins) = &report.pins {
        writeln!(into, "{would}removed: {pins}")?;
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn text(report: &Report) -> String {
        let mut text = String::new();
        view(report, &mut text).unwrap();
        text
    }

    #[test]
    fn what_goes_is_named() {
        let mut report = Report {
            changed: true,
            dry_run: true,
            interfaces: vec![Row { index: 2, name: Some("eth0".into()) }, Row { index: 7, name: None }],
            pins: Some("/sys/fs/bpf/weir/abc".into()),
        };
        let expected = "\
would be detached from eth0 (index 2)
would be detached from the interface with index 7
would be removed: /sys/fs/bpf/weir/abc
";
        assert_eq!(text(&report), expected);
        report.dry_run = false;
        assert!(text(&report).starts_with("detached from eth0 (index 2)\n"));
        report.changed = false;
        assert_eq!(text(&report), "no weir is attached here\n");
    }
}
