//! Where the live view goes.

use crate::cli::args::Format;
use crate::cli::exit::Outcome;
use crate::cli::output;
use crate::localnet::{NodeView, line, table};
use std::io::IsTerminal as _;
use std::time::Duration;

/// Distance between lines where there is no terminal.
const LINE_INTERVAL: Duration = Duration::from_secs(5);

/// Moves the cursor up by so many lines and clears from there to the end of the screen.
fn rewind(lines: usize) -> String {
    format!("\x1b[{lines}A\x1b[J")
}

/// Prints the live view: a table that is redrawn on a terminal, a line every few seconds elsewhere, and
/// nothing where the result is to be JSON.
#[derive(Debug)]
pub(super) struct Screen {
    kind: Kind,
    drawn: usize,
    next_line: Duration,
}

#[derive(Debug, PartialEq, Eq)]
enum Kind {
    Terminal,
    Lines,
    Silent,
}

impl Screen {
    pub(super) fn new(format: Format) -> Self {
        let kind = match format {
            Format::Json => Kind::Silent,
            Format::Text if std::io::stdout().is_terminal() => Kind::Terminal,
            Format::Text => Kind::Lines,
        };
        Self {
            kind,
            drawn: 0,
            next_line: LINE_INTERVAL,
        }
    }

    /// Prints a sentence that stays.
    pub(super) fn say(&mut self, text: &str) -> Outcome {
        self.drawn = 0;
        match self.kind {
            Kind::Silent => Ok(()),
            _ => output::write(&format!("{text}\n")),
        }
    }

    /// Shows the present state.
    pub(super) fn show(&mut self, views: &[NodeView], elapsed: Duration, agree: bool) -> Outcome {
        match self.kind {
            Kind::Silent => Ok(()),
            Kind::Lines if elapsed < self.next_line => Ok(()),
            Kind::Lines => {
                self.next_line = elapsed + LINE_INTERVAL;
                output::write(&format!("{}\n", line(views, elapsed, agree)))
            }
            Kind::Terminal => {
                let text = table(views, elapsed, agree);
                let up = match self.drawn {
                    0 => String::new(),
                    lines => rewind(lines),
                };
                self.drawn = text.lines().count();
                output::write(&format!("{up}{text}"))
            }
        }
    }
}
