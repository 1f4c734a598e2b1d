//! Strings and buffers of scripts, as bytes.

/// Bytes of UTF-8 per unit of UTF-16, at most.
const UTF8_MAX: usize = 3;
/// Units of a string that is short.
const SHORT: usize = 1024;

/// Appends a string as UTF-8. A surrogate without its other half becomes U+FFFD.
pub(super) fn append_text(scope: &v8::Isolate, string: v8::Local<v8::String>, bytes: &mut Vec<u8>) {
    let room = utf8_length(scope, string);
    bytes.reserve(room);
    let flags = v8::WriteFlags::kReplaceInvalidUtf8;
    let spare = &mut bytes.spare_capacity_mut()[..room];
    let written = string.write_utf8_uninit_v2(scope, spare, flags, None);
    let length = bytes.len() + written;
    // SAFETY: so many bytes behind the old ones were just written.
    unsafe { bytes.set_len(length) };
}

/// How many bytes a string is as UTF-8, at most: looking costs as much as writing, so that a short
/// one is taken for as long as it can be.
pub(super) fn utf8_length(scope: &v8::Isolate, string: v8::Local<v8::String>) -> usize {
    match string.length() {
        units if units <= SHORT => units * UTF8_MAX,
        _ => string.utf8_length(scope),
    }
}

/// What is said of bytes that are no more.
pub(crate) const DETACHED: &str = "The ArrayBuffer was detached: its bytes are gone";

/// An `ArrayBuffer` whose bytes went elsewhere. It looks as if it had none, which means something.
pub(crate) struct Detached;

/// The number of bytes of an `ArrayBuffer`, shared or not, or of a view of one; `None` of anything
/// else.
pub(crate) fn byte_length(
    scope: &mut v8::PinScope,
    value: v8::Local<v8::Value>,
) -> Option<Result<usize, Detached>> {
    let (length, buffer) = if let Ok(view) = v8::Local::<v8::ArrayBufferView>::try_from(value) {
        match view.byte_length() {
            // Not asked of others: V8 would move small ones out of its heap.
            0 => (0, view.buffer(scope)),
            length => (length, None),
        }
    } else if let Ok(buffer) = v8::Local::<v8::ArrayBuffer>::try_from(value) {
        (buffer.byte_length(), Some(buffer))
    } else {
        let buffer = v8::Local::<v8::SharedArrayBuffer>::try_from(value).ok()?;
        (buffer.byte_length(), None)
    };
    let detached = buffer.is_some_and(|buffer| buffer.was_detached());
    Some(if detached { Err(Detached) } else { Ok(length) })
}

/// Appends the bytes of what [`byte_length`] knows, which are so many.
pub(crate) fn append_bytes(value: v8::Local<v8::Value>, length: usize, bytes: &mut Vec<u8>) {
    let start = bytes.len();
    bytes.resize(start + length, 0);
    let target = &mut bytes[start..];
    if let Ok(view) = v8::Local::<v8::ArrayBufferView>::try_from(value) {
        let copied = view.copy_contents(target);
        bytes.truncate(start + copied);
        return;
    }
    let store = if let Ok(buffer) = v8::Local::<v8::ArrayBuffer>::try_from(value) {
        buffer.get_backing_store()
    } else if let Ok(buffer) = v8::Local::<v8::SharedArrayBuffer>::try_from(value) {
        buffer.get_backing_store()
    } else {
        return;
    };
    if let Some(data) = store.data() {
        let length = target.len().min(store.byte_length());
        // SAFETY: the store holds `byte_length` bytes, and nothing writes them while the isolate
        // is locked here: no other thread of ours shares it. The target does not overlap it.
        unsafe {
            std::ptr::copy_nonoverlapping(data.cast().as_ptr(), target.as_mut_ptr(), length);
        }
    }
}
