//! `SubmitTransaction`: one transaction, and the wait for its status.

use super::submit_stream::{check_rate, status_of};
use crate::api::blocks::Lookup;
use crate::api::connections::ClientInfo;
use crate::api::context::{Context, Shared, blocking};
use crate::api::errors::Failure;
use crate::api::finality;
use crate::api::ordered::Ending;
use crate::api::proofs::{self, bytes_of};
use crate::api::status;
use crate::node::clock;
use crate::node::mach::Finality;
use crate::node::submission::{Answer, Submission, TxProgress};
use squad_primitives::{Batch, Height, Transaction, TxId};
use squad_proto::reason::Reason;
use squad_proto::v1;
use std::sync::Arc;
use std::time::Duration;
use tokio::sync::mpsc;
use tokio::time::{Instant, timeout_at};

/// Wait when the request names none.
const WAIT_MS_DEFAULT: u32 = 5_000;
/// Longest wait.
const WAIT_MS_MAX: u32 = 10_000;
/// Time that the answer keeps to reach the client before the client's own deadline.
const DEADLINE_MARGIN: Duration = Duration::from_millis(50);

/// Reads a transaction of a request and chooses its expiry if the client left that to the server.
pub(super) fn transaction(ctx: &Context, message: v1::Transaction) -> Result<Transaction, Failure> {
    let mut transaction = Transaction::try_from(message)?;
    if transaction.expiry == Height::ZERO {
        transaction.expiry = ctx.default_expiry();
    }
    Ok(transaction)
}

fn deadline(
    request: &v1::SubmitTransactionRequest,
    rpc: Option<Duration>,
) -> Result<Instant, Failure> {
    let wait_ms = match request.wait_ms {
        0 => WAIT_MS_DEFAULT,
        wait if wait > WAIT_MS_MAX => {
            return Err(Failure::too_large("wait_ms", wait, WAIT_MS_MAX));
        }
        wait => wait,
    };
    let wait = Duration::from_millis(wait_ms.into());
    let until = rpc.map_or(wait, |rpc| rpc.saturating_sub(DEADLINE_MARGIN).min(wait));
    Ok(Instant::now() + until)
}

/// The wait ended first.
pub(super) fn elapsed(id: &TxId, reached: v1::Status) -> Failure {
    let message = format!(
        "transaction {id} is {} so far; it lives on",
        reached.as_str_name()
    );
    Failure::new(Reason::WaitElapsed, message)
        .with("tx_id", id)
        .with("status", reached.as_str_name())
}

/// Submits one transaction. `rpc` is what is left of the call's own deadline.
pub(super) async fn one(
    ctx: &Shared,
    client: &ClientInfo,
    request: v1::SubmitTransactionRequest,
    rpc: Option<Duration>,
) -> Result<v1::SubmitTransactionResponse, Failure> {
    ctx.ingress()?;
    let deadline = deadline(&request, rpc)?;
    let wait_for = match v1::Status::try_from(request.wait_for) {
        Ok(v1::Status::Unspecified | v1::Status::Accepted) => v1::Status::Accepted,
        Ok(v1::Status::Ordered) => v1::Status::Ordered,
        Ok(v1::Status::Final) => v1::Status::Final,
        _ => {
            let problem = "must be ACCEPTED, ORDERED or FINAL";
            return Err(Failure::field("wait_for", problem));
        }
    };
    let finality = match wait_for {
        v1::Status::Final => Some(Arc::clone(finality::of(ctx)?)),
        _ => None,
    };
    let response = until_ordered(ctx, client, request, wait_for, deadline).await?;
    match finality {
        Some(finality) => until_final(response, &finality, deadline).await,
        None => Ok(response),
    }
}

/// Waits until a certificate covers an ordered transaction.
async fn until_final(
    mut response: v1::SubmitTransactionResponse,
    finality: &Finality,
    deadline: Instant,
) -> Result<v1::SubmitTransactionResponse, Failure> {
    let Some(status) = response.status.as_mut() else {
        return Ok(response);
    };
    if status.status() != v1::Status::Ordered {
        return Ok(response);
    }
    let height = Height(status.height);
    let mut reached = finality.subscribe();
    let wait = reached.wait_for(|reached| *reached >= height);
    match timeout_at(deadline, wait).await {
        Ok(Ok(_)) => {
            status.set_status(v1::Status::Final);
            Ok(response)
        }
        Ok(Err(_)) => Err(Failure::shutting_down()),
        Err(_) => {
            let id = status.tx_id.as_ref().try_into().unwrap_or_default();
            Err(elapsed(&id, v1::Status::Ordered))
        }
    }
}

