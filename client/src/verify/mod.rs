//! Checking what operators say, against a [`TrustedNetwork`] alone.
//!
//! Everything here is synchronous and pure: it works as well on answers of a connection as on the bytes
//! of a file ([`file`]), years later and offline. Types named `Verified…` have no other constructor than
//! the check.
//!
//! | claim | what proves it | who could lie |
//! |---|---|---|
//! | a block is final | commit certificate of > 2/3 of stake ([`header`]) | nobody below 1/3 of stake |
//! | no block is missing | each names its parent's hash and cut ([`chain`]) | nobody |
//! | the order of its transactions | result attested by > 1/3 of stake ([`attestation`]) | only if every attester is dishonest |
//! | a rollup's list is complete, or empty | path, or two neighbouring paths, to the result's root ([`rollup`]) | nobody, given the result |
//! | a payload is the ordered one | its digest is the id ([`rollup`]) | nobody |
//! | a transaction is in a final block | paths from its id to the block's cut ([`inclusion`]) | nobody below 1/3 of stake |
//! | an operator accepted a transaction | its signature over the batch ([`receipt`]) | it is evidence against the operator |
//!
//! [`TrustedNetwork`]: crate::TrustedNetwork

pub mod attestation;
pub mod chain;
pub mod file;
pub mod header;
pub mod inclusion;
pub mod receipt;
pub mod rollup;
