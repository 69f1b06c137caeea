//! `squad keys`

use super::args::{ConfigArgs, GlobalArgs, read_genesis};
use super::exit::{Code, Failure, OrExit as _, Outcome};
use super::output;
use crate::home::Home;
use crate::keys::{self, KdfCost, KeyError};
use clap::{Args, Subcommand, ValueEnum};
use serde_json::json;
use squad_primitives::genesis::{FinalityKey, FixedHex, Genesis};
use squad_primitives::{IdentityKey, OperatorId, PublicKey, Signer as _};
use std::fmt;
use std::io::Read as _;
use std::path::{Path, PathBuf};
use zeroize::Zeroizing;

/// Kind of a finality key in outputs; its file has no kind, as EIP-2335 has it for BLS keys.
const KIND_FINALITY: &str = "bls12-381-finality";

/// Make and show key files
#[derive(Debug, Subcommand)]
pub(crate) enum KeysCommand {
    /// Make a new key
    New(NewArgs),
    /// Encrypt an existing 32-byte seed or secret into a key file
    Import(ImportArgs),
    /// Show what a key file holds; needs no password
    Show(ShowArgs),
    /// Print the public key alone
    ExportPublic(ShowArgs),
    /// Print finality key and proof of possession, for `squad genesis add-operator`
    Possession(PossessionArgs),
}

/// Kinds of keys.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub(crate) enum KindArg {
    /// Ed25519: names the operator, signs blocks and batches
    Identity,
    /// BLS12-381: signs results of blocks, for certificates of finality
    Finality,
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
    /// File with the seed (identity) or secret (finality) as 64 hexadecimal digits; - reads standard
    /// input
    #[arg(long, value_name = "FILE")]
    seed_file: PathBuf,
    #[command(flatten)]
    target: TargetArgs,
}

#[derive(Debug, Args)]
struct TargetArgs {
    /// What the key is for
    #[arg(long, value_enum, default_value_t = KindArg::Identity)]
    kind: KindArg,
    /// Key file to make [setting: keys.identity or keys.finality]
    #[arg(long, value_name = "FILE")]
    out: Option<PathBuf>,
    /// Work per password guess, as scrypt:18 or pbkdf2:262144
    #[arg(long, value_name = "COST", default_value_t)]
    kdf_cost: KdfCost,
}

/// `squad keys show`, `squad keys export-public`
#[derive(Debug, Args)]
pub(crate) struct ShowArgs {
    /// What the key is for
    #[arg(long, value_enum, default_value_t = KindArg::Identity)]
    kind: KindArg,
    /// Key file [setting: keys.identity or keys.finality]
    #[arg(long, value_name = "FILE")]
    file: Option<PathBuf>,
}

/// `squad keys possession`
#[derive(Debug, Args)]
pub(crate) struct PossessionArgs {
    /// Key file of the finality key [setting: keys.finality]
    #[arg(long, value_name = "FILE")]
    file: Option<PathBuf>,
    /// Identity key of the operator [default: that of the key file in keys.identity]
    #[arg(long, value_name = "KEY")]
    identity: Option<PublicKey>,
}

/// A public key of either kind.
enum Public {
    Identity(PublicKey),
    Finality(FinalityKey),
}

impl Public {
    const fn label(&self) -> &'static str {
        match self {
            Self::Identity(_) => "identity",
            Self::Finality(_) => "finality",
        }
    }

    const fn kind(&self) -> &'static str {
        match self {
            Self::Identity(_) => keys::KIND_IDENTITY,
            Self::Finality(_) => KIND_FINALITY,
        }
    }

    /// The operator that the genesis names with this key.
    fn operator(&self, genesis: &Genesis) -> Option<(OperatorId, String)> {
        genesis
            .numbered_operators()
            .find(|(_, operator)| match self {
                Self::Identity(key) => operator.identity == *key,
                Self::Finality(key) => operator
                    .finality
                    .as_ref()
                    .is_some_and(|finality| finality.key == *key),
            })
            .map(|(number, operator)| (number, operator.name.clone()))
    }
}

impl fmt::Display for Public {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Identity(key) => key.fmt(f),
            Self::Finality(key) => key.fmt(f),
        }
    }
}

/// Runs a verb.
pub(crate) fn run(global: &GlobalArgs, command: KeysCommand) -> Outcome {
    let home = global.home()?;
    match command {
        KeysCommand::New(args) => create(global, &home, args.target, None),
        KeysCommand::Import(args) => {
            let secret = read_seed(&args.seed_file)?;
            create(global, &home, args.target, Some(&secret))
        }
        KeysCommand::Show(args) => show(global, &home, args),
        KeysCommand::ExportPublic(args) => {
            let (_, key) = read_public(global, &home, args)?;
            output::print(global.format, &key.to_string(), &key.to_string())
        }
        KeysCommand::Possession(args) => possession(global, &home, args),
    }
}

