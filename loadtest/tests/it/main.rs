//! One file per property; `world` and `operator` are the client's in-memory network.

mod mainnet;
#[path = "../../../client/tests/it/operator.rs"]
#[allow(dead_code)] // the client's tests use more of it
mod operator;
mod run;
#[path = "../../../client/tests/it/world.rs"]
#[allow(dead_code)]
mod world;
