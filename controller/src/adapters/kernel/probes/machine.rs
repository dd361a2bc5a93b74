//! Probes of the machine and of what this process may do, from /proc and /sys.
use std::fs;
use std::io;
use std::os::unix::fs::MetadataExt as _;
use std::path::Path;

use super::Probe;

/// Name of the probe of privileges.
pub(super) const PRIVILEGE: &str = "privilege";

const CAP_NET_ADMIN: u32 = 12;
const CAP_SYS_ADMIN: u32 = 21;
const CAP_PERFMON: u32 = 38;
const CAP_BPF: u32 = 39;

/// `PROC_USER_INIT_INO`: the initial user namespace, fixed since Linux 3.8.
const INITIAL_USER_NAMESPACE: u64 = 0xefff_fffd;

/// The oldest kernel weir is tested on.
const OLDEST: (u32, u32) = (5, 10);

/// Free memory below which two generations of a million addresses would not fit, in MiB.
const ENOUGH_MEMORY: u64 = 256;

/// Probes that need no attempt.
pub(super) fn probes() -> Vec<Probe> {
    vec![release(), privilege(), types(), cpus(), memory()]
}

fn release() -> Probe {
    const NAME: &str = "kernel release";
    let text = match read("/proc/sys/kernel/osrelease") {
        Ok(text) => text,
        Err(found) => return Probe::unknown(NAME, found),
    };
    match version(&text) {
        Some(version) if version >= OLDEST => Probe::good(NAME, text),
        Some(_) => Probe::degraded(
            NAME,
            format!("{text}, older than any weir is tested on"),
            "run Linux 5.10 or later; what this one lacks is named by the probes below",
        ),
        None => Probe::unknown(NAME, format!("{text:?} is not a release weir can read")),
    }
}

/// The first two numbers of a release.
fn version(release: &str) -> Option<(u32, u32)> {
    let mut numbers = release.split(|c: char| !c.is_ascii_digit()).map(str::parse);
    Some((numbers.next()?.ok()?, numbers.next()?.ok()?))
}

/// Whether this process may load XDP programs and attach them.
pub fn privilege() -> Probe {
    let capabilities = match read("/proc/thread-self/status").map(|status| effective(&status)) {
        Ok(Some(capabilities)) => capabilities,
        Ok(None) => return Probe::unknown(PRIVILEGE, "the kernel does not tell this process's capabilities"),
        Err(found) => return Probe::unknown(PRIVILEGE, found),
    };
    match fs::metadata("/proc/thread-self/ns/user") {
        Ok(namespace) if namespace.ino() != INITIAL_USER_NAMESPACE => Probe::missing(
            PRIVILEGE,
            "this process is root in a user namespace of its own only, where the kernel loads no XDP program",
            "start weir outside of it; a container needs the host's user namespace",
        ),
        _ => judge_privilege(capabilities),
    }
}

fn judge_privilege(capabilities: u64) -> Probe {
    let has = |capability: u32| capabilities >> capability & 1 == 1;
    let all = [("NET_ADMIN", CAP_NET_ADMIN), ("BPF", CAP_BPF), ("PERFMON", CAP_PERFMON), ("SYS_ADMIN", CAP_SYS_ADMIN)];
    let names = |held: bool| {
        let names: Vec<_> =
            all.iter().filter(|(_, bit)| has(*bit) == held).map(|(name, _)| format!("CAP_{name}")).collect();
        names.join(" ")
    };
    // CAP_SYS_ADMIN includes CAP_BPF and CAP_PERFMON, and is what kernels before 5.8 ask for instead.
    if !has(CAP_NET_ADMIN) || !(has(CAP_BPF) || has(CAP_SYS_ADMIN)) {
        return Probe::missing(
            PRIVILEGE,
            format!("this process lacks {}", names(false)),
            "run weir as root, or give it CAP_NET_ADMIN CAP_BPF CAP_PERFMON CAP_SYS_ADMIN",
        );
    }
    if !has(CAP_SYS_ADMIN) {
        return Probe::degraded(
            PRIVILEGE,
            format!("{}, without {}", names(true), names(false)),
            "with CAP_SYS_ADMIN weir can also mount a BPF filesystem, enter a network namespace and name other programs",
        );
    }
    Probe::good(PRIVILEGE, names(true))
}

