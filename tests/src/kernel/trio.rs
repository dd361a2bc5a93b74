//! Kernel, host model and reference side by side: the same policy, the same clocks, the same frames.
use std::fmt;
use std::fmt::Write as _;

use weir_common::judge::judge;
use weir_common::model::Model;

use super::image::{Image, SEED};
use super::{Kernel, OFFENDERS, SHORTEST};
use crate::reference::floods::{Dimension, Scope};
use crate::reference::world::World;
use crate::reference::{Outcome, Plant, Reference};

/// The three judges.
#[derive(Debug)]
pub struct Trio {
    kernel: Kernel,
    model: Model,
    reference: Reference,
    plant: Option<Plant>,
}

/// Not all three said the same.
#[derive(Clone, Debug)]
pub struct Disagreement {
    /// What the kernel said; nothing for frames it does not take.
    pub kernel: Option<Outcome>,
    /// What the host model said.
    pub model: Outcome,
    /// What the reference said.
    pub reference: Outcome,
    /// Packets over limits so far, as the host model and the reference count them.
    pub refusals: [u64; 2],
    /// The frame.
    pub frame: Vec<u8>,
}

impl fmt::Display for Disagreement {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let hex = self.frame.iter().fold(String::new(), |mut text, byte| {
            write!(text, "{byte:02x}").expect("a string takes everything");
            text
        });
        writeln!(f, "kernel {:?}", self.kernel)?;
        writeln!(f, "host model {:?}", self.model)?;
        writeln!(f, "reference {:?}", self.reference)?;
        let [model, reference] = self.refusals;
        writeln!(f, "over limits so far: {model} by the host model, {reference} by the reference")?;
        write!(f, "frame of {} bytes: {hex}", self.frame.len())
    }
}

impl Trio {
    /// Three judges of an empty policy.
    ///
    /// The thread is in a network of its own from then on: no socket of the machine's waits there for a random frame.
    ///
    /// # Panics
    /// Where the kernel does not take the program, saying what to do.
    pub fn new() -> Self {
        // SAFETY: a constant; only this thread leaves the network it was in.
        let left = unsafe { libc::unshare(libc::CLONE_NEWNET) };
        assert_eq!(left, 0, "a network of its own for the test: {}", std::io::Error::last_os_error());
        let kernel = Kernel::load().unwrap_or_else(|error| panic!("{error:#}"));
        let world = World::default();
        let model = Image::of(&world).expect("an empty policy fits").model(OFFENDERS as usize);
        let reference = Reference::new(world, OFFENDERS as usize, SEED);
        Self { kernel, model, reference, plant: None }
    }

    /// The kernel's half, for what only it has.
    pub fn kernel(&mut self) -> &mut Kernel {
        &mut self.kernel
    }

    /// What the judges judge by.
    pub fn world(&self) -> &World {
        &self.reference.world
    }

    /// Turns a rule of the reference wrong, or all right again.
    pub fn plant(&mut self, plant: Option<Plant>) {
        self.plant = plant;
        self.reference.plant = plant;
    }

    /// Gives all three the policy; counters and buckets start at zero.
    ///
    /// # Panics
    /// Where the policy does not fit the tables, or the kernel refuses them.
    pub fn install(&mut self, world: &World) {
        self.install_apart(world, world);
    }

    /// Gives the kernel one policy and the host's two judges another.
    ///
    /// # Panics
    /// As [`Trio::install`].
    pub fn install_apart(&mut self, kernel: &World, host: &World) {
        let image = Image::of(kernel).expect("a policy that fits the tables");
        self.kernel.install(&image).expect("the kernel takes the tables");
        self.model = Image::of(host).expect("a policy that fits the tables").model(OFFENDERS as usize);
        self.reference = Reference::new(host.clone(), OFFENDERS as usize, SEED);
        self.reference.plant = self.plant;
    }

