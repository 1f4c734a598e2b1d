#!py name=write_behind

# Write-behind: hashes under "person:" are what the application works with; a database follows them. The first
# registration notes each change in the stream "changes" before the client has its reply. The second one turns
# changes into SQL, some at a time, and appends it to the list "sql", from which a process with a connection to the
# database takes it: BLPOP.
#
#   redis-cli RG.PYEXECUTE "$(cat examples/python/write_behind.py)"
#   redis-cli HSET person:7 name "Miles O'Brien" age 38
#   redis-cli DEL person:7
#   redis-cli LRANGE sql 0 -1
#
# That is a REPLACE with both columns, then a DELETE.

import json


def note(x):
    """Notes what the hash is now, or that it is not there any more."""
    if x['value'] is None:
        execute('xadd', 'changes', '*', 'person', x['key'], 'do', 'delete')
    else:
        execute('xadd', 'changes', '*', 'person', x['key'], 'do', 'replace', 'row', json.dumps(x['value']))


def quoted(text):
    """A text of SQL."""
    return "'" + text.replace("'", "''") + "'"


def statement(change):
    """What the database has to do."""
    person = quoted(change['person'].split(':', 1)[1])
    if change['do'] == 'delete':
        return f'DELETE FROM person WHERE id = {person};'
    row = sorted(json.loads(change['row']).items())
    columns = ', '.join(['id'] + [column for column, _ in row])
    values = ', '.join([person] + [quoted(value) for _, value in row])
    return f'REPLACE INTO person ({columns}) VALUES ({values});'


GB('KeysReader', desc='note').foreach(note).register('person:*', mode='sync')

GB('StreamReader', desc='write') \
    .map(statement) \
    .foreach(lambda sql: execute('rpush', 'sql', sql)) \
    .register('changes', batch=100, duration=50)
