//! One file per property; `world` builds real chains, `operator` serves them over gRPC.

mod connection;
mod follow;
mod operator;
mod status;
mod submit;
mod verify;
mod world;
