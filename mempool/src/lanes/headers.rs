//! Headers that were asked for, and headers that others ask for.

use super::lane::Lane;
use super::{LaneFault, LaneOutput, Lanes};
use squad_primitives::message::{HEADERS_PER_PAGE, LaneMessage};
use squad_primitives::{BatchSeq, OperatorId, Poa, SignedHeader, Time, Tip};

impl Lanes {
    /// Headers arrived, with a proof for their tip.
    pub(super) fn on_headers(
        &mut self,
        now: Time,
        from: OperatorId,
        owner: OperatorId,
        headers: Vec<SignedHeader>,
        poa: Option<Poa>,
        out: &mut Vec<LaneOutput>,
    ) {
        let asked = self.lanes.get(&owner).is_some_and(|lane| {
            let mut targets = lane.targets.iter();
            targets.any(|target| target.ask.asked.contains(&from))
        });
        // Not asked, or asked so long ago that somebody else has answered.
        if !asked {
            return;
        }
        let mut previous: Option<Tip> = None;
        let mut new = 0_usize;
        let mut links = true;
        for signed in headers.into_iter().take(HEADERS_PER_PAGE) {
            let tip = signed.header.tip(&self.config.network);
            let follows = previous.is_none_or(|previous| {
                tip.seq == previous.seq.next() && signed.header.parent == previous.digest
            });
            if tip.lane != owner || !follows {
                out.push(LaneOutput::Fault {
                    peer: from,
                    fault: LaneFault::Headers,
                });
                break;
            }
            if previous.is_none() {
                links = self.links(&signed);
            }
            previous = Some(tip);
            let known = |lane: &Lane| lane.entry(&tip).is_some();
            if self.lanes.get(&owner).is_some_and(known) {
                continue;
            }
            if !self.keep_answer(now, from, signed, tip, out) {
                break;
            }
            new += 1;
        }
        self.after_headers(owner, from, new > 0, links, now);
        if let Some(poa) = poa {
            self.on_poa(now, from, poa, out);
        }
        self.advance_ack(now, owner, out);
        self.collect(now, owner, out);
        self.report_ready(out);
    }

    fn keep_answer(
        &mut self,
        now: Time,
        from: OperatorId,
        signed: SignedHeader,
        tip: Tip,
        out: &mut Vec<LaneOutput>,
    ) -> bool {
        let in_range = |lane: &Lane| lane.in_range(tip.seq, &self.config);
        if !self.lanes.get(&tip.lane).is_some_and(in_range) {
            return false;
        }
        if !self.is_signed(&signed) {
            out.push(LaneOutput::Fault {
                peer: from,
                fault: LaneFault::HeaderSignature,
            });
            return false;
        }
        self.insert_header(now, signed, tip, true, out)
    }

    /// Whether the first header of an answer follows something known.
    fn links(&self, first: &SignedHeader) -> bool {
        let header = &first.header;
        self.lanes.get(&header.lane).is_some_and(|lane| {
            let below = header.seq.prev();
            below == BatchSeq::ZERO
                || (below == lane.base.seq && header.parent == lane.base.digest)
                || lane.entries.contains_key(&(below, header.parent))
        })
    }

    /// An answer with something new leads to the next request at once, to the same peer; one without
    /// leaves the turn to others, if it comes from the peer that was asked last. What else a peer says
    /// must not use up the turns of those who are still to answer.
    fn after_headers(
        &mut self,
        owner: OperatorId,
        from: OperatorId,
        progress: bool,
        links: bool,
        now: Time,
    ) {
        let Some(lane) = self.lanes.get_mut(&owner) else {
            return;
        };
        for target in &mut lane.targets {
            if target.ask.asked.contains(&from) {
                target.from_base = !links;
                if progress || target.ask.waits_for(from) {
                    target.ask.next_at = now;
                }
                if progress {
                    target.ask.asked.retain(|peer| *peer != from);
                    target.source = Some(from);
                }
            }
        }
    }

    /// A peer asks for headers. Those that are forgotten here are served from storage; an empty answer
    /// sends it to somebody else, and so does none, once its allowance is used up.
    pub(super) fn on_headers_request(
        &mut self,
        now: Time,
        from: OperatorId,
        after: BatchSeq,
        tip: Tip,
        out: &mut Vec<LaneOutput>,
    ) {
        if !self.lanes.contains_key(&tip.lane) {
            return out.push(LaneOutput::Fault {
                peer: from,
                fault: LaneFault::UnknownLane,
            });
        }
        if tip.seq <= after {
            return out.push(LaneOutput::Fault {
                peer: from,
                fault: LaneFault::Headers,
            });
        }
        if !self.may_read(now, from, tip.seq.0 - after.0) {
            return;
        }
        let Some(lane) = self.lanes.get(&tip.lane) else {
            return;
        };
        let on_branch = tip.seq <= lane.base.seq || lane.descends(&tip, &lane.base);
        if on_branch && after < lane.base.seq {
            return out.push(LaneOutput::ServeHeaders {
                to: from,
                after,
                tip,
            });
        }
        let mut headers = Vec::new();
        let mut at = tip;
        while at.seq > after.max(lane.base.seq)
            && let Some(entry) = lane.entry(&at)
        {
            headers.push(entry.signed);
            at.seq = at.seq.prev();
            at.digest = entry.signed.header.parent;
        }
        headers.reverse();
        headers.truncate(HEADERS_PER_PAGE);
        // Only what was verified is passed on: nobody is blamed for another's forgery.
        let valid = self.verify_proof(tip.lane, &(tip.seq, tip.digest));
        let proof = self
            .lanes
            .get(&tip.lane)
            .and_then(|lane| lane.proofs.get(&(tip.seq, tip.digest)))
            .filter(|_| valid);
        out.push(LaneOutput::Send {
            to: from,
            message: LaneMessage::Headers {
                lane: tip.lane,
                headers,
                poa: proof.map(|proof| Box::new(proof.poa.clone())),
            },
        });
    }
}
