//! RLP lists of transaction fields (Ethereum yellow paper, appendix B; EIP-2718, 2930, 1559, 4844).

use alloy_rlp::{Encodable, Header};

/// Collects the fields of one RLP list.
#[derive(Clone, Debug, Default)]
pub struct List {
    content: Vec<u8>,
}

impl List {
    /// An empty list.
    #[must_use]
    pub fn new() -> Self {
        Self::default()
    }

    /// Adds a byte string as it is.
    pub fn bytes(&mut self, bytes: &[u8]) -> &mut Self {
        bytes.encode(&mut self.content);
        self
    }

    /// Adds a big-endian number: RLP wants it without leading zeros, and zero as the empty string.
    pub fn number(&mut self, big_endian: &[u8]) -> &mut Self {
        let start = big_endian.iter().position(|byte| *byte != 0);
        self.bytes(start.map_or(&[], |start| &big_endian[start..]))
    }

    /// Adds a list.
    pub fn list(&mut self, inner: &Self) -> &mut Self {
        inner.write(&mut self.content);
        self
    }

    fn write(&self, out: &mut Vec<u8>) {
        let header = Header {
            list: true,
            payload_length: self.content.len(),
        };
        header.encode(out);
        out.extend_from_slice(&self.content);
    }

    /// The encoded list behind the type byte of EIP-2718; type 0 has none.
    #[must_use]
    pub fn finish(&self, tx_type: u8) -> Vec<u8> {
        let mut out = Vec::with_capacity(self.content.len() + 10);
        if tx_type != 0 {
            out.push(tx_type);
        }
        self.write(&mut out);
        out
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Examples of the Ethereum wiki's page on RLP.
    #[test]
    fn known_encodings() {
        let mut animals = List::new();
        animals.bytes(b"cat").bytes(b"dog");
        assert_eq!(animals.finish(0), b"\xc8\x83cat\x83dog");
        let mut numbers = List::new();
        numbers.number(&[0, 0]).number(&[0, 15]).number(&[4, 0]);
        assert_eq!(numbers.finish(2), b"\x02\xc5\x80\x0f\x82\x04\x00");
        let mut nested = List::new();
        nested.list(&List::new()).list(&animals);
        assert_eq!(nested.finish(0)[..3], [0xca, 0xc0, 0xc8]);
    }
}
