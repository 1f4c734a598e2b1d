// The functions beside GearsBuilder: commands, atomic sections, logging and configuration.
(function (native, text_of) {
  "use strict";
  const { atomic: lock, is_async_function, is_locked, execute: command } = native;
  // Kept here, since the library may replace the globals.
  const { hasOwn } = Object;
  const { isFinite } = Number;
  const { min } = Math;
  const { isView } = ArrayBuffer;
  const Buffer = ArrayBuffer;
  const Later = Promise;
  const SharedBuffer = SharedArrayBuffer;
  const Text = String;

  const is_bytes = (value) => isView(value) || value instanceof Buffer || value instanceof SharedBuffer;
  const execute = (...words) => {
    if (words.length === 0) return [];
    if (typeof words[0] !== "string") throw new TypeError("First argument to 'execute' must be a string");
    for (let at = 1; at < words.length; at++) if (!is_bytes(words[at])) words[at] = Text(words[at]);
    return command(words);
  };

  let is_atomic = false;
  const atomic = (work) => {
    if (typeof work !== "function") throw new TypeError("Argument to 'atomic' must be a function");
    if (is_async_function(work)) throw new TypeError("Argument to 'atomic' must not be an async function");
    if (is_atomic && is_locked()) {
      // Code that was ended for its time leaves the mark behind, and would do so for good.
      is_atomic = false;
      throw new Error("'atomic' cannot be used inside of 'atomic'");
    }
    is_atomic = true;
    let result;
    try {
      result = lock(work);
    } finally {
      is_atomic = false;
    }
    if (result instanceof Later) throw new Error("The function given to 'atomic' returned a promise");
    return result;
  };

  const log = (message, level = "notice") => {
    if (typeof message !== "string") throw new TypeError("First argument to 'log' must be a string");
    native.redis_log(`GEARS: ${message}`, level);
  };

  const slot_of = (key) => {
    let crc = 0;
    for (let at = 0; at < key.length; at++) {
      crc ^= key.charCodeAt(at) << 8;
      for (let bit = 0; bit < 8; bit++) crc = crc & 0x8000 ? ((crc << 1) ^ 0x1021) & 0xffff : crc << 1;
    }
    return crc % 16_384;
  };
  // The lowest slot of this node, or of the one it is a replica of.
  const lowest_slot = (nodes) => {
    const lines = nodes.split("\n").map((line) => line.split(" "));
    let node = lines.find(([, , flags]) => flags?.split(",").includes("myself")) ?? [];
    node = lines.find(([id]) => id === node[3]) ?? node;
    // Behind the first eight words are slots: `5`, `7-100`, and those that are moving: `[6->-...]`.
    return min(...node.slice(8).filter((range) => !range.startsWith("[")).map((range) => parseInt(range, 10)));
  };
  const tag = { slot: 0, text: "06S" };
  const hashtag = () => {
    let nodes;
    try {
      nodes = Text(command(["CLUSTER", "NODES"]));
    } catch (error) {
      if (error.message?.includes("cluster support disabled")) return "06S";
      throw error;
    }
    const slot = lowest_slot(nodes);
    // A key by anything else would belong to another node.
    if (!isFinite(slot)) throw new Error("'hashtag' needs a slot, and this node has none");
    // About as many texts as there are slots: worth to be kept.
    for (let number = 0; tag.slot !== slot; number++) {
      const text = number.toString(36);
      if (slot_of(text) === slot) {
        tag.slot = slot;
        tag.text = text;
      }
    }
    return tag.text;
  };

  const gearsConfigGet = (key, missing = null) => {
    if (typeof key !== "string") throw new TypeError("First argument to 'gearsConfigGet' must be a string");
    const value = hasOwn(native.config, key) ? native.config[key] : null;
    return value === null ? missing : text_of(value);
  };
  const configGet = (key) => gearsConfigGet(key);

  return { execute, atomic, log, hashtag, gearsConfigGet, configGet };
})
