//! Statuses are told once each, whatever happens to the connection.

use crate::operator::Network;
use crate::world::{World, transaction};
use squad_client::v1;
use squad_primitives::RollupId;
use std::collections::BTreeSet;

#[tokio::test]
async fn each_transaction_is_told_once_across_cuts() {
    for cut in 0..4 {
        let network = Network::start(World::with_blocks(4)).await;
        let client = network.client();
        network.faults(0).cut_after.push_back(cut);
        network.faults(1).cut_after.push_back(1);
        let later = client.prepare(RollupId(7), "later").await.unwrap();
        let world = network.world.clone();
        let known: Vec<_> = (0..3)
            .map(|n| world.lock().unwrap().id_at(4, 901, n))
            .collect();
        let mut ids = known.clone();
        ids.push(later.id(&client.trusted().id()));
        let mut statuses = client.follow_transactions(ids.clone());
        let mut told = Vec::new();
        for _ in 0..3 {
            told.push(statuses.next().await.unwrap().unwrap());
        }
        client.submit(&later).await.unwrap();
        told.push(statuses.next().await.unwrap().unwrap());
        assert_eq!(statuses.next().await, Ok(None));
        let distinct: BTreeSet<_> = told.iter().map(|update| update.id).collect();
        assert_eq!(distinct, ids.into_iter().collect(), "cut at {cut}");
        assert!(
            told.iter()
                .all(|update| update.status == v1::Status::Ordered)
        );
        let position = |update: &squad_client::StatusUpdate| update.position;
        assert_eq!(told.iter().map(position).min(), Some(Some(0)));
    }
}

#[tokio::test]
async fn a_status_is_asked_from_whoever_knows() {
    let network = Network::start(World::with_blocks(4)).await;
    let client = network.client();
    let id = network.world.lock().unwrap().id_at(4, 901, 1);
    assert_eq!(client.transaction_status(id).await.unwrap().height, 4);
    let unknown = transaction(901, 400, 1).id(&client.trusted().id());
    let refusal = client.transaction_status(unknown).await.unwrap_err();
    assert_eq!(refusal.reason, "UNKNOWN_TX");
}
