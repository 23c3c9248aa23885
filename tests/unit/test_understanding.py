from __future__ import annotations

import itertools
import random
from collections.abc import Iterator
from pathlib import Path

import pytest

from ivr.dialplan.understanding import Intent, Meaning, Pack, Rating, Unsure, Why, Wish
from ivr.dialplan.understanding.__main__ import main as try_out
from ivr.dialplan.understanding.pack import HERE, QUESTIONS
from ivr.dialplan.understanding.sentence import rating, take_apart
from ivr.dialplan.understanding.vocabulary import Role, plain
from ivr.errors import DialplanError
from ivr.heard import UNKNOWN, Heard, Reading, Word

PACK = Pack.read("ru")
ENGLISH = Pack.read("en")


def heard(text: str, confidence: float = 1.0, seconds: float = 0.0) -> Heard:
    return Heard(tuple(Word(word, confidence) for word in text.split()), seconds)


def short(meaning: Meaning) -> str:
    """A meaning as the tables below write it: `4`, `2 + not_done`, `human`, `? several`."""
    match meaning:
        case Rating(value, also=None):
            return str(value)
        case Rating(value, also=also):
            return f"{value} + {also}"
        case Wish(intent):
            return str(intent)
        case Unsure(why):
            return f"? {why}"


def table(text: str) -> Iterator[tuple[str, str]]:
    """Lines `meaning: sentence, sentence`, as (sentence, meaning); indented lines go on."""
    meaning = ""
    for line in text.strip().splitlines():
        head, colon, tail = line.partition(":")
        meaning, sentences = (head.strip(), tail) if colon else (meaning, line)
        yield from ((sentence.strip(), meaning) for sentence in sentences.split(",") if sentence.strip())


# What is asked: «Оцените работу от одного до пяти».
RATINGS = """
1: один, одна, единица, единицу, единичка, единичку, кол, колы, на единицу, ставлю кол, жирный кол,
   кол вам, ставлю один, один балл, даю единицу, ну один, единица с минусом, один из пяти, ужасно,
   отвратительно, очень плохо, хуже некуда, хуже не бывает, самая низшая оценка, единица спасибо,
   единица и всё
2: два, две, двойка, двойку, двоечка, двоечку, на двоечку, на двойку, ставлю двойку, два балла,
   двойка с плюсом, ну два, плохо, неудовлетворительно, ну двойка вам, жирная двойка, два из пяти,
   спасибо два, две звезды, неуд
3: три, тройка и то с натяжкой, еле-еле три, тройка, тройку, троечка, троечку, на троечку, на тройку,
   удовлетворительно, ставлю три, три с плюсом, три с минусом, три балла, три из пяти, три балла из пяти,
   ну троечка, наверное три, слабая тройка, посредственно, думаю три, пусть будет три, три звезды,
   из пяти три
4: четыре, я бы сказал четыре, твёрдое четыре, четвёрка, четвёрку, четвёрочка, четвёрочку, на четвёрочку,
   твёрдая четвёрка, твёрдую четвёрку, ставлю твёрдую четвёрку, хорошо, хорошо сделали, всё хорошо,
   на хорошо, спасибо хорошо, четыре балла, четыре с плюсом, четыре с минусом, четыре плюсом, пусть будет четыре,
   четыре из пяти, крепкая четвёрка, четверка, четверку, думаю что четыре, я бы поставил четыре,
   хорошо спасибо, хорошо сделали спасибо большое, ну четыре наверное
5: пять, пятёрка, пятёрку, пятёрочка, пятёрочку, на пятёрочку, на пять, пять с плюсом, пять с минусом,
   пять баллов, отлично, прекрасно, ставлю пять, ставлю пятёрку, поставлю пять, даю пять, пять из пяти,
   пять баллов из пяти, твёрдая пятёрка, пятерка, пятерочку, конечно пять, пять конечно, спасибо пять,
   пять спасибо, пять спасибо большое, спасибо большое пятёрка, пять пожалуйста, ну пять,
   ну пусть будет пять, наверное пять, думаю пять, думаю что пять, моя оценка пять, оценка пять,
   ставлю оценку пять, я ставлю пять, мы ставим пять, пять звёзд, на пять с плюсом, пятёрка с плюсом,
   пять пять пять, однозначно пять, на все пять, пять плюс, всё отлично, всё сделали пять,
   всё починили на пятёрку, быстро сделали пять, молодцы пять, пять всё понравилось,
   ребята молодцы ставлю пять, претензий нет пять, за работу пять, от одного до пяти ставлю пять,
   здравствуйте пять, алло пять, слушаю пять, пять до свидания, спасибо пять до свидания, мастеру пять,
   хочу поставить пять, можно поставить пять, давайте пять, поставьте пять, запишите пять, супер, идеально,
   замечательно, на отлично, лучше не бывает, высший балл, самый высокий балл, максимальная оценка,
   очень вежливый мастер пять
"""

CORRECTED = """
4: три нет четыре, три ой четыре, пять нет четыре, три нет лучше четыре, два ой извините четыре,
   три а нет четыре, три то есть четыре, три точнее четыре, три вернее четыре, три хотя четыре,
   тройка нет четвёрка, пять ошибся четыре, три всё-таки четыре, пять не пять четыре, не пять а четыре,
   не три не пять а четыре, пять ой не пять а четыре, хорошо нет нет четыре, пять нет три нет четыре,
   три нет нет четыре, три ой простите четыре
2: пять ой два, четыре нет два, три нет два, не три а два, пять ой оговорилась двойка
3: не отлично а три, не пять а три, не пять три, пять нет не пять а три, не четыре а тройка, отлично ой три
5: нет пять, нет хорошо пять, ну нет пять, да пять, да ну пять, да конечно пять, пять нет пять, пять да,
   пять да пять, три лучше пять, ой пять, извините пять
? taken_back: не пять, не пять пять, не пятёрка, не на пять, точно не пять, не хорошо, не отлично,
   нет не пять, пять нет, пять ой, пять хотя, две да нет, почти пять, далеко не пять, пять не,
   на пятёрку не справился, не больше пять, не пять и не четыре, не поставлю пять, не буду ставить пять,
   ни один, не ставлю пять, пять не пять, кроме пять
? several: три четыре, четыре пять, один два три четыре пять, пять не два, отлично два,
   плохо пять, хорошо отлично, пять нет хорошо, отлично один
"""

BESIDE_EACH_OTHER = """
5: и хочу поставить пять, можно бы поставить пять, хорошо пять, отлично пять,
   хорошо сделали пять, не знаю пять, нормально пять, неплохо пять
4: хорошо четыре, нормально четыре, неплохо четыре, отлично четыре, не очень четыре, ну нормально четвёрка
3: плохо три, хорошо три, нормально три, средне три, так себе три, не очень три, не знаю три
2: плохо два, ужасно два, плохо двойка, не очень двойка
1: ужасно единица, плохо один, ужасно кол
? vague: нормально, ну нормально, неплохо, так себе, не очень, не очень хорошо, очень хорошо, ну хорошо,
   ладно хорошо, да хорошо, сойдёт, не знаю, ну не знаю, может быть, без разницы, всё равно, трудно сказать,
   средне, безобразие, доволен, недовольна, не могу оценить, больше не течёт, уже не капает, сейчас,
   подождите, минуточку, одну секунду, одно секунду, и надо, хорошо бы, ничего, всё в порядке, не надо диспетчера
? nothing: ну, алло, ой, это, так, спасибо, пожалуйста, здравствуйте, алло слушаю, да слушаю, до свидания,
   на, ставлю, оценка, от одного до пяти, из пяти, спасибо до свидания, добрый день, всё сделали, с плюсом,
   оценку, не
"""

NUMBERS_ELSEWHERE = """
? elsewhere: один на один, пятнадцать, пятьдесят, двадцать пять, тридцать, сорок, сто, шесть, десять, ноль,
   опять, опять пять, пять опять, пять ой опять, четыре или пять, два или три, пять или четыре не знаю,
   три или четыре, пять из десяти, пятый, пятая, третий, первый, второй, четвёртый, дом пять, квартира три,
   номер пять, минус пять, пять с половиной, четыре с половиной, пять часов, пять минут, три дня, пять лет,
   два раза, пять раз, три человека, пять рублей, в пять, к пяти, около пяти, через пять минут,
   в пять часов, пятый этаж, третий подъезд, пять этаж, двадцать один, тридцать три, сорок два,
   ни одного балла, от одного до десяти, полтора, пятница, четверг, вторник, один мастер, мастер один,
   пришли два, приехал один, я одна, раз так, одна дома, минус балл, пять минус балл, пять тысяч,
   второй раз, за три дня, двух, трёх, пяти, одно минуту, колик, ставлю колик
"""

