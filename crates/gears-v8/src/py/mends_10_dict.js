// Dictionaries. Brython keeps a dictionary whose keys are all strings as the properties of a JavaScript object, and any
// other in tables. Properties named `1` or `2` move before all others, `__proto__` is lost, `hasOwnProperty` breaks every
// later look-up, and a string that was deleted from a table is still found. Here
//
// * a dictionary of strings stays an object while it only has names that an object keeps in order: namespaces, keyword
//   arguments and the attributes of objects are such dictionaries, and the interpreter reads their properties itself;
// * any other dictionary has its entries in a Map, which keeps the order of insertion, and nothing as properties.
(function ($B) {
    "use strict";

    const _b_ = $B.builtins;
    const dict = _b_.dict;
    const JSOBJ = $B.JSOBJ;
    const NONE = _b_.None;
    const MISSING = $B.NULL;

    /** Of a dictionary: its `Entries`, once it is not an object of strings any more. */
    const ENTRIES = Symbol("ENTRIES");

    /** Brython's mark of how often a dictionary of strings was changed. */
    const VERSION = Object.getOwnPropertySymbols($B.empty_dict()).find((s) => s.description === "VERSION");

    // What dictionaries that stand for JavaScript objects do stays as it is.
    const original = { getitem: dict.$getitem, setitem: dict.$setitem, delitem: dict.$delitem };

    const own = Object.hasOwn;

    /** Whether an object cannot keep `name` as a property like any other. */
    function is_awkward(name) {
        const first = name.charCodeAt(0);
        if (first >= 48 && first <= 57) {
            return /^(0|[1-9][0-9]{0,15})$/.test(name);
        }
        return name === "__proto__" || name === "hasOwnProperty" || name === "ob_type" || name === "__hashvalue__"
            || name === "$kw" || name === "$factory";
    }

    /**
     * What stands for `key` in a Map, such that equal keys have the same: strings for strings, numbers for numbers. Other
     * keys have nothing of the kind, `undefined`.
     */
    function plain(key) {
        switch (typeof key) {
            case "string":
            case "number":
            case "bigint":
                return key;
            case "boolean":
                return key ? 1 : 0;
        }
        const type = $B.get_class(key);
        if (type === _b_.float) {
            const value = key.value;
            if (Number.isNaN(value)) {
                return undefined;
            }
            return Number.isInteger(value) && !Number.isSafeInteger(value) ? BigInt(value) : value;
        }
        if (key instanceof String) {
            return key.valueOf();
        }
        if (type.tp_flags & $B.TPFLAGS.HEAPTYPE) {
            if ($B.is_str(key) && hash_of(type) === hash_of(_b_.str)) {
                return _b_.str.$to_string ? _b_.str.$to_string(key) : String(key.$brython_value ?? key.valueOf());
            }
            if ($B.is_int(key) && hash_of(type) === hash_of(_b_.int)) {
                return $B.int_value(key);
            }
        }
        return undefined;
    }

    function hash_of(type) {
        return $B.search_in_mro(type, "__hash__", MISSING);
    }

    /** The hash of a key, as a Map can keep it. */
    function hash(key) {
        const value = $B.$hash(key);
        return typeof value === "number" || typeof value === "bigint" ? value : $B.int_value(value);
    }

    /** Whether `key` may be equal to a string or a number although it is neither: its class says what it equals. */
    function has_own_equality(key) {
        const type = $B.get_class(key);
        return Boolean(type.tp_flags & $B.TPFLAGS.HEAPTYPE)
            && $B.search_in_mro(type, "__eq__", MISSING) !== $B.search_in_mro(_b_.object, "__eq__", MISSING);
    }

    /** The entries of a dictionary, in the order in which their keys came. */
    class Entries {
        constructor() {
            /** From what `plain` gives, or else from the entry itself, to the entry. */
            this.all = new Map();
            /** From hashes to the entries with keys that are neither strings nor numbers. */
            this.hashed = undefined;
        }

        get size() {
            return this.all.size;
        }

        find(key) {
            const short = plain(key);
            if (short !== undefined) {
                const found = this.all.get(short);
                if (found !== undefined || this.hashed === undefined) {
                    return found;
                }
                return this.find_hashed(key, hash(key));
            }
            const hashed = hash(key);
            const found = this.find_hashed(key, hashed);
            return found === undefined && has_own_equality(key) ? this.find_equal(key, hashed) : found;
        }

        find_hashed(key, hashed) {
            const bucket = this.hashed?.get(hashed);
            if (bucket !== undefined) {
                for (const entry of bucket) {
                    if (entry.key === key || $B.is_or_equals(entry.key, key)) {
                        return entry;
                    }
                }
            }
            return undefined;
        }

        /** Looks among strings and numbers for one that `key` says it equals. */
        find_equal(key, hashed) {
            for (const [short, entry] of this.all) {
                if (short !== entry && $B.$hash(entry.key) === hashed && $B.is_or_equals(entry.key, key)) {
                    return entry;
                }
            }
            return undefined;
        }

        /** Adds a key that is not there. */
        add(key, value) {
            const short = plain(key);
            if (short !== undefined) {
                this.all.set(short, { key, value });
                return;
            }
            const hashed = hash(key);
            const entry = { key, value, hash: hashed };
            this.all.set(entry, entry);
            this.hashed ??= new Map();
            const bucket = this.hashed.get(hashed);
            if (bucket === undefined) {
                this.hashed.set(hashed, [entry]);
            } else {
                bucket.push(entry);
            }
        }

        remove(entry) {
            if (entry.hash === undefined) {
                this.all.delete(plain(entry.key));
                return;
            }
            this.all.delete(entry);
            const bucket = this.hashed.get(entry.hash);
            bucket.splice(bucket.indexOf(entry), 1);
            if (bucket.length === 0) {
                this.hashed.delete(entry.hash);
                if (this.hashed.size === 0) {
                    this.hashed = undefined;
                }
            }
        }
    }

    /** Moves the properties of a dictionary of strings into entries. */
    function to_entries(self) {
        const entries = new Entries();
        for (const name of Object.keys(self)) {
            entries.all.set(name, { key: name, value: self[name] });
            delete self[name];
        }
        self[ENTRIES] = entries;
        return entries;
    }

    /** Of a dictionary of strings, the name that `key` is, or `undefined`. Complains about keys without a hash. */
    function name_of(self, key) {
        if (typeof key === "string") {
            return key;
        }
        const short = plain(key);
        if (short !== undefined) {
            return typeof short === "string" ? short : undefined;
        }
        const hashed = hash(key);
        if (has_own_equality(key)) {
            for (const name of Object.keys(self)) {
                if ($B.$hash(name) === hashed && $B.is_or_equals(name, key)) {
                    return name;
                }
            }
        }
        return undefined;
    }

    /** The value of `key`, or `MISSING`. */
    function get(self, key) {
        const entries = self[ENTRIES];
        if (entries !== undefined) {
            const entry = entries.find(key);
            return entry === undefined ? MISSING : entry.value;
        }
        if (typeof key === "string") {
            return own(self, key) ? self[key] : MISSING;
        }
        const name = name_of(self, key);
        return name !== undefined && own(self, name) ? self[name] : MISSING;
    }

    function set(self, key, value) {
        let entries = self[ENTRIES];
        if (entries === undefined) {
            const name = name_of(self, key);
            if (name !== undefined && !is_awkward(name)) {
                if (!own(self, name)) {
                    self[VERSION] = (self[VERSION] ?? 0) + 1;
                }
                self[name] = value;
                return;
            }
            entries = to_entries(self);
        }
        const entry = entries.find(key);
        if (entry === undefined) {
            entries.add(key, value);
        } else {
            entry.value = value;
        }
    }

    /** Takes `key` out and gives its value, or `MISSING`. */
    function remove(self, key) {
        const entries = self[ENTRIES];
        if (entries !== undefined) {
            const entry = entries.find(key);
            if (entry === undefined) {
                return MISSING;
            }
            entries.remove(entry);
            return entry.value;
        }
        const name = name_of(self, key);
        if (name === undefined || !own(self, name)) {
            return MISSING;
        }
        const value = self[name];
        delete self[name];
        self[VERSION] = (self[VERSION] ?? 0) + 1;
        return value;
    }

    function length(self) {
        return self[ENTRIES] === undefined ? Object.keys(self).length : self[ENTRIES].size;
    }

    function changed_in_iteration() {
        $B.RAISE(_b_.RuntimeError, "dictionary changed size during iteration");
    }

    function* iterate(self) {
        const entries = self[ENTRIES];
        if (entries === undefined) {
            const version = self[VERSION];
            for (const name of Object.keys(self)) {
                yield { key: name, value: self[name] };
                if (self[VERSION] !== version || self[ENTRIES] !== undefined) {
                    changed_in_iteration();
                }
            }
            return;
        }
        const size = entries.size;
        for (const entry of entries.all.values()) {
            yield entry;
            if (self[ENTRIES]?.size !== size) {
                changed_in_iteration();
            }
        }
    }

    function* iterate_back(self) {
        const size = length(self);
        for (const { key, value } of Array.from(iterate(self)).reverse()) {
            yield $B.fast_tuple([key, value]);
            if (length(self) !== size) {
                changed_in_iteration();
            }
        }
    }

    function copy(self) {
        const result = $B.empty_dict();
        const entries = self[ENTRIES];
        if (entries === undefined) {
            for (const name of Object.keys(self)) {
                result[name] = self[name];
            }
            return result;
        }
        const copied = new Entries();
        for (const entry of entries.all.values()) {
            const { key, value, hash: hashed } = entry;
            if (hashed === undefined) {
                copied.all.set(plain(key), { key, value });
                continue;
            }
            const twin = { key, value, hash: hashed };
            copied.all.set(twin, twin);
            copied.hashed ??= new Map();
            const bucket = copied.hashed.get(hashed);
            if (bucket === undefined) {
                copied.hashed.set(hashed, [twin]);
            } else {
                bucket.push(twin);
            }
        }
        result[ENTRIES] = copied;
        return result;
    }

    function equal(self, other) {
        if (self === other) {
            return true;
        }
        if (length(self) !== length(other)) {
            return false;
        }
        for (const { key, value } of iterate(self)) {
            const twin = get(other, key);
            if (twin === MISSING || !$B.is_or_equals(value, twin)) {
                return false;
            }
        }
        return true;
    }

    function key_error(key) {
        $B.RAISE(_b_.KeyError, key);
    }

    /** Whether `self` stands for an object of JavaScript. */
    function stands_for_object(self) {
        return own(self, JSOBJ);
    }

    dict.$getitem = function (self, key, ignore_missing) {
        if (stands_for_object(self)) {
            return original.getitem(self, key, ignore_missing);
        }
        const value = get(self, key);
        if (value !== MISSING) {
            return value;
        }
        if (!ignore_missing) {
            const type = $B.get_class(self);
            if (type !== dict) {
                const missing = $B.$getattr(type, "__missing__", NONE);
                if (missing !== NONE) {
                    return $B.$call(missing, self, key);
                }
            }
        }
        return key_error(key);
    };
    dict.$setitem = function (self, key, value) {
        if (stands_for_object(self)) {
            return original.setitem(self, key, value);
        }
        set(self, key, value);
        return NONE;
    };
    dict.$delitem = $B.dict_delitem = function (self, key) {
        if (stands_for_object(self)) {
            return original.delitem(self, key);
        }
        if (remove(self, key) === MISSING) {
            key_error(key);
        }
        return NONE;
    };
    dict.$contains = (self, key) => get(self, key) !== MISSING;
    dict.$delete_string = (self, key) => {
        remove(self, key);
    };
    dict.$lookup_by_key = function (self, key) {
        const value = get(self, key);
        return value === MISSING ? { found: false } : { found: true, key, value };
    };
    dict.$iter_items = iterate;
    dict.$iter_items_reversed = iterate_back;
    dict.$set_string_no_duplicate = function (self, keys, name, value) {
        if (typeof name !== "string") {
            $B.RAISE(_b_.TypeError, "keywords must be strings");
        }
        if (keys.has(name)) {
            $B.RAISE(_b_.TypeError, `dict() got multiple values for keyword argument '${name}'`);
        }
        set(self, name, value);
        keys.add(name);
    };
    $B.hasOnlyStringKeys = (self) =>
        self[ENTRIES] === undefined || Array.from(self[ENTRIES].all.keys()).every((key) => typeof key === "string");

    $B.str_dict_contains = (self, name) => (self[ENTRIES] === undefined ? own(self, name) : get(self, name) !== MISSING);
    $B.str_dict_get = function (self, name, otherwise) {
        const value = self[ENTRIES] === undefined ? (own(self, name) ? self[name] : MISSING) : get(self, name);
        return value === MISSING && otherwise !== undefined ? otherwise : value;
    };
    $B.str_dict_set = function (self, name, value) {
        if (self[ENTRIES] === undefined && !is_awkward(name)) {
            self[name] = value;
        } else {
            set(self, name, value);
        }
    };
    $B.str_dict_del = $B.str_dict_pop = (self, name) => remove(self, name);
    $B.str_dict_empty = (self) => length(self) === 0;
    $B.str_dict_length = length;

    $B.mend.slots(dict, {
        tp_richcompare(self, other, op) {
            if (!$B.is_dict(other) || (op !== "__eq__" && op !== "__ne__")) {
                return _b_.NotImplemented;
            }
            return equal(self, other) === (op === "__eq__");
        },
        mp_length: length,
        mp_subscript: (self, key) => dict.$getitem(self, key),
        sq_contains: (self, key) => dict.$contains(self, key),
    });

    /** Gives the pairs of a mapping, or of an iterable of pairs, one after the other. */
    function* pairs_of(source) {
        if ($B.exact_type(source, dict)) {
            yield* iterate(source);
            return;
        }
        const keys = $B.$getattr(source, "keys", MISSING);
        if (keys !== MISSING) {
            const type = $B.get_class(source);
            const getitem = $B.$getattr(type, "__getitem__");
            for (const key of $B.make_js_iterator($B.$call(keys))) {
                yield { key, value: $B.$call(getitem, source, key) };
            }
            return;
        }
        let number = 0;
        for (const item of $B.make_js_iterator(source)) {
            let pair;
            try {
                pair = Array.from($B.make_js_iterator(item));
            } catch (error) {
                if (!$B.is_exc(error, _b_.TypeError)) {
                    throw error;
                }
                $B.RAISE(_b_.TypeError, `cannot convert dictionary update sequence element #${number} to a sequence`);
            }
            if (pair.length !== 2) {
                $B.RAISE(
                    _b_.ValueError,
                    `dictionary update sequence element #${number} has length ${pair.length}; 2 is required`,
                );
            }
            yield { key: pair[0], value: pair[1] };
            number += 1;
        }
    }

    $B.mend.methods(dict, {
        clear(self) {
            delete self[ENTRIES];
            for (const name of Object.keys(self)) {
                delete self[name];
            }
            self[VERSION] = (self[VERSION] ?? 0) + 1;
            return NONE;
        },
        copy,
        get() {
            const { self, key, otherwise } = $B.args(
                "get", 3, { self: null, key: null, otherwise: null }, arguments, { otherwise: NONE });
            if (stands_for_object(self)) {
                return own(self[JSOBJ], key) ? original.getitem(self, key) : otherwise;
            }
            const value = get(self, key);
            return value === MISSING ? otherwise : value;
        },
        pop() {
            const { self, key, otherwise } = $B.args(
                "pop", 3, { self: null, key: null, otherwise: null }, arguments, { otherwise: MISSING });
            const value = remove(self, key);
            if (value !== MISSING) {
                return value;
            }
            return otherwise === MISSING ? key_error(key) : otherwise;
        },
        popitem(self) {
            const last = Array.from(self[ENTRIES] === undefined ? Object.keys(self) : self[ENTRIES].all.keys()).pop();
            if (last === undefined) {
                $B.RAISE(_b_.KeyError, "popitem(): dictionary is empty");
            }
            const key = self[ENTRIES] === undefined ? last : self[ENTRIES].all.get(last).key;
            return $B.fast_tuple([key, remove(self, key)]);
        },
        setdefault() {
            const { self, key, otherwise } = $B.args(
                "setdefault", 3, { self: null, key: null, otherwise: null }, arguments, { otherwise: NONE });
            const value = get(self, key);
            if (value !== MISSING) {
                return value;
            }
            set(self, key, otherwise);
            return otherwise;
        },
        update() {
            const { self, args, kw } = $B.args("update", 1, { self: null }, arguments, null, "args", "kw");
            if (args.length > 1) {
                $B.RAISE(_b_.TypeError, `update expected at most 1 argument, got ${args.length}`);
            }
            if (args.length === 1 && args[0] !== self) {
                for (const { key, value } of pairs_of(args[0])) {
                    dict.$setitem(self, key, value);
                }
            }
            for (const { key, value } of iterate(kw)) {
                dict.$setitem(self, key, value);
            }
            return NONE;
        },
    });

    $B.dict_get = dict.tp_funcs.get;

    $B.mend.slots(dict, {
        tp_init() {
            const { self, args, kw } = $B.args("dict", 1, { self: null }, arguments, null, "args", "kw");
            if (args.length > 1) {
                $B.RAISE(_b_.TypeError, `dict expected at most 1 argument, got ${args.length}`);
            }
            if (args.length === 1) {
                for (const { key, value } of pairs_of(args[0])) {
                    dict.$setitem(self, key, value);
                }
            }
            for (const { key, value } of iterate(kw)) {
                dict.$setitem(self, key, value);
            }
            return NONE;
        },
    });

    /** Views: what they show, in the order of the dictionary. */
    const shown = {
        dict_keys: ({ key }) => key,
        dict_values: ({ value }) => value,
        dict_items: ({ key, value }) => $B.fast_tuple([key, value]),
    };

    const list_of = (view, show) => Array.from(iterate(view.dict_obj), show);
    const set_of = (iterable) => $B.$call(_b_.set, iterable);

    for (const [name, show] of Object.entries(shown)) {
        $B.mend.slots($B[name], {
            tp_repr: (self) => `${name}(${_b_.repr($B.$list(list_of(self, show)))})`,
        });
    }

    // Operators of the views of keys and items: some are missing, some name a variable that is not there.
    for (const view of [$B.dict_keys, $B.dict_items]) {
        const with_sets = (method) => (self, other) => {
            const is_iterable = $B.$getattr($B.get_class(other), "__iter__", MISSING) !== MISSING;
            if (!is_iterable) {
                return _b_.NotImplemented;
            }
            return $B.$call($B.$getattr(set_of(self), method), set_of(other));
        };
        $B.mend.slots(view, {
            nb_and: with_sets("intersection"),
            nb_or: with_sets("union"),
            nb_xor: with_sets("symmetric_difference"),
            nb_subtract: with_sets("difference"),
        });
    }
    $B.mend.slots($B.dict_keys, { sq_contains: (self, key) => get(self.dict_obj, key) !== MISSING });
    $B.mend.slots($B.dict_items, {
        sq_contains(self, item) {
            if (!$B.is_tuple(item) || item.length !== 2) {
                return false;
            }
            const value = get(self.dict_obj, item[0]);
            return value !== MISSING && $B.is_or_equals(value, item[1]);
        },
    });

    function compare_views(self, other, op) {
        if (!$B.$isinstance(other, [_b_.set, _b_.frozenset, $B.dict_keys, $B.dict_items])) {
            return _b_.NotImplemented;
        }
        return $B.rich_comp(op, set_of(self), set_of(other));
    }
    $B.mend.slots($B.dict_keys, { tp_richcompare: compare_views });
    $B.mend.slots($B.dict_items, { tp_richcompare: compare_views });

    // A generator is in step with the frames of its caller only where its own __next__ is called.
    const init = dict.tp_init;
    dict.tp_init = function (self, first) {
        if (arguments.length === 2 && $B.exact_type(first, $B.generator)) {
            return init(self, $B.$list([...$B.make_js_iterator(first)]));
        }
        return init.apply(this, arguments);
    };
})(__BRYTHON__);
