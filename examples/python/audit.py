#!py name=audit

# Writes down what happens to keys under "account:": when, what, and how the value changed, as lines that a person can
# read. The values before are known by a copy that the script keeps.
#
#   redis-cli RG.PYEXECUTE "$(cat examples/python/audit.py)"
#   redis-cli SET account:1 100
#   redis-cli INCRBY account:1 -30
#   redis-cli DEL account:1
#   redis-cli LRANGE audit 0 -1

from functools import wraps


def counted(function):
    """Counts the calls of a step beside it."""
    @wraps(function)
    def counting(x):
        counting.calls += 1
        return function(x)
    counting.calls = 0
    return counting


@counted
def write_down(x):
    before, now = execute('hget', 'audited', x['key']), x['value']
    if now is None:
        execute('hdel', 'audited', x['key'])
    else:
        execute('hset', 'audited', x['key'], now)
    line = f"{write_down.calls}. {x['event']:<6} {x['key']}: {before!r} -> {now!r}"
    execute('rpush', 'audit', line)


GB().foreach(write_down).register('account:*', mode='sync', keyTypes=['string', 'empty'])
