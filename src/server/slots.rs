//! Hash slots of a cluster: whether the keys of a command are all in one.
//!
//! That is only looked at where the server cannot be asked: see [`ServerFacts`](super::facts::ServerFacts).

use gears_core::cluster::slot_of;
use redis_module::RedisString;

use super::context::Context;

/// Whether a command, whose arguments these are, names keys of several slots.
pub(super) fn are_several(context: &Context, arguments: &[RedisString]) -> bool {
    let places = context.key_places(arguments).into_iter();
    let mut slots = places.filter_map(|place| Some(slot_of(arguments.get(place)?.as_slice())));
    let first = slots.next();
    slots.any(|slot| Some(slot) != first)
}
