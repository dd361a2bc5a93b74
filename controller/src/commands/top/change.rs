//! The dialog that blocks and unblocks: what is asked for, what the daemon says it would do, and only then the doing.
use crossterm::event::{KeyCode, KeyEvent, KeyModifiers};
use ipnet::IpNet;

use super::app::Request;
use crate::domain::duration;
use crate::domain::guard::bare;
use crate::domain::report::{ChangeReport, ChangeRequest};
use crate::render::{Style, changes, plain};

/// How long something is blocked, unless said otherwise.
const USUAL: &str = "1h";
/// Longest duration, in characters.
const LONGEST_DURATION: usize = 20;
/// Longest reason, in bytes: the daemon's.
const LONGEST_REASON: usize = 500;

/// What is done.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Deed {
    /// Denied.
    Block,
    /// Taken off the deny list.
    Unblock,
}

impl Deed {
    /// As a title says it.
    pub(super) fn word(self) -> &'static str {
        match self {
            Self::Block => "block",
            Self::Unblock => "unblock",
        }
    }
}

/// A line of text that is typed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Field {
    /// For how long.
    Duration,
    /// Why.
    Reason,
}

/// How far it has come.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Step {
    /// Duration and reason are typed; what is wrong with them.
    Typing(Field, Option<String>),
    /// The daemon is asked what would change.
    Trying,
    /// It said so, and waits for a yes.
    Tried(ChangeReport),
    /// It is asked to do it.
    Doing,
    /// It did not.
    Refused(String),
}

/// What a key came to.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Outcome {
    /// It stays open.
    Open(Option<Request>),
    /// It is left.
    Left,
}

/// The dialog.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Change {
    /// What is done.
    pub(super) deed: Deed,
    /// To whom.
    pub(super) prefix: IpNet,
    /// As typed.
    pub(super) duration: String,
    /// As typed.
    pub(super) reason: String,
    /// How far it has come.
    pub(super) step: Step,
}

impl Change {
    /// Asks how long and why.
    pub(super) fn block(prefix: IpNet) -> Self {
        let step = Step::Typing(Field::Duration, None);
        Self { deed: Deed::Block, prefix, duration: USUAL.to_owned(), reason: String::new(), step }
    }

    /// Asks the daemon at once: there is nothing to type.
    pub(super) fn unblock(prefix: IpNet) -> (Self, Request) {
        let mut change =
            Self { deed: Deed::Unblock, prefix, duration: String::new(), reason: String::new(), step: Step::Trying };
        let request = change.request(true);
        change.step = Step::Trying;
        (change, request)
    }

    /// A key that was pressed.
    pub(super) fn key(&mut self, key: KeyEvent) -> Outcome {
        if key.code == KeyCode::Esc {
            // What is being done is done, whether it is watched or not; its answer tells.
            return if self.step == Step::Doing { Outcome::Open(None) } else { Outcome::Left };
        }
        match self.step.clone() {
            Step::Typing(field, _) => Outcome::Open(self.typed(field, key)),
            Step::Tried(report) => match key.code {
                KeyCode::Char('y') if report.changed && is_bare(key) => {
                    self.step = Step::Doing;
                    Outcome::Open(Some(self.request(false)))
                }
                KeyCode::Char('e') => self.again(),
                _ => Outcome::Open(None),
            },
            Step::Refused(_) if key.code == KeyCode::Char('e') => self.again(),
            Step::Trying | Step::Doing | Step::Refused(_) => Outcome::Open(None),
        }
    }

    /// Back to what was typed.
    fn again(&mut self) -> Outcome {
        if self.deed == Deed::Block {
            self.step = Step::Typing(Field::Duration, None);
        }
        Outcome::Open(None)
    }

    fn typed(&mut self, field: Field, key: KeyEvent) -> Option<Request> {
        let other = if field == Field::Duration { Field::Reason } else { Field::Duration };
        match key.code {
            KeyCode::Tab | KeyCode::BackTab | KeyCode::Up | KeyCode::Down => self.step = Step::Typing(other, None),
            KeyCode::Enter => {
                if let Err(error) = self.seconds() {
                    self.step = Step::Typing(Field::Duration, Some(error.to_string()));
                    return None;
                }
                self.step = Step::Trying;
                return Some(self.request(true));
            }
            _ => {
                let (text, longest) = match field {
                    Field::Duration => (&mut self.duration, LONGEST_DURATION),
                    Field::Reason => (&mut self.reason, LONGEST_REASON),
                };
                type_into(text, longest, key);
                self.step = Step::Typing(field, None);
            }
        }
        None
    }