OTHER_SPEECH = f"""
? other_speech: {UNKNOWN}, {UNKNOWN} {UNKNOWN}, три {UNKNOWN}, {UNKNOWN} три, пять {UNKNOWN},
   {UNKNOWN} пять {UNKNOWN}, ставлю {UNKNOWN} пять, {UNKNOWN} отлично, хорошо {UNKNOWN},
   пять спасибо {UNKNOWN}, нет {UNKNOWN} пять, {UNKNOWN} не пять, пять нет {UNKNOWN}, пять копейка,
   велосипед, пять велосипедов, три четыре {UNKNOWN}, {UNKNOWN} да, через два дня звонил,
   пять человек приходило, четвёртый день без воды, какие пять, сколько ставить пять, три тысячи рублей,
   один мастер пришёл молодой, и надо пять, за ремонт вышло три, нет таких слов пять, хозяин вызывал пять,
   просила не звонить в дверь три, вышла одна девушка
"""

WISHES = """
not_done: не сделали, ничего не сделали, так и не сделали, ещё не сделали, никто не приходил,
   никто не пришёл, так никто и не пришёл, никого не было, никто не приехал, опять течёт, снова течёт,
   опять капает, всё ещё течёт, до сих пор течёт, всё ещё не работает, опять не работает, не работает,
   так и не починили, не починили, протекает, мастер не приходил, слесарь не приходил, вы не приехали,
   не приехали, ничего не изменилось, то же самое, опять то же самое, проблема осталась, проблема не решена,
   работа не выполнена, заявка не выполнена, опять сломалось, до сих пор не работает, воды нет,
   нет отопления, опять нет света, горячей воды нет, батареи холодные, кран течёт, кран опять течёт,
   у нас опять течёт, не до конца сделали, недоделали, толку нет, стало хуже, как текло так и течёт,
   до сих пор никто не пришёл, по-прежнему течёт, лифт не работает, не устранили, пять опять течёт,
   отлично только опять течёт, пять не сделали, хорошо опять течёт, четыре но опять капает, нет не сделали,
   да нет не сделали, ничего не делали, переделывайте, не помогло
human: позовите человека, оператора, оператор, диспетчера, диспетчер, дайте диспетчера, дайте диспетчер,
   дайте оператора, и хочу пожаловаться, соедините с человеком,
   соедините с оператором, соедините меня с диспетчером, переключите на оператора,
   переключите на диспетчера, хочу поговорить с человеком, можно поговорить с диспетчером, живого человека,
   живой человек, позовите диспетчера пожалуйста, мне нужен оператор, с роботом не разговариваю, соедините,
   человека, есть кто живой, позовите начальника, и надо поговорить с оператором, хочу говорить с живым человеком
later: перезвоните, перезвоните позже, перезвоните потом, перезвоните мне завтра, позвоните позже,
   позвоните вечером, не могу говорить, сейчас не могу, сейчас не могу говорить, не могу сейчас говорить,
   я занят, я занята, я сейчас занята, за рулём, я за рулём, я на работе, я на совещании, давайте позже,
   давайте потом, потом, позже, не сейчас, мне некогда, некогда, неудобно говорить, сейчас неудобно,
   в другой раз, хорошо перезвоните, хорошо перезвоните позже, перезвоните в пять, перезвоните в пять часов,
   позвоните мне через пять минут, перезвоните через час, я сплю, не звоните сейчас, не звоните так поздно,
   отлично давайте потом, у меня каша убегает, у меня каша убегает потом, занята через часок
refused: не буду, не хочу, отстаньте, отстань, отвяжитесь, не буду отвечать, не хочу отвечать,
   не буду оценивать, ничего не буду говорить, нет времени, у меня нет времени, мне неинтересно,
   не интересует, без комментариев, отказываюсь, отказываюсь отвечать, не надо, не нужно,
   оставьте меня в покое, не мешайте, воздержусь, я не буду, нет не буду, нет не хочу, времени нет, достали,
   не хочу разговаривать
opt_out: больше не звоните, не звоните мне, не звоните мне больше, не звоните больше, больше мне не звоните,
   не звоните сюда, не звоните сюда больше, не звоните сюда никогда, никогда не звоните, удалите номер,
   удалите мой номер, уберите мой номер, удалите меня, я не давал согласия, я не давала согласия,
   согласия не давал, прекратите звонить, хватит звонить, хватит мне звонить, не надо мне звонить,
   не надо больше звонить, не звоните, отзываю согласие, запрещаю мне звонить, отстаньте больше не звоните,
   не буду и больше не звоните, хорошо и больше не звоните, вы ошиблись больше не звоните
wrong_number: вы ошиблись, вы ошиблись номером, ошиблись номером, не туда попали, вы не туда попали,
   не туда звоните, я не вызывал, я не вызывала, никого не вызывали, я никого не вызывал,
   ничего не заказывал, не тот номер, я здесь не живу, здесь не живу, таких здесь нет, не оставлял заявку,
   заявку не оставлял, никакой заявки не было, не мой адрес, номером ошиблись
which_job: какая заявка, что за заявка, какую заявку, по какому адресу, о какой заявке речь, а какой заявки речь,
   какая работа,
   по какому вопросу, какой адрес, кто это, кто говорит, кто вы, вы кто, что оценить, а кто это,
   что вы хотите, какой ремонт, о чём вы, какая компания, а что за заявка, это какая компания
repeat: что, что что, чего, повторите, повторите пожалуйста, повторите вопрос, повторите ещё раз, ещё раз,
   не расслышал, не расслышала, я не расслышала, я вас не слышу, не слышно, вас плохо слышно, плохо слышно,
   не понял, не поняла, громче, говорите громче, что вы сказали, что вы говорите, как, можно ещё раз,
   простите что
child: мамы нет дома, мамы нет, папы нет дома, родителей нет дома, мама на работе, позову маму,
   сейчас позову маму, я маму позову, сейчас маму позову, мне пять лет, мне три года, взрослых нет дома,
   мама ушла, никого нет дома, мама тебе звонят, я ещё маленький, мам, бабушка спит, мне пять годиков
foreign: не говорю по-русски, не понимаю по-русски, не говорю по русски, плохо понимаю по-русски,
   по-русски не понимаю, русский не понимаю, я не понимаю русский, я не понимаю по-русски, нет русский,
   плохо говорю по русски
machine: оставьте сообщение, оставьте ваше сообщение после сигнала, после сигнала, абонент,
   абонент временно недоступен, абонент не может ответить на ваш звонок,
   вас приветствует голосовой помощник, голосовой помощник, автоответчик, вы позвонили,
   оставьте голосовое сообщение, голосовая почта, что ему передать, вне зоны действия сети,
   набранный номер не обслуживается, говорите после сигнала
yes: да, да да, ну да, да конечно
no: нет, нет нет, нет спасибо, ну нет, нету
"""

IN_ENGLISH = f"""
1: one, a one, terrible, one out of five
2: two, i would give it a two, poor
3: three, satisfactory, three points
4: four, good, three no four, a solid four, not five but four
5: five, five out of five, excellent, good five, no five, five thank you very much
? taken_back: not five
? several: three four, excellent two
? vague: okay, not bad, not good, i don't know, very good
? elsewhere: four or five, no one, this one, twenty five, two times, five minutes, for, to
? other_speech: three {UNKNOWN}, {UNKNOWN}
not_done: not fixed, nobody came, still leaking, excellent but still leaking, it is still broken
2 + not_done: two not fixed
5 + opt_out: five and don't call me again
human: operator, connect me to a dispatcher, i want to speak to a person
later: call me later, i'm busy, i can't talk now
refused: not interested, leave me alone
opt_out: don't call me again, stop calling, remove my number
wrong_number: wrong number, i didn't order anything
which_job: which job, who is this
repeat: what, repeat that please, i didn't hear you
child: mom is not home, i'm five years old
foreign: i don't speak english
machine: leave a message after the beep
"""

