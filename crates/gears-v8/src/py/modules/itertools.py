"""Iterators for loops. Brython's lack arguments, and its groups are wrong."""

__all__ = ['accumulate', 'batched', 'chain', 'combinations', 'combinations_with_replacement', 'compress', 'count', 'cycle',
           'dropwhile', 'filterfalse', 'groupby', 'islice', 'pairwise', 'permutations', 'product', 'repeat', 'starmap',
           'takewhile', 'tee', 'zip_longest']

_MISSING = object()


def accumulate(iterable, func=None, *, initial=None):
    def steps():
        it = iter(iterable)
        total = initial
        if initial is None:
            total = next(it, _MISSING)
            if total is _MISSING:
                return
        yield total
        for element in it:
            total = total + element if func is None else func(total, element)
            yield total
    return steps()


def batched(iterable, n, *, strict=False):
    if n < 1:
        raise ValueError('n must be at least one')

    def steps():
        it = iter(iterable)
        while batch := tuple(islice(it, n)):
            if strict and len(batch) != n:
                raise ValueError('batched(): incomplete batch')
            yield batch
    return steps()


class chain:
    def __init__(self, *iterables):
        self._it = (element for iterable in iterables for element in iterable)

    @classmethod
    def from_iterable(cls, iterables):
        made = cls()
        made._it = (element for iterable in iterables for element in iterable)
        return made

    def __iter__(self):
        return self

    def __next__(self):
        return next(self._it)


def combinations(iterable, r):
    pool = tuple(iterable)
    n = len(pool)
    if r < 0:
        raise ValueError('r must be non-negative')

    def steps():
        if r > n:
            return
        indices = list(range(r))
        yield tuple(pool[i] for i in indices)
        while True:
            for i in reversed(range(r)):
                if indices[i] != i + n - r:
                    break
            else:
                return
            indices[i] += 1
            for j in range(i + 1, r):
                indices[j] = indices[j - 1] + 1
            yield tuple(pool[i] for i in indices)
    return steps()


def combinations_with_replacement(iterable, r):
    pool = tuple(iterable)
    n = len(pool)
    if r < 0:
        raise ValueError('r must be non-negative')

    def steps():
        if not n and r:
            return
        indices = [0] * r
        yield tuple(pool[i] for i in indices)
        while True:
            for i in reversed(range(r)):
                if indices[i] != n - 1:
                    break
            else:
                return
            indices[i:] = [indices[i] + 1] * (r - i)
            yield tuple(pool[i] for i in indices)
    return steps()


def compress(data, selectors):
    return (element for element, wanted in zip(data, selectors) if wanted)


class count:
    def __init__(self, start=0, step=1):
        self._next = start
        self._step = step

    def __iter__(self):
        return self

    def __next__(self):
        value = self._next
        self._next = value + self._step
        return value

    def __repr__(self):
        if self._step == 1:
            return f'count({self._next!r})'
        return f'count({self._next!r}, {self._step!r})'


def cycle(iterable):
    def steps():
        saved = []
        for element in iterable:
            yield element
            saved.append(element)
        while saved:
            for element in saved:
                yield element
    return steps()


def dropwhile(predicate, iterable):
    def steps():
        it = iter(iterable)
        for element in it:
            if not predicate(element):
                yield element
                break
        for element in it:
            yield element
    return steps()


def filterfalse(predicate, iterable):
    if predicate is None:
        predicate = bool
    return (element for element in iterable if not predicate(element))


class groupby:
    """Each group shares the iterator with all others: it ends when the next one is asked for."""

    def __init__(self, iterable, key=None):
        self._it = iter(iterable)
        self._key = key
        self._wanted = self._found = _MISSING
        self._value = _MISSING
        self._group = None

    def __iter__(self):
        return self

    def _step(self):
        self._value = next(self._it)
        self._found = self._value if self._key is None else self._key(self._value)

    def __next__(self):
        self._group = object()
        while self._found is self._wanted or self._found == self._wanted:
            self._step()
        self._wanted = self._found
        return (self._found, self._members(self._wanted, self._group))

    def _members(self, wanted, group):
        while self._group is group and (self._found is wanted or self._found == wanted):
            yield self._value
            if self._group is not group:
                return
            try:
                self._step()
            except StopIteration:
                self._found = _MISSING
                self._wanted = _MISSING
                return


