//! What a failed command says and exits with.

use anyhow::Error as AnyError;

use super::io::OutError;
use crate::adapters::client::ClientError;
use crate::causes::chain;
use crate::render::changes::refused_line;

/// Failed.
pub const FAILED: u8 = 1;
/// Said wrongly: nothing was tried.
pub const USAGE: u8 = 2;
/// The thing asked about does not exist.
pub const NOT_FOUND: u8 = 3;
/// No daemon answers.
pub const UNREACHABLE: u8 = 4;
/// A safety rule refused.
pub const REFUSED: u8 = 5;

/// Refused lines of a list that are printed.
const REJECTS_SHOWN: usize = 20;

/// The command line, or what it names, cannot be meant: [`USAGE`].
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{0}")]
pub struct UsageError(pub String);

/// Another process of ours failed and has said why: all that is left is its exit status.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("exit status {0}")]
pub struct Told(pub u8);

/// Whether the reason was said already.
pub fn is_told(error: &AnyError) -> bool {
    error.chain().any(<dyn std::error::Error + 'static>::is::<Told>)
}

/// The exit status of a failure.
pub fn code(error: &AnyError) -> u8 {
    for cause in error.chain() {
        if cause.is::<UsageError>() {
            return USAGE;
        }
        if let Some(Told(code)) = cause.downcast_ref() {
            return *code;
        }
        if let Some(error) = cause.downcast_ref::<ClientError>() {
            return match error {
                ClientError::Unreachable { .. }
                | ClientError::Silent { .. }
                | ClientError::Lost { .. }
                | ClientError::Ended { .. } => UNREACHABLE,
                ClientError::Refused(_) => REFUSED,
                ClientError::NotFound(_) => NOT_FOUND,
                ClientError::Problem(_)
                | ClientError::NotWeir { .. }
                | ClientError::Unexplained { .. }
                | ClientError::Setup(_) => FAILED,
            };
        }
    }
    FAILED
}

/// Whether nobody reads standard output any more: quiet success.
pub fn is_closed_output(error: &AnyError) -> bool {
    error.chain().any(|cause| matches!(cause.downcast_ref(), Some(OutError::Closed)))
}

/// The failure in one line, from what was being done down to its cause; refused lines of a list below it.
pub fn text(error: &AnyError) -> String {
    let mut text = chain(error.as_ref());
    let problem = error.chain().find_map(|cause| cause.downcast_ref::<ClientError>()).and_then(ClientError::problem);
    let rejects = problem.map_or(&[][..], |problem| &problem.rejects);
    // One alone is in the daemon's words already.
    let rejects = if rejects.len() > 1 { rejects } else { &[] };
    for reject in rejects.iter().take(REJECTS_SHOWN) {
        text.push_str("\n  ");
        text.push_str(&refused_line(reject));
    }
    if let Some(more) = rejects.len().checked_sub(REJECTS_SHOWN).filter(|more| *more > 0) {
        text.push_str(&["\n  and ", &more.to_string(), " more"].concat());
    }
    text
}

#[cfg(test)]
mod tests {
    use std::io;

    use anyhow::Context as _;

    use super::*;
    use crate::domain::report::{Problem, REFUSED as REFUSED_KIND, RejectRow};

    fn problem(kind: &str, rejects: usize) -> Problem {
        let reject = |line| RejectRow { line, text: "a\\tb".to_owned(), why: "not an address".to_owned() };
        Problem {
            kind: kind.to_owned(),
            title: "Conflict".to_owned(),
            status: 409,
            detail: "192.0.2.1/32 covers this machine".to_owned(),
            rejects: (1..=rejects as u64).map(reject).collect(),
            hits: Vec::new(),
        }
    }

    #[test]
    fn each_failure_has_its_status() {
        let plain = Box::new(problem("about:blank", 0));
        for (error, expected) in [
            (AnyError::msg("anything"), FAILED),
            (UsageError("no interface".to_owned()).into(), USAGE),
            (Told(7).into(), 7),
            (ClientError::NotFound(plain.clone()).into(), NOT_FOUND),
            (ClientError::Silent { socket: "/s".into(), seconds: 30 }.into(), UNREACHABLE),
            (ClientError::Refused(Box::new(problem(REFUSED_KIND, 0))).into(), REFUSED),
            (ClientError::Problem(plain).into(), FAILED),
        ] {
            assert_eq!(code(&error), expected, "{error}");
            assert_eq!(code(&error.context("while doing something")), expected);
        }
    }

    #[test]
    fn causes_follow_each_said_once() {
        let cause = io::Error::from_raw_os_error(libc::ENOENT);
        let error = AnyError::new(cause).context("open /var/lib/weir").context("start");
        assert_eq!(text(&error), "start: open /var/lib/weir: No such file or directory");
        let error: AnyError =
            Err::<(), _>(OutError::Failed(io::Error::from_raw_os_error(libc::ENOSPC))).context("export").unwrap_err();
        assert_eq!(text(&error), "export: write to standard output: No space left on device");
    }

    #[test]
    fn a_cause_within_other_words_is_said_once() {
        let cause = io::Error::from_raw_os_error(libc::EPERM);
        let error = AnyError::new(cause).context("cannot load: Operation not permitted; run it as root");
        assert_eq!(text(&error), "cannot load: Operation not permitted; run it as root");
    }

    #[test]
    fn refused_lines_stand_below() {
        let error = AnyError::new(ClientError::Problem(Box::new(problem("about:blank", 22))));
        let text = text(&error);
        let mut lines = text.lines();
        assert_eq!(lines.next(), Some("192.0.2.1/32 covers this machine"));
        assert_eq!(lines.next(), Some("  line 1: not an address: \"a\\tb\""));
        assert_eq!(lines.next_back(), Some("  and 2 more"));
        assert_eq!(text.lines().count(), 22);
    }

    #[test]
    fn only_a_closed_output_is_quiet() {
        let closed = AnyError::new(OutError::from(io::Error::from(io::ErrorKind::BrokenPipe))).context("export");
        assert!(is_closed_output(&closed));
        assert!(!is_closed_output(&AnyError::new(io::Error::from(io::ErrorKind::BrokenPipe))));
    }
}
