//! What a library may take: a heap with a bound that is an error and not the end of the process,
//! array buffers, which lie outside that heap and are counted here, and its part of what all
//! libraries may take together.
//!
//! The heap is measured after each collection. Where it is beyond its bound, or where all
//! libraries together are beyond theirs and this one takes more than an equal share, the run that
//! goes on is ended.

use std::ffi::c_void;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};

use crate::limits::watchdog::{Reason, RunTimer};
use crate::ports::{Limits, MemoryUse, ScriptError};

/// The young generation: small, as records live short; V8's default lets RSS grow by 100 MB.
const YOUNG_GENERATION: usize = 8 << 20;
/// What a script that is being ended may still take until it notices, each time it is asked. The
/// largest array takes 1 GiB, and one built-in function may need two beside its arguments.
const HEADROOM: usize = 3 << 30;

/// What all libraries take together.
#[derive(Debug)]
pub(crate) struct MemoryAccounting {
    limits: Arc<Limits>,
    total: AtomicUsize,
    libraries: AtomicUsize,
}

impl MemoryAccounting {
    pub(crate) fn new(limits: Arc<Limits>) -> Arc<Self> {
        Arc::new(Self {
            limits,
            total: AtomicUsize::new(0),
            libraries: AtomicUsize::new(0),
        })
    }

    /// Whether all is taken that there is.
    pub(crate) fn is_full(&self) -> bool {
        self.total.load(Ordering::Relaxed) >= self.limit()
    }

    fn limit(&self) -> usize {
        self.limits.total_memory.load(Ordering::Relaxed)
    }

    /// Whether one that takes `own` is to give way, if `more` is wanted.
    fn refuses(&self, own: usize, more: usize) -> bool {
        let limit = self.limit();
        let share = limit / self.libraries.load(Ordering::Relaxed).max(1);
        self.total.load(Ordering::Relaxed).saturating_add(more) > limit
            && own.saturating_add(more) > share
    }
}

/// The bounds of one library's runs, and what it takes. V8 keeps a pointer to it.
#[derive(Debug)]
pub(crate) struct IsolateLimits {
    /// Bounds their time, and ends them for either.
    pub(crate) timer: Arc<RunTimer>,
    /// Bytes of heap, and of array buffers.
    pub(crate) memory: usize,
    heap: AtomicUsize,
    buffers: AtomicUsize,
    /// Whether a buffer was just refused: V8 then tries its last resort, as if its heap were full.
    refused: AtomicBool,
    /// Whether the heap's limit was raised for that, and is to be set back.
    raised: AtomicBool,
    accounting: Arc<MemoryAccounting>,
}

impl IsolateLimits {
    pub(crate) fn new(
        timer: Arc<RunTimer>,
        memory: usize,
        accounting: &Arc<MemoryAccounting>,
    ) -> Arc<Self> {
        accounting.libraries.fetch_add(1, Ordering::Relaxed);
        Arc::new(Self {
            timer,
            memory,
            heap: AtomicUsize::new(0),
            buffers: AtomicUsize::new(0),
            refused: AtomicBool::new(false),
            raised: AtomicBool::new(false),
            accounting: Arc::clone(accounting),
        })
    }

    /// What the library takes, as of the last collection.
    pub(crate) fn memory_use(&self) -> MemoryUse {
        MemoryUse {
            heap: self.heap.load(Ordering::Relaxed),
            buffers: self.buffers.load(Ordering::Relaxed),
            limit: self.memory,
        }
    }

    /// Whether a run off the lock that took so long is to be ended.
    pub(crate) fn is_overdue(&self, took_ms: u64) -> bool {
        let limits = &self.accounting.limits;
        took_ms >= limits.unlocked_ms.load(Ordering::Relaxed)
            && !limits.never_kills.load(Ordering::Relaxed)
    }

    fn taken(&self) -> usize {
        self.heap
            .load(Ordering::Relaxed)
            .saturating_add(self.buffers.load(Ordering::Relaxed))
    }

    /// Takes note of the size of the heap.
    pub(crate) fn measure(&self, isolate: &mut v8::Isolate) {
        let now = isolate.get_heap_statistics().used_heap_size();
        let before = self.heap.swap(now, Ordering::Relaxed);
        self.accounting.total.fetch_add(now, Ordering::Relaxed);
        self.accounting.total.fetch_sub(before, Ordering::Relaxed);
    }

    fn is_exceeded(&self) -> bool {
        self.heap.load(Ordering::Relaxed) > self.memory || self.accounting.refuses(self.taken(), 0)
    }

