//! What each command does. Each returns its exit code, or an error that ended it early.

use crate::{AUDIT_FAILED, FAILED, UNREACHABLE, WRONG_NETWORK};
use anyhow::Context;
use bytes::Bytes;
use squad_client::{Endpoint, TrustedNetwork};
use squad_loadtest::args::{
    AuditArgs, CompareArgs, LoadArgs, MeasureArgs, NetworkArgs, PrepareArgs, RunArgs, SweepArgs,
    WorkloadKind,
};
use squad_loadtest::audit::{self, AuditError, AuditFile, AuditReport, Expected};
use squad_loadtest::mix::Mix;
use squad_loadtest::report::{Load, Report};
use squad_loadtest::run::{CSV_HEADER, Plan, RunError, lock};
use squad_loadtest::schedule::{Schedule, Shape};
use squad_loadtest::sweep::{KneeSearch, Point, SweepReport};
use squad_loadtest::workload::Workload;
use squad_loadtest::{compare, plot, prepare, process, txfile};
use squad_primitives::genesis::Genesis;
use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

/// Exit code of an error, as documented for all Squad programs.
pub(crate) fn exit_code(error: &anyhow::Error) -> u8 {
    match error.downcast_ref::<RunError>() {
        Some(RunError::Unreachable { .. }) => UNREACHABLE,
        Some(RunError::Network { .. }) => WRONG_NETWORK,
        _ => match error.downcast_ref::<AuditError>() {
            Some(AuditError::Unreachable { .. }) => UNREACHABLE,
            _ => FAILED,
        },
    }
}

/// `run`.
pub(crate) async fn run(args: &RunArgs) -> anyhow::Result<u8> {
    let (shape, seed) = (args.schedule.shape(), seed(&args.load));
    let out = args.measure.out.as_deref();
    let report = execute(&args.network, &args.load, &args.measure, &shape, seed, out).await?;
    print!("{}", report.to_text());
    if let Some(out) = out {
        println!("  report: {}", out.join("report.html").display());
    }
    Ok(code(&report))
}

fn code(report: &Report) -> u8 {
    match &report.audit {
        Some(audit) if !audit.is_clean() => AUDIT_FAILED,
        _ if report.valid => 0,
        _ => FAILED,
    }
}

/// Runs a schedule, audits, and writes the files.
async fn execute(
    network: &NetworkArgs,
    load: &LoadArgs,
    measure: &MeasureArgs,
    shape: &Shape,
    seed: u64,
    out: Option<&Path>,
) -> anyhow::Result<Report> {
    let genesis = network.genesis.as_deref().map(read_genesis).transpose()?;
    let mut schedule = Schedule::new(shape, seed)?;
    let workload = workload(load, genesis.as_ref(), seed, schedule.len(), !measure.quiet)?;
    if let Some(limit) = workload.limit() {
        schedule.truncate(limit);
    }
    let plan = Plan {
        endpoints: network.endpoints.clone(),
        tls_ca: network.read_tls_ca().context("--tls-ca")?,
        network: genesis.as_ref().map(Genesis::network_id),
        connections: measure.connections,
        window: measure.window,
        schedule: Arc::new(schedule),
        workload: Arc::new(workload),
        copies: load.duplicate.max(1),
        expiry_blocks: load.expiry_blocks,
        drain: measure.drain,
        pids: pids(measure)?,
        finality: measure.finality,
        progress: !measure.quiet,
    };
    let session = squad_loadtest::run::run(&plan).await?;
    let file = AuditFile {
        network: session.network,
        first_height: session.first_height,
        expected: Expected::new(
            session.network,
            plan.schedule.clone(),
            plan.workload.clone(),
            lock(&session.tracker).sent_transactions(),
        ),
    };
    let audit = match measure.no_audit {
        true => None,
        false => {
            let (endpoints, expected) = (&session.endpoints, &file.expected);
            let trusted = genesis
                .as_ref()
                .map(TrustedNetwork::from_genesis)
                .transpose()?;
            let first = file.first_height;
            let mut report = audit::audit(endpoints, first, expected, trusted.as_ref()).await?;
            audit::check_payloads(endpoints, &plan.workload, expected, &mut report).await?;
            Some(report)
        }
    };
    let described = describe(load, measure, shape, &plan, seed);
    let notes = measure.note.iter().cloned().collect();
    let report = Report::new(&plan, &session, described, notes, audit);
    if let Some(out) = out {
        write_files(out, &report, &file)?;
    }
    Ok(report)
}

