"""Texts to values of Python."""
from json import JSONDecoder, JSONDecodeError
