//! Process torture: real `squad` processes, real files and sockets, random faults, and an audit.
//!
//! ```text
//!  seed ──▶ plan ──▶ episode: load ─┬─ fault: signals, damaged files, relays ──▶ healed ──▶ audit
//!                                   └─ probe: committed heights of all operators
//! ```
//!
//! A run makes one local network and breaks it in episodes. In each episode a load generator submits
//! through all operators, one fault happens and is healed, and then every operator must be in step
//! again, and the audit must find each acknowledged transaction ordered exactly once, in the same
//! blocks, on every operator. What an episode does follows from the seed of the run and its number
//! alone; what the operating system makes of it does not, so a failure prints the seed and keeps the
//! homes, the logs and the figures.
//!
//! Operators reach each other through one [`relay`] each: the genesis names the relay's address, so
//! every packet between two operators passes exactly one relay, which knows both ends and can delay,
//! drop, double or cut in one direction. TLS stays end to end: a relay can't read or forge.
//!
//! Besides the episodes, [`overload`] offers a network ten times what it can carry, and [`flood`] lets
//! strangers, a broken operator and careless clients cost as much as they can.

mod broken_disk;
pub mod damage;
pub mod episode;
pub mod flood;
pub mod generator;
pub mod memory;
pub mod network;
pub mod overload;
pub mod plan;
pub mod probe;
pub mod relay;
pub mod report;
pub mod verdict;
pub mod weather;
