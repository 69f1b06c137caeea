//! `squad-loadtest`: an open-loop load generator that measures what a rollup would feel.
#![forbid(unsafe_code)]

pub mod args;
pub mod audit;
pub mod compare;
pub mod eth;
pub mod measure;
pub mod mix;
pub mod plot;
pub mod prepare;
pub mod process;
pub mod report;
pub mod rng;
pub mod run;
pub mod schedule;
pub mod sweep;
pub mod txfile;
pub mod workload;
