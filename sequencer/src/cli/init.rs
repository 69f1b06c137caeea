//! `squad init`

use super::args::{GlobalArgs, read_genesis};
use super::exit::{Code, Failure, OrExit as _, Outcome};
use super::output;
use crate::config::{self, Config};
use crate::keys::{self, KdfCost};
use clap::Args;
use serde_json::json;
use squad_primitives::Signer as _;
use std::fs::OpenOptions;
use std::io::Write as _;
use std::path::{Path, PathBuf};

/// `squad init`
#[derive(Debug, Args)]
pub(crate) struct InitArgs {
    /// Genesis of the network to join; can be copied to config/genesis.json later
    #[arg(long, value_name = "FILE")]
    genesis: Option<PathBuf>,
    /// Also make an identity key and a finality key
    #[arg(long)]
    with_keys: bool,
    /// Work per password guess, as scrypt:18 or pbkdf2:262144
    #[arg(long, value_name = "COST", default_value_t, requires = "with_keys")]
    kdf_cost: KdfCost,
}

/// Makes what is missing. Existing files are refused, never overwritten.
pub(crate) fn run(global: &GlobalArgs, args: InitArgs) -> Outcome {
    let home = global.home()?;
    let genesis = args.genesis.as_deref().map(read_genesis).transpose()?;
    if let Some(genesis) = &genesis {
        global.check_network(&genesis.network_id())?;
    }
    let config = Config::default();
    let identity_file = home.resolve(&config.keys.identity);
    let finality_file = home.resolve(&config.keys.finality);
    let wanted = [
        (true, home.config_file()),
        (genesis.is_some(), home.genesis_file()),
        (args.with_keys, identity_file.clone()),
        (args.with_keys, finality_file.clone()),
    ];
    for (_, path) in wanted.iter().filter(|(wanted, _)| *wanted) {
        if path.exists() {
            return Err(Failure::new(
                Code::InUse,
                format!("{} exists already; nothing was changed", path.display()),
            ));
        }
    }

    let mut made = vec![home.config_file()];
    create_file(&home.config_file(), config::sample().as_bytes())?;
    if let Some(genesis) = &genesis {
        create_file(&home.genesis_file(), genesis.to_canonical_json().as_bytes())?;
        made.push(home.genesis_file());
    }
    let mut keys_made = None;
    if args.with_keys {
        let password = global
            .password_without_config()
            .read_new()
            .map_err(keys::KeyError::from)?;
        let key = keys::generate_identity()?;
        keys::create_identity(&identity_file, &key, &password, args.kdf_cost)?;
        made.push(identity_file);
        let finality = keys::generate_finality()?;
        keys::create_finality(&finality_file, &finality, &password, args.kdf_cost)?;
        made.push(finality_file);
        keys_made = Some((
            key.public_key(),
            keys::finality_entry(&finality, &key.public_key()),
        ));
    }

    let network_id = genesis.map(|genesis| genesis.network_id());
    let mut text: String = made
        .iter()
        .map(|path| format!("made {}\n", path.display()))
        .collect();
    if let Some(id) = network_id {
        text.push_str(&format!("network id {id}\n"));
    }
    if let Some((key, finality)) = &keys_made {
        text.push_str(&format!(
            "identity {key}\nfinality key {}\npossession {}\n",
            finality.key, finality.possession
        ));
    }
    output::print(
        global.format,
        &text,
        &json!({
            "home": home.root(),
            "made": made,
            "network_id": network_id,
            "identity": keys_made.as_ref().map(|(key, _)| key),
            "finality": keys_made.as_ref().map(|(_, finality)| finality),
        }),
    )
}

/// Writes a new file, with its directory.
pub(crate) fn create_file(path: &Path, content: &[u8]) -> Outcome {
    let create = || {
        if let Some(parent) = path.parent() {
            std::fs::create_dir_all(parent)?;
        }
        let mut file = OpenOptions::new().write(true).create_new(true).open(path)?;
        file.write_all(content)?;
        file.sync_all()
    };
    create()
        .or_exit(Code::Other)
        .map_err(|failure| failure.context(format!("cannot make {}", path.display())))
}
