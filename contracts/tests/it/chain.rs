//! A chain that holds one `MachVerifier`, and how its functions are called.

use crate::evm::Evm;
use serde_json::Value;
use sha3::{Digest as _, Keccak256};

pub(crate) type Word = [u8; 32];
pub(crate) type Address = [u8; 20];

pub(crate) const OWNER: Address = [0xaa; 20];
pub(crate) const STRANGER: Address = [0xbb; 20];

/// What became of a transaction.
#[derive(Clone, Debug)]
pub(crate) enum Sent {
    /// Gas used, and what was returned.
    Done { gas: u64, output: Vec<u8> },
    /// What the contract reverted with.
    Reverted(Vec<u8>),
    /// The chain itself refused.
    Failed(String),
}

/// Something that executes transactions.
pub(crate) trait Engine {
    /// Makes a contract from its creation code.
    fn create(&mut self, from: Address, code: Vec<u8>) -> Result<Address, String>;
    /// Sends call data to a contract, in a block of its own.
    fn send(&mut self, from: Address, to: Address, data: Vec<u8>) -> Sent;
}

/// Deploys the contract for a network on a fresh chain, or at least on its own.
pub(crate) type Deploy<'a> = &'a dyn Fn(&Word) -> Chain;

pub(crate) struct Chain {
    engine: Box<dyn Engine>,
    contract: Address,
    abi: Value,
    pub(crate) caller: Address,
}

pub(crate) fn artifact() -> Value {
    serde_json::from_str(squad_contracts::MACH_VERIFIER).expect("the artifact is JSON")
}

impl Chain {
    /// Deploys the contract in an EVM inside this process.
    pub(crate) fn new(network: &Word) -> Self {
        Self::on(Box::new(Evm::new()), network)
    }

    /// Deploys the contract.
    pub(crate) fn on(mut engine: Box<dyn Engine>, network: &Word) -> Self {
        let artifact = artifact();
        let code = artifact["bytecode"].as_str().expect("creation code");
        let mut code = hex::decode(code).expect("hexadecimal");
        code.extend_from_slice(network);
        Self {
            contract: engine.create(OWNER, code).expect("deployed"),
            engine,
            abi: artifact["abi"].clone(),
            caller: OWNER,
        }
    }

    fn send(&mut self, function: &str, arguments: &[Word]) -> Sent {
        let mut data = self.selector("function", function).to_vec();
        data.extend(arguments.iter().flatten());
        self.engine.send(self.caller, self.contract, data)
    }

    /// Calls a function of the contract in a transaction. The gas used, or the error with its arguments.
    pub(crate) fn call(&mut self, function: &str, arguments: &[Word]) -> Result<u64, String> {
        match self.send(function, arguments) {
            Sent::Done { gas, .. } => Ok(gas),
            Sent::Reverted(output) => Err(self.error(&output)),
            Sent::Failed(reason) => Err(reason),
        }
    }

    /// Calls a function that returns one word.
    pub(crate) fn read(&mut self, function: &str, arguments: &[Word]) -> Word {
        match self.send(function, arguments) {
            Sent::Done { output, .. } => output.try_into().expect("one word"),
            other => panic!("{function}: {other:?}"),
        }
    }

    fn selector(&self, kind: &str, name: &str) -> [u8; 4] {
        let entry = self
            .abi
            .as_array()
            .expect("a list")
            .iter()
            .find(|entry| entry["type"] == kind && entry["name"] == name)
            .unwrap_or_else(|| panic!("the contract has no {kind} {name}"));
        selector(entry)
    }

    /// Name and arguments of a custom error whose arguments are numbers.
    fn error(&self, output: &[u8]) -> String {
        let (head, arguments) = output.split_at_checked(4).unwrap_or((&[], &[]));
        let found = self
            .abi
            .as_array()
            .expect("a list")
            .iter()
            .find(|entry| entry["type"] == "error" && selector(entry).as_slice() == head);
        let Some(found) = found else {
            return format!("unknown error 0x{}", hex::encode(output));
        };
        let numbers: Vec<String> = arguments
            .chunks(32)
            .map(|word| {
                let low: [u8; 16] = word[16..].try_into().expect("half a word");
                u128::from_be_bytes(low).to_string()
            })
            .collect();
        format!(
            "{}({})",
            found["name"].as_str().expect("a name"),
            numbers.join(", ")
        )
    }
}

/// First four bytes of the hash of name and argument types.
fn selector(entry: &Value) -> [u8; 4] {
    let types: Vec<_> = inputs(&entry["inputs"]);
    let signature = format!(
        "{}({})",
        entry["name"].as_str().expect("a name"),
        types.join(",")
    );
    let hash = Keccak256::digest(signature.as_bytes());
    hash[..4].try_into().expect("four bytes")
}

fn inputs(list: &Value) -> Vec<String> {
    list.as_array()
        .expect("inputs")
        .iter()
        .map(|input| {
            let name = input["type"].as_str().expect("a type");
            match name.strip_prefix("tuple") {
                Some(rest) => format!("({}){rest}", inputs(&input["components"]).join(",")),
                None => name.to_owned(),
            }
        })
        .collect()
}
