//! The command line.

use crate::mix::Mix;
use crate::schedule::Shape;
use clap::{Args, Parser, Subcommand, ValueEnum};
use std::path::PathBuf;
use std::time::Duration;

/// Open-loop load generator for Squad.
#[derive(Debug, Parser)]
#[command(name = "squad-loadtest", version)]
pub struct Cli {
    /// What to do.
    #[command(subcommand)]
    pub command: Command,
}

/// What the program can do.
#[derive(Debug, Subcommand)]
pub enum Command {
    /// Send one schedule, measure, audit, and write a report.
    Run(RunArgs),
    /// Find the highest rate that the network keeps up with.
    Sweep(SweepArgs),
    /// Audit an earlier run again, for example after all operators were restarted.
    Audit(AuditArgs),
    /// Compare two reports; fails if the second is worse.
    Compare(CompareArgs),
    /// Turn Ethereum blocks in JSON form into a transaction file.
    PrepareMainnet(PrepareArgs),
}

/// Where the operators are.
#[derive(Clone, Debug, Args)]
#[command(next_help_heading = "Network")]
pub struct NetworkArgs {
    /// Genesis of the network: operators of another one are refused.
    #[arg(long)]
    pub genesis: Option<PathBuf>,
    /// gRPC addresses of the operators, separated by commas.
    #[arg(long, value_delimiter = ',', required = true)]
    pub endpoints: Vec<String>,
    /// PEM file with the certificates to trust at https addresses: the servers' own, or their authority's.
    #[arg(long, value_name = "FILE")]
    pub tls_ca: Option<PathBuf>,
}

impl NetworkArgs {
    /// Content of the file with the certificates to trust.
    ///
    /// # Errors
    /// It can't be read.
    pub fn read_tls_ca(&self) -> std::io::Result<Option<Vec<u8>>> {
        self.tls_ca.as_deref().map(std::fs::read).transpose()
    }
}

/// What is sent.
#[derive(Clone, Debug, Args)]
#[command(next_help_heading = "Load")]
pub struct LoadArgs {
    /// Kind of payload.
    #[arg(long, value_enum, default_value = "opaque")]
    pub workload: WorkloadKind,
    /// Bytes per opaque payload, or a mix like 256:70,1024:30.
    #[arg(long, default_value = "512", value_parser = |text: &str| text.parse::<Mix<usize>>())]
    pub size: Mix<usize>,
    /// Transaction file of the `file` workload.
    #[arg(long, required_if_eq("workload", "file"))]
    pub file: Option<PathBuf>,
    /// Rollups, separated by commas.
    #[arg(long, value_delimiter = ',', default_value = "901,7")]
    pub rollups: Vec<u64>,
    /// How unequal the rollups are: the i-th has weight 1 / i^skew.
    #[arg(long, default_value_t = 0.0)]
    pub skew: f64,
    /// Give each transaction to this many operators at once; it must be ordered once all the same.
    #[arg(long, default_value_t = 1)]
    pub duplicate: usize,
    /// Seed of everything random; the default differs from run to run.
    #[arg(long)]
    pub seed: Option<u64>,
    /// Blocks after which a transaction expires, counted from the last block seen.
    #[arg(long, default_value_t = squad_primitives::EXPIRY_BLOCKS_DEFAULT)]
    pub expiry_blocks: u64,
}

/// How it is sent and measured.
#[derive(Clone, Debug, Args)]
#[command(next_help_heading = "Measurement")]
pub struct MeasureArgs {
    /// Connections to each operator.
    #[arg(long, default_value_t = 2)]
    pub connections: usize,
    /// Most unanswered transactions per connection.
    #[arg(long, default_value_t = 8_192)]
    pub window: usize,
    /// Longest wait for what is under way when the schedule ends.
    #[arg(long, default_value = "30s", value_parser = parse_duration)]
    pub drain: Duration,
    /// Process ids of the operators, whose processor time and memory are measured.
    #[arg(long, value_delimiter = ',')]
    pub pids: Vec<u32>,
    /// Description of a local network, for the process ids in it.
    #[arg(long)]
    pub localnet: Option<PathBuf>,
    /// Facts for the report, as name=value; may be given several times.
    #[arg(long, value_parser = parse_note)]
    pub note: Vec<(String, String)>,
    /// Measure also when transactions are final, by the certificates of one operator.
    #[arg(long)]
    pub finality: bool,
    /// Show no progress.
    #[arg(long)]
    pub quiet: bool,
    /// Leave the audit out; such a run is never valid.
    #[arg(long)]
    pub no_audit: bool,
    /// Folder for report.json, report.html, seconds.csv and audit.bin.
    #[arg(long)]
    pub out: Option<PathBuf>,
}

