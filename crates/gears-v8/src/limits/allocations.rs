//! A bound for what V8 allocates through Rust while it clones a value.
//!
//! V8 writes a clone into one block that it has grown as it goes, and a value may be far larger than
//! what it takes on the heap: an array that holds the same long string ten million times. How large it
//! will be nobody can tell before, since getters of the script run on the way. But V8 takes it well if
//! that block is refused. So the allocator asks here about each large block.

use std::cell::Cell;

/// Blocks below that size are never refused.
pub const FLOOR: usize = 64 << 10;

thread_local! {
    /// The largest block that this thread may have.
    static MOST: Cell<usize> = const { Cell::new(usize::MAX) };
    /// Whether one was refused.
    static REFUSED: Cell<bool> = const { Cell::new(false) };
}

/// Whether a block of at least [`FLOOR`] bytes has to be refused. To be asked by the allocator.
#[must_use]
pub fn is_refused(size: usize) -> bool {
    let is_refused = size > MOST.get();
    if is_refused {
        REFUSED.set(true);
    }
    is_refused
}

/// Puts the bound back that was there before.
struct Outer(usize);

impl Drop for Outer {
    fn drop(&mut self) {
        MOST.set(self.0);
    }
}

/// Runs `work`, which takes it if a block of more than `most` bytes is refused; whether one was.
pub(crate) fn bounded<R>(most: usize, work: impl FnOnce() -> R) -> (R, bool) {
    REFUSED.set(false);
    let outer = Outer(MOST.replace(most.max(FLOOR)));
    let result = work();
    drop(outer);
    (result, REFUSED.replace(false))
}

/// Whether a block was refused in the [`bounded`] work at hand.
pub(crate) fn was_refused() -> bool {
    REFUSED.get()
}

/// Runs code of ours that a script has called, which may be in the middle of [`bounded`] work: Rust
/// takes it for the end if a block is refused.
pub(crate) fn unbounded<R>(work: impl FnOnce() -> R) -> R {
    let _outer = Outer(MOST.replace(usize::MAX));
    work()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn large_blocks_are_refused_within_bounded_work_and_nowhere_else() {
        assert!(!is_refused(usize::MAX));
        let (inside, refused) = bounded(1 << 20, || {
            assert!(unbounded(|| !is_refused(2 << 20)));
            [
                is_refused(1 << 20),
                was_refused(),
                is_refused((1 << 20) + 1),
            ]
        });
        assert_eq!((inside, refused), ([false, false, true], true));
        assert!(!is_refused(usize::MAX));
        assert_eq!(bounded(1 << 20, || ()), ((), false));
    }
}
