//! Files that a node does not start from. What exactly each message says is in `config.rs`,
//! `genesis.rs` and `keys.rs`.

use crate::command::Home;
use std::fs::{Permissions, set_permissions};
use std::os::unix::fs::PermissionsExt as _;

#[test]
fn a_node_does_not_start_from_files_that_it_does_not_understand_or_that_others_can_read() {
    let home = Home::new();
    home.with_network();
    let genesis = std::fs::read_to_string(home.file("config/genesis.json")).unwrap();

    home.write("config/node.toml", "[mempool]\nbytes_maxx = '1GiB'\n");
    let error = home.squad(&["start"]).fails(3);
    assert!(error.contains("mempool.bytes_maxx"), "{error}");
    home.write("config/node.toml", "[mempool]\nbytes_max = '1KiB'\n");
    let error = home.squad(&["start"]).fails(3);
    assert!(error.contains("mempool.bytes_max"), "{error}");
    home.write("config/node.toml", "");

    let unknown = genesis.replacen('{', "{\"extra\":1,", 1);
    home.write("config/genesis.json", &unknown);
    let error = home.squad(&["start"]).fails(3);
    assert!(error.contains("unknown field `extra`"), "{error}");
    home.write("config/genesis.json", &genesis);

    let key = home.file("keys/identity.json");
    set_permissions(&key, Permissions::from_mode(0o604)).unwrap();
    let error = home.squad(&["start"]).fails(4);
    assert!(error.contains("mode 0604"), "{error}");
    set_permissions(&key, Permissions::from_mode(0o600)).unwrap();

    assert!(!home.file("data").exists(), "nothing was started");
}
