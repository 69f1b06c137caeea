//! Bad input from outside, against running nodes. Each is refused with its reason, in the words of the
//! API, and afterwards the node still orders transactions and has not grown.
//!
//! | input | here | elsewhere |
//! |---|---|---|
//! | undecodable, oversized, unknown, expired, duplicate, wrong network | [`requests`] | every reason, in `sequencer/src/api/grpc/tests` |
//! | full queue | [`queue`] | shares and limits, in `mempool/src/pool/tests.rs` |
//! | malformed gRPC framing, messages above the limit | [`wire`] | `proto/tests/it/hostile.rs` |
//! | strangers and broken frames on the data plane, garbage on both planes | [`peer`] | `network/src/data/hostile_tests.rs` |
//! | unknown fields, open key files | [`files`] | `config.rs`, `genesis.rs`, `keys.rs` |
//! | a second process on one home | | `localnet.rs`, `exit_codes.rs` |

mod files;
mod peer;
mod queue;
mod requests;
mod wire;

use crate::net::Localnet;
use squad_client::v1;
use tonic::{Code, Status};
use tonic_types::StatusExt as _;

const MIB: u64 = 1 << 20;

/// Largest memory that a node has used so far, in bytes.
#[derive(Clone, Copy, Debug)]
struct Memory {
    resident: u64,
    /// Also what was reserved and never touched.
    reserved: u64,
}

impl Memory {
    fn of(net: &Localnet, node: usize) -> Self {
        let path = format!("/proc/{}/status", net.process(node).pid);
        let text = std::fs::read_to_string(path).expect("the process runs");
        let field = |name: &str| -> u64 {
            let line = text.lines().find_map(|line| line.strip_prefix(name));
            let value =
                line.and_then(|line| line.trim_end_matches("kB").trim().parse::<u64>().ok());
            value.expect("a number of kilobytes") << 10
        };
        Self {
            resident: field("VmHWM:"),
            reserved: field("VmPeak:"),
        }
    }

    /// Asserts that what has happened since took no more than a few buffers: nothing near the sizes that
    /// were claimed or sent.
    fn assert_flat(self, net: &Localnet, node: usize) {
        let now = Self::of(net, node);
        let (resident, reserved) = (now.resident - self.resident, now.reserved - self.reserved);
        println!(
            "node {node}: peak memory up by {} MiB, reserved by {} MiB",
            resident / MIB,
            reserved / MIB
        );
        assert!(resident < 192 * MIB, "{self:?} {now:?}");
        assert!(reserved < 1024 * MIB, "{self:?} {now:?}");
    }
}

/// A transaction that is refused for nothing.
fn transaction(payload: impl Into<Vec<u8>>) -> v1::Transaction {
    v1::Transaction {
        rollup_id: crate::load::LOADED,
        payload: payload.into().into(),
        kind: v1::TransactionKind::Plain.into(),
        expiry_height: 0,
    }
}

/// Submits a transaction and waits until it is ordered.
async fn submit(
    net: &Localnet,
    node: usize,
    transaction: v1::Transaction,
) -> Result<v1::TransactionStatus, Status> {
    let request = v1::SubmitTransactionRequest {
        transaction: Some(transaction),
        wait_for: v1::Status::Ordered.into(),
        wait_ms: 10_000,
    };
    let mut sequencer = net.endpoint(node).sequencer();
    let answer = sequencer.submit_transaction(request).await;
    let status = answer?.into_inner().status.expect("a status");
    assert_eq!(status.status(), v1::Status::Ordered, "{status:?}");
    Ok(status)
}

/// That a node still does its work. Each call needs another text.
async fn assert_serves(net: &Localnet, node: usize, text: &str) {
    let status = submit(net, node, transaction(text)).await;
    assert!(status.expect("ordered").height > 0);
}

/// What a refusal must say.
#[derive(Debug)]
struct Refusal {
    code: Code,
    reason: &'static str,
    /// Field of the request that it names.
    field: Option<&'static str>,
    /// Facts that it gives; an empty value stands for any.
    facts: &'static [(&'static str, &'static str)],
}

impl Refusal {
    #[track_caller]
    fn assert(&self, status: &Status) {
        assert_eq!(status.code(), self.code, "{self:?}: {status:?}");
        let info = status.get_details_error_info();
        let info = info.unwrap_or_else(|| panic!("{self:?}: no details in {status:?}"));
        assert_eq!((&*info.domain, &*info.reason), ("squad.v1", self.reason));
        let violations = status.get_details_bad_request();
        let field = violations.and_then(|list| Some(list.field_violations.first()?.field.clone()));
        assert_eq!(field.as_deref(), self.field, "{status:?}");
        if let Some(field) = self.field {
            assert!(status.message().contains(field), "{status:?}");
        }
        self.assert_facts(|name| info.metadata.get(name));
        let waiting_helps = matches!(self.code, Code::ResourceExhausted | Code::Unavailable);
        let delay = status.get_details_retry_info();
        assert_eq!(delay.is_some(), waiting_helps, "{status:?}");
    }

    /// The same for one transaction among several, whose error names no field.
    #[track_caller]
    fn assert_item(&self, error: &v1::Error) {
        assert_eq!(error.code, self.code as u32, "{error:?}");
        assert_eq!(error.reason, self.reason, "{error:?}");
        self.assert_facts(|name| error.metadata.get(name));
        let waiting_helps = matches!(self.code, Code::ResourceExhausted | Code::Unavailable);
        assert_eq!(error.retry_after_ms > 0, waiting_helps, "{error:?}");
    }

    #[track_caller]
    fn assert_facts<'a>(&self, find: impl Fn(&str) -> Option<&'a String>) {
        for (name, value) in self.facts {
            let found = find(name).unwrap_or_else(|| panic!("{self:?}: it gives no {name}"));
            assert!(value.is_empty() || found == value, "{name}: {found}");
        }
    }
}
