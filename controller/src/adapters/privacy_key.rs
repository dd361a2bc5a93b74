//! The keys that addresses are hashed with where they are kept: a file in the state folder that only weir can read.
use std::fs::{self, File, OpenOptions, Permissions};
use std::io::{self, Read as _, Write as _};
use std::os::unix::fs::{OpenOptionsExt as _, PermissionsExt as _};
use std::path::{Path, PathBuf};

use jiff::Timestamp;

use crate::domain::privacy::{Key, KeyError, Names, parse_keys, write_keys};

/// The file.
const FILE: &str = "privacy.keys";
/// Bytes it has at the most.
const LARGEST: u64 = 1 << 20;

/// Why there are no keys.
#[derive(Debug, thiserror::Error)]
pub enum KeyFileError {
    /// The file.
    #[error("cannot {action} {path}: {error}", path = path.display())]
    File {
        /// What was attempted.
        action: &'static str,
        /// The file.
        path: PathBuf,
        /// The system's answer.
        error: io::Error,
    },
    /// What is in it.
    #[error("{path}: {error}; put back the file as it was, or move it away to begin with another key: what is kept under \
             the one before is then nobody's any more", path = path.display())]
    Content {
        /// The file.
        path: PathBuf,
        /// What is wrong.
        error: KeyError,
    },
}

fn failed(action: &'static str, path: &Path) -> impl FnOnce(io::Error) -> KeyFileError {
    let path = path.to_owned();
    move |error| KeyFileError::File { action, path, error }
}

/// A key nobody can tell beforehand.
fn new_key(path: &Path, now: Timestamp) -> Result<Key, KeyFileError> {
    let mut secret = [0; 32];
    let read = File::open("/dev/urandom").and_then(|mut source| source.read_exact(&mut secret));
    read.map_err(failed("make a key for", path))?;
    Ok(Key::new(secret, now))
}

/// The names that the keys in `folder` give; a first key is made where there is none.
///
/// # Errors
/// [`KeyFileError`].
pub fn names(folder: &Path, now: Timestamp) -> Result<Names, KeyFileError> {
    let path = folder.join(FILE);
    match File::open(&path) {
        Ok(file) => {
            let mut text = String::new();
            file.take(LARGEST).read_to_string(&mut text).map_err(failed("read", &path))?;
            let keys = parse_keys(&text).map_err(|error| KeyFileError::Content { path, error })?;
            Ok(Names::keyed(keys))
        }
        Err(error) if error.kind() == io::ErrorKind::NotFound => {
            let keys = vec![new_key(&path, now)?];
            write(folder, &keys)?;
            Ok(Names::keyed(keys))
        }
        Err(error) => Err(failed("read", &path)(error)),
    }
}

/// Another key from `now` on. Those before stay, so that what is kept under them is found, unless `forget` is set: then
/// nobody can tell any more whose that was.
///
/// # Errors
/// [`KeyFileError`]: the keys are those before.
pub fn rotate(folder: &Path, before: &Names, forget: bool, now: Timestamp) -> Result<Names, KeyFileError> {
    let mut keys = vec![new_key(&folder.join(FILE), now)?];
    keys.extend(before.keys().iter().filter(|_| !forget).cloned());
    write(folder, &keys)?;
    Ok(Names::keyed(keys))
}

/// Keys that nothing is kept under any more are forgotten: those in place of which others came before `oldest`. `None`:
/// none is.
///
/// # Errors
/// [`KeyFileError`].
pub fn forget_before(folder: &Path, before: &Names, oldest: Timestamp) -> Result<Option<Names>, KeyFileError> {
    let keys = before.keys();
    // A key is used until the one before it in the list was made.
    let kept = 1 + keys.iter().zip(keys.iter().skip(1)).take_while(|(newer, _)| newer.made() >= oldest).count();
    if kept >= keys.len() {
        return Ok(None);
    }
    let keys: Vec<Key> = keys.iter().take(kept).cloned().collect();
    write(folder, &keys)?;
    Ok(Some(Names::keyed(keys)))
}

/// Puts the file in place as a whole.
fn write(folder: &Path, keys: &[Key]) -> Result<(), KeyFileError> {
    let (path, next) = (folder.join(FILE), folder.join(format!("{FILE}.next")));
    let written = (|| {
        fs::create_dir_all(folder)?;
        let mut file = OpenOptions::new().write(true).create(true).truncate(true).mode(0o600).open(&next)?;
        file.set_permissions(Permissions::from_mode(0o600))?;
        file.write_all(write_keys(keys).as_bytes())?;
        file.sync_all()?;
        fs::rename(&next, &path)?;
        File::open(folder)?.sync_all()
    })();
    written.map_err(failed("write", &path))
}

#[cfg(test)]
mod tests {
    use std::net::IpAddr;

    use tempfile::TempDir;

    use super::*;

    fn at(second: i64) -> Timestamp {
        Timestamp::from_second(1_790_000_000 + second).unwrap()
    }

    #[test]
    fn a_key_is_made_once_and_only_weir_may_read_it() {
        let folder = TempDir::new().unwrap();
        let address: IpAddr = "192.0.2.7".parse().unwrap();
        let first = names(folder.path(), at(0)).unwrap().address(address);
        assert_eq!(names(folder.path(), at(9)).unwrap().address(address), first);
        let mode = fs::metadata(folder.path().join(FILE)).unwrap().permissions().mode();
        assert_eq!(mode & 0o777, 0o600);
    }

    #[test]
    fn after_a_rotation_names_are_others_and_those_before_are_still_known_until_they_are_forgotten() {
        let folder = TempDir::new().unwrap();
        let address: IpAddr = "192.0.2.7".parse().unwrap();
        let first = names(folder.path(), at(0)).unwrap();
        let second = rotate(folder.path(), &first, false, at(10)).unwrap();
        assert_ne!(second.address(address), first.address(address));
        assert!(second.all_of(address.into()).contains(&first.address(address)));
        assert_eq!(names(folder.path(), at(11)).unwrap().all_of(address.into()), second.all_of(address.into()));
        // The first was in use until the second was made.
        assert!(forget_before(folder.path(), &second, at(10)).unwrap().is_none());
        let left = forget_before(folder.path(), &second, at(11)).unwrap().unwrap();
        assert!(!left.all_of(address.into()).contains(&first.address(address)));
        let third = rotate(folder.path(), &left, true, at(20)).unwrap();
        assert!(!third.all_of(address.into()).contains(&second.address(address)));
    }

    #[test]
    fn a_broken_file_is_named_with_the_way_out_and_stays_as_it_is() {
        let folder = TempDir::new().unwrap();
        let path = folder.path().join(FILE);
        fs::write(&path, "rubbish").unwrap();
        let error = names(folder.path(), at(0)).unwrap_err().to_string();
        assert!(error.contains("privacy.keys") && error.contains("move it away"), "{error}");
        assert_eq!(fs::read_to_string(&path).unwrap(), "rubbish");
    }
}
