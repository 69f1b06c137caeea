//! The first exchange on a connection, and the codes that connections are closed with.
//!
//! TLS has proven who the peer is. The hello finds out whether both sides speak of the same network:
//! the dialling side sends one on the first bidirectional stream, the accepting side answers with its
//! own. Payload: version (two bytes, little-endian), network id (32 bytes). What follows belongs to
//! later versions and is ignored.

use quinn::VarInt;
use squad_primitives::NetworkId;

/// Version of the protocol inside ALPN `squad/1`. Neighbouring versions work together.
pub(crate) const VERSION: u16 = 1;
/// Largest hello, in bytes.
pub(crate) const HELLO_BYTES_LIMIT: usize = 4 << 10;

/// Why a connection was closed. The number travels in the QUIC close frame.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum CloseCode {
    /// The node stops.
    Shutdown,
    /// The hello names another network.
    WrongNetwork,
    /// The hello names a version that this node doesn't speak.
    WrongVersion,
    /// Not what the protocol allows: frame too large, second stream of a class, bad hello.
    Violation,
    /// A newer connection of the same peer takes over.
    Superseded,
    /// The peer is no longer in the committee.
    NotMember,
    /// The peer misbehaved repeatedly; see `DataPlane::penalize`.
    Banned,
}

impl CloseCode {
    const ALL: [Self; 7] = [
        Self::Shutdown,
        Self::WrongNetwork,
        Self::WrongVersion,
        Self::Violation,
        Self::Superseded,
        Self::NotMember,
        Self::Banned,
    ];

    pub(crate) const fn code(self) -> VarInt {
        VarInt::from_u32(match self {
            Self::Shutdown => 0,
            Self::WrongNetwork => 1,
            Self::WrongVersion => 2,
            Self::Violation => 3,
            Self::Superseded => 4,
            Self::NotMember => 5,
            Self::Banned => 6,
        })
    }

    pub(crate) fn from_code(code: VarInt) -> Option<Self> {
        Self::ALL.into_iter().find(|known| known.code() == code)
    }

    /// Label in metrics and logs.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::Shutdown => "shutdown",
            Self::WrongNetwork => "wrong_network",
            Self::WrongVersion => "wrong_version",
            Self::Violation => "violation",
            Self::Superseded => "superseded",
            Self::NotMember => "not_member",
            Self::Banned => "banned",
        }
    }
}

/// The hello of a node on `network`.
pub(crate) fn encode(network: &NetworkId) -> Vec<u8> {
    let mut out = Vec::with_capacity(34);
    out.extend_from_slice(&VERSION.to_le_bytes());
    out.extend_from_slice(network.as_bytes());
    out
}

/// Checks a peer's hello.
pub(crate) fn check(hello: &[u8], network: &NetworkId) -> Result<(), CloseCode> {
    let (version, rest) = hello.split_first_chunk().ok_or(CloseCode::Violation)?;
    // Version 0 never existed; a newer peer is expected to speak its predecessor's version too.
    if u16::from_le_bytes(*version).abs_diff(VERSION) > 1 || *version == [0, 0] {
        return Err(CloseCode::WrongVersion);
    }
    let (named, _later) = rest.split_first_chunk::<32>().ok_or(CloseCode::Violation)?;
    if named != network.as_bytes() {
        return Err(CloseCode::WrongNetwork);
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;
    use squad_primitives::Digest;

    const NETWORK: NetworkId = Digest([7; 32]);

    #[test]
    fn a_hello_is_accepted_on_its_network_only() {
        let hello = encode(&NETWORK);
        assert_eq!(check(&hello, &NETWORK), Ok(()));
        assert_eq!(
            check(&hello, &Digest([8; 32])),
            Err(CloseCode::WrongNetwork)
        );
        assert_eq!(check(&hello[..33], &NETWORK), Err(CloseCode::Violation));
        assert_eq!(check(&[], &NETWORK), Err(CloseCode::Violation));
    }

    #[test]
    fn the_next_version_and_its_additions_are_accepted() {
        let mut hello = encode(&NETWORK);
        hello[0] = 2;
        hello.extend_from_slice(b"later");
        assert_eq!(check(&hello, &NETWORK), Ok(()));
        for version in [0, 3] {
            hello[0] = version;
            assert_eq!(check(&hello, &NETWORK), Err(CloseCode::WrongVersion));
        }
    }

    #[test]
    fn the_encoding_is_pinned() {
        let mut expected = vec![1, 0];
        expected.extend_from_slice(&[7; 32]);
        assert_eq!(encode(&NETWORK), expected);
    }

    #[test]
    fn codes_round_trip() {
        for code in CloseCode::ALL {
            assert_eq!(CloseCode::from_code(code.code()), Some(code));
        }
        assert_eq!(CloseCode::from_code(VarInt::from_u32(99)), None);
    }
}
