"""Classes from their annotations. The standard library's asks `inspect`, which takes long to load, for what is known here."""
import copy
import types

__all__ = ['FrozenInstanceError', 'InitVar', 'KW_ONLY', 'MISSING', 'Field', 'asdict', 'astuple', 'dataclass', 'field',
           'fields', 'is_dataclass', 'make_dataclass', 'replace']

_FIELDS = '__dataclass_fields__'
_PARAMS = '__dataclass_params__'


class FrozenInstanceError(AttributeError):
    pass


class _Missing:
    def __repr__(self):
        return '<dataclasses._MISSING_TYPE object>'


class _FactoryMark:
    def __repr__(self):
        return '<factory>'


class _KwOnly:
    pass


MISSING = _Missing()
KW_ONLY = _KwOnly()
_FACTORY = _FactoryMark()


class InitVar:
    """What is handed to `__init__` and `__post_init__` alone."""

    def __init__(self, type):
        self.type = type

    def __repr__(self):
        name = self.type.__name__ if isinstance(self.type, type) else repr(self.type)
        return f'dataclasses.InitVar[{name}]'

    def __class_getitem__(cls, type):
        return InitVar(type)


class Field:
    def __init__(self, default, default_factory, init, repr, hash, compare, metadata, kw_only):
        self.name = None
        self.type = None
        self.default = default
        self.default_factory = default_factory
        self.init = init
        self.repr = repr
        self.hash = hash
        self.compare = compare
        self.metadata = types.MappingProxyType({} if metadata is None else metadata)
        self.kw_only = kw_only
        self._kind = 'field'

    def __repr__(self):
        return (f'Field(name={self.name!r},type={self.type!r},default={self.default!r},'
                f'default_factory={self.default_factory!r},init={self.init!r},repr={self.repr!r},hash={self.hash!r},'
                f'compare={self.compare!r},metadata={self.metadata!r},kw_only={self.kw_only!r})')


def field(*, default=MISSING, default_factory=MISSING, init=True, repr=True, hash=None, compare=True, metadata=None,
          kw_only=MISSING):
    if default is not MISSING and default_factory is not MISSING:
        raise ValueError('cannot specify both default and default_factory')
    return Field(default, default_factory, init, repr, hash, compare, metadata, kw_only)


class _Params:
    def __init__(self, **params):
        self.__dict__.update(params)


def _is_of(annotation, name, kind):
    """Whether an annotation, which may be a text, is `name` of this module or of typing."""
    if isinstance(annotation, str):
        return annotation.split('[')[0].split('.')[-1].strip() == name
    return kind(annotation)


def _is_class_var(annotation):
    import sys
    typing = sys.modules.get('typing')
    if typing is None:
        return _is_of(annotation, 'ClassVar', lambda a: False)
    return _is_of(annotation, 'ClassVar',
                  lambda a: a is typing.ClassVar or getattr(a, '__origin__', None) is typing.ClassVar)


def _own_field(cls, name, annotation, kw_only):
    default = getattr(cls, name, MISSING)
    if isinstance(default, types.MemberDescriptorType):
        default = MISSING
    found = default if isinstance(default, Field) else field(default=default)
    found.name = name
    found.type = annotation
    if _is_class_var(annotation):
        found._kind = 'class'
    elif _is_of(annotation, 'InitVar', lambda a: a is InitVar or isinstance(a, InitVar)):
        found._kind = 'init'
    if found._kind != 'field' and found.default_factory is not MISSING:
        raise TypeError(f'field {name} cannot have a default factory')
    if found.kw_only is MISSING:
        found.kw_only = kw_only
    if found._kind == 'field' and found.default is not MISSING and isinstance(found.default, (list, dict, set)):
        raise ValueError(f'mutable default {type(found.default)} for field {name} is not allowed: use default_factory')
    return found


