#!py name=keys_by_type

# How many keys there are of each type, and how many elements they hold: a look at a data set that nobody knows any more.
#
#   redis-cli SET a 1
#   redis-cli RPUSH b 1 2 3
#   redis-cli RG.PYEXECUTE "$(cat examples/python/keys_by_type.py)"

LENGTHS = {'string': 'strlen', 'list': 'llen', 'hash': 'hlen', 'set': 'scard', 'zset': 'zcard', 'stream': 'xlen'}


def add(kind, sums, record):
    keys, elements = sums
    return (keys + 1, elements + execute(LENGTHS[kind], record['key']))


def both(kind, one, other):
    return (one[0] + other[0], one[1] + other[1])


GB() \
    .filter(lambda x: x['type'] in LENGTHS) \
    .aggregateby(lambda x: x['type'], (0, 0), add, both) \
    .map(lambda x: f"{x['key']:>6}: {x['value'][0]:,} keys, {x['value'][1]:,} elements") \
    .sort() \
    .run('*')
