//! Logs on standard error, and the end of a process that panics.

mod limit;

pub(crate) use limit::{lines_left_out, report_left_out};

use crate::config::{LogFormat, LogSection};
use limit::PeerLimit;
use std::io::IsTerminal as _;
use tracing_subscriber::filter::FilterExt as _;
use tracing_subscriber::layer::SubscriberExt as _;
use tracing_subscriber::util::SubscriberInitExt as _;
use tracing_subscriber::{EnvFilter, Layer as _, fmt, registry};

/// Starts logging. A filter that does not parse was refused with the configuration.
pub(crate) fn start(settings: &LogSection) {
    let filter = EnvFilter::try_new(&settings.filter).unwrap_or_else(|_| EnvFilter::new("info"));
    let filter = filter.and(PeerLimit::default());
    let lines = fmt::layer().with_writer(std::io::stderr);
    let lines = match settings.format {
        LogFormat::Text => lines.with_ansi(std::io::stderr().is_terminal()).boxed(),
        LogFormat::Json => lines.json().flatten_event(true).boxed(),
    };
    // A second subscriber is refused; the first one goes on.
    let _already_started = registry().with(lines.with_filter(filter)).try_init();
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
