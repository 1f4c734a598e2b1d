#!py name=downsample

# Makes of each minute of measurements one row: the hash "minute:2023-11-14T22:13" has how many there were, the smallest,
# the largest, and their sum. Entries may come late, they count in their own minute.
#
#   redis-cli RG.PYEXECUTE "$(cat examples/python/downsample.py)"
#   redis-cli XADD temperature 1700000000000-0 degrees 20.5
#   redis-cli XADD temperature 1700000005000-0 degrees 21.5
#   redis-cli HGETALL minute:2023-11-14T22:13

from datetime import datetime, timedelta, timezone

EPOCH = datetime(1970, 1, 1, tzinfo=timezone.utc)


def minute_of(entry):
    moment = EPOCH + timedelta(milliseconds=int(entry['streamId'].split('-')[0]))
    return moment.strftime('%Y-%m-%dT%H:%M')


def add(minute, sums, entry):
    degrees = float(entry['degrees'])
    if sums is None:
        return {'count': 1, 'min': degrees, 'max': degrees, 'sum': degrees}
    return {
        'count': sums['count'] + 1,
        'min': min(sums['min'], degrees),
        'max': max(sums['max'], degrees),
        'sum': sums['sum'] + degrees,
    }


def keep(record):
    key, sums = f"minute:{record['key']}", record['value']
    with atomic():
        least, most = execute('hmget', key, 'min', 'max')
        execute('hincrby', key, 'count', sums['count'])
        execute('hincrbyfloat', key, 'sum', sums['sum'])
        execute('hset', key, 'min', min(sums['min'], float(least or 'inf')), 'max', max(sums['max'], float(most or '-inf')))


GB('StreamReader').groupby(minute_of, add).foreach(keep).register('temperature', batch=1000, duration=100)
