"""All that one call's ears make of its sound: somebody begins to speak, what was said, that no person is there.

Time is counted in sound, not by a clock: a file fed at once gives the same events as the call did. Moments and
lengths are seconds.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
from collections import deque
from dataclasses import dataclass, field, replace

import numpy as np

from ivr.heard import UNKNOWN, Heard, Noise, Question, Reading, Word
from ivr.speech.activity import FRAME, RATE, WINDOW, Activity, Detectors, Samples, Window, decibels
from ivr.speech.ears import Hearing, Recogniser
from ivr.speech.echo import EchoGuard
from ivr.speech.noise import cleaned
from ivr.speech.pitch import has_fallen, median_pitch
from ivr.speech.sound import as_pcm
from ivr.speech.tones import BEEP_SECONDS, Tone, Tones

log = logging.getLogger(__name__)

# When speech begins and ends.
SURE, LIKELY = 0.7, 0.4
"""Probabilities of a voice: one window of 32 ms that is sure, or two on end that are likely, begin speech. Noise,
knocks and tones stay below 0.15."""
THROUGH_ECHO = 2
"""Windows on end it takes while our own prompt comes back: one of a hundred looks like a person."""
GOES_ON = 0.35
"""Above it speech goes on, as the detector's makers have it; it lags behind by 0.1 s, hence the next two."""
ABOVE_NOISE = 2.0
"""dB; a window no louder than the noise is silence, whatever the detector still believes. Steady noise varies by
1 dB."""
FADED = 26.0
"""dB below its loudest moment at which speech has faded out."""
NEARER = 0.75
"""…or this part of the way down to the noise, when that is nearer."""
TALKED, MUCH_LOUDER, STAYS, ONSET = 0.5, 12.0, 4, 3
"""Who speaks so many dB louder than what was heard for half a second, for four windows on end, is another one, and
nearer: what was before was talk behind the speaker. A voice needs three windows to become as loud as it is."""
ABOVE_TALK = 3.0
"""dB above the talk behind the speaker below which the speaker is silent."""
SOON, LATE = 0.24, 0.50
"""Silence after which speech has ended: when its words are an answer already, and otherwise. The stop before the «т»
in «пять» takes 0.1. Who goes on between the two, «четыре… пять», is heard again as a whole, which amends the
answer."""
EARLY = 0.14
"""Silence after which what was said so far is heard: whether it is an answer is known when SOON comes."""
UNFINISHED = 0.42
"""Silence after which an answer has ended whose pitch has not fallen: «три…» «нет, четыре» is one answer."""
NOISY, SOON_IN_NOISE = 12.0, 0.36
"""Where the loudest moment is less than so many dB above the noise, soft syllables drown: «о-пять … течёт» seems to
pause after the «пять»."""
QUICK = 5.0
"""Speech longer than this is no quick answer: it is not looked at before LATE."""
LONGEST = 12.0
"""Speech is ended by force."""
PRE_ROLL = 0.36
"""Sound before the beginning was noticed that is heard as well: 0.1 that passed, and a soft consonant."""
LEAD, TAIL = 0.04, 0.1
"""Sound that is heard before speech rises from the noise, and after the last voice. The noise around an answer is
what ruins it: it is heard as words. Measured on single words under noise of 20 dB: 6 of 46 right with 0.3 before and
0.24 after, 46 with 0.04 and HUSH. But the last «т» of «работает» is said when the voice is over: with 0.1 after it
861 of 888 clear answers are understood, 856 with 0.04."""
RISES = 4.0
"""dB above the noise at which speech rises."""
GAP = 0.08
"""A stop within a word is no longer."""
HUSH = bytes(round(0.2 * 8_000) * 2)
"""Mere zeros before and after: no speech to any model."""
BEFORE = 1.5
"""Sound before the pre-roll by which the noise is known."""

# An answering machine talks as soon as it has picked up, and does not wait to be answered. A person says «алло» and
# waits; one who is talkative has listened first, pauses for breath, or says something of what is listened for.
AT_ONCE = 2.5
"""A machine's first word comes within this of picking up."""
PAUSE = 0.7
"""A pause that ends a talk; between the sentences of a greeting lie 0.3 to 0.6."""
GREETING, LATER = 4.0, 6.0
"""A talk this long is a machine's: the first of the call, or one that begins soon after it."""
OPENING = 5.0
"""How soon."""
SPOKEN = 1.0
"""Voice before a beep that makes it a machine's; a microwave oven beeps without having spoken."""
KNOWN, MANY = 0.8, 0.5
"""Who says an answer, or this share of words that are listened for, of this confidence, is a person. Machines say
«пожалуйста», too."""

