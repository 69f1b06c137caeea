//! Tests of the crate from outside.

mod aggregator;
mod attester;
mod evidence;
mod forgeries;
mod formats;
mod guard;
mod hostile_bytes;
mod light;
mod rollups;
mod support;
mod together;