    /// Ends a run; the error if it was ended from outside. The heap is then as good as before.
    pub(crate) fn end_run(&self, isolate: &mut v8::Isolate) -> Option<ScriptError> {
        let reason = self.timer.stop();
        if reason == Some(Reason::Memory) {
            // What the ended run left behind.
            isolate.low_memory_notification();
            self.set_limit_back(isolate);
        } else if self.raised.load(Ordering::Relaxed) {
            self.set_limit_back(isolate);
        }
        reason.map(|reason| ScriptError {
            stack: self.timer.take_stack().filter(|_| reason == Reason::Time),
            ..ScriptError::new(reason.describe())
        })
    }

    fn set_limit_back(&self, isolate: &mut v8::Isolate) {
        self.raised.store(false, Ordering::Relaxed);
        isolate.remove_near_heap_limit_callback(near_heap_limit, self.memory);
        isolate.add_near_heap_limit_callback(near_heap_limit, self.as_data());
    }

    fn as_data(&self) -> *mut c_void {
        std::ptr::from_ref(self).cast_mut().cast()
    }

    /// Counts the bytes of a buffer, if they fit.
    fn reserve(&self, length: usize) -> bool {
        if self.accounting.refuses(self.taken(), length) {
            return false;
        }
        let reserved = self
            .buffers
            .fetch_update(Ordering::Relaxed, Ordering::Relaxed, |used| {
                used.checked_add(length).filter(|sum| *sum <= self.memory)
            });
        if reserved.is_ok() {
            self.accounting.total.fetch_add(length, Ordering::Relaxed);
        }
        reserved.is_ok()
    }

    fn release(&self, length: usize) {
        self.buffers.fetch_sub(length, Ordering::Relaxed);
        self.accounting.total.fetch_sub(length, Ordering::Relaxed);
    }
}

impl Drop for IsolateLimits {
    fn drop(&mut self) {
        self.accounting.libraries.fetch_sub(1, Ordering::Relaxed);
        self.accounting
            .total
            .fetch_sub(self.taken(), Ordering::Relaxed);
    }
}

/// Settings for an isolate with these bounds.
pub(crate) fn create_params(isolate_limits: &Arc<IsolateLimits>) -> v8::CreateParams {
    // SAFETY: the handle comes from `Arc::into_raw` and is given back by `drop` of the table,
    // which V8 calls once, after the last buffer is freed; the table is for this very type.
    let allocator =
        unsafe { v8::new_rust_allocator(Arc::into_raw(Arc::clone(isolate_limits)), &BUFFERS) };
    v8::Isolate::create_params()
        .heap_limits(0, isolate_limits.memory)
        .set_max_young_generation_size_in_bytes(YOUNG_GENERATION)
        .array_buffer_allocator(allocator.make_shared())
}

/// Has the heap of an isolate measured and bounded. The program drops its bounds after the
/// isolate.
pub(crate) fn guard_heap(isolate: &mut v8::Isolate, isolate_limits: &Arc<IsolateLimits>) {
    isolate.add_near_heap_limit_callback(near_heap_limit, isolate_limits.as_data());
    isolate.add_gc_epilogue_callback(
        after_collection,
        isolate_limits.as_data(),
        v8::GCType::kGCTypeAll,
    );
    isolate.set_oom_error_handler(report_out_of_memory);
}

/// Asks for the end of the script. V8 notices only when it returns to JavaScript, so the limit
/// that is given back must leave room until then: the same one again would end the process.
unsafe extern "C" fn near_heap_limit(data: *mut c_void, current: usize, _initial: usize) -> usize {
    // SAFETY: `data` is what `IsolateLimits::as_data` gave; the program drops its bounds after its
    // isolate, and only that isolate calls back.
    let isolate_limits = unsafe { &*data.cast::<IsolateLimits>() };
    if isolate_limits
        .accounting
        .limits
        .never_kills
        .load(Ordering::Relaxed)
    {
        log::error!(
            "library '{}' is out of memory, and the policy is to end the process",
            isolate_limits.timer.library()
        );
        return current;
    }
    let is_buffer = isolate_limits.refused.swap(false, Ordering::Relaxed);
    if is_buffer && isolate_limits.heap.load(Ordering::Relaxed) < isolate_limits.memory / 2 {
        // Not the heap is full: the script gets a `RangeError`.
        isolate_limits.raised.store(true, Ordering::Relaxed);
    } else {
        isolate_limits.timer.end_for_memory();
    }
    current.saturating_add(HEADROOM)
}

