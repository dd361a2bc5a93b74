//! The settings and lists a drill is run under.
use std::fs;
use std::io;
use std::path::{Path, PathBuf};

use anyhow::{Context as _, Result};

use super::PROFILE;
use super::place::Place;
use crate::cli::Global;
use crate::commands::settings;
use crate::config::Source;
use crate::domain::drill::settings::{self as private, Places, Private};

/// Files of a state folder that hold no lists: who has it open, and what was found broken.
const NOT_TAKEN: [&str; 2] = ["weir.lock", "weir.db.broken"];

/// What was taken from the operator, or the profile.
#[derive(Debug)]
pub(super) struct Taken {
    text: String,
    /// Keys the environment gave, and their values.
    overrides: Vec<(String, String)>,
    /// Where it came from.
    source: String,
    is_profile: bool,
    state: Option<PathBuf>,
}

impl Taken {
    /// The operator's settings; the profile, where it is wanted or there are none.
    pub(super) fn read(profile: bool, global: &Global) -> Result<Self> {
        if !profile {
            let found = settings::load(global)?;
            let given = found.loaded.settings.iter().filter(|setting| matches!(setting.source, Source::Env(_)));
            let overrides: Vec<_> = given.map(|setting| (setting.key.clone(), setting.value.clone())).collect();
            if found.file.is_some() || !overrides.is_empty() {
                let file = found.file.map_or_else(|| "the environment".to_owned(), |file| file.display().to_string());
                let state = Some(found.loaded.config.state.dir);
                return Ok(Self { text: found.text, overrides, source: file, is_profile: false, state });
            }
        }
        Ok(Self {
            text: PROFILE.to_owned(),
            overrides: Vec::new(),
            source: "profile".to_owned(),
            is_profile: true,
            state: None,
        })
    }

    /// Whether it is the profile.
    pub(super) fn is_profile(&self) -> bool {
        self.is_profile
    }

    /// Where it came from: a file, or `profile`.
    pub(super) fn source(&self) -> &str {
        &self.source
    }

    /// The settings for a drill's daemon.
    pub(super) fn private(&self, place: &Place) -> Result<Private> {
        let [state, bpffs, socket] =
            [place.state(), place.bpffs(), place.socket()].map(|path| path.display().to_string());
        Ok(private::private(&self.text, &self.overrides, Places { state: &state, bpffs: &bpffs, socket: &socket })?)
    }

    /// Copies the stored lists into a drill's state folder; says from where, `None`: there is no store.
    ///
    /// A database that is copied while its daemon writes may come out torn; the drill's daemon finds that by its
    /// checksums and takes the good copy, which is copied first.
    pub(super) fn copy_store(&self, to: &Path) -> Result<Option<PathBuf>> {
        let Some(from) = self.state.as_deref().filter(|state| state.join("weir.db").exists()) else { return Ok(None) };
        copy(from, to).with_context(|| format!("copy the stored lists of {}", from.display()))?;
        Ok(Some(from.to_owned()))
    }
}

/// Copies a folder's files, the good copy of a database first, and its folders.
fn copy(from: &Path, to: &Path) -> io::Result<()> {
    fs::create_dir_all(to)?;
    let mut entries = fs::read_dir(from)?.collect::<io::Result<Vec<_>>>()?;
    entries.sort_by_key(|entry| !entry.file_name().as_encoded_bytes().ends_with(b".good"));
    for entry in entries {
        let name = entry.file_name();
        let kind = entry.file_type()?;
        let (path, into) = (entry.path(), to.join(&name));
        if NOT_TAKEN.iter().any(|prefix| name.as_encoded_bytes().starts_with(prefix.as_bytes())) {
            continue;
        }
        let copied = if kind.is_dir() {
            copy(&path, &into)
        } else if kind.is_file() {
            fs::copy(&path, &into).map(drop)
        } else {
            continue;
        };
        match copied {
            // Replaced or taken away by the daemon meanwhile.
            Err(error) if error.kind() == io::ErrorKind::NotFound => {}
            other => other?,
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use weir_common::traffic::Dimension;

    use super::*;
    use crate::domain::limits::Limit;

    #[test]
    fn lists_are_copied_and_locks_are_not() {
        let (from, to) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
        fs::create_dir(from.path().join("feeds")).unwrap();
        for file in ["weir.db", "weir.db-wal", "weir.db.good", "weir.lock", "weir.db.broken-wal", "feeds/a.json"] {
            fs::write(from.path().join(file), file).unwrap();
        }
        let state = to.path().join("state");
        let mut taken = Taken {
            text: String::new(),
            overrides: Vec::new(),
            source: "x".to_owned(),
            is_profile: false,
            state: Some(from.path().to_owned()),
        };
        assert_eq!(taken.copy_store(&state).unwrap().as_deref(), Some(from.path()));
        let mut names: Vec<_> =
            fs::read_dir(&state).unwrap().map(|entry| entry.unwrap().file_name().into_string().unwrap()).collect();
        names.sort();
        assert_eq!(names, ["feeds", "weir.db", "weir.db-wal", "weir.db.good"]);
        assert_eq!(fs::read_to_string(state.join("feeds/a.json")).unwrap(), "feeds/a.json");
        taken.state = Some(to.path().to_owned());
        assert_eq!(taken.copy_store(&state).unwrap(), None);
    }

    #[test]
    fn the_profile_is_a_configuration_that_limits_sources() {
        let loaded = crate::config::parse(PROFILE, "profile", std::iter::empty()).unwrap();
        let floods = loaded.config.floods;
        let udp = |limit: Option<Limit>| {
            let rate = limit.unwrap().rate(Dimension::Udp).unwrap();
            (rate.per_second().get(), rate.burst().get())
        };
        // What the drills `loud` and `network` are held to.
        assert_eq!((udp(floods.source), udp(floods.network)), ((1_500, 3_000), (7_500, 15_000)));
    }
}
