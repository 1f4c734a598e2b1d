#!py name=keep_entries

# Keeps each entry of the stream "s1" under a key of its ID, as the text of a dict, and takes it out of the
# stream. The second Gear of the page about streaming of RedisGears 1.
#
#   redis-cli RG.PYEXECUTE "$(cat examples/python/keep_entries.py)"
#   redis-cli XADD s1 5-1 a 1 b 2
#   redis-cli GET 5-1
#
# The key 5-1 has {'streamId': '5-1', 'a': '1', 'b': '2'}.

GearsBuilder('StreamReader').foreach(lambda x: execute('set', x['streamId'], str(x))).register('s1')
