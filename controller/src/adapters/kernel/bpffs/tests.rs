//! Mount namespaces for real: every test that mounts does so in a thread with a namespace of its own or takes it down.
use std::process::{Child, Command, Stdio};

use super::*;

/// A command that sleeps in some namespace until it is dropped.
struct Sleeper(Child);

impl Sleeper {
    fn start(command: &[&str]) -> Self {
        let mut child = Command::new(command[0])
            .args(&command[1..])
            .args(["sh", "-c", "echo; exec sleep 60"])
            .stdout(Stdio::piped())
            .spawn()
            .expect("`ip` and `unshare` are needed");
        // The line comes once all namespaces are entered.
        let mut line = [0];
        let read = io::Read::read(child.stdout.as_mut().unwrap(), &mut line).unwrap();
        assert_eq!(read, 1, "this test needs root: {command:?} did not start");
        Self(child)
    }

    /// Runs a test in a thread inside the sleeper's mount namespace.
    fn inside<T: Send>(&self, test: impl FnOnce() -> T + Send) -> T {
        let namespace = fs::File::open(format!("/proc/{}/ns/mnt", self.0.id())).unwrap();
        std::thread::scope(|scope| {
            let thread = scope.spawn(|| {
                // SAFETY: takes no pointers; the working directory is the thread's own then, as setns wants it.
                assert_eq!(unsafe { libc::unshare(libc::CLONE_FS) }, 0, "{}", io::Error::last_os_error());
                // SAFETY: takes a live descriptor and changes the calling thread only.
                let entered = unsafe { libc::setns(namespace.as_raw_fd(), libc::CLONE_NEWNS) };
                assert_eq!(entered, 0, "this test needs root: {}", io::Error::last_os_error());
                test()
            });
            thread.join().unwrap_or_else(|panic| std::panic::resume_unwind(panic))
        })
    }
}

impl Drop for Sleeper {
    fn drop(&mut self) {
        // Both fail only where the child is gone already.
        drop(self.0.kill());
        drop(self.0.wait());
    }
}

/// A network namespace known to `ip`, deleted when dropped.
struct Named(String);

impl Named {
    fn new(what: &str) -> Self {
        let name = format!("weir-{what}-{}", std::process::id());
        run(&["ip", "netns", "add", &name]);
        Self(name)
    }
}

impl Drop for Named {
    fn drop(&mut self) {
        drop(Command::new("ip").args(["netns", "delete", &self.0]).status());
    }
}

/// A BPF filesystem, unmounted when dropped.
struct Mounted(tempfile::TempDir);

impl Mounted {
    fn new() -> Self {
        let folder = tempfile::tempdir().unwrap();
        run(&["mount", "-t", "bpf", "bpf", folder.path().to_str().unwrap()]);
        Self(folder)
    }

    fn path(&self) -> &Path {
        self.0.path()
    }
}

impl Drop for Mounted {
    fn drop(&mut self) {
        drop(Command::new("umount").arg(self.path()).status());
    }
}

#[track_caller]
fn run(command: &[&str]) {
    let done = Command::new(command[0]).args(&command[1..]).output().unwrap();
    assert!(done.status.success(), "this test needs root: {command:?}: {}", String::from_utf8_lossy(&done.stderr));
}

#[test]
fn an_ordinary_folder_is_no_bpf_filesystem() {
    let folder = tempfile::tempdir().unwrap();
    assert!(!statfs_is_bpf(folder.path()).unwrap());
    assert_eq!(statfs_is_bpf(&folder.path().join("none")).expect_err("missing").kind(), io::ErrorKind::NotFound);
}

#[test]
fn a_missing_folder_is_made_and_mounted_in_a_lasting_namespace() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("weir/bpf");
    assert_eq!(inspect(Some(&path)).unwrap(), State::Mountable);
    assert!(!path.exists());
    assert_eq!(prepare(Some(&path)).expect("this test needs root"), path);
    let mounted = statfs_is_bpf(&path).unwrap();
    let again = inspect(Some(&path));
    let below = prepare(Some(&path.join("deep/er")));
    run(&["umount", path.to_str().unwrap()]);
    assert!(mounted);
    assert_eq!(again.unwrap(), State::Ready);
    assert_eq!(below.unwrap(), path.join("deep/er"));
}

