"""The robot's conversation, branch by branch: the real Russian vocabulary, and a resident who follows a script."""

from __future__ import annotations

from dataclasses import dataclass, replace
from datetime import UTC, datetime
from pathlib import Path
from random import Random

import pytest

from ivr.call import Kind
from ivr.dialplan.understanding import Pack, Rating
from ivr.errors import HungUp
from ivr.heard import Answer, Heard, Key, Noise, Question
from ivr.line import ListeningLine
from ivr.settings import HERE
from ivr.speech.phrasebook import Phrasebook
from robocalls import survey as conversation
from robocalls.nouns import By, Job, Result, Said
from robocalls.survey import (
    CHILD_HZ,
    JOB_PROMPTS,
    MOST_ASKS,
    PROMPTS,
    PUT_THROUGH,
    Ending,
    HangUp,
    Transfer,
    survey,
)
from tests.fake_listening import (
    Act,
    FakeListeningLine,
    Reply,
    hangs_up,
    heard,
    is_noise,
    presses,
    says,
)  # fmt: skip

RU = Pack.read("ru")
JOB = Job(
    survey=1, call="dozvon-survey-1-1", ticket=7042, phone="+79160000001", company_id=1, line="+74951230001",
    category="water", queue="north", registered_at=datetime(2026, 11, 14, 9, 0, tzinfo=UTC), zone="Europe/Moscow",
    address="Москва, ул. Лесная, д. 15", flat="12", name="Смирнов Олег Павлович",
)  # fmt: skip
ASKED = ["survey_welcome", "survey_job", "survey_question"]
FAINTLY = 0.7
"""Between what is understood at all and what is sure."""


@dataclass
class Talk:
    """What a conversation came to."""

    ending: Ending | None
    """None: she hung up."""
    told: list[Said]
    line: FakeListeningLine
    seconds: float

    @property
    def results(self) -> list[Result]:
        return [said.result for said in self.told]

    @property
    def ratings(self) -> list[int | None]:
        return [said.rating for said in self.told]

    @property
    def last(self) -> Said:
        return self.told[-1]


async def talk(*script: Reply | Act, job: Job = JOB, hears: bool = True) -> Talk:
    return await talk_over(FakeListeningLine(*script, hears=hears), job)


async def talk_over(line: FakeListeningLine, job: Job = JOB) -> Talk:
    told: list[Said] = []
    began = line.clock.at
    try:
        ending: Ending | None = await survey(line, job, RU, told.append, line.clock)
    except HungUp:
        ending = None
    return Talk(ending, told, line, (line.clock.at - began).total_seconds())


def faintly(words: str) -> Heard:
    return heard(words, FAINTLY)


def child(words: str) -> Heard:
    return heard(words, pitch=CHILD_HZ + 30)


def grown_up(words: str) -> Heard:
    return heard(words, pitch=190.0)


def strange(seconds: float = 1.4) -> Heard:
    """Speech in which not one word of ours was."""
    return heard("[unk] [unk]", seconds=seconds)


def noise(kind: Noise, *, during: str = "survey_job") -> Act:
    return is_noise(kind, during=during)


def test_the_fake_is_a_line() -> None:
    line: ListeningLine = FakeListeningLine()
    assert line.hears


def thanks_for(rating: str) -> str:
    return "survey_sorry" if rating in {"один", "два"} else "survey_thanks"


def goes_on(whole: str, answer: str) -> Act:
    """From her answer, right after it."""
    return says(whole, during=thanks_for(answer), after=0.1, amends=True)


# A rating


async def test_a_rating_said_is_told_and_thanked_for() -> None:
    one = await talk("пятёрка")
    assert one.ending == HangUp()
    assert (one.results, one.ratings, one.last.by) == ([Result.RATED], [5], By.VOICE)
    assert one.line.prompts == [*ASKED, "survey_thanks"]


async def test_she_is_told_that_it_is_a_robot_and_records_before_anything_is_asked() -> None:
    one = await talk(says("алло", during="survey_welcome"), "пять")
    assert one.line.heard[0] == ("survey_welcome", 3.0), "to its end, whatever she says"
    assert one.ratings == [5]


async def test_a_rating_said_into_the_question_stops_it() -> None:
    one = await talk(says("на четвёрочку", during="survey_question", after=0.5))
    assert one.ratings == [4]
    assert dict(one.line.heard)["survey_question"] < 1


@pytest.mark.parametrize("digit", ["1", "2", "3", "4", "5"])
@pytest.mark.parametrize("during", ASKED)
async def test_a_key_counts_at_any_moment(digit: str, during: str) -> None:
    one = await talk(presses(digit, during=during))
    assert (one.told[0].result, one.told[0].rating, one.told[0].by) == (Result.RATED, int(digit), By.KEY)


