//! Values of the server and of scripts, both ways.

pub(crate) mod clone;
pub(crate) mod from_js;
pub(crate) mod to_js;
