//! `RG.FUNCTION DEL name`

use crate::app::App;
use crate::server::Context;
use gears_v8::ports::Reply;

use super::{READ_ONLY, wrong_arity};

pub(super) fn run(app: &App, context: &Context, arguments: &[&[u8]]) -> Reply {
    if !context.state().is_primary {
        return Reply::error(READ_ONLY);
    }
    let name = match arguments {
        [] => return Reply::error("function name was not given"),
        [name] => *name,
        _ => return wrong_arity("rg.function|del"),
    };
    let deleted = std::str::from_utf8(name).is_ok_and(|name| app.delete(context, name));
    if deleted {
        Reply::OK
    } else {
        Reply::error("library does not exists")
    }
}
