//! One file per property.

mod mainnet;
