"""Values of Python to texts."""
from json import JSONEncoder