async def test_the_evidence_goes_with_the_answer() -> None:
    by_voice, by_key = await talk(heard("ставлю пять", 0.97, 0.96)), await talk(Key("4"))
    assert by_voice.last.detail == {"words": [["ставлю", 0.97], ["пять", 0.96]], "ask": 1}
    assert by_key.last.detail == {"key": "4", "ask": 1}


async def test_what_was_heard_is_noted_with_what_it_was_taken_for() -> None:
    one = await talk("не знаю", "пять")
    notes = [note for note in one.line.noted(Kind.HEARD) if "took" in note]
    assert notes == [
        {"question": "rating", "took": "unsure"},
        {"question": "rating", "took": "rating", "rating": 5, "sure": True},
    ]


async def test_while_it_says_thanks_it_still_listens() -> None:
    one = await talk("пять", says("ой нет четыре", during="survey_thanks"))
    assert one.ratings == [5, 4]
    assert one.line.prompts[-2:] == ["survey_thanks", "survey_thanks"]


async def test_who_takes_her_rating_back_is_asked_which_it_shall_be() -> None:
    one = await talk("пять", says("нет", during="survey_thanks"), "четыре")
    assert one.ratings == [5, 4]
    assert "survey_which" in one.line.prompts


@pytest.mark.parametrize(
    ("began", "whole"), [("четыре", "четыре пять"), ("два", "два три"), ("пять", "пять этаж")]
)
async def test_who_goes_on_from_her_answer_to_what_is_none_is_asked_again(began: str, whole: str) -> None:
    one = await talk(began, goes_on(whole, began), "пять")
    assert one.line.prompts == [*ASKED, thanks_for(began), "survey_clearer", "survey_thanks"]
    assert one.ratings[-1] == 5


async def test_who_goes_on_from_her_answer_and_then_says_nothing_has_rated_nothing() -> None:
    one = await talk("четыре", goes_on("четыре пять", "четыре"))
    assert one.results == [Result.RATED, Result.NOT_UNDERSTOOD]
    gone = await talk("два", goes_on("два три", "два"), hangs_up(during="survey_clearer"))
    assert gone.results == [Result.RATED, Result.NOT_UNDERSTOOD, Result.HUNG_UP]


@pytest.mark.parametrize(
    ("wish", "result"),
    [
        ("соедините с диспетчером", Result.HUMAN),
        ("не хочу отвечать", Result.REFUSED),
        ("больше не звоните", Result.OPTED_OUT),
        ("перезвоните позже", Result.LATER),
    ],
)
async def test_a_wish_does_not_leave_the_rating_that_she_went_on_from(wish: str, result: Result) -> None:
    one = await talk("четыре", goes_on("четыре пять", "четыре"), wish)
    assert one.results == [Result.RATED, Result.NOT_UNDERSTOOD, result]


async def test_who_goes_on_from_a_judgement_to_a_wish_has_rated_nothing() -> None:
    one = await talk("хорошо", goes_on("хорошо перезвоните позже", "хорошо"))
    assert one.results == [Result.RATED, Result.NOT_UNDERSTOOD, Result.LATER]


async def test_what_she_said_before_stands_again_when_what_replaced_it_is_taken_back() -> None:
    again = says("пять этаж", during="survey_thanks", after=0.1, amends=True)
    gone = hangs_up(during="survey_comment")
    one = await talk("не сделали", says("пять", during="survey_sorry"), again, gone)
    assert one.results == [Result.NOT_DONE, Result.RATED, Result.NOT_DONE]


async def test_who_goes_on_from_a_correction_to_what_is_none_is_asked_which_it_shall_be() -> None:
    again = says("нет два три", during="survey_sorry", after=0.1, amends=True)
    one = await talk("пять", says("нет два", during="survey_thanks"), again, "три")
    assert one.ratings == [5, 2, 5, 3]
    assert one.line.prompts[-2:] == ["survey_which", "survey_thanks"]


async def test_who_goes_on_from_her_answer_to_another_has_given_that() -> None:
    one = await talk("два", goes_on("два нет четыре", "два"))
    assert one.ratings == [2, 4]
    assert one.line.prompts == [*ASKED, "survey_sorry", "survey_thanks"]


@pytest.mark.parametrize("whole", ["пять спасибо", "пять пять", "пять с плюсом"])
async def test_who_goes_on_from_her_answer_to_the_same_is_told_to_have_given_it_once(whole: str) -> None:
    one = await talk("пять", goes_on(whole, "пять"))
    assert one.ratings == [5]
    assert one.line.prompts == [*ASKED, "survey_thanks", "survey_thanks"]