    /// For how long; `None`: for good.
    fn seconds(&self) -> Result<Option<u64>, duration::DurationError> {
        let text = self.duration.trim();
        if text.is_empty() { Ok(None) } else { duration::parse(text).map(Some) }
    }

    fn request(&self, dry_run: bool) -> Request {
        let request = ChangeRequest {
            prefixes: vec![self.prefix.to_string()],
            for_s: self.seconds().ok().flatten(),
            reason: self.reason.trim().to_owned(),
            dry_run,
            ..ChangeRequest::default()
        };
        Request::Change(self.deed, request)
    }

    /// The daemon's answer. Done: what it did, in a line; else the dialog stays open.
    pub(super) fn answered(&mut self, answer: Result<ChangeReport, String>) -> Option<String> {
        match (&self.step, answer) {
            (Step::Trying, Ok(report)) => self.step = Step::Tried(report),
            (Step::Doing, Ok(report)) => return Some(text_of(&report).join("; ")),
            (Step::Trying | Step::Doing, Err(why)) => self.step = Step::Refused(why),
            // Nothing was asked.
            (Step::Typing(..) | Step::Tried(_) | Step::Refused(_), _) => {}
        }
        None
    }

    /// Whom it is about, as people write it.
    pub(super) fn name(&self) -> String {
        bare(self.prefix)
    }

    /// What it says, in lines that are safe to print.
    pub(super) fn lines(&self) -> Vec<String> {
        let mut lines = Vec::new();
        if self.deed == Deed::Block {
            let typing = |field| matches!(&self.step, Step::Typing(at, _) if *at == field);
            let cursor = |field| if typing(field) { "_" } else { "" };
            let always = if self.duration.trim().is_empty() { "  (for good)" } else { "" };
            let duration = plain::line(&self.duration);
            lines.push(format!("for     {duration}{}{always}", cursor(Field::Duration)));
            lines.push(format!("reason  {}{}", plain::line(&self.reason), cursor(Field::Reason)));
            lines.push(String::new());
        }
        match &self.step {
            Step::Typing(_, wrong) => {
                lines.extend(wrong.iter().map(|wrong| plain::line(wrong).into_owned()));
                lines.push("Enter: see what it would do   Tab: other line   Esc: leave".to_owned());
            }
            Step::Trying => lines.push("asking the daemon what would change".to_owned()),
            Step::Tried(report) => {
                lines.extend(text_of(report));
                lines.push(String::new());
                let change = if self.deed == Deed::Block { "   e: change it" } else { "" };
                lines.push(if report.changed {
                    format!("y: {} {}{change}   Esc: leave", self.deed.word(), self.name())
                } else {
                    format!("nothing to do{change}   Esc: leave")
                });
            }
            Step::Doing => lines.push("the daemon is at it".to_owned()),
            Step::Refused(why) => {
                lines.extend(plain::lines(why).lines().map(|line| line.replace('\t', " ")));
                lines.push(String::new());
                let change = if self.deed == Deed::Block { "e: change it   " } else { "" };
                lines.push(format!("nothing was changed   {change}Esc: leave"));
            }
        }
        lines
    }
}

/// What a change came to, in the words of `weir block add`.
fn text_of(report: &ChangeReport) -> Vec<String> {
    let mut text = String::new();
    match changes::change(report, Style::Plain, &mut text) {
        Ok(()) => text.lines().map(str::to_owned).collect(),
        Err(error) => vec![error.to_string()],
    }
}

fn is_bare(key: KeyEvent) -> bool {
    (key.modifiers - KeyModifiers::SHIFT).is_empty()
}

/// Changes a text by a key, up to a length in bytes.
pub(super) fn type_into(text: &mut String, longest: usize, key: KeyEvent) {
    match key.code {
        KeyCode::Char('u') if key.modifiers == KeyModifiers::CONTROL => text.clear(),
        KeyCode::Char(letter) if is_bare(key) && text.len() + letter.len_utf8() <= longest => text.push(letter),
        KeyCode::Backspace => {
            text.pop();
        }
        _ => {}
    }
}
