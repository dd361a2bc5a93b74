//! The kernel ABI's lock: a layout that changes without a new `ABI_VERSION` would be read wrongly from pinned maps.
use super::code;

/// Where the layouts are.
pub const SOURCE: &str = "common/src/abi.rs";

/// How the paths of other files begin that say where layouts are.
pub const OTHERS: [&str; 2] = ["common/src/abi/", "common/src/area.rs"];

/// Where the verdicts' counter slots are.
pub const VERDICTS: &str = "common/src/verdict.rs";

/// Where what was last agreed is recorded.
pub const LOCK: &str = "xtask/abi.lock";

/// The ABI as it stands or as it was recorded.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Abi {
    /// `ABI_VERSION`.
    pub version: u32,
    /// Checksum of everything the layouts' meaning rests on.
    pub checksum: u64,
}

impl Abi {
    /// The ABI these sources define; none when they name no `ABI_VERSION`.
    ///
    /// Comments, tests, line breaks and the version's own line do not count.
    pub fn of(layouts: &[&str], verdicts: &str) -> Option<Self> {
        let shipped: Vec<String> = layouts.iter().map(|text| code::shipped_with_literals(text)).collect();
        let shipped = shipped.join("\n");
        let (_, version) = shipped.split_once("const ABI_VERSION: u32 =")?;
        let version = version.split(';').next()?.trim().parse().ok()?;
        let slots = code::shipped(verdicts);
        let slots = slots.lines().filter(|line| is_slot(line) || line.contains("const VERDICT_SLOTS"));
        let layouts = shipped.lines().filter(|line| !line.contains("const ABI_VERSION"));
        let words = layouts.chain(slots).flat_map(str::split_whitespace);
        Some(Self { version, checksum: checksum(words) })
    }

    /// Reads what [`Abi::lock`] wrote.
    pub fn from_lock(text: &str) -> Option<Self> {
        let value = |key: &str| text.lines().find_map(|line| line.strip_prefix(key)?.trim().strip_prefix('='));
        let version = value("version")?.trim().parse().ok()?;
        let checksum = u64::from_str_radix(value("checksum")?.trim(), 16).ok()?;
        Some(Self { version, checksum })
    }

    /// The text of the lock file.
    pub fn lock(&self) -> String {
        format!(
            "# The kernel ABI as last agreed; written by `cargo xtask tidy --bless`.\nversion = {}\nchecksum = {:016x}\n",
            self.version, self.checksum
        )
    }

    /// What is wrong with the ABI, seen from the one recorded.
    pub fn complaint(&self, recorded: Option<&Self>) -> Option<String> {
        let Some(recorded) = recorded else {
            return Some(format!("{LOCK} is missing or unreadable: `cargo xtask tidy --bless` writes it"));
        };
        if recorded.version != self.version {
            return Some(format!(
                "ABI_VERSION is {}, {LOCK} records {}: `cargo xtask tidy --bless` records the new one",
                self.version, recorded.version
            ));
        }
        (recorded.checksum != self.checksum).then(|| {
            format!(
                "the kernel ABI changed and ABI_VERSION is still {}: raise it if an older program or daemon would \
                 misread the maps, then record the change with `cargo xtask tidy --bless`",
                self.version
            )
        })
    }
}

/// `Name = 3,`: a variant with its number.
fn is_slot(line: &str) -> bool {
    line.trim().strip_suffix(',').and_then(|line| line.split_once(" = ")).is_some_and(|(name, number)| {
        name.bytes().all(|byte| byte.is_ascii_alphanumeric()) && number.bytes().all(|byte| byte.is_ascii_digit())
    })
}

/// FNV-1a, 64 bits: it guards against oversight, not against malice.
///
/// Source: offset basis and prime as Fowler, Noll and Vo give them for 64 bits.
fn checksum<'a>(words: impl Iterator<Item = &'a str>) -> u64 {
    let bytes = words.flat_map(|word| word.bytes().chain([b' ']));
    bytes.fold(0xcbf2_9ce4_8422_2325, |hash, byte| (hash ^ u64::from(byte)).wrapping_mul(0x0100_0000_01b3))
}

#[cfg(test)]
mod tests {
    use super::*;

    const LAYOUT: &str =
        "/// Version.\npub const ABI_VERSION: u32 = 3;\n/// A row.\npub struct Row {\n    pub a: u32,\n}\n";
    const SLOTS: &str = "pub const VERDICT_SLOTS: usize = 32;\npub enum Verdict {\n    Pass = 0,\n}\n";

    fn abi(layout: &str) -> Abi {
        Abi::of(&[layout], SLOTS).unwrap()
    }

    #[test]
    fn comments_tests_and_line_breaks_do_not_change_the_checksum() {
        let other = LAYOUT.replace("/// A row.", "// Another comment.\n").replace("    pub a", "pub\n a");
        let other = other + "#[cfg(test)]\nmod tests {\n    fn f() {}\n}\n";
        assert_eq!(abi(&other), abi(LAYOUT));
    }

    #[test]
    fn changed_layout_is_found_until_version_and_lock_follow() {
        let recorded = abi(LAYOUT);
        assert_eq!(abi(LAYOUT).complaint(Some(&recorded)), None);

        let widened = LAYOUT.replace("u32,", "u64,");
        let complaint = abi(&widened).complaint(Some(&recorded)).unwrap();
        assert!(complaint.contains("still 3") && complaint.contains("--bless"), "{complaint}");

        let raised = widened.replace("= 3", "= 4");
        let complaint = abi(&raised).complaint(Some(&recorded)).unwrap();
        assert!(complaint.contains("is 4") && complaint.contains("records 3"), "{complaint}");
        assert_eq!(abi(&raised).complaint(Some(&abi(&raised))), None);
    }

    #[test]
    fn renumbered_verdict_is_found() {
        let renumbered = Abi::of(&[LAYOUT], &SLOTS.replace("= 0", "= 1")).unwrap();
        assert!(renumbered.complaint(Some(&abi(LAYOUT))).is_some());
    }

    #[test]
    fn lock_reads_back_as_written() {
        assert_eq!(Abi::from_lock(&abi(LAYOUT).lock()), Some(abi(LAYOUT)));
        assert_eq!(Abi::from_lock("version = x"), None);
        assert!(abi(LAYOUT).complaint(None).is_some());
    }
}
