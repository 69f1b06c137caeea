//! Transactions of real blocks, encoded from JSON to the bytes that were signed.

use super::{keccak256, rlp::List};
use serde::Deserialize;

/// A block with full transactions, as `eth_getBlockByNumber` returns it. Other fields are ignored.
#[derive(Debug, Deserialize)]
pub struct Block {
    /// Its transactions, in order.
    pub transactions: Vec<Transaction>,
}

/// A transaction in JSON form; quantities and bytes are `0x` hexadecimal.
#[derive(Debug, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Transaction {
    hash: String,
    #[serde(rename = "type", default)]
    tx_type: Option<String>,
    chain_id: Option<String>,
    nonce: String,
    gas_price: Option<String>,
    max_priority_fee_per_gas: Option<String>,
    max_fee_per_gas: Option<String>,
    max_fee_per_blob_gas: Option<String>,
    gas: String,
    to: Option<String>,
    value: String,
    input: String,
    access_list: Option<Vec<AccessListItem>>,
    blob_versioned_hashes: Option<Vec<String>>,
    v: String,
    y_parity: Option<String>,
    r: String,
    s: String,
}

#[derive(Debug, Deserialize)]
#[serde(rename_all = "camelCase")]
struct AccessListItem {
    address: String,
    storage_keys: Vec<String>,
}

/// Why a transaction can't be encoded.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum EncodeError {
    /// A field that its type needs.
    #[error("transaction {hash}: field {field} is missing")]
    Missing {
        /// Listed hash.
        hash: String,
        /// Name in the JSON form.
        field: &'static str,
    },
    /// A field that is not `0x` hexadecimal.
    #[error("transaction {hash}: field {field} is not 0x hexadecimal")]
    Hex {
        /// Listed hash.
        hash: String,
        /// Name in the JSON form.
        field: &'static str,
    },
    /// A type other than 0 to 3.
    #[error("transaction {hash}: type {tx_type} is not supported")]
    Type {
        /// Listed hash.
        hash: String,
        /// Type in the JSON form.
        tx_type: String,
    },
    /// The bytes hash to something else than listed.
    #[error("transaction {hash}: the encoded bytes have another hash")]
    Hash {
        /// Listed hash.
        hash: String,
    },
}

impl Transaction {
    /// The raw EIP-2718 bytes, without blob sidecar, checked against the listed hash.
    ///
    /// # Errors
    /// See [`EncodeError`].
    pub fn encode(&self) -> Result<Vec<u8>, EncodeError> {
        let raw = match self.tx_type.as_deref().unwrap_or("0x0") {
            "0x0" => self.legacy()?,
            "0x1" => self.access_list()?,
            "0x2" => self.dynamic_fee(2)?,
            "0x3" => self.dynamic_fee(3)?,
            other => {
                return Err(EncodeError::Type {
                    hash: self.hash.clone(),
                    tx_type: other.into(),
                });
            }
        };
        match keccak256(&raw)[..] == self.hex("hash", &self.hash)? {
            true => Ok(raw),
            false => Err(EncodeError::Hash {
                hash: self.hash.clone(),
            }),
        }
    }

    fn legacy(&self) -> Result<Vec<u8>, EncodeError> {
        let mut list = List::new();
        list.number(&self.hex("nonce", &self.nonce)?)
            .number(&self.required("gasPrice", &self.gas_price)?);
        self.call(&mut list)?;
        list.number(&self.hex("v", &self.v)?);
        self.signature(&mut list)?;
        Ok(list.finish(0))
    }

    fn access_list(&self) -> Result<Vec<u8>, EncodeError> {
        let mut list = List::new();
        list.number(&self.required("chainId", &self.chain_id)?)
            .number(&self.hex("nonce", &self.nonce)?)
            .number(&self.required("gasPrice", &self.gas_price)?);
        self.call(&mut list)?;
        self.accesses(&mut list)?;
        list.number(&self.parity()?);
        self.signature(&mut list)?;
        Ok(list.finish(1))
    }

    fn dynamic_fee(&self, tx_type: u8) -> Result<Vec<u8>, EncodeError> {
        let mut list = List::new();
        list.number(&self.required("chainId", &self.chain_id)?)
            .number(&self.hex("nonce", &self.nonce)?)
            .number(&self.required("maxPriorityFeePerGas", &self.max_priority_fee_per_gas)?)
            .number(&self.required("maxFeePerGas", &self.max_fee_per_gas)?);
        self.call(&mut list)?;
        self.accesses(&mut list)?;
        if tx_type == 3 {
            list.number(&self.required("maxFeePerBlobGas", &self.max_fee_per_blob_gas)?);
            let mut hashes = List::new();
            let listed = self.blob_versioned_hashes.as_ref();
            for hash in listed.ok_or_else(|| self.missing("blobVersionedHashes"))? {
                hashes.bytes(&self.hex("blobVersionedHashes", hash)?);
            }
            list.list(&hashes);
        }
        list.number(&self.parity()?);
        self.signature(&mut list)?;
        Ok(list.finish(tx_type))
    }

    /// The four fields that all types share in the middle: gas, recipient, value, input.
    fn call(&self, list: &mut List) -> Result<(), EncodeError> {
        let to = self.to.as_ref().map(|to| self.hex("to", to)).transpose()?;
        list.number(&self.hex("gas", &self.gas)?)
            .bytes(&to.unwrap_or_default())
            .number(&self.hex("value", &self.value)?)
            .bytes(&self.hex("input", &self.input)?);
        Ok(())
    }

    fn accesses(&self, list: &mut List) -> Result<(), EncodeError> {
        let mut items = List::new();
        let listed = self.access_list.as_ref();
        for access in listed.ok_or_else(|| self.missing("accessList"))? {
            let mut keys = List::new();
            for key in &access.storage_keys {
                keys.bytes(&self.hex("storageKeys", key)?);
            }
            let mut item = List::new();
            item.bytes(&self.hex("address", &access.address)?)
                .list(&keys);
            items.list(&item);
        }
        list.list(&items);
        Ok(())
    }

    fn parity(&self) -> Result<Vec<u8>, EncodeError> {
        self.hex("yParity", self.y_parity.as_ref().unwrap_or(&self.v))
    }

    fn signature(&self, list: &mut List) -> Result<(), EncodeError> {
        list.number(&self.hex("r", &self.r)?)
            .number(&self.hex("s", &self.s)?);
        Ok(())
    }

    fn required(
        &self,
        field: &'static str,
        value: &Option<String>,
    ) -> Result<Vec<u8>, EncodeError> {
        self.hex(field, value.as_ref().ok_or_else(|| self.missing(field))?)
    }

    fn missing(&self, field: &'static str) -> EncodeError {
        EncodeError::Missing {
            hash: self.hash.clone(),
            field,
        }
    }

    /// Bytes of a hexadecimal field; quantities may have an odd number of digits.
    fn hex(&self, field: &'static str, text: &str) -> Result<Vec<u8>, EncodeError> {
        let digits = text.strip_prefix("0x");
        let decoded = digits.and_then(|digits| match digits.len() % 2 {
            0 => hex::decode(digits).ok(),
            _ => hex::decode(format!("0{digits}")).ok(),
        });
        decoded.ok_or_else(|| EncodeError::Hex {
            hash: self.hash.clone(),
            field,
        })
    }
}
