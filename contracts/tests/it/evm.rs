//! An EVM with Prague's rules inside this process.

use crate::chain::{Address, Engine, Sent};
use revm::context::{BlockEnv, CfgEnv, Context, Journal, TxEnv};
use revm::context_interface::result::{ExecutionResult, Output};
use revm::database::{EmptyDB, InMemoryDB};
use revm::primitives::hardfork::SpecId;
use revm::primitives::{Bytes, TxKind};
use revm::{ExecuteCommitEvm as _, MainBuilder as _, MainnetEvm};

type Inner = Context<BlockEnv, TxEnv, CfgEnv, InMemoryDB, Journal<InMemoryDB>, ()>;

const GAS_LIMIT: u64 = 30_000_000;

pub(crate) struct Evm(MainnetEvm<Inner>);

impl Evm {
    pub(crate) fn new() -> Self {
        let mut context: Inner = Context::new(InMemoryDB::new(EmptyDB::new()), SpecId::PRAGUE);
        context.cfg.disable_nonce_check = true;
        Self(context.build_mainnet())
    }

    fn transact(&mut self, from: Address, kind: TxKind, data: Vec<u8>) -> ExecutionResult {
        let tx = TxEnv::builder()
            .caller(from.into())
            .kind(kind)
            .data(Bytes::from(data))
            .gas_limit(GAS_LIMIT)
            .gas_price(0)
            .build()
            .expect("a legal transaction");
        self.0.transact_commit(tx).expect("a valid transaction")
    }
}

impl Engine for Evm {
    fn create(&mut self, from: Address, code: Vec<u8>) -> Result<Address, String> {
        match self.transact(from, TxKind::Create, code) {
            ExecutionResult::Success {
                output: Output::Create(_, Some(address)),
                ..
            } => Ok(address.into()),
            other => Err(format!("{other:?}")),
        }
    }

    fn send(&mut self, from: Address, to: Address, data: Vec<u8>) -> Sent {
        match self.transact(from, TxKind::Call(to.into()), data) {
            ExecutionResult::Success { gas, output, .. } => Sent::Done {
                gas: gas.tx_gas_used(),
                output: output.into_data().to_vec(),
            },
            ExecutionResult::Revert { output, .. } => Sent::Reverted(output.to_vec()),
            ExecutionResult::Halt { reason, .. } => Sent::Failed(format!("{reason:?}")),
        }
    }
}
