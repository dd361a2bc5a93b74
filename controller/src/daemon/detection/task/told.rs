//! What reports say of detection.
use crate::adapters::clock;
use crate::adapters::logs::{self, Inputs};
use crate::domain::http::event::EventKind;
use crate::domain::http::finding::Detector as Finder;
use crate::domain::report::{DetectionRow, FindingsRow, InputRow, UnparsedRow};

use super::Session;

impl Session<'_> {
    pub(super) fn tell(&mut self) {
        let row = self.row();
        for input in &row.inputs {
            let part = format!("log {}", input.origin);
            if input.problem.is_some() {
                self.problem(&part, input.problem.clone());
                if !self.troubled.contains(&part) {
                    self.troubled.push(part);
                }
            }
        }
        let is_over = |part: &String| {
            !row.inputs.iter().any(|input| input.problem.is_some() && format!("log {}", input.origin) == *part)
        };
        for part in self.troubled.extract_if(.., |part| is_over(part)).collect::<Vec<_>>() {
            self.problem(&part, None);
        }
        self.context.shared.detected.set_row(Some(row));
    }

    fn row(&mut self) -> DetectionRow {
        let counters = &self.detector.counters;
        self.rate.take(counters.total());
        let (rules, rules_enabled) = self.context.rules.counts();
        let inputs = self.inputs.as_ref().map(Inputs::health).unwrap_or_default();
        DetectionRow {
            inputs: inputs.into_iter().map(input_row).collect(),
            events_per_second: self.rate.per_second,
            events: EventKind::ALL.into_iter().map(|kind| (kind.name().to_owned(), counters.of(kind))).collect(),
            unparsed: counters
                .unparsed
                .iter()
                .map(|((log, reason), lines)| UnparsedRow {
                    log: log.to_string(),
                    reason: (*reason).to_owned(),
                    lines: *lines,
                })
                .collect(),
            rejected: self.rejections.rows(),
            without_client: counters.without_client,
            old: counters.old,
            findings: counters
                .findings
                .iter()
                .map(|(finder, count)| FindingsRow {
                    kind: if matches!(finder, Finder::Rule(_)) { "rule" } else { "analyzer" }.to_owned(),
                    detector: finder.name().to_owned(),
                    count: *count,
                })
                .collect(),
            alerts: self.alerts.iter().map(|(severity, count)| ((*severity).to_owned(), *count)).collect(),
            open_alerts: self.detector.alerts.len() as u64,
            overflowed: self.detector.alerts.overflowed(),
            responses: self.actions.responses.iter().map(|(name, count)| ((*name).to_owned(), *count)).collect(),
            refused: self.refused.clone(),
            denied_users: self.context.shared.detected.users().list(clock::now().boot).count() as u64,
            rules,
            rules_enabled,
        }
    }
}

fn input_row(health: logs::InputHealth) -> InputRow {
    let state = match health.state {
        logs::InputState::Waiting => "waiting",
        logs::InputState::Following => "following",
        logs::InputState::Unreadable => "unreadable",
        logs::InputState::Refused => "refused",
    };
    InputRow {
        name: health.input.to_string(),
        origin: health.origin.to_string(),
        state: state.to_owned(),
        lag_bytes: health.lag_bytes,
        lines: health.lines,
        bytes: health.bytes,
        cut: health.cut,
        dropped: health.dropped,
        rotations: health.rotations,
        losses: health.losses,
        last_line_at: health.last_line_at,
        problem: health.problem,
    }
}
