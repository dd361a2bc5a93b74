//! Limits as the operator says them, and as the kernel counts them.
use std::num::NonZeroU64;

use weir_common::abi;
use weir_common::abi::limit_flag;
use weir_common::traffic::Dimension;
use weir_common::{rate, sources};

use super::decision::Enforcement;

/// Slowest tick of the kernel's coarse clock, as a rate: 100 ticks a second, 10 ms each (`CONFIG_HZ=100`; others tick
/// faster).
///
/// Rates are measured by that clock because it costs a fraction of the exact one. Between two ticks it stands still, so
/// nothing is earned: a bucket must hold what a tick earns, or a source within its rate would be refused.
pub const SLOWEST_TICKS_PER_SECOND: u64 = 100;

/// Highest rate of packets that can be set. Above it a packet costs less than 160 of the 1/16 ns that buckets count in,
/// and the rounding of that would be worth more than 0.3 % of the rate; no network card delivers as many from one source.
pub const HIGHEST_RATE: u64 = 100_000_000;

/// Highest rate of bytes that can be set: a terabit a second, for the same reason.
pub const HIGHEST_BYTE_RATE: u64 = 125_000_000_000;

/// Bytes of the largest frame: what receive offload hands over at once.
pub const LARGEST_FRAME: u64 = 65_549;
/// Bytes of the smallest frame.
const SMALLEST_FRAME: u64 = 60;

/// Longest time a burst may be worth at its rate. Bounds the bucket's window to 2^46 of the clock's 2^64, so that no sum
/// of the two can wrap; what takes longer than an hour to earn back is a quota, not a rate.
pub const LONGEST_BURST_SECONDS: u64 = 3_600;

/// So much a second, of which so much may come at once.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Rate {
    per_second: NonZeroU64,
    burst: NonZeroU64,
}

/// Why two numbers are not a rate.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum LimitError {
    /// The rate is beyond what buckets resolve.
    #[error("{per_second} {unit} a second is beyond what is measured; the most is {most}")]
    TooFast {
        /// What was asked for.
        per_second: u64,
        /// What is counted.
        unit: &'static str,
        /// The most that works.
        most: u64,
    },
    /// The burst is less than one tick of the clock earns.
    #[error(
        "a burst of {burst} is too small for {per_second} {unit} a second: the kernel's clock may tick only every 10 ms, \
         and what is earned from one tick to the next must fit into the burst; use {smallest} or more"
    )]
    BurstBelowTick {
        /// What was asked for.
        burst: u64,
        /// The rate it was asked for.
        per_second: u64,
        /// What is counted.
        unit: &'static str,
        /// The smallest that works.
        smallest: u64,
    },
    /// The burst takes too long to earn.
    #[error(
        "a burst of {burst} takes more than an hour to earn at {per_second} {unit} a second; use {largest} or less"
    )]
    BurstTooLong {
        /// What was asked for.
        burst: u64,
        /// The rate it was asked for.
        per_second: u64,
        /// What is counted.
        unit: &'static str,
        /// The largest that works.
        largest: u64,
    },
}

/// What a dimension is counted in, in a sentence.
pub fn unit(dimension: Dimension) -> &'static str {
    match dimension {
        Dimension::Packets => "packets",
        Dimension::Bytes => "bytes",
        Dimension::Syn => "SYN packets",
        Dimension::Udp => "UDP packets",
        Dimension::Icmp => "ICMP packets",
        Dimension::New => "new flows",
        Dimension::Fragments => "fragments",
    }
}

impl Rate {
    /// A rate of `per_second` in a dimension; a burst of `None` is the usual one.
    ///
    /// # Errors
    /// [`LimitError`] where the kernel could not keep to it, with the nearest that works.
    pub fn new(dimension: Dimension, per_second: NonZeroU64, burst: Option<NonZeroU64>) -> Result<Self, LimitError> {
        let burst = burst.unwrap_or_else(|| Self::usual_burst(dimension, per_second));
        let (rate, at_once, unit) = (per_second.get(), burst.get(), unit(dimension));
        let most = if dimension == Dimension::Bytes { HIGHEST_BYTE_RATE } else { HIGHEST_RATE };
        if rate > most {
            return Err(LimitError::TooFast { per_second: rate, unit, most });
        }
        let smallest = Self::smallest_burst(dimension, per_second).get();
        if at_once < smallest {
            return Err(LimitError::BurstBelowTick { burst: at_once, per_second: rate, unit, smallest });
        }
        let largest = rate.saturating_mul(LONGEST_BURST_SECONDS).max(smallest);
        if at_once > largest {
            return Err(LimitError::BurstTooLong { burst: at_once, per_second: rate, unit, largest });
        }
        Ok(Self { per_second, burst })
    }

