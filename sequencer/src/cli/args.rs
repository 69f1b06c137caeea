//! Flags that several commands share, one struct per concern.

use super::exit::{Code, Failure, OrExit as _, Outcome, problems};
use crate::config::{self, Config, Loaded, LogFormat, Role, Sources};
use crate::home::Home;
use crate::keys::PasswordSource;
use clap::{Args, ValueEnum};
use squad_primitives::NetworkId;
use squad_primitives::genesis::{Genesis, Problem};
use std::io::ErrorKind;
use std::net::SocketAddr;
use std::path::{Path, PathBuf};

/// Form of a command's output.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub(crate) enum Format {
    /// For people.
    Text,
    /// One JSON value.
    Json,
}

/// Flags of every command.
#[derive(Clone, Debug, Args)]
#[command(next_help_heading = "Global options")]
pub(crate) struct GlobalArgs {
    /// Home directory of the node [default: ~/.squad]
    #[arg(
        long,
        global = true,
        env = "SQUAD_HOME",
        hide_env_values = true,
        value_name = "DIR"
    )]
    home: Option<PathBuf>,

    /// Form of the output
    #[arg(long, global = true, value_enum, default_value_t = Format::Text)]
    pub(crate) format: Format,

    /// Filter of the log, as info,squad_network=debug [setting: log.filter]
    #[arg(long, global = true, value_name = "FILTER")]
    pub(crate) log_filter: Option<String>,

    /// Form of the log [setting: log.format]
    #[arg(long, global = true, value_enum)]
    pub(crate) log_format: Option<LogFormat>,

    /// File with the password of key files
    #[arg(
        long,
        global = true,
        env = "SQUAD_PASSWORD_FILE",
        hide_env_values = true,
        value_name = "FILE"
    )]
    password_file: Option<PathBuf>,

    /// Network id that the genesis, or the node that answers, must have
    #[arg(long, global = true, value_name = "HASH")]
    pub(crate) network_id: Option<NetworkId>,
}

impl GlobalArgs {
    /// The home directory.
    ///
    /// # Errors
    /// If none is given and the user has none.
    pub(crate) fn home(&self) -> Outcome<Home> {
        let root = match &self.home {
            Some(root) => root.clone(),
            None => std::env::home_dir()
                .filter(|home| !home.as_os_str().is_empty())
                .ok_or_else(|| Failure::new(Code::Usage, "no home directory: give --home"))?
                .join(".squad"),
        };
        // Absolute, so that messages and child processes name the same place.
        Ok(Home::new(std::path::absolute(root)?))
    }

    /// Where the password of a key file comes from.
    #[must_use]
    pub(crate) fn password(&self, home: &Home, config: &Config) -> PasswordSource {
        let setting = config.keys.password_file.as_deref();
        PasswordSource::choose(
            self.password_file.clone(),
            setting.map(|path| home.resolve(path)),
        )
    }

    /// The password source of commands that need no configuration.
    #[must_use]
    pub(crate) fn password_without_config(&self) -> PasswordSource {
        PasswordSource::choose(self.password_file.clone(), None)
    }

    /// Refuses another network than the one asked for.
    ///
    /// # Errors
    /// Exit code 10.
    pub(crate) fn check_network(&self, found: &NetworkId) -> Outcome {
        match self.network_id {
            Some(expected) if expected != *found => Err(Failure::new(
                Code::Network,
                format!("network id: found {found}, expected {expected}"),
            )),
            _ => Ok(()),
        }
    }

    fn flags(&self, flags: &mut Flags) {
        flags.add("--log-filter", "log.filter", self.log_filter.as_ref());
        flags.add("--log-format", "log.format", value_name(self.log_format));
        flags.add("--network-id", "node.network_id", self.network_id);
    }
}

/// Settings of a node as flags.
#[derive(Clone, Debug, Default, Args)]
pub(crate) struct ConfigArgs {
    #[command(flatten)]
    node: NodeArgs,
    #[command(flatten)]
    network: NetworkArgs,
    #[command(flatten)]
    api: ApiArgs,
    #[command(flatten)]
    storage: StorageArgs,

    /// Any setting; wins over the file and the environment, may be repeated
    #[arg(long, value_name = "SECTION.KEY=VALUE", value_parser = parse_setting)]
    set: Vec<(String, String)>,
}

#[derive(Clone, Debug, Default, Args)]
#[command(next_help_heading = "Node")]
struct NodeArgs {
    /// What the node does [setting: node.role]
    #[arg(long, value_enum)]
    role: Option<Role>,
    /// Name in the log and in the metric squad_node_info [setting: node.name]
    #[arg(long)]
    name: Option<String>,
}

#[derive(Clone, Debug, Default, Args)]
#[command(next_help_heading = "Network")]
struct NetworkArgs {
    /// Where the data plane listens [setting: network.data_listen]
    #[arg(long, value_name = "IP:PORT")]
    data_listen: Option<SocketAddr>,
    /// Where the control plane listens [setting: network.control_listen]
    #[arg(long, value_name = "MULTIADDR")]
    control_listen: Option<String>,
    /// Multiaddress of a node to start from; may be repeated [setting: network.bootnodes]
    #[arg(long, value_name = "MULTIADDR")]
    bootnode: Vec<String>,
}

