//! A figure, as replies and the lines of INFO show it.

use gears_v8::ports::Reply;

/// A figure.
#[derive(Clone, Copy)]
pub(crate) enum Figure {
    Number(u64),
    Milliseconds(f64),
}

impl Figure {
    /// As a field of a reply.
    pub(crate) fn reply(self) -> Reply {
        match self {
            Self::Number(number) => Reply::count(number),
            Self::Milliseconds(ms) => Reply::Double(ms),
        }
    }

    /// As the value in a line of INFO.
    pub(super) fn text(self) -> String {
        match self {
            Self::Number(number) => number.to_string(),
            Self::Milliseconds(ms) => format!("{ms:.3}"),
        }
    }
}
