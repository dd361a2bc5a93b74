//! `weir capture`: sampled drops, as they come, to a pcapng file.
mod output;
mod pcapng;

use std::time::Duration;

use anyhow::{Context as _, Result};
use jiff::Timestamp;
use tokio::signal::unix::{Signal, SignalKind, signal};
use tokio::time::{Instant, sleep_until};

use self::output::Output;
use self::pcapng::Blocks;
use super::client;
use super::failure::is_closed_output;
use super::io::Io;
use crate::adapters::client::{Client, SampleStream};
use crate::cli::{self, CaptureArgs, Global};
use crate::domain::capture::{CaptureReport, End, Filter, SampleCounters, SampleLine, SampleStart};
use crate::domain::report::SampleRow;
use crate::render;

/// How long what was dropped before a signal may take to arrive.
const LAST: Duration = Duration::from_secs(2);

pub(super) fn run(args: &CaptureArgs, global: &Global, io: &mut Io) -> Result<()> {
    let is_json = global.output == cli::Output::Json;
    output::check(&args.write, is_json, io)?;
    let client = client(global)?;
    client.wait_for(async {
        let filter = Filter::new(&args.verdicts, &args.lists);
        // Nothing that is there is replaced before there is something to replace it with.
        let mut stream = client.samples(args.n, &filter).await?;
        let Some(SampleLine::Start(start)) = stream.next().await? else {
            return Err(stream.ended("it did not say what it samples".to_owned()).into());
        };
        let (blocks, head) = Blocks::new(&start)?;
        // From here on there is something to end well.
        let mut signals = Signals::new()?;
        let mut output = Output::open(&args.write)?;
        output.write(&head, io)?;
        io.tell(&render::capture::started(&start, &args.write.display().to_string()));
        let mut capture = Capture::new(args, start, blocks, output);
        capture.notice(io);
        let result = capture.follow(&client, &mut stream, &mut signals, io).await;
        let report = capture.report(&result, &filter);
        if is_json {
            io.report(global.output, &report, |_, _, _| Ok(()))?;
        } else {
            let mut text = String::new();
            render::capture::capture(&report, &mut text)?;
            io.tell(&text);
        }
        match result {
            Err(error) if !is_closed_output(&error) => Err(error),
            _ => Ok(()),
        }
    })
}

/// What ends a capture from outside.
struct Signals {
    interrupt: Signal,
    terminate: Signal,
}

impl Signals {
    fn new() -> Result<Self> {
        let on = |kind| signal(kind).context("listen for Ctrl-C");
        Ok(Self { interrupt: on(SignalKind::interrupt())?, terminate: on(SignalKind::terminate())? })
    }

    async fn next(&mut self) {
        tokio::select! {
            _ = self.interrupt.recv() => {}
            _ = self.terminate.recv() => {}
        }
    }
}

/// How far to read on after a signal.
#[derive(Clone, Copy, Debug)]
enum Until {
    /// No signal came.
    Ever,
    /// All that was dropped before has been read once these counters are, or when the time is over.
    Counters(Option<Timestamp>, Instant),
}

/// A capture on its way.
struct Capture<'a> {
    args: &'a CaptureArgs,
    blocks: Blocks,
    output: Output,
    first: SampleCounters,
    last: SampleCounters,
    written: u64,
    lost: u64,
    /// What was said of why nothing comes.
    said: Option<&'static str>,
}

impl<'a> Capture<'a> {
    fn new(args: &'a CaptureArgs, start: SampleStart, blocks: Blocks, output: Output) -> Self {
        let (first, last) = (start.counters.clone(), start.counters);
        Self { args, blocks, output, first, last, written: 0, lost: 0, said: None }
    }

    /// Writes what comes until it ends, and says how.
    async fn follow(
        &mut self,
        client: &Client,
        stream: &mut SampleStream,
        signals: &mut Signals,
        io: &mut Io,
    ) -> Result<End> {
        let mut until = Until::Ever;
        loop {
            let line = tokio::select! {
                line = stream.next() => line?,
                () = signals.next() => match until {
                    Until::Ever => {
                        // Where even that is not answered, the time ends it.
                        let settled = client.sample_counters().await.ok();
                        until = Until::Counters(settled.map(|counters| counters.at), Instant::now() + LAST);
                        continue;
                    }
                    // Asked twice: at once.
                    Until::Counters(..) => return Ok(End::Interrupted),
                },
                () = over(until) => return Ok(End::Interrupted),
            };
            match line {
                Some(SampleLine::Sample(sample)) => self.write(&sample, io)?,
                Some(SampleLine::Lost(lost)) => self.lost += lost,
                Some(SampleLine::Counters(counters)) => {
                    self.last = counters;
                    self.notice(io);
                    if let Until::Counters(Some(at), _) = until
                        && self.last.at >= at
                    {
                        return Ok(End::Interrupted);
                    }
                    // Writing would tell as well, but perhaps nothing comes to be written.
                    if self.output.is_closed(io) {
                        return Ok(End::Closed);
                    }
                }
                Some(SampleLine::Start(_)) => {}
                None if self.is_full() => return Ok(End::Count),
                None => return Err(stream.ended("it ended the stream of samples".to_owned()).into()),
            }
        }
    }

    fn write(&mut self, sample: &SampleRow, io: &mut Io) -> Result<()> {
        let block = self.blocks.packet(sample)?;
        self.output.write(&block, io)?;
        self.written += 1;
        Ok(())
    }

    fn is_full(&self) -> bool {
        self.args.n.is_some_and(|n| self.written >= n)
    }

    /// Says why nothing comes, once for each time it begins.
    fn notice(&mut self, io: &mut Io) {
        let why = match &self.last {
            SampleCounters { bypass: true, .. } => {
                Some("the bypass is on, so nothing is dropped and nothing sampled; `weir bypass off` ends it")
            }
            SampleCounters { per_second: 0, .. } => Some(
                "sampling was turned off in the settings; `[samples] per_second` above 0 and `weir config reload` turn \
                 it on",
            ),
            _ => None,
        };
        if let Some(why) = why.filter(|_| why != self.said) {
            io.warn(why);
        }
        self.said = why;
    }

    fn report(&self, result: &Result<End>, filter: &Filter) -> CaptureReport {
        let end = match result {
            Ok(end) => *end,
            Err(error) if is_closed_output(error) => End::Closed,
            Err(error) if error.is::<crate::adapters::client::ClientError>() => End::Daemon,
            Err(_) => End::Unwritable,
        };
        let file = self.args.write.display().to_string();
        CaptureReport::new(file, (self.written, self.lost), end, filter, (&self.first, &self.last))
    }
}

/// When waiting for the last of it is over.
async fn over(until: Until) {
    match until {
        Until::Ever => std::future::pending().await,
        Until::Counters(_, deadline) => sleep_until(deadline).await,
    }
}

#[cfg(test)]
mod tests;