EVENTS = 64
"""Events kept for who does not ask; the oldest goes first."""
BACKLOG = 4
"""Stretches of speech that may wait for the recogniser; the oldest goes un-understood."""
BYTES = 2 * RATE
"""In a second of PCM."""


@dataclass(frozen=True, slots=True)
class SpeechBegan:
    """Somebody has begun to speak. A Heard follows, or a Noise."""


Event = SpeechBegan | Heard | Noise


class Listener:
    """Ears for one call: feed it every frame, and take what comes of `events`. Bounded in memory.

    Without a recogniser it still tells that somebody speaks: one UNKNOWN word.
    """

    def __init__(self, ears: Recogniser | None, detectors: Detectors) -> None:
        self.events: asyncio.Queue[Event] = asyncio.Queue(EVENTS)
        self.voiced = 0.0
        """How much voice there was."""
        self._ears = ears
        self._question: Question | None = None
        self._activity = Activity(detectors)
        self._echo = EchoGuard()
        self._tones = Tones()
        self._opening = _Opening()
        self._noises: set[Noise] = set()
        self._frames = 0
        self._last_voice = 0.0
        self._likely = 0
        """Windows on end that are likely a voice."""
        self._recent: deque[bytes] = deque(maxlen=_frames(PRE_ROLL))
        self._between: deque[bytes] = deque(maxlen=_frames(BEFORE + PRE_ROLL))
        """The sound in which nobody spoke."""
        self._utterance: _Utterance | None = None
        """What is being said right now."""
        self._answered: _Utterance | None = None
        """What was taken for an answer a moment ago, for when it goes on."""
        self._waiting: asyncio.Queue[_Utterance] = asyncio.Queue()
        self._worker: asyncio.Task[None] | None = None
        self._idle = asyncio.Event()
        self._idle.set()

    @property
    def now(self) -> float:
        """How much was fed."""
        return self._frames * FRAME / RATE

    @property
    def silence(self) -> float:
        """Since the last voice, or since the beginning."""
        return self.now - self._last_voice

    def expect(self, question: Question | None) -> None:
        """Listen for its phrases, also in what is being said right now. None: only whether somebody speaks."""
        self._question = question
        if self._utterance is not None:
            self._tell_worker(self._utterance)

    def feed(self, pcm: bytes, played: bytes | None = None) -> None:
        """Take 20 ms of PCM; `played` is what was played to the person meanwhile."""
        frame = _samples(pcm)
        self._frames += 1
        self._echo.feed(frame, _samples(played) if played is not None else None)
        self._recent.append(pcm)
        if self._utterance is not None:
            self._utterance.pcm += pcm
        else:
            self._between.append(pcm)
        if self._answered is not None:
            self._await_more(self._answered, pcm)
        for window in self._activity.feed(frame):
            self._look(window)
        self._listen_for_tones(frame)
        if self._utterance is not None:
            self._follow(self._utterance)

    async def caught_up(self) -> None:
        """Wait until all that was fed is thought about: for sound fed faster than time."""
        await self._idle.wait()

    async def aclose(self) -> None:
        """Listen no more."""
        self._activity.close()
        if self._worker is not None:
            self._worker.cancel()
            with contextlib.suppress(asyncio.CancelledError):
                await self._worker
        self._idle.set()

    # what is heard, frame by frame

    def _look(self, window: Window) -> None:
        utterance = self._utterance
        if not self._is_voice(window, utterance):
            self._likely = 0
            return
        self._likely += 1
        if utterance is None and self._likely < self._windows_needed(window):
            return
        self.voiced += WINDOW / RATE
        self._last_voice = window.ends
        self._opening.voice(window.ends)
        if utterance is None:
            utterance = self._begin(window.ends - self._likely * WINDOW / RATE)
        utterance.voice(window)

    def _windows_needed(self, window: Window) -> int:
        if self._echo.is_there:
            return THROUGH_ECHO
        return 1 if window.probability >= SURE else 2

    def _is_voice(self, window: Window, utterance: _Utterance | None) -> bool:
        if window.probability < (LIKELY if utterance is None else GOES_ON):
            return False
        if window.level < self._activity.noise.level + ABOVE_NOISE:
            return False
        going_on = utterance or self._answered
        if going_on is not None and window.level < going_on.faded:
            return False
        return not self._echo.is_echo()

    def _begin(self, moment: float) -> _Utterance:
        utterance = self._utterance = self._answered or self._new(moment)
        self._answered = None
        self._tell(SpeechBegan())
        if self._waiting.qsize() >= BACKLOG:
            self._tell(self._waiting.get_nowait().unheard())
        self._waiting.put_nowait(utterance)
        self._idle.clear()
        if self._worker is None:
            self._worker = asyncio.create_task(self._hear_all())
        return utterance

    def _new(self, moment: float) -> _Utterance:
        pcm = bytearray(b"".join(self._recent))
        starts = self.now - len(pcm) / BYTES
        before = b"".join(list(self._between)[: -_frames(PRE_ROLL)])
        return _Utterance(moment, starts, pcm, before, self._activity.noise.level)

    def _await_more(self, answered: _Utterance, pcm: bytes) -> None:
        """Until LATE what she says next still belongs to it."""
        answered.pcm += pcm
        if self.now - answered.last_voice >= LATE or answered.seconds >= LONGEST:
            self._answered = None

    def _follow(self, utterance: _Utterance) -> None:
        utterance.silence = self.now - utterance.last_voice
        utterance.is_suspect = self._opening.is_a_greeting and Noise.MACHINE not in self._noises
        if utterance.silence >= LATE or utterance.seconds >= LONGEST:
            self._end(utterance)
        self._tell_worker(utterance)

    def _end(self, utterance: _Utterance) -> None:
        utterance.is_over = True
        if self._utterance is utterance:
            self._utterance = None
            self._recent.clear()

    def _listen_for_tones(self, frame: Samples) -> None:
        tone = self._tones.feed(frame)
        if tone is None or self._echo.is_echo():
            return
        if tone is Tone.FAX:
            self._tell_noise(Noise.FAX)
        elif tone is Tone.RING:
            self._tell_noise(Noise.TONE)
        elif self.voiced >= SPOKEN and self.silence >= BEEP_SECONDS and not self._opening.is_a_person:
            self._tell_noise(Noise.MACHINE)

    def _tell_noise(self, noise: Noise) -> None:
        if noise not in self._noises:
            self._noises.add(noise)
            self._tell(noise)

    def _tell(self, event: Event) -> None:
        if self.events.full():
            self.events.get_nowait()
        self.events.put_nowait(event)

    # what is said, in a task of its own

    def _tell_worker(self, utterance: _Utterance) -> None:
        self._idle.clear()
        utterance.news.set()

    async def _hear_all(self) -> None:
        """One stretch of speech after the other."""
        while True:
            if self._waiting.empty():
                self._idle.set()
            utterance = await self._waiting.get()
            try:
                heard = await self._hear(utterance)
            except Exception:
                log.exception("the ears fail; what was said is not understood")
                heard = utterance.unheard()
            self._end(utterance)
            if heard is not None:
                self._tell(heard)

    async def _hear(self, utterance: _Utterance) -> Heard | None:
        """Follow it to its end. None: it was a machine, and that is told."""
        attempt: _Attempt | None = None
        while True:
            await self._news_of(utterance)
            attempt = await self._understand(utterance, attempt)
            words = attempt.words if attempt is not None else ()
            if attempt is not None and utterance.counts and attempt.is_a_persons:
                self._opening.is_a_person = True
            if utterance.is_suspect and self._opening.is_a_greeting:
                self._tell_noise(Noise.MACHINE)
                return None
            if attempt is not None and utterance.is_over and attempt.is_outdated(utterance):
                continue  # it went on, and ended, while the ears were at its first half
            if utterance.is_over or (attempt is not None and attempt.is_answer(utterance)):
                is_early = not utterance.is_over
                self._end(utterance)
                if attempt is not None and attempt.is_a_machines:
                    self._tell_noise(Noise.MACHINE)
                    return None
                self._answered = utterance.resumed(attempt.question) if attempt and is_early else None
                pitch = await asyncio.to_thread(median_pitch, utterance.heard_pcm())
                readings = attempt.hearing.readings if attempt is not None else ()
                return utterance.heard(words or (), pitch, readings)

    async def _news_of(self, utterance: _Utterance) -> None:
        if not utterance.news.is_set():
            self._idle.set()
        await utterance.news.wait()
        utterance.news.clear()

    async def _understand(self, utterance: _Utterance, attempt: _Attempt | None) -> _Attempt | None:
        """Take what is new of it; from its beginning when the question is another, or speech went on after all."""
        question = utterance.answered or self._question
        if self._ears is None or question is None:
            return None
        if attempt is None or attempt.question is not question or attempt.is_outdated(utterance):
            hearing = self._ears.listen(question.phrases)
            attempt = _Attempt(question, hearing, is_cleaned=not self._ears.knows_noise)
        await attempt.take(utterance)
        return attempt


