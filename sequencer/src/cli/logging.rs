//! Logs on standard error, and the end of a process that panics.

use crate::config::{LogFormat, LogSection};
use std::io::IsTerminal as _;
use tracing_subscriber::EnvFilter;
use tracing_subscriber::fmt::format::FmtSpan;

/// Starts logging. A filter that does not parse was refused with the configuration.
pub(crate) fn start(settings: &LogSection) {
    let filter = EnvFilter::try_new(&settings.filter).unwrap_or_else(|_| EnvFilter::new("info"));
    let builder = tracing_subscriber::fmt()
        .with_env_filter(filter)
        .with_span_events(FmtSpan::NONE)
        .with_writer(std::io::stderr);
    // A second subscriber is refused; the first one goes on.
    let _already_started = match settings.format {
        LogFormat::Text => builder
            .with_ansi(std::io::stderr().is_terminal())
            .try_init(),
        LogFormat::Json => builder.json().flatten_event(true).try_init(),
    };
}

/// A panic in any thread or task ends the process: a node with a dead core must not look alive. The
/// shell shows 134.
pub(crate) fn abort_on_panic() {
    let print = std::panic::take_hook();
    std::panic::set_hook(Box::new(move |info| {
        tracing::error!(panic = %info, "panic: the process ends");
        print(info);
        std::process::abort();
    }));
}
