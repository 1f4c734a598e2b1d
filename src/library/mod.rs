//! What a library is, and how it comes, changes and goes.
//!
//! ```text
//! source ── prologue ──> engine: compile ──> evaluate ──> registrations
//!                                                             │ staged: nothing live has changed
//!                                          checked against the library it replaces
//!                                                             │ swapped: nothing can fail any more
//!                                            registry, delivery core, executor
//! ```
//!
//! What is kept of a library over a restart, and sent to replicas, is its code and how far its
//! consumers are. It is loaded anew from that, as an upgrade of itself: a library that cannot be
//! loaded here stays as it is, in quarantine. Of one that was deleted the progress alone may be kept.

mod callees;
mod kept;
mod libraries;
mod load;
mod outline;
mod owner;
mod prologue;
mod registry;
mod report;
mod restore;
mod shared;
mod snapshot;
mod swap;
mod versions;

pub(crate) use callees::Callee;
pub(crate) use kept::KeptProgress;
pub(crate) use libraries::{EventSubscriptions, KeyEvents, Libraries, Remainder};
pub(crate) use load::{Change, LoadError, LoadRequest, LoadedSource, SourceKind};
pub(crate) use owner::{OwnerRequest, Users, owner};
pub(crate) use prologue::{Prologue, ScriptSession};
pub(crate) use registry::{Library, LibraryConsumer, LibraryStatus, Registry};
pub(crate) use versions::{digest, now_ms};