@dataclass(slots=True, eq=False)
class _Utterance:
    """One stretch of speech while it lasts."""

    began: float
    starts: float
    """The moment its PCM starts at."""
    pcm: bytearray
    before: bytes
    """The sound before anybody spoke."""
    noise: float
    """The level of the noise before it."""
    last_voice: float = 0.0
    loudest: float = -120.0
    behind: float = -120.0
    """The level of the talk that somebody nearer has begun to speak over."""
    louder: int = 0
    """Windows on end that are much louder than what was before them."""
    loudest_before: deque[float] = field(default_factory=lambda: deque(maxlen=1 + ONSET))
    """As it was at each of the last windows that were not."""
    silence: float = 0.0
    """After the last voice."""
    is_over: bool = False
    answered: Question | None = None
    """What it was taken for an answer to before it went on."""
    is_suspect: bool = False
    """It may be a machine's greeting: what are its words so far?"""
    news: asyncio.Event = field(default_factory=asyncio.Event)

    @property
    def seconds(self) -> float:
        """Of it so far, the talk behind the speaker left out."""
        return (len(self.pcm) - self._at(self.began)) / BYTES

    def voice(self, window: Window) -> None:
        """It goes on; perhaps it is only now that it begins, and was talk behind the speaker so far."""
        self.last_voice = window.ends
        self.loudest = max(self.loudest, window.level)
        before = self.loudest_before
        if len(before) < 1 + ONSET or window.level <= before[0] + MUCH_LOUDER:
            self.louder = 0
            before.append(self.loudest)
            return
        self.louder += 1
        begins = window.ends - (STAYS + ONSET) * WINDOW / RATE
        if self.louder == STAYS and begins - self.began >= TALKED:
            self.behind, self.began = before[0], begins
            before.clear()

    def speech(self, is_cleaned: bool) -> bytes:
        """As much of it as speech is, with a hush on either side; `is_cleaned`: lifted out of the noise."""
        speech = self.heard_pcm()
        if is_cleaned:
            speech = as_pcm(cleaned(_samples(speech), _samples(self.before))).tobytes()
        return HUSH + speech + HUSH

    def heard_pcm(self) -> bytes:
        """As much of it as speech is."""
        return bytes(self.pcm[self.first_heard() : self.last_heard()])

    def first_heard(self) -> int:
        """Where in the PCM it rises from the noise: back from where it was noticed, over no longer pause than GAP."""
        noticed, step, quiet = self._at(self.began), 2 * FRAME, 0
        rises = max(self.noise + RISES, self.faded)
        rose = noticed
        for at in range(noticed - step, -1, -step):
            is_loud = decibels(_samples(bytes(self.pcm[at : at + step]))) > rises
            quiet = 0 if is_loud else quiet + 1
            if is_loud:
                rose = at
            elif quiet * FRAME / RATE > GAP:
                break
        return max(0, rose - _bytes(LEAD))

    def last_heard(self) -> int:
        """Where in the PCM the voice has ended so far, and a little more."""
        return min(len(self.pcm), self._at(self.last_voice) + _bytes(TAIL))

    def _at(self, moment: float) -> int:
        return min(len(self.pcm), _bytes(max(0.0, moment - self.starts)))

    @property
    def faded(self) -> float:
        """The level at which its speech has faded out: talk in the room does not prolong it."""
        faded = self.loudest - min(FADED, NEARER * (self.loudest - self.noise))
        return max(faded, self.behind + ABOVE_TALK)

    @property
    def is_quiet(self) -> bool:
        """May it have ended?"""
        return self.silence >= EARLY and self.seconds <= QUICK

    @property
    def is_paused(self) -> bool:
        """Has it ended, if it is an answer that sounds over?"""
        soon = SOON if self.loudest - self.noise >= NOISY else SOON_IN_NOISE
        return self.silence >= soon and self.seconds <= QUICK

    @property
    def counts(self) -> bool:
        """Does what was said so far tell who is speaking?"""
        return self.is_over or self.is_paused or self.is_suspect

    def heard(
        self, words: tuple[Word, ...], pitch: float | None, readings: tuple[Reading, ...] = ()
    ) -> Heard:
        seconds = round(self.last_voice - self.began, 3)
        over_talk = self.behind > self.noise
        amends = self.answered is not None
        return Heard(words or (Word(UNKNOWN, 0.0),), seconds, pitch, readings, over_talk, amends)

    def resumed(self, answered: Question) -> _Utterance:
        """The same speech, if it goes on."""
        return replace(self, answered=answered, is_over=False, news=asyncio.Event())

    def unheard(self) -> Heard:
        """The ears have failed: that amends nothing."""
        return replace(self.heard((), None), amends=False)


