// Values of Python and of JavaScript, both ways: arguments and replies of commands, records, results.
//
// Strings are the same in both. A whole number of Python is a number where that is exact, else a BigInt.
(function ($B) {
  "use strict";
  const _b_ = $B.builtins;
  const { None, dict, list, tuple, bytes, bytearray, float } = _b_;
  const { isArray } = Array;
  const { hasOwn } = Object;
  const { isSafeInteger } = Number;
  const Buffer = ArrayBuffer;
  const Bytes = Uint8Array;
  const Text = String;
  const Numeric = Number;
  const Unique = Set;
  const LEAST = BigInt(Number.MIN_SAFE_INTEGER);
  const MOST = BigInt(Number.MAX_SAFE_INTEGER);

  const integer = (big) => (big >= LEAST && big <= MOST ? Numeric(big) : big);
  const bytes_of = (buffer) => $B.fast_bytes([...new Bytes(buffer)]);
  const text_or_bytes = (value) => (typeof value === "string" ? value : bytes_of(value));
  const is_bytes = (value) => typeof value === "object" && (value.ob_type === bytes || value.ob_type === bytearray);
  const class_of = (value) => $B.get_class(value);

  // --- dicts -----------------------------------------------------------------------------------

  // A dict keeps strings as properties of an object, which JavaScript would give back in another order where
  // they look like numbers: such a dict is to keep its keys in a table.
  const looks_like_index = (key) => typeof key === "string" && key.length < 11 && key.charCodeAt(0) - 48 >>> 0 < 10;
  const with_table = (made) => {
    dict.$setitem(made, 0, None); // a key that is no string
    dict.$delitem(made, 0);
    return made;
  };
  const set_item = (made, key, value) => dict.$setitem(made, key, value);
  const dict_of = (pairs) => {
    const made = $B.empty_dict();
    if (pairs.some(([key]) => looks_like_index(key))) with_table(made);
    for (const [key, value] of pairs) set_item(made, key, value);
    return made;
  };

  // --- replies of commands -----------------------------------------------------------------------

  // As the server tells clients of RESP2, which scripts for RedisGears 1 know: maps, sets and scores are lists.
  const double_text = (number) => {
    if (number === Infinity) return "inf";
    if (number === -Infinity) return "-inf";
    return number === number ? Text(number) : "nan";
  };
  const is_scored = (value) => isArray(value) && value.length === 2 && typeof value[1] === "number";
  const of_reply = (value) => {
    switch (typeof value) {
      case "string":
        return value;
      case "bigint":
        return integer(value);
      case "number":
        return double_text(value);
      case "boolean":
        return value ? 1 : 0;
    }
    if (value === null || value === undefined) return None;
    if (value instanceof Text) return value.valueOf();
    if (value instanceof Buffer) return bytes_of(value);
    if (isArray(value)) {
      const is_flat = value.length > 0 && value.every(is_scored);
      return $B.$list((is_flat ? value.flat() : value).map(of_reply));
    }
    if (value instanceof Unique) return $B.$list([...value].map(of_reply));
    const elements = [];
    for (const name of Object.keys(value)) elements.push(name, of_reply(value[name]));
    return $B.$list(elements);
  };

  // --- arguments of commands -----------------------------------------------------------------------

  const str = (value) => {
    const text = typeof value === "string" ? value : _b_.str.$factory(value);
    return typeof text === "string" ? text : text.valueOf();
  };
  const of_argument = (value) => (is_bytes(value) ? new Bytes(value.source) : str(value));

  // --- records -------------------------------------------------------------------------------------

  // What an entry is beside its fields: its key and its ID, for those who know release 1.x.
  const ENTRY = Symbol("entry");
  const part = (text, raw) => (text === null ? bytes_of(raw()) : text_or_bytes(text));
  const fields_of = (made, pairs, data) => {
    for (let at = 0; at < pairs.length; at++) {
      const [name, value] = pairs[at];
      const key = part(name, () => data.record_raw[at][0]);
      set_item(made, key, part(value, () => data.record_raw[at][1]));
    }
    return made;
  };
  const empty_for = (pairs) => {
    const made = $B.empty_dict();
    for (let at = 0; at < pairs.length; at++) if (looks_like_index(pairs[at][0])) return with_table(made);
    return made;
  };
  const entry = (format, key, id, pairs, data) => {
    const made = empty_for(pairs);
    if (format === "nested") {
      const nested = $B.empty_dict();
      set_item(nested, "key", text_or_bytes(key));
      set_item(nested, "id", id);
      set_item(nested, "value", fields_of(made, pairs, data));
      return nested;
    }
    set_item(made, "streamId", id);
    made[ENTRY] = { key, id, pairs, data };
    return fields_of(made, pairs, data);
  };
  // Of an entry in the flat form, what the nested one has under this name.
  const nested_part = ({ key, id, pairs, data }, name) => {
    switch (name) {
      case "key":
        return text_or_bytes(key);
      case "id":
        return id;
      case "value":
        return fields_of(empty_for(pairs), pairs, data);
    }
    return undefined;
  };
  const get_item = dict.$getitem;
  dict.$getitem = (self, key, ignores_missing) => {
    const about = self[ENTRY];
    if (about !== undefined && !dict.$contains(self, key)) {
      const found = nested_part(about, key);
      if (found !== undefined) return found;
    }
    return get_item(self, key, ignores_missing);
  };

  const event = (key, name) => {
    const made = $B.empty_dict();
    set_item(made, "key", text_or_bytes(key));
    set_item(made, "event", name ?? None);
    return made;
  };
  // Release 1.x has no values of sets, sorted sets, streams and those of modules.
  const value_of_key = (value, type) => {
    if (value === null || value === undefined) return None;
    switch (type) {
      case "string":
        return text_or_bytes(value instanceof Text ? value.valueOf() : value);
      case "list":
        return $B.$list(value.map((element) => (element === null ? None : text_or_bytes(element))));
      case "hash":
        return dict_of(Object.entries(value).map(([name, field]) => [name, field === null ? None : text_or_bytes(field)]));
    }
    return None;
  };
  const valued_event = (key, value, type, name) => {
    const made = $B.empty_dict();
    set_item(made, "key", text_or_bytes(key));
    set_item(made, "value", value_of_key(value, type));
    set_item(made, "type", type ?? "empty");
    set_item(made, "event", name ?? None);
    return made;
  };

  // --- results -------------------------------------------------------------------------------------

  // Of a record, as release 1.x replies it.
  const to_reply = (value) => {
    switch (typeof value) {
      case "string":
      case "bigint":
        return value;
      case "number":
        return isSafeInteger(value) ? BigInt(value) : value;
      case "boolean":
        return "PY RECORD";
    }
    if (is_bytes(value)) return new Bytes(value.source).buffer;
    const type = class_of(value);
    if (type === list) return value.map(to_reply);
    if (type === float) return value.value.toFixed(6);
    if ($B.is_str(value)) return str(value);
    return "PY RECORD";
  };

  // --- records on their way to another shard --------------------------------------------------------

  // As data that can be cloned: what JavaScript has not is an object that names its type.
  const to_data = (value) => {
    switch (typeof value) {
      case "string":
      case "number":
      case "bigint":
      case "boolean":
        return value;
    }
    if (value === None || value === null || value === undefined) return null;
    if ($B.is_str(value)) return str(value);
    const type = class_of(value);
    switch (type) {
      case float:
        return { type: "float", of: value.value };
      case list:
        return value.map(to_data);
      case tuple:
        return { type: "tuple", of: value.map(to_data) };
      case bytes:
        return { type: "bytes", of: new Bytes(value.source) };
      case bytearray:
        return { type: "bytearray", of: new Bytes(value.source) };
      case _b_.set:
      case _b_.frozenset:
        return { type: type === _b_.set ? "set" : "frozenset", of: [...$B.make_js_iterator(value)].map(to_data) };
      case dict: {
        const items = [...dict.$iter_items(value)].map(({ key, value: of_key }) => [to_data(key), to_data(of_key)]);
        const about = value[ENTRY];
        return { type: "dict", of: items, entry: about && [to_data(text_or_bytes(about.key)), about.id] };
      }
    }
    throw $B.$call(_b_.TypeError, `a record of the type '${$B.class_name(value)}' cannot be sent to another shard: numbers, texts, bytes, None, and lists, tuples, sets and dicts of such can`);
  };
  const of_data = (data) => {
    if (data === null) return None;
    if (typeof data !== "object") return data;
    if (isArray(data)) return $B.$list(data.map(of_data));
    const { type, of } = data;
    switch (type) {
      case "float":
        return $B.fast_float(of);
      case "tuple":
        return $B.fast_tuple(of.map(of_data));
      case "bytes":
        return $B.fast_bytes([...of]);
      case "bytearray":
        return $B.$call(bytearray, $B.fast_bytes([...of]));
      case "set":
      case "frozenset":
        return $B.$call(_b_[type], $B.$list(of.map(of_data)));
    }
    const made = dict_of(of.map(([key, of_key]) => [of_data(key), of_data(of_key)]));
    const { entry: about } = data;
    const pairs = of.filter(([key]) => key !== "streamId");
    // With bytes among them it is not known by what release 1.x called its parts.
    if (about && pairs.flat().every((one) => typeof one === "string")) {
      made[ENTRY] = { key: of_data(about[0]), id: about[1], pairs, data: undefined };
    }
    return made;
  };

  // --- copies --------------------------------------------------------------------------------------

  // What an aggregate begins with must not be shared between keys.
  const copy = (value) => {
    if (typeof value !== "object" || value === None || is_bytes(value) || hasOwn(value, "valueOf")) return value;
    const type = class_of(value);
    if (type === float) return value;
    if (type === list) return $B.$list(value.map(copy));
    if (type === tuple) return $B.fast_tuple(value.map(copy));
    if (type === dict) {
      return dict_of([...dict.$iter_items(value)].map(({ key, value: of_key }) => [key, copy(of_key)]));
    }
    $B.$import("copy", [], {}, {});
    return $B.$call($B.$getattr($B.imported.copy, "deepcopy"), value);
  };

  return {
    of_reply, of_argument, str, is_bytes, bytes_of, dict_of, set_item, entry, event, valued_event, to_reply, copy,
    text_or_bytes, to_data, of_data,
  };
})
