//! The real program under settings of a configuration, run packet by packet by the kernel's test-run at the packets' own
//! times: what `weir simulate` does, with the verdict of each packet known.
use std::collections::HashMap;
use std::os::fd::AsFd as _;
use std::sync::Arc;

use anyhow::{Context as _, Result, bail, ensure};
use aya::programs::{TestRun as _, TestRunOptions};
use weir::adapters::clock;
use weir::adapters::kernel::map::Mapped;
use weir::adapters::kernel::object::{self, Clock, Object, Sizes};
use weir::adapters::kernel::reader::{Counters, KernelReader};
use weir::adapters::kernel::writer::KernelWriter;
use weir::config;
use weir::daemon::load;
use weir::domain::desired::Desired;
use weir::domain::guard::Guards;
use weir::sync::takeover;
use weir_common::abi::control_word;
use weir_common::sources::EPOCH_SHIFT;
use weir_common::verdict::Verdict;

const XDP_DROP: u32 = 1;
const XDP_PASS: u32 = 2;

/// Longest frame that is surely one buffer: a page without what the kernel keeps before and behind the packet.
pub const ONE_BUFFER: usize = 3_498 + 14 + 4;

/// The rates' clock at the first packet: an epoch's beginning, so that every run comes out the same.
const START_NS: u64 = 1 << EPOCH_SHIFT;

/// A program that is attached to nothing, with maps of its own and a policy of settings alone.
#[derive(Debug)]
pub struct Machine {
    object: Object,
    control: Mapped<u64>,
    reader: Arc<KernelReader>,
    counted: Counters,
    boot_s: u64,
    first_ns: Option<u64>,
    passed_ns: u64,
}

/// What became of a packet.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Judged {
    /// The verdict it was counted under.
    pub verdict: Verdict,
    /// Whether it was let through.
    pub passed: bool,
}

impl Machine {
    /// One that judges by a configuration's text. Keeps the thread on one CPU, where counters and buckets are.
    ///
    /// # Errors
    /// What is wrong with the configuration, or what the kernel refused.
    pub fn new(profile: &str) -> Result<Self> {
        let cpu = crate::kernel::stay_on_one_cpu();
        cpu.context("stay on one CPU")?;
        let loaded = config::parse(profile, "the profile", std::iter::empty()).context("read the profile")?;
        let cpus = object::possible_cpus().context("count the CPUs")?;
        let settings = load::settings(profile, &loaded, "the profile", false, cpus)?;
        let sizes = Sizes {
            overlay_addresses: 1,
            overlay_prefixes: 1,
            offenders: loaded.config.state.max_sources,
            compared: 1,
        };
        let mut object = Object::load(&sizes, Clock::Words, &HashMap::new()).context("load weir's maps, as root")?;
        object.load_program().context("load weir's program")?;
        let open = |name: &str| object.map_fd(name).map_err(std::io::Error::other);
        let control = Mapped::new(open("CONTROL")?.as_fd()).context("map the control words")?;
        control.publish(control_word::SEED as usize, 1);
        let reader = KernelReader::new(open).context("map the counters")?;
        let writer = KernelWriter::new(open, cpus)?;
        let guards = Guards::default();
        takeover::first_policy(&writer, &Desired::new(), &guards, &settings, settings.enforcement, 0, None)?;
        let counted = reader.counters();
        let boot_s = clock::now().boot.0;
        Ok(Self { object, control, reader, counted, boot_s, first_ns: None, passed_ns: 0 })
    }

    /// Judges a frame that came at this time; `None` where it is too long to be one on a wire.
    ///
    /// # Errors
    /// Where the kernel does not run the program, or counters and action disagree.
    pub fn judge(&mut self, at_ns: u64, frame: &[u8]) -> Result<Option<Judged>> {
        if frame.len() > ONE_BUFFER {
            return Ok(None);
        }
        let first = *self.first_ns.get_or_insert(at_ns);
        // A clock does not go back.
        self.passed_ns = self.passed_ns.max(at_ns.saturating_sub(first));
        let boot_s = self.boot_s + self.passed_ns / 1_000_000_000;
        self.control.publish(control_word::CLOCK_BOOT_S as usize, boot_s);
        self.control.publish(control_word::CLOCK_NS as usize, START_NS + self.passed_ns);
        let options = TestRunOptions { data_in: Some(frame), ..TestRunOptions::default() };
        let action = self.object.program()?.test_run(options).context("test-run of a frame")?.return_value;
        let passed = match action {
            XDP_PASS => true,
            XDP_DROP => false,
            other => bail!("a packet came with XDP action {other}"),
        };
        let counters = self.reader.counters();
        let grown = |verdict: &Verdict| {
            let slot = verdict.slot() as usize;
            counters.enforced[slot].packets - self.counted.enforced[slot].packets
        };
        let counts: Vec<(Verdict, u64)> =
            Verdict::ALL.iter().map(|verdict| (*verdict, grown(verdict))).filter(|(_, count)| *count > 0).collect();
        self.counted = counters;
        let [(verdict, 1)] = counts.as_slice() else { bail!("one packet was counted as {counts:?}") };
        ensure!(
            passed == (verdict.action() == weir_common::verdict::Action::Pass),
            "{} came with XDP action {action}",
            verdict.name()
        );
        Ok(Some(Judged { verdict: *verdict, passed }))
    }
}
