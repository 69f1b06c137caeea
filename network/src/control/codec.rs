//! Requests and replies as plain bytes: each side writes its message and ends its half of the stream.

use futures::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt};
use libp2p::{StreamProtocol, request_response};
use std::io;

/// Bytes read at a time; the message grows by what arrived, never by what was promised.
const CHUNK_BYTES: u64 = 64 << 10;

/// Reads and writes messages within limits.
#[derive(Clone, Copy, Debug)]
pub(crate) struct BytesCodec {
    pub(crate) request_limit: usize,
    pub(crate) reply_limit: usize,
}

async fn read<T: AsyncRead + Unpin + Send>(io: &mut T, limit: usize) -> io::Result<Vec<u8>> {
    let mut bytes = Vec::new();
    while io.take(CHUNK_BYTES).read_to_end(&mut bytes).await? > 0 {
        if bytes.len() > limit {
            return Err(io::Error::new(
                io::ErrorKind::InvalidData,
                "message above its limit",
            ));
        }
    }
    Ok(bytes)
}

impl request_response::Codec for BytesCodec {
    type Protocol = StreamProtocol;
    type Request = Vec<u8>;
    /// `None`: the peer doesn't have it.
    type Response = Option<Vec<u8>>;

    async fn read_request<T>(&mut self, _: &Self::Protocol, io: &mut T) -> io::Result<Vec<u8>>
    where
        T: AsyncRead + Unpin + Send,
    {
        read(io, self.request_limit).await
    }

    async fn read_response<T>(
        &mut self,
        _: &Self::Protocol,
        io: &mut T,
    ) -> io::Result<Option<Vec<u8>>>
    where
        T: AsyncRead + Unpin + Send,
    {
        let mut found = [0];
        io.read_exact(&mut found).await?;
        match found {
            [0] => Ok(None),
            [1] => read(io, self.reply_limit).await.map(Some),
            _ => Err(io::Error::new(io::ErrorKind::InvalidData, "unknown reply")),
        }
    }

    async fn write_request<T>(
        &mut self,
        _: &Self::Protocol,
        io: &mut T,
        request: Vec<u8>,
    ) -> io::Result<()>
    where
        T: AsyncWrite + Unpin + Send,
    {
        io.write_all(&request).await
    }

    async fn write_response<T>(
        &mut self,
        _: &Self::Protocol,
        io: &mut T,
        reply: Option<Vec<u8>>,
    ) -> io::Result<()>
    where
        T: AsyncWrite + Unpin + Send,
    {
        match reply {
            None => io.write_all(&[0]).await,
            Some(bytes) => {
                io.write_all(&[1]).await?;
                io.write_all(&bytes).await
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use futures::{FutureExt, io::Cursor};
    use request_response::Codec;

    const PROTOCOL: StreamProtocol = StreamProtocol::new("/test");

    fn codec() -> BytesCodec {
        BytesCodec {
            request_limit: 100_000,
            reply_limit: 200_000,
        }
    }

    fn request(size: usize) -> io::Result<Vec<u8>> {
        let mut io = Cursor::new(vec![7; size]);
        let read = codec().read_request(&PROTOCOL, &mut io).now_or_never();
        read.expect("no waiting in memory")
    }

    fn reply(bytes: Vec<u8>) -> io::Result<Option<Vec<u8>>> {
        let mut io = Cursor::new(bytes);
        let read = codec().read_response(&PROTOCOL, &mut io).now_or_never();
        read.expect("no waiting in memory")
    }

    #[test]
    fn requests_are_read_up_to_their_limit() {
        assert_eq!(request(0).unwrap(), Vec::<u8>::new());
        assert_eq!(request(100_000).unwrap(), vec![7; 100_000]);
        assert!(request(100_001).is_err());
    }

    #[test]
    fn an_endless_message_is_cut_off_soon_after_its_limit() {
        let mut io = Cursor::new(vec![7; 10 << 20]);
        let read = codec().read_request(&PROTOCOL, &mut io).now_or_never();
        assert!(read.unwrap().is_err());
        assert!(io.position() <= 100_000 + 2 * CHUNK_BYTES);
    }

    #[test]
    fn replies_round_trip_and_missing_ones_are_not_empty_ones() {
        for message in [None, Some(Vec::new()), Some(vec![7; 200_000])] {
            let mut io = Cursor::new(Vec::new());
            let written = codec()
                .write_response(&PROTOCOL, &mut io, message.clone())
                .now_or_never();
            written.unwrap().unwrap();
            assert_eq!(reply(io.into_inner()).unwrap(), message);
        }
        assert!(reply(vec![]).is_err());
        assert!(reply(vec![2]).is_err());
        assert!(reply(vec![1; 200_002]).is_err());
    }
}