unsafe extern "C" fn after_collection(
    isolate: v8::UnsafeRawIsolatePtr,
    _kind: v8::GCType,
    _flags: v8::GCCallbackFlags,
    data: *mut c_void,
) {
    // SAFETY: as in `near_heap_limit`; V8 gives the isolate that has just collected, on the
    // thread that holds it.
    let (isolate_limits, mut isolate) = unsafe {
        (
            &*data.cast::<IsolateLimits>(),
            v8::Isolate::from_raw_isolate_ptr(isolate),
        )
    };
    isolate_limits.measure(&mut isolate);
    let never_kills = isolate_limits
        .accounting
        .limits
        .never_kills
        .load(Ordering::Relaxed);
    if isolate_limits.timer.is_running() && isolate_limits.is_exceeded() && !never_kills {
        isolate_limits.timer.end_for_memory();
    }
}

/// V8 has no memory left and is about to end the process.
unsafe extern "C" fn report_out_of_memory(
    _place: *const std::ffi::c_char,
    details: &v8::OomDetails,
) {
    let kind = if details.is_heap_oom {
        "heap"
    } else {
        "process"
    };
    log::error!("V8 is out of memory ({kind}): this process ends now");
}

/// The functions V8 allocates array buffers with.
const BUFFERS: v8::RustAllocatorVtable<IsolateLimits> = v8::RustAllocatorVtable {
    allocate,
    allocate_uninitialized,
    free,
    drop: drop_bounds,
};

/// V8 turns null into a `RangeError`.
fn take(
    isolate_limits: &IsolateLimits,
    length: usize,
    allocate: impl FnOnce() -> *mut c_void,
) -> *mut c_void {
    if !isolate_limits.reserve(length) {
        isolate_limits.refused.store(true, Ordering::Relaxed);
        return std::ptr::null_mut();
    }
    let data = allocate();
    if data.is_null() {
        isolate_limits.release(length);
    }
    data
}

unsafe extern "C" fn allocate(isolate_limits: &IsolateLimits, length: usize) -> *mut c_void {
    // SAFETY: calloc has no precondition; the result is freed by `free` only.
    take(isolate_limits, length, || unsafe {
        libc::calloc(length.max(1), 1)
    })
}

unsafe extern "C" fn allocate_uninitialized(
    isolate_limits: &IsolateLimits,
    length: usize,
) -> *mut c_void {
    // SAFETY: as above.
    take(isolate_limits, length, || unsafe {
        libc::malloc(length.max(1))
    })
}

unsafe extern "C" fn free(isolate_limits: &IsolateLimits, data: *mut c_void, length: usize) {
    isolate_limits.release(length);
    // SAFETY: V8 gives back what one of the two functions above gave it.
    unsafe { libc::free(data) };
}

unsafe extern "C" fn drop_bounds(handle: *const IsolateLimits) {
    // SAFETY: the pointer is the one of `create_params`; V8 calls this once.
    drop(unsafe { Arc::from_raw(handle) });
    return_free_memory();
}

/// Gives what the library's buffers took back to the operating system. The C library keeps what
/// was freed in small pieces: with another allocator in the server, nobody would use it again.
fn return_free_memory() {
    #[cfg(target_env = "gnu")]
    // SAFETY: it looks at free memory alone, under the C library's own locks.
    unsafe {
        libc::malloc_trim(0);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::limits::watchdog::Watchdog;
    use std::sync::atomic::AtomicU64;

    fn accounting(total: usize) -> Arc<MemoryAccounting> {
        MemoryAccounting::new(Arc::new(Limits {
            locked_ms: AtomicU64::new(1000),
            restoring_ms: AtomicU64::new(30_000),
            unlocked_ms: AtomicU64::new(1000),
            memory: AtomicUsize::new(100),
            total_memory: AtomicUsize::new(total),
            never_kills: AtomicBool::new(false),
        }))
    }

    fn isolate_limits(accounting: &Arc<MemoryAccounting>) -> Arc<IsolateLimits> {
        let watchdog = Watchdog::start(Arc::clone(&accounting.limits)).expect("a thread");
        IsolateLimits::new(watchdog.timer("lib"), 100, accounting)
    }

    #[test]
    fn buffers_beyond_the_limit_are_refused_and_freed_ones_count_no_more() {
        let isolate_limits = isolate_limits(&accounting(1000));
        assert!(isolate_limits.reserve(60));
        assert!(!isolate_limits.reserve(41));
        assert!(!isolate_limits.reserve(usize::MAX));
        assert!(isolate_limits.reserve(40));
        isolate_limits.release(60);
        assert!(isolate_limits.reserve(60));
    }

    #[test]
    fn when_all_is_taken_only_those_give_way_that_take_more_than_their_share() {
        let accounting = accounting(120);
        let (large, small) = (isolate_limits(&accounting), isolate_limits(&accounting));
        assert!(large.reserve(100));
        assert!(!large.reserve(21));
        assert!(small.reserve(50), "up to its share, whatever others take");
        assert!(accounting.is_full());
        assert!(!small.reserve(11));
        drop(large);
        assert!(small.reserve(11) && !accounting.is_full());
    }
}
