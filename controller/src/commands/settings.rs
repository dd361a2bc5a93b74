//! The configuration a command line means, read here and not by the daemon.
use std::path::{Path, PathBuf};

use anyhow::Result;

use crate::cli::Global;
use crate::config::Loaded;
use crate::daemon::load;
use crate::domain::report::SettingRow;

/// Where the daemon listens by default.
const DEFAULT_SOCKET: &str = "/run/weir/weir.sock";

/// What was found under a configuration's path.
#[derive(Debug)]
pub struct Found {
    /// Its text.
    pub text: String,
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
    let (text, loaded) = load::read(global.config.as_deref())?;
    let file = (global.is_config_named() || path.exists()).then(|| path.to_owned());
    Ok(Found { text, loaded, file })
}

/// The socket of the daemon that the command line means.
///
/// A configuration that was not named may be unreadable to whoever may well use the socket, or broken while its daemon
/// runs on: then the daemon is looked for in the usual place.
///
/// # Errors
/// Those of [`load()`], where the command line names a configuration and no socket.
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
    let file = found.file.as_deref().unwrap_or(Path::new(load::DEFAULT_FILE));
    load::rows(&found.loaded, &file.display().to_string())
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
        let source = |key: &str| rows.iter().find(|row| row.key == key).map(|row| row.source.clone());
        assert_eq!(source("mode"), Some(format!("{}:1", path.display())));
        assert_eq!(source("enforcement").as_deref(), Some("default"));
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