/// Arguments of `run`.
#[derive(Clone, Debug, Args)]
pub struct RunArgs {
    /// Where.
    #[command(flatten)]
    pub network: NetworkArgs,
    /// What.
    #[command(flatten)]
    pub load: LoadArgs,
    /// How.
    #[command(flatten)]
    pub measure: MeasureArgs,
    /// When.
    #[command(flatten)]
    pub schedule: ScheduleArgs,
}

/// When transactions are sent.
#[derive(Clone, Debug, Args)]
#[command(next_help_heading = "Schedule")]
pub struct ScheduleArgs {
    /// Transactions per second.
    #[arg(long, default_value_t = 1_000)]
    pub rate: u64,
    /// Length of the schedule.
    #[arg(long, default_value = "60s", value_parser = parse_duration)]
    pub duration: Duration,
    /// Distances between transactions.
    #[arg(long, value_enum, default_value = "constant")]
    pub arrivals: Arrivals,
    /// Change the rate linearly until it is this.
    #[arg(long, conflicts_with = "steps")]
    pub ramp_to: Option<u64>,
    /// Constant rates one after another, like 1000x10s,5000x10s, in place of rate and duration.
    #[arg(long, value_delimiter = ',', value_parser = parse_step)]
    pub steps: Vec<(u64, Duration)>,
}

/// Distances between transactions.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub enum Arrivals {
    /// Equal.
    Constant,
    /// Exponential, as from many unrelated users.
    Poisson,
}

/// Kind of payload.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub enum WorkloadKind {
    /// Incompressible bytes.
    Opaque,
    /// Signed EIP-1559 transfers.
    Evm,
    /// Raw transactions from a file.
    File,
}

impl ScheduleArgs {
    /// The shape that the arguments ask for.
    #[must_use]
    pub fn shape(&self) -> Shape {
        let (rate, duration) = (self.rate, self.duration);
        match (self.ramp_to, self.steps.is_empty(), self.arrivals) {
            (Some(to), ..) => Shape::Ramp {
                from: rate,
                to,
                duration,
            },
            (None, false, _) => Shape::Steps(self.steps.clone()),
            (None, true, Arrivals::Constant) => Shape::Constant { rate, duration },
            (None, true, Arrivals::Poisson) => Shape::Poisson { rate, duration },
        }
    }
}

/// Arguments of `sweep`.
#[derive(Clone, Debug, Args)]
pub struct SweepArgs {
    /// Where.
    #[command(flatten)]
    pub network: NetworkArgs,
    /// What.
    #[command(flatten)]
    pub load: LoadArgs,
    /// How.
    #[command(flatten)]
    pub measure: MeasureArgs,
    /// How to search.
    #[command(flatten)]
    pub search: SearchArgs,
}

/// How the knee is searched.
#[derive(Clone, Debug, Args)]
#[command(next_help_heading = "Search")]
pub struct SearchArgs {
    /// First rate.
    #[arg(long, default_value_t = 5_000)]
    pub from: u64,
    /// Highest rate that is tried.
    #[arg(long, default_value_t = 400_000)]
    pub ceiling: u64,
    /// Length of one trial.
    #[arg(long, default_value = "20s", value_parser = parse_duration)]
    pub trial: Duration,
    /// Largest 99th percentile that counts as keeping up.
    #[arg(long, default_value = "500ms", value_parser = parse_duration)]
    pub p99_max: Duration,
    /// Runs at 80 % of the knee.
    #[arg(long, default_value_t = 5)]
    pub holds: u32,
    /// Length of each of them.
    #[arg(long, default_value = "90s", value_parser = parse_duration)]
    pub hold: Duration,
    /// Leave out the run at twice the knee.
    #[arg(long)]
    pub no_overload: bool,
}

