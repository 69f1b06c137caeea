//! gRPC servers over a [`World`], with faults that a test sets.

use crate::world::World;
use bytes::Bytes;
use squad_client::v1::block_service_server::{BlockService, BlockServiceServer};
use squad_client::v1::operator_service_server::{OperatorService, OperatorServiceServer};
use squad_client::v1::sequencer_service_server::{SequencerService, SequencerServiceServer};
use squad_client::v1::{self, subscribe_blocks_request::From as Start};
use squad_primitives::{Digest, Transaction, TxId};
use std::collections::VecDeque;
use std::pin::Pin;
use std::sync::{Arc, Mutex};
use std::time::Duration;
use tokio::net::TcpListener;
use tokio::sync::{mpsc, watch};
use tokio_stream::wrappers::{ReceiverStream, TcpListenerStream};
use tokio_stream::{Stream, StreamExt};
use tonic::{Code, Request, Response, Status, Streaming};
use tonic_types::{ErrorDetails, StatusExt};

type BoxStream<T> = Pin<Box<dyn Stream<Item = Result<T, Status>> + Send>>;

/// Farthest expiry that the operators tell.
pub(crate) const EXPIRY_MAX_BLOCKS: u64 = 6_000;

/// What goes wrong at one operator. Lists are used up from the front, one entry per stream or call.
#[derive(Default)]
pub(crate) struct Faults {
    /// Break a stream of blocks or statuses after this many items.
    pub(crate) cut_after: VecDeque<usize>,
    /// Refuse a call.
    pub(crate) refuse: VecDeque<Status>,
    /// Leave out this sequence number in streams of blocks.
    pub(crate) skip_sequence: Option<u64>,
    /// Changes items of streams of blocks.
    pub(crate) forge: Option<fn(&mut v1::SubscribeBlocksResponse)>,
    /// Accept a transaction, but lose the answer.
    pub(crate) lose_answers: usize,
    /// Be so many blocks behind.
    pub(crate) lag: u64,
    /// Take submissions for another transaction's id.
    pub(crate) answer_wrong: bool,
    /// Prove inclusion in a result that is false, with an attestation of it.
    pub(crate) attest_falsely: bool,
}

/// What an operator saw.
#[derive(Clone, Debug, Default)]
pub(crate) struct Seen {
    /// Where streams of blocks started: cursor or height.
    pub(crate) starts: Vec<String>,
    /// Ids of submitted transactions, in order of arrival.
    pub(crate) submitted: Vec<TxId>,
}

#[derive(Clone)]
pub(crate) struct Operator {
    pub(crate) index: u32,
    pub(crate) world: Arc<Mutex<World>>,
    pub(crate) faults: Arc<Mutex<Faults>>,
    pub(crate) seen: Arc<Mutex<Seen>>,
    head: watch::Sender<u64>,
    /// Transactions per entry, and entries per part.
    piece: usize,
}

/// Four operators over one world.
pub(crate) struct Network {
    pub(crate) world: Arc<Mutex<World>>,
    pub(crate) operators: Vec<Operator>,
    pub(crate) addresses: Vec<String>,
}

impl Network {
    pub(crate) async fn start(world: World) -> Self {
        let head = watch::Sender::new(world.head());
        let world = Arc::new(Mutex::new(world));
        let (mut operators, mut addresses) = (Vec::new(), Vec::new());
        for index in 0..crate::world::OPERATORS {
            let operator = Operator {
                index,
                world: world.clone(),
                faults: Arc::default(),
                seen: Arc::default(),
                head: head.clone(),
                piece: 2,
            };
            let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
            addresses.push(format!("http://{}", listener.local_addr().unwrap()));
            let server = tonic::transport::Server::builder()
                .add_service(SequencerServiceServer::new(operator.clone()))
                .add_service(BlockServiceServer::new(operator.clone()))
                .add_service(OperatorServiceServer::new(operator.clone()));
            let incoming = TcpListenerStream::new(listener);
            tokio::spawn(server.serve_with_incoming(incoming));
            operators.push(operator);
        }
        Self {
            world,
            operators,
            addresses,
        }
    }

