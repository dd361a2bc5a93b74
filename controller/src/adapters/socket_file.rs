//! Sockets in the file system: made where nothing is lost, and for nobody but those who may use them.
use std::fs;
use std::io;
use std::os::unix::fs::{FileTypeExt as _, PermissionsExt as _};
use std::path::{Path, PathBuf};

/// Why there is no socket.
#[derive(Debug, thiserror::Error)]
pub enum SocketError {
    /// Something that is not a socket is in the way.
    #[error("{path} exists and is not a socket; remove it or set {setting} to another path")]
    InTheWay {
        /// Where.
        path: PathBuf,
        /// The setting that names it.
        setting: &'static str,
    },
    /// Another daemon answers there.
    #[error("another daemon answers at {path}; stop it, or set {setting} to another path")]
    Alive {
        /// Where.
        path: PathBuf,
        /// The setting that names it.
        setting: &'static str,
    },
    /// No such group.
    #[error("there is no group {group:?}; make it, or change {setting}")]
    NoGroup {
        /// Its name.
        group: String,
        /// The setting that names it.
        setting: &'static str,
    },
    /// Anything else.
    #[error("{what} {path}: {error}")]
    Io {
        /// What was tried.
        what: &'static str,
        /// Where.
        path: PathBuf,
        /// The system call's error.
        #[source]
        error: io::Error,
    },
}

/// Where a socket is to be, and whose.
#[derive(Clone, Copy, Debug)]
pub struct Place<'a> {
    /// Its path.
    pub path: &'a Path,
    /// The group that may use it, by name.
    pub group: Option<&'a str>,
    /// What the settings call the path, for errors.
    pub setting: &'static str,
    /// What the settings call the group.
    pub group_setting: &'static str,
}

impl Place<'_> {
    /// Makes the socket: in a folder of its own (0750) if there is none, mode 0660, of the given group. `answers` says
    /// whether somebody is at a socket that is there already.
    ///
    /// # Errors
    /// [`SocketError`]; what is in the way is only removed if it is a socket nobody answers at.
    pub fn bind<T>(
        &self,
        answers: impl FnOnce(&Path) -> bool,
        bind: impl FnOnce(&Path) -> io::Result<T>,
    ) -> Result<T, SocketError> {
        let path = self.path;
        let io = |what: &'static str| {
            let path = path.to_path_buf();
            move |error| SocketError::Io { what, path, error }
        };
        let gid = self.group.map(|group| self.group_id(group)).transpose()?;
        if let Some(folder) = path.parent()
            && !folder.exists()
        {
            fs::create_dir_all(folder).map_err(io("make the folder of"))?;
            fs::set_permissions(folder, fs::Permissions::from_mode(0o750)).map_err(io("protect the folder of"))?;
            if let Some(gid) = gid {
                std::os::unix::fs::chown(folder, None, Some(gid)).map_err(io("give the folder to the group of"))?;
            }
        }
        match fs::symlink_metadata(path) {
            Ok(there) if there.file_type().is_socket() => {
                if answers(path) {
                    return Err(SocketError::Alive { path: path.to_path_buf(), setting: self.setting });
                }
                fs::remove_file(path).map_err(io("remove the stale socket"))?;
            }
            Ok(_) => return Err(SocketError::InTheWay { path: path.to_path_buf(), setting: self.setting }),
            Err(error) if error.kind() == io::ErrorKind::NotFound => {}
            Err(error) => return Err(io("look at")(error)),
        }
        // Nobody but us from birth; opened to the group only once it is right.
        // SAFETY: sets the process's mask and returns the old one; no memory is involved.
        let old = unsafe { libc::umask(0o177) };
        let bound = bind(path);
        // SAFETY: as above.
        unsafe { libc::umask(old) };
        let socket = bound.map_err(io("listen at"))?;
        if let Some(gid) = gid {
            std::os::unix::fs::chown(path, None, Some(gid)).map_err(io("give to the group"))?;
        }
        fs::set_permissions(path, fs::Permissions::from_mode(0o660)).map_err(io("set the mode of"))?;
        Ok(socket)
    }

    fn group_id(&self, name: &str) -> Result<u32, SocketError> {
        let groups = fs::read_to_string("/etc/group").unwrap_or_default();
        groups
            .lines()
            .find_map(|line| {
                let mut fields = line.split(':');
                let (group, _, gid) = (fields.next()?, fields.next()?, fields.next()?);
                (group == name).then(|| gid.parse().ok()).flatten()
            })
            .ok_or_else(|| SocketError::NoGroup { group: name.to_owned(), setting: self.group_setting })
    }
}
