"""Wrong arguments of register and run: a clear error that names them, and nothing is registered or run."""

import pytest
from redis import ResponseError

from testing.gears1 import execute, executions

OF_KEYS = {
    "5": "Argument 'prefix' of 'register' must be a string",
    "{ regex: 5 }": "Argument 'regex' of 'register' must be a string",
    "'a', { regex: 'b' }": "Argument 'prefix' of 'register' was given more than once",
    "{ prefix: 'a', regex: 'b' }": "Argument 'prefix' of 'register' was given more than once",
    "'a', 'b'": "'register' takes one argument, and behind it an object of the others",
    "{ mode: 'later' }": "Argument 'mode' of 'register' must be one of async, async_local, sync",
    "{ mode: 'SYNC' }": "Argument 'mode' of 'register' must be one of async, async_local, sync",
    "{ eventTypes: 'set' }": "Argument 'eventTypes' of 'register' must be an array that is not empty, each a string",
    "{ eventTypes: [] }": "Argument 'eventTypes' of 'register' must be an array that is not empty, each a string",
    "{ eventTypes: [5] }": "Argument 'eventTypes' of 'register' must be an array that is not empty, each a string",
    "{ keyTypes: ['tree'] }": "Argument 'keyTypes' of 'register' must be an array that is not empty, each one of",
    "{ keyTypes: [] }": "Argument 'keyTypes' of 'register' must be an array that is not empty, each one of",
    "{ readValue: 1 }": "Argument 'readValue' of 'register' must be a boolean",
    "{ OnRegistered: 5 }": "Argument 'OnRegistered' of 'register' must be a function",
    "{ onRegistered: function* () {} }": "Argument 'onRegistered' of 'register' must be a function",
    "{ onRegistered() {}, OnRegistered() {} }": "Argument 'onRegistered' of 'register' was given more than once",
    "{ events: ['set'] }": "Unknown argument 'events' of 'register'",
    "{ commands: ['set'] }": "Unknown argument 'commands' of 'register'",
    "{ batch: 5 }": "Unknown argument 'batch' of 'register'",
    "{ onFailedPolicy: 'retry' }": "Unknown argument 'onFailedPolicy' of 'register'",
    "{ trimStream: true }": "Unknown argument 'trimStream' of 'register'",
}
OF_STREAMS = {
    "{ batch: 0 }": "Argument 'batch' of 'register' must be a whole number between 1 and 10000",
    "{ batch: 10_001 }": "Argument 'batch' of 'register' must be a whole number between 1 and 10000",
    "{ batch: '3' }": "Argument 'batch' of 'register' must be a whole number between 1 and 10000",
    "{ duration: -1 }": "Argument 'duration' of 'register' must be a whole number between 0 and 86400000",
    "{ duration: 1.5 }": "Argument 'duration' of 'register' must be a whole number between 0 and 86400000",
    "{ mode: 'later' }": "Argument 'mode' of 'register' must be one of async, async_local, sync",
    "{ onFailedPolicy: 'stop' }": "Argument 'onFailedPolicy' of 'register' must be one of continue, abort, retry",
    "{ onFailedPolicy: 5 }": "Argument 'onFailedPolicy' of 'register' must be one of continue, abort, retry",
    "{ onFailedRetryInterval: -1 }": "Argument 'onFailedRetryInterval' of 'register' must be a number of seconds",
    "{ onFailedRetryInterval: '1' }": "Argument 'onFailedRetryInterval' of 'register' must be a number of seconds",
    "{ onFailedRetryInterval: NaN }": "Argument 'onFailedRetryInterval' of 'register' must be a number of seconds",
    "{ onFailedRetryInterval: 86_401 }": "Argument 'onFailedRetryInterval' of 'register' must be a number of seconds",
    "{ trimStream: 1 }": "Argument 'trimStream' of 'register' must be a boolean",
    "{ recordFormat: 'deep' }": "Argument 'recordFormat' of 'register' must be one of flat, nested",
    "{ mode: 'sync', onFailedPolicy: 'retry' }": "'onFailedPolicy' of 'register' cannot be 'retry' with mode 'sync'",
    "{ mode: 'sync', onFailedPolicy: 'ABORT' }": "'onFailedPolicy' of 'register' cannot be 'abort' with mode 'sync'",
    "{ eventTypes: ['xadd'] }": "Unknown argument 'eventTypes' of 'register'",
    "{ keyTypes: ['stream'] }": "Unknown argument 'keyTypes' of 'register'",
    "{ readValue: true }": "Unknown argument 'readValue' of 'register'",
    "{ fromId: '0-0' }": "Unknown argument 'fromId' of 'register'",
    "{ window: 5 }": "Unknown argument 'window' of 'register'",
}
OF_RUNS = {
    "GB().run(5)": "Argument 'arg' of 'run' must be a string",
    "GB('KeysReader', 5).run()": "Argument 'arg' of 'run' must be a string",
    "GB().run('*', 5)": "'run' takes one argument, and behind it an object of the others",
    "GB().run('*', { noScan: 1 })": "Argument 'noScan' of 'run' must be a boolean",
    "GB().run('*', { count: 1 })": "Unknown argument 'count' of 'run'",
    "GB().run('*', { prefix: 'a' })": "Unknown argument 'prefix' of 'run'",
    "GB().run('*', { mode: 'sync' })": "Argument 'mode' of 'run' must be one of async, async_local",
    "GB('KeysOnlyReader').run('*', { count: 0 })": "Argument 'count' of 'run' must be a whole number between 1 and 10",
    "GB('KeysOnlyReader').run('*', { readValue: true })": "Unknown argument 'readValue' of 'run'",
    "GB('StreamReader').run('s', { fromId: 5 })": "Argument 'fromId' of 'run' must be a string",
    "GB('StreamReader').run('s', { recordFormat: 'x' })": "Argument 'recordFormat' of 'run' must be one of flat,",
    "GB('ShardsIDReader').run('*', { noScan: true })": "Unknown argument 'noScan' of 'run'",
    "GB('KeysReader', '*', 5)": "Argument 'desc' of 'GearsBuilder' must be a string of at most 1000 characters",
    "GB('KeysReader', '*', 'x'.repeat(1001))": "Argument 'desc' of 'GearsBuilder' must be a string of at most 1000",
}


@pytest.mark.parametrize("arguments", OF_KEYS)
def test_of_registrations_of_keys(server, arguments):
    with pytest.raises(ResponseError) as error:
        execute(server, f"GB().register('before'); GB().register({arguments})")
    assert OF_KEYS[arguments] in str(error.value)
    assert (server.run("RG.DUMPREGISTRATIONS"), server.libraries()) == ([], [])


@pytest.mark.parametrize("arguments", OF_STREAMS)
def test_of_registrations_of_streams(server, arguments):
    with pytest.raises(ResponseError) as error:
        execute(server, f"GB('StreamReader').register('before'); GB('StreamReader').register('s', {arguments})")
    assert OF_STREAMS[arguments] in str(error.value)
    assert (server.run("RG.DUMPREGISTRATIONS"), server.libraries()) == ([], [])


@pytest.mark.parametrize("code", OF_RUNS)
def test_of_runs(server, code):
    with pytest.raises(ResponseError) as error:
        execute(server, code)
    assert OF_RUNS[code] in str(error.value)
    assert executions(server) == {}
