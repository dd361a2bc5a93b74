//! Every country of the world in the tables, with a threat feed and a million addresses.
use std::env;
use std::fs;
use std::io::Write;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::sync::atomic::AtomicBool;
use std::time::Instant;

use anyhow::{Context as _, Result, bail, ensure};
use ipnet::IpNet;
use weir::adapters::geoip::{self, GeoFiles};
use weir::domain::decision::{Kind, Origin};
use weir::domain::desired::Desired;
use weir::domain::geo::{Rules, Selector, Unknown, lists};
use weir::domain::guard::Guards;
use weir::domain::prefixes::Prefixes;
use weir::domain::tables::{self, Capacity, Image};
use weir_common::verdict::Verdict;

use super::{Follow, between};
use crate::bench::import::List;
use crate::bench::lists::{KEY, address};
use crate::bench::rig::{Family, Numbers, Program, Rig};

/// Names a country database.
const VARIABLE: &str = "WEIR_TEST_GEO";

/// Where one comes from otherwise, and the file in it.
const PACKAGE: &str = "@ip-location-db/geo-whois-asn-country-mmdb";
const FILE: &str = "package/geo-whois-asn-country.mmdb";

const MILLION: u64 = 1_000_000;

pub(super) fn measure(
    follow: &mut Follow,
    rounds: usize,
    packets: u32,
    progress: &mut impl Write,
    stop: &AtomicBool,
) -> Result<()> {
    let folder = tempfile::tempdir()?;
    let database = match database(folder.path()) {
        Ok(database) => database,
        Err(why) => {
            follow
                .skip(format!("the world: {VARIABLE} names no country database, and there is none to fetch: {why:#}"));
            return Ok(());
        }
    };
    writeln!(progress, "follow: the world by {}, {rounds} rounds", database.display())?;
    let files = GeoFiles { country: Some(database), asn: None };
    let feed = List::find()?;
    let million: Vec<IpNet> = (0..MILLION).map(|number| address(Family::V4, number)).collect();
    let one = desired_of([("block".to_owned(), Origin::Operator, Prefixes::new(million.iter().copied()))])?;
    let one = image_of(&one)?;

    let mut rig = Rig::load()?;
    let (mut read, mut made, mut built, mut flipped) = (Vec::new(), Vec::new(), Vec::new(), Vec::new());
    let (mut whole, mut merged) = (None, None);
    let mut shape = String::new();
    for _ in 0..rounds.min(5) {
        crate::bench::go_on(stop)?;
        let start = Instant::now();
        let geo = geoip::load(&files).map_err(|error| anyhow::anyhow!("{error}"))?;
        read.push(between(start, Instant::now()));
        let all = geo.table.countries.values().into_iter().map(Selector::Country).collect();
        let rules = Rules::new(all, Vec::new(), Vec::new(), None, Unknown::Pass)?;
        let start = Instant::now();
        let countries = lists(&rules, &geo.table);
        made.push(between(start, Instant::now()));
        let prefixes: usize = countries.iter().map(|list| list.prefixes.len()).sum();
        shape = format!("{} countries in {prefixes} prefixes, {}, {MILLION} addresses", countries.len(), feed.name);
        let countries = countries.into_iter().map(|list| (list.name, list.origin, list.prefixes));
        let feed = feed.addresses().into_iter().map(|address| IpNet::from(std::net::IpAddr::V4(address)));
        let others = [
            ("feed".to_owned(), Origin::Feed(0), Prefixes::new(feed)),
            ("block".to_owned(), Origin::Operator, Prefixes::new(million.iter().copied())),
        ];
        let desired = desired_of(others.into_iter().chain(countries))?;
        let start = Instant::now();
        let image = image_of(&desired)?;
        built.push(between(start, Instant::now()));
        let start = Instant::now();
        rig.fill(&image)?;
        flipped.push(between(start, Instant::now()));
        if merged.is_none() {
            let all = desired.lists().flat_map(|list| list.imported.iter());
            let all = Prefixes::new(all.collect::<Vec<IpNet>>());
            merged = Some(image_of(&desired_of([("block".to_owned(), Origin::Operator, all)])?)?);
        }
        whole = Some(image);
    }
    let (whole, merged) = (whole.context("no round")?, merged.context("no round")?);
    writeln!(progress, "follow: {shape}")?;
    follow.row("world: read the country database", "ms", read);
    follow.row("world: lists of every country from it", "ms", made);
    follow.row(format!("world: build the tables ({shape})"), "ms", built);
    follow.row("world: write them into the kernel and flip", "ms", flipped);
    follow.row("world: kernel memory of a generation", "MiB", vec![mib(&whole)?]);
    follow.row(format!("world: the same of one list of {MILLION} addresses"), "MiB", vec![mib(&one)?]);
    let every = Numbers { first: 0, count: Family::V4.numbers() };
    for (sources, numbers) in [("any source", every), ("listed source", Numbers { first: 0, count: MILLION })] {
        let (mut alone, mut same, mut with) = (Vec::new(), Vec::new(), Vec::new());
        for _ in 0..rounds {
            crate::bench::go_on(stop)?;
            for (image, into) in [(&one, &mut alone), (&merged, &mut same), (&whole, &mut with)] {
                rig.fill(image)?;
                into.push(net(&mut rig, numbers, packets)?);
            }
        }
        follow.row(format!("world: a packet, {sources}, one list of {MILLION} addresses"), "ns", alone);
        follow.row(format!("world: a packet, {sources}, the same prefixes as the world's in one list"), "ns", same);
        follow.row(format!("world: a packet, {sources}, the whole world"), "ns", with);
    }
    Ok(())
}

