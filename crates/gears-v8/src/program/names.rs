//! Names that entries and key events have in common, as values of JavaScript: of a stream or key, of
//! fields, of an event.
//!
//! They are kept from session to session: where entries are processed as they are added, a session
//! has one. A name is made a value to be kept when it comes the second time in a row, so that names
//! that never come again cost no more than without this.

use smallvec::SmallVec;

use crate::runtime::text::{self, one_byte, part};

/// Places of a record whose field names are kept.
pub(super) const FIELDS_KEPT: usize = 64;
/// Length in bytes of a field name that is kept.
const FIELD_BYTES_KEPT: usize = 64;
/// Length in bytes of a stream's name that is kept.
const NAME_BYTES_KEPT: usize = 1024;

/// A scope in which values are made.
type Scope<'s, 'i> = v8::PinScope<'s, 'i, ()>;

/// The names that came last.
#[derive(Default)]
pub(crate) struct KeptNames {
    name: KeptValue,
    name_raw: KeptValue,
    event: KeptValue,
    /// By their places in a record.
    fields: Vec<KeptValue>,
}

/// What a name is in JavaScript, if it came twice in a row.
#[derive(Default)]
struct KeptValue {
    bytes: SmallVec<[u8; 32]>,
    value: Option<v8::Global<v8::Value>>,
}

impl KeptValue {
    fn get<'s>(
        &mut self,
        scope: &Scope<'s, '_>,
        bytes: &[u8],
        most: usize,
        make: impl FnOnce() -> Option<v8::Local<'s, v8::Value>>,
    ) -> Option<v8::Local<'s, v8::Value>> {
        if self.bytes.as_slice() == bytes {
            if let Some(value) = &self.value {
                return Some(v8::Local::new(scope, value));
            }
            let value = make()?;
            self.value = Some(v8::Global::new(scope, value));
            return Some(value);
        }
        self.value = None;
        self.bytes.clear();
        if bytes.len() <= most {
            self.bytes.extend_from_slice(bytes);
        }
        make()
    }
}

impl KeptNames {
    /// The name of a stream or key as text, and packed like a part of a record, for its raw view.
    /// `None` where it does not fit into the library's memory.
    pub(super) fn name<'s>(
        &mut self,
        scope: &Scope<'s, '_>,
        bytes: &[u8],
    ) -> Option<(v8::Local<'s, v8::Value>, v8::Local<'s, v8::Value>)> {
        let text = self
            .name
            .get(scope, bytes, NAME_BYTES_KEPT, || Some(part(scope, bytes)));
        let raw = self.name_raw.get(scope, bytes, NAME_BYTES_KEPT, || {
            let length = u32::try_from(bytes.len()).ok()?.to_le_bytes();
            let mut packed = SmallVec::<[u8; 64]>::from_slice(&length);
            packed.extend_from_slice(bytes);
            one_byte(scope, &packed)
        });
        Some((text?, raw?))
    }

    /// The name of an event.
    pub(super) fn event<'s>(
        &mut self,
        scope: &Scope<'s, '_>,
        name: &str,
    ) -> Option<v8::Local<'s, v8::Value>> {
        self.event.get(scope, name.as_bytes(), NAME_BYTES_KEPT, || {
            Some(text::short(scope, name).into())
        })
    }

    /// The name of the field at this place of a record.
    pub(super) fn field<'s>(
        &mut self,
        scope: &Scope<'s, '_>,
        place: usize,
        bytes: &[u8],
    ) -> v8::Local<'s, v8::Value> {
        if place >= FIELDS_KEPT {
            return part(scope, bytes);
        }
        if place >= self.fields.len() {
            self.fields.resize_with(place + 1, KeptValue::default);
        }
        let value =
            self.fields[place].get(scope, bytes, FIELD_BYTES_KEPT, || Some(part(scope, bytes)));
        value.unwrap_or_else(|| v8::null(scope).into())
    }
}
