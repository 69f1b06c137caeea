//! The committed artifact is what the source compiles to.

use crate::chain::artifact;
use sha2::{Digest as _, Sha256};
use std::path::Path;
use std::process::Command;

/// Needs no compiler: the artifact names the hash of its source.
#[test]
fn the_artifact_is_of_this_source() {
    let source = include_bytes!("../../src/MachVerifier.sol");
    let hash = hex::encode(Sha256::digest(source));
    assert_eq!(
        artifact()["sourceSha256"],
        hash,
        "src/MachVerifier.sol changed: npm run build in contracts/"
    );
}

/// Contracts above 24,576 bytes can't be deployed (EIP-170).
#[test]
fn the_contract_can_be_deployed() {
    let bytes = artifact()["deployedBytes"].as_u64().expect("a number");
    assert!(bytes <= 24_576, "{bytes} bytes");
}

/// Compiles again where the compiler is installed.
#[test]
fn the_artifact_is_what_the_compiler_makes() {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR"));
    let node = Command::new("node").arg("--version").output();
    if node.is_err() || !folder.join("node_modules/solc").exists() {
        println!(
            "SKIP contracts/artifact: node or contracts/node_modules/solc not found, run \
             `npm install --no-package-lock --ignore-scripts` in contracts/"
        );
        return;
    }
    let output = Command::new("node")
        .args(["compile.mjs", "--check"])
        .current_dir(folder)
        .output()
        .expect("node runs");
    assert!(
        output.status.success(),
        "{}",
        String::from_utf8_lossy(&output.stderr)
    );
}
