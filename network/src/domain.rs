//! Domain tags of keys that this crate derives from the identity seed. Deriving keeps an operator at
//! one secret to guard, and keeps the identity key itself out of every protocol but its own.

use squad_primitives::{Digest, IdentityKey, NetworkId};
use zeroize::Zeroizing;

/// Key of QUIC's stateless resets and connection ids. Derived, so that a restarted process can still
/// tell its peers that the connections of its former life are gone.
pub(crate) const RESET_KEY: &str = "squad/network/quic-reset/v1";
/// Seed of the libp2p key of an operator.
pub(crate) const CONTROL_KEY: &str = "squad/network/libp2p-key/v1";

/// A secret of 32 bytes that only the holder of `identity` can compute.
pub(crate) fn derive(
    tag: &'static str,
    network: &NetworkId,
    identity: &IdentityKey,
) -> Zeroizing<[u8; 32]> {
    let seed = identity.to_seed();
    Zeroizing::new(Digest::of_parts(tag, network, &[seed.as_slice()]).0)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn tags_differ_from_each_other_and_from_those_of_the_primitives() {
        let mut tags = squad_primitives::domain::ALL.to_vec();
        tags.extend([RESET_KEY, CONTROL_KEY]);
        let count = tags.len();
        tags.sort_unstable();
        tags.dedup();
        assert_eq!(tags.len(), count);
    }
}
