//! `squad config`

use super::args::{ConfigArgs, GlobalArgs, read_genesis};
use super::exit::{Code, OrExit as _, Outcome, problems};
use super::output;
use crate::config::{Loaded, SECTIONS, sample};
use clap::{Args, Subcommand};
use serde_json::json;
use std::collections::BTreeMap;
use toml::Table;

/// Show and check the configuration
#[derive(Debug, Subcommand)]
pub(crate) enum ConfigCommand {
    /// Print the effective settings
    Dump(DumpArgs),
    /// Check configuration and genesis together; changes nothing
    Check(CheckArgs),
    /// Print a commented file with all defaults
    Sample,
}

/// `squad config dump`
#[derive(Debug, Args)]
pub(crate) struct DumpArgs {
    /// Add the origin of each value
    #[arg(long)]
    origin: bool,
    #[command(flatten)]
    settings: ConfigArgs,
}

/// `squad config check`
#[derive(Debug, Args)]
pub(crate) struct CheckArgs {
    #[command(flatten)]
    settings: ConfigArgs,
}

/// Runs a verb.
pub(crate) fn run(global: &GlobalArgs, command: &ConfigCommand) -> Outcome {
    match command {
        ConfigCommand::Dump(args) => dump(global, args),
        ConfigCommand::Check(args) => check(global, args),
        ConfigCommand::Sample => output::write(&sample()),
    }
}

fn check(global: &GlobalArgs, args: &CheckArgs) -> Outcome {
    let home = global.home()?;
    let loaded = args.settings.load(global, &home)?;
    let genesis_file = home.genesis_file();
    let genesis = match genesis_file.exists() {
        true => Some(read_genesis(&genesis_file)?),
        false => None,
    };
    loaded
        .config
        .validate(genesis.as_ref())
        .map_err(|list| problems("configuration", &list))?;
    let network = genesis.as_ref().map(|genesis| genesis.network_id());
    let against = match &network {
        Some(id) => format!("against the genesis of network {id}"),
        None => format!(
            "without a genesis ({} does not exist)",
            genesis_file.display()
        ),
    };
    output::print(
        global.format,
        &format!("the configuration is valid, checked {against}"),
        &json!({"valid": true, "network_id": network}),
    )
}

fn dump(global: &GlobalArgs, args: &DumpArgs) -> Outcome {
    let home = global.home()?;
    let loaded = args.settings.load(global, &home)?;
    let values = Table::try_from(&loaded.config).or_exit(Code::Other)?;
    if args.origin {
        output::print(
            global.format,
            &with_origins(&loaded, &values),
            &origins_json(&loaded, &values),
        )
    } else {
        let text = toml::to_string(&loaded.config).or_exit(Code::Other)?;
        output::print(global.format, &text, &loaded.config)
    }
}

fn with_origins(loaded: &Loaded, values: &Table) -> String {
    let mut out = String::new();
    for section in SECTIONS {
        out.push_str(&format!("[{}]\n", section.name));
        for setting in section.settings {
            let path = format!("{}.{}", section.name, setting.key);
            let value = &values[section.name][setting.key];
            let line = format!("{} = {value}", setting.key);
            out.push_str(&format!("{line:<48} # {}\n", loaded.origin(&path)));
        }
        out.push('\n');
    }
    out
}

fn origins_json(loaded: &Loaded, values: &Table) -> BTreeMap<String, serde_json::Value> {
    let mut map = BTreeMap::new();
    for section in SECTIONS {
        for setting in section.settings {
            let path = format!("{}.{}", section.name, setting.key);
            let entry = json!({
                "value": values[section.name][setting.key],
                "origin": loaded.origin(&path).to_string(),
            });
            map.insert(path, entry);
        }
    }
    map
}
