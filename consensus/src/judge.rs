//! Everything needed to check a signature of the current epoch.

use squad_primitives::certificate::CertificateError;
use squad_primitives::key::Claim;
use squad_primitives::{
    Certificate, Committee, NetworkId, OperatorId, PublicKey, Signature, Verifier, Vote,
};
use std::sync::Arc;

/// Checks signatures against the committee of the current epoch.
#[derive(Clone, Debug)]
pub(crate) struct Judge {
    pub(crate) network: NetworkId,
    pub(crate) committee: Committee,
    pub(crate) verifier: Arc<dyn Verifier>,
}

/// A signature with its signer, over a message that the signatures of a list share.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Part {
    pub(crate) signer: OperatorId,
    pub(crate) key: PublicKey,
    pub(crate) signature: Signature,
}

impl Judge {
    pub(crate) fn vote(&self, vote: &Vote) -> bool {
        vote.verify(&self.network, &self.committee, &*self.verifier)
    }

    pub(crate) fn certificate(&self, certificate: &Certificate) -> Result<(), CertificateError> {
        certificate.verify(&self.network, &self.committee, &*self.verifier)
    }

    /// Names the signers whose signatures over `message` are wrong. One batch if all are right;
    /// otherwise halves, so that b liars among n cost about b log n batches.
    pub(crate) fn sift(&self, message: &[u8], parts: &[Part], liars: &mut Vec<OperatorId>) {
        let claims: Vec<_> = parts
            .iter()
            .map(|part| Claim {
                key: &part.key,
                message,
                signature: &part.signature,
            })
            .collect();
        if self.verifier.verify_all(&claims) {
            return;
        }
        if let [part] = parts {
            liars.push(part.signer);
            return;
        }
        let (left, right) = parts.split_at(parts.len() / 2);
        self.sift(message, left, liars);
        self.sift(message, right, liars);
    }
}
