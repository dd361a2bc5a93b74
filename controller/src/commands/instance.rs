//! The pins a command line means: found without the daemon.
use std::collections::HashSet;
use std::fs;
use std::io::ErrorKind;
use std::os::unix::fs::MetadataExt as _;
use std::path::{Path, PathBuf};

use anyhow::{Context as _, Result, bail};

use super::io::Io;
use super::settings;
use crate::adapters::kernel::bpffs;
use crate::adapters::kernel::instance::{FindError, Instance};
use crate::cli::Global;

/// Finds the instance of the configuration, or the only one there is; `None` where nothing is pinned.
///
/// A configuration that was not named and is broken, or whose instance is not there, does not stand in the way: these
/// commands are for when something is wrong.
pub(super) fn find(global: &Global, io: &mut Io) -> Result<Option<Instance>> {
    match settings::load(global) {
        Ok(found) if global.is_config_named() => return of_state(&found).map(there),
        Ok(found) if found.file.is_some() => {
            if let Some(instance) = of_state(&found).map(there)? {
                return Ok(Some(instance));
            }
        }
        Ok(_) => {}
        Err(error) if global.is_config_named() => {
            return Err(error.context("without -c FILE the only instance there is would be taken"));
        }
        Err(error) => io.note(format_args!("the configuration is passed over: {error:#}")),
    }
    only(&filesystems()?)
}

fn of_state(found: &settings::Found) -> Result<Instance> {
    let state = &found.loaded.config.state;
    let root = state.bpffs.as_deref().unwrap_or(Path::new(bpffs::DEFAULT));
    let instance = Instance::of(root, &state.dir);
    // A folder that may not be looked into seems to hold nothing.
    if let Err(error) = fs::read_dir(root)
        && error.kind() == ErrorKind::PermissionDenied
    {
        return Err(error).with_context(|| as_root(root));
    }
    Ok(instance)
}

fn there(instance: Instance) -> Option<Instance> {
    let has_links = instance.pinned_links().is_ok_and(|links| !links.is_empty());
    (instance.is_pinned() || has_links).then_some(instance)
}

fn as_root(path: &Path) -> String {
    format!("look for pins in {}; only root may, so run it as root", path.display())
}

/// The only instance pinned on any of these filesystems.
fn only(roots: &[PathBuf]) -> Result<Option<Instance>> {
    let mut found = Vec::new();
    for root in roots {
        match Instance::only(root) {
            Ok(instance) => found.push((root, instance)),
            Err(FindError::None(_)) => {}
            Err(FindError::Io { error, .. }) if error.kind() == ErrorKind::PermissionDenied => {
                return Err(error).with_context(|| as_root(root));
            }
            Err(error) => return Err(error.into()),
        }
    }
    if found.len() > 1 {
        let places: Vec<String> = found.iter().map(|(root, _)| root.display().to_string()).collect();
        bail!("weir instances are pinned in {}; say which is meant with -c FILE", places.join(" and "));
    }
    Ok(found.pop().map(|(_, instance)| instance))
}

/// Every BPF filesystem this process sees, each once however often it is mounted; the system's first.
fn filesystems() -> Result<Vec<PathBuf>> {
    let mounts = fs::read("/proc/self/mounts").context("read the mounts")?;
    let mut places = vec![PathBuf::from(bpffs::DEFAULT)];
    places.extend(mounted(&mounts));
    let mut seen = HashSet::new();
    // Each mount of a BPF filesystem that is not a copy of another has a device number of its own.
    places.retain(|place| fs::metadata(place).is_ok_and(|meta| seen.insert(meta.dev())));
    Ok(places)
}

/// Where BPF filesystems are mounted, in the words of `/proc/self/mounts` (fstab(5): octal escapes for white space).
fn mounted(mounts: &[u8]) -> Vec<PathBuf> {
    use std::ffi::OsString;
    use std::os::unix::ffi::OsStringExt as _;

    let lines = mounts.split(|byte| *byte == b'\n');
    let places = lines.filter_map(|line| {
        let mut fields = line.split(|byte| *byte == b' ').skip(1);
        let (place, kind) = (fields.next()?, fields.next()?);
        (kind == b"bpf").then(|| PathBuf::from(OsString::from_vec(unescaped(place))))
    });
    places.collect()
}

fn unescaped(field: &[u8]) -> Vec<u8> {
    let mut plain = Vec::with_capacity(field.len());
    let mut rest = field;
    while let [first, after @ ..] = rest {
        let octal = |digit: &u8| (b'0'..=b'7').contains(digit);
        match (first, after) {
            (b'\\', [a, b, c, after @ ..]) if [a, b, c].into_iter().all(octal) => {
                let value = [a, b, c].iter().fold(0u32, |value, digit| value * 8 + u32::from(**digit - b'0'));
                plain.push(u8::try_from(value).unwrap_or(b'?'));
                rest = after;
            }
            _ => {
                plain.push(*first);
                rest = after;
            }
        }
    }
    plain
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn bpf_filesystems_are_found_among_the_mounts() {
        let mounts = b"proc /proc proc rw 0 0\nbpf /sys/fs/bpf bpf rw,mode=700 0 0\nnone /run/a\\040b\\134 bpf rw 0 0\n\ngarbage\n";
        assert_eq!(mounted(mounts), [Path::new("/sys/fs/bpf"), Path::new("/run/a b\\")]);
    }

    #[test]
    fn a_folder_without_pins_holds_no_instance_and_two_with_them_must_be_told_apart() {
        let folders = [tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap()];
        let roots: Vec<PathBuf> = folders.iter().map(|folder| folder.path().to_owned()).collect();
        assert_eq!(only(&roots).unwrap(), None);
        // Only names are looked at here, so ordinary files serve.
        let pinned = |root: &Path, state: &str| {
            let instance = Instance::of(root, Path::new(state));
            instance.create().unwrap();
            fs::write(instance.maps().join("CONTROL"), "").unwrap();
            instance
        };
        let first = pinned(folders[0].path(), "/a");
        assert_eq!(only(&roots).unwrap(), Some(first));
        pinned(folders[1].path(), "/a");
        assert!(only(&roots).unwrap_err().to_string().contains("-c FILE"));
        pinned(folders[0].path(), "/b");
        assert!(only(&roots[..1]).unwrap_err().to_string().contains("-c FILE"));
    }
}
