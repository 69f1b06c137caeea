//! A whole network on one machine: every operator is a process of its own, with home, keys and ports.
//!
//! ```text
//! <directory>/localnet.json      the description: homes, ports, processes
//! <directory>/node-<n>/          home of operator n; its log is node.log
//! <directory>/load/              report of the load generator
//! ```
//!
//! Everything else works from the description, so `status`, `kill`, `restart` and `down` can be called
//! while `up` runs in another terminal, or after it has detached. Whoever starts, stops or removes
//! something has the network for itself meanwhile ([`Exclusive`]). A process is only ever signalled
//! through a handle whose start time equals the one that was noted when it was started: a number that
//! the system has given to somebody else is left alone.

mod audit;
mod exclusive;
mod follow;
mod load;
mod nodes;
mod plan;
mod process;
mod spec;
mod state;
mod table;
mod watch;

pub use audit::{Audit, AuditError, audit};
pub use exclusive::Exclusive;
pub use follow::{SharedWatch, follow, locked};
pub use load::{Load, RunningLoad};
pub use nodes::{LaunchError, Launcher};
pub use plan::{PlanError, create};
pub use process::{ProcessId, stop_all};
pub use spec::{ParseRollupError, RollupSpec, Spec};
pub use state::{NodeState, State, StateError};
pub use table::{line, table};
pub use watch::{NodeView, SeenBlock, Watch, WatchSummary};
