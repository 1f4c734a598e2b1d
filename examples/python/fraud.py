#!py name=fraud

# Holds back payments that look wrong: a card that is used in another country within an hour, or for more than twenty
# times its usual amount. Others go on to "cleared".
#
#   redis-cli RG.PYEXECUTE "$(cat examples/python/fraud.py)"
#   redis-cli XADD card '*' number 1234 country IT euros 20
#   redis-cli XADD card '*' number 1234 country NO euros 20
#   redis-cli XRANGE suspicious - +

HOUR_MS = 60 * 60 * 1000


class Rule:
    """What a payment must not be. Subclasses say why it is suspicious, or nothing."""

    def why(self, payment, last):
        raise NotImplementedError


class Travel(Rule):
    def why(self, payment, last):
        if payment['country'] != last['country'] and payment['at'] - int(last['at']) < HOUR_MS:
            return f"{last['country']} and {payment['country']} within an hour"
        return None


class Amount(Rule):
    def __init__(self, factor):
        self.factor = factor

    def why(self, payment, last):
        usual = float(last['usual'])
        if payment['euros'] > self.factor * usual:
            return f"{payment['euros']:.2f} euros, usually {usual:.2f}"
        return None


RULES = [Travel(), Amount(20)]
FIELDS = ('country', 'at', 'usual')


def judge(entry):
    payment = {**entry, 'at': int(entry['streamId'].split('-')[0]), 'euros': float(entry['euros'])}
    key = f"card:{payment['number']}"
    with atomic():
        last = dict(zip(FIELDS, execute('hmget', key, *FIELDS), strict=True))
        reasons = []
        if last['at'] is not None:
            reasons = [why for rule in RULES if (why := rule.why(payment, last))]
        stream = 'suspicious' if reasons else 'cleared'
        execute('xadd', stream, '*', 'number', payment['number'], 'why', '; '.join(reasons) or '-')
        if not reasons:
            usual = payment['euros'] if last['usual'] is None else 0.9 * float(last['usual']) + 0.1 * payment['euros']
            execute('hset', key, 'country', payment['country'], 'at', payment['at'], 'usual', usual)


GB('StreamReader').foreach(judge).register('card')
