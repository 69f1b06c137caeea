//! Which libp2p protocols the node speaks, and how strictly.
//!
//! | protocol | use | bounds |
//! |---|---|---|
//! | identify | addresses and protocols of a peer | addresses per peer |
//! | Kademlia | routes only: nobody can store anything | replies at libp2p's packet limit |
//! | gossipsub, topic `squad/<network>/blocks/1` | committed blocks | size; forwarded only after validation; senders of invalid ones are ignored |
//! | `/squad/sync/1/<network>` | blocks and batches on request | sizes, streams, time |
//! | `/squad/records/1/<network>` | operator records | size |

use super::{
    codec::BytesCodec,
    config::{
        BLOCK_BYTES_LIMIT, ControlPlaneConfig, REQUEST_TIMEOUT, SYNC_REPLY_BYTES_LIMIT,
        SYNC_REQUEST_BYTES_LIMIT,
    },
    record::RECORDS_BYTES_LIMIT,
};
use libp2p::{
    PeerId, StreamProtocol,
    connection_limits::{self, ConnectionLimits},
    gossipsub::{
        self, IdentTopic, IdentityTransform, MessageAuthenticity, MessageId, PeerScoreParams,
        PeerScoreThresholds, TopicScoreParams, ValidationMode, WhitelistSubscriptionFilter,
    },
    identify,
    identity::Keypair,
    kad::{self, store::MemoryStore},
    ping,
    request_response::{self, ProtocolSupport},
    swarm::NetworkBehaviour,
};
use squad_primitives::NetworkId;
use std::{
    collections::{HashMap, HashSet},
    error::Error,
    time::Duration,
};

/// Handshakes under way, in and out.
const PENDING_MAX: u32 = 64;
/// Streams of one protocol on one connection.
const STREAMS_MAX: usize = 8;
/// Weight of invalid blocks. The score falls with the square of their number: two push the sender out
/// of the mesh and its gossip, three make us ignore it until they decay.
const INVALID_WEIGHT: f64 = -10.0;

/// Gossip that knows one topic: subscriptions of peers to any other are not kept.
type Gossip = gossipsub::Behaviour<IdentityTransform, WhitelistSubscriptionFilter>;

#[derive(NetworkBehaviour)]
pub(crate) struct Behaviour {
    pub(crate) limits: connection_limits::Behaviour,
    pub(crate) identify: identify::Behaviour,
    pub(crate) ping: ping::Behaviour,
    pub(crate) kad: kad::Behaviour<MemoryStore>,
    pub(crate) gossip: Gossip,
    pub(crate) sync: request_response::Behaviour<BytesCodec>,
    pub(crate) records: request_response::Behaviour<BytesCodec>,
}

/// Names that carry the network, so that nodes of another one share no protocol with us.
#[derive(Clone, Debug)]
pub(crate) struct Names {
    pub(crate) blocks: IdentTopic,
    pub(crate) sync: StreamProtocol,
    kad: StreamProtocol,
    records: StreamProtocol,
    identify: String,
}

impl Names {
    pub(crate) fn new(network: &NetworkId) -> Result<Self, libp2p::swarm::InvalidProtocol> {
        let protocol = |name| StreamProtocol::try_from_owned(format!("/squad/{name}/1/{network}"));
        Ok(Self {
            blocks: IdentTopic::new(format!("squad/{network}/blocks/1")),
            sync: protocol("sync")?,
            kad: protocol("kad")?,
            records: protocol("records")?,
            identify: format!("/squad/1/{network}"),
        })
    }
}

