"""Queues with two ends, for `collections`."""


class deque:
    def __init__(self, iterable=(), maxlen=None):
        if maxlen is not None:
            if not isinstance(maxlen, int):
                raise TypeError('an integer is required')
            if maxlen < 0:
                raise ValueError('maxlen must be non-negative')
        self._maxlen = maxlen
        self._items = []
        # How many items at the beginning of the list are gone: to take one away costs the same however many there are.
        self._gone = 0
        self.extend(iterable)

    @property
    def maxlen(self):
        return self._maxlen

    def _list(self):
        """The items as a list of their own."""
        if self._gone:
            del self._items[:self._gone]
            self._gone = 0
        return self._items

    def __len__(self):
        return len(self._items) - self._gone

    def append(self, x):
        self._items.append(x)
        if self._maxlen is not None and len(self) > self._maxlen:
            self.popleft()

    def appendleft(self, x):
        if self._maxlen is not None and len(self) >= self._maxlen:
            if self._maxlen == 0:
                return
            self._items.pop()
        if self._gone:
            self._gone -= 1
            self._items[self._gone] = x
        else:
            self._items.insert(0, x)

    def extend(self, iterable):
        for x in list(iterable) if iterable is self else iterable:
            self.append(x)

    def extendleft(self, iterable):
        for x in list(iterable) if iterable is self else iterable:
            self.appendleft(x)

    def pop(self):
        if not len(self):
            raise IndexError('pop from an empty deque')
        return self._items.pop()

    def popleft(self):
        if not len(self):
            raise IndexError('pop from an empty deque')
        value = self._items[self._gone]
        self._items[self._gone] = None
        self._gone += 1
        if self._gone > 32 and self._gone * 2 > len(self._items):
            self._list()
        return value

    def clear(self):
        self._items = []
        self._gone = 0

    def copy(self):
        return self.__class__(self, self._maxlen)

    __copy__ = copy

    def count(self, x):
        return self._list().count(x)

    def index(self, x, *bounds):
        try:
            return self._list().index(x, *bounds)
        except ValueError:
            raise ValueError(f'{x!r} is not in deque') from None

    def insert(self, i, x):
        if self._maxlen is not None and len(self) >= self._maxlen:
            raise IndexError('deque already at its maximum size')
        self._list().insert(i, x)

    def remove(self, value):
        try:
            self._list().remove(value)
        except ValueError:
            raise ValueError('deque.remove(x): x not in deque') from None

    def reverse(self):
        self._list().reverse()

    def rotate(self, n=1):
        items = self._list()
        if items:
            n %= len(items)
            if n:
                self._items = items[-n:] + items[:-n]

    def __iter__(self):
        size = len(self)
        for i in range(size):
            if len(self) != size:
                raise RuntimeError('deque mutated during iteration')
            yield self._items[self._gone + i]

    def __reversed__(self):
        return reversed(list(self._list()))

    def __contains__(self, x):
        return x in self._list()

    def _at(self, index):
        size = len(self)
        at = index.__index__()
        if at < 0:
            at += size
        if not 0 <= at < size:
            raise IndexError('deque index out of range')
        return self._gone + at

    def __getitem__(self, index):
        return self._items[self._at(index)]

    def __setitem__(self, index, value):
        self._items[self._at(index)] = value

    def __delitem__(self, index):
        del self._items[self._at(index)]

    def __bool__(self):
        return len(self) > 0

    def __repr__(self):
        shown = ['[...]' if x is self else repr(x) for x in self]
        end = '' if self._maxlen is None else f', maxlen={self._maxlen}'
        return f'{self.__class__.__name__}([{", ".join(shown)}]{end})'

    __hash__ = None

    def __eq__(self, other):
        return self._list() == other._list() if isinstance(other, deque) else NotImplemented

    def __lt__(self, other):
        return self._list() < other._list() if isinstance(other, deque) else NotImplemented

    def __le__(self, other):
        return self._list() <= other._list() if isinstance(other, deque) else NotImplemented

    def __gt__(self, other):
        return self._list() > other._list() if isinstance(other, deque) else NotImplemented

    def __ge__(self, other):
        return self._list() >= other._list() if isinstance(other, deque) else NotImplemented

    def __add__(self, other):
        if not isinstance(other, deque):
            return NotImplemented
        return self.__class__(self._list() + other._list(), self._maxlen)

    def __iadd__(self, other):
        self.extend(other)
        return self

    def __mul__(self, n):
        return self.__class__(self._list() * n, self._maxlen)

    __rmul__ = __mul__

    def __reduce__(self):
        return self.__class__, (list(self), self._maxlen)

    @classmethod
    def __class_getitem__(cls, item):
        return cls
