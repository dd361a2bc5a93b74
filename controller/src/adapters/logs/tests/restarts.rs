use anyhow::{Context as _, ensure};

use super::*;

/// Numbers that look random and are the same each time.
struct Dice(u64);

impl Dice {
    fn roll(&mut self, sides: u64) -> u64 {
        self.0 = self.0.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        (self.0 >> 33) % sides
    }
}

/// Kills the follower at any moment, while a log is written to, rotated and truncated.
///
/// # Errors
/// What was not as it must be, as a value: what a failed test says last is seen in the shortest of logs.
async fn schedule(seed: u64) -> anyhow::Result<()> {
    let mut dice = Dice(seed);
    let mut rig = Rig::new(&["access.log"], |root| append(&root.join("access.log"), b""));
    rig.until("access.log", |row| row.state == InputState::Following).await;
    rig.take_checkpoint().await;
    let mut server = OpenOptions::new().append(true).open(rig.at("access.log"))?;
    let mut expected = 0;
    for _ in 0..24 {
        match dice.roll(10) {
            0..=3 => {
                for _ in 0..=dice.roll(20) {
                    expected += 1;
                    writeln!(server, "{expected:06}{}", ".".repeat(dice.roll(2_000).try_into()?))?;
                }
            }
            4 => {
                // At most two at once, so that no more files are made than are kept in mind.
                rig.shift();
                fs::rename(rig.at("access.log"), rig.at("access.log.1")).ok();
                if dice.roll(2) == 0 {
                    expected += 1;
                    writeln!(server, "{expected:06}")?;
                }
                server = OpenOptions::new().append(true).create(true).open(rig.at("access.log"))?;
                rig.wait_for(expected, &mut dice).await;
            }
            5 => {
                rig.shift();
                fs::copy(rig.at("access.log"), rig.at("access.log.1"))?;
                OpenOptions::new().write(true).truncate(true).open(rig.at("access.log"))?;
                rig.wait_for(expected, &mut dice).await;
            }
            6 | 7 => {
                if let Ok(batch) = rig.batches.try_recv() {
                    rig.act(&batch);
                }
            }
            _ => {
                // What it handed on and nobody acted on is handed on again.
                rig.inputs = None;
                rig.batches = mpsc::channel(1).1;
                if dice.roll(2) == 0 {
                    rig.start();
                }
            }
        }
        if rig.inputs.is_none() && dice.roll(3) == 0 {
            rig.start();
        }
    }
    rig.wait_for(expected, &mut Dice(0)).await;
    rig.until("access.log", |row| row.lag_bytes == 0).await;
    rig.settle();
    let mut numbers = Vec::new();
    for line in &rig.lines {
        let number = line.get(..6).with_context(|| format!("seed {seed}: a line {line:?}"))?;
        numbers.push(number.parse::<usize>().with_context(|| format!("seed {seed}: a line {line:?}"))?);
    }
    numbers.sort_unstable();
    let all: Vec<usize> = (1..=expected).collect();
    ensure!(numbers == all, "seed {seed}: {numbers:?} in place of 1 to {expected}: {:?}", rig.health());
    Ok(())
}

impl Rig {
    fn shift(&self) {
        for generation in (1..9).rev() {
            fs::rename(
                self.at(&format!("access.log.{generation}")),
                self.at(&format!("access.log.{}", generation + 1)),
            )
            .ok();
        }
    }

    /// Mostly waits for all that was written.
    async fn wait_for(&mut self, expected: usize, dice: &mut Dice) {
        if dice.roll(3) == 0 && dice.0 != 0 {
            return;
        }
        if self.inputs.is_none() {
            self.start();
        }
        self.take_lines(expected).await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn no_line_is_missed_or_doubled_by_restarts_at_any_moment() -> anyhow::Result<()> {
    for seed in 0..200 {
        schedule(seed).await?;
    }
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn a_restart_goes_on_where_the_consumer_was() {
    let mut rig = Rig::new(&["*.log"], |root| {
        append(&root.join("a.log"), b"old\n");
        append(&root.join("b.log"), b"old\n");
    });
    rig.until("a.log", |row| row.state == InputState::Following).await;
    rig.until("b.log", |row| row.state == InputState::Following).await;
    while rig.stored.len() < 2 {
        rig.take().await;
    }
    rig.append("a.log", "one\n");
    rig.take_lines(1).await;
    rig.stop().await;
    rig.append("a.log", "two\n");
    fs::rename(rig.at("b.log"), rig.at("b.log.1")).unwrap();
    rig.append("b.log.1", "three\n");
    rig.append("b.log", "four\n");
    // Made while nobody looked: from its start.
    rig.append("c.log", "five\n");
    rig.start();
    rig.take_lines(5).await;
    rig.lines.sort();
    assert_eq!(rig.lines, ["five", "four", "one", "three", "two"]);
}

#[tokio::test(flavor = "multi_thread")]
async fn what_is_gone_while_nobody_looked_is_said() {
    let mut rig = Rig::new(&["access.log"], |root| append(&root.join("access.log"), b""));
    rig.append("access.log", "one\n");
    rig.until("access.log", |row| row.state == InputState::Following).await;
    rig.append("access.log", "two\n");
    while rig.lines.last().is_none_or(|line| line != "two") {
        rig.take().await;
    }
    rig.stop().await;
    fs::remove_file(rig.at("access.log")).unwrap();
    append(&rig.at("another"), b"");
    rig.append("access.log", "three\n");
    rig.start();
    while rig.lines.last().is_none_or(|line| line != "three") {
        rig.take().await;
    }
    let row = rig.until("access.log", |row| row.losses == 1).await;
    assert!(row.last_loss.unwrap().contains("lines behind byte 8"));
}
