//! The same checks for bytes that were saved: protobuf messages of `squad.v1`, as a file or a message
//! queue may hold them.

use super::header::{HeaderError, VerifiedHeader};
use super::inclusion::{InclusionError, VerifiedInclusion};
use super::receipt::{ReceiptError, VerifiedReceipt};
use super::rollup::{RollupBlock, RollupError};
use crate::{TrustedNetwork, v1};
use prost::Message;
use squad_primitives::{RollupId, TxId};

/// Why saved bytes prove nothing.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum FileError {
    /// Not the expected protobuf message.
    #[error("file: {0}")]
    Decode(#[from] prost::DecodeError),
    /// A block without its header: not a first page.
    #[error("file: the block has no header")]
    NoHeader,
    /// The header proves nothing.
    #[error(transparent)]
    Header(#[from] HeaderError),
    /// The rollup's part proves nothing.
    #[error(transparent)]
    Rollup(#[from] RollupError),
    /// The proof of inclusion proves nothing.
    #[error(transparent)]
    Inclusion(#[from] InclusionError),
    /// The receipt promises nothing.
    #[error(transparent)]
    Receipt(#[from] ReceiptError),
}

impl TrustedNetwork {
    /// Checks a saved `GetBlockResponse` that was asked for with a rollup.
    ///
    /// # Errors
    /// See [`FileError`].
    pub fn verify_block_bytes(
        &self,
        bytes: &[u8],
        rollup: RollupId,
    ) -> Result<(VerifiedHeader, Option<RollupBlock>), FileError> {
        let answer = v1::GetBlockResponse::decode(bytes)?;
        let header = answer.header.as_ref().ok_or(FileError::NoHeader)?;
        let header = self.verify_header(header)?;
        let block = self.verify_rollup(&header, rollup, &answer.entries)?;
        Ok((header, block))
    }

    /// Checks a saved `GetInclusionProofResponse`.
    ///
    /// # Errors
    /// See [`FileError`].
    pub fn verify_inclusion_bytes(
        &self,
        bytes: &[u8],
        tx_id: TxId,
    ) -> Result<VerifiedInclusion, FileError> {
        let answer = v1::GetInclusionProofResponse::decode(bytes)?;
        Ok(self.verify_inclusion(&answer, tx_id)?)
    }

    /// Checks a saved `Receipt`.
    ///
    /// # Errors
    /// See [`FileError`].
    pub fn verify_receipt_bytes(
        &self,
        bytes: &[u8],
        tx_id: TxId,
    ) -> Result<VerifiedReceipt, FileError> {
        let receipt = v1::Receipt::decode(bytes)?;
        Ok(self.verify_receipt(&receipt, tx_id)?)
    }
}
