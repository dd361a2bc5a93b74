//! The configuration a command line means, read here and not by the daemon.
use std::env;
use std::fs::File;
use std::io::{ErrorKind, Read as _};
use std::path::{Path, PathBuf};

use anyhow::{Context as _, Result};

use crate::cli::Global;
use crate::config::{self, LARGEST, Loaded, Source};
use crate::domain::report::SettingRow;

/// Where the daemon listens by default.
const DEFAULT_SOCKET: &str = "/run/weir/weir.sock";

/// What was found under a configuration's path.
#[derive(Debug)]
pub struct Found {
    /// Its settings.
    pub loaded: Loaded,
    /// The file they came from; `None`: there is none, and all settings have their defaults or come from the environment.
    pub file: Option<PathBuf>,
}

/// Reads the configuration the command line means. Where none is named and none lies in the usual place, every setting
/// has its default.
///
/// # Errors
/// What is wrong with the file, with its place; or why it cannot be read.
pub fn load(global: &Global) -> Result<Found> {
    let path = global.config_path();
    let bytes = match read(path) {
        Ok(bytes) => Some(bytes),
        Err(error) if error.kind() == ErrorKind::NotFound && !global.is_config_named() => None,
        Err(error) => return Err(error).with_context(|| format!("read the configuration {}", path.display())),
    };
    let file = bytes.is_some().then(|| path.to_owned());
    let loaded = config::parse_bytes(&bytes.unwrap_or_default(), &path.display().to_string(), environment())?;
    Ok(Found { loaded, file })
}

fn read(path: &Path) -> std::io::Result<Vec<u8>> {
    let mut bytes = Vec::new();
    // One byte more than may be, so that too much is seen as such.
    File::open(path)?.take(LARGEST as u64 + 1).read_to_end(&mut bytes)?;
    Ok(bytes)
}

/// The environment, without what is no text: none of it is weir's.
fn environment() -> impl Iterator<Item = (String, String)> {
    env::vars_os().filter_map(|(name, value)| Some((name.into_string().ok()?, value.into_string().ok()?)))
}

/// The socket of the daemon that the command line means.
///
/// A configuration that was not named may be unreadable to whoever may well use the socket, or broken while its daemon
/// runs on: then the daemon is looked for in the usual place.
///
/// # Errors
/// Those of [`load`], where the command line names a configuration and no socket.
pub fn socket(global: &Global) -> Result<PathBuf> {
    if let Some(socket) = &global.socket {
        return Ok(socket.clone());
    }
    match load(global) {
        Ok(found) => Ok(found.loaded.config.api.socket),
        Err(error) if global.is_config_named() => Err(error),
        Err(_) => Ok(PathBuf::from(DEFAULT_SOCKET)),
    }
}

/// The settings as the API tells them.
pub fn rows(found: &Found) -> Vec<SettingRow> {
    let name = found.file.as_deref().and_then(Path::file_name).unwrap_or_default().to_string_lossy();
    let rows = found.loaded.settings.iter().map(|setting| SettingRow {
        key: setting.key.clone(),
        value: setting.value.clone(),
        source: match &setting.source {
            Source::Default => "default".to_owned(),
            Source::File { line } => format!("{name}:{line}"),
            Source::Env(variable) => variable.clone(),
        },
    });
    rows.collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn global(config: Option<&Path>) -> Global {
        Global { config: config.map(Path::to_owned), ..Global::default() }
    }

    #[test]
    fn a_named_file_must_be_there_and_must_be_right() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("weir.toml");
        let error = load(&global(Some(&path))).unwrap_err();
        assert!(error.to_string().contains("weir.toml"), "{error}");
        std::fs::write(&path, "mode = \"generic\"\n[api]\nsocket = \"/tmp/x.sock\"\n").unwrap();
        let found = load(&global(Some(&path))).unwrap();
        assert_eq!(found.file.as_deref(), Some(path.as_path()));
        let rows = rows(&found);
        let source = |key: &str| rows.iter().find(|row| row.key == key).map(|row| row.source.as_str());
        assert_eq!((source("mode"), source("enforcement")), (Some("weir.toml:1"), Some("default")));
        assert_eq!(socket(&global(Some(&path))).unwrap(), Path::new("/tmp/x.sock"));
        std::fs::write(&path, "mod = \"generic\"\n").unwrap();
        let error = load(&global(Some(&path))).unwrap_err().to_string();
        assert!(error.contains("weir.toml:1:1") && error.contains("mode"), "{error}");
        assert!(socket(&global(Some(&path))).is_err());
    }

    #[test]
    fn a_socket_that_was_named_is_the_one() {
        let mut global = global(Some(Path::new("/nonexistent")));
        global.socket = Some("/tmp/y.sock".into());
        assert_eq!(socket(&global).unwrap(), Path::new("/tmp/y.sock"));
    }
}
