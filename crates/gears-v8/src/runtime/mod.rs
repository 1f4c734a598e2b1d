//! What everything that deals with V8 stands on.
//!
//! ```text
//! platform      V8 for the whole process, once, before any thread that runs JavaScript
//! run           what a run has around it: bounds, the server, what comes of it
//! continuation  in whose name code acts, over every `await`
//! unlocked      giving up the isolate in the middle of a script, and what V8 forgets about then
//! place         where a run is that takes too long
//! helpers       the functions of the JavaScript side that the engine calls
//! callback      functions that scripts call: no panic leaves them
//! command_names names of commands, read out of V8 once
//! text          strings, exceptions, scripts
//! ```

pub(crate) mod callback;
pub(crate) mod command_names;
pub(crate) mod continuation;
pub(crate) mod helpers;
pub(crate) mod place;
pub(crate) mod platform;
pub(crate) mod run;
pub(crate) mod text;
pub(crate) mod unlocked;
