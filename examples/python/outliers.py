#!py name=outliers

# Raises an alarm when a measurement is far from what its sensor measured before: more than three standard deviations
# from the mean of the last twenty. They are kept in the memory of the library, for each stream its own, so a restart
# begins anew.
#
#   redis-cli RG.PYEXECUTE "$(cat examples/python/outliers.py)"
#   for n in 20 21 20 22 21 20 21 22 20 21 90 21; do redis-cli XADD measured:oven '*' degrees $n; done
#   redis-cli XRANGE alarm - +
#
# There is one, for 90.

import math
from collections import defaultdict, deque

SIZE = 20
ENOUGH = 10

seen = defaultdict(lambda: deque(maxlen=SIZE))


def is_outlier(values, value):
    if len(values) < ENOUGH:
        return False
    mean = sum(values) / len(values)
    deviation = math.sqrt(sum((one - mean) ** 2 for one in values) / len(values))
    return abs(value - mean) > 3 * max(deviation, 0.1)


def look(entry):
    values, value = seen[entry['key']], float(entry['degrees'])
    if is_outlier(values, value):
        execute('xadd', 'alarm', '*', 'where', entry['key'], 'degrees', value)
    else:
        values.append(value)


GB('StreamReader').foreach(look).register('measured:*')
