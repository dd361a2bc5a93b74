//! Probes of the kernel that are small attempts: a program of two or three instructions, a map of one entry.
use std::io;
use std::os::fd::{AsFd as _, AsRawFd as _, BorrowedFd, FromRawFd as _, OwnedFd};

use super::super::sys;
use super::{Outcome, Probe};

const PROGRAMS: &str = "XDP programs";
const LINKS: &str = "BPF links for XDP";
const RING: &str = "ring buffer";
const MAPPED: &str = "memory-mapped arrays";
const INNER: &str = "inner arrays of any size";
const BOOT_CLOCK: &str = "boot-time clock";

/// What weir's program does not run without.
pub(super) const ESSENTIAL: [&str; 6] = [PROGRAMS, LINKS, RING, MAPPED, INNER, BOOT_CLOCK];

const MAP_CREATE: libc::c_long = 0;
const PROG_LOAD: libc::c_long = 5;
const OBJ_GET_INFO_BY_FD: libc::c_long = 15;

const ARRAY: u32 = 2;
const ARRAY_OF_MAPS: u32 = 12;
const RING_BUFFER: u32 = 27;
const MMAPABLE: u32 = 1 << 10;
const INNER_MAP: u32 = 1 << 12;

const PROGRAM_TYPE_XDP: u32 = 6;
const ATTACH_TYPE_XDP: u32 = 37;
const GENERIC_MODE: u32 = 1 << 1;
const KTIME_GET_BOOT_NS: i32 = 125;
const KTIME_GET_COARSE_NS: i32 = 160;

/// The kernel's own number, which user space has no name for.
const ENOTSUPP: i32 = 524;

/// The leading fields of `union bpf_attr` for `BPF_MAP_CREATE`.
#[repr(C)]
#[derive(Default)]
struct Create {
    kind: u32,
    key: u32,
    value: u32,
    entries: u32,
    flags: u32,
    inner: u32,
}

/// The leading fields of `union bpf_attr` for `BPF_PROG_LOAD`.
#[repr(C)]
#[derive(Default)]
struct Load {
    kind: u32,
    count: u32,
    instructions: u64,
    license: u64,
    log_level: u32,
    log_size: u32,
    log: u64,
    kernel: u32,
    flags: u32,
    name: [u8; 16],
    interface: u32,
    attach_type: u32,
}

/// The fields of `union bpf_attr` for `BPF_OBJ_GET_INFO_BY_FD`.
#[repr(C)]
struct Info {
    object: u32,
    len: u32,
    out: u64,
}

/// Makes all attempts.
pub(super) fn probes() -> Vec<Probe> {
    let program = load(None);
    let coarse = load(Some(KTIME_GET_COARSE_NS));
    vec![
        essential(PROGRAMS, program.as_ref().map(|_| "one was loaded".to_owned()), "4.8"),
        just_in_time(program.as_ref().ok()),
        essential(LINKS, link(&program).as_ref().map(|()| "one was made on a loopback of its own".to_owned()), "5.9"),
        essential(RING, ring_buffer().as_ref().map(|_| "one was made".to_owned()), "5.8"),
        essential(MAPPED, mapped().as_ref().map(|()| "one was mapped".to_owned()), "5.5"),
        essential(INNER, inner().as_ref().map(|()| "another size was accepted".to_owned()), "5.10"),
        essential(BOOT_CLOCK, load(Some(KTIME_GET_BOOT_NS)).as_ref().map(|_| "can be called".to_owned()), "5.8"),
        wished(
            "coarse clock",
            coarse.as_ref().map(|_| "can be called".to_owned()),
            "5.11",
            "rate limits read the precise clock, about 20 ns a packet slower",
        ),
        super::machine::locked_memory(charged(&coarse)),
    ]
}

/// Whether maps are charged against `RLIMIT_MEMLOCK`: not on kernels that have the coarse clock, which came with the
/// same release (5.11). `None` where it could not be tried.
fn charged(coarse: &io::Result<OwnedFd>) -> Option<bool> {
    match coarse {
        Ok(_) => Some(false),
        Err(error) => (error.raw_os_error() == Some(libc::EINVAL)).then_some(true),
    }
}

fn essential(name: &'static str, tried: Result<String, &io::Error>, since: &str) -> Probe {
    judge(name, tried, since, Outcome::Missing, "weir does not run without it")
}

fn wished(name: &'static str, tried: Result<String, &io::Error>, since: &str, without: &str) -> Probe {
    judge(name, tried, since, Outcome::Degraded, without)
}

