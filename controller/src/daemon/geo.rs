//! Countries and autonomous systems: databases read at start and when their files change, rules made into lists.
use std::collections::BTreeSet;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use crate::adapters::clock;
use crate::adapters::geoip::{self, Geo, GeoFiles, Purpose, Watched};
use crate::config;
use crate::domain::decision::{Kind, Origin};
use crate::domain::desired::Desired;
use crate::domain::geo::{self, GeoList};
use crate::domain::report::GeoRow;
use crate::followed::Followed;
use crate::sync::{Command, Handle, Import, Settings, Shared};

/// How often files and settings are looked at.
const EVERY: Duration = Duration::from_secs(2);
/// The part that problems are noted under.
const PART: &str = "geo";

/// The files that settings name.
fn files(geo: &config::Geo) -> GeoFiles {
    GeoFiles { country: geo.country_file.clone(), asn: geo.asn_file.clone() }
}

/// The lists that settings and databases come to.
fn lists(settings: &Settings, followed: &Followed) -> Vec<GeoList> {
    settings.geo.rules.as_ref().map_or_else(Vec::new, |rules| geo::lists(rules, &followed.table()))
}

/// Reads the databases and puts the rules' lists among those that are desired, before anything is in force. In the place
/// of what cannot be read comes the last good copy, and a problem.
pub(super) fn at_start(
    settings: &Settings,
    state: &Path,
    followed: &Followed,
    desired: &mut Desired,
) -> Option<String> {
    let mut problem = read(&settings.geo, state, followed).err();
    if problem.is_some() {
        let wanted = files(&settings.geo);
        let kept = GeoFiles {
            country: wanted.country.map(|_| copy_of(state, Purpose::Country)),
            asn: wanted.asn.map(|_| copy_of(state, Purpose::Asn)),
        };
        match geoip::load(&kept) {
            Ok(geo) => followed.set_geo(followed.geo_rows(), Some(geo.table)),
            Err(error) => problem = problem.map(|problem| format!("{problem}; nor is there a good copy: {error}")),
        }
    }
    let made = lists(settings, followed);
    let gone: Vec<_> = desired
        .lists()
        .filter(|list| is_geo(&list.origin) && made.iter().all(|made| *made.name != *list.name))
        .map(|list| list.id)
        .collect();
    for id in gone {
        desired.remove_list(id);
    }
    let mut taken = None;
    for made in made {
        match desired.list_for(&made.name, Kind::Deny, &made.origin) {
            Ok(id) => {
                let Some(list) = desired.list_mut(id) else { continue };
                list.usual = made.enforcement;
                settings.apply_to(list);
                list.imported = made.prefixes;
                list.imported_at = Some(clock::now().wall);
            }
            Err(error) => taken = Some(error.to_string()),
        }
    }
    problem.or(taken)
}

fn is_geo(origin: &Origin) -> bool {
    matches!(origin, Origin::Country | Origin::Asn)
}

/// Where the last good copy of a database is kept.
fn copy_of(state: &Path, purpose: Purpose) -> PathBuf {
    state.join(match purpose {
        Purpose::Country => "geo-country.good",
        Purpose::Asn => "geo-asn.good",
    })
}

/// Keeps a copy of databases that were read, for a start at which they cannot be.
fn keep(files: &[geoip::FileFacts], state: &Path) -> std::io::Result<()> {
    for facts in files {
        let kept = copy_of(state, facts.purpose);
        let made = kept.with_extension("new");
        std::fs::copy(&facts.path, &made)?;
        std::fs::File::open(&made)?.sync_all()?;
        std::fs::rename(&made, &kept)?;
    }
    Ok(())
}