READ_BACK_IN_ENGLISH = """
yes: yes, that's right, yes please, of course
no: no, that's not right, no thanks, incorrect
4: four, no four
"""

BOTH = """
2 + not_done: не сделали двойка, двойка не сделали, два опять течёт, два никто не приходил,
   ставлю два не сделали
1 + not_done: единица ничего не сделали, кол опять течёт, один никто не пришёл
3 + not_done: три опять капает, троечка ещё не всё сделали
5 + opt_out: пять и больше не звоните, пятёрка больше не звоните, пять не звоните мне
2 + human: два соедините с диспетчером, двойка позовите человека, два оператора,
   два и хочу пожаловаться
4 + human: четыре и дайте диспетчера
? several: пять отстаньте, пять я за рулём, перезвоните завтра пять, отстаньте пять, пять но вы ошиблись,
   соседка вызывала поставлю пять, какая заявка пять, кто это пять
? other_speech: пять не оператора, не оператора, не буду пять, не хочу пять, пять потом
machine: оставьте сообщение пять, нажмите пять, нажмите один
child: мамы нет дома пять, пять мамы нет дома
"""

YES_OR_NO = f"""
yes: да, да да, да-да, верно, да верно, правильно, всё верно, всё правильно, ага, угу, конечно, да конечно,
   точно, так, хорошо, ладно, да спасибо, да хорошо, давайте, да давайте, соединяйте, соедините,
   да соедините, ну да, согласна, живу, да живу, да проживаю, здесь живу, да здесь, да я здесь живу,
   подтверждаю, да пожалуйста, не возражаю, можно, так и есть, отлично
no: нет, нет нет, нет спасибо, не надо, нет не надо, неверно, не верно, нет не верно, неправильно, не так,
   нет не так, не нужно, не хочу, нет не хочу, не живу, нет не живу, не соединяйте, ни в коем случае,
   ошибка, не надо спасибо, нет не ставил, не, ну не, не не, нет не
? several: да нет, нет да, да да нет, не да
? vague: не знаю, может быть, да не знаю, и верно, и правильно, и надо подумать, и надо, да и надо,
   и надо диспетчера
? nothing: не ошибся, не всё, не слушаю
? other_speech: не диспетчера, да не диспетчера, не оператор, не завтра, не перезвоните, не {UNKNOWN}
human: диспетчера, да диспетчера, позовите человека, да соедините с диспетчером, нет позовите человека
wrong_number: вы ошиблись, нет вы ошиблись, я здесь не живу
not_done: не сделали, нет не сделали, опять течёт
opt_out: больше не звоните, нет и больше не звоните
repeat: что, повторите
which_job: какая заявка
later: перезвоните позже
"""

READ_BACK = """
4: четыре, нет четыре, нет четвёрку, да четыре, да четвёрка, не пять а четыре
5: пять, нет пять, пятёрку, да пять, нет я ставлю пять
? taken_back: не четыре, четыре нет, нет не четыре
? vague: прекрасно, плохо, нормально но не знаю
"""


def mistakes(pack: Pack, question: str, sentences: str) -> list[str]:
    """Each sentence of a table that means something else, one a line."""
    said = [
        (sentence, means, short(pack.understand(heard(sentence), question)))
        for sentence, means in table(sentences)
    ]
    return [f"{sentence}: {found}, not {means}" for sentence, means, found in said if found != means]


@pytest.mark.parametrize(
    "sentences",
    [RATINGS, CORRECTED, BESIDE_EACH_OTHER, NUMBERS_ELSEWHERE, OTHER_SPEECH, WISHES, BOTH],
    ids=["ratings", "corrected", "beside_each_other", "numbers_elsewhere", "other_speech", "wishes", "both"],
)
def test_what_is_said_to_the_question_for_a_rating(sentences: str) -> None:
    assert mistakes(PACK, "rating", sentences) == []


@pytest.mark.parametrize("sentences", [YES_OR_NO, READ_BACK], ids=["yes_or_no", "another_mark"])
def test_what_is_said_when_a_rating_is_read_back(sentences: str) -> None:
    assert mistakes(PACK, "yes_no", sentences) == []


def test_what_is_said_to_an_offer() -> None:
    assert mistakes(PACK, "offer", YES_OR_NO) == []
    assert mistakes(PACK, "offer", "? elsewhere: пять, на пятёрочку, да пять, нет четыре") == []


def test_what_is_said_in_english() -> None:
    assert mistakes(ENGLISH, "rating", IN_ENGLISH) == []
    assert mistakes(ENGLISH, "yes_no", READ_BACK_IN_ENGLISH) == []


def test_the_tables_are_long_enough_to_mean_something() -> None:
    assert sum(1 for text in (RATINGS, CORRECTED, WISHES, NUMBERS_ELSEWHERE) for _ in table(text)) > 600


# Rather unsure than wrong.

RATED = [
    sentence
    for text in (RATINGS, CORRECTED, BESIDE_EACH_OTHER)
    for sentence, means in table(text)
    if means.isdigit()
]


def test_other_speech_anywhere_in_a_rating_makes_it_none() -> None:
    for sentence in RATED:
        words = sentence.split()
        for at in range(len(words) + 1):
            spoilt = " ".join([*words[:at], UNKNOWN, *words[at:]])
            assert not isinstance(PACK.understand(heard(spoilt), "rating"), Rating), spoilt


def test_opyat_is_never_pyat() -> None:
    for sentence in RATED:
        if "пять" in sentence.split():
            again = sentence.replace("пять", "опять")
            assert not isinstance(PACK.understand(heard(again), "rating"), Rating), again


def test_a_letter_more_or_less_makes_no_rating() -> None:
    """What a rule that matches loosely takes for one."""
    near = (
        "пят пядь пяти опять память при тир тры смотри дав дара едва коло укол кот воин четыри хорош отличн"
    )
    for word in near.split():
        assert not isinstance(PACK.understand(heard(word), "rating"), Rating), word


def test_padding_around_a_mark_changes_nothing_in_any_order() -> None:
    chance = random.Random(4)
    padding = [
        tokens[0]
        for tokens, phrase in PACK.vocabulary.always.items()
        if phrase.role is Role.PADDING and len(tokens) == 1 and tokens[0] not in {"плюс", "минус"}
    ]  # «минус пять» is a temperature
    marks = {
        "единица": 1,
        "два": 2,
        "двоечку": 2,
        "три": 3,
        "тройка": 3,
        "четыре": 4,
        "четвёрку": 4,
        "пять": 5,
        "пятёрочка": 5,
    }
    assert len(padding) > 60
    for _ in range(3_000):
        mark = chance.choice(list(marks))
        words = [mark, *chance.sample(padding, chance.randint(0, 4))]
        chance.shuffle(words)
        meaning = PACK.understand(heard(" ".join(words)), "rating")
        assert isinstance(meaning, Rating) and meaning.value == marks[mark], words


def test_two_marks_in_any_order_are_no_rating() -> None:
    marks = ["один", "двойка", "три", "четвёрку", "пять", "кол", "раз", "на пятёрочку"]
    worth = {mark: PACK.understand(heard(mark), "rating") for mark in marks}
    for one, other in itertools.permutations(marks, 2):
        if (
            isinstance(a := worth[one], Rating)
            and isinstance(b := worth[other], Rating)
            and a.value != b.value
        ):
            assert isinstance(PACK.understand(heard(f"{one} {other}"), "rating"), Unsure), (one, other)


def test_a_rating_is_as_certain_as_the_least_certain_word_that_counts() -> None:
    words = (Word("ну", 0.9), Word("три", 0.99), Word("нет", 0.97), Word("четыре", 0.96))
    assert PACK.understand(Heard(words), "rating") == Rating(4, 0.96, Heard(words))
    assert PACK.sure <= 0.96


def test_a_rating_that_is_middling_is_to_be_read_back() -> None:
    meaning = PACK.understand(heard("пять", confidence=0.8), "rating")
    assert isinstance(meaning, Rating)
    assert meaning.confidence < PACK.sure


