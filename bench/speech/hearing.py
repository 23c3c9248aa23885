"""One clip through the path of a call: the Listener frame by frame, then what was meant.

Nothing here is paced: after every frame it waits until the ears have thought, so that what is decided in which
20 ms of sound is the same on every machine. `latency` measures against the clock.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

from bench.speech import spoil
from bench.speech.clips import NONE, RATINGS, Clip, Phrase
from ivr.dialplan.understanding import READ_BACK, Pack, Rating, Wish
from ivr.heard import Heard, Noise, Question, Word
from ivr.speech.activity import Detectors
from ivr.speech.ears import Recogniser
from ivr.speech.listener import Listener, SpeechBegan

UNSURE, SILENCE = "unsure", "silence"
"""Outcomes beside ratings and intents: not understood, or not over when the clip was; no speech noticed at all."""
FRAME = 0.020


@dataclass(frozen=True, slots=True)
class Judged:
    """What became of one clip."""

    clip: Clip
    words: tuple[tuple[Word, ...], ...]
    """Of each stretch of speech that was heard."""
    outcome: str
    """`1` to `5`, an intent, UNSURE or SILENCE: of the first stretch that meant anything."""
    at_once: bool
    """The first stretch meant it; else the robot has asked again in between."""
    confidence: float
    read_back: bool
    """A rating, or a wish that weighs as much, so uncertain that the person is asked whether it is right."""
    began: float | None
    """Seconds of sound from the beginning of the speech to SpeechBegan; negative: noise was taken for it."""
    decided: float | None
    """Seconds of sound from the end of the speech to the decision; negative: it was cut short."""

    @property
    def phrase(self) -> Phrase:
        return self.clip.spoken.phrase

    @property
    def accepted(self) -> bool:
        """Understood, and rightly. What is no answer is right to be taken for none."""
        if self.phrase.means == NONE:
            return self.is_nothing
        return self.at_once and self.outcome == self.phrase.means

    @property
    def wrong(self) -> bool:
        """Taken for something that was not said, and not asked whether that is right."""
        return not self.read_back and self.is_another

    @property
    def doubted(self) -> bool:
        """Taken for something that was not said, but the person is asked whether that is right."""
        return self.read_back and self.is_another

    @property
    def is_another(self) -> bool:
        return not self.is_nothing and self.outcome not in {self.phrase.means, *self.phrase.also}

    @property
    def wrong_rating(self) -> bool:
        return self.wrong and self.outcome in RATINGS

    @property
    def is_nothing(self) -> bool:
        return self.outcome in {UNSURE, SILENCE}


async def listen(
    ears: Recogniser, detectors: Detectors, question: Question, frames: Iterable[bytes]
) -> list[tuple[float, SpeechBegan | Heard | Noise]]:
    """All that the listener tells, and after how many seconds of sound."""
    listener = Listener(ears, detectors)
    listener.expect(question)
    told: list[tuple[float, SpeechBegan | Heard | Noise]] = []
    try:
        for number, frame in enumerate(frames, start=1):
            listener.feed(frame)
            await listener.caught_up()
            while not listener.events.empty():
                told.append((number * FRAME, listener.events.get_nowait()))
    finally:
        await listener.aclose()
    return told


async def judged(
    clip: Clip, sound: spoil.Received, ears: Recogniser, detectors: Detectors, pack: Pack
) -> Judged:
    phrase = clip.spoken.phrase
    told = await listen(ears, detectors, pack.question(phrase.asked), sound.frames)
    began = [at - sound.begins for at, event in told if isinstance(event, SpeechBegan)]
    heard: list[tuple[float, Heard]] = []
    for at, event in told:
        if isinstance(event, Heard):
            if event.amends and heard:
                heard.pop()
            heard.append((at, event))
    outcome, confidence, decided, at_once = UNSURE if began else SILENCE, 0.0, None, False
    for number, (at, stretch) in enumerate(heard):
        meaning = pack.understand(stretch, phrase.asked)
        if isinstance(meaning, Rating | Wish):
            outcome = str(meaning.value if isinstance(meaning, Rating) else meaning.intent)
            confidence, decided, at_once = meaning.confidence, at - sound.ends, number == 0
            break
    return Judged(
        clip=clip,
        words=tuple(stretch.words for _, stretch in heard),
        outcome=outcome,
        at_once=at_once,
        confidence=confidence,
        read_back=outcome in {*RATINGS, *READ_BACK} and confidence < pack.thresholds[phrase.asked].sure,
        began=began[0] if began else None,
        decided=decided if decided is not None else heard[-1][0] - sound.ends if heard else None,
    )
