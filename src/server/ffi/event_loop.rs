//! Getting the main thread out of its sleep, at once and at a time.

use std::ffi::c_void;
use std::ptr::null_mut;
use std::time::Duration;

use super::context::Context;
use super::{api, guard};

/// The longest time that a timer is given, a week. The server keeps what is left of the one that is due next as
/// milliseconds in 32 bits with a sign: from 25 days on that may be a time in the past, and the event loop
/// does not sleep any more. Who waits longer is woken earlier.
const LONGEST: Duration = Duration::from_secs(7 * 24 * 60 * 60);

/// Makes the event loop come round once more; from any thread. What is to be done is done before
/// it sleeps again.
pub(crate) fn wake_main_thread() {
    // SAFETY: the server allows this from any thread; the callback needs no data.
    unsafe { api!(RedisModule_EventLoopAddOneShot)(Some(come_round), null_mut()) };
}

unsafe extern "C" fn come_round(_data: *mut c_void) {}

/// Has the main thread call a function soon; from any thread.
pub(crate) fn run_on_main_thread(work: fn()) {
    // SAFETY: the server allows this from any thread; the callback gets the function back.
    unsafe { api!(RedisModule_EventLoopAddOneShot)(Some(run), work as *mut c_void) };
}

unsafe extern "C" fn run(work: *mut c_void) {
    // SAFETY: `run_on_main_thread` gave a function of this form.
    let work = unsafe { std::mem::transmute::<*mut c_void, fn()>(work) };
    guard::run("a worker's request", work);
}

impl Context {
    /// Has the main thread do something in so long, as an execution unit of its own. `name` is for
    /// the log, should it panic.
    pub(crate) fn run_in(&self, time: Duration, name: &'static str, work: fn(&Context)) {
        let run = move |context: &redis_module::Context, ()| {
            guard::run(name, || work(&Self::from_raw(context.ctx)));
        };
        self.of_crate().create_timer(time.min(LONGEST), run, ());
    }
}
