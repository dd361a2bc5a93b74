//! Getting hold of the kernel's side: adopting what an earlier daemon left, or making it anew.
use std::collections::HashMap;
use std::fs;
use std::io;
use std::os::fd::{AsFd as _, OwnedFd};
use std::path::PathBuf;
use std::sync::Arc;

use anyhow::{Context as _, Result, anyhow};
use weir_common::abi::{Control, SLOTS, Tally, control_word};

use super::Settings;
use crate::adapters::clock;
use crate::adapters::kernel::instance::Instance;
use crate::adapters::kernel::object::{self, Clock, MAPS, Object, SAMPLES, Sizes};
use crate::adapters::kernel::probes;
use crate::adapters::kernel::query::KernelPolicy;
use crate::adapters::kernel::reader::KernelReader;
use crate::adapters::kernel::sys;
use crate::adapters::kernel::writer::KernelWriter;
use crate::domain::decision::Enforcement;
use crate::domain::desired::Desired;
use crate::domain::guard::Guards;
use crate::domain::overlay::SlotView;
use crate::domain::tables::{self, Class};

/// The kernel's side, ready.
#[derive(Debug)]
pub struct Kernel {
    /// The one writer.
    pub writer: Arc<KernelWriter>,
    /// The counters.
    pub reader: Arc<KernelReader>,
    /// The tables, for questions.
    pub policy: Arc<KernelPolicy>,
    /// The program.
    pub program: OwnedFd,
    /// Its id.
    pub program_id: u32,
}

/// Opens the instance's pinned maps and program, or loads and pins them.
///
/// An earlier daemon's maps go on counting and judging while this runs; its program is replaced only by another build's,
/// in place, when the interfaces are adopted.
///
/// # Errors
/// What the kernel refused, with the way out.
pub fn take_over(instance: &Instance, max_sources: u32) -> Result<Kernel> {
    let adopted = instance.is_pinned();
    if let Err(error) = probes::lift_locked_memory() {
        // Needed before Linux 5.11 only, and never fatal: a kernel that needs it says so itself.
        tracing::debug!(%error, "the limit of locked memory stays as it is");
    }
    if !adopted {
        instance.clear().with_context(|| format!("remove what is left of pins under {}", instance.maps().display()))?;
    }
    instance.create().with_context(|| format!("make the folders for pins under {}", instance.maps().display()))?;
    let cpus = object::possible_cpus().context("count the CPUs")?;
    let program = match pinned_program(instance)? {
        Some(program) => program,
        None => load(instance, adopted, max_sources, cpus)?,
    };
    let (program_id, _) = sys::program_info(program.as_fd()).context("read the program's id")?;
    let folder = instance.maps();
    let open = |name: &str| object::open_map(&folder, name);
    Ok(Kernel {
        writer: Arc::new(KernelWriter::new(open, cpus)?),
        reader: KernelReader::new(open).context("map the kernel's counters")?,
        policy: Arc::new(KernelPolicy::new(open).context("open the kernel's tables")?),
        program,
        program_id,
    })
}

/// The pinned program, if it is of this very build.
fn pinned_program(instance: &Instance) -> Result<Option<OwnedFd>> {
    if !instance.is_pinned() {
        return Ok(None);
    }
    let control = instance.control().context("open the pinned control words")?;
    if control.read(control_word::BUILD as usize) != Some(object::build_word()) {
        return Ok(None);
    }
    match sys::open_pin(&instance.program()) {
        Ok(program) => Ok(Some(program)),
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(None),
        Err(error) => Err(error).context("open the pinned program"),
    }
}

fn load(instance: &Instance, adopted: bool, max_sources: u32, cpus: u32) -> Result<OwnedFd> {
    let sizes =
        if adopted { pinned_sizes(instance, cpus)? } else { Sizes { offenders: max_sources, ..Sizes::default() } };
    let pins: HashMap<&'static str, PathBuf> =
        MAPS.iter().chain(&[SAMPLES]).map(|name| (*name, instance.maps().join(name))).collect();
    let mut loaded = Object::load(&sizes, Clock::Coarse, &pins).map_err(|error| explain(&error))?;
    let fd = match loaded.load_program() {
        Ok(program) => clone_program(program)?,
        Err(coarse) => {
            // Kernels before 5.11 lack the coarse clock.
            tracing::debug!(error = %coarse, "the program with the coarse clock was refused");
            loaded = Object::load(&sizes, Clock::Precise, &pins).map_err(|error| explain(&error))?;
            clone_program(loaded.load_program().or(Err(explain(&coarse)))?)?
        }
    };
    let control = instance.control().context("open the control words")?;
    // A random one is never 0; where it is, an earlier start came to no end.
    if control.read(control_word::SEED as usize).unwrap_or(0) == 0 {
        let mut seed = [0u8; 8];
        io::Read::read_exact(&mut fs::File::open("/dev/urandom")?, &mut seed).context("read a random key")?;
        control.publish(control_word::SEED as usize, u64::from_ne_bytes(seed) | 1);
    }
    match fs::remove_file(instance.program()) {
        Err(error) if error.kind() != io::ErrorKind::NotFound => {
            return Err(error).context("replace the pinned program");
        }
        _ => {}
    }
    sys::pin(fd.as_fd(), &instance.program()).context("pin the program")?;
    control.publish(control_word::BUILD as usize, object::build_word());
    Ok(fd)
}

fn clone_program(program: &aya::programs::Xdp) -> Result<OwnedFd> {
    Ok(program.fd()?.as_fd().try_clone_to_owned()?)
}

