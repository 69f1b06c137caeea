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

mod advance;
mod certificates;
mod committer;
mod config;
mod context;
mod core;
mod early;
mod epoch;
mod fetch;
mod input;
mod judge;
mod lane_view;
mod leader;
mod output;
mod own;
mod pacemaker;
mod peers;
mod proposal;
mod proposer;
mod rebroadcast;
mod record;
mod silence;
mod status;
mod sync;
mod tree;
mod voter;
mod votes;

pub use crate::core::Core;
pub use config::Config;
pub use input::Input;
pub use lane_view::{CutCheck, CutError, LaneView};
pub use output::{KeyRange, Output, PeerFault, PersistId};
pub use record::{Cast, Recovered, SafetyRecord, SafetyState};
pub use status::Status;
