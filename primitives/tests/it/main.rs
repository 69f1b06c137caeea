//! One file per property of the signed and hashed types.

mod documented;
mod fixtures;
mod fuzz;
mod samples;
