//! V8's life.
//!
//! ```text
//! platform      V8 for the whole process, once, before any thread that runs JavaScript
//! program       an isolate with its context: compile, evaluate, enter
//! session       calling callbacks while the isolate is entered
//! notify        the same for triggers
//! outcome       what comes of a call, at once or by its promise
//! run           what a run has around it: bounds, the server, what comes of it
//! continuation  in whose name code acts, over every `await`
//! unlocked      giving up the isolate in the middle of a script, and what V8 forgets about then
//! bootstrap     the JavaScript side: records, clients
//! callback      functions that scripts call: no panic leaves them
//! debug         RG.FUNCTION DEBUG js
//! ```

pub(crate) mod bootstrap;
pub(crate) mod callback;
pub(crate) mod continuation;
pub(crate) mod debug;
pub(crate) mod notify;
pub(crate) mod outcome;
pub(crate) mod platform;
pub(crate) mod program;
pub(crate) mod run;
pub(crate) mod session;
pub(crate) mod unlocked;