#[test]
fn files_are_not_hidden_and_nothing_is_made_in_sys() {
    let folder = tempfile::tempdir().unwrap();
    fs::write(folder.path().join("file"), "").unwrap();
    let error = prepare(Some(folder.path())).expect_err("not empty");
    assert!(matches!(error, BpffsError::Occupied(_)), "{error}");
    let error = prepare(Some(&folder.path().join("file"))).expect_err("a file");
    assert!(matches!(error, BpffsError::Occupied(_)), "{error}");
    let error = prepare(Some(Path::new("/sys/fs/weir-none"))).expect_err("inside /sys");
    assert!(matches!(error, BpffsError::Missing(_)), "{error}");
}

#[test]
fn under_ip_netns_exec_the_default_is_refused_with_the_way_out() {
    let name = Named::new("default");
    let sleeper = Sleeper::start(&["ip", "netns", "exec", &name.0]);
    let error = sleeper.inside(|| prepare(None)).expect_err("a private mount namespace");
    assert!(matches!(error, BpffsError::PrivateNamespace(_)), "{error}");
    let text = error.to_string();
    for part in ["/sys/fs/bpf", "--netns NAME", "mount -t bpf bpf /run/weir/bpf", "bpffs = \"/run/weir/bpf\""] {
        assert!(text.contains(part), "{part:?} is missing in: {text}");
    }
}

#[test]
fn under_ip_netns_exec_the_hosts_filesystem_outside_sys_is_accepted() {
    let host = Mounted::new();
    let name = Named::new("host");
    let sleeper = Sleeper::start(&["ip", "netns", "exec", &name.0]);
    assert_eq!(sleeper.inside(|| prepare(Some(host.path()))).unwrap(), host.path());
    let below = host.path().join("weir");
    assert_eq!(sleeper.inside(|| prepare(Some(&below))).unwrap(), below);
}

#[test]
fn a_private_filesystem_is_refused_even_over_the_hosts() {
    let host = Mounted::new();
    for command in [&["unshare", "-m"][..], &["unshare", "-m", "--propagation", "unchanged"]] {
        let sleeper = Sleeper::start(command);
        let error = sleeper.inside(|| {
            run(&["mount", "--make-rprivate", "/"]);
            run(&["mount", "-t", "bpf", "bpf", host.path().to_str().unwrap()]);
            prepare(Some(host.path())).expect_err("mounted inside")
        });
        assert!(matches!(error, BpffsError::PrivateMount(_)), "{error}");
    }
}

#[test]
fn a_missing_filesystem_is_not_mounted_in_a_private_namespace() {
    let folder = tempfile::tempdir().unwrap();
    let sleeper = Sleeper::start(&["unshare", "-m"]);
    let error = sleeper.inside(|| prepare(Some(&folder.path().join("bpf")))).expect_err("private");
    assert!(matches!(error, BpffsError::PrivateNamespace(_)), "{error}");
    assert!(!folder.path().join("bpf").exists());
}

#[test]
fn the_hosts_filesystem_bound_elsewhere_is_accepted() {
    let host = Mounted::new();
    let folder = tempfile::tempdir().unwrap();
    let sleeper = Sleeper::start(&["unshare", "-m"]);
    let (from, to) = (host.path().to_str().unwrap(), folder.path().to_str().unwrap());
    let prepared = sleeper.inside(|| {
        run(&["mount", "--bind", from, to]);
        prepare(Some(folder.path()))
    });
    assert_eq!(prepared.unwrap(), folder.path());
}

#[test]
fn a_read_only_filesystem_is_refused() {
    let host = Mounted::new();
    let sleeper = Sleeper::start(&["unshare", "-m"]);
    let error = sleeper.inside(|| {
        run(&["mount", "-o", "remount,bind,ro", host.path().to_str().unwrap()]);
        prepare(Some(host.path())).expect_err("read-only")
    });
    assert!(matches!(error, BpffsError::ReadOnly(_)), "{error}");
}
