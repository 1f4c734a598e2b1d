"""Time and calendar."""
import _clock

_DAYS = ('Monday', 'Tuesday', 'Wednesday', 'Thursday', 'Friday', 'Saturday', 'Sunday')
_MONTHS = ('January', 'February', 'March', 'April', 'May', 'June', 'July', 'August', 'September', 'October', 'November',
           'December')
_FIELDS = ('tm_year', 'tm_mon', 'tm_mday', 'tm_hour', 'tm_min', 'tm_sec', 'tm_wday', 'tm_yday', 'tm_isdst')


class struct_time(tuple):
    n_fields = 11
    n_sequence_fields = 9
    n_unnamed_fields = 0

    def __new__(cls, sequence, dict=None):
        values = tuple(sequence)
        if not 9 <= len(values) <= 11:
            raise TypeError(f'time.struct_time() takes an at least 9-sequence ({len(values)}-sequence given)')
        made = super().__new__(cls, values[:9])
        made.tm_zone = values[9] if len(values) > 9 else None
        made.tm_gmtoff = values[10] if len(values) > 10 else None
        return made

    def __repr__(self):
        return 'time.struct_time(' + ', '.join(f'{name}={value}' for name, value in zip(_FIELDS, self)) + ')'


for _at, _name in enumerate(_FIELDS):
    setattr(struct_time, _name, property(lambda self, at=_at: self[at]))
del _at, _name

timezone = _clock.timezone()
altzone = _clock.altzone()
daylight = int(timezone != altzone)
tzname = _clock.names()


def time():
    return _clock.now()


def time_ns():
    return _clock.now_ns()


def monotonic():
    return _clock.since_start()


def monotonic_ns():
    return int(_clock.since_start() * 1000) * 1000000


perf_counter = process_time = thread_time = monotonic
perf_counter_ns = process_time_ns = thread_time_ns = monotonic_ns


def gmtime(secs=None):
    return struct_time(_clock.utc(time() if secs is None else float(secs) // 1) + ('UTC', 0))


def localtime(secs=None):
    secs = time() if secs is None else float(secs) // 1
    parts = _clock.local(secs)
    return struct_time(parts + (tzname[1 if parts[8] else 0], _clock.offset(secs)))


def mktime(t):
    return _clock.from_local(*tuple(t)[:6])


def sleep(secs):
    raise RuntimeError('time.sleep() is not supported: it would hold up the thread that all libraries share')


def asctime(t=None):
    t = localtime() if t is None else t
    return f'{_DAYS[t[6]][:3]} {_MONTHS[t[1] - 1][:3]} {t[2]:2d} {t[3]:02d}:{t[4]:02d}:{t[5]:02d} {t[0]}'


def ctime(secs=None):
    return asctime(localtime(secs))


def _iso(t):
    """The year and week of ISO 8601 of a day."""
    year, weekday, day = t[0], t[6], t[7]
    week = (day - weekday + 9) // 7
    if week < 1:
        year -= 1
        week = _weeks(year)
    elif week > _weeks(year):
        year += 1
        week = 1
    return year, week


def _weeks(year):
    def last_day(y):
        return (y + y // 4 - y // 100 + y // 400) % 7
    return 53 if last_day(year) == 4 or last_day(year - 1) == 3 else 52


def _directive(code, t):
    match code:
        case 'Y':
            return str(t[0])
        case 'm':
            return f'{t[1]:02d}'
        case 'd':
            return f'{t[2]:02d}'
        case 'e':
            return f'{t[2]:2d}'
        case 'H':
            return f'{t[3]:02d}'
        case 'k':
            return f'{t[3]:2d}'
        case 'M':
            return f'{t[4]:02d}'
        case 'S':
            return f'{t[5]:02d}'
        case 'I':
            return f'{(t[3] + 11) % 12 + 1:02d}'
        case 'p':
            return 'AM' if t[3] < 12 else 'PM'
        case 'y':
            return f'{t[0] % 100:02d}'
        case 'C':
            return f'{t[0] // 100:02d}'
        case 'j':
            return f'{t[7]:03d}'
        case 'a':
            return _DAYS[t[6]][:3]
        case 'A':
            return _DAYS[t[6]]
        case 'b' | 'h':
            return _MONTHS[t[1] - 1][:3]
        case 'B':
            return _MONTHS[t[1] - 1]
        case 'w':
            return str((t[6] + 1) % 7)
        case 'u':
            return str(t[6] + 1)
        case 'U':
            return f'{(t[7] + 6 - (t[6] + 1) % 7) // 7:02d}'
        case 'W':
            return f'{(t[7] + 6 - t[6]) // 7:02d}'
        case 'V':
            return f'{_iso(t)[1]:02d}'
        case 'G':
            return str(_iso(t)[0])
        case 'g':
            return f'{_iso(t)[0] % 100:02d}'
        case 'c':
            return asctime(t)
        case 'x' | 'D':
            return strftime('%m/%d/%y', t)
        case 'X' | 'T':
            return strftime('%H:%M:%S', t)
        case 'R':
            return strftime('%H:%M', t)
        case 'F':
            return strftime('%Y-%m-%d', t)
        case 'r':
            return strftime('%I:%M:%S %p', t)
        case 's':
            return str(int(mktime(t)))
        case 'z':
            offset = getattr(t, 'tm_gmtoff', None)
            if offset is None:
                offset = -timezone
            sign = '-' if offset < 0 else '+'
            return f'{sign}{abs(offset) // 3600:02d}{abs(offset) // 60 % 60:02d}'
        case 'Z':
            return getattr(t, 'tm_zone', None) or tzname[0]
        case 'n':
            return '\n'
        case 't':
            return '\t'
        case '%':
            return '%'
    return '%' + code


def strftime(format, t=None):
    t = localtime() if t is None else t
    result = ''
    at = 0
    while at < len(format):
        if format[at] == '%' and at + 1 < len(format):
            result += _directive(format[at + 1], t)
            at += 2
        else:
            result += format[at]
            at += 1
    return result


def strptime(string, format='%a %b %d %H:%M:%S %Y'):
    import _strptime
    return _strptime._strptime_time(string, format)


class _ClockInfo:
    def __init__(self, implementation, adjustable):
        self.implementation = implementation
        self.monotonic = not adjustable
        self.adjustable = adjustable
        self.resolution = 0.001


def get_clock_info(name):
    if name not in ('time', 'monotonic', 'perf_counter', 'process_time', 'thread_time'):
        raise ValueError('unknown clock')
    return _ClockInfo('Date.now()', name == 'time')


def tzset():
    pass
