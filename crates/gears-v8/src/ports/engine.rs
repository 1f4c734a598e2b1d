//! An engine: what turns a library's source into a program, and the bounds that hold for all of them.

use std::sync::atomic::{AtomicBool, AtomicU64, AtomicUsize};

use super::{Program, Reply, ScriptError};

/// Turns source text into programs.
pub trait Engine: Send + Sync {
    /// The name a library's first line asks for.
    fn name(&self) -> &'static str;

    /// Compiles a library.
    ///
    /// # Errors
    /// What the compiler says, or that there is no memory for another library.
    fn compile(&self, source: &Source<'_>) -> Result<Box<dyn Program>, ScriptError>;

    /// Whether libraries can import a module of this name without bringing it along.
    fn has_module(&self, _name: &str) -> bool {
        false
    }

    /// What `RG.FUNCTION DEBUG <engine> ...` asks for.
    ///
    /// # Errors
    /// Where there is no such subcommand.
    fn debug(&self, arguments: &[&[u8]]) -> Result<Reply, String>;
}

/// Bounds for every library. May be changed at any time; the heap's bound holds for libraries
/// loaded after that.
#[derive(Debug)]
pub struct Limits {
    /// Milliseconds that JavaScript may hold the server's lock without a break.
    pub locked_ms: AtomicU64,
    /// The same, while a library is loaded that comes from a dump, the append-only file or the
    /// primary; not less than the other one.
    pub restoring_ms: AtomicU64,
    /// Milliseconds that it may run without a break elsewhere.
    pub unlocked_ms: AtomicU64,
    /// Bytes of heap, and of array buffers, that a library may use.
    pub memory: AtomicUsize,
    /// Bytes that all libraries together may use.
    pub total_memory: AtomicUsize,
    /// Whether what goes beyond a limit is let run: then the process may hang, or end for lack
    /// of memory.
    pub never_kills: AtomicBool,
}

/// A library before it is loaded.
#[derive(Clone, Copy, Debug)]
pub struct Source<'a> {
    /// The library's name.
    pub library: &'a str,
    /// Its whole text, first line included.
    pub code: &'a str,
    /// The text of its configuration: a JSON object.
    pub config: Option<&'a str>,
    /// Whether its top level is a script to be run once.
    pub one_shot: bool,
    /// Whether it comes from a dump, the append-only file or the primary.
    pub restored: bool,
}
