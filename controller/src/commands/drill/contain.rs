//! Process, mount and network namespaces of the command's own, so that nothing is left behind in whatever way it ends.
//!
//! The kernel ends every process of a process namespace with its first one, and takes down mounts, pins and interfaces
//! with the last process that sees them. The first one is told to end with the command itself.
use std::ffi::{CStr, OsString};
use std::fs;
use std::io;
use std::os::unix::process::{CommandExt as _, ExitStatusExt as _};
use std::path::Path;
use std::process::Command;

use anyhow::{Context as _, Result, bail, ensure};
use clap::ValueEnum as _;
use tokio::signal::unix::{SignalKind, signal};

use crate::cli::{DrillArgs, Global};
use crate::commands::failure::{FAILED, Told};

/// Where everything of a drill is kept: a folder the kernel makes on every machine that can run weir. A filesystem in
/// memory is mounted over it, which nobody else sees, and which hides the pins of a running weir from the drill.
pub(super) const SCRATCH: &str = "/sys/fs/bpf";

/// The program that runs now.
pub(super) const OURSELVES: &str = "/proc/self/exe";

/// Starts the command anew, contained, and waits for its end.
pub(super) fn start(args: &DrillArgs, global: &Global) -> Result<()> {
    // SAFETY: takes nothing and always succeeds.
    let user = unsafe { libc::geteuid() };
    ensure!(
        user == 0,
        "a drill makes network namespaces and attaches XDP programs in them, which only root may: run `sudo weir drill`"
    );
    // Children are made in it; this process stays where it is, and can have no threads from here on.
    unshare(libc::CLONE_NEWPID).context("make a process namespace: it takes CAP_SYS_ADMIN")?;
    let mut command = Command::new(OURSELVES);
    // As those who look at processes know it.
    command.arg0("weir").args(line(args, global));
    end_with_parent(&mut command);
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().context("start a runtime")?;
    let status = runtime.block_on(async {
        let mut signals = [SignalKind::interrupt(), SignalKind::terminate(), SignalKind::hangup()].map(signal);
        let [interrupt, terminate, hangup] = &mut signals;
        let (Ok(interrupt), Ok(terminate), Ok(hangup)) = (interrupt, terminate, hangup) else {
            bail!("signals cannot be heeded");
        };
        let mut child = tokio::process::Command::from(command).spawn().context("start weir anew")?;
        loop {
            tokio::select! {
                status = child.wait() => return status.context("wait for the drill's end"),
                _ = interrupt.recv() => {}
                _ = terminate.recv() => {}
                _ = hangup.recv() => {}
            }
            if let Some(pid) = child.id().and_then(|pid| libc::pid_t::try_from(pid).ok()) {
                // SAFETY: the child is not waited for yet, so the number is its own.
                unsafe { libc::kill(pid, libc::SIGTERM) };
            }
        }
    })?;
    match (status.code(), status.signal()) {
        (Some(0), _) => Ok(()),
        (Some(code), _) => Err(Told(u8::try_from(code).unwrap_or(FAILED)).into()),
        (None, signal) => bail!("the drill was ended by signal {}; nothing of it is left", signal.unwrap_or_default()),
    }
}

/// The words the command is started anew with.
fn line(args: &DrillArgs, global: &Global) -> Vec<OsString> {
    let mut line: Vec<OsString> = vec!["drill".into(), "--contained".into()];
    if args.profile {
        line.push("--profile".into());
    }
    line.extend(["--seconds".into(), args.seconds.to_string().into()]);
    line.extend(["--rate".into(), args.rate.to_string().into()]);
    let output = global.output.to_possible_value();
    line.extend(["--output".into(), output.map_or_else(String::new, |value| value.get_name().to_owned()).into()]);
    // What the environment names, the process started anew finds there too.
    if let Some(config) = global.config.as_deref().filter(|_| global.config_on_line) {
        line.extend(["--config".into(), config.into()]);
    }
    line.extend(args.names.iter().map(|name| name.name().into()));
    line
}