async def test_the_same_sound_heard_again_confirms_nothing() -> None:
    whole = says("четыре", during="survey_confirm_4", after=0.1, sure=FAINTLY, amends=True)
    one = await talk(faintly("четыре"), whole, hangs_up(during="survey_confirm_4", nth=2))
    assert one.results == [Result.HUNG_UP]
    never = says("больше не звоните", during="survey_confirm_opt_out", after=0.1, sure=FAINTLY, amends=True)
    one = await talk(faintly("больше не звоните"), never, hangs_up(during="survey_confirm_opt_out", nth=2))
    assert one.results == [Result.HUNG_UP]


async def test_what_she_goes_on_from_is_understood_by_the_question_it_answered() -> None:
    one = await talk(
        faintly("четыре"), "да", says("да конечно", during="survey_thanks", after=0.1, amends=True)
    )
    assert one.ratings == [4]
    assert one.line.prompts == [*ASKED, "survey_confirm_4", "survey_thanks", "survey_thanks"]


async def test_a_key_is_not_taken_back_by_what_she_goes_on_to_say() -> None:
    key = presses("3", during="survey_thanks", after=0.1)
    one = await talk(
        "четыре", key, says("четыре пять", during="survey_thanks", nth=2, after=0.1, amends=True)
    )
    assert one.ratings == [4, 3]


@pytest.mark.parametrize("last_words", ["хорошо", "хорошо до свидания", "отлично спасибо", "спасибо", "да"])
async def test_words_of_parting_are_no_other_rating(last_words: str) -> None:
    one = await talk("три", says(last_words, during="survey_thanks"))
    assert one.ratings == [3]
    assert one.line.prompts == [*ASKED, "survey_thanks"]


async def test_the_same_rating_said_twice_is_one_answer() -> None:
    one = await talk("пять", says("пять пять", during="survey_thanks"))
    assert one.ratings == [5]
    assert one.line.prompts.count("survey_thanks") == 1
    assert (await talk("единица", says("нет", during="survey_sorry"), "единица")).ratings == [1]


# Half understood


async def test_a_middling_rating_is_read_back_and_counts_only_then() -> None:
    one = await talk(faintly("четыре"), "верно")
    assert one.line.prompts[3] == "survey_confirm_4"
    assert one.ratings == [4]
    assert one.last.detail["read_back"] is True
    assert one.last.detail["words"] == [["четыре", FAINTLY]]


@pytest.mark.parametrize("also", ["четыре", "да четыре"])
async def test_the_same_rating_again_confirms_it(also: str) -> None:
    one = await talk(faintly("четыре"), faintly(also))
    assert one.ratings == [4]


async def test_a_middling_rating_denied_is_asked_for_again() -> None:
    one = await talk(faintly("четыре"), "нет", "три")
    assert one.line.prompts[3:5] == ["survey_confirm_4", "survey_clearer"]
    assert one.ratings == [3]


async def test_a_rating_corrected_in_the_same_breath_counts() -> None:
    one = await talk(faintly("четыре"), "нет пять")
    assert one.ratings == [5]


async def test_a_key_pressed_while_a_rating_is_read_back_counts() -> None:
    one = await talk(faintly("четыре"), Key("5"))
    assert one.ratings == [5]


async def test_a_middling_correction_is_read_back_too() -> None:
    one = await talk(faintly("четыре"), faintly("нет пять"), "да")
    assert one.line.prompts[3:5] == ["survey_confirm_4", "survey_confirm_5"]
    assert one.ratings == [5]


@pytest.mark.parametrize("reply", [None, "мастер приходил", "нет"])
async def test_what_is_not_confirmed_is_no_rating(reply: str | None) -> None:
    one = await talk(faintly("пять"), reply)
    assert one.ratings == [None]


async def test_who_hangs_up_while_it_is_read_back_has_rated_nothing() -> None:
    one = await talk(faintly("пять"), hangs_up(during="survey_confirm_5"))
    assert (one.results, one.last.by) == ([Result.HUNG_UP], By.EARS)
    assert one.last.detail["words"] == [["пять", FAINTLY]], "the evidence is kept"


@pytest.mark.parametrize(
    ("words", "prompt", "result"),
    [
        ("не сделали", "survey_confirm_not_done", Result.NOT_DONE),
        ("больше не звоните", "survey_confirm_opt_out", Result.OPTED_OUT),
    ],
)
async def test_what_has_consequences_is_not_done_on_a_half_heard_word(
    words: str, prompt: str, result: Result
) -> None:
    assert prompt in (await talk(faintly(words))).line.prompts
    assert (await talk(faintly(words), "да")).told[0].result is result
    assert (await talk(faintly(words), faintly(words))).told[0].result is result
    assert (await talk(faintly(words), "нет", "пять")).results == [Result.RATED]


# Not understood


