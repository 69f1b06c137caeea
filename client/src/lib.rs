//! SDK for rollups: submit transactions, follow blocks, and believe nobody.
//!
//! ```no_run
//! # async fn example() -> Result<(), Box<dyn std::error::Error>> {
//! use squad_client::{Client, ClientConfig, TrustedNetwork};
//! use squad_primitives::{Height, RollupId};
//!
//! let trusted = TrustedNetwork::from_genesis_json(&std::fs::read("genesis.json")?)?;
//! let operators = ["http://127.0.0.1:4110", "http://127.0.0.1:4210"];
//! let client = Client::new(trusted, operators, ClientConfig::default())?;
//!
//! let transaction = client.prepare(RollupId(901), "hello").await?;
//! let submitted = client.submit(&transaction).await?;
//!
//! let mut blocks = client.follow_rollup(RollupId(901), Height(1));
//! loop {
//!     let block = blocks.next().await?;
//!     if block.rollups.iter().any(|rollup| rollup.ids.contains(&submitted.id)) {
//!         return Ok(());
//!     }
//! }
//! # }
//! ```
//!
//! - [`Client`] spreads over several operators. Submitting is safe to repeat ([`Client::submit`]);
//!   following goes on elsewhere when a connection is lost ([`Client::follow_rollup`]).
//! - [`verify`] checks everything against a [`TrustedNetwork`], without a connection.
//! - [`Endpoint`] is one operator: streams of many transactions ([`Endpoint::open_submit_stream`]) and
//!   the plain service stubs.
#![forbid(unsafe_code)]

pub mod finality;
pub mod follow;
pub mod verify;

mod backoff;
mod blocks;
mod client;
mod endpoint;
mod error;
mod status;
mod stream;
mod submit;
mod trusted;
mod witness;

pub use blocks::{BlockStream, Content, RawBlock, StreamError, Subscription};
pub use client::{Client, ClientConfig, ClientError, ProofError};
pub use endpoint::{Endpoint, EndpointError};
pub use error::{RETRY_AFTER_MAX, Refusal};
pub use squad_mach as mach;
pub use squad_proto::mach as finality_api;
pub use squad_proto::v1;
pub use status::{StatusStream, StatusUpdate, WATCHED_TRANSACTIONS_MAX, Watch};
pub use stream::{
    Answers, MESSAGE_PAYLOAD_BYTES_MAX, MESSAGE_TRANSACTIONS_MAX, SendError, StreamConfig,
    SubmitSender,
};
pub use submit::{SubmitError, Submitted};
pub use trusted::{TrustError, TrustedNetwork};
