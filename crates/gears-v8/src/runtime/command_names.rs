//! Names of commands that a library calls: read out of V8 once.
//!
//! A script writes the same few names again and again, mostly as literals, which are one string of
//! V8's each. Comparing that with the one that is kept costs a fraction of reading it.

use smallvec::SmallVec;

/// Places for names. A name has one by its hash; who comes first stays.
const PLACES: usize = 32;
/// Characters of a name that is kept.
const LENGTH_MAX: usize = 32;

/// A name that is known.
pub(crate) struct CommandName {
    /// A string of ours: one of the script's might keep a longer one alive of which it is a part.
    string: v8::Global<v8::String>,
    bytes: SmallVec<[u8; 16]>,
}

impl CommandName {
    /// The name of these bytes; nothing where they are more than ASCII.
    pub(crate) fn new(scope: &v8::PinScope<'_, '_, ()>, bytes: &[u8]) -> Option<Self> {
        if !bytes.is_ascii() {
            return None;
        }
        let string = v8::String::new_from_one_byte(scope, bytes, v8::NewStringType::Internalized)?;
        Some(Self {
            string: v8::Global::new(scope, string),
            bytes: SmallVec::from_slice(bytes),
        })
    }
}

/// The names that are known.
#[derive(Default)]
pub(crate) struct CommandNames([Option<CommandName>; PLACES]);

impl CommandNames {
    /// The bytes of a name, if it is known.
    pub(crate) fn find(
        &self,
        scope: &v8::PinScope<'_, '_, ()>,
        name: v8::Local<v8::String>,
    ) -> Option<&[u8]> {
        let known = self.0[place(name)?].as_ref()?;
        (name == v8::Local::new(scope, &known.string)).then_some(&*known.bytes)
    }

    /// Whether a name that is not known would be kept: it is short, and its place is free.
    pub(crate) fn takes(&self, name: v8::Local<v8::String>) -> bool {
        place(name).is_some_and(|place| self.0[place].is_none())
    }

    /// Keeps a name.
    pub(crate) fn keep(&mut self, name: v8::Local<v8::String>, kept: CommandName) {
        if let Some(place) = place(name) {
            self.0[place] = Some(kept);
        }
    }
}

/// The place of a name, if it is short.
fn place(name: v8::Local<v8::String>) -> Option<usize> {
    let is_short = name.length() <= LENGTH_MAX;
    is_short.then(|| name.get_identity_hash().get().unsigned_abs() as usize % PLACES)
}
