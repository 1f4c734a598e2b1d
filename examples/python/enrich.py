#!py name=enrich

# Completes what sensors send: each entry of "reading" gets place and unit from the hash of its sensor, and goes on to
# "enriched". What comes from an unknown sensor waits: it is tried again every tenth of a second, and everything behind it
# waits as well, so the order stays.
#
#   redis-cli RG.PYEXECUTE "$(cat examples/python/enrich.py)"
#   redis-cli XADD reading '*' sensor s7 measured 21.5
#   redis-cli HSET sensor:s7 place kitchen unit C
#   redis-cli XRANGE enriched - +


class UnknownSensor(Exception):
    def __init__(self, name):
        super().__init__(f'there is no sensor {name} yet')


def enrich(reading):
    place, unit = execute('hmget', f"sensor:{reading['sensor']}", 'place', 'unit')
    if place is None:
        raise UnknownSensor(reading['sensor'])
    return {**reading, 'place': place, 'text': f"{float(reading['measured']):.2f} {unit}"}


def forward(reading):
    names = ('sensor', 'place', 'text')
    execute('xadd', 'enriched', '*', *[word for name in names for word in (name, reading[name])])


GB('StreamReader', desc='readings') \
    .map(enrich) \
    .foreach(forward) \
    .register('reading', onFailedPolicy='retry', onFailedRetryInterval=0.1)
