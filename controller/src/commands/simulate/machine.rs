//! A private instance of the program: loaded for this process alone, attached to nothing, with a clock of its own.
use std::collections::HashMap;
use std::os::fd::AsFd as _;
use std::path::PathBuf;
use std::sync::Arc;

use anyhow::{Context as _, Result, anyhow, bail, ensure};
use aya::programs::{TestRun as _, TestRunOptions};
use weir_common::abi::{Control, Slot, control_word, feature};
use weir_common::sources::EPOCH_SHIFT;
use weir_common::traffic::{self, Place, fact};
use weir_common::walk::{self, LinkKind, TransportKind, protocol};

use crate::adapters::clock;
use crate::adapters::kernel::instance::Instance;
use crate::adapters::kernel::map::Mapped;
use crate::adapters::kernel::object::{self, Clock, Object, POLICY_MAPS, Sizes};
use crate::adapters::kernel::probes;
use crate::adapters::kernel::reader::{Counters, KernelReader};
use crate::adapters::kernel::sys;
use crate::adapters::kernel::writer::KernelWriter;
use crate::domain::desired::Desired;
use crate::domain::guard::Guards;
use crate::sync::{Settings, takeover};

const XDP_DROP: u32 = 1;
const XDP_PASS: u32 = 2;
/// Longest frame that is surely one buffer: a page without what the kernel keeps before and behind the packet. Longer
/// ones the test-run splits, and the program would see their beginning only.
const ONE_BUFFER: usize = 3_498 + 14 + 4;
/// The rates' clock at a capture's first packet.
const START_NS: u64 = 1 << EPOCH_SHIFT;

/// The program, its private maps, and the policy it judges by.
#[derive(Debug)]
pub(super) struct Machine {
    object: Object,
    control: Mapped<u64>,
    reader: Arc<KernelReader>,
    followed: Option<Followed>,
    policy: Mapped<Slot>,
    answers: Answers,
    clock: CaptureClock,
    judged: u64,
    policies: u64,
}

/// Packets for which the policy looks up whether a socket waits for them.
#[derive(Debug, Default)]
struct Answers {
    /// The control word that `ports` was read by.
    word: u64,
    /// A bit for each source port of UDP, where the policy asks.
    ports: Vec<u64>,
    /// Packets from such ports.
    count: u64,
}

/// The running instance whose policy is judged by.
#[derive(Debug)]
struct Followed {
    control: Mapped<u64>,
    policy: Mapped<Slot>,
    word: u64,
}

/// The capture's time on this machine's clocks: its first packet comes now, and no packet before the one ahead of it.
///
/// What ends is judged by this machine's boot time. Rates have a clock that starts with an epoch of the decaying counts:
/// where in its epoch a machine happens to be would decide how much a source has spent when it is found over its limit.
#[derive(Clone, Copy, Debug)]
struct CaptureClock {
    /// Boot time at the start.
    boot_ns: u64,
    /// When the first packet was captured.
    first: Option<u64>,
    passed_ns: u64,
}

impl CaptureClock {
    fn start() -> Self {
        let boot_ns = clock::now().boot.0.saturating_mul(1_000_000_000);
        Self { boot_ns, first: None, passed_ns: 0 }
    }

    /// Boot-time seconds and monotonic nanoseconds of a packet.
    fn at(&mut self, captured_ns: u64) -> (u64, u64) {
        let first = *self.first.get_or_insert(captured_ns);
        self.passed_ns = self.passed_ns.max(captured_ns.saturating_sub(first));
        let boot_s = self.boot_ns.saturating_add(self.passed_ns) / 1_000_000_000;
        (boot_s, START_NS.saturating_add(self.passed_ns))
    }
}

impl Machine {
    /// Judges by the policy of a running instance: its tables and its overlay are shared and only read.
    ///
    /// # Errors
    /// Why they cannot be: no privilege, or pins of another build.
    pub(super) fn of_instance(instance: &Instance) -> Result<Self> {
        let folder = instance.maps();
        let open = |name: &str| {
            object::open_map(&folder, name).with_context(|| {
                format!(
                    "open the pinned map {name} in {}; only root may, and the daemon must be of this version",
                    folder.display()
                )
            })
        };
        let entries = |name: &str| -> Result<u32> { Ok(sys::map_info(open(name)?.as_fd())?.entries) };
        // Opened by the loader too, which would make and pin what is missing: so all must be there before.
        for name in POLICY_MAPS {
            open(name)?;
        }
        let sizes = Sizes {
            overlay_addresses: entries("OVERLAY_V4")?,
            overlay_prefixes: entries("OVERLAY_DENY_V4")?,
            offenders: entries("OFFENDERS")?,
            compared: 1,
        };
        // Values of the overlay name their counters, and the private ones must have room for each.
        let cpus = object::possible_cpus().context("count the CPUs")?;
        let counters = entries("OVERLAY_HITS")?;
        ensure!(
            counters == sizes.overlay_counters() * cpus,
            "the pinned overlay has {counters} counters, not {} for each of {cpus} CPUs: it belongs to another version",
            sizes.overlay_counters()
        );
        let control = Mapped::new(open("CONTROL")?.as_fd()).context("map the pinned control words")?;
        let policy = Mapped::new(open("POLICY")?.as_fd()).context("map the pinned policy slots")?;
        let pins = POLICY_MAPS.iter().map(|name| (*name, folder.join(name))).collect();
        let mut machine = Self::load(&sizes, &pins)?;
        machine.followed = Some(Followed { control, policy, word: 0 });
        machine.follow();
        Ok(machine)
    }

