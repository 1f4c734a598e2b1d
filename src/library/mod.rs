//! What a library is, and how it comes, changes and goes.
//!
//! ```text
//! source ── prologue ──> engine: compile ──> evaluate ──> registrations
//!                                                             │ staged: nothing live has changed
//!                                          checked against the library it replaces
//!                                                             │ swapped: nothing can fail any more
//!                                            registry, delivery core, worker
//! ```

mod load;
mod prologue;
mod registry;

pub(crate) use load::delete;
pub use load::{LoadError, LoadRequest, Loader};
pub use prologue::{Prologue, PrologueError};
pub use registry::{Consumer, Library, Registry};
