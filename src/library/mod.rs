//! What a library is, and how it comes, changes and goes.
//!
//! ```text
//! source ── prologue ──> engine: compile ──> evaluate ──> registrations
//!                                                             │ staged: nothing live has changed
//!                                          checked against the library it replaces
//!                                                             │ swapped: nothing can fail any more
//!                                            registry, delivery core, worker
//! ```
//!
//! What is kept of a library over a restart, and sent to replicas, is its code and how far its
//! consumers are. It is loaded anew from that, as an upgrade of itself: a library that cannot be
//! loaded here stays as it is, in quarantine.

mod load;
mod prologue;
mod registry;
mod restore;

pub(crate) use load::delete;
pub(crate) use load::{Kind, LoadError, LoadRequest, Loader};
pub(crate) use prologue::Prologue;
pub(crate) use registry::{Consumer, Library, LibraryStatus, Registry};
pub(crate) use restore::{dump, snapshot_with_progress};

pub(crate) use gears_core::snapshot::Unregistered;
