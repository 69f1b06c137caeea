//! The task that owns the swarm: events in, commands in, decisions out.

use super::{
    behaviour::{Behaviour, BehaviourEvent, Names},
    config::{
        ANSWERS_MAX, ANSWERS_PER_PEER_MAX, ControlPlaneConfig, REQUESTS_MAX,
        SYNC_REPLY_BYTES_LIMIT, UPKEEP_INTERVAL, VALIDATIONS_MAX,
    },
    discovery::Discovery,
    inbound::{ControlInbound, Verdict},
    peers::{PeerInfo, Peers, RequestError},
};
use bytes::Bytes;
use futures::StreamExt;
use libp2p::{
    Multiaddr, PeerId, Swarm,
    gossipsub::{self, MessageAcceptance, MessageId, PublishError},
    identify, kad,
    request_response::{self, Message, OutboundRequestId, ResponseChannel},
    swarm::SwarmEvent,
};
use squad_primitives::{OperatorId, PublicKey};
use std::{
    collections::{BTreeMap, HashMap},
    sync::Arc,
    time::SystemTime,
};
use tokio::{
    sync::{mpsc, oneshot, watch},
    task::JoinSet,
    time::{MissedTickBehavior, interval},
};
use tokio_util::sync::CancellationToken;

/// What the handle asks for.
#[derive(Debug)]
pub(crate) enum Command {
    Publish(Bytes),
    Request {
        peer: PeerId,
        request: Bytes,
        reply: oneshot::Sender<Result<Bytes, RequestError>>,
    },
    SetOperators(Vec<(OperatorId, PublicKey)>),
    Dial(Multiaddr),
}

/// What a spawned task of the handler brought.
enum Done {
    Judged {
        id: MessageId,
        from: PeerId,
        block: Bytes,
        verdict: Verdict,
    },
    Answered {
        peer: PeerId,
        channel: ResponseChannel<Option<Vec<u8>>>,
        reply: Option<Bytes>,
    },
}

pub(crate) struct Driver {
    config: ControlPlaneConfig,
    names: Names,
    swarm: Swarm<Behaviour>,
    handler: Arc<dyn ControlInbound>,
    commands: mpsc::Receiver<Command>,
    discovery: Discovery,
    peers: Peers,
    shown: watch::Sender<Arc<[PeerInfo]>>,
    stop: CancellationToken,
    waiting: HashMap<OutboundRequestId, oneshot::Sender<Result<Bytes, RequestError>>>,
    tasks: JoinSet<Done>,
    judging: usize,
    answering: BTreeMap<PeerId, usize>,
}

/// What a [`Driver`] is made of; the rest starts empty.
pub(crate) struct Parts {
    pub(crate) config: ControlPlaneConfig,
    pub(crate) names: Names,
    pub(crate) swarm: Swarm<Behaviour>,
    pub(crate) handler: Arc<dyn ControlInbound>,
    pub(crate) commands: mpsc::Receiver<Command>,
    pub(crate) shown: watch::Sender<Arc<[PeerInfo]>>,
    pub(crate) stop: CancellationToken,
}

impl Driver {
    pub(crate) fn new(parts: Parts) -> Self {
        Self {
            discovery: Discovery::new(&parts.config),
            peers: Peers::default(),
            config: parts.config,
            names: parts.names,
            swarm: parts.swarm,
            handler: parts.handler,
            commands: parts.commands,
            shown: parts.shown,
            stop: parts.stop,
            waiting: HashMap::new(),
            tasks: JoinSet::new(),
            judging: 0,
            answering: BTreeMap::new(),
        }
    }

