//! Replicas of `hotstuff_rs` 0.4.0 over the same links.
//!
//! - Messages cross the links in the crate's own borsh encoding.
//! - `recv` waits a little instead of returning at once, so that the poller thread doesn't spin.
//! - The block sync server spins by design, and an event handler would start an event bus that spins
//!   too. So commits are observed in the store, and the server threads get the lowest priority and
//!   are left out of the CPU figures.
//! - `max_view_time` is cut to whole seconds by the crate: one second is the shortest that works.

use borsh::{BorshDeserialize, BorshSerialize};
use bytes::Bytes;
use hotstuff_rs::app::{
    App, ProduceBlockRequest, ProduceBlockResponse, ValidateBlockRequest, ValidateBlockResponse,
};
use hotstuff_rs::block_tree::pluggables::{KVGet, KVStore, WriteBatch};
use hotstuff_rs::block_tree::variables::BLOCK_AT_HEIGHT;
use hotstuff_rs::hotstuff::messages::HotStuffMessage;
use hotstuff_rs::networking::messages::{Message, ProgressMessage};
use hotstuff_rs::networking::network::Network;
use hotstuff_rs::replica::{Configuration, Replica, ReplicaSpec};
use hotstuff_rs::types::crypto_primitives::{CryptoHasher, Digest, SigningKey, VerifyingKey};
use hotstuff_rs::types::data_types::{
    BufferSize, ChainID, CryptoHash, Data, Datum, EpochLength, Power,
};
use hotstuff_rs::types::update_sets::{AppStateUpdates, ValidatorSetUpdates};
use hotstuff_rs::types::validator_set::{ValidatorSet, ValidatorSetState};
use squad_benches::cpu;
use squad_benches::links::{Delivery, Links};
use squad_benches::record::Recorder;
use std::collections::BTreeMap;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::mpsc::Receiver;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

/// How long `recv` waits for a message.
const RECV_WAIT: Duration = Duration::from_millis(5);

/// A running replica.
pub(crate) struct Running {
    replica: Option<Replica<Store>>,
    /// The block sync server's thread.
    spinner: Option<i32>,
}

impl Running {
    /// Starts a replica of a committee of equal power.
    pub(crate) fn start(
        index: usize,
        members: usize,
        inbox: Receiver<Delivery>,
        links: Links,
        recorder: Arc<Recorder>,
    ) -> Self {
        let mut updates = ValidatorSetUpdates::new();
        let keys: Vec<_> = (0..members).map(signing_key).collect();
        for key in &keys {
            updates.insert(key.verifying_key(), Power::new(1));
        }
        let mut set = ValidatorSet::new();
        set.apply_updates(&updates);
        let store = Store {
            index,
            map: Arc::default(),
            recorder: recorder.clone(),
        };
        let state = ValidatorSetState::new(set.clone(), set, None, true);
        Replica::initialize(store.clone(), AppStateUpdates::new(), state);
        let network = Port {
            index,
            keys: keys.iter().map(SigningKey::verifying_key).collect(),
            inbox: Arc::new(Mutex::new(inbox)),
            links,
            recorder,
        };
        let before = cpu::thread_ids();
        let replica = ReplicaSpec::builder()
            .app(SmallBlocks)
            .network(network)
            .kv_store(store)
            .configuration(configuration(signing_key(index), members))
            .build()
            .start();
        // Spawn order of 0.4.0: poller, block sync server, algorithm.
        let spawned: Vec<_> = cpu::thread_ids().difference(&before).copied().collect();
        let spinner = spawned.get(1).copied();
        if let Some(id) = spinner {
            // Refused only if the thread has ended; then it doesn't spin either.
            let _ = cpu::yield_to_others(id);
        }
        Self {
            replica: Some(replica),
            spinner,
        }
    }

    /// CPU time of the thread that spins.
    pub(crate) fn spinning(&self) -> Duration {
        self.spinner.map(cpu::of_thread).unwrap_or_default()
    }
}

impl Drop for Running {
    /// Stops the replica's threads. Panics of theirs have been printed and end here.
    fn drop(&mut self) {
        let replica = self.replica.take();
        let _ = catch_unwind(AssertUnwindSafe(|| drop(replica)));
    }
}

fn signing_key(index: usize) -> SigningKey {
    let byte = u8::try_from(index + 1).expect("at most 128 replicas");
    SigningKey::from_bytes(&[byte; 32])
}

/// Chosen to give the crate its best chance:
///
/// - the shortest view time that works, and epochs of one turn each: deadlines count from the start of
///   an epoch, so a view that fails late in a fast epoch of 50 would hold all up for 50 seconds;
/// - block sync that sets in soon;
/// - a buffer without end: messages that leave it are never subtracted from its size, so that any
///   bound is used up in time and later messages are dropped.
fn configuration(me: SigningKey, members: usize) -> Configuration {
    let turn_each = u32::try_from(members).expect("at most 128 replicas");
    Configuration::builder()
        .me(me)
        .chain_id(ChainID::new(0))
        .block_sync_request_limit(10)
        .block_sync_server_advertise_time(Duration::from_secs(1))
        .block_sync_response_timeout(Duration::from_millis(500))
        .block_sync_blacklist_expiry_time(Duration::from_secs(1))
        .block_sync_trigger_min_view_difference(2)
        .block_sync_trigger_timeout(Duration::from_secs(2))
        .progress_msg_buffer_capacity(BufferSize::new(1 << 40))
        .epoch_length(EpochLength::new(turn_each))
        .max_view_time(Duration::from_secs(1))
        .log_events(false)
        .build()
}