async def test_unsure_is_asked_more_clearly_then_for_a_key_then_given_up() -> None:
    one = await talk("не знаю", "так себе", "не знаю")
    assert one.line.prompts == [*ASKED, "survey_clearer", "survey_keys", "survey_not_understood"]
    assert (one.results, one.last.by, one.ending) == ([Result.NOT_UNDERSTOOD], By.EARS, HangUp())


async def test_a_rating_that_stands_among_other_speech_is_none() -> None:
    one = await talk("три [unk]", "[unk] пять [unk]")
    assert one.ratings == [None]


async def test_once_keys_are_asked_for_the_voice_rates_no_more() -> None:
    one = await talk("не знаю", "не знаю", "пять")
    assert one.results == [Result.NOT_UNDERSTOOD]
    assert (await talk("не знаю", "не знаю", "пять", Key("5"))).ratings == [5]


async def test_noise_does_not_cut_the_request_for_a_key_short() -> None:
    one = await talk("не знаю", "не знаю", says("[unk]", during="survey_keys"), Key("4"))
    assert dict(one.line.heard)["survey_keys"] == 3.0
    assert one.ratings == [4]
    deaf = await talk(None, presses("4", during="survey_keys"), hears=False)
    assert dict(deaf.line.heard)["survey_keys"] < 1.0


async def test_once_keys_are_asked_for_the_voice_may_still_ask_for_a_person() -> None:
    one = await talk("не знаю", "не знаю", "позовите диспетчера")
    assert isinstance(one.ending, Transfer)


async def test_silence_is_asked_again_twice_and_ends_so() -> None:
    one = await talk()
    assert one.line.prompts == [*ASKED, "survey_clearer", "survey_keys", "survey_silent"]
    assert (one.results, one.ending) == ([Result.SILENT], HangUp())


async def test_who_said_something_and_then_nothing_was_not_silent() -> None:
    assert (await talk("не знаю")).results == [Result.NOT_UNDERSTOOD]


async def test_who_says_only_hello_is_simply_asked_again() -> None:
    one = await talk("алло", heard("[unk]", seconds=0.2), "пять")
    assert one.line.prompts == ["survey_welcome", *ASKED[1:] * 3, "survey_thanks"]
    assert one.ratings == [5]


async def test_who_says_nothing_but_hello_is_not_asked_for_ever() -> None:
    one = await talk(*["алло"] * 30)
    assert one.results == [Result.NOT_UNDERSTOOD]
    assert one.line.prompts.count("survey_question") == 3


@pytest.mark.parametrize("key", ["6", "7", "8", "#"])
async def test_a_wrong_key_is_named_and_the_question_asked_again(key: str) -> None:
    one = await talk(Key(key), Key("5"))
    assert one.line.prompts == [*ASKED, "survey_wrong_key", *ASKED[1:], "survey_thanks"]
    assert one.line.noted(Kind.WRONG_KEY) == [{"key": key}]
    assert one.ratings == [5]


async def test_the_star_and_the_word_repeat_the_question() -> None:
    for again in (Key("*"), "повторите"):
        one = await talk(again, "пять")
        assert one.line.prompts == [*ASKED, *ASKED[1:], "survey_thanks"]


async def test_without_ears_a_key_is_asked_for_straight_away() -> None:
    one = await talk("пять", Key("3"), hears=False)
    assert one.line.prompts == [
        "survey_welcome",
        "survey_job",
        "survey_by_key",
        "survey_keys",
        "survey_thanks",
    ]
    assert (one.ratings, one.last.by) == ([3], By.KEY)


async def test_without_ears_the_dispatcher_is_offered_by_key() -> None:
    one = await talk(Key("1"), None, None, Key("1"), hears=False)
    assert "survey_offer_keys" in one.line.prompts
    assert "survey_offer" not in one.line.prompts
    assert isinstance(one.ending, Transfer)


# A job badly done


@pytest.mark.parametrize("mark", ["единица", "двойка"])
async def test_a_low_rating_is_told_at_once_then_it_is_sorry_and_takes_a_comment(mark: str) -> None:
    one = await talk(mark, None, "мастер был груб", "да")
    assert one.line.prompts == [
        *ASKED, "survey_sorry", "survey_comment", "survey_reopened", "survey_offer",
    ]  # fmt: skip
    assert one.results == [Result.RATED]
    assert one.line.comment is not None


async def test_it_is_told_before_she_can_hang_up_at_the_apology() -> None:
    one = await talk("два", hangs_up(during="survey_sorry", after=0.0))
    assert (one.results, one.ratings, one.ending) == ([Result.RATED], [2], None)