def islice(iterable, *args):
    s = slice(*args)
    for name, value in (('Start', s.start), ('Stop', s.stop), ('Step', s.step)):
        if value is not None and (not isinstance(value, int) or value < (1 if name == 'Step' else 0)):
            if name == 'Step':
                raise ValueError('Step for islice() must be a positive integer or None.')
            if len(args) == 1:
                raise ValueError('Stop argument for islice() must be None or an integer: 0 <= x <= sys.maxsize.')
            raise ValueError('Indices for islice() must be None or an integer: 0 <= x <= sys.maxsize.')

    def steps():
        start = 0 if s.start is None else s.start
        stop = s.stop
        step = 1 if s.step is None else s.step
        wanted = start
        at = 0
        if stop is not None and stop <= start:
            it = iter(iterable)
            while at < stop and next(it, _MISSING) is not _MISSING:
                at += 1
            return
        for element in iterable:
            if at == wanted:
                yield element
                wanted += step
            at += 1
            if stop is not None and at >= stop:
                return
    return steps()


def pairwise(iterable):
    def steps():
        it = iter(iterable)
        last = next(it, _MISSING)
        if last is _MISSING:
            return
        for element in it:
            yield (last, element)
            last = element
    return steps()


def permutations(iterable, r=None):
    pool = tuple(iterable)
    n = len(pool)
    r = n if r is None else r

    def steps():
        if r > n:
            return
        indices = list(range(n))
        cycles = list(range(n, n - r, -1))
        yield tuple(pool[i] for i in indices[:r])
        while n:
            for i in reversed(range(r)):
                cycles[i] -= 1
                if cycles[i] == 0:
                    indices[i:] = indices[i + 1:] + indices[i:i + 1]
                    cycles[i] = n - i
                else:
                    j = cycles[i]
                    indices[i], indices[-j] = indices[-j], indices[i]
                    yield tuple(pool[i] for i in indices[:r])
                    break
            else:
                return
    return steps()


def product(*iterables, repeat=1):
    pools = [tuple(pool) for pool in iterables] * repeat

    def steps():
        if any(not pool for pool in pools):
            return
        at = [0] * len(pools)
        while True:
            yield tuple(pool[i] for pool, i in zip(pools, at))
            for k in reversed(range(len(pools))):
                at[k] += 1
                if at[k] < len(pools[k]):
                    break
                at[k] = 0
            else:
                return
    return steps()


class repeat:
    def __init__(self, object, times=None):
        self._object = object
        self._times = None if times is None else max(0, times)

    def __iter__(self):
        return self

    def __next__(self):
        if self._times is not None:
            if self._times == 0:
                raise StopIteration
            self._times -= 1
        return self._object

    def __length_hint__(self):
        return self._times

    def __repr__(self):
        return f'repeat({self._object!r})' if self._times is None else f'repeat({self._object!r}, {self._times})'


def starmap(function, iterable):
    return (function(*args) for args in iterable)


def takewhile(predicate, iterable):
    def steps():
        for element in iterable:
            if not predicate(element):
                return
            yield element
    return steps()


def tee(iterable, n=2):
    it = iter(iterable)
    waiting = [[] for _ in range(n)]

    def steps(mine):
        while True:
            if not mine:
                element = next(it, _MISSING)
                if element is _MISSING:
                    return
                for queue in waiting:
                    queue.append(element)
            yield mine.pop(0)
    return tuple(steps(queue) for queue in waiting)


def zip_longest(*iterables, fillvalue=None):
    def steps():
        iterators = [iter(iterable) for iterable in iterables]
        left = len(iterators)
        while left:
            row = []
            for i, it in enumerate(iterators):
                value = fillvalue if it is None else next(it, _MISSING)
                if value is _MISSING:
                    left -= 1
                    if not left:
                        return
                    iterators[i] = None
                    value = fillvalue
                row.append(value)
            yield tuple(row)
    return steps()
