//! Mount namespaces, and which of them lasts.
//!
//! A process may not open another's `/proc/<pid>/ns/mnt` without the right to trace it, which root can lack over
//! process 1. But `/proc/<pid>/mountinfo` is open to all, and the kernel gives every mount an id that no other mount has
//! at the time, in whatever namespace: two processes that see one mount of the same id are in the same namespace.
use std::collections::HashSet;
use std::fs;
use std::io;
use std::os::unix::fs::MetadataExt as _;

/// Inode numbers only the initial mount namespace can have. Since Linux 6.17 it is fixed (`MNT_NS_INIT_INO`). Before, it
/// was the first or the second of the numbers given out at boot (from `PROC_DYNAMIC_FIRST`); the other one of the two
/// went to something else that never goes away, as both do on newer kernels.
const INITIAL: [u64; 3] = [0xefff_fff8, 0xf000_0000, 0xf000_0001];

/// `PROC_PID_INIT_INO`: the initial process namespace, fixed since Linux 3.8.
const INITIAL_PID_NAMESPACE: u64 = 0xefff_fffc;

/// A line of mountinfo.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Mount {
    pub(super) id: u32,
    /// `major:minor` of the filesystem.
    pub(super) device: String,
    pub(super) kind: String,
    /// Either the mount or the filesystem.
    pub(super) read_only: bool,
}

/// The mount namespace that lasts, as seen from the calling thread.
#[derive(Debug)]
pub(super) enum Home {
    /// We are in it.
    Ours,
    /// It is another, with these mounts.
    Theirs(Vec<Mount>),
    /// It is another, and we cannot see it.
    Unknown,
}

impl Home {
    /// Finds it.
    ///
    /// In this order: the initial namespace lasts. Process 1's lasts as long as the machine or the container. Where
    /// that cannot be read, the first one of our parents' that is not ours at least outlives us.
    pub(super) fn find() -> io::Result<Self> {
        if fs::metadata("/proc/thread-self/ns/mnt").is_ok_and(|namespace| INITIAL.contains(&namespace.ino())) {
            return Ok(Self::Ours);
        }
        let own = parse(&fs::read("/proc/thread-self/mountinfo")?);
        let first = fs::read("/proc/1/mountinfo").map(|text| parse(&text));
        Ok(match first {
            Ok(_) if we_are_a_containers_first_process() => Self::Unknown,
            Ok(first) if share_a_mount(&own, &first) => Self::Ours,
            Ok(first) => Self::Theirs(first),
            Err(_) => parents(std::process::id())
                .filter_map(|pid| fs::read(format!("/proc/{pid}/mountinfo")).ok())
                .map(|text| parse(&text))
                .find(|theirs| !share_a_mount(&own, theirs))
                .map_or(Self::Unknown, Self::Theirs),
        })
    }
}

/// Then our end is the end of our mount namespace, and no other can be seen from inside.
fn we_are_a_containers_first_process() -> bool {
    std::process::id() == 1
        && fs::metadata("/proc/self/ns/pid").is_ok_and(|namespace| namespace.ino() != INITIAL_PID_NAMESPACE)
}

/// The processes above this one, nearest first.
fn parents(pid: u32) -> impl Iterator<Item = u32> {
    std::iter::successors(Some(pid), |pid| parent(&fs::read_to_string(format!("/proc/{pid}/stat")).ok()?)).skip(1)
}

/// The parent in a line of `/proc/<pid>/stat`; `None` at the top.
fn parent(stat: &str) -> Option<u32> {
    // The name in parentheses may hold spaces and parentheses itself.
    let (_, rest) = stat.rsplit_once(')')?;
    rest.split_whitespace().nth(1)?.parse().ok().filter(|parent| *parent != 0)
}

fn share_a_mount(one: &[Mount], other: &[Mount]) -> bool {
    let ids: HashSet<_> = one.iter().map(|mount| mount.id).collect();
    other.iter().any(|mount| ids.contains(&mount.id))
}

/// Parses mountinfo (proc(5)): id, parent, device, root, mount point, options, optional fields up to a hyphen, kind,
/// source, the filesystem's options. Paths may be of any bytes.
pub(super) fn parse(text: &[u8]) -> Vec<Mount> {
    String::from_utf8_lossy(text).lines().filter_map(mount).collect()
}

fn mount(line: &str) -> Option<Mount> {
    let (front, back) = line.split_once(" - ")?;
    let (mut front, mut back) = (front.split(' '), back.split(' '));
    let id = front.next()?.parse().ok()?;
    let device = front.nth(1)?.to_owned();
    let options = front.nth(2)?;
    let kind = back.next()?.to_owned();
    let of_filesystem = back.nth(1)?;
    let read_only = [options, of_filesystem].iter().any(|options| options.split(',').any(|option| option == "ro"));
    Some(Mount { id, device, kind, read_only })
}

#[cfg(test)]
mod tests {
    use super::*;

    const TEXT: &[u8] = b"22 27 0:21 / /proc rw,relatime - proc proc rw\n\
        31 23 0:28 / /sys/fs/bpf ro,nosuid shared:9 master:2 - bpf bpf rw,mode=700\n\
        66 46 0:39 / /a\\040b\xff rw - bpf bpf ro\n\
        not a mount\n\
        67 46 0:40";

    #[test]
    fn mountinfo_is_read_with_and_without_optional_fields() {
        let of =
            |id, device: &str, kind: &str, read_only| Mount { id, device: device.into(), kind: kind.into(), read_only };
        assert_eq!(
            parse(TEXT),
            [of(22, "0:21", "proc", false), of(31, "0:28", "bpf", true), of(66, "0:39", "bpf", true)]
        );
    }

    #[test]
    fn a_name_with_parentheses_does_not_hide_the_parent() {
        assert_eq!(parent("7 (a) R 3) S 5 7 7 0"), Some(5));
        assert_eq!(parent("1 (init) S 0 1 1 0"), None);
        assert_eq!(parent(""), None);
    }

    #[test]
    fn parents_lead_up_to_the_first_process() {
        let pids: Vec<_> = parents(std::process::id()).collect();
        assert!(!pids.is_empty() && !pids.contains(&std::process::id()), "{pids:?}");
        assert!(pids.len() < 1000);
    }

    #[test]
    fn one_common_id_is_the_same_namespace() {
        let mounts = parse(TEXT);
        assert!(share_a_mount(&mounts, &mounts[1..2]));
        assert!(!share_a_mount(&mounts[..1], &mounts[1..]));
    }
}