    #[allow(dead_code)] // not every suite that shares this file needs it
    pub(crate) fn client(&self) -> squad_client::Client {
        self.client_with(squad_client::ClientConfig {
            submit_timeout: Duration::from_secs(20),
            patience: Duration::from_secs(20),
            ..squad_client::ClientConfig::default()
        })
    }

    pub(crate) fn client_with(&self, config: squad_client::ClientConfig) -> squad_client::Client {
        let trusted = self.world.lock().unwrap().trusted();
        let addresses = self.addresses.iter().map(String::as_str);
        squad_client::Client::new(trusted, addresses, config).unwrap()
    }

    /// Orders transactions that came from nowhere.
    #[allow(dead_code)]
    pub(crate) fn add_block(&self, transactions: Vec<Transaction>) {
        let head = self.world.lock().unwrap().add_block(transactions);
        self.operators[0].head.send_replace(head);
    }

    #[allow(dead_code)]
    pub(crate) fn faults(&self, index: usize) -> std::sync::MutexGuard<'_, Faults> {
        self.operators[index].faults.lock().unwrap()
    }

    #[allow(dead_code)]
    pub(crate) fn seen(&self, index: usize) -> Seen {
        self.operators[index].seen.lock().unwrap().clone()
    }
}

/// A refusal as real operators give it.
#[allow(dead_code)]
pub(crate) fn refusal(code: Code, reason: &str, retry_after: Option<Duration>) -> Status {
    let mut details = ErrorDetails::new();
    details.set_error_info(reason, "squad.v1", std::collections::HashMap::new());
    if let Some(delay) = retry_after {
        details.set_retry_info(Some(delay));
    }
    Status::with_error_details(code, "refused", details)
}

impl Operator {
    /// Orders what is new of these transactions, in a block of its own.
    fn order(&self, transactions: Vec<Transaction>) -> Vec<TxId> {
        let mut world = self.world.lock().unwrap();
        let network = world.network;
        let ids: Vec<_> = transactions.iter().map(|tx| tx.id(&network)).collect();
        let new: Vec<_> = transactions
            .into_iter()
            .zip(&ids)
            .filter(|(_, id)| !world.places.contains_key(*id))
            .map(|(tx, _)| tx)
            .collect();
        self.seen.lock().unwrap().submitted.extend(&ids);
        if !new.is_empty() {
            let head = world.add_block(new);
            self.head.send_replace(head);
        }
        ids
    }

    fn refuse(&self) -> Result<(), Status> {
        match self.faults.lock().unwrap().refuse.pop_front() {
            Some(status) => Err(status),
            None => Ok(()),
        }
    }

    /// All parts of a block, each with at most one entry; its cursor names block and part.
    fn parts(&self, height: u64, request: &v1::SubscribeBlocksRequest) -> Vec<v1::BlockPart> {
        let world = self.world.lock().unwrap();
        let entries = match request.headers_only {
            true => Vec::new(),
            false => world.entries(
                height,
                request.rollup_id,
                request.include_payload,
                self.piece,
            ),
        };
        let count = entries.len().max(1);
        let mut entries = entries.into_iter();
        (0..count)
            .map(|part| v1::BlockPart {
                height,
                header: (part == 0).then(|| world.header(height, self.index, request.rollup_id)),
                entries: entries.next().into_iter().collect(),
                last: part + 1 == count,
            })
            .collect()
    }