/// The sizes the pinned maps have: a program's constants must fit them, whatever the settings say now.
fn pinned_sizes(instance: &Instance, cpus: u32) -> Result<Sizes> {
    let entries = |name: &str| -> Result<u32> {
        let map = object::open_map(&instance.maps(), name).with_context(|| format!("open the pinned map {name}"))?;
        Ok(sys::map_info(map.as_fd())?.entries)
    };
    let sizes = Sizes {
        overlay_addresses: entries("OVERLAY_V4")?,
        overlay_prefixes: entries("OVERLAY_DENY_V4")?,
        offenders: entries("OFFENDERS")?,
        compared: 1,
    };
    if entries("OVERLAY_HITS")? != sizes.overlay_counters() * cpus {
        return Err(anyhow!(
            "the pinned maps under {} were made for another number of CPUs; `weir detach` removes them (nothing is \
             filtered until weir runs again)",
            instance.maps().display()
        ));
    }
    Ok(sizes)
}

/// What the kernel refused, and what it lacks that weir cannot do without.
fn explain(error: &object::LoadError) -> anyhow::Error {
    let mut full = error.to_string();
    let mut source = std::error::Error::source(error);
    while let Some(cause) = source {
        full = format!("{full}: {cause}");
        source = cause.source();
    }
    let missing: Vec<String> = probes::missing_essentials(&probes::run(&[]))
        .into_iter()
        .map(|probe| {
            let remedy = probe.remedy.as_ref().map(|remedy| format!("; {remedy}")).unwrap_or_default();
            format!("{}: {}{remedy}", probe.name, probe.found)
        })
        .collect();
    if !missing.is_empty() {
        return anyhow!("this kernel lacks what weir needs:\n  {}", missing.join("\n  "));
    }
    // The verifier's log can be thousands of lines; its end says what it refused.
    let tail: Vec<&str> = full.lines().rev().take(12).collect();
    anyhow!("{}", tail.into_iter().rev().collect::<Vec<_>>().join("\n"))
}

/// What the first policy came to.
#[derive(Debug)]
pub struct First {
    /// The slot in force.
    pub current: SlotView,
    /// Its number.
    pub generation: u64,
    /// The lists of its classes.
    pub classes: Vec<Class>,
    /// How large its tables are.
    pub tables: tables::Sizes,
    /// Whether new rows are enough when a list is switched.
    pub is_switchable: bool,
    /// A slot with the settings to fall back to, if a confirm is pending.
    pub fallback: Option<SlotView>,
    /// Hits of each class of the slot that was in force before, and its generation.
    pub before: Option<(u64, Vec<(u64, u64)>)>,
    /// What the overlay of the daemon before had counted, by list.
    pub overlay: Vec<(u16, Tally)>,
}

/// A pending change that survives the restart.
#[derive(Debug)]
pub struct StillPending<'a> {
    /// Settings to fall back to.
    pub fallback: &'a Settings,
    /// The kernel's deadline.
    pub deadline_s: u64,
}

/// Builds the first policy beside what is in force, flips to it, and empties the overlay that it replaces.
///
/// # Errors
/// What does not fit, or what the kernel refused; what was in force still is.
pub fn first_policy(
    writer: &KernelWriter,
    desired: &Desired,
    guards: &Guards,
    settings: &Settings,
    enforcement: Enforcement,
    sequence: u64,
    pending: Option<&StillPending<'_>>,
) -> Result<First> {
    let now_s = u32::try_from(clock::now().boot.0).unwrap_or(u32::MAX);
    let old = writer.descriptor();
    let mut generation = old.generation() + 1;
    let key = tables::generation_key(writer.word(control_word::SEED), generation);
    let image = tables::build(desired, guards, settings.capacity, now_s, key)?;
    let in_use = used_slots(writer, old);
    let mut free = (0..SLOTS).filter(|slot| !in_use.contains(slot));
    let mut next = || free.next().ok_or_else(|| anyhow!("all policy slots are in use"));
    let slot = next()?;
    let base = Arc::new(desired.clone());
    let mut descriptor = settings.slot(generation, enforcement);
    let mut fallback = None;
    if let Some(pending) = pending {
        let behind = next()?;
        let mut undone = pending.fallback.slot(generation, pending.fallback.enforcement);
        undone.generation = generation;
        writer.write_slot(behind, &image, undone, &pending.fallback.ports.words)?;
        generation += 1;
        descriptor.generation = generation;
        descriptor.confirm_deadline_s = pending.deadline_s;
        descriptor.fallback = behind;
        writer.clear_lifts(behind)?;
        fallback = Some(SlotView { slot: behind as usize, snapshot: sequence, base: Arc::clone(&base) });
    }
    writer.write_slot(slot, &image, descriptor, &settings.ports.words)?;
    // What the overlay of the daemon before knows of its own slots is none of these tables' business.
    writer.clear_lifts(slot)?;
    let before = (old.generation() > 0).then(|| old.generation());
    writer.flip(Control::new(slot, generation, pending.is_some()));
    // After the grace period nobody is judged by the old slots or needs the old overlay.
    for slot in in_use {
        writer.retire(slot)?;
    }
    let before = before.map(|generation| (generation, writer.class_hits(old.slot())));
    let overlay = writer.overlay_totals()?;
    writer.clear_overlay()?;
    Ok(First {
        current: SlotView { slot: slot as usize, snapshot: sequence, base },
        generation,
        classes: image.classes,
        tables: image.sizes,
        is_switchable: image.is_switchable,
        fallback,
        before,
        overlay,
    })
}

/// The slots packets may be judged by now: the one in force, and its fallback while a confirm is pending.
fn used_slots(writer: &KernelWriter, control: Control) -> Vec<u32> {
    let mut used = vec![control.slot()];
    if control.confirm_pending()
        && let Some(slot) = writer.slot(control.slot())
    {
        used.push(slot.fallback & (SLOTS - 1));
    }
    used
}