@pytest.mark.parametrize("words", ["не сделали", "никто не приходил", "опять течёт"])
async def test_a_job_that_was_not_done_goes_the_same_way(words: str) -> None:
    one = await talk(words, None, "течёт кран", "да")
    assert (one.results, one.ratings) == ([Result.NOT_DONE], [None])
    assert one.ending == Transfer("Не сделано", "water", conversation.BAD_JOB_PRIORITY)
    assert "survey_comment" in one.line.prompts


async def test_the_dispatcher_is_told_why() -> None:
    assert (await talk("два", None, None, "да")).ending == Transfer("Оценка 2", "water", 10)
    assert (await talk("позовите человека")).ending == Transfer("Просит диспетчера", "water", 5)
    assert (await talk("три", Key("0"))).ending == Transfer("Оценка 3", "water", 5)


async def test_where_she_is_put_through_to_is_noted_and_told_when_it_is_certain() -> None:
    one = await talk(Key("0"))
    assert PUT_THROUGH not in one.line.prompts
    assert one.line.noted(Kind.WENT) == [
        {"place": "queue", "queue": "north", "category": "water", "priority": 5, "why": "Просит диспетчера"}
    ]


@pytest.mark.parametrize("reply", ["нет", "не надо", "потом", Key("2")])
async def test_who_wants_no_dispatcher_is_let_go(reply: Reply) -> None:
    one = await talk("два", None, None, reply)
    assert one.ending == HangUp()
    assert one.line.prompts[-2:] == ["survey_offer", "survey_goodbye"]
    assert one.results == [Result.RATED]


@pytest.mark.parametrize("reply", [None, "мастер приходил", Key("7")])
async def test_the_offer_is_made_once_more_by_key_to_who_was_not_understood(reply: Reply) -> None:
    one = await talk("два", None, None, reply, Key("1"))
    assert one.line.prompts[-2:] == ["survey_offer", "survey_offer_keys"]
    assert (await talk("два", None, None, reply)).ending == HangUp()


async def test_at_the_offer_one_is_yes_and_no_rating() -> None:
    one = await talk("два", None, None, Key("1"))
    assert one.ratings == [2]
    assert isinstance(one.ending, Transfer)


async def test_who_took_one_for_the_best_can_put_it_right() -> None:
    one = await talk(Key("1"), says("нет пять", during="survey_sorry"))
    assert one.ratings == [1, 5]
    assert "survey_comment" not in one.line.prompts
    assert (await talk(Key("1"), says("нет", during="survey_sorry"), "пять")).ratings == [1, 5]
    assert (await talk(Key("1"), None, None, Key("5"))).ratings == [1, 5]


async def test_complaining_into_the_apology_is_no_other_rating() -> None:
    for words in (heard("плохо"), heard("не сделали"), child("мама")):
        one = await talk("единица", Act("survey_sorry", 0.3, words))
        assert (one.results, one.ratings) == ([Result.RATED], [1])
        assert "survey_comment" in one.line.prompts


async def test_it_is_sorry_once() -> None:
    one = await talk("единица", says("нет двойка", during="survey_sorry"))
    assert one.ratings == [1, 2]
    assert one.line.prompts.count("survey_sorry") == 1


async def test_a_three_does_not_say_that_the_job_was_done_after_all_and_a_five_does() -> None:
    assert (await talk("три но не доделали")).results == [Result.NOT_DONE]
    assert (await talk("не доделали", says("ну тройка", during="survey_sorry"))).results == [Result.NOT_DONE]
    one = await talk("не доделали", says("нет пять", during="survey_sorry"))
    assert (one.results, one.ratings) == ([Result.NOT_DONE, Result.RATED], [None, 5])


async def test_there_is_one_comment_a_call() -> None:
    one = await talk("два", None, "плохо", Key("5"), says("ой нет два", during="survey_thanks"))
    assert one.ratings == [2, 5, 2]
    assert one.line.prompts.count("survey_comment") == 1


async def test_a_rating_and_a_wish_in_one_breath_both_count() -> None:
    human, never = await talk("два позовите диспетчера"), await talk("пять больше не звоните")
    assert (human.ratings, human.ending) == ([2], Transfer("Оценка 2", "water", 10))
    assert never.results == [Result.RATED, Result.OPTED_OUT]


# What else she may want


@pytest.mark.parametrize("wish", ["позовите человека", "соедините с диспетчером", Key("0")])
async def test_who_wants_a_person_is_put_through_at_once(wish: Reply) -> None:
    one = await talk(wish)
    assert one.results == [Result.HUMAN]
    assert isinstance(one.ending, Transfer)