    async fn serve_blocks(
        self,
        request: v1::SubscribeBlocksRequest,
        items: mpsc::Sender<Result<v1::SubscribeBlocksResponse, Status>>,
    ) {
        let (mut height, mut part) = match &request.from {
            None | Some(Start::FromHeight(0)) => (*self.head.borrow() + 1, 0),
            Some(Start::FromHeight(height)) => (*height, 0),
            Some(Start::FromCursor(cursor)) => {
                let number = |at: usize| u64::from_be_bytes(cursor[at..at + 8].try_into().unwrap());
                (number(0), number(8) as usize + 1)
            }
        };
        let budget = self.faults.lock().unwrap().cut_after.pop_front();
        let mut head = self.head.subscribe();
        let mut sequence = 0;
        let mut send = async |mut item: v1::SubscribeBlocksResponse| {
            if budget == Some(sequence as usize) {
                let broken = Status::unavailable("cut");
                items.send(Err(broken)).await.ok();
                return false;
            }
            if self.faults.lock().unwrap().skip_sequence == Some(sequence) {
                sequence += 1;
            }
            item.sequence = sequence;
            sequence += 1;
            if let Some(forge) = self.faults.lock().unwrap().forge {
                forge(&mut item);
            }
            items.send(Ok(item)).await.is_ok()
        };
        let hello = v1::Hello {
            head_height: *head.borrow(),
            ..v1::Hello::default()
        };
        let hello = v1::SubscribeBlocksResponse {
            item: Some(v1::subscribe_blocks_response::Item::Hello(hello)),
            ..v1::SubscribeBlocksResponse::default()
        };
        if !send(hello).await {
            return;
        }
        loop {
            if head.wait_for(|head| *head >= height).await.is_err() {
                return;
            }
            for (index, block) in self.parts(height, &request).into_iter().enumerate() {
                if index < part {
                    continue;
                }
                let cursor = [height.to_be_bytes(), (index as u64).to_be_bytes()].concat();
                let item = v1::SubscribeBlocksResponse {
                    cursor: cursor.into(),
                    item: Some(v1::subscribe_blocks_response::Item::Block(block)),
                    ..v1::SubscribeBlocksResponse::default()
                };
                if !send(item).await {
                    return;
                }
            }
            (height, part) = (height + 1, 0);
        }
    }

    fn status_of(&self, id: &TxId) -> Option<v1::TransactionStatus> {
        let world = self.world.lock().unwrap();
        let (height, rollup, position) = *world.places.get(id)?;
        Some(v1::TransactionStatus {
            tx_id: id.0.to_vec().into(),
            rollup_id: rollup.0,
            status: v1::Status::Ordered.into(),
            height,
            position: position as u32,
            ..v1::TransactionStatus::default()
        })
    }
}

#[tonic::async_trait]
impl SequencerService for Operator {
    async fn submit_transaction(
        &self,
        request: Request<v1::SubmitTransactionRequest>,
    ) -> Result<Response<v1::SubmitTransactionResponse>, Status> {
        self.refuse()?;
        let message = request.into_inner().transaction.unwrap_or_default();
        let transaction = Transaction::try_from(message).unwrap();
        let id = self.order(vec![transaction])[0];
        let faults = &mut *self.faults.lock().unwrap();
        if faults.lose_answers > 0 {
            faults.lose_answers -= 1;
            return Err(Status::unavailable("connection reset"));
        }
        let mut status = self.status_of(&id).unwrap();
        if faults.answer_wrong {
            status.tx_id = Bytes::from(vec![1; 32]);
        }
        Ok(Response::new(v1::SubmitTransactionResponse {
            receipt: Some(self.world.lock().unwrap().receipt(id)),
            status: Some(status),
        }))
    }

    async fn submit_transaction_batch(
        &self,
        request: Request<v1::SubmitTransactionBatchRequest>,
    ) -> Result<Response<v1::SubmitTransactionBatchResponse>, Status> {
        use v1::submit_result::Result as Answer;
        let messages = request.into_inner().transactions;
        let mut results = Vec::new();
        for message in messages {
            let transaction = Transaction::try_from(message).unwrap();
            // Every other refusal that is set concerns one transaction.
            let refused = self.faults.lock().unwrap().refuse.pop_front();
            let result = match refused {
                Some(status) => Answer::Error(v1::Error {
                    code: status.code() as u32,
                    reason: status.get_details_error_info().unwrap().reason,
                    retry_after_ms: u64::from(status.code() == Code::ResourceExhausted),
                    ..v1::Error::default()
                }),
                None => {
                    let id = self.order(vec![transaction])[0];
                    Answer::Accepted(v1::Accepted {
                        tx_id: id.0.to_vec().into(),
                        status: v1::Status::Ordered.into(),
                        receipt: Some(self.world.lock().unwrap().receipt(id)),
                        ..v1::Accepted::default()
                    })
                }
            };
            results.push(v1::SubmitResult {
                result: Some(result),
            });
        }
        Ok(Response::new(v1::SubmitTransactionBatchResponse {
            results,
        }))
    }

