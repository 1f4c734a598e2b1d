// Wraps built-ins of V8 that would end the process, or go on for good, when they are given too much.
// It runs before the library, and keeps no reference that the library could reach or replace.
//
//     lists     what only passes for an array is copied: a length asked for twice may be another
//     texts     their length is what counts
//     regular expressions     one element for each character and group; what only passes for one
//               gives bounded copies of its matches
((is_proxy) => {
  "use strict";
  const { isArray } = Array;
  const { floor } = Math;
  const { apply, construct, defineProperty, get, getOwnPropertyDescriptor, getPrototypeOf, ownKeys, set } = Reflect;
  const number = Number;
  const View = Proxy;
  const ELEMENTS = 2 ** 26;
  // Asked for once: the second answer may be another, and what is given may not be a number.
  const length_of = (object) => {
    const length = floor(number(object.length));
    return length > 0 ? length : 0;
  };
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
    const elements = length_of(self);
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
  // The same by the methods of regular expressions, which can be called directly. Each match takes an
  // element for each group besides. And what only passes for a regular expression gives matches that
  // only pass for such, with any number of groups: V8 gets a bounded copy of these.
  const GROUPS = 2 ** 16;
  const TEXT_IN_ONE_GO = 2 ** 20;
  const { prototype } = RegExp;
  const { exec } = prototype;
  const { species, match, matchAll, replace, split } = Symbol;
  const { get: source } = getOwnPropertyDescriptor(prototype, "source");
  const constructor = RegExp;
  const { get: of_species } = getOwnPropertyDescriptor(RegExp, species);
  // What V8 asks a regular expression for.
  const names = ["exec", "flags", "hasIndices", "global", "ignoreCase", "multiline", "dotAll", "unicode", "unicodeSets", "sticky"];
  const parts = names.map((name) => getOwnPropertyDescriptor(prototype, name)).map(({ get, value }) => get ?? value);
  const is_object = (value) => (typeof value === "object" && value !== null) || typeof value === "function";
  // Whether no code of the library runs when V8 works with it.
  const is_plain = (regexp) => {
    if (is_proxy(regexp) || getPrototypeOf(regexp) !== prototype || ownKeys(regexp).length !== 1) return false;
    if (typeof getOwnPropertyDescriptor(regexp, "lastIndex")?.value !== "number") return false;
    for (let at = 0; at < names.length; at++) {
      const now = getOwnPropertyDescriptor(prototype, names[at]);
      if (now === undefined || (now.get ?? now.value) !== parts[at]) return false;
    }
    return true;
  };
  const has_plain_species = () =>
    getOwnPropertyDescriptor(prototype, "constructor")?.value === constructor &&
    getOwnPropertyDescriptor(constructor, species)?.get === of_species;
  // One for each bracket at most.
  const elements_of = (regexp, text) => {
    const pattern = apply(source, regexp, []);
    if (text.length * (pattern.length / 2 + 1) <= ELEMENTS) return 0;
    let groups = 1;
    for (let at = 0; at < pattern.length; at++) if (pattern[at] === "(") groups++;
    return text.length * groups;
  };
  const bounded = (result) => {
    if (!is_object(result)) return result;
    const length = length_of(result);
    if (length > GROUPS) throw new RangeError(`exec: more than ${GROUPS} groups`);
    const copy = { __proto__: null, length, index: result.index, groups: result.groups };
    for (let at = 0; at < length; at++) copy[at] = result[at];
    return copy;
  };
  const view = (regexp) => new View({ __proto__: null }, {
    __proto__: null,
    get(_, name) {
      if (name === "exec") {
        const own = regexp.exec;
        return (text) => bounded(apply(typeof own === "function" ? own : exec, regexp, [text]));
      }
      if (name === "constructor") {
        const own = regexp.constructor;
        const wanted = is_object(own) ? (own[species] ?? constructor) : own === undefined ? constructor : own;
        if (!is_object(wanted)) return wanted;
        return { __proto__: null, [species]: function (_, flags) { return view(construct(wanted, [regexp, flags])); } };
      }
      return get(regexp, name);
    },
    set: (_, name, value) => set(regexp, name, value),
  });
  // What V8 does in one go with all matches in a text, match by match: a long text may have many, and only code
  // can be interrupted. The regular expressions are plain.
  const { get: flags_of } = getOwnPropertyDescriptor(prototype, "flags");
  const { indexOf, charCodeAt, slice } = String.prototype;
  const cut = (text, from, to) => apply(slice, text, [from, to]);
  const put = (list, value) => void (list[list.length] = value);
  const behind = (flags, text, at) => {
    const wide = apply(indexOf, flags, ["u"]) >= 0 || apply(indexOf, flags, ["v"]) >= 0;
    const pair = wide && (apply(charCodeAt, text, [at]) & 0xfc00) === 0xd800 && (apply(charCodeAt, text, [at + 1]) & 0xfc00) === 0xdc00;
    return at + (pair ? 2 : 1);
  };
  const each_match = (regexp, flags, text, use) => {
    regexp.lastIndex = 0;
    for (let found = apply(exec, regexp, [text]); found !== null; found = apply(exec, regexp, [text])) {
      use(found);
      if (found[0] === "") regexp.lastIndex = behind(flags, text, regexp.lastIndex);
    }
  };
  const match_steps = (regexp, flags, text) => {
    const all = [];
    each_match(regexp, flags, text, (found) => put(all, found[0]));
    return all.length > 0 ? all : null;
  };
  // A template's next `$...` as its length and what takes its place, `undefined` for the sign itself.
  const reference = (template, at, text, found) => {
    const next = cut(template, at + 1, at + 2);
    if (next === "$") return [2, "$"];
    if (next === "&") return [2, found[0]];
    if (next === "`") return [2, cut(text, 0, found.index)];
    if (next === "'") return [2, cut(text, found.index + found[0].length, text.length)];
    if (next === "<" && found.groups !== undefined) {
      const end = apply(indexOf, template, [">", at]);
      return end < 0 ? [1, undefined] : [end + 1 - at, `${found.groups[cut(template, at + 2, end)] ?? ""}`];
    }
    for (const digits of [2, 1]) {
      const written = cut(template, at + 1, at + 1 + digits);
      let place = 0;
      for (let digit = 0; digit < digits; digit++) {
        const code = apply(charCodeAt, written, [digit]) - 48;
        place = code >= 0 && code <= 9 ? 10 * place + code : NaN;
      }
      if (place >= 1 && place < found.length) return [digits + 1, found[place] ?? ""];
    }
    return [1, undefined];
  };
  const filled = (template, text, found) => {
    let all = "";
    let from = 0;
    for (let at = apply(indexOf, template, ["$", 0]); at >= 0; at = apply(indexOf, template, ["$", from])) {
      const [length, value] = reference(template, at, text, found);
      all += cut(template, from, at) + (value ?? "$");
      from = at + length;
    }
    return all + cut(template, from, template.length);
  };
  const replace_steps = (regexp, flags, text, replacement) => {
    // Without a prototype that may have a say in an assignment.
    const matches = { __proto__: null };
    let count = 0;
    each_match(regexp, flags, text, (found) => void (matches[count++] = found));
    const is_code = typeof replacement === "function";
    const is_simple = !is_code && apply(indexOf, replacement, ["$"]) < 0;
    let all = "";
    let done = 0;
    for (let at = 0; at < count; at++) {
      const found = matches[at];
      let value;
      if (is_code) {
        const call_args = { __proto__: null, length: 0 };
        for (; call_args.length < found.length; call_args.length++) call_args[call_args.length] = found[call_args.length];
        call_args[call_args.length++] = found.index;
        call_args[call_args.length++] = text;
        if (found.groups !== undefined) call_args[call_args.length++] = found.groups;
        value = `${apply(replacement, undefined, call_args)}`;
      } else if (is_simple) {
        value = replacement;
      } else {
        value = filled(replacement, text, found);
      }
      all += cut(text, done, found.index) + value;
      done = found.index + found[0].length;
    }
    return all + cut(text, done, text.length);
  };
  const split_steps = (regexp, flags, text, most) => {
    const all = [];
    if (most === 0) return all;
    let kept = "g";
    for (let at = 0; at < flags.length; at++) if (flags[at] !== "g" && flags[at] !== "y") kept += flags[at];
    const splitter = construct(constructor, [regexp, kept]);
    let from = 0;
    for (let found = apply(exec, splitter, [text]); found !== null; found = apply(exec, splitter, [text])) {
      const end = splitter.lastIndex;
      if (end === from || found.index >= text.length) {
        splitter.lastIndex = behind(flags, text, end);
        continue;
      }
      put(all, cut(text, from, found.index));
      if (all.length === most) return all;
      for (let group = 1; group < found.length; group++) {
        put(all, found[group]);
        if (all.length === most) return all;
      }
      splitter.lastIndex = from = end;
    }
    put(all, cut(text, from, text.length));
    return all;
  };
  for (const symbol of [match, matchAll, replace, split]) {
    const original = prototype[symbol];
    const described = symbol.description;
    const guarded = {
      [symbol](...args) {
        if (!is_object(this)) return apply(original, this, args);
        const text = `${args[0]}`;
        args[0] = text;
        // What may run code is done before the regular expression is looked at.
        if (symbol === replace && typeof args[1] !== "function") args[1] = `${args[1]}`;
        if (symbol === split && args[1] !== undefined) args[1] = args[1] >>> 0;
        const plain = is_plain(this) && (symbol !== split || has_plain_species());
        const elements = plain ? elements_of(this, text) : 0;
        if (text.length > ELEMENTS || elements > ELEMENTS) {
          throw new RangeError(`${described}: more than ${ELEMENTS} elements`);
        }
        if (plain && text.length > TEXT_IN_ONE_GO && symbol !== matchAll) {
          const flags = apply(flags_of, this, []);
          const is_global = apply(indexOf, flags, ["g"]) >= 0;
          if (symbol === split) return split_steps(this, flags, text, args[1] ?? 2 ** 32 - 1);
          if (is_global) return symbol === match ? match_steps(this, flags, text) : replace_steps(this, flags, text, args[1]);
        }
        const looks = plain || symbol === match || symbol === matchAll;
        return apply(original, looks ? this : view(this), args);
      },
    }[symbol];
    defineProperty(guarded, "length", { value: original.length, configurable: true });
    // An assignment keeps V8's fast ways for regular expressions.
    prototype[symbol] = guarded;
  }
  // One element two characters at most.
  guard(JSON, "parse", (self, args) => {
    if (args.length > 0) args[0] = `${args[0]}`;
    return { self, elements: args[0]?.length / 2 };
  });
})
