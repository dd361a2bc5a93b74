//! Finds what compiles and links the XDP program: a compiler with `core` for the BPF target, and `bpf-linker`.
//!
//! Two ways lead there. The *distribution's* compiler brings `core` for BPF prebuilt, so a stable compiler is enough.
//! A rustup *nightly* with the component `rust-src` builds `core` itself. Nothing is downloaded here: toolchains are
//! looked for on disk, because asking rustup for one that is absent makes it fetch it.
//!
//! Standard library only: the controller's build script includes this file as it stands.
use std::error::Error;
use std::ffi::{OsStr, OsString};
use std::fmt;
use std::fs;
use std::io;
use std::os::unix::fs::symlink;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

/// The target the XDP program is compiled for.
pub const TARGET: &str = "bpfel-unknown-none";

/// The one linker release weir is built with: later ones link a system LLVM, earlier ones lack LLVM 22.
pub const LINKER_VERSION: &str = "0.10.3";

/// Oldest compiler, major and minor: the workspace's `rust-version`.
pub const OLDEST_RUST: (u32, u32) = (1, 95);

/// Crates that may use unstable features on a stable compiler: aya's BPF intrinsics and the program itself.
const UNSTABLE_CRATES: &str = "aya_ebpf,weir_xdp";

/// Cargo settings that say how to reach registries or how to talk, not what to build: a nested cargo keeps them.
const KEPT_SETTINGS: [&str; 6] =
    ["CARGO_HOME", "CARGO_HTTP_", "CARGO_MAKEFLAGS", "CARGO_NET_", "CARGO_REGISTR", "CARGO_TERM_"];

/// Where things are looked for.
#[derive(Clone, Debug)]
pub struct Places {
    /// Directories of programs, in order.
    pub path: Vec<PathBuf>,
    /// Cargo's home: what `cargo install` installs lies in its `bin`.
    pub cargo_home: Option<PathBuf>,
    /// Rustup's home: toolchains lie in its `toolchains`.
    pub rustup_home: Option<PathBuf>,
    /// Prefix of the distribution's own compiler.
    pub distribution: PathBuf,
}

impl Places {
    /// This machine's, as the environment describes it.
    pub fn of_this_machine() -> Self {
        let var = |name| std::env::var_os(name).filter(|value| !value.is_empty());
        let home = var("HOME").map(PathBuf::from);
        let under_home = |name: &str| home.as_ref().map(|home| home.join(name));
        let mut path: Vec<PathBuf> = var("PATH").map(|path| std::env::split_paths(&path).collect()).unwrap_or_default();
        // An ordinary user's PATH lacks these on Debian, and `ip` and `bpftool` live there.
        for dir in ["/usr/local/sbin", "/usr/sbin", "/sbin"] {
            if !path.iter().any(|known| known == Path::new(dir)) {
                path.push(PathBuf::from(dir));
            }
        }
        Self {
            path,
            cargo_home: var("CARGO_HOME").map(PathBuf::from).or_else(|| under_home(".cargo")),
            rustup_home: var("RUSTUP_HOME").map(PathBuf::from).or_else(|| under_home(".rustup")),
            distribution: PathBuf::from("/usr"),
        }
    }

    /// The first program called `name`, on the path or among what cargo installed.
    pub fn program(&self, name: &str) -> Option<PathBuf> {
        self.programs(name).next()
    }

    fn programs(&self, name: &str) -> impl Iterator<Item = PathBuf> {
        let installed = self.cargo_home.iter().map(|home| home.join("bin"));
        self.path.iter().cloned().chain(installed).map(move |dir| dir.join(name)).filter(|path| path.is_file())
    }

    /// Directories of all rustup toolchains, by name.
    fn toolchains(&self) -> Vec<PathBuf> {
        self.rustup_home.as_ref().map(|home| entries(&home.join("toolchains"))).unwrap_or_default()
    }
}

