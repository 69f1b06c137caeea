#![forbid(unsafe_code)]
#![cfg_attr(
    not(test),
    deny(
        clippy::unwrap_used,
        clippy::expect_used,
        clippy::indexing_slicing,
        clippy::panic
    )
)]
//! The ordering core of Squad: a two-phase HotStuff with all-to-all votes, weighted by stake.

mod config;
mod input;
mod lane_view;
mod output;
mod record;
mod status;

pub use config::Config;
pub use input::Input;
pub use lane_view::{CutCheck, CutError, LaneView};
pub use output::{KeyRange, Output, PeerFault, PersistId};
pub use record::{Cast, Recovered, SafetyRecord, SafetyState};
pub use status::Status;