@pytest.mark.parametrize(
    "words",
    [
        [("пять", 0.39)],
        [("не", 0.3), ("пять", 1.0), ("а", 1.0), ("три", 1.0)],
        [("три", 1.0), ("нет", 0.39), ("четыре", 1.0)],
        [("ну", 0.3), ("пять", 1.0)],
        [("хорошо", 0.69)],
        [("не", 0.6), ("сделали", 1.0)],
        [("не", 1.0), ("сделали", 1.0), ("двойка", 0.5)],
    ],
)
def test_what_the_ears_are_not_sure_of_is_not_understood(words: list[tuple[str, float]]) -> None:
    faint = Heard(tuple(Word(*word) for word in words))
    assert PACK.understand(faint, "rating") in (Unsure(Why.FAINT, faint), Wish(Intent.NOT_DONE, 1.0, faint))


@pytest.mark.parametrize(
    ("words", "value"),
    [
        ([("пять", 0.69)], 5),
        ([("ну", 0.4), ("пять", 1.0)], 5),
        ([("три", 1.0), ("нет", 0.6), ("четыре", 1.0)], 4),
    ],
)
def test_a_rating_the_ears_are_half_sure_of_is_read_back(words: list[tuple[str, float]], value: int) -> None:
    meaning = PACK.understand(Heard(tuple(Word(*word) for word in words)), "rating")
    assert isinstance(meaning, Rating)
    assert meaning.value == value
    assert meaning.confidence == min(confidence for _, confidence in words)


def test_a_faint_yes_confirms_nothing() -> None:
    assert PACK.understand(heard("да", confidence=0.6), "yes_no") == Unsure(Why.FAINT, heard("да", 0.6))


def test_a_wish_is_heard_among_other_speech() -> None:
    assert (
        mistakes(
            PACK,
            "rating",
            f"""
        not_done: {UNKNOWN} не сделали, {UNKNOWN} опять течёт {UNKNOWN}, пять {UNKNOWN} ничего не сделали
        opt_out: {UNKNOWN} больше не звоните {UNKNOWN}, пять {UNKNOWN} больше не звоните
        human: {UNKNOWN} позовите человека
        machine: {UNKNOWN} {UNKNOWN} оставьте сообщение {UNKNOWN}
        """,
        )
        == []
    )


def test_some_wishes_are_heard_only_alone() -> None:
    assert (
        mistakes(
            PACK,
            "rating",
            f"""
        repeat: что, ну что, нет что, что пожалуйста
        ? other_speech: {UNKNOWN} что, что пять, не буду {UNKNOWN}, течёт {UNKNOWN}, не хочу пять
        """,
        )
        == []
    )


def test_a_wish_that_is_denied_is_none() -> None:
    assert mistakes(PACK, "rating", "? vague: не надо диспетчера, не соединяйте") == []
    assert not isinstance(PACK.understand(heard("не оператора"), "rating"), Wish)


def test_yes_or_no_beside_other_speech_is_neither() -> None:
    for question in ("yes_no", "offer"):
        assert mistakes(PACK, question, f"? other_speech: да {UNKNOWN}, {UNKNOWN} нет, {UNKNOWN} верно") == []


def test_long_speech_is_not_one_short_word() -> None:
    assert isinstance(PACK.understand(heard("пять", seconds=0.5), "rating"), Rating)
    assert isinstance(PACK.understand(heard("три нет четыре", seconds=2.5), "rating"), Rating)
    assert PACK.understand(heard("хорошо", seconds=4.4), "rating") == Unsure(
        Why.OTHER_SPEECH, heard("хорошо", seconds=4.4)
    )
    assert isinstance(PACK.understand(heard("да", seconds=3.0), "yes_no"), Unsure)
    assert isinstance(PACK.understand(heard("позовите человека", seconds=9.0), "rating"), Wish)


def test_silence_means_nothing() -> None:
    assert PACK.understand(Heard(()), "rating") == Unsure(Why.NOTHING, Heard(()))


def test_yo_and_capitals_are_no_difference() -> None:
    assert mistakes(PACK, "rating", "5: Пятёрка, пятерка, ПЯТЁРОЧКУ, пятерочку\nnot_done: Опять Течет") == []


# Other speech around a number, by how long it was.


def among_sounds(text: str, confidence: float = 1.0) -> Heard:
    """«~0.1 пять»: other speech of 0.1 s, then a word of 0.4."""
    return Heard(
        tuple(
            Word(UNKNOWN, 0.8, float(word[1:])) if word.startswith("~") else Word(word, confidence, 0.4)
            for word in text.split()
        ),
        seconds=1.0,
    )


@pytest.mark.parametrize(
    ("text", "confidence"), [("~0.1 пять", 0.9), ("пять ~0.11", 0.9), ("~0.1 пять ~0.1", 0.81)]
)
def test_a_breath_around_a_number_lowers_it_and_it_is_read_back(text: str, confidence: float) -> None:
    sounds = among_sounds(text)
    meaning = PACK.understand(sounds, "rating")
    assert meaning == Rating(5, pytest.approx(confidence), sounds)
    assert meaning.confidence < PACK.sure


@pytest.mark.parametrize("text", ["~0.12 пять", "пять ~0.3", "~0.1 пять ~0.2", "~0.5 пять ~0.5"])
def test_a_word_around_a_number_is_no_breath(text: str) -> None:
    assert PACK.understand(among_sounds(text), "rating") == Unsure(Why.OTHER_SPEECH, among_sounds(text))


@pytest.mark.parametrize("text", ["~0 пять", "пять ~0", "~0 пять ~0"])
def test_of_a_length_nobody_knows_it_may_have_been_a_word(text: str) -> None:
    assert PACK.understand(among_sounds(text), "rating") == Unsure(Why.OTHER_SPEECH, among_sounds(text))


@pytest.mark.parametrize("text", ["три ~0.1 четыре", "не ~0.1 пять", "пять ~0.1 спасибо"])
def test_between_words_nothing_is_a_breath(text: str) -> None:
    """It may have been the «или», or the «не»."""
    assert PACK.understand(among_sounds(text), "rating") == Unsure(Why.OTHER_SPEECH, among_sounds(text))


def test_a_breath_beside_a_number_of_another_kind_makes_it_no_rating() -> None:
    for text in ("~0.1 пять часов", "опять ~0.1", "~0.1 пять четыре", "~0.1", "~0.1 не пять"):
        assert isinstance(PACK.understand(among_sounds(text), "rating"), Unsure), text


def test_with_breaths_enough_even_a_certain_number_is_too_faint() -> None:
    text = "~0.1 " * 5 + "пять" + " ~0.1" * 5
    assert isinstance(PACK.understand(among_sounds(text), "rating"), Unsure)
    assert isinstance(PACK.understand(among_sounds("~0.1 пять", confidence=0.42), "rating"), Unsure)


def test_a_judgement_beside_a_breath_is_none() -> None:
    assert isinstance(PACK.understand(among_sounds("~0.1 хорошо"), "rating"), Unsure)


def test_a_breath_beside_yes_or_no_is_not_forgiven() -> None:
    """It may have been the beginning of «когда», and what is confirmed is not asked about again."""
    for question in ("yes_no", "offer"):
        for text in ("~0.1 да", "нет ~0.1"):
            assert isinstance(PACK.understand(among_sounds(text), question), Unsure), text


def test_beside_a_wish_a_breath_changes_nothing() -> None:
    sounds = among_sounds("~0.1 больше не звоните ~0.1")
    assert PACK.understand(sounds, "rating") == Wish(Intent.OPT_OUT, 1.0, sounds)


def test_a_wish_that_counts_only_alone_is_not_alone_beside_a_breath() -> None:
    for text in ("~0.1 что", "не буду ~0.1"):
        assert PACK.understand(among_sounds(text), "rating") == Unsure(Why.OTHER_SPEECH, among_sounds(text))


def test_beside_a_breath_a_rating_is_read_back_however_little_is_sure_enough(folder: Path) -> None:
    edit(folder, "sure = 0.95", "sure = 0.8", "questions/rating.toml")
    pack = Pack.read("ru", folder)
    meaning = pack.understand(among_sounds("~0.1 пять"), "rating")
    assert isinstance(meaning, Rating) and meaning.confidence < pack.sure


def test_who_breathes_after_a_number_may_go_on() -> None:
    assert not PACK.question("rating").is_complete(among_sounds("пять ~0.1").words)


# A mark beside a scrap of a word.


def beside(*words: tuple[str, float, float]) -> Heard:
    """Words, each with its confidence and how many seconds it was."""
    return Heard(tuple(Word(*word) for word in words), seconds=1.0)