#[derive(Clone, Debug, Default, Args)]
#[command(next_help_heading = "APIs")]
struct ApiArgs {
    /// Where the gRPC services listen [setting: grpc.listen]
    #[arg(long, value_name = "IP:PORT")]
    grpc_listen: Option<SocketAddr>,
    /// Where metrics and health listen [setting: http.listen]
    #[arg(long, value_name = "IP:PORT")]
    http_listen: Option<SocketAddr>,
}

#[derive(Clone, Debug, Default, Args)]
#[command(next_help_heading = "Storage")]
struct StorageArgs {
    /// Data directory [setting: storage.path]
    #[arg(long, value_name = "DIR")]
    data_dir: Option<PathBuf>,
}

fn parse_setting(text: &str) -> Result<(String, String), String> {
    let (path, value) = text
        .split_once('=')
        .ok_or_else(|| "expected section.key=value".to_owned())?;
    Ok((path.trim().to_owned(), value.to_owned()))
}

fn value_name<T: ValueEnum>(value: Option<T>) -> Option<String> {
    Some(value?.to_possible_value()?.get_name().to_owned())
}

/// Flag, setting and value, as the configuration takes them.
#[derive(Default)]
struct Flags(Vec<(String, String, String)>);

impl Flags {
    fn add(&mut self, flag: &str, path: &str, value: Option<impl ToString>) {
        if let Some(value) = value {
            self.0
                .push((flag.to_owned(), path.to_owned(), value.to_string()));
        }
    }
}

impl ConfigArgs {
    /// Merges the configuration of `home` with environment and flags.
    ///
    /// # Errors
    /// Exit code 3 with all problems.
    pub(crate) fn load(&self, global: &GlobalArgs, home: &Home) -> Outcome<Loaded> {
        let mut flags = Flags::default();
        global.flags(&mut flags);
        flags.add("--role", "node.role", value_name(self.node.role));
        flags.add("--name", "node.name", self.node.name.as_ref());
        let network = &self.network;
        flags.add("--data-listen", "network.data_listen", network.data_listen);
        flags.add(
            "--control-listen",
            "network.control_listen",
            network.control_listen.as_ref(),
        );
        let bootnodes = Some(network.bootnode.join(",")).filter(|list| !list.is_empty());
        flags.add("--bootnode", "network.bootnodes", bootnodes);
        flags.add("--grpc-listen", "grpc.listen", self.api.grpc_listen);
        flags.add("--http-listen", "http.listen", self.api.http_listen);
        let data_dir = self.storage.data_dir.as_ref();
        flags.add(
            "--data-dir",
            "storage.path",
            data_dir.map(|path| path.display()),
        );
        for (path, value) in &self.set {
            flags.add("--set", path, Some(value));
        }
        let sources = Sources {
            file: read_optional(&home.config_file())?,
            environment: std::env::vars_os()
                .filter_map(|(name, value)| Some((name.into_string().ok()?, value)))
                .map(|(name, value)| (name, value.to_string_lossy().into_owned()))
                .collect(),
            flags: flags.0,
        };
        config::load(&sources).map_err(|list| problems("configuration", &list))
    }
}

fn read_optional(path: &Path) -> Outcome<Option<(PathBuf, String)>> {
    match std::fs::read_to_string(path) {
        Ok(text) => Ok(Some((path.to_owned(), text))),
        Err(error) if error.kind() == ErrorKind::NotFound => Ok(None),
        Err(error) => Err(error)
            .or_exit(Code::Config)
            .map_err(|failure| failure.context(format!("cannot read {}", path.display()))),
    }
}

/// Reads a genesis and checks it, with the proofs of possession of its finality keys.
///
/// # Errors
/// Exit code 3.
pub(crate) fn read_genesis(path: &Path) -> Outcome<Genesis> {
    let genesis = read_genesis_unchecked(path)?;
    let refused = |list: &[Problem]| problems(&format!("genesis {}", path.display()), list);
    genesis.validate().map_err(|list| refused(&list))?;
    squad_mach::genesis::committee(&genesis).map_err(|error| {
        refused(&[Problem {
            field: "operators".to_owned(),
            reason: format!("finality keys: {error}"),
        }])
    })?;
    Ok(genesis)
}

/// Reads a genesis that may still break rules.
///
/// # Errors
/// Exit code 3.
pub(crate) fn read_genesis_unchecked(path: &Path) -> Outcome<Genesis> {
    let bytes = std::fs::read(path)
        .or_exit(Code::Config)
        .map_err(|failure| failure.context(format!("cannot read genesis {}", path.display())))?;
    Genesis::from_json_unchecked(&bytes)
        .map_err(Failure::from)
        .map_err(|failure| failure.context(path.display().to_string()))
}
