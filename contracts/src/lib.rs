//! `MachVerifier`, the Solidity contract that checks MACH certificates on L1.
//!
//! This crate holds the compiled artifact, so that no build needs a Solidity compiler, and the tests that
//! run it inside an EVM with the real precompiles against certificates from `squad-mach`.
#![forbid(unsafe_code)]

/// Compiler, settings, ABI and creation code of `src/MachVerifier.sol`, as JSON. `npm run build` in this
/// folder makes it.
pub const MACH_VERIFIER: &str = include_str!("../artifacts/MachVerifier.json");
