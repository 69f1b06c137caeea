//! The same against a real `anvil`, as a second opinion on the precompiles and on gas.
//!
//! Optional: `npm install --no-package-lock --ignore-scripts` in `contracts/` brings one, or `ANVIL` names it, or it
//! is found in `PATH`. Without it the suite says so and ends.

use crate::chain::{Address, Chain, Engine, OWNER, STRANGER, Sent, Word};
use serde_json::{Value, json};
use std::io::{BufRead as _, BufReader};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::rc::Rc;
use std::time::{Duration, Instant};

const GAS_LIMIT: &str = "0x1c9c380";
/// Blocks come at once; a longer wait means that none comes.
const PATIENCE: Duration = Duration::from_secs(30);

/// A running node; it ends with its last user.
struct Node {
    process: Child,
    address: String,
}

impl Drop for Node {
    fn drop(&mut self) {
        // It may have ended by itself.
        let _ = self.process.kill();
        let _ = self.process.wait();
    }
}

/// The program itself: the one in `.bin` of npm only starts it, and would leave it behind.
fn find() -> Option<PathBuf> {
    let packages = Path::new(env!("CARGO_MANIFEST_DIR")).join("node_modules/@foundry-rs");
    let installed = std::fs::read_dir(packages).into_iter().flatten().flatten();
    let path = std::env::var_os("PATH").unwrap_or_default();
    std::env::var_os("ANVIL")
        .map(PathBuf::from)
        .into_iter()
        .chain(installed.map(|package| package.path().join("bin/anvil")))
        .chain(std::env::split_paths(&path).map(|folder| folder.join("anvil")))
        .find(|program| program.is_file())
}

impl Node {
    fn start(program: &Path) -> Self {
        let mut process = Command::new(program)
            .args(["--port", "0", "--hardfork", "prague"])
            .stdout(Stdio::piped())
            .spawn()
            .expect("anvil starts");
        let output = BufReader::new(process.stdout.take().expect("its output"));
        let address = output
            .lines()
            .map_while(Result::ok)
            .find_map(|line| line.strip_prefix("Listening on ").map(str::to_owned))
            .expect("anvil tells where it listens");
        Self {
            process,
            address: format!("http://{address}"),
        }
    }

    /// A JSON-RPC call: its result, or its error.
    fn rpc(&self, method: &str, params: Value) -> Result<Value, Value> {
        let request = json!({"jsonrpc": "2.0", "id": 1, "method": method, "params": params});
        let mut answer: Value = ureq::post(&self.address)
            .send_json(request)
            .and_then(|mut response| response.body_mut().read_json())
            .unwrap_or_else(|error| panic!("{method}: {error}"));
        match answer["error"].take() {
            Value::Null => Ok(answer["result"].take()),
            error => Err(error),
        }
    }

    fn must(&self, method: &str, params: Value) -> Value {
        let result = self.rpc(method, params);
        result.unwrap_or_else(|error| panic!("{method}: {error}"))
    }

    /// Mines a transaction; its receipt.
    fn mine(&self, transaction: &Value) -> Value {
        let hash = self.must("eth_sendTransaction", json!([transaction]));
        let started = Instant::now();
        loop {
            let receipt = self.must("eth_getTransactionReceipt", json!([hash]));
            if !receipt.is_null() {
                return receipt;
            }
            assert!(started.elapsed() < PATIENCE, "{hash} is not mined");
            std::thread::sleep(Duration::from_millis(5));
        }
    }
}

/// A node as an engine. Several contracts can live on it.
struct Anvil(Rc<Node>);

impl Engine for Anvil {
    fn create(&mut self, from: Address, code: Vec<u8>) -> Result<Address, String> {
        let receipt = self.0.mine(&json!({
            "from": hexadecimal(&from), "data": hexadecimal(&code), "gas": GAS_LIMIT,
        }));
        let address = bytes(&receipt["contractAddress"]);
        address.try_into().map_err(|_| receipt.to_string())
    }

    fn send(&mut self, from: Address, to: Address, data: Vec<u8>) -> Sent {
        let transaction = json!({
            "from": hexadecimal(&from), "to": hexadecimal(&to), "data": hexadecimal(&data),
            "gas": GAS_LIMIT,
        });
        // A mined transaction doesn't tell what it returned, so it is tried first.
        match self.0.rpc("eth_call", json!([transaction, "latest"])) {
            Ok(output) => {
                let receipt = self.0.mine(&transaction);
                assert_eq!(receipt["status"], "0x1", "{receipt}");
                Sent::Done {
                    gas: number(&receipt["gasUsed"]),
                    output: bytes(&output),
                }
            }
            Err(error) if error["data"].is_string() => Sent::Reverted(bytes(&error["data"])),
            Err(error) => Sent::Failed(error.to_string()),
        }
    }
}

fn hexadecimal(bytes: &[u8]) -> String {
    format!("0x{}", hex::encode(bytes))
}

fn bytes(value: &Value) -> Vec<u8> {
    let text = value.as_str().and_then(|text| text.strip_prefix("0x"));
    hex::decode(text.expect("0x")).expect("hexadecimal")
}

fn number(value: &Value) -> u64 {
    let text = value.as_str().and_then(|text| text.strip_prefix("0x"));
    u64::from_str_radix(text.expect("0x"), 16).expect("a number")
}

#[test]
fn a_real_node_accepts_and_refuses_the_same_at_the_same_cost() {
    let Some(program) = find() else {
        println!("skipped: there is no anvil; npm install in contracts/ brings one");
        return;
    };
    let node = Rc::new(Node::start(&program));
    for account in [OWNER, STRANGER] {
        let account = hexadecimal(&account);
        node.must("anvil_impersonateAccount", json!([account]));
        node.must("anvil_setBalance", json!([account, "0xffffffffffffffff"]));
    }
    let deploy = |network: &Word| Chain::on(Box::new(Anvil(node.clone())), network);
    crate::refusals::forged_certificates(&deploy);
    crate::refusals::spoilt_words(&deploy);
    crate::refusals::heights(&deploy);
    crate::refusals::possession(&deploy);
    crate::refusals::owner(&deploy);
    crate::epochs::takeover(&deploy);
    crate::epochs::forged_handovers(&deploy);
    crate::gas::known_cost(&deploy);
}
