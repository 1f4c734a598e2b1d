#!py name=counters

# Counts page views: of each page in the hash "views", and the visitors of each day, each of them once, in a
# HyperLogLog. The day is that of the entry, not that of the counting.
#
#   redis-cli RG.PYEXECUTE "$(cat examples/python/counters.py)"
#   redis-cli XADD view 1700000000000-0 page /home user anna
#   redis-cli XADD view 1700000000001-0 page /home user bert
#   redis-cli HGETALL views
#   redis-cli PFCOUNT visitors:2023-11-14

import time


def day_of(entry):
    """The day on which the entry was added: its ID begins with milliseconds."""
    seconds = int(entry['streamId'].split('-')[0]) // 1000
    return time.strftime('%Y-%m-%d', time.gmtime(seconds))


def count(entry):
    with atomic():
        execute('hincrby', 'views', entry['page'], 1)
        execute('pfadd', f'visitors:{day_of(entry)}', entry['user'])


GB('StreamReader').foreach(count).register('view')
