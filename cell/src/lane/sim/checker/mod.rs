//! Judges a history by what is in the log at its end, replayed through the model, and by what every
//! client was told and when.

mod answers;
mod derived;
mod replay;

use super::history::Shown;
use super::world::World;
pub use derived::{Derived, is_checkpointed};
pub use replay::timers_pending;

/// Fails with a sentence if a condition does not hold.
macro_rules! ensure {
    ($holds:expr, $($why:tt)+) => {
        if !$holds {
            return Err(format!($($why)+));
        }
    };
}
pub(in crate::lane::sim) use ensure;

/// Checks everything about a history that has come to rest.
pub fn check(world: &World) -> Result<Shown, String> {
    if let Some(violation) = world.violations.iter().chain(&world.clients.violations).next() {
        return Err(violation.clone());
    }
    let replayed = replay::replay(world)?;
    replayed.check_rest(world)?;
    answers::check(world, &replayed)
}
