//! Identifiers and numbers with a meaning, as newtypes so that they can't be mixed.

use serde::{Deserialize, Serialize};
use std::fmt;

macro_rules! number {
    ($(#[$doc:meta])* $name:ident, $inner:ty) => {
        $(#[$doc])*
        #[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
        #[serde(transparent)]
        pub struct $name(pub $inner);

        impl $name {
            /// The value zero.
            pub const ZERO: Self = Self(0);

            /// The following value; saturates at the type's maximum.
            #[must_use]
            pub const fn next(self) -> Self {
                Self(self.0.saturating_add(1))
            }

            /// The preceding value; saturates at zero.
            #[must_use]
            pub const fn prev(self) -> Self {
                Self(self.0.saturating_sub(1))
            }
        }

        impl fmt::Display for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                self.0.fmt(f)
            }
        }

        impl From<$inner> for $name {
            fn from(value: $inner) -> Self {
                Self(value)
            }
        }
    };
}

number!(
    /// Position of a block in the chain. Genesis is height 0, the first block has height 1.
    Height, u64
);
number!(
    /// A consensus round inside one epoch. Views restart at 1 in each epoch; compare [`ViewId`]s
    /// across epochs.
    View, u64
);
number!(
    /// A span of blocks with one committee.
    Epoch, u64
);
number!(
    /// Voting power: whole ALT, after the ledger's cap.
    Stake, u64
);
number!(
    /// Number of an operator, given once at registration (genesis operators are numbered from 0)
    /// and never reused. Lanes are keyed by it across epochs.
    OperatorId, u32
);
number!(
    /// Number of a rollup. Rollup 0 is the system rollup.
    RollupId, u64
);
number!(
    /// Position of a batch in its lane. The first batch has number 1; 0 means "nothing yet".
    BatchSeq, u64
);

/// A view together with its epoch, ordered first by epoch.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct ViewId {
    /// Epoch that the view belongs to.
    pub epoch: Epoch,
    /// View inside the epoch.
    pub view: View,
}

impl ViewId {
    /// Joins an epoch and a view.
    #[must_use]
    pub const fn new(epoch: Epoch, view: View) -> Self {
        Self { epoch, view }
    }

    /// The next view of the same epoch.
    #[must_use]
    pub const fn next(self) -> Self {
        Self::new(self.epoch, self.view.next())
    }
}

impl fmt::Display for ViewId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}/{}", self.epoch, self.view)
    }
}
