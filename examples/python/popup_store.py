#!py name=popup_store

# The figures of a pop-up store: orders come in through "sale:..." streams, one of each till. Every ten of them, or what
# there is after a fifth of a second, are added up at once: units and turnover of each product, and the largest sale.
#
#   redis-cli RG.PYEXECUTE "$(cat examples/python/popup_store.py)"
#   redis-cli XADD sale:1 '*' product lamp units 2 price 19.90
#   redis-cli XADD sale:1 '*' product chair units 1 price 45.00
#   redis-cli HGETALL product:lamp

from collections import namedtuple

Sale = namedtuple('Sale', ['product', 'units', 'cents'])


def sale_of(entry):
    """The sale with numbers in place of texts. Money is counted in cents, so that sums are exact."""
    euros, _, cents = entry['price'].partition('.')
    price = int(euros) * 100 + int((cents + '00')[:2])
    units = int(entry['units'])
    return Sale(entry['product'], units, units * price)


def add(product, sums, sale):
    """One more sale of a product."""
    units, cents, largest = sums or (0, 0, 0)
    return (units + sale.units, cents + sale.cents, max(largest, sale.cents))


def keep(record):
    """Adds the sums of a batch to those that are there."""
    key = f"product:{record['key']}"
    units, cents, largest = record['value']
    with atomic():
        execute('hincrby', key, 'units', units)
        execute('hincrby', key, 'cents', cents)
        if largest > int(execute('hget', key, 'largest') or 0):
            execute('hset', key, 'largest', largest)
        execute('incrby', 'turnover', cents)


GB('StreamReader', desc='sales') \
    .map(sale_of) \
    .groupby(lambda sale: sale.product, add) \
    .foreach(keep) \
    .register('sale:*', batch=10, duration=200)
