//! Frames: a length of four bytes, little-endian, then the payload.
//!
//! The decoder is pure, so it can be fed anything. Two rules keep a peer from spending our memory:
//! the length is checked before anything else, and the buffer grows with the bytes that arrived (to at
//! most four times as many, plus 64 KiB), never to the length that was claimed.

use bytes::{Buf, Bytes, BytesMut};

/// Bytes of the length in front of each payload.
pub(crate) const HEADER_BYTES: usize = 4;
/// Payloads from this size on are handed over as slices of the datagrams they came in. Smaller ones
/// are copied: keeping a vote must not keep the 64 KiB of datagrams that it arrived with.
const SLICE_BYTES_MIN: usize = 16 << 10;
/// First allocation for a payload that spans several chunks.
const BUFFER_BYTES_MIN: usize = 64 << 10;

/// A peer announced a frame larger than the stream carries. The connection is closed.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("frame: length {claimed} exceeds the limit of {limit} bytes")]
pub struct FrameTooLarge {
    /// Length in the header.
    pub claimed: usize,
    /// Limit of the stream.
    pub limit: usize,
}

/// Cuts a stream of chunks into frames.
#[derive(Debug)]
pub(crate) struct FrameDecoder {
    limit: usize,
    header: [u8; HEADER_BYTES],
    header_filled: usize,
    body: BytesMut,
}

impl FrameDecoder {
    pub(crate) fn new(limit: usize) -> Self {
        Self {
            limit,
            header: [0; HEADER_BYTES],
            header_filled: 0,
            body: BytesMut::new(),
        }
    }

    /// Takes bytes off the front of `chunk`: the next frame, or `None` once the chunk is used up.
    pub(crate) fn next(&mut self, chunk: &mut Bytes) -> Result<Option<Bytes>, FrameTooLarge> {
        while self.header_filled < HEADER_BYTES {
            if !chunk.has_remaining() {
                return Ok(None);
            }
            let free = self.header.get_mut(self.header_filled..);
            let free = free.unwrap_or_default();
            let taken = free.len().min(chunk.len());
            for (to, from) in free.iter_mut().zip(chunk.iter()) {
                *to = *from;
            }
            chunk.advance(taken);
            self.header_filled += taken;
        }
        let length = u32::from_le_bytes(self.header) as usize;
        if length > self.limit {
            return Err(FrameTooLarge {
                claimed: length,
                limit: self.limit,
            });
        }
        if self.body.is_empty() && chunk.len() >= length {
            self.header_filled = 0;
            let frame = chunk.split_to(length);
            return Ok(Some(if length < SLICE_BYTES_MIN {
                Bytes::copy_from_slice(&frame)
            } else {
                frame
            }));
        }
        let part = chunk.split_to(chunk.len().min(length - self.body.len()));
        self.grow(length, part.len());
        self.body.extend_from_slice(&part);
        if self.body.len() < length {
            return Ok(None);
        }
        self.header_filled = 0;
        Ok(Some(self.body.split().freeze()))
    }

    /// Makes room for `more` bytes of a payload of `length`.
    fn grow(&mut self, length: usize, more: usize) {
        let filled = self.body.len() + more;
        if filled > self.body.capacity() {
            let target = length.min((4 * filled).max(BUFFER_BYTES_MIN));
            self.body.reserve(target - self.body.len());
        }
    }

    /// Whether the stream may end here: not inside a frame.
    pub(crate) fn is_at_boundary(&self) -> bool {
        self.header_filled == 0
    }

    #[cfg(test)]
    pub(crate) fn capacity(&self) -> usize {
        self.body.capacity()
    }
}

/// The header of a payload. Callers have checked the payload against the limit of its class.
pub(crate) fn header(payload: &Bytes) -> [u8; HEADER_BYTES] {
    u32::try_from(payload.len())
        .unwrap_or(u32::MAX)
        .to_le_bytes()
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn encode(payloads: &[Vec<u8>]) -> Bytes {
        let mut out = Vec::new();
        for payload in payloads {
            out.extend_from_slice(&header(&Bytes::copy_from_slice(payload)));
            out.extend_from_slice(payload);
        }
        out.into()
    }

    fn decode(limit: usize, chunks: &[Bytes]) -> Result<Vec<Bytes>, FrameTooLarge> {
        let mut decoder = FrameDecoder::new(limit);
        let mut frames = Vec::new();
        for chunk in chunks {
            let mut chunk = chunk.clone();
            while let Some(frame) = decoder.next(&mut chunk)? {
                frames.push(frame);
            }
        }
        assert!(decoder.is_at_boundary());
        Ok(frames)
    }

    proptest! {
        #[test]
        fn frames_survive_any_chunking(
            sizes in prop::collection::vec(0_usize..70_000, 1..6),
            cut in 1_usize..9_000,
        ) {
            let payloads: Vec<Vec<u8>> = sizes
                .iter()
                .enumerate()
                .map(|(i, size)| (0..*size).map(|b| (b ^ i) as u8).collect())
                .collect();
            let stream = encode(&payloads);
            let chunks: Vec<Bytes> = stream.chunks(cut).map(Bytes::copy_from_slice).collect();
            prop_assert_eq!(decode(70_000, &chunks).unwrap(), payloads);
        }

        #[test]
        fn any_bytes_are_judged_without_allocating_more_than_arrived(
            bytes in prop::collection::vec(any::<u8>(), 0..2_000),
        ) {
            let mut decoder = FrameDecoder::new(1 << 20);
            let mut chunk = Bytes::from(bytes.clone());
            while let Ok(Some(_)) = decoder.next(&mut chunk) {}
            prop_assert!(decoder.capacity() <= 4 * bytes.len() + BUFFER_BYTES_MIN);
        }
    }

    #[test]
    fn a_claim_of_four_gigabytes_is_refused_before_any_allocation() {
        let mut decoder = FrameDecoder::new(1 << 20);
        let mut chunk = Bytes::from_static(&[0xff; 100]);
        assert_eq!(
            decoder.next(&mut chunk),
            Err(FrameTooLarge {
                claimed: u32::MAX as usize,
                limit: 1 << 20
            })
        );
        assert_eq!(decoder.capacity(), 0);
    }

    #[test]
    fn the_limit_itself_is_accepted_and_one_byte_more_is_not() {
        assert!(decode(1_000, &[encode(&[vec![7; 1_000]])]).is_ok());
        let mut chunk = encode(&[vec![7; 1_001]]);
        assert!(FrameDecoder::new(1_000).next(&mut chunk).is_err());
    }
}