    /// Judges by settings alone: no list names anybody.
    ///
    /// # Errors
    /// Why the kernel does not take them.
    pub(super) fn of_settings(settings: &Settings, max_sources: u32) -> Result<Self> {
        let sizes = Sizes { overlay_addresses: 1, overlay_prefixes: 1, offenders: max_sources, compared: 1 };
        let mut machine = Self::load(&sizes, &HashMap::new())?;
        let cpus = object::possible_cpus().context("count the CPUs")?;
        let writer = KernelWriter::new(|name| machine.object.map_fd(name).map_err(std::io::Error::other), cpus)?;
        takeover::first_policy(&writer, &Desired::new(), &Guards::default(), settings, settings.enforcement, 0, None)?;
        machine.policies = 1;
        Ok(machine)
    }

    fn load(sizes: &Sizes, pins: &HashMap<&'static str, PathBuf>) -> Result<Self> {
        // Needed before Linux 5.11 only, where loading says so if it fails.
        probes::lift_locked_memory().ok();
        stay_on_this_cpu()?;
        let mut object = Object::load(sizes, Clock::Words, pins).map_err(|error| explained(error.into()))?;
        object.load_program().map_err(|error| explained(error.into()))?;
        let open = |name: &str| object.map_fd(name).map_err(std::io::Error::other);
        let control = Mapped::new(open("CONTROL")?.as_fd()).context("map the control words")?;
        // Chosen here, so that a capture is judged the same way each time.
        control.publish(control_word::SEED as usize, 1);
        let reader = KernelReader::new(open).context("map the counters")?;
        let policy = Mapped::new(open("POLICY")?.as_fd()).context("map the policy slots")?;
        let (clock, answers) = (CaptureClock::start(), Answers::default());
        Ok(Self { object, control, reader, followed: None, policy, answers, clock, judged: 0, policies: 0 })
    }

    /// Takes over which slot is in force and what the overlay holds, as they are now.
    ///
    /// A slot stays readable for one more generation, so one look before each packet is enough.
    fn follow(&mut self) {
        let Some(followed) = &mut self.followed else { return };
        let read = |word: u32| followed.control.read(word as usize).unwrap_or(0);
        let (word, overlay) = (read(control_word::CONTROL), read(control_word::OVERLAY));
        self.control.publish(control_word::OVERLAY as usize, overlay);
        if word == followed.word && self.policies > 0 {
            return;
        }
        followed.word = word;
        let policy = &followed.policy;
        let settled = settled(Control::from_word(word), |slot| policy.read(slot as usize), clock::now().boot.0);
        self.control.publish(control_word::CONTROL as usize, settled.word());
        self.policies += 1;
    }

    /// Judges a frame captured at this time; `false` where it is too long to be one.
    ///
    /// # Errors
    /// Where the kernel does not run the program over it.
    pub(super) fn judge(&mut self, captured_ns: u64, frame: &[u8]) -> Result<bool> {
        if frame.len() > ONE_BUFFER {
            return Ok(false);
        }
        self.follow();
        let (boot_s, monotonic_ns) = self.clock.at(captured_ns);
        self.control.publish(control_word::CLOCK_BOOT_S as usize, boot_s);
        self.control.publish(control_word::CLOCK_NS as usize, monotonic_ns);
        let options = TestRunOptions { data_in: Some(frame), ..TestRunOptions::default() };
        let result =
            self.object.program()?.test_run(options).context("have the kernel run the program over a packet")?;
        if !matches!(result.return_value, XDP_DROP | XDP_PASS) {
            bail!("the program answered a packet with XDP action {}, which weir's never does", result.return_value);
        }
        self.judged += 1;
        self.count_answer(frame);
        Ok(true)
    }

    /// Counts a frame for which the policy looks up whether a socket here waits for it.
    fn count_answer(&mut self, frame: &[u8]) {
        let word = self.control.read(control_word::CONTROL as usize).unwrap_or(0);
        if word != self.answers.word {
            let slot = self.policy.read(Control::from_word(word).slot() as usize);
            let slot = slot.filter(|slot| slot.features & feature::ANSWERS != 0);
            self.answers.ports = slot.map_or_else(Vec::new, |slot| slot.answers.to_vec());
            self.answers.word = word;
        }
        let port = if self.answers.ports.is_empty() { None } else { udp_source(frame) };
        let word = port.and_then(|port| Some((self.answers.ports.get(usize::from(port) / 64)?, port % 64)));
        self.answers.count += word.map_or(0, |(word, bit)| word >> bit & 1);
    }

    /// Frames judged for which the policy looked up whether a socket waits for them: on this machine, now.
    pub(super) fn answers(&self) -> u64 {
        self.answers.count
    }