/// Reads the databases. A file that is refused leaves the table before in use.
fn read(settings: &config::Geo, state: &Path, followed: &Followed) -> Result<(), String> {
    let before = followed.table();
    let wanted = files(settings);
    let loaded = geoip::load(&wanted).map_err(|error| error.to_string()).and_then(|geo| {
        // A database that is no longer named is not one that shrank.
        let same = followed.geo_rows().iter().map(|row| row.file.clone()).eq(names(&wanted));
        if same {
            geo.table.follows(&before).map_err(|shrunk| shrunk.to_string())?;
        }
        Ok(geo)
    });
    match loaded {
        Ok(geo) => {
            let Geo { table, files } = geo;
            let rows = files.iter().map(row).collect();
            followed.set_geo(rows, Some(table));
            let mut notes: Vec<String> = files.iter().flat_map(|facts| facts.notes.clone()).collect();
            notes.extend(keep(&files, state).err().map(|error| format!("no copy of it could be kept: {error}")));
            if notes.is_empty() { Ok(()) } else { Err(notes.join("; ")) }
        }
        Err(problem) => {
            let mut rows = followed.geo_rows();
            if rows.is_empty() {
                rows = names(&wanted).map(|file| GeoRow { file, ..GeoRow::default() }).collect();
            }
            for row in &mut rows {
                row.problem = Some(problem.clone());
            }
            followed.set_geo(rows, None);
            Err(format!("{problem}; what was read before is still in use"))
        }
    }
}

fn names(files: &GeoFiles) -> impl Iterator<Item = String> {
    files.country.iter().chain(&files.asn).map(|path| path.display().to_string())
}

fn row(facts: &geoip::FileFacts) -> GeoRow {
    GeoRow {
        file: facts.path.display().to_string(),
        knows: match facts.purpose {
            Purpose::Country => "country".to_owned(),
            Purpose::Asn => "asn".to_owned(),
        },
        loaded_at: Some(clock::now().wall),
        built_at: facts.built_at,
        ranges: facts.boundaries as u64,
        problem: None,
    }
}

/// Reads files that change and carries out rules that change, until the daemon stops.
pub(super) async fn follow(shared: Shared, sync: Handle, state: PathBuf) {
    let mut settings = Arc::clone(&shared.read().settled);
    let mut watched = Watched::new(&files(&settings.geo));
    // Lists that could not be put in force, and why the files are not what is in use.
    let (mut outstanding, mut refused) = (false, None);
    loop {
        tokio::time::sleep(EVERY).await;
        // Settings on trial may be undone; lists follow those that stay.
        let now = {
            let state = shared.read();
            if state.pending.is_some() {
                continue;
            }
            Arc::clone(&state.settled)
        };
        let wanted = files(&now.geo);
        let is_new = settings.geo != now.geo;
        if is_new && files(&settings.geo) != wanted {
            watched = Watched::new(&wanted);
        }
        let changed = watched.changed(&wanted);
        if !(changed || is_new || outstanding) {
            continue;
        }
        settings = now;
        let (board, geo, state) = (Arc::clone(&shared.followed), settings.geo.clone(), state.clone());
        if changed || is_new {
            let task = tokio::task::spawn_blocking(move || read(&geo, &state, &board));
            let Ok(read) = task.await else { return };
            refused = read.err();
            // Before the lists are made, which takes its time.
            if sync.send(Command::Problem(PART.to_owned(), refused.clone())).is_err() {
                return;
            }
            if refused.is_some() && !is_new && !outstanding {
                continue;
            }
        }
        let put = put(&shared, &sync, &settings).await;
        outstanding = put.is_err();
        let problem = refused.clone().or(put.err());
        if sync.send(Command::Problem(PART.to_owned(), problem)).is_err() {
            return;
        }
    }
}

/// Puts the lists in force and takes those away that are none any more.
async fn put(shared: &Shared, sync: &Handle, settings: &Arc<Settings>) -> Result<(), String> {
    let (board, all) = (Arc::clone(&shared.followed), Arc::clone(settings));
    let made = tokio::task::spawn_blocking(move || lists(&all, &board)).await.map_err(|error| error.to_string())?;
    let names: BTreeSet<&str> = made.iter().map(|list| list.name.as_str()).collect();
    let gone: Vec<String> = shared
        .read()
        .desired
        .lists()
        .filter(|list| is_geo(&list.origin) && !names.contains(&*list.name))
        .map(|list| list.name.to_string())
        .collect();
    let imports = made
        .into_iter()
        .map(|list| Import {
            kind: Kind::Deny,
            usual: list.enforcement,
            name: list.name,
            origin: list.origin,
            prefixes: list.prefixes,
            ending: Vec::new(),
            dry_run: false,
        })
        .collect();
    let answer = sync.ask(|reply| Command::Lists(imports, gone, PART.to_owned(), reply)).await;
    answer.map(drop).map_err(|error| format!("the rules for countries are not in force: {error}"))
}
