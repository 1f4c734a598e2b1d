//! The server, as a run of a script sees it.
//!
//! Every run is given a [`Server`]. On the main thread, and inside `block` on a worker, it holds
//! the server's lock and runs commands; elsewhere on a worker it can only take that lock.

use std::ffi::CStr;
use std::sync::Arc;

use bitflags::bitflags;
use smallvec::SmallVec;

use super::RunResults;

bitflags! {
    /// What a function said of itself when it was registered.
    #[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
    pub struct Flags: u32 {
        /// It writes nothing: it may run on a replica and when memory is out.
        const NO_WRITES = 1;
        /// It may run when memory is out.
        const ALLOW_OOM = 2;
        /// Its arguments are given as bytes.
        const RAW_ARGUMENTS = 4;
        /// Nobody waits for an answer, so its writes wait while the server refuses them: of
        /// consumers and triggers. No function can say that of itself.
        const WAITS = 8;
    }
}

impl Flags {
    /// Flags and what scripts call them.
    pub const NAMES: [(&'static str, Self); 3] = [
        ("no-writes", Self::NO_WRITES),
        ("allow-oom", Self::ALLOW_OOM),
        ("raw-arguments", Self::RAW_ARGUMENTS),
    ];
}

/// A database that credentials are for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Database {
    /// The one of that number, as clients select it.
    Number(i32),
    /// The one that had that number when the server started, wherever SWAPDB puts it: that of a
    /// key.
    Home(i32),
}

impl Database {
    /// As one number, which is never negative for [`Database::Number`].
    #[must_use]
    pub fn packed(self) -> i32 {
        match self {
            Self::Number(number) => number,
            Self::Home(home) => -1 - home,
        }
    }

    /// What [`Database::packed`] gave.
    #[must_use]
    pub fn of_packed(packed: i32) -> Self {
        if packed < 0 {
            Self::Home(-1 - packed)
        } else {
            Self::Number(packed)
        }
    }
}

/// In whose name, where, and under which flags a script acts: what a background part keeps of the
/// call it came from.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Credentials {
    /// The user, by name.
    pub user: Arc<str>,
    /// The database.
    pub db: Database,
    /// The flags of the function.
    pub flags: Flags,
}

/// What a run of a script may ask of its surroundings.
pub trait Server {
    /// Whether the server's lock is held: commands can be run.
    fn is_locked(&self) -> bool;

    /// Runs a command and gives its reply, in RESP3, to `read`. What goes wrong is an error reply.
    ///
    /// # Errors
    /// Where the lock is not held.
    fn call(&self, command: &Arguments, read: &mut dyn FnMut(&[u8])) -> Result<(), &'static str>;

    /// Whether the caller can be kept waiting.
    fn may_block(&self) -> bool;

    /// What background parts of this run act with; `None` where the user is not known.
    fn credentials(&self) -> Option<Credentials>;

    /// Takes what came of runs, before the script at hand waits for the lock: others may want it.
    fn note_results(&self, _news: &mut RunResults) {}

    /// Takes the lock for as long as `work` runs, unless this run holds it already. Where that is
    /// refused, `work` gets the reason; it is called once in any case.
    fn lock(&self, credentials: &Credentials, work: &mut dyn FnMut(Result<&dyn Server, String>));
}

/// Room that a list of arguments begins with: most need no more.
const FIRST_BYTES: usize = 128;

/// A command, name first, or the arguments of a function: strings of any bytes, in one block, each
/// with a NUL behind it.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Arguments {
    bytes: Vec<u8>,
    ends: SmallVec<[usize; 8]>,
}

impl Arguments {
    /// The arguments of a list.
    pub fn of<'a>(arguments: impl IntoIterator<Item = &'a [u8]>) -> Self {
        let mut all = Self::default();
        for argument in arguments {
            all.push(argument);
        }
        all
    }

    /// Empties it, and keeps its memory if it is not much.
    pub fn clear(&mut self) {
        self.bytes.clear();
        self.bytes.shrink_to(64 << 10);
        self.ends.clear();
    }

    /// Adds an argument.
    pub fn push(&mut self, argument: &[u8]) {
        self.push_with(|bytes| bytes.extend_from_slice(argument));
    }

    /// Adds an argument that is appended to the bytes of those before it.
    pub fn push_with(&mut self, append: impl FnOnce(&mut Vec<u8>)) {
        if self.bytes.is_empty() {
            self.bytes.reserve(FIRST_BYTES);
        }
        append(&mut self.bytes);
        self.ends.push(self.bytes.len());
        self.bytes.push(0);
    }

    /// How many there are.
    #[must_use]
    pub fn len(&self) -> usize {
        self.ends.len()
    }

    /// Whether there are none.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.ends.is_empty()
    }

    /// Bytes of all arguments together.
    #[must_use]
    pub fn bytes(&self) -> usize {
        self.bytes.len() - self.ends.len()
    }

    /// The first one, a command's name; `None` where there is none, or it holds a NUL.
    #[must_use]
    pub fn first_as_c_str(&self) -> Option<&CStr> {
        let end = *self.ends.first()?;
        CStr::from_bytes_with_nul(&self.bytes[..=end]).ok()
    }

    /// The arguments in order.
    pub fn iter(&self) -> impl ExactSizeIterator<Item = &[u8]> {
        let mut start = 0;
        self.ends.iter().map(move |end| {
            let argument = &self.bytes[start..*end];
            start = *end + 1;
            argument
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn arguments_keep_their_bounds() {
        let arguments = Arguments::of([&b"SET"[..], b"", b"a\0b"]);
        assert_eq!(
            arguments.iter().collect::<Vec<_>>(),
            [&b"SET"[..], b"", b"a\0b"]
        );
        assert_eq!((arguments.len(), arguments.bytes()), (3, 6));
        assert_eq!(arguments.first_as_c_str(), Some(c"SET"));
    }

    #[test]
    fn a_name_with_a_nul_is_no_c_string() {
        for (arguments, name) in [
            (Arguments::default(), None),
            (Arguments::of([&b""[..], b"x"]), Some(c"")),
            (Arguments::of([&b"a\0b"[..]]), None),
            (Arguments::of([&b"a\0"[..]]), None),
        ] {
            assert_eq!(arguments.first_as_c_str(), name);
        }
    }
}
