//! Starts that must not be, or not in silence: each says what is wrong, where, and the way out.
use std::fs;
use std::io;
use std::os::fd::OwnedFd;
use std::os::unix::fs::{PermissionsExt as _, chown};
use std::os::unix::process::CommandExt as _;
use std::process::Command;

use weir::adapters::kernel::object::{Clock, Object, Sizes};
use weir::adapters::kernel::sys;
use weir::adapters::system::{interfaces, xdp};
use weir_tests::frames::V4;
use weir_tests::harness::command::{self, Said, said};
use weir_tests::harness::{PATIENCE, Plan, Site, binary, wait_for};

/// The user and group nobody.
const NOBODY: u32 = 65_534;

fn from(last: u8) -> Vec<u8> {
    V4::from([192, 0, 2, last]).frame()
}

fn idle(config: &str) -> Site {
    Site::idle(&Plan { config, ..Plan::default() })
}

/// The XDP programs on weir's first interface, by id.
fn programs(site: &Site) -> Vec<u32> {
    let there = site.server.inside(|| {
        let index = interfaces::index_of("wv0").unwrap().unwrap();
        xdp::attached(index, |_| Ok(String::new())).unwrap()
    });
    there.into_iter().map(|attached| attached.program_id).collect()
}

#[test]
fn an_unknown_key_is_refused_with_its_place_and_the_nearest_there_is() {
    let site = idle("[limits.source]\npackets_per_secnd = 1000\n");
    let words = [
        "weir.toml:5:1",
        "unknown key \"packets_per_secnd\" in [limits.source]",
        "did you mean \"packets_per_second\"?",
    ];
    site.weir(&["config", "check"]).badly(1, &words);
    site.refused_start().badly(1, &words);
    assert!(programs(&site).is_empty());
}

#[test]
fn a_limit_the_kernel_could_not_keep_is_refused_with_the_smallest_that_works() {
    let site = idle("[limits.source]\npackets_per_second = 100000\nburst = 10\n");
    site.refused_start().badly(1, &["weir.toml:6", "burst", "use 1001 or more"]);
}

#[test]
fn an_interface_that_does_not_exist_is_refused_with_those_there_are() {
    let site = Site::idle(&Plan { args: &["-i", "nosuch0"], ..Plan::default() });
    site.refused_start().badly(1, &["there is no interface \"nosuch0\"", "lo, wv0"]);
    // The one there is, named before, is let go of again.
    assert!(programs(&site).is_empty());
}

#[test]
fn no_interface_at_all_is_a_mistake_on_the_line() {
    let site = idle("");
    site.weir(&["run", "--netns", site.server.name()]).badly(2, &["no interface is named", "-i IFACE"]);
}

#[test]
fn a_namespace_that_does_not_exist_is_refused() {
    let site = idle("");
    let said = site.weir(&["run", "--netns", "weir-nosuch", "-i", "wv0"]);
    said.badly(1, &["/run/netns/weir-nosuch", "ip netns list"]);
}

/// Runs `weir` as nobody, with a state folder of nobody's own.
fn as_nobody(site: &Site, args: &[&str]) -> Said {
    let folder = site.place.folder();
    fs::set_permissions(folder, fs::Permissions::from_mode(0o755)).unwrap();
    // Where the binary was built, nobody may have no business.
    let weir = folder.join("weir");
    fs::copy(binary::path(), &weir).unwrap();
    fs::set_permissions(&weir, fs::Permissions::from_mode(0o755)).unwrap();
    for own in ["state", "run"] {
        fs::create_dir_all(folder.join(own)).unwrap();
        chown(folder.join(own), Some(NOBODY), Some(NOBODY)).unwrap();
    }
    let mut command = Command::new(&weir);
    command.args(args).uid(NOBODY).gid(NOBODY).current_dir("/");
    command::without_settings(&mut command);
    said(&mut command)
}

