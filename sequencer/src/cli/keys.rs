//! `squad keys`

use super::args::{ConfigArgs, GlobalArgs, read_genesis};
use super::exit::{Code, Failure, OrExit as _, Outcome};
use super::output;
use crate::home::Home;
use crate::keys::{self, KdfCost, KeyError};
use clap::{Args, Subcommand};
use serde_json::json;
use squad_primitives::{IdentityKey, PublicKey, Signer as _};
use std::io::Read as _;
use std::path::PathBuf;
use zeroize::Zeroizing;

/// Make and show key files
#[derive(Debug, Subcommand)]
pub(crate) enum KeysCommand {
    /// Make a new identity key
    New(NewArgs),
    /// Encrypt an existing 32-byte seed into a key file
    Import(ImportArgs),
    /// Show what a key file holds; needs no password
    Show(ShowArgs),
    /// Print the public key alone
    ExportPublic(ShowArgs),
}

/// `squad keys new`
#[derive(Debug, Args)]
pub(crate) struct NewArgs {
    #[command(flatten)]
    target: TargetArgs,
}

/// `squad keys import`
#[derive(Debug, Args)]
pub(crate) struct ImportArgs {
    /// File with the seed as 64 hexadecimal digits; - reads standard input
    #[arg(long, value_name = "FILE")]
    seed_file: PathBuf,
    #[command(flatten)]
    target: TargetArgs,
}

#[derive(Debug, Args)]
struct TargetArgs {
    /// Key file to make [setting: keys.identity]
    #[arg(long, value_name = "FILE")]
    out: Option<PathBuf>,
    /// Work per password guess, as scrypt:18 or pbkdf2:262144
    #[arg(long, value_name = "COST", default_value_t)]
    kdf_cost: KdfCost,
}

/// `squad keys show`, `squad keys export-public`
#[derive(Debug, Args)]
pub(crate) struct ShowArgs {
    /// Key file [setting: keys.identity]
    #[arg(long, value_name = "FILE")]
    file: Option<PathBuf>,
}

/// Runs a verb.
pub(crate) fn run(global: &GlobalArgs, command: KeysCommand) -> Outcome {
    let home = global.home()?;
    match command {
        KeysCommand::New(args) => create(global, &home, args.target, &keys::generate_identity()?),
        KeysCommand::Import(args) => {
            let key = read_seed(&args.seed_file)?;
            create(global, &home, args.target, &key)
        }
        KeysCommand::Show(args) => show(global, &home, args),
        KeysCommand::ExportPublic(args) => {
            let (_, key) = read_public(global, &home, args)?;
            output::print(global.format, &key.to_string(), &key)
        }
    }
}

fn identity_file(global: &GlobalArgs, home: &Home, given: Option<PathBuf>) -> Outcome<PathBuf> {
    match given {
        Some(path) => Ok(path),
        None => {
            let loaded = ConfigArgs::default().load(global, home)?;
            Ok(home.resolve(&loaded.config.keys.identity))
        }
    }
}

fn create(global: &GlobalArgs, home: &Home, target: TargetArgs, key: &IdentityKey) -> Outcome {
    let path = identity_file(global, home, target.out)?;
    let password = global
        .password_without_config()
        .read_new()
        .map_err(KeyError::from)?;
    keys::create_identity(&path, key, &password, target.kdf_cost)?;
    let public = key.public_key();
    output::print(
        global.format,
        &format!("made {}\nidentity {public}", path.display()),
        &json!({"file": path, "kind": keys::KIND_IDENTITY, "identity": public}),
    )
}

fn read_seed(path: &PathBuf) -> Outcome<IdentityKey> {
    let mut text = Zeroizing::new(String::new());
    let read = if path.as_os_str() == "-" {
        std::io::stdin().take(256).read_to_string(&mut text)
    } else {
        std::fs::File::open(path).and_then(|file| file.take(256).read_to_string(&mut text))
    };
    read.or_exit(Code::Key)
        .map_err(|failure| failure.context(format!("cannot read {}", path.display())))?;
    let digits = text.trim();
    let mut seed = Zeroizing::new([0; 32]);
    hex::decode_to_slice(
        digits.strip_prefix("0x").unwrap_or(digits),
        seed.as_mut_slice(),
    )
    .map_err(|_| Failure::new(Code::Key, "seed: expected 64 hexadecimal digits"))?;
    Ok(IdentityKey::from_seed(*seed))
}

fn read_public(global: &GlobalArgs, home: &Home, args: ShowArgs) -> Outcome<(PathBuf, PublicKey)> {
    let path = identity_file(global, home, args.file)?;
    let key = keys::read_identity_public(&path)?;
    Ok((path, key))
}

fn show(global: &GlobalArgs, home: &Home, args: ShowArgs) -> Outcome {
    let (path, key) = read_public(global, home, args)?;
    let genesis_file = home.genesis_file();
    let genesis = match genesis_file.exists() {
        true => Some(read_genesis(&genesis_file)?),
        false => None,
    };
    let operator = genesis
        .as_ref()
        .and_then(|genesis| genesis.operator_by_key(&key))
        .map(|(number, operator)| (number, operator.name.clone()));
    let membership = match (&genesis, &operator) {
        (_, Some((number, name))) => format!("operator {number} ({name})"),
        (Some(_), None) => "not in the genesis".to_owned(),
        (None, None) => "unknown (no genesis)".to_owned(),
    };
    output::print(
        global.format,
        &format!(
            "file     {}\nkind     {}\nidentity {key}\nmember   {membership}",
            path.display(),
            keys::KIND_IDENTITY
        ),
        &json!({
            "file": path,
            "kind": keys::KIND_IDENTITY,
            "identity": key,
            "operator": operator.as_ref().map(|(number, _)| number),
            "name": operator.as_ref().map(|(_, name)| name),
        }),
    )
}
