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