    type SubmitTransactionStreamStream = BoxStream<v1::SubmitTransactionStreamResponse>;

    async fn submit_transaction_stream(
        &self,
        request: Request<Streaming<v1::SubmitTransactionStreamRequest>>,
    ) -> Result<Response<Self::SubmitTransactionStreamStream>, Status> {
        let operator = self.clone();
        let answers = request.into_inner().map(move |message| {
            let messages = message?.transactions;
            let client_seqs: Vec<u64> = messages.iter().map(|m| m.client_seq).collect();
            let transactions = messages.into_iter().map(Transaction::try_from);
            let ids = operator.order(transactions.collect::<Result<_, _>>().unwrap());
            let tx_ids = squad_proto::convert::digests_packed(&ids);
            Ok(v1::SubmitTransactionStreamResponse {
                accepted: vec![v1::AcceptedGroup {
                    client_seqs,
                    receipts: Some(v1::ReceiptGroup {
                        tx_ids,
                        ..v1::ReceiptGroup::default()
                    }),
                }],
                ..v1::SubmitTransactionStreamResponse::default()
            })
        });
        Ok(Response::new(Box::pin(answers)))
    }

    async fn get_transaction_status(
        &self,
        request: Request<v1::GetTransactionStatusRequest>,
    ) -> Result<Response<v1::GetTransactionStatusResponse>, Status> {
        let id = Digest::try_from(&request.into_inner().tx_id[..]).unwrap();
        match self.status_of(&id) {
            Some(status) => Ok(Response::new(v1::GetTransactionStatusResponse {
                status: Some(status),
            })),
            None => Err(refusal(Code::NotFound, "UNKNOWN_TX", None)),
        }
    }

    type SubscribeTransactionStatusStream = BoxStream<v1::SubscribeTransactionStatusResponse>;

    async fn subscribe_transaction_status(
        &self,
        request: Request<v1::SubscribeTransactionStatusRequest>,
    ) -> Result<Response<Self::SubscribeTransactionStatusStream>, Status> {
        use v1::subscribe_transaction_status_request::Filter;
        use v1::subscribe_transaction_status_response::Item;
        let Some(Filter::TxIds(ids)) = request.into_inner().filter else {
            return Err(Status::unimplemented("only by ids"));
        };
        let mut open: Vec<TxId> = ids
            .chunks_exact(32)
            .map(|id| Digest::try_from(id).unwrap())
            .collect();
        let budget = self.faults.lock().unwrap().cut_after.pop_front();
        let (operator, mut head) = (self.clone(), self.head.subscribe());
        let (items, queue) = mpsc::channel(8);
        tokio::spawn(async move {
            let mut sequence = 0;
            while !open.is_empty() {
                head.mark_unchanged();
                let (done, left): (Vec<_>, Vec<_>) =
                    open.iter().partition(|id| operator.status_of(id).is_some());
                open = left;
                for id in done {
                    if budget == Some(sequence as usize) {
                        items.send(Err(Status::unavailable("cut"))).await.ok();
                        return;
                    }
                    let status = operator.status_of(&id).unwrap();
                    let group = v1::StatusGroup {
                        status: status.status,
                        rollup_id: status.rollup_id,
                        tx_ids: status.tx_id,
                        height: status.height,
                        positions: vec![status.position],
                        ..v1::StatusGroup::default()
                    };
                    let item = v1::SubscribeTransactionStatusResponse {
                        sequence,
                        item: Some(Item::Statuses(group)),
                        ..v1::SubscribeTransactionStatusResponse::default()
                    };
                    sequence += 1;
                    if items.send(Ok(item)).await.is_err() {
                        return;
                    }
                }
                if !open.is_empty() && head.changed().await.is_err() {
                    return;
                }
            }
        });
        Ok(Response::new(Box::pin(ReceiverStream::new(queue))))
    }