@pytest.mark.parametrize(
    "words",
    [
        [("по", 0.43, 0.06), ("четвёрку", 0.97, 0.6)],
        [("четвёрку", 0.97, 0.6), ("в", 0.6, 0.1)],
        [(UNKNOWN, 0.41, 0.21), ("четвёрку", 0.97, 0.6)],
        [("у", 0.3, 0.1), ("ставлю", 0.97, 0.4), ("четвёрку", 0.97, 0.6), ("в", 0.3, 0.1)],
    ],
)
def test_a_mark_heard_well_is_read_back_beside_a_faint_short_word(
    words: list[tuple[str, float, float]],
) -> None:
    sounds = beside(*words)
    meaning = PACK.understand(sounds, "rating")
    scraps = 2 if len(words) == 4 else 1
    assert meaning == Rating(4, pytest.approx(0.97 * 0.9**scraps), sounds)
    assert meaning.confidence < PACK.sure


@pytest.mark.parametrize(
    ("why", "words"),
    [
        ("it was heard well", [("по", 0.75, 0.06), ("четвёрку", 0.97, 0.6)]),
        ("it was long", [("по", 0.4, 0.25), ("четвёрку", 0.97, 0.6)]),
        ("nobody knows how long it was", [("по", 0.4, 0.0), ("четвёрку", 0.97, 0.6)]),
        ("the mark was not beyond doubt", [("по", 0.4, 0.06), ("четвёрку", 0.94, 0.6)]),
        ("there were two of them", [("по", 0.4, 0.06), ("в", 0.4, 0.06), ("четвёрку", 0.97, 0.6)]),
        ("it was between words", [("три", 0.97, 0.3), ("в", 0.4, 0.06), ("четвёрку", 0.97, 0.6)]),
        ("it was another answer", [("три", 0.4, 0.2), ("четвёрку", 0.97, 0.6)]),
        ("it denied it", [("не", 0.4, 0.1), ("четвёрку", 0.97, 0.6)]),
        ("a judgement may be a part of it", [("по", 0.4, 0.06), ("хорошо", 0.97, 0.6)]),
        ("it makes another number of it", [("по", 0.4, 0.06), ("два", 0.97, 0.3)]),
        ("there was nothing else", [("у", 0.4, 0.06)]),
    ],
)
def test_what_is_no_scrap_is_a_word(why: str, words: list[tuple[str, float, float]]) -> None:
    assert isinstance(PACK.understand(beside(*words), "rating"), Unsure), why


def test_a_wish_is_still_heard_with_a_mark_beside_a_scrap() -> None:
    sounds = beside(
        ("по", 0.4, 0.06), ("двойку", 0.97, 0.3), ("позовите", 0.97, 0.5), ("человека", 0.97, 0.5)
    )
    assert PACK.understand(sounds, "rating") == Wish(Intent.HUMAN, 0.97, sounds)


def test_what_may_have_been_denied_is_no_mark_beside_a_scrap() -> None:
    words = (Word("по", 0.6, 0.06), Word("четвёрку", 0.97, 0.6))
    denied = (Word("не", 1.0), Word("четвёрку", 1.0))
    likely, hardly = (
        Heard(words, 1.0, readings=(Reading(words, 1 - share), Reading(denied, share)))
        for share in (0.3, 0.01)
    )
    assert isinstance(PACK.understand(likely, "rating"), Unsure)
    assert short(PACK.understand(hardly, "rating")) == "4"


def test_beside_yes_or_no_there_are_no_scraps() -> None:
    for question in ("yes_no", "offer"):
        assert isinstance(PACK.understand(beside(("по", 0.4, 0.06), ("да", 0.97, 0.3)), question), Unsure)


def test_an_older_file_knows_no_scraps(folder: Path) -> None:
    edit(folder, "scrap = 0.25", "", "questions/rating.toml")
    sounds = beside(("по", 0.4, 0.06), ("четвёрку", 0.97, 0.6))
    assert isinstance(Pack.read("ru", folder).understand(sounds, "rating"), Unsure)


# A mark in a clause of its own.


def clauses(text: str) -> Heard:
    """A comma is a pause of 0.1 s; ~ is other speech."""
    words = [
        Word(UNKNOWN if token == "~" else token, 1.0, 0.3, 0.1 if at == 0 and number else 0.0)
        for number, clause in enumerate(text.split(","))
        for at, token in enumerate(clause.split())
    ]
    return Heard(tuple(words), seconds=sum(word.seconds + word.pause for word in words))


@pytest.mark.parametrize(
    ("value", "text"),
    [
        (5, "пять, ~ ~"),
        (1, "~ ~ ~, один"),
        (2, "ну, двойка вам, ~ ~, ~"),
        (5, "пять, ~, пять"),
        (3, "три балла, мусор не ~"),
        (4, "~ ~, нет, четыре"),
        (5, "пять, ~ отлично ~"),
        (4, "ставлю четыре, опоздал на час ~"),
        (3, "три, опоздал на два часа"),
    ],
)
def test_a_mark_that_a_pause_keeps_from_other_speech_is_read_back(value: int, text: str) -> None:
    meaning = PACK.understand(clauses(text), "rating")
    assert meaning == Rating(value, pytest.approx(0.99 * PACK.sure), clauses(text))


@pytest.mark.parametrize(
    ("why", "text"),
    [
        ("no pause keeps it apart", "пять ~ ~"),
        ("it was denied", "~ не, пять"),
        ("it may be denied by what nobody understood", "не ~, пять"),
        ("it was not deserved", "пять, он не заслужил"),
        ("it is not given", "пять, ~ не поставлю"),
        ("there is a number before what changes nothing", "двадцать, ну, пять"),
        ("it was taken back", "пять, нет ~"),
        ("it was corrected into nobody knows what", "пять, ой, ~"),
        ("another was said", "пять, ~, четыре"),
        ("it was mocked", "пять, ~ ужасно"),
        ("there is a number before it", "~ двадцать, пять"),
        ("there is a number after it", "пять, пятнадцать ~"),
        ("it counts something", "два часа, ~"),
        ("a judgement is no mark", "хорошо, ~"),
    ],
)
def test_what_a_pause_does_not_keep_apart_is_no_rating(why: str, text: str) -> None:
    assert not isinstance(PACK.understand(clauses(text), "rating"), Rating), why


def test_what_has_to_be_forgiven_makes_no_reading_surer() -> None:
    ways = (("пять", 0.4), ("пять, ~", 0.35), ("ну пять, ~", 0.25))
    readings = tuple(Reading(clauses(text).words, share) for text, share in ways)
    meaning = PACK.understand(Heard(readings[0].words, readings=readings), "rating")
    assert isinstance(meaning, Rating)
    assert meaning.value == 5
    assert meaning.confidence == pytest.approx(0.99 * PACK.sure)


def test_pauses_keep_nothing_apart_that_answers_yes_or_no() -> None:
    for question in ("yes_no", "offer"):
        assert isinstance(PACK.understand(clauses("да, ~"), question), Unsure)


def test_an_older_file_knows_no_clauses(folder: Path) -> None:
    edit(folder, "clause = 0.05", "", "questions/rating.toml")
    assert isinstance(Pack.read("ru", folder).understand(clauses("пять, ~"), "rating"), Unsure)


# What could be said in two ways.


@pytest.mark.parametrize(
    "text",
    [
        "замечательно пришли пять",  # «прекрасно; пришли пятеро» or «замечательно пришли; пять»
        "сантехник не пришёл два",  # «не пришёл; два» or «не пришли два»
        "отремонтировали всё замечательно пришли",
    ],
)
def test_what_reads_otherwise_from_the_end_is_no_rating(text: str) -> None:
    assert PACK.understand(heard(text), "rating") == Unsure(Why.SEVERAL, heard(text))


def test_hardly_anything_reads_otherwise_from_the_end() -> None:
    lexicon = PACK._lexicons["rating"]
    for said, _ in [*table(RATINGS), *table(CORRECTED), *table(BESIDE_EACH_OTHER)]:
        words = heard(said).words
        assert rating(take_apart(words, lexicon)) == rating(take_apart(words, lexicon, from_the_end=True)), (
            said
        )


