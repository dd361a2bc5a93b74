//! One policy after the other under unceasing packets: no packet may be judged by half of one.
use std::io::Write;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::thread;
use std::time::Instant;

use anyhow::{Result, anyhow, bail};
use weir_common::verdict::Verdict;

use crate::bench::lists;
use crate::bench::rig::{self, Family, Numbers, Program, Rig};

/// Addresses on both lists; as many are on the one only, and as many on the other. So many that both have a filter.
const PART: u64 = 60_000;

/// Packets of one run. Starting one takes the kernel longer than 10,000 packets do, so that most flips would fall between
/// short ones.
const STEP: u32 = 100_000;

/// What is sent, by which lists it is on, and with what verdicts it may come back.
const KINDS: [(&str, Numbers, &[Verdict]); 3] = [
    ("on both lists", Numbers { first: 0, count: PART }, &[Verdict::Denied]),
    ("on neither list", Numbers { first: 3 * PART, count: 1 << 30 }, &[Verdict::Pass]),
    ("on the one list", Numbers { first: PART, count: PART }, &[Verdict::Denied, Verdict::Pass]),
];

/// Flips so often, and until so many packets were judged.
///
/// # Errors
/// Where a packet got a verdict that neither policy gives it.
pub fn run(flips: u64, packets: u64, out: &mut impl Write, stop: &AtomicBool) -> Result<()> {
    let mut rig = Rig::load()?;
    // Keys of their own, as generations have them: what one writes into the other's tables or filter shows.
    let [one, other] = [lists::KEY, lists::KEY.map(|word| !word)];
    let images = [lists::denying(&(0..2 * PART), one)?, lists::denying(&(0..PART).chain(2 * PART..3 * PART), other)?];
    rig.fill(&images[1])?;
    let writer = rig.writer();
    let (judged, flipping, failed) = (AtomicU64::new(0), AtomicBool::new(true), AtomicBool::new(false));
    let start = Instant::now();
    let (done, sent) = thread::scope(|scope| {
        let traffic = scope.spawn(|| {
            let sent = traffic(&mut rig, packets, &judged, &flipping);
            failed.store(sent.is_err(), Ordering::Relaxed);
            sent
        });
        let mut done = 0;
        let mut flip = || {
            while (done < flips || judged.load(Ordering::Relaxed) < packets) && !failed.load(Ordering::Relaxed) {
                super::go_on(stop)?;
                // Each comes with tables of its own, then again with the tables there are.
                let [one, other] = &images;
                let image = if done / 2 % 2 == 0 { one } else { other };
                let put = if done % 2 == 0 { rig::put_in_force } else { rig::put_rows_in_force };
                put(&writer, image, done + 2)?;
                done += 1;
            }
            anyhow::Ok(())
        };
        let flipped = flip();
        flipping.store(false, Ordering::Relaxed);
        let sent = traffic.join().map_err(|_said| anyhow!("the traffic ended by a panic"))?;
        flipped?;
        anyhow::Ok((done, sent?))
    })?;
    writeln!(
        out,
        "flips: {done} flips in {:.0} s, {} packets: {} on both lists, none passed; {} on neither, none dropped; {} on \
         one of them, of whose {} runs {} saw a flip",
        start.elapsed().as_secs_f64(),
        sent.packets.iter().sum::<u64>(),
        sent.packets[0],
        sent.packets[1],
        sent.packets[2],
        sent.runs,
        sent.mixed
    )?;
    Ok(())
}

#[derive(Debug, Default)]
struct Sent {
    /// Packets of each kind.
    packets: [u64; 3],
    /// Runs of the kind whose verdict the flips change.
    runs: u64,
    /// Those in which it changed.
    mixed: u64,
}

fn traffic(rig: &mut Rig, packets: u64, judged: &AtomicU64, flipping: &AtomicBool) -> Result<Sent> {
    let mut sent = Sent::default();
    while flipping.load(Ordering::Relaxed) || judged.load(Ordering::Relaxed) < packets {
        for family in Family::ALL {
            for ((what, numbers, may), count) in KINDS.into_iter().zip(&mut sent.packets) {
                let run = rig.run(family, Program::Weir, numbers, STEP)?;
                let total: u64 = run.counted.iter().map(|(_, packets)| packets).sum();
                if total != u64::from(STEP) || !run.counted.iter().all(|(verdict, _)| may.contains(verdict)) {
                    bail!("{STEP} packets {what} ({}) were counted as {:?}", family.name(), run.counted);
                }
                *count += total;
                judged.fetch_add(total, Ordering::Relaxed);
                if may.len() > 1 {
                    sent.runs += 1;
                    sent.mixed += u64::from(run.counted.len() > 1);
                }
            }
        }
    }
    Ok(sent)
}
