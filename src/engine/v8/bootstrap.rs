//! The JavaScript side of a call.
//!
//! One call of `invoke` takes plain values and builds the record object in JavaScript, where the
//! JIT compiler makes it a few allocations; building it through V8's API costs a call each for
//! every property and element. It is compiled before the library and keeps no reference that the
//! library could reach or replace.
//!
//! The raw views are made on demand, from the packed bytes of the record, which ride along as a
//! one-byte string: bytes that belong to the garbage collector like every other value, so that a
//! record may outlive its callback. They are accessors of the class and do not enumerate, so
//! `JSON.stringify` prints the three properties of the record and nothing else.

use crate::engine::record::Parts;

use super::callback::callback;
use super::text;

callback!(unpack_entry => unpack);

const SOURCE: &str = r#"(function (unpack_with) {
  "use strict";
  // The constructor throws where the library has no memory left; V8's API ends the process.
  const Buffer = ArrayBuffer;
  const allocate = (length) => new Buffer(length);
  const unpack = (packed) => unpack_with(packed, allocate);
  class Client {}
  class StreamRecord {
    #name;
    #packed;
    #raw;
    id;
    stream_name;
    record;
    constructor(ms, seq, text, name, record, packed) {
      this.id = [ms, seq];
      this.stream_name = text;
      this.record = record;
      this.#name = name;
      this.#packed = packed;
    }
    get stream_name_raw() {
      return (typeof this.#name === "string") ? (this.#name = unpack(this.#name)[0]) : this.#name;
    }
    get record_raw() {
      if (this.#raw === undefined) {
        const parts = unpack(this.#packed);
        const raw = [];
        for (let at = 0; at < parts.length; at += 2) raw[at / 2] = [parts[at], parts[at + 1]];
        this.#raw = raw;
        this.#packed = undefined;
      }
      return this.#raw;
    }
  }
  const client = Object.freeze(new Client());
  return function invoke(callback, ms, seq, text, name, packed, ...parts) {
    // Too many to be arguments come as one array, which no pairs of parts look like.
    if (parts.length === 1) parts = parts[0];
    let record;
    if (parts.length === 2) {
      record = [[parts[0], parts[1]]];
    } else {
      record = [];
      for (let at = 0; at < parts.length; at += 2) record[at / 2] = [parts[at], parts[at + 1]];
    }
    return callback(client, new StreamRecord(ms, seq, text, name, record, packed));
  };
})"#;

/// Makes `invoke` in the context that is entered.
pub(super) fn install<'s>(scope: &mut v8::PinScope<'s, '_>) -> Option<v8::Local<'s, v8::Function>> {
    let source = text::short(scope, SOURCE);
    let script = text::compile(scope, "<redisgears>", source)?;
    let maker = v8::Local::<v8::Function>::try_from(script.run(scope)?).ok()?;
    let unpack_with = v8::Function::new(scope, unpack_entry)?;
    let nothing = v8::undefined(scope).into();
    let invoke = maker.call(scope, nothing, &[unpack_with.into()])?;
    v8::Local::try_from(invoke).ok()
}

/// `unpack_with(packed, allocate)`: the parts of a packed record as `ArrayBuffer`s.
fn unpack<'s>(
    scope: &mut v8::PinScope<'s, '_>,
    args: &v8::FunctionCallbackArguments<'s>,
    mut result: v8::ReturnValue<'s, v8::Value>,
) {
    let (Ok(packed), Ok(allocate)) = (
        v8::Local::<v8::String>::try_from(args.get(0)),
        v8::Local::<v8::Function>::try_from(args.get(1)),
    ) else {
        return;
    };
    let mut bytes = vec![0u8; packed.length()];
    packed.write_one_byte_v2(scope, 0, &mut bytes, v8::WriteFlags::empty());
    let mut buffers: Vec<v8::Local<v8::Value>> = Vec::new();
    for part in Parts::of(&bytes) {
        // Where it throws, so does the caller.
        let Some(buffer) = filled_buffer(scope, allocate, part) else {
            return;
        };
        buffers.push(buffer);
    }
    result.set(v8::Array::new_with_elements(scope, &buffers).into());
}

fn filled_buffer<'s>(
    scope: &mut v8::PinScope<'s, '_>,
    allocate: v8::Local<v8::Function>,
    bytes: &[u8],
) -> Option<v8::Local<'s, v8::Value>> {
    let nothing = v8::undefined(scope).into();
    #[expect(
        clippy::cast_precision_loss,
        reason = "a string's length is far below 2^53"
    )]
    let length = v8::Number::new(scope, bytes.len() as f64).into();
    let value = allocate.call(scope, nothing, &[length])?;
    let buffer = v8::Local::<v8::ArrayBuffer>::try_from(value).ok()?;
    if let Some(data) = buffer.data()
        && buffer.byte_length() == bytes.len()
    {
        // SAFETY: the buffer was made for this very length, nothing else refers to it yet, and
        // it cannot overlap a vector of ours.
        unsafe {
            std::ptr::copy_nonoverlapping(bytes.as_ptr(), data.cast().as_ptr(), bytes.len());
        }
    }
    Some(value)
}
