//! The tables of the two databases.

/// One of the two databases of a data directory; each has its own log and its own writer thread.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Database {
    /// Blocks, indexes, everything bulky.
    Main,
    /// Small urgent records that must be durable before a signature leaves the node. Kept apart, so
    /// that a vote never waits behind megabytes.
    Safety,
}

/// A sorted map from bytes to bytes. What keys and values mean is up to the owner of the table; this
/// crate writes only to the last three tables of the main database.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Table {
    /// Height → committed block.
    Blocks,
    /// Height → certificate of finality.
    Certificates,
    /// Block hash → height.
    BlockHashes,
    /// Batch digest → height of the block that ordered it.
    BatchHeights,
    /// (Rollup, number of its block) → height.
    RollupBlocks,
    /// (Rollup, height) → leaf of the rollup tree after this block.
    RollupStates,
    /// Proofs that operators contradicted themselves or a quorum.
    MachEvidence,
    /// State of the lanes.
    Lanes,
    /// Single values: pipeline positions, versions.
    Meta,
    /// Batch digest → place of the body. Written by the body log only.
    BodyIndex,
    /// Number of a sealed body segment → its summary. Written by the body log only.
    BodySegments,
    /// Progress of the transaction index. Written by the index only.
    TxIndexState,
    /// Votes, timeouts, commit votes, proposals, certificates of the consensus core.
    SafetyConsensus,
    /// Acknowledgements, own batch headers and receipts of the lanes.
    SafetyLanes,
    /// What the finality key has signed last.
    SafetyMach,
}

impl Table {
    /// Every table.
    pub const ALL: [Self; 15] = [
        Self::Blocks,
        Self::Certificates,
        Self::BlockHashes,
        Self::BatchHeights,
        Self::RollupBlocks,
        Self::RollupStates,
        Self::MachEvidence,
        Self::Lanes,
        Self::Meta,
        Self::BodyIndex,
        Self::BodySegments,
        Self::TxIndexState,
        Self::SafetyConsensus,
        Self::SafetyLanes,
        Self::SafetyMach,
    ];

    /// The database this table lives in.
    #[must_use]
    pub const fn database(self) -> Database {
        match self {
            Self::SafetyConsensus | Self::SafetyLanes | Self::SafetyMach => Database::Safety,
            Self::Blocks
            | Self::Certificates
            | Self::BlockHashes
            | Self::BatchHeights
            | Self::RollupBlocks
            | Self::RollupStates
            | Self::MachEvidence
            | Self::Lanes
            | Self::Meta
            | Self::BodyIndex
            | Self::BodySegments
            | Self::TxIndexState => Database::Main,
        }
    }

    /// Name on disk; part of the layout.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::Blocks => "blocks",
            Self::Certificates => "certificates",
            Self::BlockHashes => "block_hashes",
            Self::BatchHeights => "batch_heights",
            Self::RollupBlocks => "rollup_blocks",
            Self::RollupStates => "rollup_states",
            Self::MachEvidence => "mach_evidence",
            Self::Lanes => "lanes",
            Self::Meta => "meta",
            Self::BodyIndex => "body_index",
            Self::BodySegments => "body_segments",
            Self::TxIndexState => "tx_index_state",
            Self::SafetyConsensus => "consensus",
            Self::SafetyLanes => "lanes",
            Self::SafetyMach => "mach",
        }
    }
}
