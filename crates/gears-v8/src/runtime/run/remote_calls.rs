//! Calls of remote functions that a library's scripts wait for.

use std::sync::Arc;
use std::sync::atomic::Ordering;

use super::state;
use crate::ports::{Credentials, RemoteCall, RemoteCalls, RemotePlace, RemoteReturns};

/// Where calls of remote functions go.
pub(crate) fn remotes(isolate: &mut v8::Isolate) -> Option<Arc<dyn RemoteCalls>> {
    state(isolate).map(|state| Arc::clone(&state.outside.remotes))
}

/// Where what comes of them arrives.
pub(crate) fn returns(isolate: &mut v8::Isolate) -> Option<Arc<RemoteReturns>> {
    state(isolate).map(|state| Arc::clone(&state.returns))
}

/// What a script says of a call of a remote function.
pub(crate) struct StartedRemoteCall {
    pub(crate) function: String,
    pub(crate) place: RemotePlace,
    pub(crate) credentials: Credentials,
    pub(crate) arguments: Vec<u8>,
    pub(crate) timeout_ms: Option<u32>,
}

/// Has a remote function called. The two functions settle the promise of it: the bootstrap made them, or `gears_cluster.js`.
/// Meanwhile the library is looked after, like one that waits for a time to pass.
pub(crate) fn begin_remote_call<'s>(
    scope: &mut v8::PinScope<'s, '_>,
    [resolve, reject]: [v8::Local<'s, v8::Value>; 2],
    call: StartedRemoteCall,
) {
    let (Ok(resolve), Ok(reject)) = (resolve.try_into(), reject.try_into()) else {
        return;
    };
    let settlers =
        [resolve, reject].map(|function: v8::Local<v8::Function>| v8::Global::new(scope, function));
    let Some(state) = state(scope) else {
        return;
    };
    state.last_remote_call += 1;
    let number = state.last_remote_call;
    state.remote_calls.insert(number, settlers);
    state.timers.fetch_add(1, Ordering::Relaxed);
    state.outside.remotes.call(RemoteCall {
        number,
        library: state.isolate_limits.timer.library().to_owned(),
        function: call.function,
        place: call.place,
        credentials: call.credentials,
        arguments: call.arguments,
        timeout_ms: call.timeout_ms,
        returns: Arc::clone(&state.returns),
    });
}

/// A call is back; what settles its promise, unless that is void.
pub(crate) fn end_remote_call(
    isolate: &mut v8::Isolate,
    number: u64,
) -> Option<[v8::Global<v8::Function>; 2]> {
    let state = state(isolate)?;
    let settlers = state.remote_calls.remove(&number)?;
    state.timers.fetch_sub(1, Ordering::Relaxed);
    Some(settlers)
}
