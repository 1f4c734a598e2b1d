// Wraps built-ins of V8 that nothing ends: loops in them look for no interrupt, so a long list or text would hold the
// thread, with the server's lock if it has that, for as long as they like. Beyond a size they are done by code here,
// step by step, which V8 interrupts; or throw where that is not worth it. Up to that size nothing changes.
//
// It runs before the library, behind guards.js, and keeps no reference that the library could reach or replace.
((is_proxy) => {
  "use strict";
  const { isArray } = Array;
  const { floor, min, max } = Math;
  const { apply, defineProperty, get, getOwnPropertyDescriptor, getPrototypeOf } = Reflect;
  const { is } = Object;
  const List = Array;
  const number = Number;
  const View = Proxy;
  const { iterator, toStringTag, isConcatSpreadable, species } = Symbol;
  // Elements that a built-in is given in one go. The dearest of them take some 30 ns for one.
  const IN_ONE_GO = 2 ** 24;
  // Of a sort, and of a list of numbers that becomes a text, with more to do for each.
  const SORTED_IN_ONE_GO = 2 ** 20;
  // Elements whose names become texts, or are texts by themselves.
  const NAMED_IN_ONE_GO = 2 ** 20;
  // Characters of a text that is taken apart; beyond the latter, guards.js refuses that.
  const TEXT_IN_ONE_GO = 2 ** 20;
  const TEXT_MAX = 2 ** 26;
  // Characters of a text and of what is searched in it, multiplied: what a search may take at worst.
  const SEARCHED_IN_ONE_GO = 2 ** 29;

  const AnyObject = Object;

  // Whether there may be a proxy that passes for an array: asking for each costs more than most calls.
  let proxied = false;
  const Guarded = function Proxy(target, handler) {
    if (new.target === undefined) throw new TypeError("Constructor Proxy requires 'new'");
    proxied = true;
    return new View(target, handler);
  };
  const { revocable } = View;
  const guarded_revocable = {
    revocable(target, handler) {
      proxied = true;
      return apply(revocable, View, [target, handler]);
    },
  }.revocable;
  defineProperty(Guarded, "revocable", { value: guarded_revocable, writable: true, configurable: true });
  defineProperty(Guarded, "prototype", { value: undefined, writable: false });
  defineProperty(globalThis, "Proxy", { value: Guarded, writable: true, enumerable: false, configurable: true });
  const is_array = (value) => isArray(value) && !(proxied && is_proxy(value));

  // `slow` is what takes the place of a built-in; it gives PASS where the built-in is to do it.
  const PASS = {};
  const finish = (wrapped, original, holder, name) => {
    defineProperty(wrapped, "length", { value: original.length, configurable: true });
    defineProperty(holder, name, { value: wrapped, writable: true, enumerable: false, configurable: true });
  };
  const wrap = (holder, name, slow) => {
    const original = holder[name];
    const wrapped = {
      [name](...args) {
        const result = apply(slow, this, [args, original]);
        return result === PASS ? apply(original, this, args) : result;
      },
    }[name];
    finish(wrapped, original, holder, name);
  };
  // Likewise of arrays, mostly small ones.
  const wrap_of_lists = (name, slow) => {
    const original = List.prototype[name];
    const wrapped = {
      [name](...args) {
        if (is_array(this) && this.length <= IN_ONE_GO) return apply(original, this, args);
        const result = slow(this, args, original);
        return result === PASS ? apply(original, this, args) : result;
      },
    }[name];
    finish(wrapped, original, List.prototype, name);
  };
  // As the language makes an integer of it, and a place in a list of a relative one.
  const integer = (value) => {
    const found = number(value);
    return found !== found ? 0 : found < 0 ? -floor(-found) : floor(found);
  };
  const place = (value, length, otherwise) => {
    if (value === undefined) return otherwise;
    const at = integer(value);
    return at < 0 ? max(length + at, 0) : min(at, length);
  };
  // A library that gives all arrays setters gets what it asked for. To define each element takes ten times as long.
  const put = (list, at, value) => void (list[at] = value);
  const check = (callback) => {
    if (typeof callback !== "function") throw new TypeError(`${typeof callback} is not a function`);
  };

  // --- lists -----------------------------------------------------------------------------------

  // What is to be done step by step: its length, or -1 where the built-in does it in no time. What only passes for an
  // array may give another length when it is asked again, so it is asked here, for good.
  const long = (self) => {
    if (self === null || self === undefined) return -1;
    if (is_array(self)) return self.length > IN_ONE_GO ? self.length : -1;
    const own = proxied && is_proxy(self) ? undefined : getOwnPropertyDescriptor(new AnyObject(self), "length");
    if (own !== undefined && typeof own.value === "number" && !(own.value > IN_ONE_GO)) return -1;
    const length = integer(self.length);
    return length > 0 ? min(length, 2 ** 53 - 1) : 0;
  };
  const each = (self, length, callback, receiver, step) => {
    check(callback);
    for (let at = 0; at < length; at++) {
      if (at in self) {
        const value = self[at];
        const ends = step(apply(callback, receiver, [value, at, self]), at, value);
        if (ends) return;
      }
    }
  };
  const step_by_step = {
    __proto__: null,
    forEach: (self, length, [callback, receiver]) => {
      each(self, length, callback, receiver, () => false);
    },
    map: (self, length, [callback, receiver]) => {
      const list = new List(length);
      each(self, length, callback, receiver, (result, at) => void put(list, at, result));
      return list;
    },
    filter: (self, length, [callback, receiver]) => {
      const list = [];
      each(self, length, callback, receiver, (result, _, value) => void (result && put(list, list.length, value)));
      return list;
    },
    some: (self, length, [callback, receiver]) => {
      let found = false;
      each(self, length, callback, receiver, (result) => (found = !!result));
      return found;
    },
    every: (self, length, [callback, receiver]) => {
      let holds = true;
      each(self, length, callback, receiver, (result) => !(holds = !!result));
      return holds;
    },
    reduce: (self, length, args) => {
      check(args[0]);
      let at = 0;
      while (args.length < 2 && at < length && !(at in self)) at++;
      if (args.length < 2 && at >= length) throw new TypeError("Reduce of empty array with no initial value");
      let sum = args.length < 2 ? self[at++] : args[1];
      for (; at < length; at++) if (at in self) sum = apply(args[0], undefined, [sum, self[at], at, self]);
      return sum;
    },
    reduceRight: (self, length, args) => {
      check(args[0]);
      let at = length - 1;
      while (args.length < 2 && at >= 0 && !(at in self)) at--;
      if (args.length < 2 && at < 0) throw new TypeError("Reduce of empty array with no initial value");
      let sum = args.length < 2 ? self[at--] : args[1];
      for (; at >= 0; at--) if (at in self) sum = apply(args[0], undefined, [sum, self[at], at, self]);
      return sum;
    },
    indexOf: (self, length, [wanted, from]) => {
      for (let at = place(from, length, 0); at < length; at++) if (at in self && self[at] === wanted) return at;
      return -1;
    },
    lastIndexOf: (self, length, args) => {
      const from = args.length > 1 ? integer(args[1]) : length - 1;
      for (let at = from < 0 ? length + from : min(from, length - 1); at >= 0; at--) {
        if (at in self && self[at] === args[0]) return at;
      }
      return -1;
    },
    includes: (self, length, [wanted, from]) => {
      for (let at = place(from, length, 0); at < length; at++) {
        const value = self[at];
        if (value === wanted || (value !== value && wanted !== wanted)) return true;
      }
      return false;
    },
    fill: (self, length, [value, start, end]) => {
      const last = place(end, length, length);
      for (let at = place(start, length, 0); at < last; at++) self[at] = value;
      return self;
    },
    reverse: (self, length) => {
      for (let low = 0, high = length - 1; low < high; low++, high--) {
        const [has_low, has_high] = [low in self, high in self];
        const [first, last] = [self[low], self[high]];
        if (has_high) self[low] = last;
        else if (has_low) delete self[low];
        if (has_low) self[high] = first;
        else if (has_high) delete self[high];
      }
      return self;
    },
    slice: (self, length, [start, end]) => {
      const [first, last] = [place(start, length, 0), place(end, length, length)];
      const list = new List(max(last - first, 0));
      for (let at = first; at < last; at++) if (at in self) put(list, at - first, self[at]);
      return list;
    },
  };
  for (const name of ["forEach", "map", "filter", "some", "every", "reduce", "reduceRight", "indexOf", "lastIndexOf",
    "includes", "fill", "reverse", "slice"]) {
    const slow = step_by_step[name];
    wrap_of_lists(name, (self, args) => {
      const length = long(self);
      return length < 0 ? PASS : slow(new AnyObject(self), length, args);
    });
  }

  // What lists in a list become may be as long as they like, however short the list is.
  const like = (self) => {
    let Kind = isArray(self) ? self.constructor : undefined;
    if ((typeof Kind === "object" && Kind !== null) || typeof Kind === "function") Kind = Kind[species] ?? undefined;
    return Kind === undefined || Kind === List ? [] : new Kind(0);
  };
  const add = (list, at, value) => {
    if (getPrototypeOf(list) === List.prototype) put(list, at, value);
    else if (!defineProperty(list, at, { __proto__: null, value, writable: true, enumerable: true, configurable: true })) {
      throw new TypeError(`Cannot add property ${at}`);
    }
  };
  const flatten = (target, from, source, length, depth, mapper, receiver) => {
    for (let at = 0; at < length; at++) {
      if (!(at in source)) continue;
      const value = mapper === undefined ? source[at] : apply(mapper, receiver, [source[at], at, source]);
      if (depth > 0 && isArray(value)) from = flatten(target, from, value, value.length, depth - 1);
      else add(target, from++, value);
    }
    return from;
  };
  const flat_of = (name, self, read) => {
    if (self === null || self === undefined) throw new TypeError(`Array.prototype.${name} called on null or undefined`);
    const source = new AnyObject(self);
    const length = is_array(source) ? source.length : min(max(integer(source.length), 0), 2 ** 53 - 1);
    const { depth, mapper, receiver } = read();
    const target = like(source);
    flatten(target, 0, source, length, depth, mapper, receiver);
    return target;
  };
  const flat = {
    flat(depth) {
      return flat_of("flat", this, () => ({ depth: depth === undefined ? 1 : integer(depth) }));
    },
    flatMap(mapper, receiver) {
      return flat_of("flatMap", this, () => {
        if (typeof mapper !== "function") throw new TypeError("flatMap mapper function is not callable");
        return { depth: 1, mapper, receiver };
      });
    },
  };
  for (const name of ["flat", "flatMap"]) finish(flat[name], List.prototype[name], List.prototype, name);

  // The order of a sort that is given none. V8 looks at the time whenever it calls a function, and only then: to
  // compare two texts of many characters takes a while.
  const in_order = (a, b) => {
    const x = `${a}`;
    const y = `${b}`;
    return x < y ? -1 : x > y ? 1 : 0;
  };
  for (const name of ["join", "copyWithin", "splice", "shift", "unshift", "sort", "toSorted", "toReversed", "toSpliced",
    "with"]) {
    wrap_of_lists(name, (self, args, original) => {
      const length = long(self);
      if (length < 0) return PASS;
      if (length > IN_ONE_GO) throw new RangeError(`${name}: more than ${IN_ONE_GO} elements`);
      // The length that was looked at is the one that counts.
      const view = new View(new AnyObject(self), {
        __proto__: null,
        get: (target, key) => (key === "length" ? length : get(target, key)),
      });
      const result = apply(original, view, args);
      return result === view ? self : result;
    });
  }
  for (const name of ["sort", "toSorted"]) {
    wrap(List.prototype, name, function (args) {
      if (args[0] === undefined) args[0] = in_order;
      return PASS;
    });
  }
  wrap(List.prototype, "toLocaleString", function (args) {
    const length = long(this);
    const count = length < 0 ? integer(this?.length) : length;
    // Each element is asked, which takes long for a number already.
    if (!(count > NAMED_IN_ONE_GO)) return PASS;
    throw new RangeError(`toLocaleString: more than ${NAMED_IN_ONE_GO} elements`);
  });
  wrap(List.prototype, "concat", function (args) {
    let count = 0;
    for (let at = -1; at < args.length; at++) {
      const one = at < 0 ? this : args[at];
      if (is_array(one)) {
        count += one.length;
      } else if (typeof one === "object" && one !== null && one[isConcatSpreadable]) {
        // What only passes for an array is put in as one.
        const copy = apply(List.prototype.slice, one, []);
        if (at >= 0) args[at] = copy;
        count += copy.length;
      }
    }
    if (count > IN_ONE_GO) throw new RangeError(`concat: more than ${IN_ONE_GO} elements`);
    return PASS;
  });
  wrap(List, "from", function (args) {
    const [items, mapper] = args;
    if (mapper !== undefined || this !== List || items === null || items === undefined) return PASS;
    const iterates = items[iterator] !== undefined && items[iterator] !== null;
    const length = is_text(items) ? items.length : iterates && !isArray(items) ? -1 : long(items);
    if (length <= (is_text(items) ? TEXT_IN_ONE_GO : IN_ONE_GO)) return PASS;
    const list = [];
    if (is_text(items)) {
      // Two code units where they make up one character.
      for (let at = 0, width = 1; at < length; at += width) {
        width = is_lead(code(items, at)) && at + 1 < length && is_trail(code(items, at + 1)) ? 2 : 1;
        put(list, list.length, cut(items, at, at + width));
      }
      return list;
    }
    for (let at = 0; at < length; at++) put(list, at, items[at]);
    return list;
  });

  // --- numbers in a buffer -----------------------------------------------------------------------

  const Numbers = getPrototypeOf(Uint8Array);
  const kinds = { __proto__: null };
  for (const kind of [Int8Array, Uint8Array, Uint8ClampedArray, Int16Array, Uint16Array, Int32Array, Uint32Array,
    Float32Array, Float64Array, BigInt64Array, BigUint64Array]) {
    kinds[kind.name] = kind;
  }
  const { get: tag_of } = getOwnPropertyDescriptor(Numbers.prototype, toStringTag);
  const { get: length_of } = getOwnPropertyDescriptor(Numbers.prototype, "length");
  const { get: buffer_of } = getOwnPropertyDescriptor(Numbers.prototype, "buffer");
  const { get: offset_of } = getOwnPropertyDescriptor(Numbers.prototype, "byteOffset");
  const { sort, set, join } = Numbers.prototype;
  // Its constructor and its length, if it is one with more elements than that.
  const many = (self, most) => {
    const Kind = kinds[apply(tag_of, self, [])];
    if (Kind === undefined) return undefined;
    const length = apply(length_of, self, []);
    return length > most ? { Kind, length } : undefined;
  };
  const part_of = (self, Kind, from, length) =>
    new Kind(apply(buffer_of, self, []), apply(offset_of, self, []) + from * Kind.BYTES_PER_ELEMENT, length);
  const comes_before = (a, b) => a < b || (a === b ? is(a, -0) && is(b, 0) : a === a && b !== b);
  const sort_in_parts = (self, { Kind, length }) => {
    for (let from = 0; from < length; from += SORTED_IN_ONE_GO) {
      apply(sort, part_of(self, Kind, from, min(SORTED_IN_ONE_GO, length - from)), []);
    }
    let source = self;
    let target = new Kind(length);
    for (let size = SORTED_IN_ONE_GO; size < length; size *= 2) {
      for (let from = 0; from < length; from += 2 * size) {
        const [middle, end] = [min(from + size, length), min(from + 2 * size, length)];
        for (let at = from, left = from, right = middle; at < end; at++) {
          const takes_right = left >= middle || (right < end && comes_before(source[right], source[left]));
          target[at] = takes_right ? source[right++] : source[left++];
        }
      }
      [source, target] = [target, source];
    }
    if (source !== self) apply(set, self, [source]);
    return self;
  };
  wrap(Numbers.prototype, "sort", function ([order]) {
    const found = order === undefined ? many(this, SORTED_IN_ONE_GO) : undefined;
    return found === undefined ? PASS : sort_in_parts(this, found);
  });
  wrap(Numbers.prototype, "toSorted", function ([order]) {
    const found = order === undefined ? many(this, SORTED_IN_ONE_GO) : undefined;
    return found === undefined ? PASS : sort_in_parts(new found.Kind(this), found);
  });
  wrap(Numbers.prototype, "join", function ([between]) {
    const found = many(this, SORTED_IN_ONE_GO);
    if (found === undefined) return PASS;
    const text = between === undefined ? "," : `${between}`;
    let all = "";
    for (let from = 0; from < found.length; from += SORTED_IN_ONE_GO) {
      const part = part_of(this, found.Kind, from, min(SORTED_IN_ONE_GO, found.length - from));
      all += (from > 0 ? text : "") + apply(join, part, [text]);
    }
    return all;
  });

  // Lists that become numbers. The constructors take some as well, and are left alone: much calls them.
  for (const [holder, name] of [[Numbers, "from"], [Numbers.prototype, "set"]]) {
    wrap(holder, name, function ([items]) {
      if (typeof items !== "object" || items === null || many(items, -1) !== undefined) return PASS;
      const length = is_array(items) ? items.length : long(items);
      if (length > IN_ONE_GO) throw new RangeError(`${name}: more than ${IN_ONE_GO} elements`);
      return PASS;
    });
  }

  // --- texts -----------------------------------------------------------------------------------

  const texts = String.prototype;
  const { indexOf, charCodeAt, slice } = texts;
  const code = (text, at) => apply(charCodeAt, text, [at]);
  const cut = (text, from, to) => apply(slice, text, [from, to]);
  const is_lead = (unit) => (unit & 0xfc00) === 0xd800;
  const is_trail = (unit) => (unit & 0xfc00) === 0xdc00;
  const is_text = (value) => typeof value === "string";
  const is_dear = (text, wanted) => text.length * wanted.length > SEARCHED_IN_ONE_GO && wanted.length > 1;
  // How far each beginning of the text is repeated at its own end: a search never looks back then.
  const borders = (wanted) => {
    const table = new Int32Array(wanted.length);
    for (let at = 1, width = 0; at < wanted.length; at++) {
      while (width > 0 && code(wanted, at) !== code(wanted, width)) width = table[width - 1];
      if (code(wanted, at) === code(wanted, width)) width++;
      table[at] = width;
    }
    return table;
  };
  // A function that gives the next place from one on, or -1.
  const finder = (text, wanted) => {
    if (!is_dear(text, wanted)) return (from) => apply(indexOf, text, [wanted, from]);
    const table = borders(wanted);
    return (from) => {
      for (let at = from, width = 0; at < text.length; at++) {
        while (width > 0 && code(text, at) !== code(wanted, width)) width = table[width - 1];
        if (code(text, at) === code(wanted, width)) width++;
        if (width === wanted.length) return at + 1 - width;
      }
      return -1;
    };
  };
  // What is no text yet is made one here, once: it may be another the next time.
  const wrap_search = (name, slow) => {
    const original = texts[name];
    const wrapped = {
      [name](...args) {
        if (!is_text(this) || !is_text(args[0])) {
          if (this === null || this === undefined || args.length === 0) return apply(original, this, args);
          const self = `${this}`;
          // An object may be a regular expression, which `includes` refuses.
          if (name === "includes" && typeof args[0] === "object" && args[0] !== null) apply(original, "", [args[0], 0]);
          args[0] = `${args[0]}`;
          return is_dear(self, args[0]) ? slow(self, args) : apply(original, self, args);
        }
        return is_dear(this, args[0]) ? slow(this, args) : apply(original, this, args);
      },
    }[name];
    finish(wrapped, original, texts, name);
  };
  const from_place = (text, [wanted, from]) => finder(text, wanted)(min(max(integer(from), 0), text.length));
  wrap_search("indexOf", from_place);
  wrap_search("includes", (text, args) => from_place(text, args) >= 0);
  wrap_search("lastIndexOf", (text, [wanted, from]) => {
    const latest = number(from);
    const table = borders(wanted);
    let found = -1;
    // In one go over all places, also those where one overlaps the next.
    for (let at = 0, width = 0; at < text.length && !(at + 1 - wanted.length > latest); at++) {
      while (width > 0 && (width === wanted.length || code(text, at) !== code(wanted, width))) width = table[width - 1];
      if (code(text, at) === code(wanted, width)) width++;
      if (width === wanted.length) found = at + 1 - width;
    }
    return found;
  });
  // The template of a replacement for what was found at a place, as the language fills it.
  const filled = (template, text, wanted, at) => {
    let all = "";
    let from = 0;
    for (let sign = apply(indexOf, template, ["$", 0]); sign >= 0; sign = apply(indexOf, template, ["$", from])) {
      all += cut(template, from, sign);
      const kind = cut(template, sign + 1, sign + 2);
      from = sign + 2;
      if (kind === "$") all += "$";
      else if (kind === "&") all += wanted;
      else if (kind === "`") all += cut(text, 0, at);
      else if (kind === "'") all += cut(text, at + wanted.length, text.length);
      else {
        all += "$";
        from = sign + 1;
      }
    }
    return all + cut(template, from, template.length);
  };
  const replace_steps = (text, wanted, replacement, all) => {
    const is_code = typeof replacement === "function";
    const template = is_code ? "" : `${replacement}`;
    const find = finder(text, wanted);
    const step = max(wanted.length, 1);
    let result = "";
    let done = 0;
    for (let at = find(0); at >= 0; at = at + step > text.length ? -1 : find(at + step)) {
      const with_what = is_code
        ? `${apply(replacement, undefined, [wanted, at, text])}`
        : filled(template, text, wanted, at);
      result += cut(text, done, at) + with_what;
      done = at + wanted.length;
      if (!all) break;
    }
    return result + cut(text, done, text.length);
  };
  const is_long = (text, wanted) =>
    text.length <= TEXT_MAX && (text.length > TEXT_IN_ONE_GO || is_dear(text, wanted));
  for (const [name, all] of [["replace", false], ["replaceAll", true]]) {
    wrap(texts, name, function ([wanted, replacement]) {
      const is_plain = is_text(this) && is_text(wanted) && (all ? is_long(this, wanted) : is_dear(this, wanted));
      return is_plain ? replace_steps(this, wanted, replacement, all) : PASS;
    });
  }
  wrap(texts, "split", function ([wanted, limit]) {
    if (!is_text(this) || !is_text(wanted) || !is_long(this, wanted)) return PASS;
    const most = limit === undefined ? 2 ** 32 - 1 : limit >>> 0;
    const parts = [];
    if (wanted === "") {
      for (let at = 0; at < this.length && parts.length < most; at++) put(parts, at, cut(this, at, at + 1));
      return parts;
    }
    const find = finder(this, wanted);
    let from = 0;
    for (let at = find(0); at >= 0 && parts.length < most; at = find(from)) {
      put(parts, parts.length, cut(this, from, at));
      from = at + wanted.length;
    }
    if (parts.length < most) put(parts, parts.length, cut(this, from, this.length));
    return parts;
  });

  // Whose work grows with the text alone, and which nothing can do in steps.
  const short_enough = (name, text) => {
    if (text.length > IN_ONE_GO) throw new RangeError(`${name}: more than ${IN_ONE_GO} characters`);
    return text;
  };
  for (const name of ["normalize", "toUpperCase", "toLowerCase", "toLocaleUpperCase", "toLocaleLowerCase", "localeCompare"]) {
    const original = texts[name];
    const wrapped = {
      [name](...args) {
        if (this === null || this === undefined) return apply(original, this, args);
        return apply(original, short_enough(name, is_text(this) ? this : `${this}`), args);
      },
    }[name];
    finish(wrapped, original, texts, name);
  }
  for (const name of ["encodeURI", "encodeURIComponent", "decodeURI", "decodeURIComponent", "escape", "unescape", "parseInt",
    "parseFloat"]) {
    const original = globalThis[name];
    const wrapped = {
      [name](...args) {
        if (args.length > 0) args[0] = short_enough(name, is_text(args[0]) ? args[0] : `${args[0]}`);
        return apply(original, this, args);
      },
    }[name];
    finish(wrapped, original, globalThis, name);
    if (name === "parseInt" || name === "parseFloat") {
      defineProperty(Number, name, { value: wrapped, writable: true, enumerable: false, configurable: true });
    }
  }
  wrap(String, "raw", function ([template]) {
    const raw = template?.raw;
    const length = is_text(raw) ? raw.length : raw === null || raw === undefined ? 0 : max(long(raw), 0);
    if (length > NAMED_IN_ONE_GO) throw new RangeError(`raw: more than ${NAMED_IN_ONE_GO} elements`);
    return PASS;
  });

  // --- sets ---------------------------------------------------------------------------------------

  const { get: size_of } = getOwnPropertyDescriptor(Set.prototype, "size");
  const { get: entries_of } = getOwnPropertyDescriptor(Map.prototype, "size");
  const elements_of = (value) => {
    for (const size of [size_of, entries_of]) {
      try {
        return apply(size, value, []);
      } catch {
        // It is none. What only passes for a set runs code, which can be interrupted.
      }
    }
    return 0;
  };
  for (const name of ["union", "intersection", "difference", "symmetricDifference", "isSubsetOf", "isSupersetOf",
    "isDisjointFrom"]) {
    wrap(Set.prototype, name, function ([other]) {
      if (elements_of(this) + elements_of(other) <= NAMED_IN_ONE_GO) return PASS;
      throw new RangeError(`${name}: more than ${NAMED_IN_ONE_GO} elements`);
    });
  }

  // --- one property of a long list ----------------------------------------------------------------

  // V8 makes a hash table of the elements, and ends the process where there are more than fit.
  for (const [holder, name] of [[AnyObject, "defineProperty"], [AnyObject, "defineProperties"], [Reflect, "defineProperty"],
    [AnyObject, "preventExtensions"], [Reflect, "preventExtensions"]]) {
    wrap(holder, name, ([list]) => {
      if (is_array(list) && list.length > IN_ONE_GO) throw new RangeError(`${name}: more than ${IN_ONE_GO} elements`);
      return PASS;
    });
  }

  // --- names of properties -----------------------------------------------------------------------

  // Each element's name is a text that is made.
  const elements_in = (value) => {
    if (is_array(value) || is_text(value)) return value.length;
    if (typeof value !== "object" || value === null || (proxied && is_proxy(value))) return 0;
    const numbers = many(value, NAMED_IN_ONE_GO);
    if (numbers !== undefined) return numbers.length;
    // Of a text that is an object it is fixed, of all others it says nothing.
    const own = getOwnPropertyDescriptor(value, "length");
    return own !== undefined && !own.writable && !own.configurable ? own.value : 0;
  };
  for (const [holder, names] of [
    [AnyObject, ["keys", "values", "entries", "getOwnPropertyNames", "getOwnPropertyDescriptors", "freeze", "seal",
      "isFrozen", "isSealed", "assign", "fromEntries", "defineProperties"]],
    [Reflect, ["ownKeys"]],
  ]) {
    for (const name of names) {
      wrap(holder, name, function (args) {
        for (let at = 0; at < args.length; at++) {
          if (elements_in(args[at]) > NAMED_IN_ONE_GO) {
            throw new RangeError(`${name}: more than ${NAMED_IN_ONE_GO} elements`);
          }
        }
        return PASS;
      });
    }
  }
})
