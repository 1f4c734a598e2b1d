#!py name=secondary_index

# An index of hashes by one of their fields: the set "people-in:ROME" has the keys of all hashes "user:..." whose city is
# Rome. It follows every change before the client has its reply, also where a user is deleted, renamed or expires.
#
#   redis-cli RG.PYEXECUTE "$(cat examples/python/secondary_index.py)"
#   redis-cli HSET user:1 name anna city Rome
#   redis-cli HSET user:2 name bert city rome
#   redis-cli SMEMBERS people-in:ROME
#   redis-cli HSET user:1 city Oslo
#   redis-cli SMEMBERS people-in:OSLO


def index(x):
    value = x['value'] if isinstance(x['value'], dict) else {}
    city = value.get('city', '').upper()
    before = execute('hget', 'cities', x['key'])
    if city == (before or ''):
        return
    if before:
        execute('srem', f'people-in:{before}', x['key'])
    if city:
        execute('sadd', f'people-in:{city}', x['key'])
        execute('hset', 'cities', x['key'], city)
    else:
        execute('hdel', 'cities', x['key'])


GB().foreach(index).register('user:*', mode='sync')
