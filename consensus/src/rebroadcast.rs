//! Saying again what may have been lost (rule 8).
//!
//! Every `rebroadcast` while there is reason: own messages of a view that lasts longer than that, own
//! commit votes whose block isn't committed, and certificates for peers that have not been seen in the
//! view that was current one interval earlier. A replica that left the committee still tells who asks
//! how its last epoch ended. An idle network has no reason.

use crate::Output;
use crate::context::Context;
use crate::core::Core;
use squad_primitives::ViewId;
use squad_primitives::message::ConsensusMessage;

impl Core {
    fn has_reason_to_repeat(&self) -> bool {
        !self.own.current.is_empty()
            || !self.own.commit_votes.is_empty()
            || self.pacemaker.timer.is_some()
            || self.pacemaker.prodded
            || self.peers.any_lacks_commit()
    }

    pub(crate) fn run_rebroadcast(&mut self, cx: &mut Context<'_>) {
        if !self.has_reason_to_repeat() {
            self.pacemaker.tick = None;
            return;
        }
        let first = cx.now.time.after(self.config.rebroadcast);
        let tick = match self.pacemaker.tick {
            Some(tick) => tick,
            None => {
                self.note_tick();
                first
            }
        };
        self.pacemaker.tick = Some(tick);
        if !cx.due(tick) {
            return;
        }
        self.pacemaker.tick = Some(first);
        cx.wake(first);
        if self.me.is_some() {
            self.repeat_own(cx);
            self.share_tips(cx);
            self.help_laggards(cx);
        }
        self.help_left_behind(cx);
        self.note_tick();
    }

    fn note_tick(&mut self) {
        self.pacemaker.tick_at = self.at;
        self.pacemaker.root_before = self.pacemaker.tick_root;
        self.pacemaker.tick_root = self.root_view();
        self.pacemaker.prodded = false;
        self.peers.refill();
    }

    fn repeat_own(&self, cx: &mut Context<'_>) {
        let now = cx.now.time;
        let durable = self.own.durable;
        if now >= self.pacemaker.entered.after(self.config.rebroadcast) {
            let messages = self.own.current.iter().filter(|(id, _)| *id <= durable);
            cx.out
                .extend(messages.map(|(_, message)| Output::Broadcast {
                    message: message.clone(),
                    after: None,
                }));
        }
        for own in self.own.commit_votes.values() {
            if own.id <= durable && now >= own.sent.after(self.config.rebroadcast) {
                cx.out.push(Output::Broadcast {
                    message: ConsensusMessage::Vote(own.vote.clone()),
                    after: None,
                });
            }
        }
    }

    /// Work that started the timer here must be known to those without whom it can't end.
    fn share_tips(&self, cx: &mut Context<'_>) {
        let Some(started) = self.pacemaker.timer else {
            return;
        };
        if !self.pacemaker.by_lanes || cx.now.time < started.after(self.config.rebroadcast) {
            return;
        }
        let mut certified = self.certificates.certified();
        let above = certified
            .find_map(|certificate| self.tree.cut(&certificate.statement.block))
            .unwrap_or(&self.tree.root().cut);
        cx.out.push(Output::ShareTips {
            above: above.clone(),
        });
    }

    /// How the previous epoch ended, for those who still speak in it, unless both are members of this
    /// one (`help_laggards`). The only one who knows may be one that has left.
    fn help_left_behind(&mut self, cx: &mut Context<'_>) {
        let left_behind = self.peers.take_left_behind();
        let (Some(_), Some(proof)) = (&self.identity, &self.epoch_proof) else {
            return;
        };
        for peer in left_behind {
            if self.me.is_none() || self.judge.committee.index(peer).is_none() {
                let message = ConsensusMessage::Certificate(Box::new(proof.clone()));
                cx.send(peer, message);
            }
        }
    }

    /// Certificates for peers in older views, one answer per peer and interval.
    fn help_laggards(&mut self, cx: &mut Context<'_>) {
        let lasting = self.pacemaker.tick_at;
        let members: Vec<_> = self.judge.committee.members().to_vec();
        for member in members {
            let peer = member.operator;
            if Some(peer) == self.me {
                continue;
            }
            let lacks_commit = self.peers.take_lacks_commit(peer);
            let seen = self.peers.seen(peer);
            if seen < lasting {
                let after = ViewId::new(seen.epoch, seen.view.prev());
                let up_to = if seen.epoch == self.at.epoch {
                    self.at
                } else {
                    seen
                };
                let page = self.page(after, up_to);
                if !page.is_empty() {
                    cx.send(peer, ConsensusMessage::Certificates(page));
                }
            } else if let (true, Some(proof)) = (lacks_commit, &self.root_proof) {
                let message = ConsensusMessage::Certificate(Box::new(proof.clone()));
                cx.send(peer, message);
            }
        }
    }
}
