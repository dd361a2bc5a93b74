//! The real program under the kernel's test-run, every packet from a source of its own.
use std::collections::HashMap;
use std::io;
use std::os::fd::{AsFd as _, AsRawFd as _, BorrowedFd, OwnedFd};
use std::sync::Arc;

use anyhow::{Context as _, Result, ensure};
use aya::programs::{TestRun as _, TestRunAttrs, TestRunOptions};
use weir::adapters::kernel::map::Mapped;
use weir::adapters::kernel::object::{self, Clock, Object, Sizes};
use weir::adapters::kernel::reader::{Counters, KernelReader};
use weir::adapters::kernel::sys;
use weir::adapters::kernel::writer::KernelWriter;
use weir::domain::floods::Floods;
use weir::domain::tables::Image;
use weir_common::abi::{self, Control, Slot, control_word, feature};
use weir_common::rate;
use weir_common::verdict::Verdict;
use zerocopy::{FromZeros as _, IntoBytes as _};

use super::sequence::{self, Draw, Share};
use crate::frames::{V4, V6};

/// Sampled drops a second, as configured by default.
const SAMPLES: u64 = 100;

/// Entries of the kernel's own map that is measured beside.
const COMPARED: u32 = 1_000_000;

/// An address family.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Family {
    /// IPv4.
    V4,
    /// IPv6.
    V6,
}

impl Family {
    /// Both.
    pub const ALL: [Self; 2] = [Self::V4, Self::V6];

    /// Its name in reports.
    pub fn name(self) -> &'static str {
        match self {
            Self::V4 => "v4",
            Self::V6 => "v6",
        }
    }

    /// Numbers that have an address and can be drawn.
    pub fn numbers(self) -> u64 {
        match self {
            Self::V4 => sequence::V4_NUMBERS,
            // A draw has 32 bits.
            Self::V6 => 1 << 32,
        }
    }

    fn generator(self) -> &'static str {
        match self {
            Self::V4 => "generate_v4",
            Self::V6 => "generate_v6",
        }
    }

    /// The packet that the generator writes sources into. Its destination has no number.
    fn frame(self) -> Vec<u8> {
        match self {
            Self::V4 => V4::from([192, 0, 2, 1]).frame(),
            Self::V6 => V6::from([0xfd; 16]).frame(),
        }
    }
}

/// What stands behind the generator.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Program {
    /// weir.
    Weir,
    /// The program that drops and does nothing else.
    Empty,
    /// The program that counts sources in the kernel's own map of the least recently used, as others do.
    LeastRecent,
    /// The program that reads one line of the tables, and does nothing with it but so much that it takes time.
    OneLine,
    /// The program that sends packets out of the interface they are said to have come in by.
    Transmit,
}

/// Frames that are sent at once: as many as a driver is asked to take at once.
const BATCH: u32 = 64;

/// The numbers that sources are drawn from.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Numbers {
    /// The first.
    pub first: u64,
    /// How many.
    pub count: u64,
}

/// What is done beside the list verdict.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Extras {
    /// Packets are counted for their source.
    pub track: bool,
    /// Drops are sampled.
    pub samples: bool,
}

/// What a run came to.
#[derive(Clone, Debug)]
pub struct Run {
    /// Nanoseconds a packet, generator included, as the kernel measured them.
    pub ns: u64,
    /// Packets by verdict that weir counted.
    pub counted: Vec<(Verdict, u64)>,
}

/// An object for this process alone: nothing is attached or pinned.
#[derive(Debug)]
pub struct Rig {
    object: Object,
    writer: Arc<KernelWriter>,
    reader: Arc<KernelReader>,
    policy: Mapped<Slot>,
    draw: Mapped<Draw>,
    next: OwnedFd,
    weir: OwnedFd,
    empty: OwnedFd,
    least_recent: OwnedFd,
    one_line: OwnedFd,
    transmit: OwnedFd,
    reading: Mapped<[u64; 4]>,
    behind: Option<Program>,
    generation: u64,
    /// What is drawn in between.
    pub shares: [Share; 2],
}

