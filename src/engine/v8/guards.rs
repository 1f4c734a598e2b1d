//! Built-in functions that end the process when they are given too much, or take memory that
//! nobody counts.
//!
//! A few of V8's built-ins make one internal array of as many elements as they are given, and
//! abort where that is more than such an array can hold. Before a library is compiled, these are
//! wrapped: beyond a bound far below that they throw a `RangeError`.
//!
//! The memory of resizable buffers and of WebAssembly V8 maps by itself, past the allocator that
//! counts; so there are none.

use super::text;

const SOURCE: &str = r#"(() => {
  "use strict";
  const { apply, construct, defineProperty, getOwnPropertyDescriptor, ownKeys } = Reflect;
  const ELEMENTS = 2 ** 26;
  const guard = (holder, name, prepare) => {
    const original = holder[name];
    const guarded = {
      [name](...args) {
        const { self, elements } = prepare(this, args);
        if (elements > ELEMENTS) throw new RangeError(`${name}: more than ${ELEMENTS} elements`);
        return apply(original, self, args);
      },
    }[name];
    defineProperty(guarded, "length", { value: original.length, configurable: true });
    defineProperty(holder, name, { value: guarded, writable: true, enumerable: false, configurable: true });
  };
  // An array, or what passes for one. Without a length the original says what is wrong.
  const list = (self) => ({ self, elements: self?.length });
  for (const name of ["sort", "toSorted", "toReversed", "toSpliced", "with"]) {
    guard(Array.prototype, name, list);
  }
  delete globalThis.WebAssembly;
  for (const name of ["ArrayBuffer", "SharedArrayBuffer"]) {
    const Original = globalThis[name];
    const Guarded = {
      [name]: function (length, options) {
        if (new.target === undefined) return Original(length);
        if (typeof options === "object" && options !== null && options.maxByteLength !== undefined) {
          throw new RangeError(`${name}: resizable buffers are not available`);
        }
        return construct(Original, [length], new.target);
      },
    }[name];
    for (const key of ownKeys(Original)) {
      defineProperty(Guarded, key, getOwnPropertyDescriptor(Original, key));
    }
    defineProperty(Original.prototype, "constructor", { value: Guarded });
    defineProperty(globalThis, name, { value: Guarded });
  }
  // One element a character at most. What is no string is made one here, once.
  guard(String.prototype, "split", (self) => {
    const text = self === null || self === undefined ? self : `${self}`;
    return { self: text, elements: text?.length };
  });
  // One element two characters at most.
  guard(JSON, "parse", (self, args) => {
    if (args.length > 0) args[0] = `${args[0]}`;
    return { self, elements: args[0]?.length / 2 };
  });
})()"#;

/// Wraps them in the context that is entered. `None` where an exception is pending.
pub(super) fn install(scope: &mut v8::PinScope) -> Option<()> {
    let source = text::short(scope, SOURCE);
    let script = text::compile(scope, "<redisgears>", source)?;
    script.run(scope).map(|_| ())
}
