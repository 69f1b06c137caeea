//! EIP-1559 transfers with real signatures.
//!
//! Accounts are derived from the run's seed, so a run can be repeated; they own nothing anywhere. Each
//! account sends with ascending nonces from zero, round robin, as a rollup would see it from users.

use super::{keccak256, rlp::List};
use k256::ecdsa::SigningKey;

/// Gas of a plain transfer.
const TRANSFER_GAS: u64 = 21_000;
/// Offered to the block producer: 1 gwei.
const PRIORITY_FEE_WEI: u64 = 1_000_000_000;
/// Most paid per gas: 100 gwei, above any base fee that a test chain reaches.
const FEE_WEI_MAX: u64 = 100_000_000_000;

/// Makes the transfers of one rollup.
#[derive(Clone, Debug)]
pub struct Wallets {
    chain_id: u64,
    accounts: Vec<Account>,
}

#[derive(Clone)]
struct Account {
    key: SigningKey,
    address: [u8; 20],
}

impl std::fmt::Debug for Account {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "Account(0x{})", hex::encode(self.address))
    }
}

impl Wallets {
    /// Derives `count` accounts for a chain (at least one).
    #[must_use]
    pub fn new(seed: u64, chain_id: u64, count: usize) -> Self {
        let accounts = (0..count.max(1) as u64)
            .map(|index| Account::derive(seed, chain_id, index))
            .collect();
        Self { chain_id, accounts }
    }

    /// The signed bytes of the `index`-th transfer: one wei to the next account.
    ///
    /// Each index belongs to one account and nonce, so transfers can be made in any order.
    #[must_use]
    pub fn transfer(&self, index: u64) -> Vec<u8> {
        let count = self.accounts.len();
        let at = (index % count as u64) as usize;
        let account = &self.accounts[at];
        let to = &self.accounts[(at + 1) % count].address;
        let nonce = index / count as u64;
        let unsigned = self.fields(nonce, to).finish(2);
        let hash = keccak256(&unsigned);
        let (signature, parity) = account.key.sign_prehash_recoverable(&hash);
        let (r, s) = signature.split_bytes();
        let mut signed = self.fields(nonce, to);
        signed.number(&[parity.to_byte()]).number(&r).number(&s);
        signed.finish(2)
    }

    fn fields(&self, nonce: u64, to: &[u8; 20]) -> List {
        let mut list = List::new();
        list.number(&self.chain_id.to_be_bytes())
            .number(&nonce.to_be_bytes())
            .number(&PRIORITY_FEE_WEI.to_be_bytes())
            .number(&FEE_WEI_MAX.to_be_bytes())
            .number(&TRANSFER_GAS.to_be_bytes())
            .bytes(to)
            .number(&[1])
            .bytes(&[])
            .list(&List::new());
        list
    }

    /// Addresses of the accounts.
    pub fn addresses(&self) -> impl Iterator<Item = &[u8; 20]> {
        self.accounts.iter().map(|account| &account.address)
    }
}

impl Account {
    /// Hashes until the digest is a valid scalar, which all but one in 2^128 are at once.
    fn derive(seed: u64, chain_id: u64, index: u64) -> Self {
        let mut material = b"squad-loadtest account".to_vec();
        for number in [seed, chain_id, index] {
            material.extend_from_slice(&number.to_be_bytes());
        }
        let mut digest = keccak256(&material);
        let key = loop {
            match SigningKey::from_slice(&digest) {
                Ok(key) => break key,
                Err(_) => digest = keccak256(&digest),
            }
        };
        Self {
            address: address(key.verifying_key()),
            key,
        }
    }
}

/// The last twenty bytes of the hash of the uncompressed public key.
fn address(key: &k256::ecdsa::VerifyingKey) -> [u8; 20] {
    let point = key.to_sec1_point(false);
    let hash = keccak256(&point.as_bytes()[1..]);
    let mut address = [0; 20];
    address.copy_from_slice(&hash[12..]);
    address
}

#[cfg(test)]
mod tests {
    use super::*;
    use k256::ecdsa::{RecoveryId, Signature, VerifyingKey};

    /// The byte strings of a transaction's fields; a list counts as one.
    fn fields(raw: &[u8]) -> Vec<&[u8]> {
        let mut content = alloy_rlp::Header::decode_bytes(&mut &raw[1..], true).unwrap();
        let mut fields = Vec::new();
        while !content.is_empty() {
            let header = alloy_rlp::Header::decode(&mut content).unwrap();
            let (field, rest) = content.split_at(header.payload_length);
            fields.push(field);
            content = rest;
        }
        fields
    }

    fn scalar(bytes: &[u8]) -> [u8; 32] {
        let mut out = [0; 32];
        out[32 - bytes.len()..].copy_from_slice(bytes);
        out
    }

    /// Recovers the sender from the bytes alone, the way any Ethereum node does it.
    #[test]
    fn every_account_signs_with_ascending_nonces() {
        let wallets = Wallets::new(3, 901, 4);
        let addresses: Vec<_> = wallets.addresses().copied().collect();
        for index in 0..12_u64 {
            let raw = wallets.transfer(index);
            assert_eq!(raw[0], 2);
            let fields = fields(&raw);
            assert_eq!(fields.len(), 12);
            assert_eq!(fields[0], 901_u16.to_be_bytes());
            let nonce = index / 4;
            assert_eq!(
                fields[1],
                &nonce.to_be_bytes()[8 - usize::from(nonce > 0)..]
            );
            let (from, to) = (index as usize % 4, (index as usize + 1) % 4);
            assert_eq!(fields[5], addresses[to]);
            let signature =
                Signature::from_scalars(scalar(fields[10]), scalar(fields[11])).unwrap();
            assert_eq!(signature.normalize_s(), signature, "EIP-2 wants the low s");
            let parity = fields[9].first().copied().unwrap_or(0);
            let unsigned = wallets.fields(nonce, &addresses[to]).finish(2);
            let key = VerifyingKey::recover_from_prehash(
                &keccak256(&unsigned),
                &signature,
                RecoveryId::from_byte(parity).unwrap(),
            )
            .unwrap();
            assert_eq!(address(&key), addresses[from]);
        }
    }

    #[test]
    fn accounts_depend_on_seed_and_chain() {
        let first = |seed, chain| *Wallets::new(seed, chain, 1).addresses().next().unwrap();
        assert_ne!(first(1, 901), first(2, 901));
        assert_ne!(first(1, 901), first(1, 902));
    }
}
