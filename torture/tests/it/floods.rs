//! Every kind of flood for a few seconds: met by rule, memory within its limit, audits clean.

use crate::{Place, assert_rules};
use squad_torture::flood::{self, Kind, Options};

async fn short(kind: Kind) {
    let place = Place::take().await;
    let options = Options {
        kind,
        seconds: 6,
        load: 200,
        rate: 10_000,
    };
    let report = flood::run(&place.directory(), &options).await;
    assert_rules(&report.expect("the flood takes place").verdict());
}

#[tokio::test]
async fn half_open_handshakes() {
    short(Kind::Handshakes).await;
}

#[tokio::test]
async fn forged_signatures() {
    short(Kind::Forged).await;
}

#[tokio::test]
async fn repeated_messages() {
    short(Kind::Repeated).await;
}

#[tokio::test]
async fn requests_without_end() {
    short(Kind::Asks).await;
}

#[tokio::test]
async fn a_lane_at_ten_times_its_share() {
    short(Kind::Share).await;
}

#[tokio::test]
async fn careless_clients() {
    short(Kind::Clients).await;
}
