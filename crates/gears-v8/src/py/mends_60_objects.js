// Objects: what an object shows, and attributes that are missing.
(function ($B) {
    "use strict";

    const _b_ = $B.builtins;

    // As CPython shows an object, without an address: it would not be the same twice.
    $B.mend.slots(_b_.object, {
        tp_repr(self) {
            const type = $B.get_class(self);
            const module = $B.get_from_dict(type, "__module__", $B.NULL);
            const name = $B.get_from_dict(type, "__qualname__", $B.NULL);
            const shown = typeof name === "string" ? name : $B.class_name(self);
            return typeof module === "string" && module !== "builtins" ? `<${module}.${shown} object>` : `<${shown} object>`;
        },
    });

    const original_bool = $B.$bool;
    // A range without items is false.
    $B.$bool = (object, ...more) =>
        (object?.ob_type === _b_.range ? _b_.range.mp_length(object) > 0 : original_bool(object, ...more));

    // `int | None` and Optional[int] are the same.
    const union = $B.UnionType.$factory;
    const is_none = (type) => type === _b_.None || type === $B.NoneType;
    $B.UnionType.$factory = (types) => union(types.map((type) => (is_none(type) ? $B.NoneType : type)));
    const union_repr = $B.UnionType.tp_repr;
    $B.mend.slots($B.UnionType, {
        tp_repr: (self) => union_repr(self).replace(/\bNoneType\b/g, "None"),
        tp_richcompare(self, other, op) {
            if (!$B.$isinstance(other, $B.UnionType) || (op !== "__eq__" && op !== "__ne__")) {
                return _b_.NotImplemented;
            }
            const has = (all, type) => Array.from(all).some((one) => $B.is_or_equals(one, type));
            const same = Array.from(self.args).every((type) => has(other.args, type))
                && Array.from(other.args).every((type) => has(self.args, type));
            return same === (op === "__eq__");
        },
    });

    $B.attr_error = function (name, object) {
        const what = $B.is_type(object) ? `type object '${object.tp_name}'`
            : $B.get_class(object) === $B.module ? `module '${$B.module_getattr(object, "__name__")}'`
                : `'${$B.class_name(object)}' object`;
        const error = $B.$call(_b_.AttributeError, `${what} has no attribute '${name}'`);
        error.name = name;
        error.obj = object;
        return error;
    };
})(__BRYTHON__);
