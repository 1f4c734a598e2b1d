#!py name=versions

# Keeps the last three values of each string under "page:", newest first, each with its time, and who wants an old one
# back takes it from the list "versions:page:...".
#
#   redis-cli RG.PYEXECUTE "$(cat examples/python/versions.py)"
#   redis-cli SET page:home one
#   redis-cli SET page:home two
#   redis-cli LRANGE versions:page:home 0 -1

import json
import time

KEPT = 3


def keep(x):
    key = f"versions:{x['key']}"
    execute('lpush', key, json.dumps({'at': int(time.time()), 'value': x['value']}))
    execute('ltrim', key, 0, KEPT - 1)


GB().foreach(keep).register('page:*', mode='sync', eventTypes=['set', 'append', 'setrange'], keyTypes=['string'])
