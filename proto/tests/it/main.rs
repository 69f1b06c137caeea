//! One file per property of the messages.

mod any;
mod client;
mod fuzz;
mod limits;
mod pinned;
mod round_trip;
mod zero_copy;
