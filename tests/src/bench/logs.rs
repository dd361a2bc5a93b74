//! Log lines through the real program: how many a second, and in how much memory.
pub mod traffic;

use std::fs::{self, File};
use std::io::{BufWriter, Write};
use std::path::Path;
use std::process::{Child, Stdio};
use std::sync::atomic::AtomicBool;
use std::thread;
use std::time::{Duration, Instant};

use anyhow::{Context as _, Result, ensure};
use serde::Serialize;

use self::traffic::Traffic;
use crate::harness::command;

/// Lines a second that there must be, with everything on, on two cores.
pub const FLOOR: f64 = 100_000.0;
/// The seed of the log that is read.
const SEED: u64 = 6;
/// How often memory is looked at.
const LOOK: Duration = Duration::from_millis(20);

/// What is switched off, and what the row is called.
const STAGES: [(&str, &[&str]); 4] = [
    ("lines alone", &["--without", "rules", "--without", "analyzers"]),
    ("and rules", &["--without", "analyzers"]),
    ("and analyzers, no rules", &["--without", "rules"]),
    ("all of it", &[]),
];

/// One run over the whole log.
#[derive(Clone, Debug, Serialize)]
pub struct Row {
    /// What was on.
    pub what: String,
    /// How long it took, in seconds.
    pub seconds: f64,
    /// Lines a second, the program's start and end included.
    pub lines_per_second: f64,
    /// Processor time of a line, in nanoseconds.
    pub cpu_ns_a_line: f64,
    /// Processors that were busy.
    pub cpus: f64,
    /// The most memory, in MiB.
    pub peak_mib: f64,
    /// The most memory within the first tenth of the time, in MiB: where that is nearly all, memory is flat.
    pub early_mib: f64,
    /// The same within the first half.
    pub half_mib: f64,
    /// Alerts.
    pub alerts: usize,
    /// Lines that were no events.
    pub unparsed: u64,
}

/// All runs.
#[derive(Clone, Debug, Serialize)]
pub struct Logs {
    /// Bytes of the log.
    pub bytes: u64,
    /// Lines.
    pub lines: u64,
    /// The runs.
    pub rows: Vec<Row>,
}

/// Makes a log of so many MiB and runs the program over it, more and more of it switched on.
///
/// # Errors
/// Where the log cannot be made, the program fails, or does not read every line.
pub fn measure(size_mib: u64, progress: &mut impl Write, stop: &AtomicBool) -> Result<Logs> {
    let folder = tempfile::tempdir().context("make a folder for the log")?;
    let path = folder.path().join("access.log");
    writeln!(progress, "logs: making {size_mib} MiB")?;
    let lines = make(size_mib << 20, &path)?;
    let bytes = fs::metadata(&path).context("look at the log")?.len();
    let mut rows = Vec::new();
    for (what, args) in STAGES {
        super::go_on(stop)?;
        writeln!(progress, "logs: {lines} lines, {what}")?;
        rows.push(run(what, args, &path, lines)?);
    }
    Ok(Logs { bytes, lines, rows })
}

fn make(bytes: u64, path: &Path) -> Result<u64> {
    let file = File::create(path).with_context(|| format!("make {}", path.display()))?;
    let mut into = BufWriter::with_capacity(1 << 20, file);
    let lines = Traffic::new(SEED).write(bytes, &mut into).context("write the log")?;
    into.flush().context("write the log")?;
    Ok(lines)
}

fn run(what: &str, args: &[&str], path: &Path, lines: u64) -> Result<Row> {
    let path = path.to_str().context("a path of letters")?;
    let mut all = vec!["logs", "analyze", path, "-o", "json"];
    all.extend_from_slice(args);
    let report = tempfile::NamedTempFile::new().context("make a file for the report")?;
    let mut command = command::weir(&all);
    command.stdin(Stdio::null()).stdout(report.reopen().context("open the report")?);
    let start = Instant::now();
    let mut child = command.spawn().context("start weir")?;
    let watched = watch(&mut child, start)?;
    ensure!(watched.is_success, "weir logs analyze failed");
    let text = fs::read_to_string(report.path()).context("read the report")?;
    let report: serde_json::Value = serde_json::from_str(&text).context("read the report")?;
    let number = |key: &str| report.get(key).and_then(serde_json::Value::as_u64).unwrap_or(0);
    ensure!(number("lines") == lines, "{} of {lines} lines were read", number("lines"));
    let seconds = watched.took.as_secs_f64();
    let (all, cpu) = (float(lines), watched.cpu.as_secs_f64());
    Ok(Row {
        what: what.to_owned(),
        seconds,
        lines_per_second: all / seconds,
        cpu_ns_a_line: cpu * 1e9 / all,
        cpus: cpu / seconds,
        peak_mib: mib(watched.peak_kib),
        early_mib: mib(watched.early_kib),
        half_mib: mib(watched.half_kib),
        alerts: report.get("alerts").and_then(serde_json::Value::as_array).map_or(0, Vec::len),
        unparsed: number("unparsed"),
    })
}