impl Rig {
    /// Loads everything. The policy is empty until [`Rig::fill`].
    ///
    /// # Errors
    /// What the kernel refused; where this is not root, what to do.
    pub fn load() -> Result<Self> {
        require_root()?;
        let cpus = object::possible_cpus().context("count the CPUs")?;
        let mut object =
            Object::load(&Sizes { compared: COMPARED, ..Sizes::default() }, Clock::Coarse, &HashMap::new())?;
        let weir = object.load_program()?.fd()?.as_fd().try_clone_to_owned()?;
        let empty = object.load_named("empty")?.fd()?.as_fd().try_clone_to_owned()?;
        let least_recent = object.load_named("least_recent")?.fd()?.as_fd().try_clone_to_owned()?;
        let one_line = object.load_named("one_line")?.fd()?.as_fd().try_clone_to_owned()?;
        let transmit = object.load_named("transmit")?.fd()?.as_fd().try_clone_to_owned()?;
        for family in Family::ALL {
            object.load_named(family.generator())?;
        }
        let open = |name: &str| object.map_fd(name).map_err(io::Error::other);
        let writer = KernelWriter::new(open, cpus)?;
        writer.set_word(control_word::SEED, 0x9e37_79b9_7f4a_7c15);
        let reader = KernelReader::new(open)?;
        let policy = Mapped::new(open("POLICY")?.as_fd())?;
        let draw = Mapped::new(open("GENERATOR")?.as_fd())?;
        let reading = Mapped::new(open("ONE_LINE")?.as_fd())?;
        let next = open("NEXT")?;
        let mut rig = Self {
            writer: Arc::new(writer),
            reader,
            policy,
            draw,
            next,
            weir,
            empty,
            least_recent,
            one_line,
            transmit,
            reading,
            behind: None,
            generation: 0,
            shares: [Share::default(); 2],
            object,
        };
        rig.fill(&Image::default())?;
        Ok(rig)
    }

    /// The writer, to change tables while packets are judged.
    pub fn writer(&self) -> Arc<KernelWriter> {
        Arc::clone(&self.writer)
    }

    /// Puts tables in force, in a slot of their own, and frees those before.
    ///
    /// # Errors
    /// The system call's.
    pub fn fill(&mut self, image: &Image) -> Result<()> {
        self.generation = put_in_force(&self.writer, image, self.generation + 1)?;
        Ok(())
    }

    /// Sets the limit for every source, of the slot in force.
    pub fn limit(&self, words: abi::Limit) {
        let index = self.writer.descriptor().slot() as usize;
        if let Some(mut slot) = self.policy.read(index) {
            slot.source_limits = [words; _];
            slot.features &= !feature::SOURCE_LIMIT;
            if words.dimensions != 0 {
                slot.features |= feature::SOURCE_LIMIT;
            }
            self.policy.write(index, slot);
        }
    }

    /// Puts everything that is held against floods into the slot in force.
    ///
    /// # Errors
    /// Where ports have too many rules.
    pub fn floods(&self, floods: &Floods) -> Result<()> {
        let index = self.writer.descriptor().slot();
        if let Some(mut slot) = self.policy.read(index as usize) {
            let ports = floods.port_table()?;
            self.writer.write_ports(index, &ports.words);
            floods.fill(&mut slot, &ports, object::possible_cpus()?, 32_768);
            self.policy.write(index as usize, slot);
        }
        Ok(())
    }

    /// Every map.
    ///
    /// # Errors
    /// Where one is not there.
    pub fn maps(&self) -> Result<Vec<OwnedFd>> {
        object::MAPS.iter().map(|name| Ok(self.object.map_fd(name)?)).collect()
    }

    /// The counters.
    pub fn reader(&self) -> Arc<KernelReader> {
        Arc::clone(&self.reader)
    }

    /// Sets what is done beside the list verdict, of the slot in force.
    pub fn extras(&self, extras: Extras) {
        let index = self.writer.descriptor().slot() as usize;
        if let Some(mut slot) = self.policy.read(index) {
            slot.features &= !feature::TRACK_SOURCES;
            if extras.track {
                slot.features |= feature::TRACK_SOURCES;
            }
            slot.sample_cost = if extras.samples { rate::cost(SAMPLES) } else { 0 };
            slot.sample_window = slot.sample_cost * SAMPLES;
            self.policy.write(index, slot);
        }
    }

    /// Has [`Program::OneLine`] read the lines of IPv4 addresses in force, and do so many steps of ten instructions besides.
    pub fn read_one_line(&self, steps: u64) {
        let slot = self.writer.descriptor().slot();
        let layout = self.policy.read(slot as usize).map_or(abi::Layout::default(), |slot| slot.layout);
        let lines = [layout.exact_v4, layout.exact_v4_lines].map(u64::from);
        self.reading.write(0, [steps, u64::from(slot), lines[0], lines[1]]);
    }

    /// Draws from the first number on again.
    pub fn restart_draws(&self) {
        self.draw.write(0, Draw { first: 0, count: 1, counter: 0, shares: [Share::default(); _] });
    }