def _init(cls, all_fields, frozen):
    """Makes `__init__` from its text, so that its errors are those of any function."""
    names = {'_MISSING': MISSING, '_FACTORY': _FACTORY, '_set': object.__setattr__}
    positional = [f for f in all_fields if f.init and not f.kw_only]
    keywords = [f for f in all_fields if f.init and f.kw_only]
    seen_default = None
    for f in positional:
        if f.default is not MISSING or f.default_factory is not MISSING:
            seen_default = f.name
        elif seen_default:
            raise TypeError(f'non-default argument {f.name!r} follows default argument')

    def parameter(f):
        if f.default is not MISSING:
            names[f'_default_{f.name}'] = f.default
            return f'{f.name}=_default_{f.name}'
        return f'{f.name}=_FACTORY' if f.default_factory is not MISSING else f.name

    me = 'self' if all(f.name != 'self' for f in all_fields) else '__dataclass_self__'
    parameters = [me] + [parameter(f) for f in positional]
    if keywords:
        parameters += ['*'] + [parameter(f) for f in keywords]
    body = []
    for f in all_fields:
        if f._kind == 'init':
            continue
        value = f.name
        if f.default_factory is not MISSING:
            names[f'_factory_{f.name}'] = f.default_factory
            value = f'_factory_{f.name}() if {f.name} is _FACTORY else {f.name}' if f.init else f'_factory_{f.name}()'
        elif not f.init:
            continue
        body.append(f'_set({me}, {f.name!r}, {value})' if frozen else f'{me}.{f.name} = {value}')
    if hasattr(cls, '__post_init__'):
        given = ', '.join(f.name for f in all_fields if f._kind == 'init')
        body.append(f'{me}.__post_init__({given})')
    text = f'def __init__({", ".join(parameters)}):\n ' + '\n '.join(body or ['pass'])
    exec(text, names)
    made = names['__init__']
    made.__qualname__ = f'{cls.__qualname__}.__init__'
    return made


def _put(cls, name, method):
    method.__name__ = name
    method.__qualname__ = f'{cls.__qualname__}.{name}'
    setattr(cls, name, method)


def _process(cls, init, repr, eq, order, unsafe_hash, frozen, match_args, kw_only, slots):
    all_fields = {}
    frozen_bases = [getattr(base, _PARAMS).frozen for base in cls.__mro__[1:] if hasattr(base, _FIELDS)]
    for base in reversed(cls.__mro__[1:]):
        for f in getattr(base, _FIELDS, {}).values():
            all_fields[f.name] = f
    if frozen_bases and any(frozen_bases) and not frozen:
        raise TypeError('cannot inherit non-frozen dataclass from a frozen one')
    if frozen_bases and frozen and not all(frozen_bases):
        raise TypeError('cannot inherit frozen dataclass from a non-frozen one')
    annotations = cls.__annotations__ if '__annotations__' in cls.__dict__ or '__annotate_func__' in cls.__dict__ else {}
    keywords_from_here = kw_only
    for name, annotation in dict(annotations).items():
        if annotation is KW_ONLY or (isinstance(annotation, str) and annotation.split('.')[-1] == 'KW_ONLY'):
            keywords_from_here = True
            continue
        own = _own_field(cls, name, annotation, keywords_from_here)
        all_fields[name] = own
        if isinstance(cls.__dict__.get(name), Field):
            if own.default is MISSING:
                delattr(cls, name)
            else:
                setattr(cls, name, own.default)
    for name, value in list(cls.__dict__.items()):
        if isinstance(value, Field) and name not in annotations:
            raise TypeError(f'{name!r} is a field but has no type annotation')
    setattr(cls, _FIELDS, all_fields)
    setattr(cls, _PARAMS, _Params(init=init, repr=repr, eq=eq, order=order, unsafe_hash=unsafe_hash, frozen=frozen))
    shown = [f for f in all_fields.values() if f._kind == 'field']
    own_names = set(cls.__dict__)

    if init:
        in_init = [f for f in all_fields.values() if f._kind != 'class']
        cls.__init__ = _init(cls, in_init, frozen)
    if repr and '__repr__' not in own_names:
        names = [f.name for f in shown if f.repr]
        busy = set()

        def __repr__(self):
            if id(self) in busy:
                return '...'
            busy.add(id(self))
            try:
                parts = ', '.join([f'{name}={getattr(self, name)!r}' for name in names])
            finally:
                busy.discard(id(self))
            return f'{self.__class__.__qualname__}({parts})'
        _put(cls, '__repr__', __repr__)

    compared = [f.name for f in shown if f.compare]

    def key(self):
        return tuple([getattr(self, name) for name in compared])

    if eq and '__eq__' not in own_names:
        def __eq__(self, other):
            return key(self) == key(other) if other.__class__ is self.__class__ else NotImplemented
        _put(cls, '__eq__', __eq__)
    if order:
        if not eq:
            raise ValueError('eq must be true if order is true')

        def __lt__(self, other):
            return key(self) < key(other) if other.__class__ is self.__class__ else NotImplemented

        def __le__(self, other):
            return key(self) <= key(other) if other.__class__ is self.__class__ else NotImplemented

        def __gt__(self, other):
            return key(self) > key(other) if other.__class__ is self.__class__ else NotImplemented

        def __ge__(self, other):
            return key(self) >= key(other) if other.__class__ is self.__class__ else NotImplemented
        for method in (__lt__, __le__, __gt__, __ge__):
            if method.__name__ in own_names:
                raise TypeError(f'Cannot overwrite attribute {method.__name__} in class {cls.__name__}. '
                                'Consider using functools.total_ordering')
            _put(cls, method.__name__, method)
    if frozen:
        names = {f.name for f in shown}

        def __setattr__(self, name, value):
            if type(self) is cls or name in names:
                raise FrozenInstanceError(f'cannot assign to field {name!r}')
            super(cls, self).__setattr__(name, value)

        def __delattr__(self, name):
            if type(self) is cls or name in names:
                raise FrozenInstanceError(f'cannot delete field {name!r}')
            super(cls, self).__delattr__(name)
        _put(cls, '__setattr__', __setattr__)
        _put(cls, '__delattr__', __delattr__)

    hashed = [f.name for f in shown if (f.compare if f.hash is None else f.hash)]
    has_own_hash = '__hash__' in own_names and not (cls.__dict__['__hash__'] is None and '__eq__' in own_names)
    if unsafe_hash or (eq and frozen and not has_own_hash):
        if unsafe_hash and has_own_hash and cls.__dict__['__hash__'] is not None:
            raise TypeError(f'Cannot overwrite attribute __hash__ in class {cls.__name__}')

        def __hash__(self):
            return hash(tuple([getattr(self, name) for name in hashed]))
        _put(cls, '__hash__', __hash__)
    elif eq and not has_own_hash:
        cls.__hash__ = None
    if match_args and '__match_args__' not in own_names:
        cls.__match_args__ = tuple(f.name for f in all_fields.values() if f.init and not f.kw_only and f._kind != 'class')
    if not cls.__dict__.get('__doc__'):
        cls.__doc__ = f'{cls.__name__}({", ".join(f.name for f in shown if f.init)})'
    return cls


