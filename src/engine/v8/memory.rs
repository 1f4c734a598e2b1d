//! What a library may take: a heap with a bound that is an error and not the end of the process,
//! and array buffers, which lie outside that heap and are counted here.

use std::ffi::c_void;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use super::watchdog::{Reason, Watch};
use crate::engine::ScriptError;

/// The young generation: small, as records live short; V8's default lets RSS grow by 100 MB.
const YOUNG_GENERATION: usize = 8 << 20;
/// What a script that is being ended may still take until it notices, each time it is asked. The
/// largest array takes 1 GiB, and one built-in function may need two beside its arguments.
const HEADROOM: usize = 3 << 30;

/// Settings for an isolate whose heap and whose array buffers are each bounded by `limit` bytes.
pub(super) fn create_params(limit: usize) -> v8::CreateParams {
    let buffers = Arc::new(ArrayBuffers {
        used: AtomicUsize::new(0),
        limit,
    });
    // SAFETY: the handle comes from `Arc::into_raw` and is given back by `drop` of the table,
    // which V8 calls once, after the last buffer is freed; the table is for this very type.
    let allocator = unsafe { v8::new_rust_allocator(Arc::into_raw(buffers), &ArrayBuffers::TABLE) };
    v8::Isolate::create_params()
        .heap_limits(0, limit)
        .set_max_young_generation_size_in_bytes(YOUNG_GENERATION)
        .array_buffer_allocator(allocator.make_shared())
}

/// Lets `watch` end the running script when the heap comes near its limit.
pub(super) fn guard_heap(isolate: &mut v8::Isolate, watch: &Arc<Watch>) {
    isolate.add_near_heap_limit_callback(near_heap_limit, watch_pointer(watch));
}

/// The bounds of one library's runs.
pub(super) struct Bounds {
    /// Bounds their time, and ends them for either.
    pub(super) watch: Arc<Watch>,
    /// Bytes of heap.
    pub(super) memory: usize,
}

impl Bounds {
    /// Ends a run; the error if it was ended from outside. The heap is then as good as before.
    pub(super) fn end_run(&self, isolate: &mut v8::Isolate) -> Option<ScriptError> {
        let reason = self.watch.stop()?;
        if reason == Reason::Memory {
            isolate.low_memory_notification();
            isolate.remove_near_heap_limit_callback(near_heap_limit, self.memory);
            guard_heap(isolate, &self.watch);
        }
        Some(ScriptError::new(reason.describe()))
    }
}

fn watch_pointer(watch: &Arc<Watch>) -> *mut c_void {
    Arc::as_ptr(watch).cast_mut().cast()
}

/// Asks for the end of the script. V8 notices only when it returns to JavaScript, so the limit
/// that is given back must leave room until then: the same one again would end the process.
unsafe extern "C" fn near_heap_limit(data: *mut c_void, current: usize, _initial: usize) -> usize {
    // SAFETY: `data` is the pointer of the program's watch, which the program drops after its
    // isolate; only that isolate calls back.
    let watch = unsafe { &*data.cast::<Watch>() };
    watch.end_for_memory();
    current.saturating_add(HEADROOM)
}

/// The array buffers of one library.
#[derive(Debug)]
struct ArrayBuffers {
    used: AtomicUsize,
    limit: usize,
}

impl ArrayBuffers {
    const TABLE: v8::RustAllocatorVtable<Self> = v8::RustAllocatorVtable {
        allocate: Self::allocate,
        allocate_uninitialized: Self::allocate_uninitialized,
        free: Self::free,
        drop: Self::drop,
    };

    fn reserve(&self, len: usize) -> bool {
        let taken = self
            .used
            .fetch_update(Ordering::Relaxed, Ordering::Relaxed, |used| {
                used.checked_add(len).filter(|sum| *sum <= self.limit)
            });
        taken.is_ok()
    }

    /// V8 turns null into a `RangeError`.
    fn take(&self, len: usize, allocate: impl FnOnce() -> *mut c_void) -> *mut c_void {
        if !self.reserve(len) {
            return std::ptr::null_mut();
        }
        let data = allocate();
        if data.is_null() {
            self.used.fetch_sub(len, Ordering::Relaxed);
        }
        data
    }

    unsafe extern "C" fn allocate(&self, len: usize) -> *mut c_void {
        // SAFETY: calloc has no precondition; the result is freed by `free` only.
        self.take(len, || unsafe { libc::calloc(len.max(1), 1) })
    }

    unsafe extern "C" fn allocate_uninitialized(&self, len: usize) -> *mut c_void {
        // SAFETY: as above.
        self.take(len, || unsafe { libc::malloc(len.max(1)) })
    }

    unsafe extern "C" fn free(&self, data: *mut c_void, len: usize) {
        self.used.fetch_sub(len, Ordering::Relaxed);
        // SAFETY: V8 gives back what one of the two functions above gave it.
        unsafe { libc::free(data) };
    }

    unsafe extern "C" fn drop(handle: *const Self) {
        // SAFETY: the pointer is the one of `create_params`; V8 calls this once.
        drop(unsafe { Arc::from_raw(handle) });
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn array_buffers_beyond_the_limit_are_refused_and_freed_ones_count_no_more() {
        let buffers = ArrayBuffers {
            used: AtomicUsize::new(0),
            limit: 100,
        };
        assert!(buffers.reserve(60));
        assert!(!buffers.reserve(41));
        assert!(!buffers.reserve(usize::MAX));
        assert!(buffers.reserve(40));
        buffers.used.fetch_sub(60, Ordering::Relaxed);
        assert!(buffers.reserve(60));
    }
}