/// Makes the private places, as the first process of its namespace.
pub(super) fn enter() -> Result<()> {
    ensure!(std::process::id() == 1, "--contained is for weir itself; run `weir drill` without it");
    unshare(libc::CLONE_NEWNS).context("make a mount namespace")?;
    mount(None, c"/", None, libc::MS_REC | libc::MS_PRIVATE, None).context("keep mounts to this namespace")?;
    // Of this process namespace: what the machine's says of process numbers is not true here.
    mount(Some(c"proc"), c"/proc", Some(c"proc"), libc::MS_NOSUID | libc::MS_NODEV | libc::MS_NOEXEC, None)
        .context("mount /proc")?;
    mount(Some(c"weir"), c"/sys/fs/bpf", Some(c"tmpfs"), libc::MS_NOSUID | libc::MS_NODEV, Some(c"mode=0700"))
        .with_context(|| format!("mount a filesystem in memory at {SCRATCH}; is /sys mounted?"))?;
    // Nothing here has a way to the machine's own interfaces, by mistake neither.
    unshare(libc::CLONE_NEWNET).context("make a network namespace")?;
    Ok(())
}

/// Mounts a BPF filesystem at a folder, which is made.
pub(super) fn mount_bpffs(folder: &Path) -> Result<()> {
    fs::create_dir(folder)?;
    let target = std::ffi::CString::new(folder.as_os_str().as_encoded_bytes())?;
    mount(Some(c"bpf"), &target, Some(c"bpf"), libc::MS_NOSUID | libc::MS_NODEV | libc::MS_NOEXEC, Some(c"mode=0700"))
        .with_context(|| format!("mount a BPF filesystem at {}", folder.display()))
}

/// Takes a mounted filesystem away, at once or as soon as nothing uses it.
pub(super) fn unmount(folder: &Path) -> io::Result<()> {
    let target = std::ffi::CString::new(folder.as_os_str().as_encoded_bytes())?;
    // SAFETY: the name ends with a NUL and lives across the call.
    if unsafe { libc::umount2(target.as_ptr(), libc::MNT_DETACH) } != 0 {
        return Err(io::Error::last_os_error());
    }
    Ok(())
}

/// Has a child ended by SIGKILL once this thread ends: the one that starts it must last as long as it should.
pub(super) fn end_with_parent(command: &mut Command) {
    let end = || {
        // SAFETY: constants only; safe between fork and exec.
        let set = unsafe { libc::prctl(libc::PR_SET_PDEATHSIG, libc::SIGKILL) };
        if set == 0 { Ok(()) } else { Err(io::Error::last_os_error()) }
    };
    // SAFETY: one system call, no memory and no lock.
    unsafe { command.pre_exec(end) };
}

fn unshare(what: libc::c_int) -> io::Result<()> {
    // SAFETY: takes no pointers.
    if unsafe { libc::unshare(what) } != 0 {
        return Err(io::Error::last_os_error());
    }
    Ok(())
}

fn mount(
    source: Option<&CStr>,
    target: &CStr,
    kind: Option<&CStr>,
    flags: libc::c_ulong,
    options: Option<&CStr>,
) -> io::Result<()> {
    let pointer = |text: Option<&CStr>| text.map_or(std::ptr::null(), CStr::as_ptr);
    // SAFETY: all texts end with a NUL and live across the call; none is a null pointer.
    let mounted =
        unsafe { libc::mount(pointer(source), target.as_ptr(), pointer(kind), flags, pointer(options).cast()) };
    if mounted < 0 { Err(io::Error::last_os_error()) } else { Ok(()) }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::cli::{Cli, Command as Said, Output};

    #[test]
    fn the_line_it_is_started_anew_with_means_the_same() {
        for said in ["weir drill", "weir -c /etc/x.toml drill syn mixed --profile --seconds 7 --rate 123 -o json"] {
            let cli = Cli::read(said.split(' ').map(OsString::from)).unwrap();
            let Said::Drill(args) = &cli.command else { panic!("{said}") };
            let again = std::iter::once(OsString::from("weir")).chain(line(args, &cli.global));
            let again = Cli::read(again).unwrap();
            let Said::Drill(inside) = &again.command else { panic!("{said}") };
            assert!(inside.contained);
            assert_eq!((&inside.names, inside.profile), (&args.names, args.profile));
            assert_eq!((inside.seconds, inside.rate), (args.seconds, args.rate));
            assert_eq!((again.global.output, again.global.config), (cli.global.output, cli.global.config));
        }
        assert_eq!(Output::default(), Output::Text);
    }

    #[test]
    fn nobody_else_says_contained() {
        let error = enter().unwrap_err();
        assert!(error.to_string().contains("run `weir drill` without it"), "{error}");
    }
}