    /// Has a program judge so many packets.
    ///
    /// # Errors
    /// The system call's, and where the generator found no program behind it.
    pub fn run(&mut self, family: Family, program: Program, numbers: Numbers, packets: u32) -> Result<Run> {
        self.put_behind(program)?;
        let counter = self.draw.read(0).map_or(0, |draw| draw.counter);
        self.draw.write(0, Draw { first: numbers.first, count: numbers.count, counter, shares: self.shares });
        let frame = family.frame();
        let before = self.reader.counters();
        let options = TestRunOptions { data_in: Some(&frame), repeat: packets, ..TestRunOptions::default() };
        let result = self.object.program_named(family.generator())?.test_run(options).context("test-run")?;
        let after = self.reader.counters();
        ensure!(result.return_value != 0, "the generator did not reach the program behind it");
        let drawn = self.draw.read(0).map_or(0, |draw| draw.counter.wrapping_sub(counter));
        ensure!(drawn == u64::from(packets), "{packets} packets were asked for and {drawn} were made");
        Ok(Run { ns: u64::try_from(result.duration.as_nanos())?, counted: counted(&before, &after) })
    }

    /// One of the programs, to be attached.
    pub fn program(&self, program: Program) -> BorrowedFd<'_> {
        match program {
            Program::Weir => self.weir.as_fd(),
            Program::Empty => self.empty.as_fd(),
            Program::LeastRecent => self.least_recent.as_fd(),
            Program::OneLine => self.one_line.as_fd(),
            Program::Transmit => self.transmit.as_fd(),
        }
    }

    /// Sends so many IPv4 packets out of an interface of the namespace that the thread is in.
    ///
    /// # Errors
    /// The system call's, and where not all were made.
    pub fn transmit(&mut self, numbers: Numbers, packets: u32, interface: u32) -> Result<()> {
        self.put_behind(Program::Transmit)?;
        self.draw
            .write(0, Draw { first: numbers.first, count: numbers.count, counter: 0, shares: <[Share; 2]>::default() });
        let frame = Family::V4.frame();
        // Data, its end, metadata, the interface, its queue, and the interface packets leave by.
        let context = [0, u32::try_from(frame.len())?, 0, interface, 0, 0];
        let options = TestRunOptions {
            data_in: Some(&frame),
            ctx_in: Some(context.as_bytes()),
            repeat: packets,
            attrs: TestRunAttrs::new().xdp_live_frames(BATCH),
            ..TestRunOptions::default()
        };
        self.object.program_named(Family::V4.generator())?.test_run(options).context("transmit")?;
        let drawn = self.draw.read(0).map_or(0, |draw| draw.counter);
        ensure!(drawn == u64::from(packets), "{packets} packets were asked for and {drawn} were made");
        Ok(())
    }

    fn put_behind(&mut self, program: Program) -> Result<()> {
        if self.behind == Some(program) {
            return Ok(());
        }
        let value = self.program(program).as_raw_fd().to_ne_bytes();
        sys::map_update(self.next.as_fd(), &0u32.to_ne_bytes(), &value, 0).context("put a program behind")?;
        self.behind = Some(program);
        Ok(())
    }
}

/// Writes tables into the slot after the one in force, flips to it and retires the one before; the new generation.
///
/// # Errors
/// The system call's.
pub fn put_in_force(writer: &KernelWriter, image: &Image, generation: u64) -> Result<u64> {
    let old = writer.descriptor().slot();
    let slot = (old + 1) % abi::SLOTS;
    writer.write_slot(slot, image, descriptor(generation), &[])?;
    flip(writer, old, slot, generation)
}

/// The same with the address tables in force, and the rows of `image`.
///
/// # Errors
/// The system call's.
pub fn put_rows_in_force(writer: &KernelWriter, image: &Image, generation: u64) -> Result<u64> {
    let old = writer.descriptor().slot();
    let slot = (old + 1) % abi::SLOTS;
    writer.write_rows(slot, old, &image.rows, descriptor(generation), &[])?;
    flip(writer, old, slot, generation)
}

fn descriptor(generation: u64) -> Slot {
    let mut descriptor = Slot::new_zeroed();
    descriptor.generation = generation;
    descriptor.features = feature::TRACK_SOURCES;
    descriptor.sample_cost = rate::cost(SAMPLES);
    descriptor.sample_window = descriptor.sample_cost * SAMPLES;
    descriptor
}

fn flip(writer: &KernelWriter, old: u32, slot: u32, generation: u64) -> Result<u64> {
    writer.flip(Control::new(slot, generation, false));
    writer.retire(old)?;
    Ok(generation)
}

fn counted(before: &Counters, after: &Counters) -> Vec<(Verdict, u64)> {
    let packets = |verdict: &Verdict| {
        let slot = verdict.slot() as usize;
        (*verdict, after.enforced[slot].packets.wrapping_sub(before.enforced[slot].packets))
    };
    Verdict::ALL.iter().map(packets).filter(|(_, packets)| *packets != 0).collect()
}

/// What loads programs and makes namespaces must be root.
///
/// # Errors
/// Where it is not, with what to do.
pub fn require_root() -> Result<()> {
    // SAFETY: takes nothing and always succeeds.
    let user = unsafe { libc::geteuid() };
    ensure!(user == 0, "this loads XDP programs and makes network namespaces: run it as root (`sudo cargo xtask …`)");
    Ok(())
}
