//! Tests of whole networks. A failing seed prints the command that repeats it.

mod controls;
mod corpus;
mod disk;
mod seeds;