async fn until_ordered(
    ctx: &Shared,
    client: &ClientInfo,
    request: v1::SubmitTransactionRequest,
    wait_for: v1::Status,
    deadline: Instant,
) -> Result<v1::SubmitTransactionResponse, Failure> {
    let ingress = Arc::clone(ctx.ingress()?);
    let wait_for_order = wait_for != v1::Status::Accepted;
    let message = request.transaction;
    let message = message.ok_or_else(|| Failure::field("transaction", "missing"))?;
    let transaction = transaction(ctx, message)?;
    check_rate(ctx, client, std::iter::once(transaction.payload.len()))?;
    let id = transaction.id(&ctx.node.network);
    // Before anything else, so that no block can pass unseen.
    let waiting = wait_for_order.then(|| ctx.ordered.register(id, transaction.expiry));
    let (answers, mut answer) = mpsc::unbounded_channel();
    let submission = Submission {
        seq: 0,
        transaction,
    };
    ingress.submit(vec![submission], &answers);
    drop(answers);
    let answer = timeout_at(deadline, answer.recv()).await;
    let answer = answer.map_err(|_| elapsed(&id, v1::Status::Received))?;
    // A node that stops answers nothing more.
    let accepted = match answer.ok_or_else(Failure::shutting_down)? {
        Answer::Accepted { batch, entries } => {
            let index = entries.first().map_or(0, |(_, index)| *index);
            accepted_response(&batch, index)?
        }
        Answer::Known {
            progress, expiry, ..
        } => known_response(ctx, id, expiry, progress).await?,
        Answer::Refused { refusal, .. } => return Err(Failure::from(&refusal)),
    };
    let Some(mut waiting) = waiting else {
        return Ok(accepted);
    };
    let reached = accepted
        .status
        .as_ref()
        .map_or(v1::Status::Received, |s| s.status());
    if reached == v1::Status::Ordered {
        return Ok(accepted);
    }
    match timeout_at(deadline, waiting.ending()).await {
        Err(_) => Err(elapsed(&id, reached)),
        Ok(None) => Err(Failure::shutting_down()),
        Ok(Some(Ending::Ordered(_))) => {
            let ordered = ordered_response(ctx, id).await?;
            let mut response =
                ordered.ok_or_else(|| Failure::internal("an ordered transaction is not found"))?;
            response.receipt = accepted.receipt.or(response.receipt);
            Ok(response)
        }
        Ok(Some(Ending::Expired(height))) => {
            let mut response = accepted;
            if let Some(status) = response.status.as_mut() {
                status::expire(status, height);
            }
            Ok(response)
        }
    }
}

fn accepted_response(batch: &Batch, index: u32) -> Result<v1::SubmitTransactionResponse, Failure> {
    let parts = status::accepted(batch, index).zip(proofs::receipt(batch, index));
    let (status, receipt) =
        parts.ok_or_else(|| Failure::internal("an answer points outside its batch"))?;
    Ok(v1::SubmitTransactionResponse {
        status: Some(status),
        receipt: Some(receipt),
    })
}

/// The answer for a transaction that is ordered already, with the receipt if the own lane holds it.
async fn ordered_response(
    ctx: &Shared,
    id: TxId,
) -> Result<Option<v1::SubmitTransactionResponse>, Failure> {
    let ctx = Arc::clone(ctx);
    blocking(move || {
        let Lookup::Found(found) = ctx.locate(&id)? else {
            return Ok(None);
        };
        let (signed, index) = proofs::placed(&found)?;
        let receipt = if ctx.node.me == Some(signed.header.lane) {
            let digest = signed.header.digest(&ctx.node.network);
            proofs::receipt(&ctx.bodies.load(&ctx.node, &digest)?, index)
        } else {
            None
        };
        Ok(Some(v1::SubmitTransactionResponse {
            status: Some(status::ordered(&found)?),
            receipt,
        }))
    })
    .await
}

/// The answer for a transaction that was submitted here before.
async fn known_response(
    ctx: &Shared,
    id: TxId,
    expiry: Height,
    progress: TxProgress,
) -> Result<v1::SubmitTransactionResponse, Failure> {
    // The order says more than the own lane, which may hold a copy that does not count.
    if let Some(response) = ordered_response(ctx, id).await? {
        return Ok(response);
    }
    if let Some((batch, index)) = status::own_batch(ctx, &id) {
        return accepted_response(&batch, index);
    }
    let status = v1::TransactionStatus {
        tx_id: bytes_of(&id),
        status: status_of(progress).into(),
        expiry_height: expiry.0,
        updated_at_ms: clock::wall_ms(),
        ..v1::TransactionStatus::default()
    };
    Ok(v1::SubmitTransactionResponse {
        status: Some(status),
        receipt: None,
    })
}
