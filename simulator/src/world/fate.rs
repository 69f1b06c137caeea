//! What strikes: crashes, cuts, held links, jumping clocks, lost disks.

use super::World;
use super::event::Event;
use crate::fault::Fault;
use squad_primitives::OperatorId;

impl World {
    /// One stroke, and when the next one comes.
    pub(super) fn strike(&mut self) {
        if !self.stormy {
            return;
        }
        let next = self.streams.fate.between(self.plan.stroke_us);
        self.events.at(self.now + next, Event::Stroke);
        match self.streams.fate.below(8) {
            0 | 1 if self.plan.has(Fault::Crash) => self.crash_some(),
            2 if self.plan.has(Fault::Partition) => self.cut(),
            3 if self.plan.has(Fault::Partition) => self.mend_all(),
            4 if self.plan.has(Fault::Hold) => self.hold(),
            5 if self.plan.has(Fault::Skew) => self.jump(),
            6 if !self.plan.wiped.is_empty() => self.wipe(),
            7 => self.turn_twins(),
            _ => {}
        }
    }

    /// One process stops; now and then several, or all.
    fn crash_some(&mut self) {
        let count = self.slots.len();
        let all = self.streams.fate.percent(4);
        let several = self.streams.fate.percent(15);
        let first = self.streams.fate.index(count);
        for slot in 0..count {
            let hit = slot == first || all || (several && self.streams.fate.percent(50));
            if hit && self.slots[slot].node.is_some() {
                self.coverage.count("crash");
                self.crash(slot, true);
            }
        }
    }

    /// A process is gone with everything that was not durable. It starts again unless told otherwise.
    pub(super) fn crash(&mut self, slot: usize, restart: bool) {
        let part = self.plan.has(Fault::LostSuffix);
        let place = &mut self.slots[slot];
        if place.node.take().is_none() {
            return;
        }
        place.life += 1;
        place.wake_at = None;
        let lost = place.disk.crash(&mut self.streams.disk, part);
        let operator = place.operator;
        self.observer
            .note(self.now, || format!("{operator}/{slot} crashes: {lost:?}"));
        self.coverage.add("lost-write", lost.lost);
        self.coverage.add("kept-unsynced-write", lost.kept);
        self.coverage.add("torn-record", lost.torn);
        for peer in 0..self.slots.len() {
            if peer != slot {
                self.lose(slot, peer);
            }
        }
        if restart {
            let away = self.streams.fate.between(self.plan.away_us);
            self.events.at(self.now + away, Event::Boot { slot });
        }
    }

    /// Cuts links: one node off, two halves, one direction, or a ring that turns.
    fn cut(&mut self) {
        self.coverage.count("partition");
        let count = self.slots.len();
        let mask = self.streams.fate.draw();
        let one = self.streams.fate.index(count);
        let shape = self.streams.fate.below(5);
        let left = |slot: usize| match shape {
            0 | 3 => slot == one,
            1 => mask >> slot & 1 == 1,
            _ => slot < count / 2,
        };
        let one_way = shape >= 3;
        let inwards = mask >> 63 == 1;
        let mut links = Vec::new();
        for a in 0..count {
            for b in 0..count {
                let crosses = left(a) != left(b);
                if a != b && crosses && (!one_way || left(a) == inwards) {
                    links.push((a, b));
                }
            }
        }
        self.observer.note(self.now, || format!("cuts {links:?}"));
        for (a, b) in &links {
            if a < b {
                self.lose(*a, *b);
            }
        }
        self.net.cut(links);
        // Healing in stages, or all at once later.
        if self.streams.fate.percent(50) {
            for _ in 0..3 {
                let at = self.now + self.streams.fate.below(3_000_000);
                self.events.at(at, Event::Mend);
            }
        }
    }

    pub(super) fn mend_one(&mut self) {
        if let Some((a, b)) = self.net.mend_one() {
            self.announce(a, b);
        }
    }

    pub(super) fn mend_all(&mut self) {
        let cut = self.net.mend();
        self.observer
            .note(self.now, || "all links are whole".to_owned());
        for (a, b) in cut {
            self.announce(a, b);
        }
    }

    /// Links from one node hold everything, then let go at once.
    fn hold(&mut self) {
        self.coverage.count("hold");
        let from = self.streams.fate.index(self.slots.len());
        let until = self.now + self.streams.fate.below(2_000_000);
        for to in 0..self.slots.len() {
            if self.streams.fate.percent(60) {
                self.net.hold(from, to, until);
            }
        }
    }

    /// A wall clock jumps.
    fn jump(&mut self) {
        self.coverage.count("clock-jump");
        let slot = self.streams.fate.index(self.slots.len());
        let reach = self.plan.skew_ms;
        let skew = super::slot::SKEW_ZERO_MS + self.streams.fate.below(2 * reach + 1) - reach;
        self.slots[slot].clock.skew_ms = skew;
    }

    /// An operator loses its disk. It starts again from nothing.
    fn wipe(&mut self) {
        let wiped = self.plan.wiped[self.streams.fate.index(self.plan.wiped.len())];
        let operator = OperatorId(u32::try_from(wiped).unwrap_or(u32::MAX));
        for slot in self.homes.get(&operator).cloned().unwrap_or_default() {
            self.coverage.count("wipe");
            self.crash(slot, true);
            self.slots[slot].disk = crate::disk::Disk::default();
        }
    }

    /// Twins hear other peers than before.
    fn turn_twins(&mut self) {
        if self.twin_mask.is_some() {
            self.twin_mask = Some(self.streams.fate.draw());
        }
    }

    /// Faults stop: links whole, weather calm, processes up. Only Byzantine operators go on.
    pub(super) fn calm(&mut self) {
        self.stormy = false;
        self.net.calm();
        self.mend_all();
        for slot in 0..self.slots.len() {
            let place = &mut self.slots[slot];
            let ahead = place.clock.skew_ms.clamp(
                super::slot::SKEW_ZERO_MS - 100,
                super::slot::SKEW_ZERO_MS + 100,
            );
            place.clock.skew_ms = ahead;
            place.slow_us = place.slow_us.min(5_000);
            place.sync_us.1 = place.sync_us.1.min(20_000);
            if place.node.is_none() {
                self.boot(slot);
            }
        }
    }
}