/// How `core` for the BPF target is come by.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Way {
    /// The distribution's compiler has it prebuilt.
    Distribution,
    /// A rustup nightly builds it from `rust-src`.
    Nightly,
}

/// A compiler for the BPF target.
#[derive(Clone, Debug)]
pub struct Compiler {
    /// How it has `core`.
    pub way: Way,
    /// The cargo that belongs to it.
    pub cargo: PathBuf,
    /// The compiler.
    pub rustc: PathBuf,
    /// Its release, such as `1.96.0`.
    pub release: String,
    /// LLVM libraries of the major release the compiler is built with; the linker opens one at run time.
    pub llvm: Vec<PathBuf>,
}

/// Compiler and linker: all that the XDP program needs.
#[derive(Clone, Debug)]
pub struct Toolchain {
    /// The compiler.
    pub compiler: Compiler,
    /// `bpf-linker`.
    pub linker: PathBuf,
}

/// Why there is no usable toolchain.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Missing {
    /// No compiler for the BPF target, and what each way lacks.
    Compiler {
        /// What the distribution's compiler lacks.
        distribution: String,
        /// What rustup's nightly lacks.
        nightly: String,
    },
    /// No `bpf-linker` at all.
    Linker,
    /// A `bpf-linker` of another release.
    LinkerRelease {
        /// The one found.
        at: PathBuf,
        /// What it calls itself.
        release: String,
    },
}

impl fmt::Display for Missing {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Compiler { distribution, nightly } => {
                write!(f, "no compiler for {TARGET}: the distribution's: {distribution}; rustup's: {nightly}")
            }
            Self::Linker => write!(f, "bpf-linker {LINKER_VERSION} is neither on PATH nor installed by cargo"),
            Self::LinkerRelease { at, release } => {
                write!(f, "{} is release {release}, weir is built with {LINKER_VERSION}", at.display())
            }
        }
    }
}

impl Error for Missing {}

impl Toolchain {
    /// The toolchain of this machine: the distribution's compiler if it will do, else a nightly.
    ///
    /// # Errors
    /// [`Missing`] says what is not there.
    pub fn find(places: &Places) -> Result<Self, Missing> {
        Ok(Self { compiler: Compiler::find(places)?, linker: find_linker(places)? })
    }

    /// `program` (cargo, or a cargo subcommand's binary) with `subcommand`, set to compile for the BPF target.
    ///
    /// The outer build's settings are removed first: a wrapper, a flag or a toolchain choice meant for the host must
    /// not reach the kernel's build.
    pub fn command(&self, program: &Path, subcommand: &str) -> Command {
        let mut command = Command::new(program);
        scrub(&mut command);
        let linker = self.linker.as_os_str();
        let mut flags = OsString::from("-Cdebuginfo=2\x1f-Clinker=");
        flags.push(linker);
        // BTF lets the kernel show the program's types and lines; the `v3` instructions (32-bit ALU and jumps) are in
        // every kernel weir supports; BPF loads need no alignment, so headers are read in place.
        flags.push("\x1f-Clink-arg=--btf\x1f-Ctarget-cpu=v3\x1f-Ctarget-feature=+allows-misaligned-mem-access");
        command
            .env_remove("LD_LIBRARY_PATH")
            .env("CARGO", &self.compiler.cargo)
            .env("RUSTC", &self.compiler.rustc)
            // Set to nothing rather than left out, so that a wrapper in a user's cargo configuration stays out too.
            .env("RUSTC_WRAPPER", "")
            .env("RUSTC_WORKSPACE_WRAPPER", "")
            .env("CARGO_ENCODED_RUSTFLAGS", flags)
            .arg(subcommand)
            .args(["--package", "weir-xdp", "--profile", "bpf", "--target", TARGET]);
        match self.compiler.way {
            Way::Distribution => command.env("RUSTC_BOOTSTRAP", UNSTABLE_CRATES),
            Way::Nightly => command.args(["-Z", "build-std=core"]),
        };
        command
    }

