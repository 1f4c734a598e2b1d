//! Values as bytes that another isolate reads: V8's structured clone.
//!
//! Everything that the language's structured clone takes goes through: big integers, dates, regular
//! expressions, maps, sets, buffers and views of them, errors with their stack, cycles.

use v8::{ValueDeserializerHelper, ValueSerializerHelper};

use crate::limits::allocations;
use crate::runtime::text::{self, OrThrown, Thrown};

/// V8 asks for twice as much as it has, and this.
const MORE: usize = 64;

struct Writing {
    most: usize,
}

/// Why a value is not cloned.
pub(crate) enum NotCloned {
    /// It takes more than so many bytes.
    TooLarge(usize),
    /// The script has thrown, or V8, which does not clone it.
    Thrown,
}

impl NotCloned {
    /// Throws it, where that was not done.
    pub(crate) fn throw(&self, scope: &v8::PinScope) -> Thrown {
        match self {
            Self::TooLarge(most) => text::thrown(scope, &too_large(*most)),
            Self::Thrown => Thrown,
        }
    }
}

/// What is said of a value that takes more than so many bytes.
pub(crate) fn too_large(most: usize) -> String {
    format!("the value is larger than the {most} bytes that a remote call may carry")
}

impl v8::ValueSerializerImpl for Writing {
    fn throw_data_clone_error<'s>(
        &self,
        scope: &mut v8::PinScope<'s, '_>,
        message: v8::Local<'s, v8::String>,
    ) {
        if allocations::was_refused() {
            return text::throw(scope, &too_large(self.most));
        }
        let error = v8::Exception::type_error(scope, message);
        scope.throw_exception(error);
    }

    fn get_shared_array_buffer_id<'s>(
        &self,
        scope: &mut v8::PinScope<'s, '_>,
        _buffer: v8::Local<'s, v8::SharedArrayBuffer>,
    ) -> Option<u32> {
        text::throw_type_error(scope, "A SharedArrayBuffer could not be cloned.");
        None
    }
}

struct Reading;

impl v8::ValueDeserializerImpl for Reading {}

/// The bytes of a value, at most so many. Runs the script's own code (getters), so it belongs inside a
/// watched run.
pub(crate) fn write(
    scope: &mut v8::PinScope,
    value: v8::Local<v8::Value>,
    most: usize,
) -> Result<Vec<u8>, NotCloned> {
    v8::tc_scope!(let scope, scope);
    let context = scope.get_current_context();
    let serializer = v8::ValueSerializer::new(scope, Box::new(Writing { most }));
    let block = most.saturating_mul(2).saturating_add(MORE);
    let (written, refused) = allocations::bounded(block, || {
        serializer.write_header();
        serializer.write_value(context, value)
    });
    if refused {
        // V8 has thrown as well.
        scope.reset();
        return Err(NotCloned::TooLarge(most));
    }
    if written != Some(true) {
        scope.rethrow();
        return Err(NotCloned::Thrown);
    }
    let bytes = serializer.release();
    if bytes.len() > most {
        return Err(NotCloned::TooLarge(most));
    }
    Ok(bytes)
}

/// The value of such bytes.
pub(crate) fn read<'s>(
    scope: &mut v8::PinScope<'s, '_>,
    bytes: &[u8],
) -> Result<v8::Local<'s, v8::Value>, Thrown> {
    let context = scope.get_current_context();
    // It looks into the bytes while it lives, which is no longer than they do.
    let deserializer = v8::ValueDeserializer::new(scope, Box::new(Reading), bytes);
    let is_header = deserializer.read_header(context).or_thrown()?;
    if !is_header {
        return Err(text::thrown(scope, "the bytes are no clone of a value"));
    }
    deserializer.read_value(context).or_thrown()
}