#[test]
fn without_privilege_it_says_which_is_missing() {
    let site = idle("");
    // Pins where nobody may keep files, so that the kernel itself is what refuses.
    let own = site.place.folder().join("pins");
    fs::create_dir(&own).unwrap();
    weir_tests::harness::place::mount_bpffs(&own).unwrap();
    chown(&own, Some(NOBODY), Some(NOBODY)).unwrap();
    let text = site.place.places().replace("/bpf\"", "/pins\"");
    let config = site.place.file("nobody.toml", text);
    let said = as_nobody(&site, &["run", "-i", "lo", "-c", &config]);
    let unmounted = said_of_umount(&own);
    said.badly(1, &["CAP_BPF", "root"]);
    unmounted.well();
    // Nor may nobody enter a namespace, or use the switches.
    let said = as_nobody(&site, &["run", "--netns", site.server.name(), "-i", "wv0", "-c", &config]);
    said.badly(1, &["CAP_SYS_ADMIN", "root"]);
}

fn said_of_umount(path: &std::path::Path) -> Said {
    said(Command::new("umount").arg("-l").arg(path))
}

/// Puts another XDP program on weir's interface, in the driver or in the stack; gone with what is returned.
fn occupy(site: &Site, flags: u32) -> (u32, OwnedFd) {
    let mut object = Object::load(&Sizes::default(), Clock::Words, &std::collections::HashMap::new()).unwrap();
    let program = object.load_named("empty").unwrap().fd().unwrap().try_clone().unwrap();
    let (id, _) = sys::program_info(sys::fd(&program)).unwrap();
    let link = site.server.inside(|| {
        let index = interfaces::index_of("wv0").unwrap().unwrap();
        sys::link_create(sys::fd(&program), index, flags).unwrap()
    });
    (id, link)
}

#[test]
fn another_xdp_program_is_named_and_never_replaced() {
    const GENERIC: u32 = 2;
    const NATIVE: u32 = 4;
    let site = idle("");
    for (flags, mode) in [(NATIVE, "native"), (GENERIC, "generic")] {
        let (id, _link) = occupy(&site, flags);
        let words = [
            "another XDP program is attached to wv0",
            &format!("program {id} \"empty\" ({mode})"),
            "weir never replaces it: detach it first",
        ];
        site.refused_start().badly(1, &words);
        assert_eq!(programs(&site), [id]);
        assert!(site.place.links().is_empty());
    }
}

#[test]
fn a_bpf_filesystem_of_its_own_mount_namespace_is_refused() {
    let site = idle("");
    let private = site.place.folder().join("private");
    fs::create_dir(&private).unwrap();
    let config = site.place.file("private.toml", site.place.places().replace("/bpf\"", "/private\""));
    let script = format!(
        "mount -t bpf bpf {} && exec {} run --netns {} -i wv0 -c {config}",
        private.display(),
        binary::path().display(),
        site.server.name()
    );
    let mut command = Command::new("unshare");
    command.args(["--mount", "sh", "-c", &script]);
    command::without_settings(&mut command);
    said(&mut command).badly(
        1,
        &[
            "is mounted in this process's own mount namespace only",
            "the pins in it would end with weir",
            "weir run --netns NAME",
        ],
    );
    assert!(programs(&site).is_empty());
}

#[test]
fn under_ip_netns_exec_the_systems_bpf_filesystem_is_refused_and_one_outside_sys_is_not() {
    let mut site = idle("");
    let places = site.place.places();
    let without: String = places.lines().filter(|line| !line.contains("bpffs")).flat_map(|line| [line, "\n"]).collect();
    let config = site.place.file("default.toml", without);
    let namespace = site.server.name().to_owned();
    let exec = |config: &str, end: &[&str]| {
        let weir = binary::path().display().to_string();
        let mut command = Command::new("ip");
        command.args(["netns", "exec", &namespace, &weir, "-c", config]).args(end);
        command::without_settings(&mut command);
        said(&mut command)
    };
    exec(&config, &["run", "-i", "wv0"]).badly(
        1,
        &[
            "/sys/fs/bpf is not a BPF filesystem here",
            "ip netns exec",
            "use `weir run --netns NAME` instead",
            "bpffs = \"/run/weir/bpf\"",
        ],
    );
    assert!(programs(&site).is_empty());
    // The site's own was mounted by the host, outside /sys: detach from inside finds it as well.
    site.start();
    let own = site.place.config().display().to_string();
    exec(&own, &["detach"]).well();
    assert!(programs(&site).is_empty());
}

