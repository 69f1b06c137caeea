//! One run of one engine: a timeline that is the same for all of them.

use crate::args::{Common, Engine, Scenario};
use crate::hotstuff;
use serde::Serialize;
use squad_benches::links::{Delay, Links, Traffic};
use squad_benches::record::{Figures, Log, Recorder, Window, figures, millis, resumed};
use squad_benches::replica::Replica;
use squad_benches::{cpu, threads, virtual_time};
use std::sync::Arc;
use std::thread;
use std::time::Duration;

/// What was measured in one run.
#[derive(Clone, Debug, Serialize)]
pub(crate) struct Outcome {
    pub(crate) engine: Engine,
    /// Before anything fails, all replicas observed.
    pub(crate) steady: Figures,
    /// CPU time of all threads but those that spin, per view and replica.
    pub(crate) cpu_ms_per_view_and_replica: f64,
    /// CPU time of threads that spin, as a share of one core.
    pub(crate) spinning_cores: f64,
    pub(crate) messages_per_commit: f64,
    pub(crate) bytes_per_commit: f64,
    /// From the crash, or from the healing of the partition, to the end; survivors observed.
    pub(crate) after: Option<Figures>,
    /// From then to the first commit at the first, and at the last, observed replica.
    pub(crate) resumed_ms: Option<[Option<f64>; 2]>,
}

/// CPU time and traffic up to some moment.
#[derive(Clone, Copy, Default)]
struct Reading {
    cpu: Duration,
    spinning: Duration,
    traffic: Traffic,
}

/// Replicas that run, in whatever time.
trait Cluster {
    fn run_until(&mut self, end: Duration);
    fn stop(&mut self, replica: usize);
    fn set_group(&mut self, replica: usize, group: usize);
    fn read(&self) -> Reading;
    fn logs(&self) -> Vec<Log>;
}

pub(crate) fn run(scenario: Scenario, common: &Common, engine: Engine) -> Outcome {
    let delay = Delay {
        base: Duration::from_millis(common.delay_ms),
        jitter: Duration::from_millis(common.jitter_ms),
    };
    let interval = Duration::from_millis(common.block_interval_ms);
    let replicas = common.replicas;
    let in_virtual_time = |charge_cpu| {
        virtual_time::World::start(virtual_time::Setup {
            replicas,
            delay,
            block_interval_min: interval,
            charge_cpu,
        })
    };
    match engine {
        Engine::Squad => {
            let start = |index, inbox, links, recorder| {
                let replica = Replica::new(index, replicas, interval);
                threads::Running::start(index, replica, inbox, links, recorder)
            };
            let mut cluster = Real::start(replicas, delay, start, |_| Duration::ZERO);
            timeline(scenario, common, engine, &mut cluster)
        }
        Engine::HotstuffRs => {
            let start = |index, inbox, links, recorder| {
                hotstuff::Running::start(index, replicas, inbox, links, recorder)
            };
            let spinning = hotstuff::Running::spinning;
            let mut cluster = Real::start(replicas, delay, start, spinning);
            timeline(scenario, common, engine, &mut cluster)
        }
        Engine::SquadVirtual => timeline(scenario, common, engine, &mut in_virtual_time(false)),
        Engine::SquadVirtualCpu => timeline(scenario, common, engine, &mut in_virtual_time(true)),
    }
}

