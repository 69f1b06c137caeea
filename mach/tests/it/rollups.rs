//! The rollup tree after a sequence of blocks.

use squad_mach::rollups::{ROLLUPS_MAX, RollupsError};
use squad_mach::{RollupState, RollupTree};
use squad_primitives::order::RollupLeaf;
use squad_primitives::{Digest, Height, RollupId};

fn tree(ids: &[u64]) -> RollupTree {
    let states = ids.iter().map(|id| RollupState::empty(RollupId(*id)));
    RollupTree::new(states.collect()).unwrap()
}

fn part(rollup: u64, number: u64) -> RollupLeaf {
    RollupLeaf::new(RollupId(rollup), number, &[Digest([number as u8; 32])])
}

#[test]
fn a_kept_tree_equals_one_built_from_its_states() {
    let mut kept = tree(&[0, 3, 7, 9, 20]);
    let mut numbers = [0_u64; 5];
    for height in 1..40_u64 {
        let parts: Vec<_> = [0, 3, 7, 9, 20]
            .iter()
            .enumerate()
            .filter(|(index, _)| height % (*index as u64 + 2) == 0)
            .map(|(index, id)| {
                numbers[index] += 1;
                part(*id, numbers[index])
            })
            .collect();
        kept.apply(Height(height), &parts).unwrap();
        let fresh = RollupTree::new(kept.states().to_vec()).unwrap();
        assert_eq!(kept, fresh);
        for state in kept.states() {
            let (leaf, path) = kept.prove(state.rollup).unwrap();
            assert_eq!(path.root(&leaf.digest()), Some(kept.root()));
        }
    }
}

#[test]
fn each_leaf_names_the_one_before() {
    let mut tree = tree(&[1]);
    tree.apply(Height(4), &[part(1, 1)]).unwrap();
    let first = tree.states()[0];
    assert_eq!(first.previous, Digest::ZERO);
    tree.apply(Height(5), &[]).unwrap();
    assert_eq!(tree.states()[0], first, "an idle rollup keeps its leaf");
    tree.apply(Height(9), &[part(1, 2)]).unwrap();
    assert_eq!(tree.states()[0].previous, first.digest());
    assert_eq!(tree.states()[0].last_height, Height(9));
}

#[test]
fn parts_that_do_not_fit_change_nothing() {
    let mut kept = tree(&[1, 2]);
    let before = kept.clone();
    assert_eq!(
        kept.apply(Height(1), &[part(1, 1), part(5, 1)]),
        Err(RollupsError::Unknown(RollupId(5)))
    );
    assert_eq!(
        kept.apply(Height(1), &[part(1, 1), part(2, 2)]),
        Err(RollupsError::Gap {
            rollup: RollupId(2),
            last: 0,
            found: 2
        })
    );
    assert_eq!(kept, before);
}

#[test]
fn lists_out_of_order_or_too_long_are_refused() {
    let twice = vec![RollupState::empty(RollupId(1)); 2];
    assert_eq!(
        RollupTree::new(twice),
        Err(RollupsError::Order(RollupId(1)))
    );
    let many = (0..=ROLLUPS_MAX as u64).map(|id| RollupState::empty(RollupId(id)));
    assert_eq!(
        RollupTree::new(many.collect()),
        Err(RollupsError::TooMany(ROLLUPS_MAX + 1))
    );
}
