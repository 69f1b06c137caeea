//! `OperatorService`: the node's own view of things, committees, the present leader.

use super::submit_stream::STREAM_WINDOW;
use crate::api::context::{Context, Shared, blocking};
use crate::api::errors::Failure;
use crate::api::proofs::bytes_of;
use crate::node::handle::NodeStatus;
use bytes::Bytes;
use squad_mempool::admission::Intake;
use squad_primitives::{Epoch, Height};
use squad_proto::codec::TRANSACTIONS_PER_MESSAGE;
use squad_proto::reason::Reason;
use squad_proto::v1;
use squad_proto::v1::operator_service_server::OperatorService;
use std::sync::Arc;
use tonic::{Request, Response, Status};

/// Version of the protocol between operators.
const PROTOCOL_VERSION: u32 = 1;

/// The service.
#[derive(Debug)]
pub(super) struct Service(pub(super) Shared);

#[tonic::async_trait]
impl OperatorService for Service {
    async fn get_status(
        &self,
        _: Request<v1::GetStatusRequest>,
    ) -> Result<Response<v1::GetStatusResponse>, Status> {
        let ctx = Arc::clone(&self.0);
        Ok(Response::new(blocking(move || get_status(&ctx)).await?))
    }

    async fn list_operators(
        &self,
        request: Request<v1::ListOperatorsRequest>,
    ) -> Result<Response<v1::ListOperatorsResponse>, Status> {
        let epoch = known_epoch(&self.0, request.get_ref().epoch)?;
        let (operators, total_stake) = operators(&self.0, epoch);
        Ok(Response::new(v1::ListOperatorsResponse {
            epoch: epoch.0,
            operators,
            total_stake,
        }))
    }

    async fn get_epoch(
        &self,
        request: Request<v1::GetEpochRequest>,
    ) -> Result<Response<v1::GetEpochResponse>, Status> {
        let epoch = known_epoch(&self.0, request.get_ref().epoch)?;
        let (operators, total_stake) = operators(&self.0, epoch);
        let length = self.0.node.genesis.params.epoch_length_blocks;
        let last = (epoch.0 + 1) * length;
        Ok(Response::new(v1::GetEpochResponse {
            epoch: epoch.0,
            first_height: epoch.0 * length + 1,
            last_height: (self.0.head().0 >= last).then_some(last),
            operators,
            total_stake,
        }))
    }

    async fn get_leader(
        &self,
        request: Request<v1::GetLeaderRequest>,
    ) -> Result<Response<v1::GetLeaderResponse>, Status> {
        Ok(Response::new(get_leader(
            &self.0.node.status.borrow(),
            request.get_ref(),
        )?))
    }
}

/// Epoch of the next block.
fn current_epoch(ctx: &Context) -> Epoch {
    Epoch(ctx.head().0 / ctx.node.genesis.params.epoch_length_blocks)
}

fn known_epoch(ctx: &Context, asked: Option<u64>) -> Result<Epoch, Failure> {
    let current = current_epoch(ctx);
    let epoch = asked.map_or(current, Epoch);
    if epoch > current {
        let message = format!("epoch {epoch} has not begun, the current one is {current}");
        return Err(Failure::new(Reason::UnknownEpoch, message));
    }
    Ok(epoch)
}

fn operators(ctx: &Context, epoch: Epoch) -> (Vec<v1::Operator>, u64) {
    let committee = ctx.node.committee(epoch);
    let operators = committee.members().iter().map(|member| {
        let entry = ctx.node.genesis.operators.get(member.operator.0 as usize);
        let own = ctx.node.me == Some(member.operator);
        v1::Operator {
            operator_id: member.operator.0,
            public_key: Bytes::copy_from_slice(&member.key.0),
            stake: member.stake.0,
            address: entry.map_or_else(String::new, |entry| entry.address.to_string()),
            endpoint: if own {
                ctx.endpoint.clone()
            } else {
                String::new()
            },
        }
    });
    (operators.collect(), committee.total().0)
}