@pytest.mark.parametrize(
    ("words", "result", "prompt"),
    [
        ("перезвоните позже", Result.LATER, "survey_later"),
        ("отстаньте", Result.REFUSED, "survey_refused"),
        ("не буду отвечать", Result.REFUSED, "survey_refused"),
        ("больше не звоните", Result.OPTED_OUT, "survey_opted_out"),
        ("вы ошиблись номером", Result.WRONG_NUMBER, "survey_wrong_number"),
        ("не понимаю по-русски", Result.FOREIGN, "survey_foreign"),
    ],
)
async def test_each_wish_is_its_own_outcome_with_a_polite_goodbye(
    words: str, result: Result, prompt: str
) -> None:
    one = await talk(words)
    assert (one.results, one.last.by, one.ending) == ([result], By.VOICE, HangUp())
    assert one.line.prompts[-1] == prompt


async def test_nine_is_never_again() -> None:
    one = await talk(Key("9"))
    assert (one.results, one.last.by) == ([Result.OPTED_OUT], By.KEY)
    assert one.line.prompts[-1] == "survey_opted_out"


async def test_who_has_rated_and_is_in_a_hurry_has_rated_all_the_same() -> None:
    for wish in ("мне некогда", "перезвоните позже"):
        one = await talk("пять", says(wish, during="survey_thanks"))
        assert one.results == [Result.RATED]


async def test_who_asks_which_job_is_told_it_in_full_only_when_she_lives_there() -> None:
    one = await talk("какая заявка", "да", "четыре")
    assert one.line.prompts == [
        *ASKED, "survey_job", "survey_live_here", "survey_job_full", "survey_clearer", "survey_thanks",
    ]  # fmt: skip
    assert one.ratings == [4]


async def test_who_has_confirmed_once_is_not_asked_again_who_she_is() -> None:
    one = await talk("какая заявка", "да", "какая заявка", "пять")
    assert one.line.prompts.count("survey_live_here") == 1
    assert one.line.prompts.count("survey_job_full") == 2


async def test_who_does_not_live_there_hears_nothing_personal() -> None:
    one = await talk("какая заявка", "нет")
    assert (one.results, one.line.prompts[-1]) == ([Result.WRONG_NUMBER], "survey_wrong_number")
    assert "survey_job_full" not in one.line.prompts


@pytest.mark.parametrize("reply", [None, "мастер приходил", "какая заявка"])
async def test_who_does_not_confirm_hears_nothing_personal(reply: str | None) -> None:
    one = await talk("какая заявка", reply, "пять")
    assert "survey_job_full" not in one.line.prompts


async def test_who_answers_instead_of_confirming_has_answered() -> None:
    one = await talk("какая заявка", "пять")
    assert one.ratings == [5]
    assert "survey_job_full" not in one.line.prompts


async def test_without_an_address_she_is_asked_whether_it_was_her_request() -> None:
    one = await talk("какая заявка", "да", "пять", job=replace(JOB, address=None))
    assert "survey_was_it_you" in one.line.prompts
    assert one.ratings == [5]


async def test_a_wrong_number_takes_back_what_was_said_before() -> None:
    one = await talk("пять", says("вы ошиблись номером", during="survey_thanks"))
    assert one.results == [Result.RATED, Result.WRONG_NUMBER]


# Who is not asked


async def test_a_child_is_asked_to_call_a_grown_up_and_rates_nothing() -> None:
    one = await talk(child("пять"))
    assert one.line.prompts == [*ASKED, "survey_grown_up", "survey_child"]
    assert (one.results, one.last.by) == ([Result.CHILD], By.EARS)
    assert one.last.detail["pitch"] == round(CHILD_HZ + 30)


async def test_the_grown_up_who_comes_is_greeted_and_asked() -> None:
    one = await talk(child("пять"), child("мама тебя"), grown_up("алло"), grown_up("четыре"))
    assert one.line.prompts == [*ASKED, "survey_grown_up", *ASKED, "survey_thanks"]
    assert one.ratings == [4]


async def test_the_grown_up_is_asked_from_the_beginning() -> None:
    one = await talk("не знаю", child("пять"), grown_up("алло"), grown_up("пять"))
    assert one.line.prompts[3:] == ["survey_clearer", "survey_grown_up", *ASKED, "survey_thanks"]


async def test_a_child_in_the_background_takes_nothing_back() -> None:
    one = await talk("пять", Act("survey_thanks", 0.3, child("мама")))
    assert one.results == [Result.RATED]
    assert "survey_grown_up" not in one.line.prompts


async def test_what_a_child_says_while_it_waits_does_not_go_on_for_ever() -> None:
    one = await talk(*[child("пять")] * 30)
    assert one.results == [Result.CHILD]
    assert one.line.prompts.count("survey_grown_up") == 1


async def test_once_a_child_was_heard_a_voice_that_cannot_be_measured_rates_nothing() -> None:
    assert (await talk(child("пять"), "пять", "пять", "пять")).results == [Result.NOT_UNDERSTOOD]
    assert (await talk(child("пять"), Key("5"))).ratings == [5]


