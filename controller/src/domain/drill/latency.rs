//! How long answers took.

use serde::{Deserialize, Serialize};

/// Requests of one span of time.
#[derive(Clone, Copy, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct Latency {
    /// Asked.
    pub requests: u64,
    /// Not answered in time, or not whole.
    pub failed: u64,
    /// Half of those answered took at most so many milliseconds; `null` where none was.
    pub p50_ms: Option<f64>,
    /// 99 of 100 took at most so many.
    pub p99_ms: Option<f64>,
}

impl Latency {
    /// Of requests: how many milliseconds each took, `None` where it failed.
    pub fn of(requests: &[Option<f64>]) -> Self {
        let mut took: Vec<f64> = requests.iter().copied().flatten().collect();
        took.sort_by(f64::total_cmp);
        Self {
            requests: u64::try_from(requests.len()).unwrap_or(u64::MAX),
            failed: u64::try_from(requests.len() - took.len()).unwrap_or(u64::MAX),
            p50_ms: permille(&took, 500),
            p99_ms: permille(&took, 990),
        }
    }
}

/// The least value that so many of a thousand do not exceed, of values in order.
fn permille(sorted: &[f64], permille: usize) -> Option<f64> {
    let rank = (sorted.len() * permille).div_ceil(1_000);
    sorted.get(rank.saturating_sub(1)).copied()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ranks_are_of_those_that_were_answered() {
        let mut requests: Vec<Option<f64>> = (1..=200u32).rev().map(|ms| Some(f64::from(ms))).collect();
        requests.push(None);
        let latency = Latency::of(&requests);
        assert_eq!(latency, Latency { requests: 201, failed: 1, p50_ms: Some(100.0), p99_ms: Some(198.0) });
        assert_eq!(Latency::of(&[Some(3.0)]).p99_ms, Some(3.0));
        assert_eq!(Latency::of(&[None]), Latency { requests: 1, failed: 1, p50_ms: None, p99_ms: None });
        assert_eq!(Latency::of(&[]), Latency::default());
    }
}
