"""Decide how many deliveries run at once, from the rate and the measured latency: `Concurrency`."""

from __future__ import annotations

from math import ceil, inf

#: Deliveries at once, at the most. More would only let tokens age in a queue.
_MAX_DELIVERIES = 1000
#: The share of a new measurement in the running mean.
_SMOOTHING_FACTOR = 0.1
#: With each measurement the recent best grows by this factor, so that an old best is forgotten.
_BEST_DECAY = 1.02
#: The latency that is assumed until the first measurement.
_INITIAL_LATENCY_S = 0.2
#: Calls a second that this process has the CPU for, at the most.
_MAX_CALLS_PER_S = 1500.0
#: Calls to Clerk at once, at least and at most.
_MIN_CALLS, _MAX_CALLS = 4, 100
#: A mean above this many times the best latency means a queue at the service; more calls would make it longer.
_QUEUEING_FACTOR = 4.0
#: Headroom for latency that varies.
_HEADROOM = 1.5


class LatencyEstimate:
    """A running mean of how long something takes, in seconds."""

    def __init__(self, guess: float = _INITIAL_LATENCY_S) -> None:
        self.seconds = guess
        #: How many measurements there were.
        self.number = 0
        #: The shortest so far: the latency without a queue.
        self.best = inf
        #: The shortest of recent measurements.
        self.best_lately = inf

    def note(self, seconds: float) -> None:
        """Take a measurement in."""
        self.number += 1
        self.seconds += _SMOOTHING_FACTOR * (seconds - self.seconds)
        self.best = min(seconds, self.best)
        self.best_lately = min(seconds, self.best_lately * _BEST_DECAY)


class Concurrency:
    """The number of deliveries to run at once, by Little's law.

    Args:
        rate: messages a second that the limits allow, or None.
        connections: messages that can be on the wire at once.
        with_token: a token is asked for first.
        transaction: the time that a message takes, shared with the other campaigns of a watch; None: a new measurement.
    """

    def __init__(
        self,
        *,
        rate: float | None,
        connections: int,
        with_token: bool,
        transaction: LatencyEstimate | None = None,
    ) -> None:
        self._rate = rate
        self._connections = connections
        self._with_token = with_token
        #: How long a token takes.
        self.token = LatencyEstimate()
        #: Clerk issued no token at the last call: one delivery at a time tries whether it works again.
        self.probes_clerk = False
        #: How long a message takes on its connection, without the wait for its permit and its intent.
        self.transaction = transaction or LatencyEstimate()
        #: How long a message takes from its permit to its final dot: its intent is committed meanwhile.
        self.intent = LatencyEstimate(0.0)

    @property
    def max_token_calls(self) -> int:
        """How many tokens may be requested at once: more would take longer each and not arrive faster."""
        if self.probes_clerk:
            return 1
        if self.token.number < _MIN_CALLS:
            return _MIN_CALLS
        # the first answers are slow because connections are opened, so the number grows with the measurements
        cautious = _MIN_CALLS + self.token.number // _MIN_CALLS
        seconds = min(self.token.seconds, _QUEUEING_FACTOR * self.token.best_lately)
        return max(_MIN_CALLS, min(ceil(_MAX_CALLS_PER_S * seconds * _HEADROOM), cautious, _MAX_CALLS))

    @property
    def lead_time(self) -> float:
        """Seconds from a row's claim to its final dot, as measured."""
        return (self.token.seconds if self._with_token else 0.0) + self.transaction.seconds

    @property
    def max_deliveries(self) -> int:
        """Deliveries to run at once (Little's law). More would only let tokens age in a queue."""
        if self.probes_clerk:
            return 1
        token = min(self.token.seconds, _QUEUEING_FACTOR * self.token.best) if self._with_token else 0.0
        transaction = max(self.transaction.seconds, 1e-4)
        # for each connection: the message on it, the next one, and those whose tokens are requested meanwhile
        busy = ceil(self._connections * _HEADROOM * (2 + token / transaction)) + 2
        if self._rate is not None:
            busy = min(busy, ceil(self._rate * (token + transaction + self.intent.seconds) * _HEADROOM) + 2)
        return max(2, min(busy, _MAX_DELIVERIES))