async def test_a_child_that_says_so_is_believed_whatever_its_voice() -> None:
    one = await talk(grown_up("мамы нет дома"))
    assert (one.results, one.last.by) == ([Result.CHILD], By.VOICE)


async def test_a_woman_who_shouts_is_heard_when_she_wants_something() -> None:
    assert (await talk(child("не сделали"))).told[0].result is Result.NOT_DONE
    assert isinstance((await talk(child("позовите человека"))).ending, Transfer)


@pytest.mark.parametrize("hz", [180.0, 255.0, CHILD_HZ])
async def test_a_woman_s_voice_is_no_child_s(hz: float) -> None:
    assert (await talk(heard("пять", pitch=hz))).ratings == [5]


async def test_another_language_is_offered_the_keys_and_is_its_own_outcome() -> None:
    one = await talk(strange(), strange(), strange())
    assert one.line.prompts[-2:] == ["survey_keys_foreign", "survey_foreign"]
    assert (one.results, one.last.by) == ([Result.FOREIGN], By.EARS)
    assert (await talk(strange(), strange(), Key("4"))).ratings == [4]


@pytest.mark.parametrize("short", [strange(0.9), heard("[unk] мастер", seconds=2.0)])
async def test_short_sounds_and_known_words_are_no_other_language(short: Heard) -> None:
    assert (await talk(short, short, short)).results == [Result.NOT_UNDERSTOOD]


@pytest.mark.parametrize("kind", list(Noise))
async def test_to_a_machine_nothing_more_is_said(kind: Noise) -> None:
    one = await talk(noise(kind))
    assert (one.results, one.last.by, one.ending) == ([Result(kind)], By.EARS, HangUp())
    assert one.line.prompts == ["survey_welcome", "survey_job"]


async def test_an_answering_machine_that_speaks_is_known_by_its_words() -> None:
    one = await talk("оставьте сообщение после сигнала")
    assert (one.results, one.ending) == ([Result.MACHINE], HangUp())
    assert one.last.detail["words"]


async def test_what_a_machine_said_is_no_rating() -> None:
    for kind in (Noise.MACHINE, Noise.FAX):
        one = await talk("пять", noise(kind, during="survey_thanks"))
        assert one.results == [Result.RATED, Result(kind)]


async def test_a_machine_presses_no_keys_and_a_tone_after_an_answer_is_only_her_hanging_up() -> None:
    assert (await talk(Key("5"), noise(Noise.MACHINE, during="survey_thanks"))).results == [Result.RATED]
    assert (await talk("пять", noise(Noise.TONE, during="survey_thanks"))).results == [Result.RATED]


# Hanging up


@pytest.mark.parametrize("during", ASKED)
async def test_who_hangs_up_before_an_answer_is_told_so(during: str) -> None:
    one = await talk(hangs_up(during=during))
    assert (one.ending, one.results, one.last.by) == (None, [Result.HUNG_UP], By.EARS)


@pytest.mark.parametrize(
    ("script", "during", "result"),
    [
        (("пять",), "survey_thanks", Result.RATED),
        (("два",), "survey_sorry", Result.RATED),
        (("два",), "survey_comment", Result.RATED),
        (("два", None), "tone", Result.RATED),
        (("не сделали", None, None), "survey_offer", Result.NOT_DONE),
        (("больше не звоните",), "survey_opted_out", Result.OPTED_OUT),
        (("перезвоните позже",), "survey_later", Result.LATER),
        ((child("пять"),), "survey_child", Result.CHILD),
        (("не знаю",) * 3, "survey_not_understood", Result.NOT_UNDERSTOOD),
    ],
)
async def test_hanging_up_keeps_what_was_said(script: tuple[Reply, ...], during: str, result: Result) -> None:
    one = await talk(*script, hangs_up(during=during, after=0.1))
    assert (one.ending, one.results) == (None, [result])


# The whole of it


async def test_the_time_is_bounded_too() -> None:
    line = FakeListeningLine(*["какая заявка"] * 30, lasts={"survey_job": 30.0, "survey_live_here": 30.0})
    one = await talk_over(line)
    assert one.ending == HangUp()
    assert one.seconds < 240
    assert line.prompts[-1] == "survey_not_understood"


async def test_how_often_it_asks_is_bounded() -> None:
    line = FakeListeningLine(*[Key("7")] * 100, lasts=dict.fromkeys((*PROMPTS, *JOB_PROMPTS), 0.1))
    one = await talk_over(line)
    assert (len(line.asked), one.results) == (MOST_ASKS, [Result.NOT_UNDERSTOOD])


async def test_who_has_asked_for_a_person_is_put_through_however_late_it_is() -> None:
    line = FakeListeningLine("не знаю", "позовите человека", lasts={"survey_clearer": 200.0})
    assert isinstance((await talk_over(line)).ending, Transfer)


