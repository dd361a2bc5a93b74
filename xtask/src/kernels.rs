//! Other kernels: whether they take the XDP program, and whether it judges there as it does here.
//!
//! Each kernel is booted in an emulator, with the tests of verdicts and nothing else in its memory: no disk, no network.
use std::fs::{self, File};
use std::io::Write;
use std::os::unix::fs::PermissionsExt as _;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use anyhow::{Context as _, Result, bail, ensure};

use crate::setup::{self, Scope};
use crate::shell;
use crate::toolchain::Places;

/// Tests that reach every part of the program; an emulator takes a minute to load it, so there are few.
const TESTS: [&str; 5] = [
    "every_fixture_gets_its_verdict_from_kernel_host_and_reference",
    "the_overlay_adds_and_lifts_beside_the_tables",
    "limits::a_network_full_of_sources_below_their_limit_is_held_to_its_own",
    "memory::a_first_fragment_is_remembered_for_thirty_seconds_and_not_much_longer",
    "memory::a_flow_is_new_once_and_one_that_was_refused_is_new_again",
];

/// Commands of the guest, all of them busybox's.
const COMMANDS: [&str; 6] = ["sh", "mount", "ip", "uname", "poweroff", "mkdir"];

/// How long a kernel may take.
const SECONDS: u32 = 1_800;

/// What the guest prints last if all went well.
const WELL: &str = "kernels: every test passed";

/// Boots each kernel (an image, or a Debian package with one) and runs the tests in it.
///
/// # Errors
/// When something is missing, a kernel does not boot, refuses the program, or a test fails: what it printed is kept.
pub fn run(root: &Path, kernels: &[PathBuf], out: &mut impl Write) -> Result<()> {
    setup::ensure(Scope::Kernels, out)?;
    let folder = root.join("target").join("kernels");
    fs::create_dir_all(&folder).with_context(|| format!("cannot create {}", folder.display()))?;
    let memory = memory(root, &folder)?;
    let mut failed = Vec::new();
    for kernel in kernels {
        let image = image(kernel, &folder)?;
        let name = image.file_name().unwrap_or_default().to_string_lossy().into_owned();
        let log = folder.join(format!("{name}.log"));
        writeln!(out, "{name}: booting; what it prints goes to {}", log.display())?;
        // One that hangs or does not boot keeps nobody from trying the others.
        let said = match boot(&image, &memory, &log) {
            Ok(said) => said,
            Err(error) => {
                writeln!(out, "{name}: {error:#}")?;
                String::new()
            }
        };
        for line in said.lines().filter(|line| line.starts_with("verifier: ") || line.starts_with("test result")) {
            writeln!(out, "{name}: {line}")?;
        }
        let all = format!("test result: ok. {} passed", TESTS.len());
        if !said.contains(WELL) || !said.contains(&all) {
            failed.push(log.display().to_string());
        }
    }
    ensure!(failed.is_empty(), "not every test passed on every kernel; see {}", failed.join(", "));
    Ok(())
}

/// The image in a package, or the file itself.
fn image(kernel: &Path, folder: &Path) -> Result<PathBuf> {
    if kernel.extension().is_none_or(|extension| extension != "deb") {
        return Ok(kernel.to_owned());
    }
    let unpacked = folder.join(kernel.file_stem().unwrap_or_default());
    shell::succeed(Command::new("dpkg-deb").arg("-x").arg(kernel).arg(&unpacked))?;
    let boot = unpacked.join("boot");
    let entries = fs::read_dir(&boot).with_context(|| format!("{} has no /boot", kernel.display()))?;
    let images = entries.filter_map(Result::ok).map(|entry| entry.path());
    images
        .into_iter()
        .find(|path| path.file_name().is_some_and(|name| name.to_string_lossy().starts_with("vmlinuz")))
        .with_context(|| format!("{} has no kernel in /boot", kernel.display()))
}