    pub(crate) async fn run(mut self) {
        self.discovery.sign_own_record(&self.swarm);
        let stop = self.stop.clone();
        let mut upkeep = interval(UPKEEP_INTERVAL);
        upkeep.set_missed_tick_behavior(MissedTickBehavior::Delay);
        loop {
            tokio::select! {
                () = stop.cancelled() => break,
                event = self.swarm.select_next_some() => self.on_event(event),
                Some(command) = self.commands.recv() => self.on_command(command),
                Some(done) = self.tasks.join_next() => {
                    // A panic aborts the process through its hook.
                    if let Ok(done) = done {
                        self.on_done(done);
                    }
                }
                _ = upkeep.tick() => self.discovery.upkeep(&mut self.swarm, &self.peers),
            }
            if self.peers.take_changed() {
                let peers = self.peers.list(|peer| self.discovery.operator_of(peer));
                self.config.metrics.peers.set(peers.len() as i64);
                self.shown.send_replace(peers);
            }
        }
        self.tasks.shutdown().await;
    }

    fn on_command(&mut self, command: Command) {
        match command {
            Command::Publish(block) => {
                let topic = self.names.blocks.clone();
                let outcome = match self.swarm.behaviour_mut().gossip.publish(topic, block) {
                    Ok(_) => "published",
                    Err(PublishError::Duplicate) => "duplicate",
                    // Nobody follows yet; who comes later asks for what it missed.
                    Err(PublishError::NoPeersSubscribedToTopic) => "no_peers",
                    Err(error) => {
                        tracing::warn!(%error, "block not published");
                        "failed"
                    }
                };
                self.config.metrics.block(outcome);
            }
            Command::Request {
                peer,
                request,
                reply,
            } => {
                if self.waiting.len() >= REQUESTS_MAX {
                    // The asker may have given up meanwhile.
                    let _ = reply.send(Err(RequestError::Busy));
                    return;
                }
                let sync = &mut self.swarm.behaviour_mut().sync;
                self.waiting
                    .insert(sync.send_request(&peer, request.to_vec()), reply);
            }
            Command::SetOperators(operators) => {
                self.discovery.set_operators(operators, &mut self.swarm);
                self.peers.touch();
            }
            Command::Dial(address) => self.discovery.dial(&mut self.swarm, address),
        }
    }

    fn on_event(&mut self, event: SwarmEvent<BehaviourEvent>) {
        match event {
            SwarmEvent::ConnectionEstablished {
                peer_id, endpoint, ..
            } => {
                self.peers
                    .connected(peer_id, endpoint.get_remote_address().clone());
            }
            SwarmEvent::ConnectionClosed {
                peer_id,
                num_established: 0,
                ..
            } => self.peers.disconnected(&peer_id),
            SwarmEvent::NewListenAddr { .. } | SwarmEvent::ExpiredListenAddr { .. } => {
                self.discovery.sign_own_record(&self.swarm);
            }
            SwarmEvent::Behaviour(event) => self.on_behaviour(event),
            _ => {}
        }
    }

    fn on_behaviour(&mut self, event: BehaviourEvent) {
        match event {
            BehaviourEvent::Identify(identify::Event::Received { peer_id, info, .. }) => {
                let serves_sync = info.protocols.contains(&self.names.sync);
                let address = self.peers.identified(&peer_id, serves_sync, &info);
                self.discovery
                    .on_identified(&mut self.swarm, peer_id, info, address);
            }
            BehaviourEvent::Gossip(gossipsub::Event::Message {
                propagation_source,
                message_id,
                message,
            }) => self.judge(propagation_source, message_id, message.data.into()),
            // The subscription filter lets only the topic of blocks through.
            BehaviourEvent::Gossip(gossipsub::Event::Subscribed { peer_id, .. }) => {
                self.peers.follows(&peer_id, true);
            }
            BehaviourEvent::Gossip(gossipsub::Event::Unsubscribed { peer_id, .. }) => {
                self.peers.follows(&peer_id, false);
            }
            BehaviourEvent::Sync(event) => self.on_sync(event),
            BehaviourEvent::Records(request_response::Event::Message { peer, message, .. }) => {
                match message {
                    Message::Request { channel, .. } => {
                        self.discovery.answer(&mut self.swarm, channel);
                    }
                    Message::Response { response, .. } => {
                        let records = response.unwrap_or_default();
                        let now = SystemTime::now();
                        self.discovery
                            .on_records(&mut self.swarm, peer, &records, now);
                        self.peers.touch();
                    }
                }
            }
            BehaviourEvent::Kad(kad::Event::RoutingUpdated {
                peer, is_new_peer, ..
            }) => {
                self.discovery
                    .on_route(&mut self.swarm, &self.peers, peer, is_new_peer);
            }
            _ => {}
        }
    }