    /// The command that builds the program under `target_dir`.
    ///
    /// `bpf-linker` opens the first LLVM it meets in a directory, of whatever release, and a distribution keeps several
    /// in one. So a directory beside `target_dir` is made that holds links to the right ones alone.
    ///
    /// # Errors
    /// When that directory can't be written.
    pub fn build(&self, target_dir: &Path) -> io::Result<Command> {
        let llvm = target_dir.with_extension("llvm");
        if llvm.is_dir() {
            fs::remove_dir_all(&llvm)?;
        }
        fs::create_dir_all(&llvm)?;
        for library in &self.compiler.llvm {
            symlink(library, llvm.join(name(library)))?;
        }
        let mut command = self.command(&self.compiler.cargo, "build");
        command.env("LD_LIBRARY_PATH", llvm).arg("--target-dir").arg(target_dir);
        Ok(command)
    }
}

impl Compiler {
    /// The distribution's compiler if it will do, else a nightly.
    ///
    /// # Errors
    /// [`Missing::Compiler`] says what each lacks.
    pub fn find(places: &Places) -> Result<Self, Missing> {
        distribution(places)
            .or_else(|distribution| nightly(places).map_err(|nightly| Missing::Compiler { distribution, nightly }))
    }
}

/// Takes the outer cargo's and rustup's settings out of `command`'s environment.
pub fn scrub(command: &mut Command) {
    for (name, _) in std::env::vars_os() {
        if name.to_str().is_some_and(is_build_setting) {
            command.env_remove(&name);
        }
    }
}

fn is_build_setting(name: &str) -> bool {
    let of_cargo = name == "CARGO" || name.starts_with("CARGO_");
    let of_rust = ["CLIPPY_", "RUSTC", "RUSTDOC", "RUSTFLAGS", "RUSTUP_TOOLCHAIN"];
    (of_cargo && !KEPT_SETTINGS.iter().any(|kept| name.starts_with(kept)))
        || of_rust.iter().any(|prefix| name.starts_with(prefix))
}

/// `bpf-linker` of exactly [`LINKER_VERSION`].
///
/// # Errors
/// [`Missing::Linker`] when there is none, [`Missing::LinkerRelease`] when there are only others.
pub fn find_linker(places: &Places) -> Result<PathBuf, Missing> {
    let mut missing = Missing::Linker;
    for at in places.programs("bpf-linker") {
        let said = stdout(Command::new(&at).arg("--version")).unwrap_or_default();
        match said.split_whitespace().last() {
            Some(LINKER_VERSION) => return Ok(at),
            release => {
                let release = release.unwrap_or("unknown").to_owned();
                if missing == Missing::Linker {
                    missing = Missing::LinkerRelease { at, release };
                }
            }
        }
    }
    Err(missing)
}

fn distribution(places: &Places) -> Result<Compiler, String> {
    let bin = places.distribution.join("bin");
    let (cargo, rustc) = (bin.join("cargo"), bin.join("rustc"));
    for program in [&rustc, &cargo] {
        if !program.is_file() {
            return Err(format!("{} is not there", program.display()));
        }
    }
    let version = Version::of(&rustc)?;
    let core = sysroot(rustc.as_os_str())?.join("lib/rustlib").join(TARGET).join("lib");
    if !entries(&core).iter().any(|file| name(file).starts_with("libcore-")) {
        return Err(format!("{} {} has no core for {TARGET}", rustc.display(), version.release));
    }
    let llvm = llvm_for(places, version.llvm);
    if llvm.is_empty() {
        let major = version.llvm;
        return Err(format!("{} is built with LLVM {major} and no library of that release was found", rustc.display()));
    }
    Ok(Compiler { way: Way::Distribution, cargo, rustc, release: version.release, llvm })
}

fn nightly(places: &Places) -> Result<Compiler, String> {
    let mut lacks = "no nightly is installed".to_owned();
    for toolchain in places.toolchains().into_iter().filter(|dir| name(dir).starts_with("nightly")) {
        match nightly_in(&toolchain) {
            Ok(compiler) => return Ok(compiler),
            Err(reason) => lacks = reason,
        }
    }
    Err(lacks)
}

