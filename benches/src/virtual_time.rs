//! Replicas of `squad-consensus` in virtual time: one thread, any number of replicas.
//!
//! A replica handles one message at a time. Without [`Setup::charge_cpu`] handling takes no time and a
//! run is deterministic: what remains is the protocol's own latency. With it, each step keeps its
//! replica busy for the CPU time that the step took here, as if every replica had a core of its own
//! like this one; messages wait meanwhile, and effects leave at the end.

use crate::cpu;
use crate::links::{Delay, Traffic};
use crate::record::Log;
use crate::replica::{Effect, Replica};
use bytes::Bytes;
use squad_primitives::{Now, Time};
use std::collections::{BTreeMap, VecDeque};
use std::time::Duration;

/// Unix time at which virtual time starts.
const WALL_START_MS: u64 = 1_700_000_000_000;

/// How a world behaves.
#[derive(Clone, Copy, Debug)]
pub struct Setup {
    /// Number of replicas.
    pub replicas: usize,
    /// Delay of every link.
    pub delay: Delay,
    /// Least time between two proposals.
    pub block_interval_min: Duration,
    /// Whether the CPU time of steps passes on the replica's clock.
    pub charge_cpu: bool,
}

#[derive(Debug)]
enum Event {
    Arrive {
        to: usize,
        from: usize,
        bytes: Bytes,
    },
    /// Look whether the replica has something to do.
    Wake { replica: usize },
}

#[derive(Debug)]
struct Host {
    replica: Replica,
    log: Log,
    inbox: VecDeque<(usize, Bytes)>,
    busy_until: Time,
    /// The earliest wake-up that is scheduled.
    alarm: Option<Time>,
    group: usize,
    running: bool,
    busy: Duration,
}

/// The replicas and what is under way between them.
#[derive(Debug)]
pub struct World {
    setup: Setup,
    now: Time,
    hosts: Vec<Host>,
    events: BTreeMap<(Time, u64), Event>,
    sequence: u64,
    traffic: Traffic,
    effects: Vec<Effect>,
}

impl World {
    /// All replicas started, at time zero.
    #[must_use]
    pub fn start(setup: Setup) -> Self {
        let hosts = (0..setup.replicas).map(|index| Host {
            replica: Replica::new(index, setup.replicas, setup.block_interval_min),
            log: Log::default(),
            inbox: VecDeque::new(),
            busy_until: Time::ZERO,
            alarm: None,
            group: 0,
            running: true,
            busy: Duration::ZERO,
        });
        let mut world = Self {
            setup,
            now: Time::ZERO,
            hosts: hosts.collect(),
            events: BTreeMap::new(),
            sequence: 0,
            traffic: Traffic::default(),
            effects: Vec::new(),
        };
        for index in 0..setup.replicas {
            world.step(index, |replica, now, effects| replica.start(now, effects));
        }
        world
    }

    /// Runs up to a time since the start.
    pub fn run_until(&mut self, end: Duration) {
        let end = Time::ZERO.after(end);
        while let Some(first) = self.events.first_entry() {
            if first.key().0 > end {
                break;
            }
            self.now = first.key().0;
            match first.remove() {
                Event::Arrive { to, from, bytes } => self.arrive(to, from, bytes),
                Event::Wake { replica } => self.wake(replica),
            }
        }
        self.now = end;
    }

    /// Stops a replica for good.
    pub fn stop(&mut self, replica: usize) {
        self.hosts[replica].running = false;
        self.hosts[replica].inbox.clear();
    }

    /// Moves a replica to a group; it hears and reaches only replicas of that group.
    pub fn set_group(&mut self, replica: usize, group: usize) {
        self.hosts[replica].group = group;
    }

    /// What happened so far, per replica.
    #[must_use]
    pub fn logs(&self) -> Vec<Log> {
        self.hosts.iter().map(|host| host.log.clone()).collect()
    }

    /// CPU time spent in steps so far; zero unless it is charged.
    #[must_use]
    pub fn busy(&self) -> Duration {
        self.hosts.iter().map(|host| host.busy).sum()
    }

    /// What was sent so far.
    #[must_use]
    pub const fn traffic(&self) -> Traffic {
        self.traffic
    }

    fn schedule(&mut self, time: Time, event: Event) {
        self.sequence += 1;
        self.events.insert((time, self.sequence), event);
    }

    fn arrive(&mut self, to: usize, from: usize, bytes: Bytes) {
        let host = &self.hosts[to];
        if !host.running || host.group != self.hosts[from].group {
            return;
        }
        let host = &mut self.hosts[to];
        host.inbox.push_back((from, bytes));
        let time = host.busy_until.max(self.now);
        self.wake_at(to, time);
    }

