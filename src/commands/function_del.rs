//! `RG.FUNCTION DEL name`

use crate::app::App;
use crate::library;
use crate::server::Context;
use gears_v8::ports::Reply;

use super::{READ_ONLY, internals, wrong_arity};

pub(super) fn run(app: &App, context: &Context, arguments: &[&[u8]]) -> Reply {
    if !context.state().is_primary {
        return Reply::error(READ_ONLY);
    }
    let name = match arguments {
        [] => return Reply::error("function name was not given"),
        [name] => *name,
        _ => return wrong_arity("rg.function|del"),
    };
    let deleted = std::str::from_utf8(name)
        .is_ok_and(|name| library::delete(&mut app.registry.borrow_mut(), &app.dispatcher, name));
    if deleted {
        internals::send_deletion(context, name);
        Reply::OK
    } else {
        Reply::error("library does not exists")
    }
}
