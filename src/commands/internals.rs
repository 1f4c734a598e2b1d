//! `_RG_INTERNALS`: see [`crate::replication`].

use crate::app::App;
use crate::replication;
use crate::server::Context;
use gears_v8::ports::Reply;

pub(super) fn take(app: &App, context: &Context, words: &[&[u8]]) -> Reply {
    match replication::take(context, &app.libraries, &app.dispatcher, words) {
        Ok(()) => Reply::OK,
        Err(error) => Reply::error(error.to_string()),
    }
}

/// `writes`: the server is asked whether it would let it through.
pub(super) fn writes(_app: &App, _context: &Context, _words: &[&[u8]]) -> Reply {
    Reply::OK
}
