//! One operator's lanes, stepped by hand.

use super::{NETWORK, at, id, persist_id};
use crate::keys::{CountingVerifier, committee, key_of};
use squad_mempool::{LaneInput, LaneOutput, Lanes, LanesConfig, Recovered};
use squad_primitives::SignedHeader;
use squad_primitives::message::LaneMessage;
use std::sync::Arc;

/// One operator's lanes alone, for scripted tests.
pub(crate) struct Alone {
    pub(crate) lanes: Lanes,
    pub(crate) verifier: Arc<CountingVerifier>,
}

impl Alone {
    pub(crate) fn new(me: u32, stakes: &[u64]) -> Self {
        Self::with(LanesConfig::new(NETWORK, Some(id(me))), stakes)
    }

    pub(crate) fn with(config: LanesConfig, stakes: &[u64]) -> Self {
        let verifier = Arc::new(CountingVerifier::default());
        let me = config.me.unwrap().0;
        let lanes = Lanes::recover(
            config,
            committee(0, stakes),
            Some(Arc::new(key_of(me))),
            verifier.clone(),
            Recovered::default(),
        );
        let mut alone = Self { lanes, verifier };
        for peer in 0..stakes.len() as u32 {
            if peer != me {
                alone.step(0, LaneInput::PeerConnected(id(peer)));
            }
        }
        alone
    }

    pub(crate) fn step(&mut self, micros: u64, input: LaneInput) -> Vec<LaneOutput> {
        let mut out = Vec::new();
        self.lanes.step(at(micros), input, &mut out);
        out
    }

    pub(crate) fn message(
        &mut self,
        micros: u64,
        from: u32,
        message: LaneMessage,
    ) -> Vec<LaneOutput> {
        self.step(
            micros,
            LaneInput::Message {
                from: id(from),
                message,
            },
        )
    }

    /// Gives a batch and reports every write durable.
    pub(crate) fn receive(
        &mut self,
        micros: u64,
        from: u32,
        signed: SignedHeader,
    ) -> Vec<LaneOutput> {
        let mut out = self.offer(micros, from, signed);
        let last = out.iter().filter_map(persist_id).max();
        if let Some(last) = last {
            out.extend(self.step(micros, LaneInput::Persisted(last)));
        }
        out
    }

    pub(crate) fn offer(
        &mut self,
        micros: u64,
        from: u32,
        signed: SignedHeader,
    ) -> Vec<LaneOutput> {
        let input = LaneInput::Batch {
            from: id(from),
            signed,
            poas: Vec::new(),
        };
        self.step(micros, input)
    }

    /// Ticks whenever a deadline passes, up to a time.
    pub(crate) fn run_to(&mut self, micros: u64) -> Vec<(u64, LaneOutput)> {
        let mut all = Vec::new();
        while let Some(due) = self.lanes.next_deadline().filter(|due| due.0 <= micros) {
            let out = self.step(due.0, LaneInput::Tick);
            all.extend(out.into_iter().map(|output| (due.0, output)));
        }
        all
    }
}