/// The effective capabilities in a `/proc/<pid>/status`, a bit each.
fn effective(status: &str) -> Option<u64> {
    let line = status.lines().find_map(|line| line.strip_prefix("CapEff:"))?;
    u64::from_str_radix(line.trim(), 16).ok()
}

fn types() -> Probe {
    const NAME: &str = "kernel types (BTF)";
    match fs::metadata("/sys/kernel/btf/vmlinux") {
        Ok(file) => Probe::good(NAME, format!("{} KiB", file.len() / 1024)),
        Err(error) if error.kind() == io::ErrorKind::NotFound && Path::new("/sys/kernel").exists() => Probe::degraded(
            NAME,
            "this kernel was built without; weir runs, but tools show its maps without types",
            "a kernel built with CONFIG_DEBUG_INFO_BTF=y has them; those of the distributions are",
        ),
        Err(error) => Probe::unknown(NAME, format!("cannot look at /sys/kernel/btf/vmlinux: {error}")),
    }
}

fn cpus() -> Probe {
    const NAME: &str = "possible CPUs";
    const LIST: &str = "/sys/devices/system/cpu/possible";
    match read(LIST).map(|text| (count(&text), text)) {
        Ok((Some(count), text)) => Probe::good(NAME, format!("{count} ({text}); counters are kept for each")),
        Ok((None, text)) => Probe::unknown(NAME, format!("{LIST} holds {text:?}")),
        Err(found) => Probe::unknown(NAME, found),
    }
}

/// Members of a list like `0-3,7`.
fn count(list: &str) -> Option<u32> {
    let members = |range: &str| {
        let (from, to) = range.split_once('-').unwrap_or((range, range));
        let (from, to): (u32, u32) = (from.parse().ok()?, to.parse().ok()?);
        to.checked_sub(from)?.checked_add(1)
    };
    list.split(',').map(members).sum()
}

fn memory() -> Probe {
    const NAME: &str = "free memory";
    match read("/proc/meminfo").map(|text| available(&text)) {
        Ok(Some(mib)) if mib >= ENOUGH_MEMORY => Probe::good(NAME, format!("{mib} MiB")),
        Ok(Some(mib)) => Probe::degraded(
            NAME,
            format!("{mib} MiB; a million addresses take up to {ENOUGH_MEMORY} MiB while a new generation is built"),
            "free memory, or keep lists below some hundred thousand entries",
        ),
        Ok(None) => Probe::unknown(NAME, "/proc/meminfo does not tell MemAvailable"),
        Err(found) => Probe::unknown(NAME, found),
    }
}

/// `MemAvailable` in MiB.
fn available(meminfo: &str) -> Option<u64> {
    let line = meminfo.lines().find_map(|line| line.strip_prefix("MemAvailable:"))?;
    line.trim().strip_suffix("kB")?.trim().parse::<u64>().ok().map(|kib| kib / 1024)
}

/// Whether maps may be as large as they need to be. Kernels before 5.11 charge them against `RLIMIT_MEMLOCK`; where an
/// attempt could not tell, the release does.
pub(super) fn locked_memory(charged: Option<bool>) -> Probe {
    const NAME: &str = "locked memory";
    const SINCE: (u32, u32) = (5, 11);
    let by_release = || read("/proc/sys/kernel/osrelease").is_ok_and(|text| version(&text) < Some(SINCE));
    if !charged.unwrap_or_else(by_release) {
        return Probe::good(NAME, "maps are not charged against RLIMIT_MEMLOCK on this kernel");
    }
    let mut limit = libc::rlimit { rlim_cur: 0, rlim_max: 0 };
    // SAFETY: the structure is live across the call.
    if unsafe { libc::getrlimit(libc::RLIMIT_MEMLOCK, &raw mut limit) } < 0 {
        return Probe::unknown(NAME, format!("cannot read RLIMIT_MEMLOCK: {}", io::Error::last_os_error()));
    }
    judge_limit(NAME, limit.rlim_cur)
}