fn nightly_in(toolchain: &Path) -> Result<Compiler, String> {
    let (cargo, rustc) = (toolchain.join("bin/cargo"), toolchain.join("bin/rustc"));
    if !toolchain.join("lib/rustlib/src/rust/library/core/src/lib.rs").is_file() {
        return Err(format!("{} lacks rust-src", name(toolchain)));
    }
    let version = Version::of(&rustc)?;
    let llvm = llvm_in(&toolchain.join("lib"), version.llvm);
    if llvm.is_empty() {
        return Err(format!("{} has no LLVM library of its own", name(toolchain)));
    }
    Ok(Compiler { way: Way::Nightly, cargo, rustc, release: version.release, llvm })
}

/// LLVM libraries of this major release: the distribution's, else those of a rustup toolchain.
fn llvm_for(places: &Places, major: u32) -> Vec<PathBuf> {
    let lib = places.distribution.join("lib");
    let by_architecture = entries(&lib).into_iter().filter(|dir| name(dir).ends_with("-linux-gnu"));
    let others = [places.distribution.join("lib64"), lib.join(format!("llvm-{major}/lib")), lib];
    let rustup = places.toolchains().into_iter().map(|toolchain| toolchain.join("lib"));
    let mut libraries = by_architecture.chain(others).chain(rustup).map(|dir| llvm_in(&dir, major));
    libraries.find(|libraries| !libraries.is_empty()).unwrap_or_default()
}

/// The LLVM libraries in `dir` of this major release: `libLLVM-22-rust-….so` and `libLLVM.so.22.1…` are both 22.
fn llvm_in(dir: &Path, major: u32) -> Vec<PathBuf> {
    let release = |file: &PathBuf| {
        let file = name(file);
        let rest = file.strip_prefix("libLLVM")?;
        let rest = rest.strip_prefix("-").or_else(|| rest.strip_prefix(".so."))?;
        rest.split(|c: char| !c.is_ascii_digit()).next()?.parse::<u32>().ok()
    };
    entries(dir).into_iter().filter(|file| release(file) == Some(major)).collect()
}

/// What a compiler says of itself.
#[derive(Debug, PartialEq, Eq)]
struct Version {
    release: String,
    llvm: u32,
}

impl Version {
    /// Of a compiler that is no older than [`OLDEST_RUST`].
    fn of(rustc: &Path) -> Result<Self, String> {
        let said = stdout(Command::new(rustc).arg("-vV")).ok_or_else(|| format!("{} does not run", rustc.display()))?;
        let version = Self::parse(&said).ok_or_else(|| format!("{} does not tell its version", rustc.display()))?;
        let mut numbers = version.release.split(['.', '-']).map_while(|number| number.parse::<u32>().ok());
        let found = (numbers.next().unwrap_or(0), numbers.next().unwrap_or(0));
        if found < OLDEST_RUST {
            let (major, minor) = OLDEST_RUST;
            return Err(format!("{} is {}, older than {major}.{minor}", rustc.display(), version.release));
        }
        Ok(version)
    }

    fn parse(said: &str) -> Option<Self> {
        let field = |key: &str| said.lines().find_map(|line| line.strip_prefix(key)).map(str::trim);
        let llvm = field("LLVM version:")?.split('.').next()?.parse().ok()?;
        Some(Self { release: field("release:")?.to_owned(), llvm })
    }
}

fn sysroot(rustc: &OsStr) -> Result<PathBuf, String> {
    stdout(Command::new(rustc).args(["--print", "sysroot"]))
        .map(|said| PathBuf::from(said.trim()))
        .ok_or_else(|| format!("{} does not tell its sysroot", Path::new(rustc).display()))
}