fn judge(name: &'static str, tried: Result<String, &io::Error>, since: &str, absent: Outcome, without: &str) -> Probe {
    let error = match tried {
        Ok(found) => return Probe::good(name, found),
        Err(error) => error,
    };
    match error.raw_os_error() {
        Some(libc::EPERM | libc::EACCES) => Probe::unknown(
            name,
            format!("cannot be tried without privilege, or with too little locked memory: {error}"),
        ),
        Some(libc::EINVAL | libc::EOPNOTSUPP | libc::ENOSYS | libc::E2BIG | ENOTSUPP) => Probe {
            name,
            outcome: absent,
            found: format!("not in this kernel ({error}); Linux has it since {since}; {without}"),
            remedy: Some(if absent == Outcome::Missing {
                "run Linux 5.10 or later; Debian has had it since version 11".to_owned()
            } else {
                format!("run Linux {since} or later")
            }),
        },
        _ => Probe::unknown(name, format!("could not be tried: {error}")),
    }
}

/// Whether the kernel compiled the program: it tells the length of what it made.
fn just_in_time(program: Option<&OwnedFd>) -> Probe {
    const NAME: &str = "just-in-time compiler";
    match program.map(|program| compiled_len(program.as_fd())) {
        None => Probe::unknown(NAME, "cannot be told without a program"),
        Some(Ok(0)) => Probe::degraded(
            NAME,
            "off: programs are interpreted, several times slower",
            "`sysctl -w net.core.bpf_jit_enable=1` on the host, before weir is started",
        ),
        Some(Ok(_)) => Probe::good(NAME, "on"),
        Some(Err(error)) => Probe::unknown(NAME, format!("the kernel does not tell: {error}")),
    }
}

fn compiled_len(program: BorrowedFd<'_>) -> io::Result<u32> {
    // struct bpf_prog_info: type, id, tag[8], jited_prog_len, …
    let mut info = [0u32; 64];
    let mut attr = Info {
        object: program.as_raw_fd().cast_unsigned(),
        len: u32::try_from(size_of_val(&info)).map_err(io::Error::other)?,
        out: (&raw mut info) as u64,
    };
    let _zero = call(OBJ_GET_INFO_BY_FD, &mut attr)?;
    Ok(std::hint::black_box(info)[4])
}

/// Makes a link in generic mode on the loopback of a network namespace that is gone afterwards.
fn link(program: &io::Result<OwnedFd>) -> io::Result<()> {
    let program = match program {
        Ok(program) => program.as_fd(),
        Err(error) => return Err(io::Error::new(error.kind(), format!("no program to link: {error}"))),
    };
    // Every namespace's loopback has index 1.
    in_own_namespace(|| sys::link_create(program, 1, GENERIC_MODE).map(drop))
}

fn in_own_namespace<T: Send>(attempt: impl FnOnce() -> io::Result<T> + Send) -> io::Result<T> {
    std::thread::scope(|scope| {
        let inside = || {
            // SAFETY: takes no pointers; it changes the calling thread only, which ends right after.
            if unsafe { libc::unshare(libc::CLONE_NEWNET) } < 0 {
                return Err(io::Error::last_os_error());
            }
            attempt()
        };
        let thread = std::thread::Builder::new().name("probe".into()).spawn_scoped(scope, inside)?;
        thread.join().unwrap_or_else(|_| Err(io::Error::other("the probe panicked")))
    })
}

fn ring_buffer() -> io::Result<OwnedFd> {
    // A power of two of at least a page.
    let entries = u32::try_from(page()).map_err(io::Error::other)?;
    create(&mut Create { kind: RING_BUFFER, entries, ..Create::default() })
}

fn mapped() -> io::Result<()> {
    let array = array(1, MMAPABLE)?;
    // SAFETY: a fresh mapping of a descriptor we hold, at an address the kernel chooses.
    let start = unsafe {
        libc::mmap(
            std::ptr::null_mut(),
            page(),
            libc::PROT_READ | libc::PROT_WRITE,
            libc::MAP_SHARED,
            array.as_raw_fd(),
            0,
        )
    };
    if start == libc::MAP_FAILED {
        return Err(io::Error::last_os_error());
    }
    // SAFETY: the mapping just made, to which nothing refers.
    unsafe { libc::munmap(start, page()) };
    Ok(())
}

/// An array of two entries behind a template of one.
fn inner() -> io::Result<()> {
    let template = array(1, INNER_MAP)?;
    let larger = array(2, INNER_MAP)?;
    let outer = create(&mut Create {
        kind: ARRAY_OF_MAPS,
        key: 4,
        value: 4,
        entries: 1,
        inner: template.as_raw_fd().cast_unsigned(),
        ..Create::default()
    })?;
    sys::map_update(outer.as_fd(), &[0; 4], &larger.as_raw_fd().to_ne_bytes(), 0)
}

fn array(entries: u32, flags: u32) -> io::Result<OwnedFd> {
    create(&mut Create { kind: ARRAY, key: 4, value: 8, entries, flags, ..Create::default() })
}

fn create(attr: &mut Create) -> io::Result<OwnedFd> {
    call(MAP_CREATE, attr).map(owned)
}

