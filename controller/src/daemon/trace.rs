//! The program's own log lines, in builds with the `trace` feature.
use std::time::Duration;

use aya_log::EbpfLogger;

/// How often the lines are read.
const POLL: Duration = Duration::from_millis(100);

/// Prints the program's lines through the log for as long as the daemon lives.
pub(super) async fn read(program_id: u32) {
    let mut logger = match EbpfLogger::init_from_id_with_logger(program_id, Lines) {
        Ok(logger) => logger,
        Err(error) => return tracing::warn!(%error, "the program's log cannot be read"),
    };
    loop {
        logger.flush();
        tokio::time::sleep(POLL).await;
    }
}

/// Hands lines on to the daemon's log.
struct Lines;

impl log::Log for Lines {
    fn enabled(&self, _: &log::Metadata<'_>) -> bool {
        true
    }
    fn log(&self, record: &log::Record<'_>) {
        tracing::debug!(line = %record.args(), "program");
    }
    fn flush(&self) {}
}
