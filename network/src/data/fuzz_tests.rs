//! Bytes from strangers into the two decoders of the data plane.

use super::frame::{FrameDecoder, header};
use super::{Class, hello};
use bytes::Bytes;
use squad_fuzz::{Bound, Unstructured, bounded, damage, hostile, run};
use squad_primitives::{Digest, NetworkId};

const NETWORK: NetworkId = Digest([7; 32]);

fn stream(sizes: &[usize]) -> Vec<u8> {
    let mut out = Vec::new();
    for (number, size) in sizes.iter().enumerate() {
        let payload = Bytes::from(vec![number as u8; *size]);
        out.extend_from_slice(&header(&payload));
        out.extend_from_slice(&payload);
    }
    out
}

/// Cuts the input into chunks as datagrams would.
fn chunks(u: &mut Unstructured<'_>, mut input: Bytes) -> squad_fuzz::Result<Vec<Bytes>> {
    let mut chunks = Vec::new();
    while !input.is_empty() {
        let most = input.len().min(20_000);
        let length = match u.is_empty() {
            true => most,
            false => u.int_in_range(1..=most)?,
        };
        chunks.push(input.split_to(length));
    }
    Ok(chunks)
}

/// However a stream is cut into chunks, the frames are the same, they encode to the bytes they came
/// from, and no more is held than arrived. The end is the first frame above the limit.
#[test]
fn frames() {
    let valid = [
        stream(&[0, 1, 2, 500]),
        stream(&[40; 30]),
        stream(&[17_000, 3]),
        stream(&[70_000, 10]),
    ];
    run("frames", |u| {
        let limit = u.choose(&Class::ALL)?.frame_bytes_limit();
        let input = Bytes::from(hostile(u, &valid, damage)?);
        let chunks = chunks(u, input.clone())?;
        // The handles are the test's: the node passes each frame on before it takes the next.
        let mut frames = Vec::with_capacity(input.len() / 4 + 1);
        let (refused, at_boundary) = bounded(Bound::PEER, input.len(), || {
            let mut decoder = FrameDecoder::new(limit);
            let mut refused = false;
            'all: for mut chunk in chunks {
                loop {
                    match decoder.next(&mut chunk) {
                        Ok(Some(frame)) => frames.push(frame),
                        Ok(None) => break,
                        Err(_) => {
                            refused = true;
                            break 'all;
                        }
                    }
                }
            }
            (refused, decoder.is_at_boundary())
        });
        let mut again = Vec::new();
        for frame in &frames {
            assert!(frame.len() <= limit);
            again.extend_from_slice(&header(frame));
            again.extend_from_slice(frame);
        }
        assert!(input.starts_with(&again));
        let rest = &input[again.len()..];
        let claimed = rest
            .first_chunk()
            .map(|length| u32::from_le_bytes(*length) as usize);
        match claimed {
            Some(claimed) if claimed > limit => assert!(refused),
            Some(claimed) => assert!(!refused && rest.len() - 4 < claimed),
            None => assert_eq!((refused, at_boundary), (false, rest.is_empty())),
        }
        Ok(at_boundary)
    });
}

#[test]
fn hellos() {
    let mut next = hello::encode(&NETWORK);
    next[0] += 1;
    next.extend_from_slice(b"later");
    let valid = [hello::encode(&NETWORK), next];
    run("hellos", |u| {
        let input = hostile(u, &valid, damage)?;
        let nothing = Bound {
            factor: 0,
            slack: 0,
        };
        let accepted = bounded(nothing, input.len(), || hello::check(&input, &NETWORK)).is_ok();
        let legal = matches!(input.first_chunk(), Some([1 | 2, 0]))
            && input[2..].starts_with(NETWORK.as_bytes());
        assert_eq!(accepted, legal, "{input:?}");
        Ok(accepted)
    });
}

/// A claim of four gigabytes, on each class and for the hello: refused by its first four bytes, and
/// nothing allocated.
#[test]
fn giant_frames_cost_nothing() {
    let limits = Class::ALL.map(Class::frame_bytes_limit);
    for limit in limits.into_iter().chain([hello::HELLO_BYTES_LIMIT]) {
        for claimed in [limit as u32 + 1, u32::MAX] {
            let mut chunk = Bytes::from(claimed.to_le_bytes().to_vec());
            let nothing = Bound {
                factor: 0,
                slack: 0,
            };
            let refused = bounded(nothing, 4, || FrameDecoder::new(limit).next(&mut chunk));
            assert!(refused.is_err(), "{claimed} of {limit}");
        }
    }
}
