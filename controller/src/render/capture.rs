//! `weir capture` for people.
use std::fmt::{self, Write};

use super::numbers::{counted, whole};
use super::times::span;
use crate::domain::capture::{CaptureReport, End, SampleStart};

/// What is about to be captured, in a line.
pub fn started(start: &SampleStart, file: &str) -> String {
    let (place, rate, bytes) = (place(file), rate(start.counters.per_second), start.bytes);
    format!("sampled drops go to {place}: {rate}, of each the first {bytes} bytes; Ctrl-C ends it")
}

/// Writes what a capture amounts to.
///
/// # Errors
/// The writer's.
pub fn capture(report: &CaptureReport, into: &mut impl Write) -> fmt::Result {
    write!(into, "{} written to {}", counted(report.written, "packet", "packets"), place(&report.file))?;
    into.write_str(match report.end {
        End::Count | End::Interrupted | End::Unwritable => "",
        End::Closed => ", until nobody read it any more",
        End::Daemon => ", until the daemon stopped",
    })?;
    let seconds = report.ended_at.duration_since(report.started_at).as_secs();
    let time = span(u64::try_from(seconds).unwrap_or(0));
    let with = if report.verdicts.is_empty() { String::new() } else { format!(" as {}", report.verdicts.join(", ")) };
    write!(into, "\nin {time} {} dropped{with}", counted(report.dropped, "packet was", "packets were"))?;
    write!(into, ", {} only observed", whole(report.observed))?;
    into.write_str(if report.lists.is_empty() { "" } else { " (by any list)" })?;
    let samples = counted(report.sampled, "sample", "samples");
    writeln!(into, "; the kernel took {samples} of all there was, {}", rate(report.per_second))?;
    match (report.lost_in_kernel, report.lost_in_reading) {
        (0, 0) => writeln!(into, "no sample was lost"),
        (kernel, reading) => {
            let mut lost = Vec::new();
            if kernel > 0 {
                lost.push(format!("{} because the kernel's ring was full", whole(kernel)));
            }
            if reading > 0 {
                lost.push(format!("up to {} because they were not written fast enough", whole(reading)));
            }
            writeln!(into, "samples lost: {}", lost.join(", "))
        }
    }
}

fn place(file: &str) -> &str {
    if file == "-" { "standard output" } else { file }
}

fn rate(per_second: u32) -> String {
    match per_second {
        0 => "sampling is off now".to_owned(),
        some => format!("at most {} a second on each CPU", whole(some.into())),
    }
}

#[cfg(test)]
mod tests {
    use jiff::Timestamp;

    use super::*;

    fn report() -> CaptureReport {
        CaptureReport {
            file: "drops.pcapng".to_owned(),
            written: 120,
            end: End::Interrupted,
            verdicts: Vec::new(),
            lists: Vec::new(),
            started_at: Timestamp::from_second(100).unwrap(),
            ended_at: Timestamp::from_second(112).unwrap(),
            dropped: 48_210,
            observed: 3,
            sampled: 1_300,
            lost_in_kernel: 0,
            lost_in_reading: 0,
            per_second: 100,
        }
    }

    fn text(report: &CaptureReport) -> String {
        let mut text = String::new();
        capture(report, &mut text).unwrap();
        text
    }

    #[test]
    fn a_capture_says_of_how_many_it_is_a_sample() {
        assert_eq!(
            text(&report()),
            "120 packets written to drops.pcapng\n\
             in 12s 48,210 packets were dropped, 3 only observed; the kernel took 1,300 samples of all there was, at most \
             100 a second on each CPU\n\
             no sample was lost\n"
        );
    }

    #[test]
    fn what_was_lost_and_why_it_ended_are_said() {
        let lost = CaptureReport { lost_in_kernel: 7, lost_in_reading: 4_096, end: End::Daemon, ..report() };
        let text = text(&lost);
        assert!(text.contains("drops.pcapng, until the daemon stopped\n"), "{text}");
        assert!(
            text.ends_with(
                "samples lost: 7 because the kernel's ring was full, up to 4,096 because they were not written fast \
                 enough\n"
            ),
            "{text}"
        );
    }

    #[test]
    fn drops_are_counted_by_what_was_asked_for_as_far_as_there_are_counters() {
        let of = |verdicts: &[&str], lists: &[&str]| {
            let words = |words: &[&str]| words.iter().map(ToString::to_string).collect();
            text(&CaptureReport { verdicts: words(verdicts), lists: words(lists), ..report() })
        };
        let both = of(&["bogon", "feed"], &[]);
        assert!(both.contains("48,210 packets were dropped as bogon, feed, 3 only observed; the kernel"), "{both}");
        let listed = of(&["feed"], &["ipsum"]);
        assert!(listed.contains("dropped as feed, 3 only observed (by any list); the kernel"), "{listed}");
    }

    #[test]
    fn one_is_one_and_off_is_off() {
        let one = CaptureReport { written: 1, dropped: 1, sampled: 1, per_second: 0, file: "-".to_owned(), ..report() };
        let text = text(&one);
        assert!(text.starts_with("1 packet written to standard output\nin 12s 1 packet was dropped"), "{text}");
        assert!(text.contains("took 1 sample of all there was, sampling is off now\n"), "{text}");
    }
}
