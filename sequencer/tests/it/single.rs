//! A network of one operator: it runs up to a height, stops, and its data is looked at and pruned.

use crate::command::{Home, Ran};
use squad_storage::Lock;

/// Blocks that a transaction may wait, the least that a genesis allows: at least twice as many are kept.
const EXPIRY: u64 = 16;
const KEEP: u64 = 2 * EXPIRY;

/// Settings that take no port away from anybody.
pub(crate) const FREE_PORTS: [&str; 4] = [
    "--data-listen=127.0.0.1:0",
    "--set=network.control_listen=",
    "--grpc-listen=127.0.0.1:0",
    "--http-listen=127.0.0.1:0",
];

impl Home {
    fn start_until(&self, height: u64) -> Ran {
        let until = format!("--until-height={height}");
        let arguments: Vec<_> = ["start", until.as_str()]
            .into_iter()
            .chain(FREE_PORTS)
            .collect();
        self.squad(&arguments)
    }

    /// First and last height of the stopped node.
    fn heights(&self) -> (u64, u64) {
        let stats = self.squad(&["db", "stats", "--format=json"]).json();
        let height = |name: &str| stats[name].as_u64().unwrap();
        (height("first_height"), height("last_height"))
    }
}

#[test]
fn a_node_stops_at_a_height_goes_on_and_is_pruned() {
    let home = Home::new();
    home.with_network();
    // Blocks as fast as an idle network makes them.
    let path = home.file("config/genesis.json");
    let mut genesis: serde_json::Value =
        serde_json::from_slice(&std::fs::read(&path).unwrap()).unwrap();
    genesis["consensus"]["heartbeat_interval_ms"] = 100.into();
    genesis["consensus"]["expiry_max_blocks"] = EXPIRY.into();
    std::fs::write(&path, genesis.to_string()).unwrap();

    home.start_until(3).ok();
    let (first, last) = home.heights();
    assert_eq!(first, 1);
    assert!(last >= 3, "{last}");
    home.start_until(KEEP + 10).ok();
    let (first, last) = home.heights();
    assert_eq!(first, 1);
    assert!(last >= KEEP + 10, "{last}");

    // Not while something uses the home, and not what may still be needed.
    let keep = format!("--keep-blocks={KEEP}");
    let prune = ["db", "prune", keep.as_str(), "--format=json"];
    let lock = Lock::acquire(&home.path()).unwrap();
    home.squad(&prune).fails(5);
    drop(lock);
    let error = home.squad(&["db", "prune", "--keep-blocks=31"]).fails(3);
    assert!(error.contains("storage.keep_blocks"), "{error}");
    home.squad(&["db", "prune", "--keep-blocks=0"]).fails(2);
    assert_eq!(home.heights(), (1, last));

    let left = home.squad(&prune).json();
    assert_eq!(left["first_height"], last - KEEP);
    assert_eq!(home.heights(), (last - KEEP, last));
    let check = home.squad(&["db", "check", "--format=json"]).json();
    assert_eq!(check["blocks"], KEEP + 1);
    // A pruned node goes on.
    home.start_until(last + 2).ok();
}

/// A log that ends early is what a crash leaves, but never below what was synced.
#[test]
fn lost_records_are_noticed_and_given_up_only_when_told() {
    let home = Home::new();
    home.with_network();
    home.start_until(2).ok();
    for entry in std::fs::read_dir(home.file("data/safety")).unwrap() {
        let path = entry.unwrap().path();
        if path.extension().is_some_and(|extension| extension == "log") {
            let file = std::fs::File::options().write(true).open(&path).unwrap();
            file.set_len(file.metadata().unwrap().len() / 2).unwrap();
        }
    }
    for _ in 0..2 {
        let error = home.start_until(4).fails(7);
        assert!(error.contains("the disk lost records"), "{error}");
    }
    let arguments: Vec<_> = ["start", "--until-height=4", "--unsafe-reset-safety-state"]
        .into_iter()
        .chain(FREE_PORTS)
        .collect();
    home.squad(&arguments).ok();
    assert!(home.heights().1 >= 4);
    home.start_until(5).ok();
}

#[test]
fn a_key_whose_records_are_lost_does_not_sign_again_unless_told() {
    let home = Home::new();
    home.with_network();
    home.start_until(1).ok();
    home.start_until(2).ok();

    // All data, and the safety records alone.
    std::fs::rename(home.file("data"), home.file("lost")).unwrap();
    let error = home.start_until(1).fails(7);
    assert!(error.contains("identity.json.used"), "{error}");
    assert!(error.contains("--unsafe-reset-safety-state"), "{error}");
    std::fs::rename(home.file("lost"), home.file("data")).unwrap();
    std::fs::rename(home.file("data/safety"), home.file("safety")).unwrap();
    home.start_until(3).fails(7);
    std::fs::rename(home.file("safety"), home.file("data/safety")).unwrap();
    home.start_until(3).ok();

    std::fs::remove_dir_all(home.file("data")).unwrap();
    let arguments: Vec<_> = ["start", "--until-height=1", "--unsafe-reset-safety-state"]
        .into_iter()
        .chain(FREE_PORTS)
        .collect();
    home.squad(&arguments).ok();
    assert_eq!(home.heights().0, 1);
}
