//! Errors with all that lies behind them, in one line.
use std::any::Any;
use std::error::Error;

/// An error and its causes, each said once: some errors hold their cause's words in their own.
pub(crate) fn chain(error: &(dyn Error + 'static)) -> String {
    let mut text = said(error);
    let mut next = error.source();
    while let Some(cause) = next {
        next = cause.source();
        let cause = said(cause);
        if !text.contains(&cause) {
            text.push_str(": ");
            text.push_str(&cause);
        }
    }
    text
}

/// An error in its own words, without the number the standard library puts behind the system's.
pub(crate) fn said(error: &(dyn Error + 'static)) -> String {
    let text = error.to_string();
    match text.rsplit_once(" (os error ") {
        Some((words, number)) if number.trim_end_matches(')').bytes().all(|byte| byte.is_ascii_digit()) => {
            words.to_owned()
        }
        _ => text,
    }
}

/// What a panic says.
pub(crate) fn panicked(panic: &(dyn Any + Send)) -> &str {
    let text = panic.downcast_ref::<&str>().copied();
    text.or_else(|| panic.downcast_ref::<String>().map(String::as_str)).unwrap_or("no reason is given")
}
