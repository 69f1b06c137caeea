//! That no block is missing between two.

use super::header::VerifiedHeader;
use squad_primitives::{BlockRef, Cut, Height, NetworkId};

/// The end of a chain of verified blocks.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Chain {
    last: Option<Link>,
}

#[derive(Clone, Debug, PartialEq, Eq)]
struct Link {
    reference: BlockRef,
    height: Height,
    timestamp_ms: u64,
    cut: Cut,
}

/// Why a block does not continue the chain.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum ChainError {
    /// Its height is not the next.
    #[error("chain: height {found} came where {expected} was due")]
    Height {
        /// Height that was due.
        expected: Height,
        /// Height of the block.
        found: Height,
    },
    /// It extends another block.
    #[error("chain: block {0} extends another parent")]
    Parent(Height),
    /// Its timestamp is not above its parent's.
    #[error("chain: timestamp of block {0} is not above its parent's")]
    Timestamp(Height),
    /// The parent's cut that came with it is not the one of the block before.
    #[error("chain: block {0} came with another cut than its parent's")]
    ParentCut(Height),
    /// Its cut takes a lane back.
    #[error("chain: cut of block {0} takes a lane back")]
    CutMovesBack(Height),
}

impl Chain {
    /// Starts before the first block.
    #[must_use]
    pub fn from_genesis(network: NetworkId) -> Self {
        Self {
            last: Some(Link {
                reference: BlockRef::genesis(network),
                height: Height::ZERO,
                timestamp_ms: 0,
                cut: Cut::default(),
            }),
        }
    }

    /// Starts at whichever block comes first: it is final, and what lies before it is not looked at.
    #[must_use]
    pub const fn from_first() -> Self {
        Self { last: None }
    }

    /// Height of the last block; `None` before the first.
    #[must_use]
    pub fn height(&self) -> Option<Height> {
        self.last.as_ref().map(|last| last.height)
    }

    /// Checks that a block follows the last one, and makes it the last.
    ///
    /// # Errors
    /// See [`ChainError`]; the chain is unchanged then.
    pub fn extend(&mut self, header: &VerifiedHeader) -> Result<(), ChainError> {
        let block = header.block();
        let height = block.height;
        if let Some(last) = &self.last {
            let expected = last.height.next();
            if height != expected {
                return Err(ChainError::Height {
                    expected,
                    found: height,
                });
            }
            if block.parent != last.reference {
                return Err(ChainError::Parent(height));
            }
            if block.timestamp_ms <= last.timestamp_ms {
                return Err(ChainError::Timestamp(height));
            }
            if *header.parent_cut() != last.cut {
                return Err(ChainError::ParentCut(height));
            }
        }
        let parent_cut = header.parent_cut().tips();
        if parent_cut
            .iter()
            .any(|tip| block.cut.seq(tip.lane) < tip.seq)
        {
            return Err(ChainError::CutMovesBack(height));
        }
        self.last = Some(Link {
            reference: header.reference(),
            height,
            timestamp_ms: block.timestamp_ms,
            cut: block.cut.clone(),
        });
        Ok(())
    }
}