/// All that the guest has, packed.
fn memory(root: &Path, folder: &Path) -> Result<PathBuf> {
    let guest = folder.join("guest");
    if guest.exists() {
        fs::remove_dir_all(&guest).with_context(|| format!("cannot empty {}", guest.display()))?;
    }
    for name in ["bin", "proc", "sys", "dev", "tmp", "tests"] {
        fs::create_dir_all(guest.join(name))?;
    }
    let busybox = Places::of_this_machine().program("busybox").context("no busybox on PATH")?;
    put(&guest, &busybox, "bin/busybox")?;
    libraries(&guest, &busybox)?;
    for command in COMMANDS {
        std::os::unix::fs::symlink("busybox", guest.join("bin").join(command))?;
    }
    for (program, name) in [(built(root, "verdicts")?, "verdicts"), (built(root, "weir-bench")?, "weir-bench")] {
        put(&guest, &program, name)?;
        shell::succeed(Command::new("strip").arg(guest.join(name)))?;
        libraries(&guest, &program)?;
    }
    let init = guest.join("init");
    fs::write(&init, script())?;
    fs::set_permissions(&init, fs::Permissions::from_mode(0o755))?;
    let packed = folder.join("guest.cpio.gz");
    let pack = "find . | cpio --create --format=newc --quiet | gzip -1";
    let mut shell = Command::new("sh");
    shell.current_dir(&guest).args(["-c", pack]).stdout(File::create(&packed)?);
    shell::succeed(&mut shell)?;
    Ok(packed)
}

/// Puts the libraries of a program where it looks for them; none where it is linked statically.
fn libraries(guest: &Path, program: &Path) -> Result<()> {
    let libraries = shell::output(Command::new("ldd").arg(program)).unwrap_or_default();
    for library in libraries.split_whitespace().filter(|word| word.starts_with('/')) {
        put(guest, Path::new(library), library.trim_start_matches('/'))?;
    }
    Ok(())
}

/// What the guest does.
fn script() -> String {
    format!(
        "#!/bin/sh
mount -t proc none /proc; mount -t sysfs none /sys; mount -t devtmpfs none /dev
mount -t bpf none /sys/fs/bpf; mount -t tmpfs none /tmp
ulimit -l unlimited
ip link set lo up
uname -a
cd /tests
/weir-bench verifier --rounds 1 && CARGO_MANIFEST_DIR=/tests /verdicts --test-threads 1 --exact {} && echo '{WELL}'
poweroff -f
",
        TESTS.join(" ")
    )
}

fn put(guest: &Path, from: &Path, to: &str) -> Result<()> {
    let to = guest.join(to);
    if let Some(folder) = to.parent() {
        fs::create_dir_all(folder)?;
    }
    fs::copy(from, &to).with_context(|| format!("cannot copy {}", from.display()))?;
    Ok(())
}

/// Builds a program or test of weir-tests, and says where it is.
fn built(root: &Path, name: &str) -> Result<PathBuf> {
    let kind = if name == "verdicts" { "--test" } else { "--bin" };
    let mut command = shell::cargo(root, "build");
    command.args(["--package", "weir-tests", kind, name, "--message-format", "json"]);
    let output = command.stderr(Stdio::inherit()).output().with_context(|| "cannot start cargo")?;
    ensure!(output.status.success(), "`{}` failed: {}", shell::line(&command), output.status);
    let text = String::from_utf8_lossy(&output.stdout);
    let executable = |line: &str| Some(line.split_once("\"executable\":\"")?.1.split_once('"')?.0.to_owned());
    let target = format!("\"name\":\"{name}\"");
    match text.lines().filter(|line| line.contains(&target)).filter_map(executable).next_back() {
        Some(path) => Ok(PathBuf::from(path)),
        None => bail!("`{}` built nothing", shell::line(&command)),
    }
}

/// Boots a kernel; what it printed.
fn boot(image: &Path, memory: &Path, log: &Path) -> Result<String> {
    let mut emulator = Command::new("timeout");
    emulator
        .arg(SECONDS.to_string())
        .args(["qemu-system-x86_64", "-machine", "q35,accel=tcg", "-cpu", "max", "-smp", "2", "-m", "2048"])
        .args(["-nographic", "-no-reboot", "-nic", "none", "-append", "console=ttyS0 panic=-1 quiet", "-kernel"])
        .arg(image)
        .arg("-initrd")
        .arg(memory)
        .stdin(Stdio::null())
        .stdout(File::create(log).with_context(|| format!("cannot write {}", log.display()))?)
        .stderr(Stdio::inherit());
    shell::succeed(&mut emulator)
        .with_context(|| format!("the emulator did not come to an end; see {}", log.display()))?;
    Ok(String::from_utf8_lossy(&fs::read(log)?).into_owned())
}