/// Nanoseconds a packet over an empty program, the second of two runs of each.
fn net(rig: &mut Rig, numbers: Numbers, packets: u32) -> Result<f64> {
    let mut net = 0.0;
    for _ in 0..2 {
        rig.restart_draws();
        let without = rig.run(Family::V4, Program::Empty, numbers, packets)?;
        rig.restart_draws();
        let with = rig.run(Family::V4, Program::Weir, numbers, packets)?;
        let of = |verdict| with.counted.iter().find(|(v, _)| *v == verdict).map_or(0, |(_, packets)| *packets);
        let judged = [Verdict::Denied, Verdict::Feed, Verdict::Country, Verdict::Pass].into_iter().map(of).sum::<u64>();
        ensure!(judged == u64::from(packets), "{packets} packets were counted as {:?}", with.counted);
        net = f64::from(u32::try_from(with.ns)?) - f64::from(u32::try_from(without.ns)?);
    }
    Ok(net)
}

fn mib(image: &Image) -> Result<f64> {
    Ok(f64::from(u32::try_from(image.sizes.bytes / 1024)?) / 1024.0)
}

fn desired_of(lists: impl IntoIterator<Item = (String, Origin, Prefixes)>) -> Result<Desired> {
    let mut desired = Desired::new();
    for (name, origin, prefixes) in lists {
        let id = desired.list_for(&name, Kind::Deny, &origin)?;
        if let Some(list) = desired.list_mut(id) {
            list.imported = prefixes;
        }
    }
    Ok(desired)
}

fn image_of(desired: &Desired) -> Result<Image> {
    let capacity = Capacity { addresses: 20_000_000, prefixes: 20_000_000, bytes: 1 << 32 };
    Ok(tables::build(desired, &Guards::default(), capacity, 0, KEY)?)
}

/// The database that is named, or the one of the package, fetched into a folder.
fn database(folder: &Path) -> Result<PathBuf> {
    if let Some(named) = env::var_os(VARIABLE).map(PathBuf::from) {
        ensure!(named.is_file(), "{VARIABLE} names {}, which is no file", named.display());
        return Ok(named);
    }
    run(Command::new("npm").args(["pack", "--silent", PACKAGE]).current_dir(folder))?;
    let packed = fs::read_dir(folder)?
        .filter_map(|entry| Some(entry.ok()?.path()))
        .find(|path| path.extension().is_some_and(|extension| extension == "tgz"));
    run(Command::new("tar").arg("xzf").arg(packed.context("npm made no file")?).arg(FILE).current_dir(folder))?;
    Ok(folder.join(FILE))
}

fn run(command: &mut Command) -> Result<()> {
    let output = command.stdin(Stdio::null()).output().with_context(|| format!("start {command:?}"))?;
    if !output.status.success() {
        bail!("{command:?}: {}", String::from_utf8_lossy(&output.stderr).lines().next().unwrap_or_default());
    }
    Ok(())
}
