//! `SequencerService`: submitting transactions and following what becomes of them.

use super::receipts::Receipts;
use super::status_stream::Statuses;
use super::submit_stream::{self, Answers};
use super::{Items, block, client, submit, submit_batch};
use crate::api::context::{Shared, blocking};
use crate::api::feed::feed;
use crate::api::status;
use squad_proto::v1;
use squad_proto::v1::sequencer_service_server::SequencerService;
use std::sync::Arc;
use tonic::{Request, Response, Status, Streaming};

/// The service.
#[derive(Debug)]
pub(super) struct Service(pub(super) Shared);

#[tonic::async_trait]
impl SequencerService for Service {
    async fn submit_transaction(
        &self,
        request: Request<v1::SubmitTransactionRequest>,
    ) -> Result<Response<v1::SubmitTransactionResponse>, Status> {
        let client = client(&request)?;
        let rpc = super::deadline::of(request.metadata());
        let answer = submit::one(&self.0, &client, request.into_inner(), rpc);
        // Boxed: it holds a whole transaction and several waits.
        Ok(Response::new(Box::pin(answer).await?))
    }

    async fn submit_transaction_batch(
        &self,
        request: Request<v1::SubmitTransactionBatchRequest>,
    ) -> Result<Response<v1::SubmitTransactionBatchResponse>, Status> {
        let client = client(&request)?;
        let answer = submit_batch::many(&self.0, &client, request.into_inner());
        Ok(Response::new(Box::pin(answer).await?))
    }

    type SubmitTransactionStreamStream = Answers;

    async fn submit_transaction_stream(
        &self,
        request: Request<Streaming<v1::SubmitTransactionStreamRequest>>,
    ) -> Result<Response<Answers>, Status> {
        Ok(Response::new(submit_stream::open(&self.0, request)?))
    }

    async fn get_transaction_status(
        &self,
        request: Request<v1::GetTransactionStatusRequest>,
    ) -> Result<Response<v1::GetTransactionStatusResponse>, Status> {
        let ctx = Arc::clone(&self.0);
        let request = request.into_inner();
        let id = block::digest("tx_id", &request.tx_id)?;
        let answer = blocking(move || {
            let (mut status, found) =
                status::find(&ctx, &id)?.ok_or_else(|| ctx.unknown_tx(&id))?;
            if let Some(found) = found.filter(|_| request.include_proof) {
                status::add_proofs(&ctx, &mut status, &found)?;
            }
            Ok(v1::GetTransactionStatusResponse {
                status: Some(status),
            })
        });
        Ok(Response::new(answer.await?))
    }

    type SubscribeTransactionStatusStream = Items<v1::SubscribeTransactionStatusResponse>;

    async fn subscribe_transaction_status(
        &self,
        request: Request<v1::SubscribeTransactionStatusRequest>,
    ) -> Result<Response<Self::SubscribeTransactionStatusStream>, Status> {
        let slot = self.0.open_stream(&client(&request)?)?;
        let (ctx, request) = (Arc::clone(&self.0), request.into_inner());
        let (source, form) = blocking(move || Statuses::open(&ctx, request)).await?;
        let items = feed(Arc::clone(&self.0), source, form, slot);
        Ok(Response::new(items))
    }

    type SubscribeReceiptsStream = Items<v1::SubscribeReceiptsResponse>;

    async fn subscribe_receipts(
        &self,
        request: Request<v1::SubscribeReceiptsRequest>,
    ) -> Result<Response<Self::SubscribeReceiptsStream>, Status> {
        let slot = self.0.open_stream(&client(&request)?)?;
        let (source, form) = Receipts::open(&self.0, request.get_ref())?;
        let items = feed(Arc::clone(&self.0), source, form, slot);
        Ok(Response::new(items))
    }
}