    type SubscribeReceiptsStream = BoxStream<v1::SubscribeReceiptsResponse>;

    async fn subscribe_receipts(
        &self,
        _: Request<v1::SubscribeReceiptsRequest>,
    ) -> Result<Response<Self::SubscribeReceiptsStream>, Status> {
        Err(Status::unimplemented("receipts"))
    }
}

#[tonic::async_trait]
impl BlockService for Operator {
    async fn get_block(
        &self,
        _: Request<v1::GetBlockRequest>,
    ) -> Result<Response<v1::GetBlockResponse>, Status> {
        Err(Status::unimplemented("get_block"))
    }

    type SubscribeBlocksStream = BoxStream<v1::SubscribeBlocksResponse>;

    async fn subscribe_blocks(
        &self,
        request: Request<v1::SubscribeBlocksRequest>,
    ) -> Result<Response<Self::SubscribeBlocksStream>, Status> {
        self.refuse()?;
        let request = request.into_inner();
        let start = match &request.from {
            Some(Start::FromHeight(height)) => format!("height {height}"),
            Some(Start::FromCursor(_)) => "cursor".into(),
            None => "live".into(),
        };
        self.seen.lock().unwrap().starts.push(start);
        let (items, queue) = mpsc::channel(4);
        tokio::spawn(self.clone().serve_blocks(request, items));
        Ok(Response::new(Box::pin(ReceiverStream::new(queue))))
    }

    async fn get_inclusion_proof(
        &self,
        request: Request<v1::GetInclusionProofRequest>,
    ) -> Result<Response<v1::GetInclusionProofResponse>, Status> {
        use v1::get_inclusion_proof_request::Transaction as By;
        let Some(By::TxId(id)) = request.into_inner().transaction else {
            return Err(Status::unimplemented("only by id"));
        };
        let id = Digest::try_from(&id[..]).unwrap();
        let mut proof = self.world.lock().unwrap().inclusion(id);
        let order = proof.order.as_mut().unwrap();
        let mut result =
            squad_primitives::order::OrderResult::try_from(order.result.as_ref().unwrap()).unwrap();
        if self.faults.lock().unwrap().attest_falsely {
            result.tx_count += 1;
            order.result = Some((&result).into());
        }
        let own = self.world.lock().unwrap().attestation(&result, self.index);
        order.attestations = vec![own];
        Ok(Response::new(proof))
    }

    async fn get_batch(
        &self,
        _: Request<v1::GetBatchRequest>,
    ) -> Result<Response<v1::GetBatchResponse>, Status> {
        Err(Status::unimplemented("get_batch"))
    }
}

#[tonic::async_trait]
impl OperatorService for Operator {
    async fn get_status(
        &self,
        _: Request<v1::GetStatusRequest>,
    ) -> Result<Response<v1::GetStatusResponse>, Status> {
        let lag = self.faults.lock().unwrap().lag;
        let world = self.world.lock().unwrap();
        Ok(Response::new(v1::GetStatusResponse {
            network_id: world.network.0.to_vec().into(),
            operator_id: Some(self.index),
            ordered_height: world.head().saturating_sub(lag),
            committed_height: world.head(),
            target_height: world.head().max(lag),
            limits: Some(v1::Limits {
                expiry_max_blocks: EXPIRY_MAX_BLOCKS,
                ..v1::Limits::default()
            }),
            ..v1::GetStatusResponse::default()
        }))
    }

    async fn list_operators(
        &self,
        _: Request<v1::ListOperatorsRequest>,
    ) -> Result<Response<v1::ListOperatorsResponse>, Status> {
        Err(Status::unimplemented("list_operators"))
    }

    async fn get_epoch(
        &self,
        _: Request<v1::GetEpochRequest>,
    ) -> Result<Response<v1::GetEpochResponse>, Status> {
        Err(Status::unimplemented("get_epoch"))
    }

    async fn get_leader(
        &self,
        _: Request<v1::GetLeaderRequest>,
    ) -> Result<Response<v1::GetLeaderResponse>, Status> {
        Err(Status::unimplemented("get_leader"))
    }
}