/// What `command` prints, if it succeeds; it never makes rustup fetch a toolchain.
fn stdout(command: &mut Command) -> Option<String> {
    let output = command.env("RUSTUP_AUTO_INSTALL", "0").stdin(Stdio::null()).stderr(Stdio::null()).output().ok()?;
    output.status.success().then(|| String::from_utf8_lossy(&output.stdout).into_owned())
}

/// A directory's entries by name; none when it can't be read.
fn entries(dir: &Path) -> Vec<PathBuf> {
    let mut paths: Vec<PathBuf> =
        fs::read_dir(dir).map(|dir| dir.filter_map(|entry| Some(entry.ok()?.path())).collect()).unwrap_or_default();
    paths.sort();
    paths
}

fn name(path: &Path) -> String {
    path.file_name().map(|name| name.to_string_lossy().into_owned()).unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::os::unix::fs::PermissionsExt as _;

    /// A machine in a directory of its own: fake compilers are scripts that answer the two questions they are asked.
    struct Machine(PathBuf);

    impl Machine {
        fn new(name: &str) -> Self {
            let root = std::env::temp_dir().join(format!("weir-toolchain-{}-{name}", std::process::id()));
            fs::create_dir_all(&root).unwrap();
            Self(root)
        }

        fn file(&self, path: &str, text: &str) {
            let path = self.0.join(path);
            fs::create_dir_all(path.parent().unwrap()).unwrap();
            fs::write(&path, text).unwrap();
            fs::set_permissions(&path, fs::Permissions::from_mode(0o755)).unwrap();
        }

        fn compiler(&self, home: &str, release: &str) {
            let sysroot = self.0.join(home);
            let sysroot = sysroot.display();
            let version = format!("release: {release}\nLLVM version: 22.1.2");
            let script = format!("#!/bin/sh\n[ \"$1\" = -vV ] && echo '{version}' || echo '{sysroot}'\n");
            self.file(&format!("{home}/bin/rustc"), &script);
            self.file(&format!("{home}/bin/cargo"), "");
        }

        fn distribution(&self, release: &str) {
            self.compiler("usr", release);
            self.file("usr/lib/rustlib/bpfel-unknown-none/lib/libcore-0.rlib", "");
        }

        fn linker(&self, dir: &str, release: &str) {
            self.file(&format!("{dir}/bpf-linker"), &format!("#!/bin/sh\necho bpf-linker {release}\n"));
        }

        fn places(&self) -> Places {
            Places {
                path: vec![self.0.join("bin")],
                cargo_home: Some(self.0.join("cargo")),
                rustup_home: Some(self.0.join("rustup")),
                distribution: self.0.join("usr"),
            }
        }

        fn stable(&self, llvm: &str) {
            self.compiler("rustup/toolchains/stable", "1.95.0");
            self.file(&format!("rustup/toolchains/stable/lib/{llvm}"), "");
        }

        fn nightly(&self) {
            self.compiler("rustup/toolchains/nightly-host", "1.97.0-nightly");
            self.file("rustup/toolchains/nightly-host/lib/libLLVM-22-rust-1.97.0-nightly.so", "");
        }

        fn sources(&self) {
            self.file("rustup/toolchains/nightly-host/lib/rustlib/src/rust/library/core/src/lib.rs", "");
        }
    }

    impl Drop for Machine {
        fn drop(&mut self) {
            fs::remove_dir_all(&self.0).unwrap();
        }
    }

    #[test]
    fn distribution_compiler_is_preferred_and_links_with_the_llvm_it_is_built_with() {
        let machine = Machine::new("own");
        machine.distribution("1.96.0");
        machine.file("usr/lib/x86_64-linux-gnu/libLLVM-15.so.1", "");
        machine.file("usr/lib/x86_64-linux-gnu/libLLVM.so.22.1", "");
        machine.stable("libLLVM.so.22.1-rust-1.95.0-stable");
        machine.nightly();
        machine.sources();
        let compiler = Compiler::find(&machine.places()).unwrap();
        assert_eq!((compiler.way, compiler.release.as_str()), (Way::Distribution, "1.96.0"));
        assert_eq!(compiler.llvm, [machine.0.join("usr/lib/x86_64-linux-gnu/libLLVM.so.22.1")]);
    }

    #[test]
    fn llvm_is_borrowed_from_rustup_and_never_of_another_release() {
        let machine = Machine::new("borrow");
        machine.distribution("1.96.0");
        machine.stable("libLLVM-23-rust-1.99.0-stable.so");
        let missing = Compiler::find(&machine.places()).unwrap_err().to_string();
        assert!(missing.contains("LLVM 22"), "{missing}");
        machine.nightly();
        let compiler = Compiler::find(&machine.places()).unwrap();
        assert_eq!(compiler.way, Way::Distribution);
        assert_eq!(compiler.llvm, entries(&machine.0.join("rustup/toolchains/nightly-host/lib")));
    }

    #[test]
    fn linker_sees_the_right_llvm_and_no_other() {
        let machine = Machine::new("links");
        machine.distribution("1.96.0");
        machine.file("usr/lib/x86_64-linux-gnu/libLLVM-14.so", "");
        machine.file("usr/lib/x86_64-linux-gnu/libLLVM.so.22.1", "");
        machine.linker("bin", LINKER_VERSION);
        let toolchain = Toolchain::find(&machine.places()).unwrap();
        // Twice: a second build finds the first one's links.
        toolchain.build(&machine.0.join("bpf")).unwrap();
        toolchain.build(&machine.0.join("bpf")).unwrap();
        assert_eq!(entries(&machine.0.join("bpf.llvm")), [machine.0.join("bpf.llvm/libLLVM.so.22.1")]);
    }

    #[test]
    fn nightly_serves_only_with_its_sources() {
        let machine = Machine::new("sources");
        machine.nightly();
        let missing = Compiler::find(&machine.places()).unwrap_err().to_string();
        assert!(missing.contains("nightly-host lacks rust-src"), "{missing}");
        machine.sources();
        assert_eq!(Compiler::find(&machine.places()).unwrap().way, Way::Nightly);
    }

    #[test]
    fn old_distribution_compiler_is_refused_with_both_versions() {
        let machine = Machine::new("old");
        machine.distribution("1.85.0");
        machine.stable("libLLVM-22-rust-1.95.0-stable.so");
        let missing = Compiler::find(&machine.places()).unwrap_err().to_string();
        assert!(missing.contains("is 1.85.0, older than 1.95"), "{missing}");
    }

    #[test]
    fn linker_of_the_right_release_is_found_behind_a_wrong_one() {
        let machine = Machine::new("linker");
        assert_eq!(find_linker(&machine.places()), Err(Missing::Linker));
        machine.linker("bin", "0.11.0");
        let wrong = Missing::LinkerRelease { at: machine.0.join("bin/bpf-linker"), release: "0.11.0".to_owned() };
        assert_eq!(find_linker(&machine.places()), Err(wrong));
        machine.linker("cargo/bin", LINKER_VERSION);
        assert_eq!(find_linker(&machine.places()), Ok(machine.0.join("cargo/bin/bpf-linker")));
    }

    #[test]
    fn nested_build_keeps_the_way_to_registries_and_nothing_else() {
        for kept in ["CARGO_HOME", "CARGO_HTTP_PROXY", "CARGO_REGISTRIES_OWN_INDEX", "CARGO_MAKEFLAGS", "PATH", "HOME"]
        {
            assert!(!is_build_setting(kept), "{kept}");
        }
        let scrubbed = [
            "CARGO",
            "CARGO_ENCODED_RUSTFLAGS",
            "CARGO_FEATURE_TRACE",
            "CARGO_TARGET_DIR",
            "CLIPPY_ARGS",
            "RUSTC",
            "RUSTC_WORKSPACE_WRAPPER",
            "RUSTDOCFLAGS",
            "RUSTFLAGS",
            "RUSTUP_TOOLCHAIN",
        ];
        for name in scrubbed {
            assert!(is_build_setting(name), "{name}");
        }
    }
}