fn describe(load: &LoadArgs, measure: &MeasureArgs, shape: &Shape, plan: &Plan, seed: u64) -> Load {
    let kind = clap::ValueEnum::to_possible_value(&load.workload);
    Load {
        workload: kind.map_or_else(String::new, |kind| kind.get_name().into()),
        schedule: format!("{shape:?}"),
        sizes: match load.workload {
            WorkloadKind::Opaque => load.size.to_string(),
            WorkloadKind::Evm | WorkloadKind::File => String::new(),
        },
        rollups: format!("{:?} skew {}", load.rollups, load.skew),
        duration_s: plan.schedule.duration().as_secs_f64(),
        connections: measure.connections,
        window: measure.window,
        copies: plan.copies,
        seed,
    }
}

fn seed(load: &LoadArgs) -> u64 {
    let since = std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH);
    load.seed
        .unwrap_or_else(|| since.map_or(0, |since| since.as_nanos() as u64))
}

fn workload(
    load: &LoadArgs,
    genesis: Option<&Genesis>,
    seed: u64,
    count: usize,
    progress: bool,
) -> anyhow::Result<Workload> {
    let rollups = Mix::zipf(&load.rollups, load.skew).context("rollups")?;
    Ok(match load.workload {
        WorkloadKind::Opaque => Workload::opaque(seed, seed, rollups, load.size.clone()),
        WorkloadKind::Evm => {
            if progress {
                eprintln!("signing {count} transactions");
            }
            let threads = std::thread::available_parallelism().map_or(1, usize::from);
            Workload::evm(seed, rollups, &chain_ids(genesis), count, threads)
        }
        WorkloadKind::File => {
            let path = load.file.as_deref().context("--file is missing")?;
            Workload::prepared(seed, rollups, read_transactions(path)?)
        }
    })
}

fn chain_ids(genesis: Option<&Genesis>) -> BTreeMap<u64, u64> {
    let rollups = genesis.into_iter().flat_map(|genesis| &genesis.rollups);
    rollups
        .filter_map(|rollup| Some((rollup.id.0, rollup.chain_id?)))
        .collect()
}

fn read_transactions(path: &Path) -> anyhow::Result<Vec<Bytes>> {
    let bytes = std::fs::read(path).with_context(|| format!("read {}", path.display()))?;
    txfile::read(&bytes).with_context(|| path.display().to_string())
}

fn read_genesis(path: &Path) -> anyhow::Result<Genesis> {
    let bytes = std::fs::read(path).with_context(|| format!("read {}", path.display()))?;
    Genesis::from_json(&bytes).with_context(|| path.display().to_string())
}

fn pids(measure: &MeasureArgs) -> anyhow::Result<Vec<u32>> {
    let mut pids = measure.pids.clone();
    if let Some(path) = &measure.localnet {
        let text = std::fs::read(path).with_context(|| format!("read {}", path.display()))?;
        let description =
            serde_json::from_slice(&text).with_context(|| path.display().to_string())?;
        pids.extend(process::pids_in(&description));
    }
    Ok(pids)
}

fn write_files(out: &Path, report: &Report, file: &AuditFile) -> anyhow::Result<()> {
    let mut seconds = format!("{CSV_HEADER}\n");
    for row in &report.seconds {
        seconds += &row.to_csv();
        seconds.push('\n');
    }
    write(out, "report.json", serde_json::to_string_pretty(report)?)?;
    write(out, "report.html", plot::run_page(report))?;
    write(out, "seconds.csv", seconds)?;
    write(out, "audit.bin", file.to_bytes())
}

fn write(out: &Path, name: &str, content: impl AsRef<[u8]>) -> anyhow::Result<()> {
    std::fs::create_dir_all(out).with_context(|| format!("create {}", out.display()))?;
    let path = out.join(name);
    std::fs::write(&path, content).with_context(|| format!("write {}", path.display()))
}