def test_a_word_the_ears_waver_about_is_no_rating_yet() -> None:
    """Where two words fit the sound the ears split their confidence between them."""
    meaning = PACK.understand(heard("пять", confidence=0.5), "rating")
    assert isinstance(meaning, Rating)
    assert meaning.confidence < PACK.sure
    assert isinstance(PACK.understand(heard("пять", confidence=0.35), "rating"), Unsure)


# A mark said indistinctly.


def wavering(*readings: tuple[str, float]) -> Heard:
    ways = tuple(Reading(tuple(Word(word, 1.0) for word in text.split()), share) for text, share in readings)
    return Heard(ways[0].words, readings=ways)


@pytest.mark.parametrize(
    ("indistinct", "mark"),
    [
        (heard("петь"), 5),
        (heard("ять"), 5),
        (heard("ставлю петь"), 5),
        (heard("ведь пожалуйста"), 5),
        (wavering(("петь", 0.8), ("пять", 0.2)), 5),
        (wavering(("петь", 0.55), ("пять", 0.45)), 5),
        (heard("твёрка"), 4),
        (heard("ставлю твёрку"), 4),
        (heard("пол"), 1),
        (heard("ну по"), 1),
    ],
)
def test_what_an_indistinct_mark_sounds_like_is_tried_as_that_mark_and_always_read_back(
    indistinct: Heard, mark: int
) -> None:
    meaning = PACK.understand(indistinct, "rating")
    assert isinstance(meaning, Rating)
    assert (meaning.value, meaning.heard) == (mark, indistinct)
    assert meaning.confidence < PACK.sure


@pytest.mark.parametrize("text", [
    "не петь", "в петь часов", "три петь", f"петь {UNKNOWN}", "опять петь",
    "по пять", "по адресу", "по хорошо", "по часу", "в пол", "пол часа",
])  # fmt: skip
def test_where_the_mark_itself_would_be_no_rating_an_indistinct_one_is_none(text: str) -> None:
    assert isinstance(PACK.understand(heard(text), "rating"), Unsure)


def test_a_mark_that_was_heard_well_is_taken_whatever_else_it_may_have_been() -> None:
    certain = PACK.understand(wavering(("пять", 0.97), ("петь", 0.03)), "rating")
    assert isinstance(certain, Rating)
    assert certain.confidence >= PACK.sure
    assert short(PACK.understand(wavering(("три", 0.9), ("петь", 0.1)), "rating")) == "3"
    assert short(PACK.understand(heard("ведь три"), "rating")) == "3"


def test_to_an_offer_an_indistinct_mark_says_nothing() -> None:
    assert isinstance(PACK.understand(heard("петь"), "offer"), Unsure)


# What the ears listen for.


def test_an_answer_is_expected_more_often_than_what_only_sounds_like_one() -> None:
    rating, offer = (PACK.question(name).phrases for name in ("rating", "offer"))
    assert rating.count("пять") > rating.count("опять") == 1
    assert offer.count("пять") == 1  # there it is no answer


def test_a_mark_is_expected_beside_what_is_usually_said_around_one() -> None:
    rating, yes_no = (
        [phrase.split() for phrase in PACK.question(name).phrases] for name in ("rating", "yes_no")
    )

    def together(phrases: list[list[str]]) -> set[tuple[str, str]]:
        return {pair for words in phrases for pair in itertools.pairwise(words)}

    for pair in (
        ("ставлю", "пять"),
        ("пять", "ставлю"),
        ("тройку", "балла"),
        ("ну", "двойка"),
        ("плюсом", "кол"),
    ):
        assert pair in together(rating)
        assert pair not in together(yes_no)
    for before in ("а", "о", "и", "при", "на"):  # half of «опять»
        assert (before, "пять") not in together(rating)


@pytest.mark.parametrize("pack", [PACK, ENGLISH], ids=["ru", "en"])
def test_how_answers_begin_and_end_is_not_learned_from_that(pack: Pack) -> None:
    marks = {
        words[0]
        for words, phrase in pack.vocabulary.always.items()
        if phrase.role is Role.MARK and len(words) == 1
    }
    in_a_row = [
        plain(phrase) for phrase in pack.question("rating").phrases if phrase.count(" ") > 2 * len(marks) - 2
    ]
    assert len(in_a_row) == len(pack.vocabulary.around)
    for phrase in in_a_row:
        assert not {phrase.split()[0], phrase.split()[-1]} & marks


def test_words_of_before_that_expect_nothing_around_a_mark_still_serve(folder: Path) -> None:
    file = folder / "ru.toml"
    words = file.read_text("utf-8")
    begin = words.index("around = [")
    around = words[begin : words.index("]", begin) + 1]
    file.write_text(
        words.replace(around, "").replace("padding = [", "padding = [" + around.partition("[")[2][:-1]),
        "utf-8",
    )
    pack = Pack.read("ru", folder)
    assert not pack.vocabulary.around
    assert pack.words() == PACK.words()
    assert isinstance(pack.understand(heard("ставлю пять"), "rating"), Rating)


@pytest.mark.parametrize(
    ("said", "is_machines"),
    [
        ("здравствуйте вы позвонили на автоответчик", True),
        ("абонент временно недоступен", True),
        ("здравствуйте это иван слушаю", False),
        ("ставлю пять", False),
    ],
)
def test_the_ears_can_ask_whether_only_a_machine_would_say_that(said: str, is_machines: bool) -> None:
    assert PACK.question("rating").is_machines(heard(said).words) is is_machines


@pytest.mark.parametrize("name", QUESTIONS)
@pytest.mark.parametrize("pack", [PACK, ENGLISH], ids=["ru", "en"])
def test_the_ears_listen_for_everything_that_is_understood(pack: Pack, name: str) -> None:
    question = pack.question(name)
    assert question.name == name
    assert question.phrases[-1] == UNKNOWN
    listened = {plain(word) for phrase in question.phrases for word in phrase.split()}
    for lexicon in (pack.vocabulary.always, pack.vocabulary.asked):
        assert listened >= {word for tokens in lexicon for word in tokens}


def test_what_is_listened_for_is_understood() -> None:
    for phrase in PACK.question("rating").phrases[:-1]:
        assert PACK.understand(heard(phrase), "offer") != Unsure(Why.OTHER_SPEECH, heard(phrase)), phrase
    assert PACK.understand(heard(UNKNOWN), "rating") == Unsure(Why.OTHER_SPEECH, heard(UNKNOWN))


def test_words_are_spelt_as_people_do() -> None:
    words = PACK.words()
    assert list(words) == sorted(set(words))
    assert {"пять", "пятёрочку", "опять", "диспетчера", "абонент", "верно"} <= set(words)
    assert UNKNOWN not in words


@pytest.mark.parametrize("text", ["пять", "на пятёрочку", "ставлю три", "не сделали", "повторите"])
def test_a_short_silence_ends_a_whole_answer(text: str) -> None:
    assert PACK.question("rating").is_complete(heard(text, confidence=0.1).words)


@pytest.mark.parametrize(
    "text",
    [
        "",
        "ну",
        "ставлю",
        "не",
        "не пять",
        "три нет",
        "три ой",
        UNKNOWN,
        f"пять {UNKNOWN}",
        "нет",
        "хорошо",
        "пять или",
    ],
)
def test_who_may_go_on_is_given_time(text: str) -> None:
    assert not PACK.question("rating").is_complete(heard(text).words)


def test_yes_is_a_whole_answer_and_no_may_go_on() -> None:
    question = PACK.question("yes_no")
    assert question.is_complete(heard("да").words)
    assert not question.is_complete(heard("нет").words)


def test_a_yes_to_the_question_for_a_rating_is_mostly_the_beginning_of_something() -> None:
    assert not PACK.question("rating").is_complete(heard("да").words)


# The admin's file, checked.


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    files = ["ru.toml", "en.toml", *(f"questions/{name}.toml" for name in QUESTIONS)]
    (tmp_path / "questions").mkdir()
    for file in files:
        (tmp_path / file).write_text((HERE / file).read_text("utf-8"), "utf-8")
    return tmp_path


def edit(folder: Path, old: str, new: str, file: str = "ru.toml") -> None:
    path = folder / file
    text = path.read_text("utf-8")
    assert old in text, f"{file} no longer holds {old!r}"
    path.write_text(text.replace(old, new, 1), "utf-8")


