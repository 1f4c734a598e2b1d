//! Calls of sync functions that wait for their library, on their way: into the queue, and out of it
//! when the library is free.
//!
//! A call that waited is made as if it came then: its library and function are looked up by name,
//! its user and that user's rights too, and what forbids it forbids it. It is a unit of its own, in
//! a timer, so that its effects are one transaction.

use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::{Duration, Instant};

use crate::app::App;
use crate::executor::{Begun, LibraryExecutor, WaitingCall};
use crate::server::{BlockedClient, Context, is_paused};
use gears_v8::ports::{Credentials, Reply, Words};

use super::fcall;

/// Has the client of a call wait until its library is free.
///
/// # Errors
/// The error for who cannot.
pub(super) fn enqueue(
    app: &App,
    context: &Context,
    executor: &Arc<LibraryExecutor>,
    library: &str,
    words: &[&[u8]],
    credentials: Credentials,
) -> Result<(), Reply> {
    let begun = Begun::default();
    let told = Begun::clone(&begun);
    let on_gone = Box::new(move || match (told.get(), App::get()) {
        (Some(executor), _) => executor.note_responder_gone(),
        (None, Some(app)) => forget_gone(app),
        (None, None) => {}
    });
    let client = BlockedClient::new(context, on_gone).map_err(|_| executor.busy())?;
    // A run of a worker's is ended by then.
    let longest = app.settings.limits.unlocked_ms.load(Ordering::Relaxed);
    app.waiting.push(WaitingCall {
        library: library.into(),
        words: Words::of(words.iter().copied()),
        credentials,
        responder: Box::new(client),
        until: Instant::now() + Duration::from_millis(longest),
        begun,
    });
    executor.set_calls_wait(true);
    Ok(())
}

/// Part of every tick: who waits for too long is told, and the calls of libraries that are free now
/// are made.
pub(crate) fn look_after(app: &App, context: &Context) {
    if app.waiting.is_empty() || is_paused() {
        return;
    }
    let late = app.waiting.take_late(Instant::now());
    let told: Vec<_> = late.iter().map(|call| call.library.clone()).collect();
    for call in late {
        let busy = LibraryExecutor::busy_text(&call.library);
        call.responder.answer(Reply::error(busy));
    }
    for library in &told {
        note_waiting(app, library);
    }
    let planned = app.waiting.plan(|library| {
        let Some(executor) = app.libraries.executor(library) else {
            // It is an error by now.
            return true;
        };
        // The code may be another one than when they came.
        executor.set_calls_wait(true);
        app.main_thread.is_free(&executor)
    });
    context.make_calls(planned);
}

/// Makes the first call whose library is free.
pub(crate) fn make_one(app: &App, context: &Context) {
    app.waiting.begin();
    if is_paused() {
        return;
    }
    for library in app.waiting.libraries() {
        let Some(call) = app.waiting.take_first(&library) else {
            continue;
        };
        if let Some(call) = fcall::call_again(app, context, call) {
            app.waiting.put_back(call);
            continue;
        }
        note_waiting(app, &library);
        // What came of it may be something to do.
        app.dispatcher.wake();
        return;
    }
}

fn forget_gone(app: &App) {
    for call in app.waiting.take_gone() {
        note_waiting(app, &call.library);
    }
}

fn note_waiting(app: &App, library: &str) {
    if !app.waiting.wait_for(library)
        && let Some(executor) = app.libraries.executor(library)
    {
        executor.set_calls_wait(false);
    }
}