    fn wake_at(&mut self, replica: usize, time: Time) {
        let host = &mut self.hosts[replica];
        if host.alarm.is_none_or(|alarm| time < alarm) {
            host.alarm = Some(time);
            self.schedule(time, Event::Wake { replica });
        }
    }

    fn wake(&mut self, index: usize) {
        let host = &mut self.hosts[index];
        if !host.running || host.alarm != Some(self.now) {
            return;
        }
        host.alarm = None;
        if let Some((from, bytes)) = host.inbox.pop_front() {
            self.step(index, |replica, now, effects| {
                replica.receive(now, from, bytes, effects);
            });
        } else {
            self.step(index, |replica, now, effects| replica.tick(now, effects));
        }
    }

    fn step(&mut self, index: usize, run: impl FnOnce(&mut Replica, Now, &mut Vec<Effect>)) {
        let now = Now {
            time: Time(self.now.0 + 1),
            wall_ms: WALL_START_MS + self.now.0 / 1_000,
        };
        let mut effects = std::mem::take(&mut self.effects);
        let host = &mut self.hosts[index];
        let begin = cpu::thread();
        run(&mut host.replica, now, &mut effects);
        if self.setup.charge_cpu {
            let cost = cpu::thread().saturating_sub(begin);
            host.busy += cost;
            host.busy_until = self.now.after(cost);
        } else {
            host.busy_until = self.now;
        }
        let end = host.busy_until;
        for effect in effects.drain(..) {
            self.carry_out(index, end, effect);
        }
        self.effects = effects;
        let host = &self.hosts[index];
        if !host.inbox.is_empty() {
            return self.wake_at(index, end);
        }
        if let Some(deadline) = host.replica.deadline() {
            // Time zero of the core is one microsecond before that of the world.
            self.wake_at(index, Time(deadline.0.saturating_sub(1)).max(end));
        }
    }

    fn carry_out(&mut self, from: usize, at: Time, effect: Effect) {
        let since_start = Duration::from_micros(at.0);
        match effect {
            Effect::Send(to, bytes) => self.send(from, to, at, bytes),
            Effect::Broadcast(bytes) => {
                for to in (0..self.hosts.len()).filter(|to| *to != from) {
                    self.send(from, to, at, bytes.clone());
                }
            }
            Effect::Proposed(view, block) => {
                let log = &mut self.hosts[from].log;
                log.proposals.push((since_start, view, block));
            }
            Effect::Committed(block) => self.hosts[from].log.commits.push((since_start, block)),
        }
    }

    fn send(&mut self, from: usize, to: usize, at: Time, bytes: Bytes) {
        let delay = self.setup.delay.of(self.traffic.messages);
        self.traffic.messages += 1;
        self.traffic.bytes += bytes.len() as u64;
        if self.hosts[from].group == self.hosts[to].group {
            self.schedule(at.after(delay), Event::Arrive { to, from, bytes });
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::record::{Window, figures, resumed};

    fn world() -> World {
        World::start(Setup {
            replicas: 4,
            delay: Delay {
                base: Duration::from_millis(25),
                jitter: Duration::from_millis(2),
            },
            block_interval_min: Duration::ZERO,
            charge_cpu: false,
        })
    }

    #[test]
    fn two_runs_are_equal() {
        let [a, b] = [(); 2].map(|()| {
            let mut world = world();
            world.run_until(Duration::from_secs(2));
            (world.logs(), world.traffic())
        });
        assert_eq!(a.1, b.1);
        for (a, b) in a.0.iter().zip(&b.0) {
            assert_eq!(a.commits, b.commits);
            assert_eq!(a.proposals, b.proposals);
        }
    }

    #[test]
    fn a_block_takes_three_delays_and_a_view_two() {
        let mut world = world();
        world.run_until(Duration::from_secs(5));
        let window = Window {
            from: Duration::from_secs(1),
            to: Duration::from_secs(4),
        };
        let figures = figures(&world.logs(), &[0, 1, 2, 3], window);
        assert!(
            (75.0..81.0).contains(&figures.latency_p50_ms),
            "{figures:?}"
        );
        assert!((18.5..20.5).contains(&figures.commits_per_s), "{figures:?}");
    }

    #[test]
    fn replicas_of_different_groups_do_not_hear_each_other() {
        let mut world = world();
        world.run_until(Duration::from_secs(1));
        let before = [0, 1].map(|replica| world.logs()[replica].commits.len());
        world.set_group(2, 1);
        world.set_group(3, 1);
        // What was under way inside a half still arrives; a commit needs three of four.
        world.run_until(Duration::from_secs(3));
        let cut = Duration::from_millis(1_100);
        assert_eq!(resumed(&world.logs(), &[0, 1, 2, 3], cut), [None, None]);
        assert!(before.iter().all(|commits| *commits > 10));
    }
}