def problems(folder: Path) -> list[str]:
    with pytest.raises(DialplanError) as caught:
        Pack.read("ru", folder)
    return list(caught.value.problems)


def test_a_word_added_is_understood(folder: Path) -> None:
    edit(folder, '5 = [\n    "пять"', '5 = ["пятёра|пятачок", "пять"')
    pack = Pack.read("ru", folder)
    assert mistakes(pack, "rating", "5: пятёра, ставлю пятачок") == []
    assert "пятёра" in pack.words()
    assert isinstance(PACK.understand(heard("пятёра"), "rating"), Unsure)


@pytest.mark.parametrize(
    ("old", "new", "says"),
    [
        ("padding = [", "paddings = [", "ru.toml: paddings: no such key; did you mean 'padding'?"),
        ('5 = [\n    "пять"', '6 = ["пять"', "ru.toml: marks.6: no such key (there are: 1, 2, 3, 4, 5)"),
        ("human = [", "humans = [", "ru.toml: wishes.humans: no such key; did you mean 'human'?"),
        ("human = [", "humans = [", "ru.toml: wishes.human is missing"),
        ('["да"]', "[]", "ru.toml: wishes.yes is missing or empty"),
        ('["да"]', '"да"', "ru.toml: wishes.yes = 'да': a list of phrases is wanted"),
        ('["да"]', "[1]", "ru.toml: wishes.yes = [1]: a list of phrases is wanted"),
        ('["да"]', '["да", "пять"]', "ru.toml: wishes.yes: 'пять' is in marks.5 too: what does it mean?"),
        (
            '["да"]',
            '["да", "четверка"]',
            "ru.toml: wishes.yes: 'четверка' is in marks.4 too: what does it mean?",
        ),
        ('["да"]', '["да", "да."]', "ru.toml: wishes.yes: 'да' is in wishes.yes too: what does it mean?"),
        (
            '["да"]',
            '["дa"]',
            "ru.toml: wishes.yes: 'дa': 'дa' is not a word in small letters of one alphabet",
        ),
        (
            '["да"]',
            '["Да"]',
            "ru.toml: wishes.yes: 'Да': 'Да' is not a word in small letters of one alphabet",
        ),
        (
            '["да"]',
            '["да,да"]',
            "ru.toml: wishes.yes: 'да,да': 'да,да' is not a word in small letters of one alphabet",
        ),
        (
            '["да"]',
            '["[unk]"]',
            "ru.toml: wishes.yes: '[unk]': '[unk]' is not a word in small letters of one alphabet",
        ),
        (
            '["да"]',
            '["да|"]',
            "ru.toml: wishes.yes: 'да|': '' is not a word in small letters of one alphabet",
        ),
        ('["да"]', '[""]', "ru.toml: wishes.yes: '': nothing is left when every word of it may be left out"),
        (
            '["да"]',
            '["да? да?"]',
            "ru.toml: wishes.yes: 'да? да?': nothing is left when every word of it may be left out",
        ),
        (
            '["да"]',
            '["да {nummer}"]',
            "ru.toml: wishes.yes: 'да {nummer}': no such group 'nummer'; did you mean 'number'?",
        ),
        ('["да"]', '["{number} {number} {number} {number} {number}"]', "at most 5000"),
        (
            'me = ["мне|',
            'me = ["мне||',
            "ru.toml: groups.me: '' is not a word in small letters of one alphabet",
        ),
        (
            'me = ["мне|',
            'me = [1, "мне|',
            "ru.toml: groups.me = [1, 'мне|нам|меня|нас|сюда']: a list of words is wanted",
        ),
        (
            '"пять" = ["петь", "ять", "ведь"]',
            '"пять" = ["пят"]',
            "ru.toml: slurred.пять: пят is in no line",
        ),
        (
            '"пять" = ["петь", "ять", "ведь"]',
            '"мастер" = ["петь"]',
            "ru.toml: slurred.мастер: a mark of one word is wanted here",
        ),
        (
            '"пять" = ["петь", "ять", "ведь"]',
            '"пять" = ["четыре"]',
            "ru.toml: slurred.пять: четыре is an answer itself",
        ),
        (
            '"пять" = ["петь", "ять", "ведь"]',
            '"пять" = ["петь"]\n"три" = ["петь"]',
            "ru.toml: slurred.три: петь is in slurred.пять too: what does it mean?",
        ),
        (
            '"пять" = ["петь", "ять", "ведь"]',
            '"пять" = "петь"',
            "ru.toml: slurred.пять = 'петь': a list of words is wanted",
        ),
        ("[asked]", "[asked", "ru.toml: "),
    ],
)
def test_what_is_wrong_in_the_file_is_named(folder: Path, old: str, new: str, says: str) -> None:
    edit(folder, old, new)
    assert [problem for problem in problems(folder) if says in problem], problems(folder)


def test_everything_that_is_wrong_is_named_at_once(folder: Path) -> None:
    edit(folder, "sure = 0.95", "sure = 2", "questions/rating.toml")
    edit(folder, "enough = 0.7", "", "questions/offer.toml")
    edit(folder, '["да"]', "[]")
    edit(folder, "corrections = [", "correction = [")
    assert len(problems(folder)) == 5


@pytest.mark.parametrize(
    ("old", "new", "says"),
    [
        ("sure = 0.95", "sure = 1.5", "sure = 1.5: a number above 0, at most 1"),
        ("sure = 0.95", "sure = true", "sure = True: a number above 0, at most 1"),
        ("sure = 0.95", "sure = nan", "sure = nan: a number above 0, at most 1"),
        ("sure = 0.95", "sure = '0,95'", "sure = '0,95': a number above 0, at most 1"),
        ("sure = 0.95", "sure = 0.5", "sure (0.5) is below enough (0.7)"),
        ("ask = 0.4", "ask = 0.96", "sure (0.95) is below ask (0.96)"),
        ("sure = 0.95", "shure = 0.95", "shure: no such key; did you mean 'sure'?"),
        (
            "sure = 0.95",
            "yes = 0.95",
            "yes: no such key (there are: sure, enough, taken, ask, pause, letter, breath, scrap, clause)",
        ),
        ("letter = 0.15", "", "letter is missing"),
        ("breath = 0.12", "breath = -1", "breath = -1: a number from 0, at most 1"),
        ("sure = 0.95", "sure = ", "Invalid value"),
    ],
)
def test_what_is_wrong_in_a_questions_thresholds_is_named(
    folder: Path, old: str, new: str, says: str
) -> None:
    edit(folder, old, new, "questions/rating.toml")
    said = problems(folder)
    assert all(problem.startswith("questions/rating.toml: ") for problem in said)
    assert [problem for problem in said if says in problem], said


def test_a_question_without_thresholds_is_named(folder: Path) -> None:
    (folder / "questions/offer.toml").unlink()
    assert "questions/offer.toml: " in problems(folder)[0]


def test_each_question_has_thresholds_of_its_own(folder: Path) -> None:
    edit(folder, "enough = 0.7", "enough = 0.85", "questions/yes_no.toml")
    pack = Pack.read("ru", folder)
    yes = heard("да", confidence=0.8)
    assert pack.understand(yes, "offer") == Wish(Intent.YES, 0.8, yes)
    assert pack.understand(yes, "yes_no") == Unsure(Why.FAINT, yes)


def test_a_value_raised_does_what_its_file_says(folder: Path) -> None:
    edit(folder, "sure = 0.95", "sure = 1", "questions/rating.toml")
    edit(folder, "enough = 0.7", "enough = 0.98", "questions/rating.toml")
    edit(folder, "pause = 0.9", "pause = 4", "questions/rating.toml")
    edit(folder, "breath = 0.12", "breath = 0.3", "questions/rating.toml")
    pack = Pack.read("ru", folder)
    assert pack.sure == 1
    assert pack.understand(heard("хорошо", confidence=0.97), "rating") == Unsure(
        Why.FAINT, heard("хорошо", confidence=0.97)
    )
    assert isinstance(pack.understand(heard("пять", seconds=4.4), "rating"), Rating)
    assert isinstance(pack.understand(among_sounds("~0.25 пять"), "rating"), Rating)


