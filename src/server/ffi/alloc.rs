//! Rust's allocator: the server's, so that what the module holds counts as the server's memory.
//!
//! Before the module is loaded, and in tests without a server, there is no such allocator and
//! the system's is used. Nothing is allocated before it in a server: the first code of ours to
//! run there is the module's entry, which fetches the functions first.

use std::alloc::{GlobalAlloc, Layout, System};
use std::ffi::c_void;

use gears_v8::allocations;
use redis_module::raw;

/// Alignment that the server's allocators (jemalloc, glibc) give for any size of at least that.
const NATURAL: usize = 16;

/// Over-aligned blocks keep the address they were allocated at just below themselves.
const HEADER: usize = size_of::<*mut u8>();

/// Rust's global allocator, over the server's own.
pub(crate) struct ServerAllocator;

/// The server's functions; `None` where there is no server.
#[derive(Clone, Copy)]
struct Functions {
    alloc: unsafe extern "C" fn(usize) -> *mut c_void,
    calloc: unsafe extern "C" fn(usize, usize) -> *mut c_void,
    realloc: unsafe extern "C" fn(*mut c_void, usize) -> *mut c_void,
    free: unsafe extern "C" fn(*mut c_void),
}

fn server() -> Option<Functions> {
    // SAFETY: they are set once, by the module's entry, before anything is allocated there.
    unsafe {
        Some(Functions {
            alloc: raw::RedisModule_Alloc?,
            calloc: raw::RedisModule_Calloc?,
            realloc: raw::RedisModule_Realloc?,
            free: raw::RedisModule_Free?,
        })
    }
}

/// The size to ask for where the natural alignment will do: no smaller than the alignment.
fn natural_size(layout: Layout) -> Option<usize> {
    (layout.align() <= NATURAL).then(|| layout.size().max(layout.align()))
}

// SAFETY: every block comes from the server's allocator or, where there is none, from the
// system's; which of the two does not change while blocks exist. Blocks of at most natural
// alignment are passed through with a size no smaller than their alignment. Others lie inside a
// larger block, aligned by hand, behind a header with that block's address.
unsafe impl GlobalAlloc for ServerAllocator {
    unsafe fn alloc(&self, layout: Layout) -> *mut u8 {
        let Some(server) = server() else {
            // SAFETY: the caller's promises are the system's too.
            return unsafe { System.alloc(layout) };
        };
        if let Some(size) = natural_size(layout) {
            if size >= allocations::FLOOR && allocations::is_refused(size) {
                return std::ptr::null_mut();
            }
            // SAFETY: no precondition.
            return unsafe { (server.alloc)(size) }.cast();
        }
        let Some(size) = layout.size().checked_add(layout.align() + HEADER) else {
            return std::ptr::null_mut();
        };
        // SAFETY: no precondition.
        let block: *mut u8 = unsafe { (server.alloc)(size) }.cast();
        if block.is_null() {
            return block;
        }
        // SAFETY: header and padding together are no more than what was added above.
        unsafe {
            let behind = block.add(HEADER);
            let place = behind.add(behind.align_offset(layout.align()));
            place.sub(HEADER).cast::<*mut u8>().write_unaligned(block);
            place
        }
    }

    unsafe fn alloc_zeroed(&self, layout: Layout) -> *mut u8 {
        let Some(server) = server() else {
            // SAFETY: the caller's promises are the system's too.
            return unsafe { System.alloc_zeroed(layout) };
        };
        if let Some(size) = natural_size(layout) {
            // SAFETY: no precondition.
            return unsafe { (server.calloc)(1, size) }.cast();
        }
        // SAFETY: as the caller promises; the block has the size that is zeroed.
        unsafe {
            let place = self.alloc(layout);
            if !place.is_null() {
                place.write_bytes(0, layout.size());
            }
            place
        }
    }

    unsafe fn dealloc(&self, place: *mut u8, layout: Layout) {
        // SAFETY: the block came from the same allocator; `alloc` wrote the header.
        unsafe {
            match server() {
                None => System.dealloc(place, layout),
                Some(server) if natural_size(layout).is_some() => (server.free)(place.cast()),
                Some(server) => {
                    let block = place.sub(HEADER).cast::<*mut u8>().read_unaligned();
                    (server.free)(block.cast());
                }
            }
        }
    }

    unsafe fn realloc(&self, place: *mut u8, layout: Layout, new_size: usize) -> *mut u8 {
        // SAFETY: the caller vouches for block and sizes; the new block is no smaller than what is
        // copied into it.
        unsafe {
            let new = Layout::from_size_align_unchecked(new_size, layout.align());
            match (server(), natural_size(new)) {
                (None, _) => System.realloc(place, layout, new_size),
                (Some(_), Some(size))
                    if size >= allocations::FLOOR && allocations::is_refused(size) =>
                {
                    std::ptr::null_mut()
                }
                (Some(server), Some(size)) => (server.realloc)(place.cast(), size).cast(),
                (Some(_), None) => {
                    let moved = self.alloc(new);
                    if !moved.is_null() {
                        moved.copy_from_nonoverlapping(place, layout.size().min(new_size));
                        self.dealloc(place, layout);
                    }
                    moved
                }
            }
        }
    }
}
