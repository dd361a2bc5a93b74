//! Events through the two stages: what rules see in each one alone, on several threads; what remembers, in order.
use std::sync::mpsc::{Receiver, SyncSender, sync_channel};
use std::thread;

use crate::domain::http::event::Event;

/// Events that are handed on at once.
const BATCH: usize = 256;
/// Bytes of text in them at the most: with long lines, fewer are handed on at once.
const BATCH_BYTES: usize = 1 << 19;
/// Batches that wait before and behind each thread.
const WAITING: usize = 2;

type Batch = Vec<Box<Event>>;
type Judged<M> = Vec<(Box<Event>, M)>;

/// Takes each event that `next` gives through `judge`, on so many threads, and then in the order they came to `observe`,
/// on a thread of its own.
pub(crate) fn run<M: Send>(
    threads: usize,
    mut next: impl FnMut() -> Option<Box<Event>>,
    judge: impl Fn(&Event) -> M + Sync,
    mut observe: impl FnMut(Box<Event>, M) + Send,
) {
    let judge = &judge;
    thread::scope(|scope| {
        let (mut inward, mut outward) = (Vec::new(), Vec::new());
        for _ in 0..threads.max(1) {
            let (give, taken) = sync_channel::<Batch>(WAITING);
            let (done, take) = sync_channel::<Judged<M>>(WAITING);
            inward.push(give);
            outward.push(take);
            scope.spawn(move || work(&taken, &done, judge));
        }
        // Batches go round the threads and are taken back the same way round, so they stay in order.
        scope.spawn(move || {
            for take in outward.iter().cycle() {
                let Ok(batch) = take.recv() else { break };
                for (event, judged) in batch {
                    observe(event, judged);
                }
            }
        });
        for give in inward.iter().cycle() {
            let batch = batch(&mut next);
            if batch.is_empty() || give.send(batch).is_err() {
                break;
            }
        }
        drop(inward);
    });
}

fn work<M>(taken: &Receiver<Batch>, done: &SyncSender<Judged<M>>, judge: impl Fn(&Event) -> M) {
    for batch in taken {
        let judged = batch.into_iter().map(|event| {
            let judged = judge(&event);
            (event, judged)
        });
        if done.send(judged.collect()).is_err() {
            break;
        }
    }
}

fn batch(next: &mut impl FnMut() -> Option<Box<Event>>) -> Batch {
    let (mut batch, mut bytes) = (Vec::with_capacity(BATCH), 0);
    while batch.len() < BATCH && bytes < BATCH_BYTES {
        let Some(event) = next() else { break };
        // The line's own length, about: the target is the long part of a long line.
        bytes += event.raw.len() + event.uri.as_ref().map_or(0, String::len);
        batch.push(event);
    }
    batch
}

#[cfg(test)]
mod tests {
    use jiff::Timestamp;

    use super::*;
    use crate::domain::http::event::EventKind;

    fn event(number: u64) -> Box<Event> {
        let mut event = Event::new(Timestamp::UNIX_EPOCH, EventKind::HttpRequest);
        event.bytes_sent = Some(number);
        Box::new(event)
    }

    #[test]
    fn every_event_comes_through_once_and_in_order() {
        for (threads, events) in [(1, 0), (1, 1), (2, 255), (2, 256), (3, 10_001)] {
            let mut numbers = 0..events;
            let mut seen = Vec::new();
            run(
                threads,
                || numbers.next().map(event),
                |event| event.bytes_sent.map(|number| number * 2),
                |event, judged| seen.push((event.bytes_sent, judged)),
            );
            let expected: Vec<_> = (0..events).map(|number| (Some(number), Some(number * 2))).collect();
            assert_eq!(seen, expected, "{threads} threads");
        }
    }

    #[test]
    fn long_lines_go_in_small_batches() {
        let mut left = 1_000;
        let mut long = || {
            left -= 1;
            let mut event = event(0);
            event.uri = Some("/".repeat(65_536));
            (left > 0).then_some(event)
        };
        assert_eq!(batch(&mut long).len(), 8);
    }
}