/// Runs the site's daemon on a kernel that answers `EINVAL` to one command of `bpf(2)`, as one does that lacks it.
fn on_a_kernel_without(site: &Site, bpf_command: u32) -> Said {
    let mut command = command::weir(&site.run_args());
    let filter = move || {
        let step = |code, jt, jf, k| libc::sock_filter { code, jt, jf, k };
        // seccomp_data: nr at 0, arch at 4, args[0] at 16. Loads are 0x20, compares 0x15, returns 0x06.
        let number = u32::try_from(libc::SYS_bpf).map_err(io::Error::other)?;
        let refuse = libc::SECCOMP_RET_ERRNO | libc::EINVAL.cast_unsigned();
        let mut program = [
            step(0x20, 0, 0, 0),
            step(0x15, 0, 3, number),
            step(0x20, 0, 0, 16),
            step(0x15, 0, 1, bpf_command),
            step(0x06, 0, 0, refuse),
            step(0x06, 0, 0, libc::SECCOMP_RET_ALLOW),
        ];
        let program = libc::sock_fprog { len: 6, filter: program.as_mut_ptr() };
        // SAFETY: the program is of the length that is said, and the kernel copies it during the call.
        let set = unsafe { libc::prctl(libc::PR_SET_SECCOMP, libc::SECCOMP_MODE_FILTER, &raw const program) };
        if set == 0 { Ok(()) } else { Err(io::Error::last_os_error()) }
    };
    // SAFETY: one system call over memory of its own, and no lock.
    unsafe { command.pre_exec(filter) };
    said(&mut command)
}

#[test]
fn a_kernel_that_is_too_old_is_told_with_what_it_lacks() {
    const PROG_LOAD: u32 = 5;
    const LINK_CREATE: u32 = 28;
    let site = idle("");
    on_a_kernel_without(&site, PROG_LOAD).badly(
        1,
        &[
            "this kernel lacks what weir needs",
            "XDP programs: not in this kernel",
            "Linux has it since 4.8",
            "run Linux 5.10 or later",
        ],
    );
    on_a_kernel_without(&site, LINK_CREATE).badly(1, &["no BPF links for XDP", "Linux 5.9"]);
    assert!(programs(&site).is_empty());
}

#[test]
fn a_second_daemon_on_one_state_is_refused_and_the_first_goes_on() {
    let site = Site::new("");
    site.api().block(&["192.0.2.1"]);
    let pid = site.daemon().pid();
    site.refused_start().badly(1, &["is in use by another weir", &format!("process {pid}"), "[state] dir"]);
    site.send(&[from(1), from(2)]);
    site.saw(&[("denied", 1), ("pass", 1)]);
}

/// Runs a daemon with another state and its other places changed as well.
fn second(site: &Site, interface: &str, change: impl Fn(String) -> String) -> Said {
    let config = site.place.file("second.toml", change(site.place.places().replace("/state\"", "/state2\"")));
    said(&mut command::weir(&["run", "--netns", site.server.name(), "-i", interface, "-c", &config]))
}

#[test]
fn a_second_weir_on_one_interface_finds_the_first_ones_program() {
    let site = Site::new("");
    let [id] = programs(&site)[..] else { panic!("one program is attached") };
    let words = ["another XDP program is attached to wv0", &format!("program {id} \"weir\" (native)")];
    second(&site, "wv0", |places| places.replace("weir.sock", "second.sock")).badly(1, &words);
    assert_eq!(programs(&site), [id]);
}