@dataclass(slots=True)
class _Attempt:
    """To understand an utterance as an answer to a question.

    A recogniser says late what it is certain of; made to finish, it says at once. So it is given all there is as soon
    as the voice rests, and if the speech goes on, another one hears it from its beginning: speech is heard a hundred
    times faster than it is spoken.
    """

    question: Question
    hearing: Hearing
    is_cleaned: bool
    words: tuple[Word, ...] | None = None
    """Once it was made to finish."""
    voice: float = 0.0
    """The last there was by then."""
    sounds_over: bool = True
    """Its pitch had fallen, or there was none."""

    def is_outdated(self, utterance: _Utterance) -> bool:
        return self.words is not None and utterance.last_voice > self.voice

    async def take(self, utterance: _Utterance) -> None:
        if self.words is not None:
            return
        if utterance.is_quiet or utterance.counts:
            voice, pcm = utterance.last_voice, utterance.heard_pcm()
            await self.hearing.feed(await asyncio.to_thread(utterance.speech, self.is_cleaned))
            self.words, self.voice = await self.hearing.finish(), voice
            if not utterance.is_over and self.question.is_complete(self.words):
                self.sounds_over = await asyncio.to_thread(has_fallen, pcm)

    @property
    def is_a_persons(self) -> bool:
        """Could a machine not have said these words?"""
        if not self.words or self.is_a_machines:
            return False
        known = [word for word in self.words if word.text != UNKNOWN and word.confidence >= KNOWN]
        return len(known) >= MANY * len(self.words) or self.question.is_complete(self.words)

    @property
    def is_a_machines(self) -> bool:
        return bool(self.words) and self.question.is_machines(self.words or ())

    def is_answer(self, utterance: _Utterance) -> bool:
        """Its words will do, and it is still silent."""
        if self.words is None or not utterance.is_paused or self.is_outdated(utterance):
            return False
        return (self.sounds_over or utterance.silence >= UNFINISHED) and self.question.is_complete(self.words)


@dataclass(slots=True)
class _Opening:
    """How the call begins: does somebody talk who waits for no answer?"""

    is_a_person: bool = False
    """Something was understood."""
    first: float | None = None
    """Moment of the first voice of the call."""
    talk: float = 0.0
    """When the talk began that has had no pause since."""
    last: float = 0.0

    def voice(self, moment: float) -> None:
        if self.first is None:
            self.first = self.talk = moment
        elif moment - self.last > PAUSE:
            self.talk = moment
        self.last = moment

    @property
    def is_a_greeting(self) -> bool:
        if self.is_a_person or self.first is None or self.first > AT_ONCE:
            return False
        if self.talk - self.first > OPENING:
            return False
        return self.last - self.talk >= (GREETING if self.talk == self.first else LATER)


def _frames(seconds: float) -> int:
    return round(seconds * RATE / FRAME)


def _bytes(seconds: float) -> int:
    """Of PCM; whole samples."""
    return 2 * round(seconds * RATE)


def _samples(pcm: bytes) -> Samples:
    return np.frombuffer(pcm, "<i2").astype(np.float32) / np.float32(32768)