fn get_leader(
    status: &NodeStatus,
    request: &v1::GetLeaderRequest,
) -> Result<v1::GetLeaderResponse, Failure> {
    let current = v1::ViewId::from(&status.view);
    let view = request.view.unwrap_or(current);
    if view.epoch != current.epoch {
        let message = format!("epoch {} is not the current one", view.epoch);
        return Err(Failure::new(Reason::UnknownEpoch, message).with("epoch", current.epoch));
    }
    if view != current {
        // Who leads another view depends on who is silent by then.
        let problem = format!("only the current view, {}, is answered", current.view);
        return Err(Failure::field("view", problem).with("view", current.view));
    }
    let leader = status.leader.ok_or_else(|| {
        let message = "this node takes no part in consensus and knows no leader";
        Failure::new(Reason::NotACommitteeMember, message)
    })?;
    Ok(v1::GetLeaderResponse {
        view: Some(view),
        operator_id: leader.0,
    })
}

fn limits(ctx: &Context) -> v1::Limits {
    let rules = &ctx.node.genesis.consensus;
    let number = |value: usize| u32::try_from(value).unwrap_or(u32::MAX);
    v1::Limits {
        payload_bytes_limit: u32::try_from(rules.payload_bytes_limit).unwrap_or(u32::MAX),
        expiry_max_blocks: rules.expiry_max_blocks,
        message_bytes_limit: number(ctx.message_bytes_limit),
        transactions_per_message: number(TRANSACTIONS_PER_MESSAGE),
        stream_window: number(STREAM_WINDOW),
    }
}

fn get_status(ctx: &Context) -> Result<v1::GetStatusResponse, Failure> {
    let node = &ctx.node;
    let status = node.status.borrow().clone();
    let ordered = ctx.head();
    let last = match ordered {
        Height::ZERO => None,
        height => node.block(height)?,
    };
    let role = match node.me {
        Some(_) => v1::Role::Operator,
        None => v1::Role::Observer,
    };
    let peers = status.peers.iter().map(|peer| v1::Peer {
        operator_id: peer.operator.0,
        connected: peer.connected,
        rtt_us: peer.rtt_us,
        lane_seq: peer.lane_seq.0,
        acked_seq: peer.acked_seq.0,
    });
    let committed = last.as_ref().map(|block| &block.committed);
    Ok(v1::GetStatusResponse {
        network_id: bytes_of(&node.network),
        network: node.genesis.network.clone(),
        version: env!("CARGO_PKG_VERSION").to_owned(),
        protocol_version: PROTOCOL_VERSION,
        role: role.into(),
        operator_id: node.me.map(|me| me.0),
        committed_height: status.committed.0.max(ordered.0),
        ordered_height: ordered.0,
        ordered_block: bytes_of(&committed.map_or(node.network, |block| block.hash)),
        ordered_timestamp_ms: committed.map_or(node.genesis.genesis_time_ms, |committed| {
            committed.block.timestamp_ms
        }),
        earliest_height: node.reader.earliest().0,
        view: Some((&status.view).into()),
        syncing: status.syncing,
        target_height: status.target.0.max(ordered.0),
        peers: peers.collect(),
        limits: Some(limits(ctx)),
        lane: node.me.map(|_| v1::Lane {
            tip_seq: status.own_tip.0,
            ordered_seq: status.own_ordered.0,
            queued_transactions: status.queued_transactions,
            queued_bytes: status.queued_bytes,
        }),
        started_at_ms: status.started_at_ms,
        final_height: node.finality.as_ref().map(|finality| finality.height().0),
        intake: node
            .ingress
            .as_ref()
            .map_or(v1::Intake::Unspecified, |ingress| {
                intake(ingress.view().intake)
            })
            .into(),
    })
}

const fn intake(intake: Intake) -> v1::Intake {
    match intake {
        Intake::Open => v1::Intake::Open,
        Intake::Syncing => v1::Intake::Syncing,
        Intake::NoQuorum => v1::Intake::NoQuorum,
        Intake::LaneWindow => v1::Intake::LaneWindow,
        Intake::ShuttingDown => v1::Intake::ShuttingDown,
    }
}