/// One end of the links.
#[derive(Clone)]
struct Port {
    index: usize,
    keys: Vec<VerifyingKey>,
    inbox: Arc<Mutex<Receiver<Delivery>>>,
    links: Links,
    recorder: Arc<Recorder>,
}

fn encode(message: &Message) -> Bytes {
    let bytes = message.try_to_vec();
    bytes.expect("writing to memory can't fail").into()
}

impl Network for Port {
    fn init_validator_set(&mut self, _: ValidatorSet) {}

    fn update_validator_set(&mut self, _: ValidatorSetUpdates) {}

    fn broadcast(&mut self, message: Message) {
        let bytes = encode(&message);
        if let Message::ProgressMessage(ProgressMessage::HotStuffMessage(
            HotStuffMessage::Proposal(proposal),
        )) = &message
        {
            let (view, hash) = (proposal.view.int(), proposal.block.hash.bytes());
            self.recorder.proposed(self.index, view, hash);
        }
        self.links.broadcast(self.index, &bytes);
        // The crate expects to hear itself.
        self.links.send(self.index, self.index, bytes);
    }

    fn send(&mut self, peer: VerifyingKey, message: Message) {
        if let Some(to) = self.keys.iter().position(|key| *key == peer) {
            self.links.send(self.index, to, encode(&message));
        }
    }

    fn recv(&mut self) -> Option<(VerifyingKey, Message)> {
        let inbox = self.inbox.lock().unwrap_or_else(PoisonError::into_inner);
        let delivery = inbox.recv_timeout(RECV_WAIT).ok()?;
        let message = Message::try_from_slice(&delivery.bytes);
        let message = message.expect("replicas send messages of the crate only");
        Some((self.keys[delivery.from], message))
    }
}

/// Blocks of eight bytes, always legal.
struct SmallBlocks;

fn data_hash(data: &Data) -> CryptoHash {
    let mut hasher = CryptoHasher::new();
    for datum in data.iter() {
        hasher.update(datum.bytes());
    }
    CryptoHash::new(hasher.finalize().into())
}

impl App<Store> for SmallBlocks {
    fn produce_block(&mut self, request: ProduceBlockRequest<'_, Store>) -> ProduceBlockResponse {
        let view = request.cur_view().int().to_le_bytes();
        let data = Data::new(vec![Datum::new(view.to_vec())]);
        ProduceBlockResponse {
            data_hash: data_hash(&data),
            data,
            app_state_updates: None,
            validator_set_updates: None,
        }
    }

    fn validate_block(
        &mut self,
        request: ValidateBlockRequest<'_, '_, Store>,
    ) -> ValidateBlockResponse {
        let block = request.proposed_block();
        if block.data_hash != data_hash(&block.data) {
            return ValidateBlockResponse::Invalid;
        }
        ValidateBlockResponse::Valid {
            app_state_updates: None,
            validator_set_updates: None,
        }
    }

    fn validate_block_for_sync(
        &mut self,
        request: ValidateBlockRequest<'_, '_, Store>,
    ) -> ValidateBlockResponse {
        self.validate_block(request)
    }
}

type Map = BTreeMap<Vec<u8>, Vec<u8>>;

/// In-memory store that notes when a block becomes committed: the crate then writes its hash under
/// its height.
#[derive(Clone)]
struct Store {
    index: usize,
    map: Arc<Mutex<Map>>,
    recorder: Arc<Recorder>,
}

impl Store {
    fn map(&self) -> MutexGuard<'_, Map> {
        self.map.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl KVGet for Store {
    fn get(&self, key: &[u8]) -> Option<Vec<u8>> {
        self.map().get(key).cloned()
    }
}

impl KVStore for Store {
    type WriteBatch = Writes;
    type Snapshot<'a> = Snapshot<'a>;

    fn write(&mut self, writes: Writes) {
        let mut committed = Vec::new();
        let mut map = self.map();
        for (key, value) in writes.0 {
            if let Some(value) = value {
                if key.starts_with(&BLOCK_AT_HEIGHT) {
                    committed.push(value.clone());
                }
                map.insert(key, value);
            } else {
                map.remove(&key);
            }
        }
        drop(map);
        for hash in committed {
            let hash = hash.try_into().expect("a hash of 32 bytes");
            self.recorder.committed(self.index, hash);
        }
    }

    fn clear(&mut self) {
        self.map().clear();
    }

    fn snapshot(&self) -> Snapshot<'_> {
        Snapshot(self.map())
    }
}

/// Last write of each key; `None` deletes.
struct Writes(BTreeMap<Vec<u8>, Option<Vec<u8>>>);

impl WriteBatch for Writes {
    fn new() -> Self {
        Self(BTreeMap::new())
    }

    fn set(&mut self, key: &[u8], value: &[u8]) {
        self.0.insert(key.to_vec(), Some(value.to_vec()));
    }

    fn delete(&mut self, key: &[u8]) {
        self.0.insert(key.to_vec(), None);
    }
}

struct Snapshot<'a>(MutexGuard<'a, Map>);

impl KVGet for Snapshot<'_> {
    fn get(&self, key: &[u8]) -> Option<Vec<u8>> {
        self.0.get(key).cloned()
    }
}