/// Loads an XDP program that calls a helper without arguments, or none, and drops the packet.
fn load(helper: Option<i32>) -> io::Result<OwnedFd> {
    const CALL: u8 = 0x85;
    const MOVE: u8 = 0xb7;
    const EXIT: u8 = 0x95;
    const XDP_PASS: i32 = 2;
    let mut program = Vec::new();
    program.extend(helper.map(|helper| instruction(CALL, helper)));
    program.extend([instruction(MOVE, XDP_PASS), instruction(EXIT, 0)]);
    let mut attr = Load {
        kind: PROGRAM_TYPE_XDP,
        count: u32::try_from(program.len()).map_err(io::Error::other)?,
        instructions: program.as_ptr() as u64,
        license: c"Dual MIT/GPL".as_ptr() as u64,
        attach_type: ATTACH_TYPE_XDP,
        ..Load::default()
    };
    attr.name[..10].copy_from_slice(b"weir_probe");
    call(PROG_LOAD, &mut attr).map(owned)
}

/// `struct bpf_insn`: code, registers (all r0), offset, immediate.
fn instruction(code: u8, immediate: i32) -> [u8; 8] {
    let mut bytes = [code, 0, 0, 0, 0, 0, 0, 0];
    bytes[4..].copy_from_slice(&immediate.to_ne_bytes());
    bytes
}

fn call<T>(command: libc::c_long, attr: &mut T) -> io::Result<i32> {
    // SAFETY: `attr` is the leading part of the command's union and of the length given; its pointers are to memory the
    // callers above keep alive across the call, of the lengths they give.
    let result = unsafe { libc::syscall(libc::SYS_bpf, command, std::ptr::from_mut(attr), size_of::<T>()) };
    if result < 0 {
        return Err(io::Error::last_os_error());
    }
    i32::try_from(result).map_err(io::Error::other)
}

fn owned(fd: i32) -> OwnedFd {
    // SAFETY: the kernel just returned this descriptor to us, and nobody else holds it.
    unsafe { OwnedFd::from_raw_fd(fd) }
}

fn page() -> usize {
    // SAFETY: takes no pointers.
    usize::try_from(unsafe { libc::sysconf(libc::_SC_PAGESIZE) }).unwrap_or(4096)
}

#[cfg(test)]
mod tests {
    use super::super::super::super::system::tests::in_namespace;
    use super::super::super::super::system::xdp::{Mode, attached};
    use super::super::program_name;
    use super::*;

    #[test]
    fn a_helper_no_kernel_has_is_missing_and_no_privilege_is_unknown() {
        let error = load(Some(9999)).expect_err("no such helper");
        assert_eq!(error.raw_os_error(), Some(libc::EINVAL), "this test needs root: {error}");
        assert_eq!(essential(RING, Err(&error), "5.8").outcome, Outcome::Missing);
        assert_eq!(wished("coarse clock", Err(&error), "5.11", "slower").outcome, Outcome::Degraded);
        let error = io::Error::from_raw_os_error(libc::EPERM);
        assert_eq!(essential(RING, Err(&error), "5.8").outcome, Outcome::Unknown);
        let error = io::Error::from_raw_os_error(libc::ENOMEM);
        assert_eq!(essential(RING, Err(&error), "5.8").outcome, Outcome::Unknown);
    }

    #[test]
    fn the_attempt_is_made_on_another_loopback_and_undone() {
        let before = attached(1, program_name).unwrap();
        let program = load(None);
        link(&program).expect("this test needs root");
        assert_eq!(attached(1, program_name).unwrap(), before);
    }

    #[test]
    fn an_attached_program_is_seen_with_name_and_mode() {
        in_namespace(|| {
            let program = load(None).unwrap();
            let link = sys::link_create(program.as_fd(), 1, GENERIC_MODE).unwrap();
            let seen = attached(1, program_name).unwrap();
            assert_eq!(seen.len(), 1, "{seen:?}");
            assert_eq!((seen[0].name.as_deref(), seen[0].mode), (Some("weir_probe"), Mode::Generic));
            let unnamed = attached(1, |_| Err(io::Error::other("not asked"))).unwrap();
            assert_eq!((unnamed[0].program_id, &unnamed[0].name), (seen[0].program_id, &None));
            drop(link);
            assert_eq!(attached(1, program_name).unwrap(), []);
        });
    }

    #[test]
    fn an_array_of_another_size_needs_the_flag() {
        inner().expect("this test needs root");
        let template = array(1, 0).unwrap();
        let larger = array(2, 0).unwrap();
        let inner = template.as_raw_fd().cast_unsigned();
        let attr = Create { kind: ARRAY_OF_MAPS, key: 4, value: 4, entries: 1, inner, ..Create::default() };
        let outer = create(&mut { attr }).unwrap();
        let refused = sys::map_update(outer.as_fd(), &[0; 4], &larger.as_raw_fd().to_ne_bytes(), 0);
        assert_eq!(refused.expect_err("another size").raw_os_error(), Some(libc::EINVAL));
    }
}
