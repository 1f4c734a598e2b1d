#!py name=json_to_hash

# Unpacks JSON: each entry of "document" with a field "json" becomes a hash, nested names joined with dots. What is no
# JSON, or has no ID, is put aside in the stream "rejected", with the reason.
#
#   redis-cli RG.PYEXECUTE "$(cat examples/python/json_to_hash.py)"
#   redis-cli XADD document '*' json '{"id": 7, "name": {"first": "Anna"}, "tags": ["a", "b"], "active": true}'
#   redis-cli HGETALL document:7
#   redis-cli XADD document '*' json '{"id": '
#   redis-cli XRANGE rejected - +

import json


def flat(value, name=''):
    """Pairs of names and texts."""
    if isinstance(value, dict):
        for key, inner in value.items():
            yield from flat(inner, f'{name}.{key}' if name else key)
    elif isinstance(value, list):
        for place, inner in enumerate(value):
            yield from flat(inner, f'{name}.{place}')
    elif isinstance(value, str):
        yield name, value
    else:
        yield name, json.dumps(value)


def unpack(entry):
    try:
        document = json.loads(entry['json'])
        pairs = dict(flat(document))
        key = f"document:{pairs.pop('id')}"
    except (KeyError, ValueError) as error:
        execute('xadd', 'rejected', '*', 'json', entry.get('json', ''), 'why', type(error).__name__)
    else:
        with atomic():
            execute('del', key)
            if pairs:
                execute('hset', key, *[word for pair in pairs.items() for word in pair])


GB('StreamReader').foreach(unpack).register('document')
