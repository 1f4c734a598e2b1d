"""Digests of bytes."""
import _hash

_SIZES = {'md5': (16, 64), 'sha1': (20, 64), 'sha224': (28, 64), 'sha256': (32, 64), 'sha384': (48, 128), 'sha512': (64, 128)}

algorithms_guaranteed = algorithms_available = set(_SIZES)


class _Hash:
    def __init__(self, name, data):
        self.name = name
        self.digest_size, self.block_size = _SIZES[name]
        self._parts = []
        self.update(data)

    def update(self, data):
        if isinstance(data, str):
            raise TypeError('Strings must be encoded before hashing')
        self._parts.append(bytes(data))

    def digest(self):
        self._parts = [b''.join(self._parts)]
        return _hash.digest(self.name, self._parts[0])

    def hexdigest(self):
        return self.digest().hex()

    def copy(self):
        return _Hash(self.name, b''.join(self._parts))

    def __repr__(self):
        return f'<{self.name} _hashlib.HASH object>'


def new(name, data=b'', *, usedforsecurity=True):
    name = name.lower().replace('-', '')
    if name not in _SIZES:
        raise ValueError(f'unsupported hash type {name}')
    return _Hash(name, data)


def md5(data=b'', *, usedforsecurity=True):
    return _Hash('md5', data)


def sha1(data=b'', *, usedforsecurity=True):
    return _Hash('sha1', data)


def sha224(data=b'', *, usedforsecurity=True):
    return _Hash('sha224', data)


def sha256(data=b'', *, usedforsecurity=True):
    return _Hash('sha256', data)


def sha384(data=b'', *, usedforsecurity=True):
    return _Hash('sha384', data)


def sha512(data=b'', *, usedforsecurity=True):
    return _Hash('sha512', data)
