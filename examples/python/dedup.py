#!py name=dedup

# Passes each order on once, however often its sender repeats it: the first entry with a number goes from the stream
# "order" to "unique", others are counted. A number is remembered for a day.
#
#   redis-cli RG.PYEXECUTE "$(cat examples/python/dedup.py)"
#   redis-cli XADD order '*' number 17 item lamp
#   redis-cli XADD order '*' number 17 item lamp
#   redis-cli XLEN unique
#   redis-cli GET repeated

DAY = 24 * 60 * 60


def is_new(order):
    """Whether this is the first one. Both outcomes are noted in the same transaction."""
    with atomic():
        if execute('set', f"seen:{order['number']}", order['streamId'], 'NX', 'EX', DAY) is None:
            execute('incr', 'repeated')
            return False
        fields = [word for name, value in order.items() if name != 'streamId' for word in (name, value)]
        execute('xadd', 'unique', '*', *fields)
        return True


GB('StreamReader') \
    .filter(is_new) \
    .foreach(lambda order: log(f"order {order['number']} is new")) \
    .register('order')
