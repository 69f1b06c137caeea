//! What must hold in every state, and what must happen in some (or the scope shows nothing).

use crate::fair;
use crate::net::{
    ABANDONED, COMMITTED_AND_SKIPPED, CONTRADICTED, FOREIGN, SKIPPED, SPLIT, TWO_CERTIFIED,
};
use crate::node::{ACCUSED, CHARGED, CONFLICT};
use crate::world::{DISAGREED, State, World};
use stateright::Property;

/// No two honest operators ever commit different blocks at one height, in any of their lives.
pub const AGREEMENT: &str = "agreement";
/// At most one block is certified in a view.
pub const ONE_CERTIFIED: &str = "one certified block per view";
/// No view has both a commit certificate and a timeout certificate.
pub const EXCLUSION: &str = "never CC and TC of one view";
/// Every block certified in a later view descends from each block with a commit certificate.
pub const SUCCESSION: &str = "later certified blocks extend committed ones";
/// No honest key signs two statements that contradict each other, across restarts.
pub const PROMISES: &str = "honest promises are kept";
/// No honest operator is charged with a fault or accused by evidence.
pub const INNOCENCE: &str = "honest operators are not blamed";
/// From a sample of the states, a fair schedule commits.
pub const NOT_STUCK: &str = "no state is stuck";

fn facts(world: &World, state: &State) -> u8 {
    world.read().net(state.net).facts
}

/// All rules, and then the examples that must be found.
pub(crate) fn all() -> Vec<Property<World>> {
    vec![
        Property::always(AGREEMENT, |_, state: &State| {
            state.alarms & (DISAGREED | CONFLICT) == 0
        }),
        Property::always(ONE_CERTIFIED, |world: &World, state: &State| {
            facts(world, state) & TWO_CERTIFIED == 0
        }),
        Property::always(EXCLUSION, |world: &World, state: &State| {
            facts(world, state) & COMMITTED_AND_SKIPPED == 0
        }),
        Property::always(SUCCESSION, |world: &World, state: &State| {
            facts(world, state) & ABANDONED == 0
        }),
        Property::always(PROMISES, |world: &World, state: &State| {
            facts(world, state) & CONTRADICTED == 0
        }),
        Property::always(INNOCENCE, |_, state: &State| {
            state.alarms & (CHARGED | ACCUSED) == 0
        }),
        Property::always(NOT_STUCK, fair::sample_commits),
        Property::sometimes("a block is committed", |world: &World, state: &State| {
            !world.read().chain(state.decided).is_empty()
        }),
        Property::sometimes(
            "a second block is committed",
            |world: &World, state: &State| world.read().chain(state.decided).len() > 1,
        ),
        Property::sometimes("a view is skipped", |world: &World, state: &State| {
            facts(world, state) & SKIPPED != 0
        }),
        Property::sometimes(
            "honest votes are split by an equivocating leader",
            |world: &World, state: &State| facts(world, state) & SPLIT != 0,
        ),
        Property::sometimes(
            "a block of a Byzantine leader can be committed",
            |world: &World, state: &State| facts(world, state) & FOREIGN != 0,
        ),
    ]
}
