//! Measures how long transactions take until a certificate covers them.
//!
//! One operator's certificates are followed. A certificate for a height covers all blocks at or below it.
//! That of an ordered block counts from when the certificate arrives here; the certificates themselves
//! are not verified, as the blocks are not while the run goes on.

use super::tracker::Tracker;
use super::{Clock, lock};
use crate::measure::Latency;
use squad_client::Endpoint;
use squad_client::finality_api::SubscribeCertificatesRequest;
use squad_client::finality_api::subscribe_certificates_response::Item;
use std::collections::VecDeque;
use std::sync::{Arc, Mutex};
use std::time::Duration;

/// Pause before another operator is asked when a subscription ends.
const RETRY_AFTER: Duration = Duration::from_millis(200);

/// Certificates that are remembered for transactions whose order is noticed late: minutes of them.
const REMEMBERED_MAX: usize = 4_096;

/// Transactions of one block that wait for a certificate.
#[derive(Debug)]
struct Waiting {
    height: u64,
    ordered_us: u32,
    intended_us: Vec<u32>,
}

/// Transactions that were ordered, until they are final.
#[derive(Debug, Default)]
pub struct Finality {
    waiting: VecDeque<Waiting>,
    certificates: VecDeque<(u64, u32)>,
    count: u64,
    /// Intended time to final.
    pub total: Latency,
    /// Ordered, as seen here, to final.
    pub after_order: Latency,
}

impl Finality {
    /// Certificates that arrived.
    #[must_use]
    pub const fn certificates(&self) -> u64 {
        self.count
    }

    /// Transactions that are ordered and not final.
    #[must_use]
    pub fn waiting(&self) -> usize {
        self.waiting
            .iter()
            .map(|block| block.intended_us.len())
            .sum()
    }

    /// A transaction of the block at `height` was seen to be ordered.
    pub fn on_ordered(&mut self, height: u64, intended_us: u32, ordered_us: u32) {
        let covering = |(certified, _): &&(u64, u32)| *certified >= height;
        if let Some((_, final_us)) = self.certificates.iter().find(covering).copied() {
            // A certificate may overtake the block here: the operator streams both.
            return self.record(intended_us, ordered_us, final_us.max(ordered_us));
        }
        match self.waiting.back_mut() {
            Some(block) if block.height == height && block.ordered_us == ordered_us => {
                block.intended_us.push(intended_us);
            }
            _ => self.waiting.push_back(Waiting {
                height,
                ordered_us,
                intended_us: vec![intended_us],
            }),
        }
    }

    /// A certificate arrived.
    pub fn on_certificate(&mut self, height: u64, now_us: u32) {
        self.count += 1;
        if self
            .certificates
            .back()
            .is_some_and(|(last, _)| *last >= height)
        {
            return;
        }
        if self.certificates.len() == REMEMBERED_MAX {
            self.certificates.pop_front();
        }
        self.certificates.push_back((height, now_us));
        let (covered, waiting) = std::mem::take(&mut self.waiting)
            .into_iter()
            .partition::<VecDeque<_>, _>(|block| block.height <= height);
        self.waiting = waiting;
        for block in covered {
            for intended_us in block.intended_us {
                self.record(intended_us, block.ordered_us, now_us);
            }
        }
    }

    fn record(&mut self, intended_us: u32, ordered_us: u32, final_us: u32) {
        self.total
            .record(final_us.saturating_sub(intended_us).into());
        self.after_order
            .record(final_us.saturating_sub(ordered_us).into());
    }
}

/// Reads certificates until the task is aborted; asks the next operator when one has none to give.
pub(crate) async fn follow(endpoints: Arc<[Endpoint]>, tracker: Arc<Mutex<Tracker>>, clock: Clock) {
    for endpoint in endpoints.iter().cycle() {
        let request = SubscribeCertificatesRequest { from_height: 0 };
        if let Ok(answer) = endpoint.finality().subscribe_certificates(request).await {
            let mut stream = answer.into_inner();
            while let Ok(Some(item)) = stream.message().await {
                if let Some(Item::Certificate(certificate)) = item.item {
                    let now_us = clock.now_us();
                    lock(&tracker).on_certificate(certificate.height, now_us);
                }
            }
        }
        tokio::time::sleep(RETRY_AFTER).await;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_certificate_covers_all_blocks_up_to_its_height() {
        let mut finality = Finality::default();
        finality.on_ordered(5, 1_000, 10_000);
        finality.on_ordered(6, 2_000, 20_000);
        finality.on_ordered(8, 3_000, 30_000);
        finality.on_certificate(7, 50_000);
        assert_eq!(finality.waiting(), 1);
        assert_eq!(finality.total.summary().count, 2);
        assert_eq!(finality.total.quantile(1.0) / 100, 490);
        assert_eq!(finality.after_order.quantile(0.0) / 100, 300);
        // An older one says nothing new.
        finality.on_certificate(6, 60_000);
        assert_eq!((finality.waiting(), finality.certificates()), (1, 2));
    }

    #[test]
    fn a_block_that_is_noticed_late_counts_from_the_first_certificate_that_covers_it() {
        let mut finality = Finality::default();
        finality.on_certificate(5, 50_000);
        finality.on_certificate(9, 70_000);
        finality.on_ordered(6, 20_000, 40_000);
        assert_eq!(finality.total.quantile(1.0) / 100, 500);
        finality.on_ordered(6, 20_000, 80_000);
        assert_eq!(
            finality.total.quantile(1.0) / 100,
            600,
            "not before it is ordered"
        );
        assert_eq!(finality.waiting(), 0);
    }
}
