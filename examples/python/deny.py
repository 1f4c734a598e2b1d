#!py name=deny

# Nothing can be put under "denied:": whatever is written there is deleted. The first Gear of the page about
# streaming of RedisGears 1, which denied every key; here it is a prefix.
#
#   redis-cli RG.PYEXECUTE "$(cat examples/python/deny.py)"
#   redis-cli SET denied:1 value
#   redis-cli GET denied:1
#
# GET finds nothing, a moment after SET.

GearsBuilder().foreach(lambda x: execute('del', x['key'])).register('denied:*')