    /// Changes switches, slot and clocks, as the daemon does in one word: tables, counters and buckets stay.
    ///
    /// # Panics
    /// Where the policy does not fit the tables.
    pub fn change(&mut self, change: impl FnOnce(&mut World)) {
        change(&mut self.reference.world);
        let image = Image::of(&self.reference.world).expect("a policy that fits the tables");
        self.kernel.words(&image);
        self.model.control = image.control;
        for (ours, slot) in self.model.slots.iter_mut().zip(&image.slots) {
            *ours = slot.slot;
        }
        self.clock();
    }

    /// Lets time pass.
    pub fn pass(&mut self, ns: u64, s: u64) {
        self.reference.world.now_ns += ns;
        self.reference.world.now_s += s;
        self.clock();
    }

    fn clock(&mut self) {
        let World { now_s, now_ns, .. } = self.reference.world;
        self.kernel.clock(now_s, now_ns);
        self.model.boot_seconds.set(now_s);
        self.model.monotonic_ns.set(now_ns);
    }

    /// Judges a frame three times; frames below [`SHORTEST`], which the kernel does not take, twice.
    ///
    /// # Errors
    /// [`Disagreement`].
    ///
    /// # Panics
    /// Where the kernel's ledger does not add up.
    pub fn run(&mut self, frame: &[u8]) -> Result<Outcome, Box<Disagreement>> {
        let kernel = (frame.len() >= SHORTEST)
            .then(|| self.kernel.run(frame).unwrap_or_else(|error| panic!("{error:#}: frame {frame:02x?}")));
        let counted = *self.model.cpu.borrow();
        let judged = judge(frame, &self.model);
        if kernel.is_none() {
            // What the kernel has not seen is not in the ledger that the two share.
            *self.model.cpu.borrow_mut() = counted;
        }
        let model = Outcome { verdict: judged.verdict(), observed: judged.observed() };
        let reference = self.reference.judge(frame);
        // What is observed twice shows in no verdict, and here.
        let refusals = [self.model.cpu.borrow().refusals, self.reference.refusals()];
        if model == reference && kernel.is_none_or(|kernel| kernel == model) && refusals[0] == refusals[1] {
            return Ok(model);
        }
        Err(Box::new(Disagreement { kernel, model, reference, refusals, frame: frame.to_vec() }))
    }

    /// Compares all that kernel and model have counted and kept, and what each of the three says limits refused: what
    /// differs, in words.
    ///
    /// # Panics
    /// Where the kernel's maps cannot be read.
    pub fn differences(&self) -> Vec<String> {
        let mut differ = self.kernel.differences(&self.model).expect("maps can be read");
        let cpu = self.model.cpu.borrow();
        let mut model = Vec::new();
        for (dropped, tallies) in [(false, &cpu.limited_observed), (true, &cpu.limited)] {
            for (scope, tallies) in [Scope::Source, Scope::Network, Scope::Global, Scope::Port].iter().zip(tallies) {
                for (dimension, tally) in Dimension::ALL.iter().zip(tallies).filter(|(_, tally)| tally.packets != 0) {
                    model.push((*scope, *dimension, dropped, tally.packets, tally.bytes));
                }
            }
        }
        let mut reference: Vec<_> = self.reference.refused().collect();
        model.sort_unstable();
        reference.sort_unstable();
        if model != reference {
            differ.push(format!("what limits refused: the host says {model:?}, the reference {reference:?}"));
        }
        differ
    }

    /// [`Trio::differences`], of which there must be none.
    ///
    /// # Panics
    /// Where there are any.
    #[track_caller]
    pub fn audit(&self) {
        let differences = self.differences();
        assert!(differences.is_empty(), "what the judges keep differs in: {}", differences.join(", "));
    }

    /// How many have exact buckets.
    pub fn offenders(&self) -> usize {
        self.model.offenders.borrow().len()
    }
}

impl Default for Trio {
    fn default() -> Self {
        Self::new()
    }
}
