//! Which crate may use which.
//!
//! ```text
//! primitives ──▶ proto ──▶ mempool  consensus  ledger  vital  mach        pure
//!                               │
//!                               ├──▶ storage   (RocksDB behind its feature)
//!                               ├──▶ network
//!                               ├──▶ simulator (never RocksDB)
//!                               │    └──▶ model (the same, under a model checker)
//!                               ├──▶ client ──▶ loadtest
//!                               └──▶ sequencer (wires everything)
//!                                    └──▶ torture (real processes under faults; speaks as a broken operator)
//! benches: may use any, nothing uses it.   contracts: tests with mach.   xtask: outside.
//! fuzz: uses nothing; any crate may use it in its tests.
//! ```
//!
//! An arrow points from the used to the user. Dev-dependencies follow the same arrows, and one more: the
//! tests of `sequencer` put load on real operators with `loadtest`. What a crate pulls in from the
//! registry is looked at crate by crate: a workspace build merges features and would blame, or excuse,
//! the wrong one.

use std::collections::{BTreeMap, BTreeSet};

use anyhow::{Context, Result, bail};
use serde_json::Value;

use crate::cargo;

const PURE: &[&str] = &[
    "primitives",
    "proto",
    "mempool",
    "consensus",
    "ledger",
    "vital",
    "mach",
];

/// Crates that would bring a runtime, a socket or C++ under a pure crate.
const IMPURE: &[&str] = &["tokio", "tonic", "quinn", "libp2p", "librocksdb-sys"];

/// Crates outside the pure ones that must build without C++.
const WITHOUT_ROCKSDB: &[&str] = &["network", "simulator", "model", "client", "loadtest"];

/// Workspace crates that `user` may depend on, by folder name; `None` for a crate we do not know.
fn allowed(user: &str) -> Option<Vec<&'static str>> {
    let pure = |extra: &[&'static str]| PURE.iter().chain(extra).copied().collect();
    Some(match user {
        "primitives" | "fuzz" | "xtask" => vec![],
        "proto" => vec!["primitives"],
        "mempool" | "ledger" | "vital" | "mach" => vec!["primitives", "proto"],
        // The core asks the lanes directly.
        "consensus" => vec!["primitives", "proto", "mempool"],
        // Only tests: certificates for the Solidity verifier.
        "contracts" => vec!["primitives", "mach"],
        "storage" | "network" | "client" => pure(&[]),
        "simulator" => pure(&["storage", "network"]),
        "model" => pure(&["simulator"]),
        "loadtest" => vec!["primitives", "proto", "client"],
        "sequencer" => pure(&["storage", "network", "client"]),
        "torture" => pure(&["network", "client", "sequencer"]),
        "benches" => pure(&[
            "storage",
            "network",
            "simulator",
            "client",
            "loadtest",
            "sequencer",
        ]),
        _ => return None,
    })
}

/// What the tests of `user` may depend on besides.
fn allowed_in_tests(user: &str) -> &'static [&'static str] {
    match user {
        "sequencer" => &["loadtest", "fuzz"],
        _ => &["fuzz"],
    }
}

/// Checks the workspace around the current directory.
///
/// # Errors
/// When an arrow or a registry dependency is not allowed; the message lists all of them.
pub(crate) fn run() -> Result<()> {
    let metadata = cargo::output(&["metadata", "--no-deps", "--locked", "--format-version", "1"])?;
    let workspace =
        parse_workspace(&serde_json::from_str(&metadata).context("cargo metadata is not JSON")?)?;
    let mut problems = arrow_problems(&workspace);
    for folder in workspace.keys() {
        problems.extend(registry_problems(folder, &registry_crates(folder)?));
    }
    if problems.is_empty() {
        return Ok(());
    }
    bail!("forbidden dependencies:\n  {}", problems.join("\n  "))
}

/// Folder of each workspace crate → what it depends on in the workspace.
type Workspace = BTreeMap<String, BTreeSet<Arrow>>;

/// A dependency on a workspace crate.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
struct Arrow {
    /// Folder of the used crate.
    used: String,
    /// Whether only tests use it.
    dev: bool,
}

fn folder_of(package: &str) -> &str {
    package.strip_prefix("squad-").unwrap_or(package)
}

fn parse_workspace(metadata: &Value) -> Result<Workspace> {
    let packages = metadata["packages"]
        .as_array()
        .context("cargo metadata has no packages")?;
    packages
        .iter()
        .map(|package| {
            let name = package["name"].as_str().context("package has no name")?;
            let dependencies = package["dependencies"]
                .as_array()
                .context("package has no dependencies")?;
            let local = dependencies
                .iter()
                .filter(|dependency| dependency["path"].is_string())
                .filter_map(|dependency| {
                    Some(Arrow {
                        used: folder_of(dependency["name"].as_str()?).to_owned(),
                        dev: dependency["kind"] == "dev",
                    })
                })
                .collect();
            Ok((folder_of(name).to_owned(), local))
        })
        .collect()
}