fn timeline(
    scenario: Scenario,
    common: &Common,
    engine: Engine,
    cluster: &mut impl Cluster,
) -> Outcome {
    let replicas = common.replicas;
    let steady = Window {
        from: Duration::from_secs(common.warmup_seconds),
        to: Duration::from_secs(common.warmup_seconds + common.seconds),
    };
    cluster.run_until(steady.from);
    let begin = cluster.read();
    cluster.run_until(steady.to);
    let end = cluster.read();
    // Blocks proposed at the end of the window still get their commits.
    let settled = steady.to + Duration::from_secs(1);
    cluster.run_until(settled);
    let mut after = steady;
    let mut observed: Vec<_> = (0..replicas).collect();
    match scenario {
        Scenario::Steady => {}
        Scenario::Crash { after_seconds } => {
            after.from = settled;
            after.to = after.from + Duration::from_secs(after_seconds);
            observed.pop();
            cluster.set_group(replicas - 1, 1);
            cluster.stop(replicas - 1);
            cluster.run_until(after.to);
        }
        Scenario::Partition {
            cut_seconds,
            after_seconds,
        } => {
            after.from = settled + Duration::from_secs(cut_seconds);
            after.to = after.from + Duration::from_secs(after_seconds);
            for replica in 0..replicas {
                cluster.set_group(replica, replica % 2);
            }
            cluster.run_until(after.from);
            for replica in 0..replicas {
                cluster.set_group(replica, 0);
            }
            cluster.run_until(after.to);
        }
    }
    let logs = cluster.logs();
    let all: Vec<_> = (0..replicas).collect();
    let in_steady = figures(&logs, &all, steady);
    let failed = after != steady;
    let traffic = |of: fn(&Traffic) -> u64| (of(&end.traffic) - of(&begin.traffic)) as f64;
    let commits = in_steady.commits.max(1) as f64;
    let cpu = (end.cpu - begin.cpu).saturating_sub(end.spinning - begin.spinning);
    let views_everywhere = in_steady.views.max(1) as f64 * replicas as f64;
    Outcome {
        engine,
        cpu_ms_per_view_and_replica: millis(cpu) / views_everywhere,
        spinning_cores: (end.spinning - begin.spinning).as_secs_f64() / steady.seconds(),
        messages_per_commit: traffic(|traffic| traffic.messages) / commits,
        bytes_per_commit: traffic(|traffic| traffic.bytes) / commits,
        steady: in_steady,
        after: failed.then(|| figures(&logs, &observed, after)),
        resumed_ms: failed
            .then(|| resumed(&logs, &observed, after.from).map(|time| time.map(millis))),
    }
}

/// Replicas in real time.
struct Real<R> {
    /// `None` once stopped.
    running: Vec<Option<R>>,
    links: Links,
    recorder: Arc<Recorder>,
    spinning: fn(&R) -> Duration,
}

impl<R> Real<R> {
    fn start(
        replicas: usize,
        delay: Delay,
        start: impl Fn(
            usize,
            std::sync::mpsc::Receiver<squad_benches::links::Delivery>,
            Links,
            Arc<Recorder>,
        ) -> R,
        spinning: fn(&R) -> Duration,
    ) -> Self {
        let (links, inboxes) = Links::new(replicas, delay);
        let recorder = Arc::new(Recorder::new(replicas));
        let running = inboxes
            .into_iter()
            .enumerate()
            .map(|(index, inbox)| Some(start(index, inbox, links.clone(), recorder.clone())));
        Self {
            running: running.collect(),
            links,
            recorder,
            spinning,
        }
    }
}

impl<R> Cluster for Real<R> {
    fn run_until(&mut self, end: Duration) {
        thread::sleep(end.saturating_sub(self.recorder.now()));
    }

    fn stop(&mut self, replica: usize) {
        self.running[replica] = None;
    }

    fn set_group(&mut self, replica: usize, group: usize) {
        self.links.set_group(replica, group);
    }

    fn read(&self) -> Reading {
        let running = self.running.iter().flatten();
        Reading {
            cpu: cpu::process(),
            spinning: running.map(self.spinning).sum(),
            traffic: self.links.traffic(),
        }
    }

    fn logs(&self) -> Vec<Log> {
        self.recorder.logs()
    }
}

impl Cluster for virtual_time::World {
    fn run_until(&mut self, end: Duration) {
        Self::run_until(self, end);
    }

    fn stop(&mut self, replica: usize) {
        Self::stop(self, replica);
    }

    fn set_group(&mut self, replica: usize, group: usize) {
        Self::set_group(self, replica, group);
    }

    fn read(&self) -> Reading {
        Reading {
            cpu: self.busy(),
            spinning: Duration::ZERO,
            traffic: self.traffic(),
        }
    }

    fn logs(&self) -> Vec<Log> {
        Self::logs(self)
    }
}