/// `sweep`.
pub(crate) async fn sweep(args: &SweepArgs) -> anyhow::Result<u8> {
    let p99_us_max = args.search.p99_max.as_micros() as u64;
    let mut sweep = SweepReport {
        p99_us_max,
        ..SweepReport::default()
    };
    let mut search = KneeSearch::new(args.search.from, args.search.ceiling);
    while let Some(rate) = search.next_rate() {
        let kept_up = trial(args, &mut sweep, "search", rate, args.search.trial).await?;
        search.record(kept_up);
    }
    sweep.knee = search.knee();
    let steady = sweep.knee * 8 / 10;
    for _ in 0..args.search.holds * u32::from(steady > 0) {
        trial(args, &mut sweep, "hold", steady, args.search.hold).await?;
    }
    if !args.search.no_overload && sweep.knee > 0 {
        let double = sweep.knee * 2;
        trial(args, &mut sweep, "overload", double, args.search.trial).await?;
    }
    println!("knee: {} transactions per second", sweep.knee);
    if let Some(out) = &args.measure.out {
        write(out, "sweep.json", serde_json::to_string_pretty(&sweep)?)?;
        write(out, "sweep.html", sweep.to_page())?;
        println!("report: {}", out.join("sweep.html").display());
    }
    Ok(if sweep.knee > 0 { 0 } else { FAILED })
}

/// One run of a sweep; prints its line. Returns whether the network kept up.
async fn trial(
    args: &SweepArgs,
    sweep: &mut SweepReport,
    phase: &str,
    rate: u64,
    duration: Duration,
) -> anyhow::Result<bool> {
    let shape = Shape::Constant { rate, duration };
    let number = sweep.points.len();
    let out: Option<PathBuf> = args
        .measure
        .out
        .as_ref()
        .map(|out| out.join(format!("{number:02}-{phase}-{rate}")));
    // Each run needs payloads of its own, or its transactions would be known already.
    let seed = seed(&args.load).wrapping_add(number as u64);
    let (network, load, measure) = (&args.network, &args.load, &args.measure);
    let report = execute(network, load, measure, &shape, seed, out.as_deref()).await?;
    let point = Point::new(phase, &report, sweep.p99_us_max);
    print!("{}", point.to_text());
    let kept_up = point.kept_up;
    sweep.points.push(point);
    Ok(kept_up)
}

/// `audit`.
pub(crate) async fn audit(args: &AuditArgs) -> anyhow::Result<u8> {
    let bytes =
        std::fs::read(&args.file).with_context(|| format!("read {}", args.file.display()))?;
    let file = AuditFile::from_bytes(&bytes).with_context(|| args.file.display().to_string())?;
    let genesis = args
        .network
        .genesis
        .as_deref()
        .map(read_genesis)
        .transpose()?;
    if let Some(found) = genesis.as_ref().map(Genesis::network_id) {
        let run = file.network;
        anyhow::ensure!(
            found == run,
            "genesis of network {found}, the run was made on {run}"
        );
    }
    let trusted = genesis
        .as_ref()
        .map(TrustedNetwork::from_genesis)
        .transpose()?;
    let ca = args.network.read_tls_ca().context("--tls-ca")?;
    let endpoints: Vec<Endpoint> = args
        .network
        .endpoints
        .iter()
        .map(|uri| Endpoint::with_ca(uri, ca.as_deref()))
        .collect::<Result<_, _>>()?;
    let (first, expected) = (file.first_height, &file.expected);
    let report: AuditReport = audit::audit(&endpoints, first, expected, trusted.as_ref()).await?;
    println!("{}", serde_json::to_string_pretty(&report)?);
    Ok(if report.is_clean() { 0 } else { AUDIT_FAILED })
}

/// `compare`.
pub(crate) fn compare(args: &CompareArgs) -> anyhow::Result<u8> {
    let read = |path: &Path| -> anyhow::Result<Report> {
        let text = std::fs::read(path).with_context(|| format!("read {}", path.display()))?;
        serde_json::from_slice(&text).with_context(|| path.display().to_string())
    };
    let differences = compare::compare(&read(&args.before)?, &read(&args.after)?)?;
    let mut code = 0;
    for difference in differences {
        let worse = difference.worse_by * 100.0 > args.tolerance;
        println!(
            "{:<14} {:>12.2} -> {:>12.2}  {:+.1} %{}",
            difference.name,
            difference.before,
            difference.after,
            (difference.after / difference.before - 1.0) * 100.0,
            if worse { "  WORSE" } else { "" }
        );
        if worse {
            code = FAILED;
        }
    }
    Ok(code)
}

/// `prepare-mainnet`.
pub(crate) fn prepare(args: &PrepareArgs) -> anyhow::Result<u8> {
    let count = prepare::prepare(&args.blocks, &args.out)?;
    println!("{count} transactions, all hashes equal the listed ones");
    Ok(0)
}