    /// Has an announced block judged. Until the verdict, gossipsub keeps it to itself.
    fn judge(&mut self, from: PeerId, id: MessageId, block: Bytes) {
        if self.judging >= VALIDATIONS_MAX {
            self.report(&id, &from, Verdict::Ignore);
            self.config.metrics.block("busy");
            return;
        }
        self.judging += 1;
        let judged = self.handler.validate_block(block.clone());
        self.tasks.spawn(async move {
            Done::Judged {
                verdict: judged.await,
                id,
                from,
                block,
            }
        });
    }

    fn report(&mut self, id: &MessageId, from: &PeerId, verdict: Verdict) {
        let acceptance = match verdict {
            Verdict::Accept => MessageAcceptance::Accept,
            Verdict::Ignore => MessageAcceptance::Ignore,
            Verdict::Reject => MessageAcceptance::Reject,
        };
        let gossip = &mut self.swarm.behaviour_mut().gossip;
        // False if gossipsub's memory has already let go of the message; then nobody gets it from us.
        let _ = gossip.report_message_validation_result(id, from, acceptance);
    }

    fn on_done(&mut self, done: Done) {
        match done {
            Done::Judged {
                id,
                from,
                block,
                verdict,
            } => {
                self.judging -= 1;
                self.report(&id, &from, verdict);
                self.config.metrics.block(verdict.name());
                if verdict == Verdict::Accept {
                    self.handler.block(from, block);
                }
            }
            Done::Answered {
                peer,
                channel,
                reply,
            } => {
                if let Some(count) = self.answering.get_mut(&peer) {
                    *count -= 1;
                    if *count == 0 {
                        self.answering.remove(&peer);
                    }
                }
                let reply = reply.filter(|reply| {
                    let fits = reply.len() <= SYNC_REPLY_BYTES_LIMIT;
                    if !fits {
                        tracing::error!(bytes = reply.len(), "reply above its limit is not sent");
                    }
                    fits
                });
                let outcome = reply.as_ref().map_or("not_found", |_| "ok");
                self.config.metrics.served(outcome);
                // Fails if the peer has gone.
                let sync = &mut self.swarm.behaviour_mut().sync;
                let _ = sync.send_response(channel, reply.map(Vec::from));
            }
        }
    }

    fn on_sync(&mut self, event: request_response::Event<Vec<u8>, Option<Vec<u8>>>) {
        let (id, result) = match event {
            request_response::Event::Message { peer, message, .. } => match message {
                Message::Request {
                    request, channel, ..
                } => return self.answer(peer, request.into(), channel),
                Message::Response {
                    request_id,
                    response,
                } => (
                    request_id,
                    response.map(Bytes::from).ok_or(RequestError::NotFound),
                ),
            },
            request_response::Event::OutboundFailure {
                request_id, error, ..
            } => (request_id, Err(error.into())),
            _ => return,
        };
        let outcome = result.as_ref().map_or_else(RequestError::name, |_| "ok");
        self.config.metrics.request(outcome);
        if let Some(reply) = self.waiting.remove(&id) {
            // The asker may have given up meanwhile.
            let _ = reply.send(result);
        }
    }

    /// Has a sync request answered. Dropping the channel tells the peer that we won't.
    fn answer(&mut self, peer: PeerId, request: Bytes, channel: ResponseChannel<Option<Vec<u8>>>) {
        let all: usize = self.answering.values().sum();
        let own = self.answering.get(&peer).copied().unwrap_or(0);
        if all >= ANSWERS_MAX || own >= ANSWERS_PER_PEER_MAX {
            self.config.metrics.served("busy");
            return;
        }
        self.answering.insert(peer, own + 1);
        let answer = self.handler.serve(peer, request);
        self.tasks.spawn(async move {
            Done::Answered {
                reply: answer.await,
                peer,
                channel,
            }
        });
    }
}