impl Behaviour {
    pub(crate) fn new(
        config: &ControlPlaneConfig,
        names: &Names,
        keypair: &Keypair,
    ) -> Result<Self, Box<dyn Error + Send + Sync>> {
        let me = keypair.public().to_peer_id();
        let sync_support = if config.serve_sync {
            ProtocolSupport::Full
        } else {
            ProtocolSupport::Outbound
        };
        Ok(Self {
            limits: connection_limits::Behaviour::new(limits(config.peers_max)),
            identify: identify::Behaviour::new(
                identify::Config::new(names.identify.clone(), keypair.public())
                    .with_agent_version(concat!("squad/", env!("CARGO_PKG_VERSION")).into()),
            ),
            ping: ping::Behaviour::default(),
            kad: kademlia(me, config, names),
            gossip: gossip(names)?,
            sync: requests(
                names.sync.clone(),
                sync_support,
                BytesCodec {
                    request_limit: SYNC_REQUEST_BYTES_LIMIT,
                    reply_limit: SYNC_REPLY_BYTES_LIMIT,
                },
            ),
            records: requests(
                names.records.clone(),
                ProtocolSupport::Full,
                BytesCodec {
                    request_limit: 0,
                    reply_limit: RECORDS_BYTES_LIMIT,
                },
            ),
        })
    }
}

fn limits(peers_max: u32) -> ConnectionLimits {
    ConnectionLimits::default()
        .with_max_pending_incoming(Some(PENDING_MAX))
        .with_max_pending_outgoing(Some(PENDING_MAX))
        .with_max_established(Some(peers_max))
        // Strangers can't take all places: some are left for peers we choose ourselves.
        .with_max_established_incoming(Some(peers_max - peers_max / 4))
        .with_max_established_per_peer(Some(2))
}

fn kademlia(me: PeerId, config: &ControlPlaneConfig, names: &Names) -> kad::Behaviour<MemoryStore> {
    let mut kad = kad::Config::new(names.kad.clone());
    // Records of strangers are handed to the driver, which drops them.
    kad.set_record_filtering(kad::StoreInserts::FilterBoth)
        .set_query_timeout(REQUEST_TIMEOUT);
    let mut behaviour = kad::Behaviour::with_config(me, MemoryStore::new(me), kad);
    behaviour.set_mode(Some(match config.listen {
        Some(_) => kad::Mode::Server,
        None => kad::Mode::Client,
    }));
    behaviour
}

fn gossip(names: &Names) -> Result<Gossip, Box<dyn Error + Send + Sync>> {
    let config = gossipsub::ConfigBuilder::default()
        // Blocks prove themselves by their certificate; who relays one doesn't matter.
        .validation_mode(ValidationMode::Anonymous)
        .message_id_fn(|message| MessageId::from(blake3::hash(&message.data).as_bytes().as_slice()))
        .validate_messages()
        .max_transmit_size(BLOCK_BYTES_LIMIT + 1_024)
        .heartbeat_initial_delay(Duration::from_millis(100))
        .heartbeat_interval(Duration::from_millis(700))
        .flood_publish(true)
        .build()?;
    let filter = WhitelistSubscriptionFilter(HashSet::from([names.blocks.hash()]));
    let mut behaviour =
        Gossip::new_with_subscription_filter(MessageAuthenticity::Anonymous, config, filter)?;
    let topic = TopicScoreParams {
        invalid_message_deliveries_weight: INVALID_WEIGHT,
        invalid_message_deliveries_decay: 0.99,
        // Blocks reach a peer by several ways; being second is no fault.
        mesh_message_deliveries_weight: 0.0,
        mesh_failure_penalty_weight: 0.0,
        ..TopicScoreParams::default()
    };
    let score = PeerScoreParams {
        topics: HashMap::from([(names.blocks.hash(), topic)]),
        // Several nodes behind one address are normal: localnets, data centres.
        ip_colocation_factor_weight: 0.0,
        ..PeerScoreParams::default()
    };
    let thresholds = PeerScoreThresholds {
        gossip_threshold: -20.0,
        publish_threshold: -40.0,
        graylist_threshold: -80.0,
        ..PeerScoreThresholds::default()
    };
    behaviour.with_peer_score(score, thresholds)?;
    behaviour.subscribe(&names.blocks)?;
    Ok(behaviour)
}

fn requests(
    protocol: StreamProtocol,
    support: ProtocolSupport,
    codec: BytesCodec,
) -> request_response::Behaviour<BytesCodec> {
    let config = request_response::Config::default()
        .with_request_timeout(REQUEST_TIMEOUT)
        .with_max_concurrent_streams(STREAMS_MAX);
    request_response::Behaviour::with_codec(codec, [(protocol, support)], config)
}
