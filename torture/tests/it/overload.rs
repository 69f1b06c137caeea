//! Tenfold overload for a few seconds: who is refused is told why and when to come back, and everything
//! acknowledged is ordered.

use crate::{Place, assert_rules};
use squad_torture::overload::{Options, Overload};
use std::time::Duration;

#[tokio::test]
async fn tenfold_overload() {
    let place = Place::take().await;
    let options = Options {
        nodes: 4,
        seconds: 10,
        delay: Duration::from_millis(100),
        block_bytes: 256 << 10,
        factor: 10,
        seed: 0,
    };
    let overload = Overload::start(&place.directory(), options).await;
    let mut overload = overload.expect("the network starts");
    let report = overload.run().await;
    overload.stop().await;
    assert_rules(&report.expect("all phases take place").verdict());
}
