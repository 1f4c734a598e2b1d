//! Built-in functions that end the process when they are given too much, or take memory that
//! nobody counts.
//!
//! A few of V8's built-ins make one internal array of as many elements as they are given, and
//! abort where that is more than such an array can hold. Before a library is compiled, these are
//! wrapped: beyond a bound far below that they throw a `RangeError`.
//!
//! The memory of resizable buffers and of WebAssembly V8 maps by itself, past the allocator that
//! counts; so there are none.

use super::callback::callback;
use super::text;

callback!(is_proxy_entry => is_proxy);

const SOURCE: &str = r#"((is_proxy) => {
  "use strict";
  const { isArray } = Array;
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
  // An array. What only passes for one may give another length each time it is asked: it is copied.
  const list = (self) => {
    if (self === null || self === undefined) return { self, elements: 0 };
    if (isArray(self) && !is_proxy(self)) return { self, elements: self.length };
    const elements = self.length >>> 0 === self.length ? self.length : Math.floor(Number(self.length)) || 0;
    const copy = [];
    if (elements <= ELEMENTS) {
      for (let at = 0; at < elements; at++) {
        if (at in self) {
          defineProperty(copy, at, { value: self[at], writable: true, enumerable: true, configurable: true });
        }
      }
      if (elements > 0) copy.length = elements;
    }
    return { self: copy, elements };
  };
  for (const name of ["toSorted", "toReversed", "toSpliced", "with"]) {
    guard(Array.prototype, name, list);
  }
  guard(Array.prototype, "sort", (self) => {
    const copied = list(self);
    if (copied.self !== self && copied.elements <= ELEMENTS) throw new TypeError("sort: not an array");
    return copied;
  });
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
  // A match a character at most, and one more.
  for (const name of ["match", "matchAll", "replace", "replaceAll"]) {
    guard(String.prototype, name, (self) => {
      const text = self === null || self === undefined ? self : `${self}`;
      return { self: text, elements: text?.length };
    });
  }
  // One element two characters at most.
  guard(JSON, "parse", (self, args) => {
    if (args.length > 0) args[0] = `${args[0]}`;
    return { self, elements: args[0]?.length / 2 };
  });
})"#;

/// Wraps them in the context that is entered. `None` where an exception is pending.
pub(super) fn install(scope: &mut v8::PinScope) -> Option<()> {
    let source = text::short(scope, SOURCE);
    let script = text::compile(scope, "<redisgears>", source)?;
    let guard = v8::Local::<v8::Function>::try_from(script.run(scope)?).ok()?;
    let is_proxy = v8::Function::new(scope, is_proxy_entry)?;
    let nothing = v8::undefined(scope).into();
    guard.call(scope, nothing, &[is_proxy.into()]).map(|_| ())
}

/// `is_proxy(value)`: JavaScript itself cannot tell.
fn is_proxy(
    _scope: &mut v8::PinScope,
    args: &v8::FunctionCallbackArguments,
    mut result: v8::ReturnValue<v8::Value>,
) {
    result.set_bool(args.get(0).is_proxy());
}
