//! Gaps in the certificates.
//!
//! A replica that jumped lacks the certificates between the last block that it knows to be certified and
//! the view that it jumped to; without them it can neither vote nor propose. They are asked for page by
//! page from the signers of the TC above the gap, each of whom holds the certificate of the view before.

use crate::PeerFault;
use crate::certificates::Search;
use crate::context::Context;
use crate::core::Core;
use squad_primitives::message::{CERTIFICATES_PER_PAGE, ConsensusMessage};
use squad_primitives::{Certificate, Duration, OperatorId, StatementKind, Time, View, ViewId};

/// The request for certificates that is open.
#[derive(Clone, Debug, Default)]
pub(crate) struct CertificateChase {
    about: Option<View>,
    due: Time,
    turn: usize,
}

/// Certificates that are needed now.
struct Lacking {
    after: View,
    up_to: View,
    sources: Vec<OperatorId>,
    patience: Duration,
}

impl Core {
    pub(crate) fn chase_certificates(&mut self, cx: &mut Context<'_>) {
        let Some(lacking) = self.lacking_certificates() else {
            self.certificate_chase.about = None;
            return;
        };
        let chase = &mut self.certificate_chase;
        if chase.about != Some(lacking.up_to) {
            *chase = CertificateChase {
                about: Some(lacking.up_to),
                due: cx.now.time.after(lacking.patience),
                turn: chase.turn,
            };
        }
        if !cx.due(chase.due) || lacking.sources.is_empty() {
            return;
        }
        let source = lacking.sources.get(chase.turn % lacking.sources.len());
        chase.turn = chase.turn.wrapping_add(1);
        chase.due = cx.now.time.after(self.config.rebroadcast);
        cx.wake(chase.due);
        if let Some(source) = source {
            let epoch = self.at.epoch;
            let request = ConsensusMessage::CertificatesRequest {
                after: ViewId::new(epoch, lacking.after),
                up_to: ViewId::new(epoch, lacking.up_to),
            };
            cx.send(*source, request);
        }
    }

    fn lacking_certificates(&self) -> Option<Lacking> {
        self.voter()?;
        // The way down from the current view to the block that a proposal extends is broken.
        if let Search::Gap(missing) = self.search() {
            let above = self
                .certificates
                .get(StatementKind::Timeout, missing.next());
            let above = above.or(self.entry_certificate());
            return Some(Lacking {
                after: self.root_view(),
                up_to: missing.next(),
                sources: self.other_signers(above),
                patience: Duration::ZERO,
            });
        }
        let (view, candidate) = self.candidates.last_key_value()?;
        let patience = self.config.fetch_delay();
        let sources = vec![candidate.proposal.leader];
        // A later view has begun elsewhere.
        if *view > self.at.view {
            return Some(Lacking {
                after: self.at.view.prev(),
                up_to: *view,
                sources,
                patience,
            });
        }
        // The leader skipped views whose TCs are not here.
        let missing = self
            .certificates
            .missing_tc(candidate.justified_at, self.at.view)?;
        Some(Lacking {
            after: candidate.justified_at,
            up_to: missing.next(),
            sources,
            patience,
        })
    }

    fn other_signers(&self, certificate: Option<&Certificate>) -> Vec<OperatorId> {
        certificate
            .into_iter()
            .flat_map(|certificate| certificate.signers.operators(&self.judge.committee))
            .filter(|operator| Some(*operator) != self.me)
            .collect()
    }

    pub(crate) fn on_certificates_request(
        &mut self,
        from: OperatorId,
        after: ViewId,
        up_to: ViewId,
        cx: &mut Context<'_>,
    ) {
        if self.peers.may_answer(from) {
            self.pacemaker.prodded = true;
            let page = self.page(after, up_to);
            if !page.is_empty() {
                cx.send(from, ConsensusMessage::Certificates(page));
            }
        }
    }

    /// What a peer lacks that knows everything up to `after` and asks for what is below `up_to`.
    pub(crate) fn page(&self, after: ViewId, up_to: ViewId) -> Vec<Certificate> {
        if up_to.epoch < self.at.epoch {
            return self.epoch_proof.iter().cloned().collect();
        }
        let root = self.root_view();
        let after = if after.epoch == self.at.epoch {
            after.view
        } else {
            View::ZERO
        };
        let mut page = Vec::new();
        if after < root {
            page.extend(self.root_proof.clone());
        }
        let limit = CERTIFICATES_PER_PAGE - page.len();
        let certificates = self
            .certificates
            .page(after.max(root.prev()), up_to.view, limit);
        page.extend(certificates);
        page
    }

    /// A page of certificates. It ends with the first that doesn't verify: a page must not make this
    /// replica check sixteen forgeries before its sender is known for what it is.
    pub(crate) fn on_certificates(
        &mut self,
        from: OperatorId,
        page: Vec<Certificate>,
        cx: &mut Context<'_>,
    ) {
        if page.len() > CERTIFICATES_PER_PAGE {
            return self.fault(from, PeerFault::Oversized, cx);
        }
        let faults = self.counters.peer_faults;
        for certificate in page {
            self.on_certificate(from, certificate, cx);
            if self.counters.peer_faults > faults {
                return;
            }
        }
    }
}
