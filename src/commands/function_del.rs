//! `RG.FUNCTION DEL name`

use crate::app::App;
use crate::engine::Reply;
use crate::host::Context;
use crate::library;

use super::wrong_arity;

pub(super) fn run(app: &App, _context: &Context, arguments: &[&[u8]]) -> Reply {
    let name = match arguments {
        [] => return Reply::error("function name was not given"),
        [name] => *name,
        _ => return wrong_arity("rg.function|del"),
    };
    let deleted = std::str::from_utf8(name)
        .is_ok_and(|name| library::delete(&mut app.registry.borrow_mut(), &app.driver, name));
    if deleted {
        Reply::OK
    } else {
        Reply::error("library does not exists")
    }
}