    /// The smallest burst that lets a rate be used up: what the slowest tick earns, and one packet more, which of bytes is
    /// the largest frame.
    ///
    /// The one more is for the part of a packet that a tick leaves over: without it, it is lost whenever the bucket is
    /// full at a tick, which at 199 packets a second and a burst of 2 is a quarter of the rate.
    pub fn smallest_burst(dimension: Dimension, per_second: NonZeroU64) -> NonZeroU64 {
        let a_tick = per_second.get().div_ceil(SLOWEST_TICKS_PER_SECOND);
        let one = if dimension == Dimension::Bytes { LARGEST_FRAME } else { 1 };
        NonZeroU64::MIN.saturating_add(a_tick).saturating_add(one - 1)
    }

    /// The burst of a rate that names none: a second's worth.
    pub fn usual_burst(dimension: Dimension, per_second: NonZeroU64) -> NonZeroU64 {
        per_second.max(Self::smallest_burst(dimension, per_second))
    }

    /// Sustained, a second.
    pub fn per_second(&self) -> NonZeroU64 {
        self.per_second
    }

    /// What may come at once.
    pub fn burst(&self) -> NonZeroU64 {
        self.burst
    }
}

/// A limit: a rate in at least one dimension.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Limit {
    rates: [Option<Rate>; Dimension::ALL.len()],
    enforcement: Enforcement,
}

impl Limit {
    /// A limit of these rates, one a dimension; `None` where there is none.
    pub fn new(rates: impl IntoIterator<Item = (Dimension, Rate)>, enforcement: Enforcement) -> Option<Self> {
        let mut limit = Self { rates: [None; Dimension::ALL.len()], enforcement };
        for (dimension, rate) in rates {
            if let Some(place) = limit.rates.get_mut(dimension.slot()) {
                *place = Some(rate);
            }
        }
        limit.rates.iter().any(Option::is_some).then_some(limit)
    }

    /// Its rate in a dimension.
    pub fn rate(&self, dimension: Dimension) -> Option<Rate> {
        self.rates.get(dimension.slot()).copied().flatten()
    }

    /// Its rates.
    pub fn rates(&self) -> impl Iterator<Item = (Dimension, Rate)> + '_ {
        Dimension::ALL.into_iter().filter_map(|dimension| Some((dimension, self.rate(dimension)?)))
    }

    /// Whether what is over the limit is dropped or only counted.
    pub fn enforcement(&self) -> Enforcement {
        self.enforcement
    }

    /// The limit in the kernel's numbers, on a machine with so many CPUs.
    ///
    /// Each CPU counts a source by itself, and halves the count each epoch of 2^30 ns; at a steady rate the count swings
    /// between one and two epochs' worth. Only a count that reaches [`sources::PRESSURE`] costs shared buckets, which then
    /// start with what that CPU counted already spent. Each dimension adds to the one count as much as it is worth by itself.
    pub fn words(&self, cpus: u32) -> abi::Limit {
        let mut words = abi::Limit::default();
        let cpus = u64::from(cpus.max(1));
        let dimensions = self.rates().count() as u64;
        let mut fallback = 0u64;
        for (dimension, rate) in self.rates() {
            let at = dimension.slot();
            let (per_second, burst) = (rate.per_second.get(), rate.burst.get());
            let token = if dimension == Dimension::Bytes { rate::BYTES_A_TOKEN } else { 1 };
            let cost = cost(per_second, token);
            let pressure = pressure(promote_at(dimension, &rate, (cpus, dimensions)), token);
            let window = u64::try_from(u128::from(cost) * u128::from(burst) / u128::from(token)).unwrap_or(u64::MAX);
            let places = words.cost.get_mut(at).zip(words.window.get_mut(at)).zip(words.pressure.get_mut(at));
            if let Some(((cost_at, window_at), pressure_at)) = places {
                (*cost_at, *window_at, *pressure_at) = (cost, window, pressure);
            }
            words.dimensions |= dimension.bit();
            fallback = fallback.saturating_add(fallback_pressure(dimension, &rate, pressure));
        }
        words.fallback = u32::try_from(fallback.min(u64::from(sources::PROMOTED) - 1)).unwrap_or(u32::MAX);
        if self.enforcement == Enforcement::Observe {
            words.flags |= limit_flag::OBSERVE;
        }
        words
    }
}

