# What scripts find as built-in names, GearsBuilder among them, and the module redisgears. What is done with their
# arguments is in host.js, the module _gears.
import _gears

NO_HOOKS = 'scripts cannot stand in front of commands'
# Arguments of register that RedisGears 1 has and this module has not, with the reason.
REFUSED_ARGUMENTS = {
    'commands': NO_HOOKS,
    'hook': NO_HOOKS,
    'keyprefix': NO_HOOKS,
    'trigger': 'functions of libraries in JavaScript are called with RG.FCALL',
}


class GearsBuilder:
    def __init__(self, reader='KeysReader', defaultArg='*', desc=None):
        self.__plan = _gears.plan(reader, defaultArg, desc)

    def __step(self, name, *args):
        _gears.step(self.__plan, name, args)
        return self

    def map(self, f):
        return self.__step('map', f)

    def filter(self, f):
        return self.__step('filter', f)

    def flatmap(self, f):
        return self.__step('flatmap', f)

    def foreach(self, f):
        return self.__step('foreach', f)

    def limit(self, length, start=0):
        return self.__step('limit', length, start)

    def accumulate(self, accumulator):
        return self.__step('accumulate', accumulator)

    def localgroupby(self, extractor, reducer):
        return self.__step('localgroupby', extractor, reducer)

    def groupby(self, extractor, reducer):
        return self.__step('groupby', extractor, reducer)

    def batchgroupby(self, extractor, reducer):
        return self.__step('batchgroupby', extractor, reducer)

    def repartition(self, extractor):
        return self.__step('repartition', extractor)

    def collect(self):
        return self.__step('collect')

    def aggregate(self, zero, seqOp, combOp):
        return self.__step('aggregate', zero, seqOp, combOp)

    def aggregateby(self, extractor, zero, seqOp, combOp):
        return self.__step('aggregateby', extractor, zero, seqOp, combOp)

    def count(self):
        return self.__step('count')

    def countby(self, extractor=None):
        return self.__step('countby', extractor)

    def sort(self, reverse=True):
        return self.__step('sort', reverse)

    def distinct(self):
        return self.__step('distinct')

    def avg(self, extractor=None):
        return self.__step('avg', extractor)

    def run(self, *args, **kwargs):
        return _gears.run(self.__plan, args, kwargs)

    def register(self, *args, **kwargs):
        for name in kwargs:
            if name in REFUSED_ARGUMENTS:
                raise NotImplementedError(f'the argument {name} is not there: {REFUSED_ARGUMENTS[name]}')
        return _gears.register(self.__plan, args, kwargs)


GB = GearsBuilder


class error(Exception):
    """What a command replied, where that is an error."""


class FlatError(error):
    """One of whose traceback nothing is told."""


_gears.set_errors(error, FlatError)


def flat_error(message):
    raise FlatError(message)


def registerTE(*args):
    raise NotImplementedError('registerTE is not there: the server has no time events for scripts')


def _no_command(name):
    def refuse(*args):
        raise NotImplementedError(f'{name} is not there: scripts cannot stand in front of commands')
    return refuse


override_reply = _no_command('override_reply')
get_command = _no_command('get_command')
call_next = _no_command('call_next')


execute = _gears.execute


class Atomic:
    def __enter__(self):
        _gears.enter_atomic()
        return self

    def __exit__(self, *about):
        _gears.leave_atomic()
        return False


def atomic():
    return Atomic()


def isInAtomicBlock():
    return _gears.is_in_atomic()


def gearsFuture():
    return _gears.future()


def createFuture():
    return _gears.future()


def setFutureResults(future, value):
    future.continueRun(value)


def setFutureException(future, error):
    future.continueFailed(error)


def isAsyncAllow():
    return _gears.may_wait()


async def _run(coroutine, future, delay):
    try:
        if delay > 0:
            await _gears.pause(delay)
        value = await coroutine
    except Exception as error:
        if future is None:
            log(f'a coroutine failed: {error!r}', 'warning')
        else:
            future.continueFailed(error)
    else:
        if future is not None:
            future.continueRun(value)


def runCoroutine(coroutine, f=None, delay=0):
    _gears.start(_run(coroutine, f, delay))


def log(message, level='notice'):
    _gears.log(message, level)


def hashtag():
    return _gears.hashtag()


def gearsConfigGet(key, default=None):
    return _gears.config_get(key, default)


def configGet(key):
    return _gears.config_get(key, None)
