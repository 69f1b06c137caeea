//! Cursors of streams and page tokens: opaque to clients, 22 bytes.
//!
//! A cursor names the item that comes next, as {height, stage, index}, together with a fingerprint of
//! network, kind of stream and request. So a cursor that was given out elsewhere, or for other filters,
//! is refused instead of misread; and one that a node gave out means the same on every other node,
//! except for streams about one operator's lane, whose number is part of the fingerprint.
//!
//! Cursors are not secret and not signed: a client may make one up, and gets what it asked for.

use super::errors::Failure;
use bytes::Bytes;
use squad_primitives::{Digest, Height, NetworkId};

/// First byte, so that another form can follow.
const VERSION: u8 = 1;
const TAG_BYTES: usize = 8;
const CURSOR_BYTES: usize = 1 + TAG_BYTES + 8 + 1 + 4;

/// What the items of a height are about.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
#[repr(u8)]
pub(crate) enum Stage {
    /// What was known before the stream started.
    Known = 0,
    /// Durable in a lane; the height is a position in the lane.
    Accepted = 2,
    /// Ordered.
    Ordered = 3,
}

/// The item that comes next.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct Position {
    /// Height of the block, or position in the lane.
    pub(crate) height: Height,
    /// What the item is about.
    pub(crate) stage: Stage,
    /// Index among the items of this height and stage.
    pub(crate) index: u32,
}

impl Position {
    /// The first item of a height.
    pub(crate) const fn start(stage: Stage, height: Height) -> Self {
        Self {
            height,
            stage,
            index: 0,
        }
    }
}

/// Writes and reads the cursors of one request.
#[derive(Clone, Copy, Debug)]
pub(crate) struct CursorForm {
    tag: [u8; TAG_BYTES],
}

impl CursorForm {
    /// The form for one kind of stream and the parts of the request that decide about its items.
    pub(crate) fn new(network: &NetworkId, kind: &'static str, request: &[&[u8]]) -> Self {
        let mut framed = Vec::new();
        for part in request {
            framed.extend_from_slice(&(part.len() as u64).to_le_bytes());
            framed.extend_from_slice(part);
        }
        let digest = Digest::of_parts(kind, network, &[&framed]);
        let mut tag = [0; TAG_BYTES];
        tag.copy_from_slice(&digest.0[..TAG_BYTES]);
        Self { tag }
    }

    /// The cursor that continues with `position`.
    pub(crate) fn encode(&self, position: Position) -> Bytes {
        let mut bytes = Vec::with_capacity(CURSOR_BYTES);
        bytes.push(VERSION);
        bytes.extend_from_slice(&self.tag);
        bytes.extend_from_slice(&position.height.0.to_be_bytes());
        bytes.push(position.stage as u8);
        bytes.extend_from_slice(&position.index.to_be_bytes());
        bytes.into()
    }

    /// Reads a cursor; `field` is named in the error.
    pub(crate) fn decode(&self, field: &'static str, bytes: &[u8]) -> Result<Position, Failure> {
        self.parse(bytes).ok_or_else(|| Failure::bad_cursor(field))
    }

    fn parse(&self, bytes: &[u8]) -> Option<Position> {
        let bytes: &[u8; CURSOR_BYTES] = bytes.try_into().ok()?;
        let (version, rest) = bytes.split_first()?;
        let (tag, rest) = rest.split_first_chunk::<TAG_BYTES>()?;
        let (height, rest) = rest.split_first_chunk::<8>()?;
        let (stage, rest) = rest.split_first()?;
        let index: [u8; 4] = rest.try_into().ok()?;
        let stage = match stage {
            0 => Stage::Known,
            2 => Stage::Accepted,
            3 => Stage::Ordered,
            _ => return None,
        };
        (*version == VERSION && *tag == self.tag).then_some(Position {
            height: Height(u64::from_be_bytes(*height)),
            stage,
            index: u32::from_be_bytes(index),
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn cursors_come_back_and_strangers_are_refused() {
        let network = Digest([1; 32]);
        let form = CursorForm::new(&network, "squad/cursor/test", &[b"ab", b"c"]);
        let position = Position {
            height: Height(u64::MAX - 1),
            stage: Stage::Ordered,
            index: 7,
        };
        let cursor = form.encode(position);
        assert!(cursor.len() <= 64);
        assert_eq!(form.decode("from_cursor", &cursor), Ok(position));

        let others = [
            CursorForm::new(&network, "squad/cursor/test", &[b"a", b"bc"]),
            CursorForm::new(&network, "squad/cursor/other", &[b"ab", b"c"]),
            CursorForm::new(&Digest([2; 32]), "squad/cursor/test", &[b"ab", b"c"]),
        ];
        for other in others {
            assert!(other.decode("from_cursor", &cursor).is_err());
        }
        for length in 0..cursor.len() {
            assert!(form.decode("from_cursor", &cursor[..length]).is_err());
        }
        let mut stage = cursor.to_vec();
        stage[17] = 9;
        assert!(form.decode("from_cursor", &stage).is_err());
    }
}
