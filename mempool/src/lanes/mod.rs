//! All lanes as one operator sees them: headers, acknowledgements, proofs, what to fetch, what to cut.

mod config;
mod input;
mod output;
mod record;

pub use config::LanesConfig;
pub use input::LaneInput;
pub use output::{LaneFault, LaneOutput};
pub use record::{LaneRecord, PersistId};