fn key_file(
    global: &GlobalArgs,
    home: &Home,
    kind: KindArg,
    given: Option<PathBuf>,
) -> Outcome<PathBuf> {
    match given {
        Some(path) => Ok(path),
        None => {
            let settings = ConfigArgs::default().load(global, home)?.config.keys;
            Ok(home.resolve(match kind {
                KindArg::Identity => &settings.identity,
                KindArg::Finality => &settings.finality,
            }))
        }
    }
}

/// Makes a key file, of a new key or a given secret.
fn create(
    global: &GlobalArgs,
    home: &Home,
    target: TargetArgs,
    secret: Option<&[u8; 32]>,
) -> Outcome {
    let path = key_file(global, home, target.kind, target.out)?;
    let public = match target.kind {
        KindArg::Identity => {
            let key = match secret {
                Some(seed) => IdentityKey::from_seed(*seed),
                None => keys::generate_identity()?,
            };
            let password = new_password(global)?;
            keys::create_identity(&path, &key, &password, target.kdf_cost)?;
            Public::Identity(key.public_key())
        }
        KindArg::Finality => {
            let key = match secret {
                Some(secret) => keys::import_finality(secret)?,
                None => keys::generate_finality()?,
            };
            let password = new_password(global)?;
            keys::create_finality(&path, &key, &password, target.kdf_cost)?;
            Public::Finality(FixedHex(key.public_key().to_bytes()))
        }
    };
    output::print(
        global.format,
        &format!("made {}\n{} {public}", path.display(), public.label()),
        &json!({"file": path, "kind": public.kind(), public.label(): public.to_string()}),
    )
}

fn new_password(global: &GlobalArgs) -> Outcome<keys::Password> {
    Ok(global
        .password_without_config()
        .read_new()
        .map_err(KeyError::from)?)
}

fn read_seed(path: &Path) -> Outcome<Zeroizing<[u8; 32]>> {
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
    Ok(seed)
}

fn read_public(global: &GlobalArgs, home: &Home, args: ShowArgs) -> Outcome<(PathBuf, Public)> {
    let path = key_file(global, home, args.kind, args.file)?;
    let key = match args.kind {
        KindArg::Identity => Public::Identity(keys::read_identity_public(&path)?),
        KindArg::Finality => {
            Public::Finality(FixedHex(keys::read_finality_public(&path)?.to_bytes()))
        }
    };
    Ok((path, key))
}

fn show(global: &GlobalArgs, home: &Home, args: ShowArgs) -> Outcome {
    let (path, key) = read_public(global, home, args)?;
    let genesis_file = home.genesis_file();
    let genesis = match genesis_file.exists() {
        true => Some(read_genesis(&genesis_file)?),
        false => None,
    };
    let operator = genesis.as_ref().and_then(|genesis| key.operator(genesis));
    let membership = match (&genesis, &operator) {
        (_, Some((number, name))) => format!("operator {number} ({name})"),
        (Some(_), None) => "not in the genesis".to_owned(),
        (None, None) => "unknown (no genesis)".to_owned(),
    };
    output::print(
        global.format,
        &format!(
            "file     {}\nkind     {}\n{} {key}\nmember   {membership}",
            path.display(),
            key.kind(),
            key.label(),
        ),
        &json!({
            "file": path,
            "kind": key.kind(),
            key.label(): key.to_string(),
            "operator": operator.as_ref().map(|(number, _)| number),
            "name": operator.as_ref().map(|(_, name)| name),
        }),
    )
}

/// The proof is bound to the operator's identity, so that nobody can register the key as their own.
fn possession(global: &GlobalArgs, home: &Home, args: PossessionArgs) -> Outcome {
    let path = key_file(global, home, KindArg::Finality, args.file)?;
    let identity = match args.identity {
        Some(key) => key,
        None => keys::read_identity_public(&key_file(global, home, KindArg::Identity, None)?)?,
    };
    let config = ConfigArgs::default().load(global, home)?.config;
    let password = global
        .password(home, &config)
        .read()
        .map_err(KeyError::from)?;
    let key = keys::load_finality(&path, &password)?;
    let entry = keys::finality_entry(&key, &identity);
    output::print(
        global.format,
        &format!(
            "identity     {identity}\nfinality-key {}\npossession   {}",
            entry.key, entry.possession
        ),
        &json!({"identity": identity, "key": entry.key, "possession": entry.possession}),
    )
}
