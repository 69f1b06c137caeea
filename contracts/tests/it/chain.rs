//! An EVM with Prague's rules that holds one `MachVerifier`.

use revm::context::{BlockEnv, CfgEnv, Context, Journal, TxEnv};
use revm::context_interface::result::{ExecutionResult, Output};
use revm::database::{EmptyDB, InMemoryDB};
use revm::primitives::hardfork::SpecId;
use revm::primitives::{Address, Bytes, TxKind};
use revm::{ExecuteCommitEvm as _, MainBuilder as _, MainnetEvm};
use serde_json::Value;
use sha3::{Digest as _, Keccak256};

pub(crate) type Word = [u8; 32];

type Evm = MainnetEvm<Context<BlockEnv, TxEnv, CfgEnv, InMemoryDB, Journal<InMemoryDB>, ()>>;

const GAS_LIMIT: u64 = 30_000_000;
pub(crate) const OWNER: Address = Address::repeat_byte(0xaa);
pub(crate) const STRANGER: Address = Address::repeat_byte(0xbb);

pub(crate) struct Chain {
    evm: Evm,
    contract: Address,
    abi: Value,
    pub(crate) caller: Address,
}

pub(crate) fn artifact() -> Value {
    serde_json::from_str(squad_contracts::MACH_VERIFIER).expect("the artifact is JSON")
}

impl Chain {
    /// Deploys the contract.
    pub(crate) fn new(network: &Word) -> Self {
        let artifact = artifact();
        let db = InMemoryDB::new(EmptyDB::new());
        let mut context: Context<BlockEnv, TxEnv, CfgEnv, InMemoryDB, Journal<InMemoryDB>, ()> =
            Context::new(db, SpecId::PRAGUE);
        context.cfg.disable_nonce_check = true;
        let mut chain = Self {
            evm: context.build_mainnet(),
            contract: Address::ZERO,
            abi: artifact["abi"].clone(),
            caller: OWNER,
        };
        let code = artifact["bytecode"].as_str().expect("creation code");
        let mut code = hex::decode(code).expect("hexadecimal");
        code.extend_from_slice(network);
        match chain.transact(TxKind::Create, code) {
            ExecutionResult::Success {
                output: Output::Create(_, Some(address)),
                ..
            } => chain.contract = address,
            other => panic!("not deployed: {other:?}"),
        }
        chain
    }

    fn transact(&mut self, kind: TxKind, data: Vec<u8>) -> ExecutionResult {
        let tx = TxEnv::builder()
            .caller(self.caller)
            .kind(kind)
            .data(Bytes::from(data))
            .gas_limit(GAS_LIMIT)
            .gas_price(0)
            .build()
            .expect("a legal transaction");
        self.evm.transact_commit(tx).expect("a valid transaction")
    }

    /// Calls a function of the contract in a transaction. The gas used, or the error with its arguments.
    pub(crate) fn call(&mut self, function: &str, arguments: &[Word]) -> Result<u64, String> {
        let mut data = self.selector("function", function).to_vec();
        data.extend(arguments.iter().flatten());
        match self.transact(TxKind::Call(self.contract), data) {
            ExecutionResult::Success { gas, .. } => Ok(gas.tx_gas_used()),
            ExecutionResult::Revert { output, .. } => Err(self.error(&output)),
            ExecutionResult::Halt { reason, .. } => Err(format!("{reason:?}")),
        }
    }

    /// Calls a function that returns one word.
    pub(crate) fn read(&mut self, function: &str, arguments: &[Word]) -> Word {
        let mut data = self.selector("function", function).to_vec();
        data.extend(arguments.iter().flatten());
        match self.transact(TxKind::Call(self.contract), data) {
            ExecutionResult::Success {
                output: Output::Call(bytes),
                ..
            } => bytes.as_ref().try_into().expect("one word"),
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
