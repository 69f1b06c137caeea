//! When to act: work, the view timer, and how it grows (rules 2 and 5).

use crate::Config;
use crate::context::Context;
use crate::core::Core;
use squad_primitives::message::ConsensusMessage;
use squad_primitives::{Duration, StatementKind, Time, View, ViewId};

/// Timers grow by half each time, up to the configured maximum; more steps than this make no
/// difference for any sensible setting (1.5^32 is above 400,000).
const GROWTH_STEPS_MAX: u32 = 32;

/// Why there is something to do.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Work {
    /// Nothing; the network may be silent.
    None,
    /// A certified tip above the highest certified cut.
    Lanes,
    /// A proposal of this view, a certified block that isn't committed, or the heartbeat.
    Other,
}

/// Times of the current view.
#[derive(Clone, Debug, Default)]
pub(crate) struct Pacemaker {
    pub(crate) entered: Time,
    /// When the view timer began to run; `None` while there is no work.
    pub(crate) timer: Option<Time>,
    /// The timer runs because of certified tips.
    pub(crate) by_lanes: bool,
    timeouts_in_row: u32,
    pub(crate) last_commit: Time,
    pub(crate) last_proposal: Option<Time>,
    /// When the latest certificate of a block was adopted.
    pub(crate) certified_at: Time,
    /// The entry certificate went to this view's leader.
    nudged: bool,
    /// Next retransmission, while there is reason for one.
    pub(crate) tick: Option<Time>,
    /// Current and last committed view at the previous retransmission.
    pub(crate) tick_at: ViewId,
    pub(crate) tick_root: View,
    /// Last committed view at the retransmission before that.
    pub(crate) root_before: View,
    /// A peer was seen in an older view since then.
    pub(crate) prodded: bool,
}

impl Pacemaker {
    pub(crate) const fn on_view_entered(&mut self, now: Time) {
        self.entered = now;
        self.timer = None;
        self.by_lanes = false;
        self.nudged = false;
    }

    /// Timeouts in a row make the timer longer, progress makes it short again. Skipped turns say
    /// nothing about the network.
    pub(crate) const fn on_view_left(&mut self, by: StatementKind, skipped: bool) {
        match by {
            StatementKind::Timeout if skipped => {}
            StatementKind::Timeout => self.timeouts_in_row = self.timeouts_in_row.saturating_add(1),
            StatementKind::Vote | StatementKind::CommitVote => self.timeouts_in_row = 0,
        }
    }

    /// Length of the view timer.
    pub(crate) fn timeout(&self, config: &Config) -> Duration {
        let mut timeout = config.view_timeout;
        // The first timeout is not yet a sign that the timer is too short: a leader may be down.
        for _ in 1..self.timeouts_in_row.min(GROWTH_STEPS_MAX) {
            timeout = timeout.saturating_add(timeout / 2);
        }
        timeout.clamp(config.view_timeout, config.view_timeout_max)
    }
}

impl Core {
    /// Whether there is work, and if not, asks to be stepped when there will be.
    pub(crate) fn work(&self, cx: &mut Context<'_>) -> Work {
        // A refused proposal calls for the timer no less than a good one.
        if self.candidates.contains_key(&self.at.view) || self.state.voted.at == self.at {
            return Work::Other;
        }
        let certified = self.certificates.certified();
        let highest = certified
            .filter_map(|certificate| self.tree.cut(&certificate.statement.block))
            .next()
            .unwrap_or(&self.tree.root().cut);
        if cx.lanes.has_work(highest) {
            return Work::Lanes;
        }
        // A block that was certified a moment ago is as good as a commit: otherwise the leader after
        // each heartbeat would add another one before the commit arrives.
        let heartbeat = self.pacemaker.last_commit.max(self.pacemaker.certified_at);
        if cx.due(heartbeat.after(self.config.heartbeat_interval)) {
            return Work::Other;
        }
        // The commit of a certified block is normally one delay away; only after a while is its
        // absence a reason to propose.
        let grace = self.pacemaker.certified_at.after(self.config.rebroadcast);
        if self.is_content_uncommitted() && cx.due(grace) {
            return Work::Other;
        }
        Work::None
    }

    /// Whether a certified block that isn't committed orders something, or ends the epoch. An empty
    /// block may wait for the next one: otherwise each would call for a successor for ever.
    fn is_content_uncommitted(&self) -> bool {
        let root = self.tree.root();
        let Some(certificate) = self.certificates.certified().next() else {
            return false;
        };
        let hash = certificate.statement.block;
        if hash == root.reference.hash || certificate.statement.at.view <= self.root_view() {
            return false;
        }
        self.tree.get(&hash).is_none_or(|block| {
            block.cut != root.cut || block.height == self.config.epoch_end(self.at.epoch)
        })
    }

    /// Rule 5: leaves a view that doesn't get on.
    pub(crate) fn run_view_timer(&mut self, cx: &mut Context<'_>) {
        if self.voter().is_none() {
            return;
        }
        self.nudge_leader(cx);
        let open = self.state.timed_out < self.at && self.state.commit_voted.at < self.at;
        let timeouts = self.collector.timeout_stake(self.at.view, &self.judge);
        if open && self.judge.committee.is_one_honest(timeouts) {
            return self.cast_timeout(cx);
        }
        let work = self.work(cx);
        if work == Work::None {
            self.pacemaker.timer = None;
            return;
        }
        self.pacemaker.by_lanes = work == Work::Lanes;
        let skips = self.skips_turn();
        let started = *self.pacemaker.timer.get_or_insert(cx.now.time);
        let length = if skips {
            Duration::ZERO
        } else {
            self.pacemaker.timeout(&self.config)
        };
        if open && cx.due(started.after(length)) {
            self.counters.views_skipped += u64::from(skips);
            self.cast_timeout(cx);
        }
    }

    /// The leader of a view gets the certificate that leads into it, unless it shows in time that it
    /// has it already. With all-to-all votes it nearly always has.
    fn nudge_leader(&mut self, cx: &mut Context<'_>) {
        let leader = self.schedule.leader(self.at.view);
        if self.pacemaker.nudged || self.me == Some(leader) || self.peers.seen(leader) >= self.at {
            return;
        }
        let Some(entry) = self.entry_certificate().cloned() else {
            return;
        };
        if cx.due(self.pacemaker.entered.after(self.config.fetch_delay())) {
            self.pacemaker.nudged = true;
            cx.send(leader, ConsensusMessage::Certificate(Box::new(entry)));
        }
    }
}
