//! Rust's allocator: the server's, so that what the module holds counts as the server's memory.
//!
//! Before the module is loaded, and in tests without a server, there is no such allocator and
//! the system's is used. Nothing is allocated before it in a server: the first code of ours to
//! run there is the module's entry, which fetches the functions first.

use std::alloc::{GlobalAlloc, Layout, System};
use std::ffi::c_void;

use redis_module::raw;

/// Alignment that the server's allocators (jemalloc, glibc) give for any size of at least that.
const NATURAL: usize = 16;

/// See the module's description.
pub(crate) struct ServerAllocator;

/// Over-aligned blocks keep the address they were allocated at just below themselves.
const HEADER: usize = size_of::<*mut u8>();

// SAFETY: every block comes from the server's allocator or, where there is none, from the
// system's; which of the two does not change while blocks exist. Blocks of at most natural
// alignment are passed through with a size no smaller than their alignment. Others lie inside a
// larger block, aligned by hand, behind a header with that block's address.
unsafe impl GlobalAlloc for ServerAllocator {
    unsafe fn alloc(&self, layout: Layout) -> *mut u8 {
        // SAFETY: the functions are set once, before anything is allocated.
        let Some(alloc) = (unsafe { raw::RedisModule_Alloc }) else {
            return unsafe { System.alloc(layout) };
        };
        if layout.align() <= NATURAL {
            return unsafe { alloc(layout.size().max(layout.align())) }.cast();
        }
        let Some(size) = layout.size().checked_add(layout.align() + HEADER) else {
            return std::ptr::null_mut();
        };
        let block: *mut u8 = unsafe { alloc(size) }.cast();
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
        match unsafe { raw::RedisModule_Calloc } {
            Some(calloc) if layout.align() <= NATURAL => {
                unsafe { calloc(1, layout.size().max(layout.align())) }.cast()
            }
            Some(_) => {
                let place = unsafe { self.alloc(layout) };
                if !place.is_null() {
                    unsafe { place.write_bytes(0, layout.size()) };
                }
                place
            }
            None => unsafe { System.alloc_zeroed(layout) },
        }
    }

    unsafe fn dealloc(&self, place: *mut u8, layout: Layout) {
        let Some(free) = (unsafe { raw::RedisModule_Free }) else {
            return unsafe { System.dealloc(place, layout) };
        };
        let block = if layout.align() <= NATURAL {
            place
        } else {
            // SAFETY: `alloc` wrote it there.
            unsafe { place.sub(HEADER).cast::<*mut u8>().read_unaligned() }
        };
        unsafe { free(block.cast::<c_void>()) };
    }

    unsafe fn realloc(&self, place: *mut u8, layout: Layout, new_size: usize) -> *mut u8 {
        match unsafe { raw::RedisModule_Realloc } {
            Some(realloc) if layout.align() <= NATURAL => {
                unsafe { realloc(place.cast(), new_size.max(layout.align())) }.cast()
            }
            Some(_) => {
                // SAFETY: the caller vouches for the size; the new block is no smaller than what
                // is copied into it.
                let new = unsafe { Layout::from_size_align_unchecked(new_size, layout.align()) };
                let moved = unsafe { self.alloc(new) };
                if !moved.is_null() {
                    unsafe {
                        moved.copy_from_nonoverlapping(place, layout.size().min(new_size));
                        self.dealloc(place, layout);
                    }
                }
                moved
            }
            None => unsafe { System.realloc(place, layout, new_size) },
        }
    }
}