/// Time so many units cost, in 1/16 ns.
fn cost(per_second: u64, token: u64) -> u64 {
    let second = u128::from(rate::ticks(1_000_000_000)) * u128::from(token);
    let rounded = (second + u128::from(per_second) / 2) / u128::from(per_second.max(1));
    u64::try_from(rounded).unwrap_or(u64::MAX).max(1)
}

/// What a token adds to the count, where so many units reach [`sources::PRESSURE`].
fn pressure(promote_at: u64, token: u64) -> u32 {
    let pressure = (u64::from(sources::PRESSURE) * token).div_ceil(promote_at.max(1));
    u32::try_from(pressure).unwrap_or(u32::MAX).min(sources::PRESSURE)
}

/// Two bounds, the lower of which holds:
///
/// - A CPU that never reaches the count never charges the buckets. A quarter of the burst, shared by all CPUs, bounds
///   what can slip by at once however a source is spread: a quarter of the burst, and less with each CPU that does
///   charge.
/// - A source at its limit, spread evenly, must reach the count, and soon: its lowest count on each CPU is an epoch's
///   worth, so half of that is reached within half an epoch and never lost again. It also bounds what can slip by for
///   ever: a count below half an epoch's share stands for a rate below a quarter of the CPU's share.
///
/// And one that lifts the first: where there is no room for buckets the count alone must tell who is over, so what nobody
/// within the limit reaches, in all dimensions together, must fit into it. It lifts nothing but the smallest bursts, and not
/// above the second bound: bursts of minutes, of dozens of CPUs, are held by their buckets alone.
///
/// At least 2: a flood of sources that each send one packet must not fill the map of those that have buckets. So a CPU lets
/// one packet a second of a source through that it charges to nobody. At most a million, a tenth of a second of what one
/// CPU can receive, so that the highest limits still charge a flood in time.
fn promote_at(dimension: Dimension, rate: &Rate, (cpus, dimensions): (u64, u64)) -> u64 {
    /// As often as [`sources::PRESSURE`] fits into the count, less than half: a packet's part of it is rounded up.
    const FIT: u64 = sources::PROMOTED as u64 / sources::PRESSURE as u64 * 15 / 32;
    let (per_second, burst) = (rate.per_second.get(), rate.burst.get());
    let (least, most) = if dimension == Dimension::Bytes { (2 * 1_514, 1_000_000 * 1_514) } else { (2, 1_000_000) };
    let of_burst = burst / (4 * cpus);
    let of_epoch = epoch_units(per_second) / (2 * cpus);
    let of_count = within(per_second, burst).saturating_mul(dimensions) / FIT;
    of_burst.max(of_count).min(of_epoch).clamp(least, most)
}

/// What a CPU never counts of a source within its limit: at the limit the halving count swings up to two epochs' worth, 2.15
/// × rate, and a burst may come on top; three times the rate leaves room for an uneven sender.
fn within(per_second: u64, burst: u64) -> u64 {
    burst.saturating_add(per_second.saturating_mul(3))
}

/// Units of one epoch (1.0737 s) at this rate, rounded down.
fn epoch_units(rate: u64) -> u64 {
    let units = (u128::from(rate) << sources::EPOCH_SHIFT) / 1_000_000_000;
    u64::try_from(units).unwrap_or(u64::MAX)
}

/// Where there is no room for buckets, the halving count of each CPU alone must tell who is over: whoever comes to more than
/// [`within`]. So nobody within the limit is refused. The count includes what is refused: from about 1.4 times the
/// limit on one CPU a part is refused, from about 2.8 times all of it.
///
/// Each packet adds one beside what it is worth; of bytes, that is most where frames are the smallest.
fn fallback_pressure(dimension: Dimension, rate: &Rate, pressure: u32) -> u64 {
    let units = u128::from(within(rate.per_second.get(), rate.burst.get()));
    let (token, packet) = if dimension == Dimension::Bytes { (rate::BYTES_A_TOKEN, SMALLEST_FRAME) } else { (1, 1) };
    let counted = units * u128::from(pressure) / u128::from(token) + units / u128::from(packet);
    u64::try_from(counted).unwrap_or(u64::MAX)
}

#[cfg(test)]
mod tests;