#[test]
fn a_second_weir_on_one_socket_is_refused() {
    let mut site = Site::of(&Plan { interfaces: 2, ..Plan::default() });
    site.kill();
    site.links.pop();
    site.start();
    second(&site, "wv1", |places| places).badly(1, &["another daemon answers at", "weir.sock", "[api] socket"]);
    assert!(site.api().status().health.ok);
}

#[test]
fn what_is_no_socket_is_not_removed_from_the_sockets_place() {
    let site = idle("");
    fs::create_dir(site.place.folder().join("run")).unwrap();
    fs::write(site.place.socket(), "precious").unwrap();
    site.refused_start().badly(1, &["weir.sock exists and is not a socket"]);
    assert_eq!(fs::read_to_string(site.place.socket()).unwrap(), "precious");
}

#[test]
fn a_state_folder_that_anybody_may_write_to_is_refused() {
    let site = idle("");
    fs::create_dir(site.place.state()).unwrap();
    fs::set_permissions(site.place.state(), fs::Permissions::from_mode(0o777)).unwrap();
    site.refused_start().badly(1, &["every user may write to the state folder", "chmod o-w"]);
}

/// Overwrites a stretch in the middle of the database.
fn damage(site: &Site) {
    let path = site.place.state().join("weir.db");
    let mut bytes = fs::read(&path).unwrap();
    let middle = bytes.len() / 2;
    bytes[middle..middle + 4096].iter_mut().for_each(|byte| *byte ^= 0x5a);
    fs::write(&path, bytes).unwrap();
}

#[test]
fn a_broken_store_is_replaced_by_its_last_good_copy_loudly() {
    let mut site = Site::new("");
    site.api().block(&["192.0.2.1"]);
    site.api().import("feed", "198.51.100.0/24\n").document::<serde_json::Value>();
    // Its end makes the copy; what comes after it is only in the database.
    site.terminate();
    damage(&site);
    site.start();
    let status = site.api().status();
    let problem = status.health.problems.iter().find(|problem| problem.contains("was unusable")).expect("it is said");
    for words in ["weir.db", "weir goes on with the good copy of", "weir.db.good", "holds 2 entries", "weir.db.broken"]
    {
        assert!(problem.contains(words), "{words:?} is not in: {problem}");
    }
    assert!(site.daemon().log().contains("was unusable"), "{}", site.daemon().log());
    let shown = site.weir(&["status"]).well();
    assert!(shown.contains("was unusable"), "{shown}");
    let ready = site.api().ask("GET", "/readyz", b"");
    assert!(ready.status == 503 && ready.text().contains("was unusable"), "{}", ready.text());
    site.send(&[from(1), V4::from([198, 51, 100, 1]).frame(), from(2)]);
    site.saw(&[("denied", 2), ("pass", 1)]);
    assert!(site.place.state().join("weir.db.broken").exists());
}

#[test]
fn a_store_without_a_copy_that_can_be_read_starts_empty_and_says_so() {
    let mut site = Site::new("");
    site.api().block(&["192.0.2.1"]);
    site.terminate();
    for file in ["weir.db", "weir.db.good"] {
        fs::write(site.place.state().join(file), vec![0xa5; 8192]).unwrap();
    }
    site.start();
    let problems = site.api().status().health.problems;
    assert!(problems.iter().any(|problem| problem.contains("EMPTY store")), "{problems:?}");
    assert!(
        problems.iter().any(|problem| problem.contains("good copy") && problem.contains("damaged too")),
        "{problems:?}"
    );
    wait_for("an empty list", PATIENCE, || {
        (site.weir(&["-o", "json", "block", "list"]).well().trim() == "[]").then_some(())
    });
}
