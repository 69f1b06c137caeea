//! What can be seen of a network, for the invariants.

use crate::node::{OrderedBlock, Packet};
use squad_primitives::{Batch, Certificate, CommittedBlock, Evidence, OperatorId};
use std::sync::Arc;

/// Something that a node did or found.
#[derive(Clone, Debug)]
pub enum Seen {
    /// A block became final.
    Committed(CommittedBlock),
    /// A block was ordered, and its record written.
    Ordered(Arc<OrderedBlock>),
    /// An own batch is durable: its transactions are acknowledged to their clients.
    Accepted(Batch),
    /// Somebody is proven to have contradicted itself.
    Evidence(Evidence),
    /// Somebody is said to have sent what no honest operator sends.
    Accused(OperatorId, &'static str),
    /// Two conflicting blocks are certified.
    Conflict(Box<Certificate>),
    /// A packet left, to one operator or to all.
    Sent(Option<OperatorId>, Packet),
}
