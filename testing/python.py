"""Scripts in Python."""

from functools import partial

from testing import gears1

execute = partial(gears1.execute, language=gears1.PYTHON)
bring = partial(gears1.bring, language=gears1.PYTHON)
