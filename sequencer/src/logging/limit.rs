//! Lines about a peer, at most [`LINES_MAX`] per second for each peer and kind, so that nobody who sends
//! nonsense fills a disk with the complaints about it.
//!
//! A line is about the peer that its field `peer`, `operator`, `from` or `remote` names; its kind is the
//! place in the code that writes it. Lines without such a field are not limited: no peer causes them.
//! What is left out is counted, in the metric `squad_log_lines_left_out_total` and in a line of its own.

use prometheus_client::metrics::counter::Counter;
use std::collections::HashMap;
use std::fmt::{Debug, Write as _};
use std::sync::{LazyLock, Mutex, PoisonError};
use std::time::{Duration, Instant};
use tracing::callsite::Identifier;
use tracing::field::{Field, Visit};
use tracing::{Event, Metadata, Subscriber};
use tracing_subscriber::layer::{Context, Filter};

/// Lines of one kind about one peer in a second.
const LINES_MAX: u32 = 10;
const SPAN: Duration = Duration::from_secs(1);
/// Peers and kinds that are told apart in a second; those beyond share one account.
const ACCOUNTS_MAX: usize = 4_096;
/// Bytes of a peer's name that are looked at.
const NAME_BYTES_MAX: usize = 64;
const FIELDS: [&str; 4] = ["peer", "operator", "from", "remote"];

/// There is one log per process.
static LEFT_OUT: LazyLock<Counter> = LazyLock::new(Counter::default);

/// Counts the lines that were left out.
pub(crate) fn lines_left_out() -> Counter {
    LEFT_OUT.clone()
}

/// Writes a line each second in which others were left out.
pub(crate) async fn report_left_out() {
    let mut seconds = tokio::time::interval(SPAN);
    let mut before = LEFT_OUT.get();
    loop {
        seconds.tick().await;
        let now = LEFT_OUT.get();
        if now > before {
            tracing::warn!(
                lines = now - before,
                "lines left out: more than {LINES_MAX} of a kind about one peer within a second"
            );
        }
        before = now;
    }
}

/// The filter.
#[derive(Debug)]
pub(super) struct PeerLimit {
    start: Instant,
    accounts: Mutex<Accounts>,
}

impl Default for PeerLimit {
    fn default() -> Self {
        Self {
            start: Instant::now(),
            accounts: Mutex::default(),
        }
    }
}

impl<S: Subscriber> Filter<S> for PeerLimit {
    fn enabled(&self, _: &Metadata<'_>, _: &Context<'_, S>) -> bool {
        true
    }

    fn event_enabled(&self, event: &Event<'_>, _: &Context<'_, S>) -> bool {
        let mut name = Name::default();
        event.record(&mut name);
        let Some(peer) = name.0 else {
            return true;
        };
        let account = (event.metadata().callsite(), peer);
        let second = self.start.elapsed().as_secs();
        let mut accounts = self.accounts.lock().unwrap_or_else(PoisonError::into_inner);
        let taken = accounts.take(second, account);
        if !taken {
            LEFT_OUT.inc();
        }
        taken
    }
}

/// Lines of the current second.
#[derive(Debug)]
struct Accounts<K = (Identifier, String)> {
    second: u64,
    lines: HashMap<K, u32>,
    others: u32,
}

impl<K> Default for Accounts<K> {
    fn default() -> Self {
        Self {
            second: 0,
            lines: HashMap::new(),
            others: 0,
        }
    }
}

impl<K: std::hash::Hash + Eq> Accounts<K> {
    /// Whether one more line may be written.
    fn take(&mut self, second: u64, account: K) -> bool {
        if second != self.second {
            self.second = second;
            self.lines.clear();
            self.others = 0;
        }
        let room = self.lines.len() < ACCOUNTS_MAX;
        let lines = if room || self.lines.contains_key(&account) {
            self.lines.entry(account).or_default()
        } else {
            &mut self.others
        };
        let taken = *lines < LINES_MAX;
        *lines = lines.saturating_add(1);
        taken
    }
}

/// The peer that an event is about.
#[derive(Default)]
struct Name(Option<String>);

impl Visit for Name {
    fn record_debug(&mut self, field: &Field, value: &dyn Debug) {
        if self.0.is_none() && FIELDS.contains(&field.name()) {
            let mut name = Start::default();
            // Ends with an error when the name is cut off.
            let _cut = write!(name, "{value:?}");
            self.0 = Some(name.0);
        }
    }
}

/// The first bytes of what is written.
#[derive(Default)]
struct Start(String);

impl std::fmt::Write for Start {
    fn write_str(&mut self, part: &str) -> std::fmt::Result {
        for character in part.chars() {
            if self.0.len() + character.len_utf8() > NAME_BYTES_MAX {
                return Err(std::fmt::Error);
            }
            self.0.push(character);
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::io;
    use std::sync::Arc;
    use tracing_subscriber::filter::{FilterExt as _, LevelFilter};
    use tracing_subscriber::layer::SubscriberExt as _;
    use tracing_subscriber::{Layer as _, fmt, registry};

    #[derive(Clone, Default)]
    struct Written(Arc<Mutex<Vec<u8>>>);

    impl io::Write for Written {
        fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
            self.0.lock().unwrap().extend_from_slice(bytes);
            Ok(bytes.len())
        }

        fn flush(&mut self) -> io::Result<()> {
            Ok(())
        }
    }

    impl Written {
        fn count(&self, part: &str) -> usize {
            let written = String::from_utf8(self.0.lock().unwrap().clone()).unwrap();
            written.lines().filter(|line| line.contains(part)).count()
        }
    }

    #[test]
    fn ten_thousand_faults_of_a_peer_are_ten_lines_a_second_and_others_are_heard() {
        let written = Written::default();
        let to = written.clone();
        let lines = fmt::layer()
            .with_ansi(false)
            .with_writer(move || to.clone());
        let lines = lines.with_filter(LevelFilter::DEBUG.and(PeerLimit::default()));
        let before = lines_left_out().get();
        let start = Instant::now();
        tracing::subscriber::with_default(registry().with(lines), || {
            for number in 0..10_000 {
                tracing::debug!(peer = %"loud", number, "first kind");
                tracing::trace!(peer = %"loud", number, "not asked for");
            }
            tracing::warn!(peer = %"loud", "second kind");
            tracing::warn!(operator = 7, "third kind");
            for _ in 0..100 {
                tracing::info!("about nobody");
            }
        });
        let seconds = start.elapsed().as_secs() as usize + 2;
        let first = written.count("first kind");
        assert!((10..=10 * seconds).contains(&first), "{first}");
        assert_eq!(written.count("second kind"), 1);
        assert_eq!(written.count("third kind"), 1);
        assert_eq!(written.count("about nobody"), 100);
        let left_out = lines_left_out().get() - before;
        assert_eq!(left_out as usize, 10_000 - first);
    }

    #[test]
    fn an_account_is_full_for_a_second() {
        let mut accounts = Accounts::default();
        for second in [3, 4, 9] {
            let taken = (0..50).filter(|_| accounts.take(second, "one")).count();
            assert_eq!(taken, LINES_MAX as usize);
        }
        assert!(accounts.take(9, "two"));
    }

    #[test]
    fn more_peers_than_are_told_apart_share_an_account() {
        let mut accounts = Accounts::default();
        let taken = (0..100_000).filter(|peer| accounts.take(1, *peer)).count();
        assert_eq!(taken, ACCOUNTS_MAX + LINES_MAX as usize);
        assert_eq!(accounts.lines.len(), ACCOUNTS_MAX);
        assert!(accounts.take(1, 5), "known ones keep theirs");
    }
}
