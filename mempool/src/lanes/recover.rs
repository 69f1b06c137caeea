//! Starting, fresh or from what a crash left.

use super::commit::Blocks;
use super::committees::Committees;
use super::lane::{Body, Entry, Lane};
use super::own::Own;
use super::{LaneRecord, Lanes, LanesConfig, PersistId};
use squad_primitives::{
    Committee, Cut, Height, NetworkId, OperatorId, SignedHeader, Signer, Time, Verifier,
};
use std::cmp::Reverse;
use std::collections::{BTreeMap, VecDeque};
use std::sync::Arc;

/// What storage has about lanes.
#[derive(Clone, Debug, Default)]
pub struct Recovered {
    /// Height of the last processed block; 0 on a fresh start.
    pub processed: Height,
    /// Its cut.
    pub cut: Cut,
    /// The stored records.
    pub records: Vec<LaneRecord>,
    /// Headers of all stored batches above the cut, in any order, those of the own lane included.
    /// Lower ones are ignored.
    pub headers: Vec<SignedHeader>,
}

impl Recovered {
    /// What a store holds after a crash. `records` are the stored records; `batches` the stored headers,
    /// each with whether it was written together with the record of its acknowledgement, so that it
    /// stands for that record too. Headers at or below the cut and repetitions are left out.
    #[must_use]
    pub fn from_stored(
        network: &NetworkId,
        processed: Height,
        cut: Cut,
        mut records: Vec<LaneRecord>,
        batches: impl IntoIterator<Item = (SignedHeader, bool)>,
    ) -> Self {
        let mut above = BTreeMap::new();
        for (signed, acknowledged) in batches {
            let tip = signed.header.tip(network);
            if tip.seq <= cut.seq(tip.lane) {
                continue;
            }
            if acknowledged {
                records.push(LaneRecord { acked: tip });
            }
            above.insert(tip, signed);
        }
        // Acknowledgements only ever move up a lane: its highest record is the one that counts.
        records.sort_by_key(|record| (record.acked.lane, Reverse(record.acked.seq)));
        records.dedup_by_key(|record| record.acked.lane);
        Self {
            processed,
            cut,
            records,
            headers: above.into_values().collect(),
        }
    }
}

impl Lanes {
    /// Lanes of a committee, from what storage has. Committed blocks above
    /// [`Recovered::processed`] are then given again ([`LaneInput::Committed`](super::LaneInput)).
    ///
    /// `key` signs acknowledgements; an observer has none.
    #[must_use]
    pub fn recover(
        config: LanesConfig,
        committee: Committee,
        key: Option<Arc<dyn Signer>>,
        verifier: Arc<dyn Verifier>,
        recovered: Recovered,
    ) -> Self {
        let Recovered {
            processed,
            cut,
            records,
            mut headers,
        } = recovered;
        let members = committee.members().iter().map(|member| member.operator);
        let owners = members.chain(cut.tips().iter().map(|tip| tip.lane));
        let mut lanes: BTreeMap<OperatorId, Lane> = owners
            .map(|owner| (owner, Lane::new(owner, cut.tip(owner).copied())))
            .collect();
        headers.sort_by_key(|signed| (signed.header.lane, signed.header.seq));
        for signed in headers {
            let tip = signed.header.tip(&config.network);
            if let Some(lane) = lanes.get_mut(&tip.lane)
                && tip.seq > lane.base.seq
            {
                lane.bytes += u64::from(signed.header.body_bytes);
                let body = Body::Held;
                lane.entries
                    .insert((tip.seq, tip.digest), Entry { signed, body });
                lane.trunk.on_insert(tip.seq, &lane.entries);
            }
        }
        for LaneRecord { acked } in records {
            if let Some(lane) = lanes.get_mut(&acked.lane)
                && acked.seq > lane.acked.seq
            {
                lane.acked = acked;
                lane.recovered = acked.seq;
                // Bodies and records may lie in different files, so the record may be ahead.
                if acked.seq > lane.base.seq {
                    lane.record_ahead = lane.chain(&acked, &lane.base).is_err();
                    if !lane.record_ahead {
                        lane.acked_durable = acked;
                    }
                }
            }
        }
        let own_lane = config.me.and_then(|me| lanes.get(&me));
        let own_tip = own_lane.and_then(|lane| {
            let highest = lane.entries.keys().next_back();
            let tip = highest.map_or(lane.base, |key| lane.tip_of(key));
            (tip.seq.0 > 0).then_some(tip)
        });
        Self {
            committees: Committees::new(committee),
            key,
            verifier,
            lanes,
            writes: VecDeque::new(),
            last_write: PersistId::default(),
            peers: BTreeMap::new(),
            own: Own {
                tip: own_tip,
                ..Own::default()
            },
            leaders: [OperatorId(u32::MAX); 2],
            blocks: Blocks::new(processed, cut),
            awaited: BTreeMap::new(),
            last_commit: Time::ZERO,
            stalled_at: Time::ZERO,
            // The first step certifies what can be certified without a message.
            deadline: Some(Time::ZERO),
            recovering: true,
            config,
        }
    }
}
