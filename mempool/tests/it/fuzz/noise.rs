//! What the faulty peer says: everything that it can sign, and what it can not.

use super::operator::Operator;
use super::{LIAR, STAKES};
use crate::keys::committee;
use crate::world::{ack, id, poa};
use squad_fuzz::{Result, Unstructured};
use squad_mempool::LaneInput;
use squad_primitives::message::LaneMessage;
use squad_primitives::{BatchSeq, Digest, Epoch, Poa, Signature, SignedHeader, Tip};

/// Makes what the faulty peer sends.
pub(super) struct Noise<'a, 'b> {
    pub(super) u: &'a mut Unstructured<'b>,
    pub(super) operator: &'a mut Operator,
}

impl Noise<'_, '_> {
    pub(super) fn tip(&mut self) -> Result<Tip> {
        if self.u.ratio(4, 5)?
            && let Ok(known) = self.u.choose_iter(self.operator.made.keys())
        {
            return Ok(*known);
        }
        Ok(Tip {
            lane: id(self.u.int_in_range(0..=4)?),
            seq: BatchSeq(
                *self
                    .u
                    .choose(&[0, 1, 2, 5, 17, 40, u64::MAX - 1, u64::MAX])?,
            ),
            digest: Digest([self.u.int_in_range(0..=3)?; 32]),
        })
    }

    /// A header of its own lane, on any branch, of any epoch; or a known one of another lane.
    pub(super) fn header(&mut self) -> Result<SignedHeader> {
        if self.u.ratio(1, 4)?
            && let Ok(known) = self.u.choose_iter(self.operator.made.values())
        {
            return Ok(*known);
        }
        let parent = match self.u.int_in_range(0..=9)? {
            0 => None,
            1 => Some(self.tip()?).filter(|tip| tip.seq.0 < 1_000),
            2 | 3 => {
                let own = self.operator.made.keys().filter(|tip| tip.lane == id(LIAR));
                self.u.choose_iter(own.copied().collect::<Vec<_>>()).ok()
            }
            _ => self.operator.top(LIAR),
        };
        let salt = self.u.int_in_range(0..=3)?;
        let mut signed = self.operator.make(LIAR, parent, salt);
        match self.u.int_in_range(0..=15)? {
            0 => signed.signature = Signature([1; 64]),
            1 => signed.header.seq = BatchSeq(self.u.arbitrary()?),
            2 => signed.header.epoch = Epoch(self.u.arbitrary()?),
            3 => signed.header.body_bytes = u32::MAX,
            _ => {}
        }
        Ok(signed)
    }

    /// Any two operators but the one under test could have signed it.
    pub(super) fn poa(&mut self) -> Result<Poa> {
        let tip = self.tip()?;
        let signers = *self.u.choose(&[[1, 2], [1, 3], [2, 3]])?;
        let epoch = match self.u.int_in_range(0..=7)? {
            0 => self.operator.epoch + 1,
            1 => self.operator.epoch.saturating_sub(1),
            _ => self.operator.epoch,
        };
        let mut poa = poa(&committee(epoch, &STAKES), tip, &signers);
        // An honest operator signs only what was made.
        if !self.operator.made.contains_key(&tip) || self.u.ratio(1, 8)? {
            poa.signatures[0] = Signature([2; 64]);
        }
        Ok(poa)
    }

    pub(super) fn message(&mut self) -> Result<LaneMessage> {
        Ok(match self.u.int_in_range(0..=7)? {
            0 => {
                let tip = self.tip()?;
                let mut ack = ack(LIAR, self.u.int_in_range(0..=self.operator.epoch + 1)?, tip);
                match self.u.int_in_range(0..=7)? {
                    0 => ack.signature = Signature([3; 64]),
                    1 => ack.signer = id(self.u.int_in_range(0..=4)?),
                    _ => {}
                }
                LaneMessage::Ack(ack)
            }
            1 | 2 => LaneMessage::Poa(Box::new(self.poa()?)),
            3 => {
                let mut tips = Vec::new();
                for _ in 0..*self.u.choose(&[0, 1, 4, 300])? {
                    tips.push(self.tip()?);
                }
                LaneMessage::Status(tips)
            }
            4 => LaneMessage::HeadersRequest {
                after: BatchSeq(self.u.int_in_range(0..=20)?),
                tip: self.tip()?,
            },
            5 | 6 => {
                let mut headers = match self.u.arbitrary()? {
                    true => {
                        let top = self.tip()?;
                        self.operator
                            .headers(BatchSeq(self.u.int_in_range(0..=4)?), top)
                    }
                    false => Vec::new(),
                };
                for _ in 0..self.u.int_in_range(0..=4)? {
                    headers.push(self.header()?);
                }
                LaneMessage::Headers {
                    lane: id(self.u.int_in_range(0..=4)?),
                    headers,
                    poa: Some(Box::new(self.poa()?)),
                }
            }
            _ => LaneMessage::BatchRequest(self.tip()?.digest),
        })
    }

    pub(super) fn input(&mut self) -> Result<LaneInput> {
        let from = id(LIAR);
        Ok(match self.u.int_in_range(0..=9)? {
            0..=4 => {
                let mut poas = Vec::new();
                for _ in 0..self.u.int_in_range(0..=4)? {
                    poas.push(self.poa()?);
                }
                LaneInput::Batch {
                    from,
                    signed: self.header()?,
                    poas,
                }
            }
            5..=7 => LaneInput::Message {
                from,
                message: self.message()?,
            },
            8 => {
                let mut tips = Vec::new();
                for _ in 0..self.u.int_in_range(0..=4)? {
                    tips.push(self.tip()?);
                }
                LaneInput::Missing {
                    tips,
                    proposer: id(self.u.int_in_range(1..=3)?),
                }
            }
            _ => LaneInput::FetchFailed {
                from,
                digest: self.tip()?.digest,
            },
        })
    }
}