/// Arguments of `audit`.
#[derive(Clone, Debug, Args)]
pub struct AuditArgs {
    /// Where.
    #[command(flatten)]
    pub network: NetworkArgs,
    /// audit.bin of the run.
    #[arg(long)]
    pub file: PathBuf,
}

/// Arguments of `compare`.
#[derive(Clone, Debug, Args)]
pub struct CompareArgs {
    /// report.json of the run to compare with.
    pub before: PathBuf,
    /// report.json of the run in question.
    pub after: PathBuf,
    /// How much worse a figure may be, in percent.
    #[arg(long, default_value_t = 10.0)]
    pub tolerance: f64,
}

/// Arguments of `prepare-mainnet`.
#[derive(Clone, Debug, Args)]
pub struct PrepareArgs {
    /// Folder of blocks, each a JSON file as eth_getBlockByNumber returns it.
    pub blocks: PathBuf,
    /// Transaction file to write.
    pub out: PathBuf,
}

/// Reads `500ms`, `60s`, `2m` or `1h`.
///
/// # Errors
/// Anything else.
pub fn parse_duration(text: &str) -> Result<Duration, String> {
    let digits = text
        .find(|c: char| !c.is_ascii_digit())
        .unwrap_or(text.len());
    let (number, unit) = text.split_at(digits);
    let scale = match unit {
        "ms" => 1,
        "s" => 1_000,
        "m" => 60_000,
        "h" => 3_600_000,
        _ => return Err("expected a number with the unit ms, s, m or h".into()),
    };
    let number: u64 = number.parse().map_err(|_| "expected a number".to_owned())?;
    let millis = number.checked_mul(scale).ok_or("too long")?;
    Ok(Duration::from_millis(millis))
}

fn parse_step(text: &str) -> Result<(u64, Duration), String> {
    let (rate, duration) = text
        .split_once('x')
        .ok_or("expected rate and duration, like 1000x10s")?;
    let rate = rate.parse().map_err(|_| "expected a rate".to_owned())?;
    Ok((rate, parse_duration(duration)?))
}

fn parse_note(text: &str) -> Result<(String, String), String> {
    let (name, value) = text.split_once('=').ok_or("expected name=value")?;
    Ok((name.into(), value.into()))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn run(args: &str) -> RunArgs {
        let words = format!("squad-loadtest run --endpoints http://a:1,http://b:2 {args}");
        match Cli::parse_from(words.split_whitespace()).command {
            Command::Run(args) => args,
            other => panic!("{other:?}"),
        }
    }

    #[test]
    fn the_schedule_follows_the_flags() {
        let duration = Duration::from_secs(90);
        let shape = |args: &str| run(args).schedule.shape();
        assert_eq!(
            shape("--rate 20000 --duration 90s"),
            Shape::Constant {
                rate: 20_000,
                duration
            }
        );
        assert_eq!(
            shape("--rate 10 --duration 90s --arrivals poisson"),
            Shape::Poisson { rate: 10, duration }
        );
        assert_eq!(
            shape("--rate 10 --ramp-to 50 --duration 90s"),
            Shape::Ramp {
                from: 10,
                to: 50,
                duration
            }
        );
        let steps = vec![
            (1_000, Duration::from_secs(10)),
            (5, Duration::from_millis(1)),
        ];
        assert_eq!(shape("--steps 1000x10s,5x1ms"), Shape::Steps(steps));
    }

    #[test]
    fn durations_need_a_unit() {
        assert_eq!(parse_duration("2m"), Ok(Duration::from_secs(120)));
        for bad in ["60", "s", "1.5s", "-1s", "1d", "99999999999999999999s"] {
            assert!(parse_duration(bad).is_err(), "{bad}");
        }
    }

    #[test]
    fn the_command_line_is_consistent() {
        use clap::CommandFactory;
        Cli::command().debug_assert();
        assert_eq!(run("--rollups 901,7").load.rollups, [901, 7]);
    }
}