    /// Frames judged so far.
    pub(super) fn judged(&self) -> u64 {
        self.judged
    }

    /// Policies judged by so far.
    pub(super) fn policies(&self) -> u64 {
        self.policies
    }

    /// Everything the program has counted.
    pub(super) fn counters(&self) -> Counters {
        self.reader.counters()
    }

    /// The number of the policy judged by.
    pub(super) fn generation(&self) -> u64 {
        self.reader.descriptor().generation()
    }

    /// Whether the running instance lets everything through for now. This one does not: what its policy says is asked.
    pub(super) fn is_bypassed(&self) -> bool {
        let word = |followed: &Followed| followed.control.read(control_word::BYPASS as usize).unwrap_or(0);
        self.followed.as_ref().is_some_and(|followed| word(followed) != 0)
    }
}

/// The port that a frame's UDP packet comes from; `None` where it holds none, or a later fragment.
fn udp_source(frame: &[u8]) -> Option<u16> {
    let link = walk::link(frame);
    let network = match link.kind {
        LinkKind::V4 => walk::ipv4(frame, link.offset)?,
        LinkKind::V6 => walk::ipv6(frame, link.offset)?,
        LinkKind::Other | LinkKind::Truncated | LinkKind::TooManyTags => return None,
    };
    let found = walk::transport(frame, &network, std::convert::identity);
    if found.kind != TransportKind::Header || found.protocol != protocol::UDP {
        return None;
    }
    let place = Place { protocol: found.protocol, offset: found.offset, end: network.end, fragment: found.fragment };
    let facts = traffic::facts(frame, place);
    u16::try_from(facts.ports >> 16).ok().filter(|_| facts.bits & fact::HAS_PORTS != 0)
}

/// The control word for what is in force at this moment, deadline or not: a capture can be longer than a confirm's time.
fn settled(control: Control, slot: impl Fn(u32) -> Option<Slot>, boot_s: u64) -> Control {
    let mut index = control.slot();
    if control.confirm_pending()
        && let Some(slot) = slot(index)
        && boot_s >= slot.confirm_deadline_s
    {
        index = slot.fallback;
    }
    Control::new(index, control.generation(), false)
}

/// Counters and buckets are kept for each CPU: on one, every run comes out the same.
fn stay_on_this_cpu() -> Result<()> {
    // SAFETY: takes nothing.
    let cpu = unsafe { libc::sched_getcpu() };
    let Ok(cpu) = usize::try_from(cpu) else { return Ok(()) };
    // SAFETY: a set of bits, valid when zero.
    let mut set: libc::cpu_set_t = unsafe { std::mem::zeroed() };
    if cpu >= 8 * size_of_val(&set) {
        return Ok(());
    }
    // SAFETY: the CPU lies below the set's size.
    unsafe { libc::CPU_SET(cpu, &mut set) };
    // SAFETY: `set` is as large as said, and 0 is the calling thread.
    if unsafe { libc::sched_setaffinity(0, size_of_val(&set), &raw const set) } != 0 {
        return Err(std::io::Error::last_os_error()).context("stay on one CPU");
    }
    Ok(())
}

/// With the way out, where it is a privilege that lacks.
fn explained(error: anyhow::Error) -> anyhow::Error {
    let number =
        |cause: &(dyn std::error::Error + 'static)| cause.downcast_ref().and_then(std::io::Error::raw_os_error);
    match error.chain().find_map(number) {
        Some(libc::EPERM | libc::EACCES) => {
            anyhow!("no privilege to load a program into the kernel: run it as root, or with CAP_BPF and CAP_NET_ADMIN")
        }
        _ => error.context("load the program for this process"),
    }
}

#[cfg(test)]
mod tests {
    use zerocopy::FromZeros as _;

    use super::*;

    #[test]
    fn a_pending_change_counts_until_its_deadline_and_then_for_the_whole_capture() {
        let slot = |index: u32| {
            let mut slot = Slot::new_zeroed();
            slot.confirm_deadline_s = 100;
            slot.fallback = 3;
            (index == 2).then_some(slot)
        };
        let settled = |pending, now| settled(Control::new(2, 9, pending), slot, now);
        assert_eq!(settled(true, 99), Control::new(2, 9, false));
        assert_eq!(settled(true, 100), Control::new(3, 9, false));
        assert_eq!(settled(false, 100), Control::new(2, 9, false));
    }

    #[test]
    fn time_goes_as_in_the_capture_and_never_back() {
        let mut clock = CaptureClock { boot_ns: 5_000_000_000, first: None, passed_ns: 0 };
        let epoch = 1_700_000_000_000_000_000;
        assert_eq!(clock.at(epoch), (5, START_NS));
        assert_eq!(clock.at(epoch + 1_500_000_000), (6, START_NS + 1_500_000_000));
        assert_eq!(clock.at(epoch + 1), (6, START_NS + 1_500_000_000));
        assert_eq!(clock.at(epoch + 90_000_000_000), (95, START_NS + 90_000_000_000));
        assert_eq!(clock.at(0), (95, START_NS + 90_000_000_000));
    }
}