/// Lifts `RLIMIT_MEMLOCK` for this process and its children. Kernels before 5.11 charge all maps of a user against it,
/// with 64 KiB as the usual limit; later ones do not look at it.
///
/// # Errors
/// The system call's: `EPERM` without `CAP_SYS_RESOURCE`, which matters on those older kernels only.
pub fn lift_locked_memory() -> io::Result<()> {
    let limit = libc::rlimit { rlim_cur: libc::RLIM_INFINITY, rlim_max: libc::RLIM_INFINITY };
    // SAFETY: the structure is live across the call.
    if unsafe { libc::setrlimit(libc::RLIMIT_MEMLOCK, &raw const limit) } < 0 {
        return Err(io::Error::last_os_error());
    }
    Ok(())
}

fn judge_limit(name: &'static str, limit: libc::rlim_t) -> Probe {
    if limit == libc::RLIM_INFINITY {
        return Probe::good(name, "unlimited, or lifted by weir");
    }
    Probe::degraded(
        name,
        format!("maps are charged against RLIMIT_MEMLOCK, which is {} KiB and could not be lifted", limit / 1024),
        "LimitMEMLOCK=infinity in the service, `ulimit -l unlimited` in a shell, or Linux 5.11",
    )
}

fn read(path: &str) -> Result<String, String> {
    match fs::read_to_string(path) {
        Ok(text) => Ok(text.trim_end().to_owned()),
        Err(error) => Err(format!("cannot read {path}: {error}")),
    }
}

#[cfg(test)]
mod tests {
    use super::super::Outcome;
    use super::*;

    #[test]
    fn releases_are_compared_by_number() {
        assert_eq!(version("6.1.0-18-amd64"), Some((6, 1)));
        assert_eq!(version("5.10"), Some((5, 10)));
        assert_eq!(version("rolling"), None);
        assert!(version("5.9.1") < Some(OLDEST) && version("5.10.0") >= Some(OLDEST));
    }

    #[test]
    fn privileges_that_are_enough_and_those_that_are_not() {
        let check = |held: &[u32], expected: Outcome| {
            let capabilities = held.iter().fold(0, |bits, bit| bits | 1u64 << bit);
            assert_eq!(judge_privilege(capabilities).outcome, expected, "{held:?}");
        };
        check(&[], Outcome::Missing);
        check(&[CAP_BPF], Outcome::Missing);
        check(&[CAP_NET_ADMIN], Outcome::Missing);
        check(&[CAP_SYS_ADMIN], Outcome::Missing);
        check(&[CAP_NET_ADMIN, CAP_BPF, CAP_PERFMON], Outcome::Degraded);
        check(&[CAP_NET_ADMIN, CAP_SYS_ADMIN], Outcome::Good);
        let lacking = judge_privilege(1 << CAP_NET_ADMIN);
        assert_eq!(lacking.found, "this process lacks CAP_BPF CAP_PERFMON CAP_SYS_ADMIN");
        assert_eq!(effective("Name:\tx\nCapEff:\t0000000000201000\n"), Some(1 << 12 | 1 << 21));
        assert_eq!(effective("Name:\tx\n"), None);
    }

    #[test]
    fn cpu_lists_are_counted() {
        assert_eq!(count("0"), Some(1));
        assert_eq!(count("0-3,7,9-10"), Some(7));
        for bad in ["", "a", "3-0", "0-4294967295"] {
            assert_eq!(count(bad), None, "{bad:?}");
        }
    }

    #[test]
    fn memory_is_read_in_mib() {
        assert_eq!(available("MemTotal: 9 kB\nMemAvailable:    2097152 kB\n"), Some(2048));
        assert_eq!(available("MemTotal: 9 kB\n"), None);
    }

    #[test]
    fn a_small_limit_matters_on_old_kernels_only() {
        assert_eq!(locked_memory(Some(false)).outcome, Outcome::Good);
        assert_eq!(judge_limit("x", libc::RLIM_INFINITY).outcome, Outcome::Good);
        let limited = judge_limit("x", 65536);
        assert_eq!(limited.outcome, Outcome::Degraded);
        assert!(limited.found.contains("64 KiB"), "{limited:?}");
    }
}