@pytest.mark.parametrize(
    ("said", "intent", "is_asked_about"),
    [
        ("не сделали", Intent.NOT_DONE, True),
        ("больше не звоните", Intent.OPT_OUT, True),
        ("перезвоните", Intent.LATER, False),
    ],
)
def test_a_wish_that_is_asked_about_is_understood_sooner_than_one_that_is_done_at_once(
    said: str, intent: Intent, is_asked_about: bool
) -> None:
    half_heard, sure = heard(said, confidence=0.75), heard(said, confidence=0.92)
    meant = PACK.understand(half_heard, "rating")
    assert meant == (Wish(intent, 0.75, half_heard) if is_asked_about else Unsure(Why.FAINT, half_heard))
    assert PACK.understand(sure, "rating") == Wish(intent, 0.92, sure)


@pytest.mark.parametrize(
    ("question", "is_understood"), [("yes_no", True), ("offer", True), ("rating", False)]
)
@pytest.mark.parametrize(("said", "intent"), [("да", Intent.YES), ("нет", Intent.NO)])
def test_yes_and_no_are_understood_sooner_where_they_are_asked_for(
    question: str, is_understood: bool, said: str, intent: Intent
) -> None:
    half_heard = heard(said, confidence=0.75)
    wanted = Wish(intent, 0.75, half_heard) if is_understood else Unsure(Why.FAINT, half_heard)
    assert PACK.understand(half_heard, question) == wanted


@pytest.mark.parametrize("question", ["yes_no", "offer"])
def test_another_wish_is_taken_no_sooner_there_than_anywhere(question: str) -> None:
    later = heard("перезвоните", confidence=0.75)
    assert PACK.understand(later, question) == Unsure(Why.FAINT, later)


def test_an_older_file_takes_every_wish_that_is_heard_enough(folder: Path) -> None:
    edit(folder, "taken = 0.8", "", "questions/rating.toml")
    later = heard("перезвоните", confidence=0.75)
    assert Pack.read("ru", folder).understand(later, "rating") == Wish(Intent.LATER, 0.75, later)


def test_a_copy_of_the_words_alone_is_tried_with_the_thresholds_in_force(tmp_path: Path) -> None:
    (tmp_path / "ru.toml").write_text((HERE / "ru.toml").read_text("utf-8"), "utf-8")
    assert Pack.read("ru", tmp_path).thresholds == PACK.thresholds


def test_a_missing_file_is_named(folder: Path) -> None:
    with pytest.raises(DialplanError, match=r"de\.toml: .*No such file"):
        Pack.read("de", folder)


def test_an_admin_can_try_sentences_out(capsys: pytest.CaptureFixture[str]) -> None:
    assert try_out(["Три… нет, четыре!", "два, и позовите человека", "[unk] пять", "опять течёт"]) == 0
    assert capsys.readouterr().out.splitlines() == [
        "Три… нет, четыре!: 4",
        "два, и позовите человека: 2, and human",
        "[unk] пять: unsure: other_speech",
        "опять течёт: not_done",
    ]


def test_trying_out_a_broken_file_says_what_is_wrong(
    folder: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    edit(folder, "sure = 0.95", "sure = 2", "questions/yes_no.toml")
    assert try_out(["да", "--asked", "yes_no", "--folder", str(folder)]) == 1
    assert "questions/yes_no.toml: sure = 2" in capsys.readouterr().err


def test_ears_that_do_not_know_a_words_neighbour_are_never_sure_of_it() -> None:
    deaf = PACK.heard_by({"опять"})
    heard = Heard((Word("пять", 1.0),), 0.4)
    sure, doubted = PACK.understand(heard, "rating"), deaf.understand(heard, "rating")
    assert isinstance(sure, Rating) and sure.confidence >= PACK.sure
    assert isinstance(doubted, Rating) and doubted.value == 5 and doubted.confidence < deaf.sure
    other = deaf.understand(Heard((Word("четыре", 1.0),), 0.5), "rating")
    assert isinstance(other, Rating) and other.confidence >= deaf.sure


def test_a_neighbour_that_nobody_listens_for_is_refused(tmp_path: Path) -> None:
    text = (HERE / "ru.toml").read_text("utf-8").replace('"пять" = ["опять"', '"пять" = ["апять"')
    (tmp_path / "ru.toml").write_text(text, "utf-8")
    with pytest.raises(DialplanError, match="апять is in no line"):
        Pack.read("ru", tmp_path)


# what it may have been


def may_be(*readings: tuple[str, float]) -> Heard:
    """The first is the likeliest."""
    ways = tuple(Reading(tuple(Word(word, 1.0) for word in text.split()), share) for text, share in readings)
    return Heard(ways[0].words, readings=ways)


def beside_nonsense(share: float) -> float:
    """What a share of sense is worth when all the rest means nothing, which is said half as often."""
    return pytest.approx(share / (share + (1 - share) / 2))  # type: ignore[no-any-return]


def test_words_that_may_be_others_of_no_weight_leave_an_answer_certain() -> None:
    meaning = PACK.understand(may_be(("на двойку", 0.5), ("ну двойку", 0.3), ("а двойку", 0.2)), "rating")
    assert isinstance(meaning, Rating)
    assert (meaning.value, meaning.confidence) == (2, pytest.approx(1.0))


@pytest.mark.parametrize("share", [0.45, 0.55])
def test_a_rating_that_may_be_its_denial_is_read_back(share: float) -> None:
    meaning = PACK.understand(may_be(("на пять", share), ("не пять", 1 - share)), "rating")
    assert isinstance(meaning, Rating)
    assert (meaning.value, meaning.confidence) == (5, beside_nonsense(share))
    assert meaning.confidence < PACK.sure


@pytest.mark.parametrize(
    "ways",
    [
        [("пять", 0.2), ("опять", 0.8)],
        [("потолок", 0.8), ("три", 0.2)],
    ],
)
def test_a_rating_that_is_rather_something_else_is_not_worth_asking_about(
    ways: list[tuple[str, float]],
) -> None:
    assert isinstance(PACK.understand(may_be(*ways), "rating"), Unsure)


def test_two_ratings_about_as_likely_are_none() -> None:
    heard = may_be(("три", 0.45), ("смотри", 0.3), ("четыре", 0.25))
    assert PACK.understand(heard, "rating") == Unsure(Why.SEVERAL, heard)
    assert isinstance(PACK.understand(may_be(("три", 0.7), ("четыре", 0.3)), "rating"), Rating)


def test_the_same_rating_with_a_wish_and_without_is_one_rating() -> None:
    meaning = PACK.understand(may_be(("двойка", 0.55), ("не сделали двойка", 0.45)), "rating")
    assert isinstance(meaning, Rating)
    assert (meaning.value, meaning.also) == (2, None)


def test_what_goes_with_a_rating_must_be_heard_as_well_as_any_wish() -> None:
    faint = may_be(("пять больше не звоните", 0.5), ("пять потолок не звоните", 0.5))
    assert isinstance(PACK.understand(faint, "rating"), Unsure)


def test_a_judgement_that_is_half_heard_leaves_what_was_likelier() -> None:
    meaning = PACK.understand(may_be(("ну", 0.7), ("хорошо", 0.3)), "rating")
    assert meaning == Unsure(Why.NOTHING, meaning.heard)


def test_a_mark_said_over_talk_is_read_back_however_certain() -> None:
    heard = Heard((Word("пять", 1.0),), over_talk=True)
    meaning = PACK.understand(heard, "rating")
    assert isinstance(meaning, Rating)
    assert meaning.confidence < PACK.sure


def test_a_wish_that_is_likelier_is_not_passed_over_for_a_rating() -> None:
    meaning = PACK.understand(may_be(("оператора", 0.55), ("четыре", 0.45)), "rating")
    assert meaning == Unsure(Why.FAINT, meaning.heard)


def test_what_most_of_the_readings_mean_counts_though_the_likeliest_means_nothing() -> None:
    meaning = PACK.understand(may_be(("потолок три", 0.2), ("ну три", 0.4), ("на три", 0.4)), "rating")
    assert isinstance(meaning, Rating)
    assert (meaning.value, meaning.confidence) == (3, beside_nonsense(0.8))


def test_a_share_is_worth_what_the_ears_say_it_is() -> None:
    heard = may_be(("пять", 0.97), ("опять", 0.03))
    doubting = PACK.heard_by((), trust=lambda share: share / 3)
    assert doubting.understand(heard, "rating") == Unsure(Why.FAINT, heard)
