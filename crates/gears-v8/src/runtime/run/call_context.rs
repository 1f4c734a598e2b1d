//! What a script's call of a command needs.

use std::ptr::NonNull;

use super::state;
use crate::limits::isolate_limits::IsolateLimits;
use crate::ports::{Arguments, Server};
use crate::runtime::command_names::{CommandName, CommandNames};
use crate::runtime::helpers::Helpers;

/// What calling a command needs, taken at once.
pub(crate) struct CallContext {
    server: NonNull<dyn Server>,
    helpers: NonNull<Helpers>,
    isolate_limits: NonNull<IsolateLimits>,
    command_names: NonNull<CommandNames>,
    /// Memory for the command's arguments, to be given back.
    pub(crate) arguments: Box<Arguments>,
}

impl CallContext {
    /// The server of the run.
    pub(crate) fn server(&self) -> &dyn Server {
        // SAFETY: `with_server` or `begin` put it there, further up this thread's stack, and what
        // is made of it here is gone before they end: the call context does not leave its caller.
        unsafe { self.server.as_ref() }
    }

    pub(crate) fn helpers(&self) -> &Helpers {
        // SAFETY: the state keeps them as long as the isolate lives, and they are set once.
        unsafe { self.helpers.as_ref() }
    }

    pub(crate) fn isolate_limits(&self) -> &IsolateLimits {
        // SAFETY: the state keeps them as long as the isolate lives.
        unsafe { self.isolate_limits.as_ref() }
    }

    /// Makes a command's name the first argument, if it is known; whether it is.
    pub(crate) fn push_known_name(
        &mut self,
        scope: &v8::PinScope,
        name: v8::Local<v8::String>,
    ) -> bool {
        // SAFETY: the state keeps them as long as the isolate lives, and nobody changes them
        // meanwhile: that is done by who has the isolate, exclusively.
        let names = unsafe { self.command_names.as_ref() };
        let known = names.find(scope, name);
        if let Some(bytes) = known {
            self.arguments.push(bytes);
        }
        known.is_some()
    }
}

/// `None` where the run has no server.
pub(crate) fn take_call_context(isolate: &mut v8::Isolate) -> Option<CallContext> {
    let state = state(isolate)?;
    let server = state.server?;
    let mut arguments = state.arguments.take().unwrap_or_default();
    arguments.clear();
    Some(CallContext {
        server,
        helpers: NonNull::from(&**state.helpers.as_ref()?),
        isolate_limits: NonNull::from(&*state.isolate_limits),
        command_names: NonNull::from(&state.command_names),
        arguments,
    })
}

pub(crate) fn return_arguments(isolate: &mut v8::Isolate, arguments: Box<Arguments>) {
    if let Some(state) = state(isolate) {
        state.arguments = Some(arguments);
    }
}

/// Keeps the name of a command with these arguments, for the next time.
pub(crate) fn keep_command_name(
    scope: &mut v8::PinScope,
    name: v8::Local<v8::String>,
    arguments: &Arguments,
) {
    let takes = state(scope).is_some_and(|state| state.command_names.takes(name));
    if takes
        && let Some(bytes) = arguments.iter().next()
        && let Some(kept) = CommandName::new(scope, bytes)
        && let Some(state) = state(scope)
    {
        state.command_names.keep(name, kept);
    }
}
