//! A logger: one line an event, to standard error.
//!
//! It knows no request. What reaches it was written to be read by an operator; a query string never does.

use std::io::Write;

use log::{LevelFilter, Log, Metadata, Record};

struct Logger;

impl Log for Logger {
    fn enabled(&self, metadata: &Metadata<'_>) -> bool {
        metadata.level() <= log::max_level()
    }

    fn log(&self, record: &Record<'_>) {
        if self.enabled(record.metadata()) {
            // The supervisor that reads this adds the time; a full disk must not end the server.
            let _ = writeln!(std::io::stderr(), "{} {}: {}", record.level(), record.target(), record.args());
        }
    }

    fn flush(&self) {}
}

/// Logs what is at least as grave as `level` from now on.
pub(super) fn start(level: LevelFilter) {
    if log::set_logger(&Logger).is_ok() {
        log::set_max_level(level);
    }
}
