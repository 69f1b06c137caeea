//! The configuration of a node.
//!
//! A value comes from a flag, else from the environment (`SQUAD_<SECTION>_<KEY>`), else from
//! `config/node.toml`, else from the default. [`load`] keeps the origin of each value, and reports
//! everything that is wrong at once: unknown keys, wrong types, and values against the rules of
//! [`Config::validate`].

mod layers;
mod sample;
pub mod section;
mod sections;
mod units;
mod validate;

pub use layers::{Loaded, Origin, Sources, load};
pub use sample::sample;
pub use sections::{
    ConsensusSection, GrpcSection, HttpSection, KeysSection, LimitsSection, LogFormat, LogSection,
    MachSection, MempoolSection, MetricsSection, NetworkSection, NodeSection, Role, StorageSection,
};
pub use squad_primitives::genesis::Problem;

pub(crate) use units::duration::parse as parse_duration;

use section::SettingDoc;
use serde::{Deserialize, Serialize};

/// All settings of a node.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Config {
    /// The node itself.
    pub node: NodeSection,
    /// Key files.
    pub keys: KeysSection,
    /// Connections to other nodes.
    pub network: NetworkSection,
    /// The gRPC services.
    pub grpc: GrpcSection,
    /// Metrics and health over HTTP.
    pub http: HttpSection,
    /// Limits per client.
    pub limits: LimitsSection,
    /// Admission and batching.
    pub mempool: MempoolSection,
    /// Timers of consensus.
    pub consensus: ConsensusSection,
    /// Certificates of finality.
    pub mach: MachSection,
    /// Data on disk.
    pub storage: StorageSection,
    /// Metrics.
    pub metrics: MetricsSection,
    /// The log.
    pub log: LogSection,
}

/// Name and documentation of a section.
#[derive(Clone, Copy, Debug)]
pub struct SectionDoc {
    /// Name of the TOML table.
    pub name: &'static str,
    /// Sentences about the section.
    pub lines: &'static [&'static str],
    /// Its settings.
    pub settings: &'static [SettingDoc],
}

macro_rules! section_docs {
    ($($name:literal: $section:ident),+ $(,)?) => {
        &[$(SectionDoc {
            name: $name,
            lines: $section::DOC,
            settings: $section::SETTINGS,
        }),+]
    };
}

/// Documentation of all sections, in the order of the file.
pub const SECTIONS: &[SectionDoc] = section_docs![
    "node": NodeSection,
    "keys": KeysSection,
    "network": NetworkSection,
    "grpc": GrpcSection,
    "http": HttpSection,
    "limits": LimitsSection,
    "mempool": MempoolSection,
    "consensus": ConsensusSection,
    "mach": MachSection,
    "storage": StorageSection,
    "metrics": MetricsSection,
    "log": LogSection,
];
