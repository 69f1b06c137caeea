//! Actions in words, for the paths that a report shows.

use crate::act::Act;
use crate::net;
use crate::world::{Action, World};

impl World {
    /// An action in words.
    #[must_use]
    pub fn describe(&self, action: Action) -> String {
        let table = self.read();
        let said = |number: u16| {
            let statement = table.book.statements.get(number);
            let (kind, at, block) = (statement.kind, statement.at, statement.block);
            format!("{kind:?} {at} {block:?}")
        };
        let signers = |mask: u8| {
            let signers = net::operators(mask).map(|operator| operator.to_string());
            signers.collect::<Vec<_>>().join(" ")
        };
        let what = match action.act {
            Act::Proposal(number, _) => {
                let proposal = table.book.proposals.get(number);
                let (at, leader, block) = (proposal.at, proposal.leader, &proposal.block);
                let hash = block.hash(&table.book.network);
                let parent = block.parent.hash;
                format!("gets proposal {at} {hash:?} on {parent:?} of {leader}")
            }
            Act::Votes(number, mask) => format!("gets {} of {}", said(number), signers(mask)),
            Act::Certificate(number, mask) => {
                format!("gets the certificate {} of {}", said(number), signers(mask))
            }
            Act::Synced(number, _) => {
                format!("gets committed {:?}", table.book.synced.get(number).hash)
            }
            other => format!("{other:?}"),
        };
        format!("{} {what}", self.setup.honest[usize::from(action.replica)])
    }
}
