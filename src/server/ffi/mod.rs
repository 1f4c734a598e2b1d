//! Safe wrappers over the raw Module API. All that is `unsafe` about it is in here, but for the
//! macros' C functions of commands and for what the server calls first (`entry.rs`).
//!
//! From the crate `redis-module` come the bindings, strings (`RedisString`), the flags of a context
//! and timers. Its other wrappers were read in release 2.0.8 and are not used:
//!
//! ```text
//! file          wraps                          why not the crate's
//! alloc         the server's allocator         its realloc copies; alignments above 16 are not kept
//! blocked       clients that wait              it uses a client that has left; nobody is told of that
//! bus           the cluster bus               (not in the crate)
//! call          calling commands               panics on a NUL in a name; no list of arguments is kept
//! command       registering commands           needs functions that Redis 7.0 does not have
//! config        module configs                 does not look whether the server took them
//! context       the context of a call          (extends the crate's)
//! data_type     dumps                          has no data outside of keys with errors that are seen
//! event_loop    waking the main thread         has only timers, which are used
//! events        the server's events            lacks shutdown, fork, swap, event loop, persistence
//! global_lock   the server's lock              its context outlives the module when that is unloaded
//! guard         panics                         it catches none: the server would end
//! info_reply    sections of INFO               refuses all of INFO where two fields have one name
//! key           keys that are open             panics on types that it does not know
//! log           the server's log               takes the message for a format
//! node_user     connections of other nodes    (not in the crate)
//! notifications key events                     panics on names that are not UTF-8
//! own_file      the module's own file          (the operating system's)
//! redis_locked  values under the lock          asks for a context at each use
//! reply         sending replies                panics on a NUL in a text; no RESP3 of RESP2 clients
//! reply_parts   replies, a part at a time      has none for clients that wait
//! scan          finding keys                   leaks a reference of each name
//! server_info   reading INFO                   leaks a reference of each field
//! stream        the entries of a stream        two owned strings a field; no end without an assertion
//! thread_signal stopping threads               (the operating system's)
//! user          users and their rights         says only whether a key may be used
//! ```
//!
//! A wrapper that frees something when it is dropped is made of a pointer that was looked at: by
//! `then(|| ...)`, never by `then_some`, which would make it, and drop it, of null.
//!
//! Everything but waking, logging and unblocking is called under the server's lock: a [`Context`]
//! exists only there. Callbacks of the server are C functions here, each of which runs what it
//! calls by [`guard::run`]; what they call is an implementation of a trait, or a function.

pub(super) mod alloc;
pub(super) mod blocked;
pub(super) mod bus;
pub(super) mod call;
pub(super) mod command;
mod command_info;
pub(super) mod config;
pub(super) mod constants;
pub(super) mod context;
pub(super) mod data_type;
pub(super) mod event_loop;
pub(super) mod events;
pub(super) mod global_lock;
pub(super) mod guard;
pub(super) mod info_reply;
pub(super) mod key;
pub(super) mod log;
pub(super) mod node_user;
pub(super) mod notifications;
pub(super) mod own_file;
pub(super) mod redis_locked;
pub(super) mod reply;
pub(super) mod reply_parts;
pub(super) mod scan;
pub(super) mod server_info;
pub(super) mod stream;
pub(super) mod string;
pub(super) mod thread_signal;
pub(super) mod user;

/// A function of the server, which it is known to have: it is older than the oldest server that
/// loads this module.
macro_rules! api {
    ($name:ident) => {
        redis_module::raw::$name.expect(concat!("the server has no ", stringify!($name)))
    };
}
pub(super) use api;