def dataclass(cls=None, /, *, init=True, repr=True, eq=True, order=False, unsafe_hash=False, frozen=False, match_args=True,
              kw_only=False, slots=False, weakref_slot=False):
    def wrap(cls):
        return _process(cls, init, repr, eq, order, unsafe_hash, frozen, match_args, kw_only, slots)
    return wrap if cls is None else wrap(cls)


def fields(class_or_instance):
    try:
        found = getattr(class_or_instance, _FIELDS)
    except AttributeError:
        raise TypeError('must be called with a dataclass type or instance') from None
    return tuple(f for f in found.values() if f._kind == 'field')


def is_dataclass(obj):
    return hasattr(obj if isinstance(obj, type) else type(obj), _FIELDS)


def _is_instance(obj):
    return hasattr(type(obj), _FIELDS)


def _inner(obj, of_instance):
    """A copy of what a field holds, with instances of data classes turned by `of_instance`."""
    if _is_instance(obj):
        return of_instance(obj)
    if isinstance(obj, tuple) and hasattr(obj, '_fields'):
        return type(obj)(*[_inner(v, of_instance) for v in obj])
    if isinstance(obj, (list, tuple)):
        return type(obj)([_inner(v, of_instance) for v in obj])
    if isinstance(obj, dict):
        pairs = [(_inner(k, of_instance), _inner(v, of_instance)) for k, v in obj.items()]
        if hasattr(type(obj), 'default_factory'):
            made = type(obj)(obj.default_factory)
            made.update(pairs)
            return made
        return type(obj)(pairs)
    return copy.deepcopy(obj)


def asdict(obj, *, dict_factory=dict):
    if not _is_instance(obj):
        raise TypeError('asdict() should be called on dataclass instances')

    def turn(o):
        return dict_factory([(f.name, _inner(getattr(o, f.name), turn)) for f in fields(o)])
    return turn(obj)


def astuple(obj, *, tuple_factory=tuple):
    if not _is_instance(obj):
        raise TypeError('astuple() should be called on dataclass instances')

    def turn(o):
        return tuple_factory([_inner(getattr(o, f.name), turn) for f in fields(o)])
    return turn(obj)


def replace(obj, /, **changes):
    if not _is_instance(obj):
        raise TypeError('replace() should be called on dataclass instances')
    for f in getattr(obj, _FIELDS).values():
        if f._kind == 'class':
            continue
        if not f.init:
            if f.name in changes:
                raise ValueError(f'field {f.name} is declared with init=False, it cannot be specified with replace()')
            continue
        if f.name not in changes:
            if f._kind == 'init':
                if f.default is MISSING:
                    raise ValueError(f'InitVar {f.name!r} must be specified with replace()')
            else:
                changes[f.name] = getattr(obj, f.name)
    return obj.__class__(**changes)


def make_dataclass(cls_name, fields, *, bases=(), namespace=None, **options):
    annotations = {}
    values = dict(namespace or {})
    for item in fields:
        if isinstance(item, str):
            annotations[item] = 'typing.Any'
        elif len(item) == 2:
            annotations[item[0]] = item[1]
        else:
            annotations[item[0]] = item[1]
            values[item[0]] = item[2]
    cls = type(cls_name, bases, values)
    cls.__annotations__ = annotations
    return dataclass(cls, **options)