fn arrow_problems(workspace: &Workspace) -> Vec<String> {
    let mut problems = Vec::new();
    for (user, dependencies) in workspace {
        let Some(allowed) = allowed(user) else {
            problems.push(format!("crate `{user}` has no place in the graph"));
            continue;
        };
        for Arrow { used, dev } in dependencies {
            let in_tests = *dev && allowed_in_tests(user).contains(&used.as_str());
            if !in_tests && !allowed.contains(&used.as_str()) {
                problems.push(format!("`{user}` must not use `{used}`"));
            }
        }
    }
    problems
}

/// Names of all crates that the crate in `folder` pulls in when it is built alone.
fn registry_crates(folder: &str) -> Result<BTreeSet<String>> {
    let package = if folder == "xtask" {
        folder.to_owned()
    } else {
        format!("squad-{folder}")
    };
    let tree = cargo::output(&[
        "tree",
        "--locked",
        "--package",
        &package,
        "--edges",
        "normal,build",
        "--prefix",
        "none",
        "--format",
        "{p}",
    ])?;
    Ok(tree
        .lines()
        .filter_map(|line| line.split_whitespace().next())
        .map(str::to_owned)
        .collect())
}

fn registry_problems(folder: &str, crates: &BTreeSet<String>) -> Vec<String> {
    let mut forbidden: Vec<&str> = Vec::new();
    if PURE.contains(&folder) {
        forbidden.extend(IMPURE);
    } else if WITHOUT_ROCKSDB.contains(&folder) {
        forbidden.push("librocksdb-sys");
    }
    if folder != "benches" {
        forbidden.push("hotstuff_rs");
    }
    forbidden
        .into_iter()
        .filter(|name| crates.contains(*name))
        .map(|name| format!("`{folder}` must not pull in `{name}`"))
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn arrow(used: &str, dev: bool) -> Arrow {
        Arrow {
            used: used.to_owned(),
            dev,
        }
    }

    fn workspace(arrows: &[(&str, &[&str])]) -> Workspace {
        arrows
            .iter()
            .map(|(user, used)| {
                (
                    (*user).to_owned(),
                    used.iter().map(|name| arrow(name, false)).collect(),
                )
            })
            .collect()
    }

    #[test]
    fn arrows_point_from_the_used_to_the_user() {
        let legal = workspace(&[
            ("primitives", &[]),
            ("proto", &["primitives"]),
            ("sequencer", &["consensus", "storage", "client"]),
            ("loadtest", &["client"]),
        ]);
        assert_eq!(arrow_problems(&legal), Vec::<String>::new());

        let illegal = workspace(&[("client", &["sequencer"]), ("loadtest", &["network"])]);
        assert_eq!(
            arrow_problems(&illegal),
            [
                "`client` must not use `sequencer`",
                "`loadtest` must not use `network`"
            ]
        );
    }

    #[test]
    fn only_tests_of_the_node_use_the_load_generator() {
        let mut crates = workspace(&[("sequencer", &[]), ("client", &[])]);
        let mut add =
            |user: &str, arrow: Arrow| crates.entry(user.to_owned()).or_default().insert(arrow);
        add("sequencer", arrow("loadtest", true));
        add("client", arrow("loadtest", true));
        assert_eq!(
            arrow_problems(&crates),
            ["`client` must not use `loadtest`"]
        );
        let normal = workspace(&[("sequencer", &["loadtest"])]);
        assert_eq!(
            arrow_problems(&normal),
            ["`sequencer` must not use `loadtest`"]
        );
    }

    #[test]
    fn a_crate_without_a_place_is_reported() {
        let unknown = workspace(&[("helpers", &[])]);
        assert_eq!(
            arrow_problems(&unknown),
            ["crate `helpers` has no place in the graph"]
        );
    }

    #[test]
    fn pure_crates_pull_in_no_runtime_and_light_crates_no_rocksdb() {
        let crates: BTreeSet<String> = ["tokio", "librocksdb-sys", "bytes"]
            .map(str::to_owned)
            .into();
        assert_eq!(
            registry_problems("consensus", &crates),
            [
                "`consensus` must not pull in `tokio`",
                "`consensus` must not pull in `librocksdb-sys`"
            ]
        );
        assert_eq!(
            registry_problems("client", &crates),
            ["`client` must not pull in `librocksdb-sys`"]
        );
        assert_eq!(
            registry_problems("sequencer", &crates),
            Vec::<String>::new()
        );
    }

    #[test]
    fn metadata_yields_only_the_workspace_arrows() {
        let metadata = serde_json::json!({"packages": [{
            "name": "squad-proto",
            "dependencies": [
                {"name": "squad-primitives", "path": "/anywhere/primitives"},
                {"name": "prost", "path": null},
            ],
        }]});
        let parsed = parse_workspace(&metadata).expect("well-formed metadata");
        assert_eq!(parsed, workspace(&[("proto", &["primitives"])]));
    }
}
