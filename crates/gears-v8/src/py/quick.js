// Shorter ways for what scripts do for every record: look up names, and print dicts of strings. What is not of the plain
// kind goes the way that it went before.
(function ($B) {
  "use strict";
  const _b_ = $B.builtins;
  const { dict } = _b_;
  const { OB_TYPE } = $B;
  const { hasOwn } = Object;

  // A namespace is mostly an object with the names as its own properties.
  const resolve = $B.resolve_in_scopes;
  $B.resolve_in_scopes = (name, namespaces, inum) => {
    for (let at = 0; at < namespaces.length; at++) {
      const namespace = namespaces[at];
      const is_special = namespace === $B.exec_scope || namespace.ob_type === $B.module || namespace.$proxy ||
        namespace.$target !== undefined;
      if (is_special) break;
      if (hasOwn(namespace, name)) return namespace[name];
    }
    return resolve(name, namespaces, inum);
  };

  // What is being printed, so that what contains itself has an end: known by itself, and not by a number.
  const printed = new Set();
  $B.repr.enter = (value) => {
    if (printed.has(value)) return true;
    printed.add(value);
    if (printed.size > $B.recursion_limit) {
      printed.clear();
      $B.RAISE(_b_.RecursionError, "maximum recursion depth exceeded while getting the repr of an object");
    }
    return false;
  };
  $B.repr.leave = (value) => {
    printed.delete(value);
  };

  const repr = _b_.repr;
  $B.mend.builtins({
    repr: (...args) => (args.length === 1 && typeof args[0] === "string" ? _b_.str.tp_repr(args[0]) : repr(...args)),
  });
  const dict_repr = dict.tp_repr;
  $B.mend.slots(dict, {
    tp_repr(...args) {
      const self = args[0];
      if (self?.[OB_TYPE] !== dict || self.ob_type !== undefined) return dict_repr(...args);
      if ($B.repr.enter(self)) return "{...}";
      let text = "{";
      try {
        for (const { key, value } of dict.$iter_items(self)) {
          text += `${text.length > 1 ? ", " : ""}${_b_.repr(key)}: ${_b_.repr(value)}`;
        }
      } finally {
        $B.repr.leave(self);
      }
      return `${text}}`;
    },
  });
})(__BRYTHON__);