@pytest.mark.parametrize("language", ["ru", "en"])
def test_every_prompt_of_the_conversation_is_written(language: str) -> None:
    book = Phrasebook.read(HERE / "dialplan" / "phrases" / f"{language}.toml")
    assert not book.unknown([*PROMPTS, *JOB_PROMPTS])
    written = {name for name in book.phrases if name.startswith("survey_")}
    parts = {name for name in written if name.startswith("survey_about_")} | {"survey_date", "survey_flat"}
    assert written - parts == {*PROMPTS, *JOB_PROMPTS}, "and no other"


def test_every_prompt_written_is_said_somewhere() -> None:
    source = Path(conversation.__file__).read_text("utf-8").partition("JOB_PROMPTS = ")[2]
    for name in {*PROMPTS, *JOB_PROMPTS}:
        assert name in source or name.startswith("survey_confirm_"), name


class Listening(FakeListeningLine):
    """Keeps every answer it gives, with the question it was given to."""

    def __init__(self, *script: Reply | Act, hears: bool) -> None:
        super().__init__(*script, hears=hears)
        self.answers: list[tuple[str, Answer]] = []

    async def ask(self, *prompts: str, question: Question, wait: float, barge_in: bool = True) -> Answer:
        answer = await super().ask(*prompts, question=question, wait=wait, barge_in=barge_in)
        self.answers.append((question.name, answer))
        return answer

    def ratings_given(self) -> list[int]:
        """Whatever could be a rating: digits, and what the vocabulary makes of a grown-up's words."""
        given = []
        for question, answer in self.answers:
            match answer:
                case Key(digit) if digit in "12345":
                    given.append(int(digit))
                case Heard(pitch=pitch) if (pitch or 0) <= CHILD_HZ:
                    meant = RU.understand(answer, question)
                    given += [meant.value] if isinstance(meant, Rating) else []
        return given


WORDS = (
    "пять", "на четвёрочку", "три", "двойка", "единица", "отлично", "плохо", "три нет четыре", "не пять",
    "три четыре", "три [unk]", "[unk]", "[unk] [unk] [unk]", "да", "нет", "нет пять", "алло", "не знаю",
    "опять течёт", "не сделали", "три но не доделали", "позовите человека", "перезвоните позже", "отстаньте",
    "больше не звоните", "ошиблись", "какая заявка", "повторите", "мама", "мамы нет дома", "в пять часов",
    "не понимаю по-русски", "оставьте сообщение", "два позовите диспетчера",
)  # fmt: skip


def anything(dice: Random) -> Reply:
    kind = dice.random()
    if kind < 0.15:
        return None
    if kind < 0.4:
        return Key(dice.choice("0123456789*#"))
    words = dice.choice(WORDS)
    pitch = dice.choice([None, None, 120.0, 210.0, 340.0])
    return heard(words, dice.choice([0.3, 0.7, 0.95]), seconds=dice.uniform(0.1, 3), pitch=pitch)


def mishap(dice: Random) -> Act:
    during = dice.choice((*PROMPTS, *JOB_PROMPTS, "tone"))
    if dice.random() < 0.5:
        return hangs_up(during=during, after=dice.uniform(0, 4))
    return is_noise(dice.choice(list(Noise)), during=during, after=dice.uniform(0, 3))


async def test_whatever_is_answered_it_ends_and_no_rating_is_told_that_was_not_given(dice: Random) -> None:
    for _ in range(500):
        script = [anything(dice) for _ in range(40)]
        acts = [mishap(dice) for _ in range(dice.choice([0, 0, 1, 3]))]
        line = Listening(*script, *acts, hears=dice.random() < 0.9)
        one = await talk_over(line)
        assert one.told, "something always came of it"
        assert len(line.answers) <= MOST_ASKS
        assert one.seconds < 240
        told = [said.rating for said in one.told if said.result is Result.RATED]
        assert set(told) <= set(line.ratings_given())
        assert all((said.rating is None) == (said.result is not Result.RATED) for said in one.told)
        if one.ending is None and not line.answers:
            assert one.results == [Result.HUNG_UP]


async def test_of_keys_pressed_exactly_the_last_stands(dice: Random) -> None:
    for _ in range(300):
        line = Listening(*(Key(dice.choice("12345678*")) for _ in range(30)), hears=dice.random() < 0.5)
        one = await talk_over(line)
        pressed = [
            int(answer.digit)
            for question, answer in line.answers
            if isinstance(answer, Key) and answer.digit in ("345" if question == "offer" else "12345")
        ]
        stands = [said.rating for said in one.told if said.result is Result.RATED]
        assert stands[-1:] == pressed[-1:]
