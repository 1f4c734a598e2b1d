//! Lists that grew with much work at once, and are short again.

use std::collections::VecDeque;

/// Elements of a list whose memory is kept.
const KEPT: usize = 1024;

/// Gives back a list's memory when little is left in it.
pub(super) fn shrink<T>(list: &mut VecDeque<T>) {
    if list.len() < KEPT && list.capacity() > 4 * KEPT {
        list.shrink_to(KEPT);
    }
}
