//! The services as a client sees them, over real connections to a node whose blocks the test makes.

mod batch;
mod blocks;
mod calls;
mod expired;
mod finality;
mod known;
mod proofs;
mod receipts;
mod statuses;
mod stream;
mod submit;

use crate::api::testing::Serving;
use squad_primitives::{Digest, Transaction};
use squad_proto::v1;
use squad_proto::v1::block_service_client::BlockServiceClient;
use squad_proto::v1::operator_service_client::OperatorServiceClient;
use squad_proto::v1::rollup_service_client::RollupServiceClient;
use squad_proto::v1::sequencer_service_client::SequencerServiceClient;
use tonic::transport::{Channel, Endpoint};
use tonic::{Code, Status, Streaming};
use tonic_types::StatusExt;

impl Serving {
    async fn channel(&self) -> Channel {
        let endpoint = Endpoint::from_shared(format!("http://{}", self.grpc)).unwrap();
        endpoint.connect().await.unwrap()
    }

    async fn sequencer(&self) -> SequencerServiceClient<Channel> {
        SequencerServiceClient::new(self.channel().await)
    }

    async fn blocks(&self) -> BlockServiceClient<Channel> {
        BlockServiceClient::new(self.channel().await)
    }

    async fn rollups(&self) -> RollupServiceClient<Channel> {
        RollupServiceClient::new(self.channel().await)
    }

    async fn operators(&self) -> OperatorServiceClient<Channel> {
        OperatorServiceClient::new(self.channel().await)
    }
}

/// Checks code and reason of an error, and gives its metadata.
#[track_caller]
fn reason(status: &Status, code: Code, reason: &str) -> std::collections::HashMap<String, String> {
    let info = status.get_details_error_info();
    let info = info.unwrap_or_else(|| panic!("no details: {status:?}"));
    assert_eq!((&*info.reason, status.code()), (reason, code), "{status:?}");
    assert_eq!(info.domain, "squad.v1");
    info.metadata
}

/// The field that an error is about.
#[track_caller]
fn field(status: &Status) -> String {
    let details = status.get_details_bad_request();
    details
        .unwrap_or_else(|| panic!("no field: {status:?}"))
        .field_violations[0]
        .field
        .clone()
}

fn message(transaction: &Transaction) -> v1::Transaction {
    transaction.clone().into()
}

fn item(client_seq: u64, transaction: &Transaction) -> v1::StreamTransaction {
    let message = message(transaction);
    v1::StreamTransaction {
        client_seq,
        rollup_id: message.rollup_id,
        payload: message.payload,
        kind: message.kind,
        expiry_height: message.expiry_height,
    }
}

fn ids(packed: &[u8]) -> Vec<Digest> {
    let (ids, rest) = packed.as_chunks::<32>();
    assert!(rest.is_empty());
    ids.iter().map(|id| Digest(*id)).collect()
}

/// The next item; the stream must have one.
async fn next<T>(stream: &mut Streaming<T>) -> T {
    stream.message().await.unwrap().expect("the stream ended")
}