struct Watched {
    is_success: bool,
    took: Duration,
    cpu: Duration,
    peak_kib: u64,
    early_kib: u64,
    half_kib: u64,
}

/// Looks at a child's memory until it ends.
fn watch(child: &mut Child, start: Instant) -> Result<Watched> {
    let mut samples = Vec::new();
    let mut cpu = Duration::ZERO;
    let process = format!("/proc/{}", child.id());
    loop {
        // What a process that has just ended leaves unsaid was said a moment before.
        if let Some(kib) = fs::read_to_string(format!("{process}/status")).ok().as_deref().and_then(resident) {
            samples.push((start.elapsed(), kib));
        }
        if let Some(used) = fs::read_to_string(format!("{process}/stat")).ok().as_deref().and_then(used) {
            cpu = cpu.max(used);
        }
        if let Some(status) = child.try_wait().context("wait for weir")? {
            let took = start.elapsed();
            let most = |within: Duration| {
                samples.iter().filter(|(at, _)| *at <= within).map(|(_, kib)| *kib).max().unwrap_or(0)
            };
            let (peak_kib, early_kib, half_kib) = (most(took), most(took / 10), most(took / 2));
            return Ok(Watched { is_success: status.success(), took, cpu, peak_kib, early_kib, half_kib });
        }
        thread::sleep(LOOK);
    }
}

/// Resident memory in KiB, of a process's status.
fn resident(status: &str) -> Option<u64> {
    status.lines().find_map(|line| line.strip_prefix("VmRSS:"))?.split_whitespace().next()?.parse().ok()
}

/// Processor time of all threads, of a process's stat: fields 14 and 15, in hundredths of a second.
fn used(stat: &str) -> Option<Duration> {
    let (_, behind_name) = stat.rsplit_once(')')?;
    let mut fields = behind_name.split_whitespace().skip(11);
    let user: u64 = fields.next()?.parse().ok()?;
    let system: u64 = fields.next()?.parse().ok()?;
    Some(Duration::from_millis((user + system) * 10))
}

fn mib(kib: u64) -> f64 {
    float(kib) / 1024.0
}

#[expect(clippy::cast_precision_loss, reason = "figures for people")]
fn float(number: u64) -> f64 {
    number as f64
}

/// The figures as text.
///
/// # Errors
/// The writer's.
pub fn print(logs: &Logs, out: &mut impl Write) -> Result<()> {
    writeln!(out, "logs: {} lines, {:.0} MiB, combined", logs.lines, float(logs.bytes) / f64::from(1 << 20))?;
    writeln!(
        out,
        "  {:<24} {:>9} {:>12} {:>6} {:>9} {:>11} {:>11} {:>7} {:>9}",
        "", "lines/s", "CPU ns/line", "CPUs", "peak MiB", "at 1/10 MiB", "at 1/2 MiB", "alerts", "no events"
    )?;
    for row in &logs.rows {
        writeln!(
            out,
            "  {:<24} {:>9.0} {:>12.0} {:>6.1} {:>9.1} {:>11.1} {:>11.1} {:>7} {:>9}",
            row.what,
            row.lines_per_second,
            row.cpu_ns_a_line,
            row.cpus,
            row.peak_mib,
            row.early_mib,
            row.half_mib,
            row.alerts,
            row.unparsed
        )?;
    }
    if let Some(all) = logs.rows.last() {
        let reached = if all.lines_per_second >= FLOOR { "reached" } else { "not reached" };
        writeln!(out, "  the floor of {FLOOR:.0} lines a second is {reached}")?;
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn memory_and_time_are_read_from_what_the_kernel_says() {
        assert_eq!(resident("Name:\tweir\nVmRSS:\t  5120 kB\n"), Some(5_120));
        assert_eq!(used("7 (we (i)r) R 1 1 1 0 -1 0 1 2 3 4 150 50 0 0 20"), Some(Duration::from_secs(2)));
    }
}
