//! Every queue and map of the cores stays within its declared limit.

use crate::node::Node;
use squad_consensus::Core;

/// Limits of one world.
#[derive(Clone, Copy, Debug)]
pub struct Bounds {
    /// Size of the committee.
    pub members: usize,
    /// Window of a lane, in batches.
    pub window_batches: u64,
    /// Most transactions in a pool.
    pub pool_transactions: u64,
}

/// Names of what is counted, what is there, and the limit.
type Row = (&'static str, usize, usize);

impl Bounds {
    /// Checks a node.
    ///
    /// # Errors
    /// Names what is above its limit.
    pub fn check(&self, node: &Node) -> Result<(), String> {
        let core = node.replica().consensus();
        let usage = core.usage();
        let lanes = node.replica().lanes();
        let held = lanes.usage();
        let n = self.members;
        let kept = usize::try_from(Core::VIEWS_KEPT).unwrap_or(usize::MAX);
        let window = usize::try_from(self.window_batches).unwrap_or(usize::MAX);
        // Views since the last committed block: each has at most one block and three certificates.
        let open = usize::try_from(core.open_views()).unwrap_or(usize::MAX);
        let rows: [Row; 12] = [
            ("candidates", usage.candidates, kept),
            ("views with votes", usage.voted_views, kept),
            ("votes", usage.votes, 3 * n * kept),
            ("certificates", usage.certificates, 3 * (open + 2)),
            ("uncommitted blocks", usage.blocks, 2 * (open + kept)),
            ("early messages", usage.early, 8 * n),
            ("peers", usage.peers, 512),
            // Twice the window, four branches deep.
            ("headers", held.headers, n * 8 * window),
            ("proofs", held.proofs, n * 64),
            ("proofs without header", held.orphans, n * n),
            ("targets", held.targets, n * 8),
            ("fetches", held.fetches, n * 16),
        ];
        for (what, count, limit) in rows {
            if count > limit {
                return Err(format!("{what}: {count}, the limit is {limit}"));
            }
        }
        let waiting = node.shell().pool_load().transactions;
        if waiting > self.pool_transactions {
            return Err(format!(
                "pool: {waiting}, the limit is {}",
                self.pool_transactions
            ));
        }
        Ok(())
    }
}
