"""What each company's callers hear, and what names one job to the resident who is asked about it."""

from __future__ import annotations

import os
import shutil
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from pathlib import Path

import numpy as np
import pytest

from directory.nouns import Company
from ivr.dialplan import rules
from ivr.dialplan.rules import Rules
from ivr.errors import DialplanError, MissingPart
from ivr.narrator import JOBS_KEPT, NOBODY, SPOKEN, STATIC, Narrator
from ivr.settings import HERE, Settings
from ivr.speech.prompts import FORMS, PromptShelf
from ivr.speech.sound import Sound
from robocalls.nouns import Job
from robocalls.survey import JOB_PROMPTS, PROMPTS

NORTH = Company(id=7, code="severnaya", name="УК «Северная»")
JOB = Job(
    survey=1, call="dozvon-survey-1-1", ticket=7042, phone="+79160000001", company_id=7, line="+74951230001",
    category="sewer", queue="north", registered_at=datetime(2026, 11, 14, 21, 30, tzinfo=UTC), zone="Asia/Omsk",
    address="Омск, ул. Лесная, д. 15, корп. 2", flat="12", name="Смирнов Олег Павлович",
)  # fmt: skip


class Whistler:
    """A voice that is quick."""

    identity = "whistler"

    def __init__(self) -> None:
        self.spoken: list[str] = []

    async def speak(self, text: str) -> Sound:
        self.spoken.append(text)
        return Sound(np.sin(np.arange(2400) / 10).astype(np.float32) * 0.3, 24_000)


@pytest.fixture
def dialplan(tmp_path: Path) -> Path:
    return Path(shutil.copytree(HERE / "dialplan", tmp_path / "dialplan"))


@pytest.fixture
def voice() -> Whistler:
    return Whistler()


class House:
    def __init__(self, home: Path, dialplan: Path, voice: Whistler, language: str = "ru") -> None:
        self.dialplan, self.voice = dialplan, voice
        self.jobs = home / "prompts" / "jobs"
        settings = replace(Settings(), home=home, language=language)
        self.narrator = Narrator(settings, PromptShelf(home / "prompts", home / "recorded", voice))
        self.rules: Rules = rules.read(dialplan)

    async def prepare(self, *companies: Company) -> None:
        await self.narrator.prepare(companies or [NORTH], self.rules, self.dialplan)

    async def said_of(self, job: Job, company: Company | None = NORTH) -> list[str]:
        """What is spoken anew for that job."""
        before = len(self.voice.spoken)
        await self.narrator.of_job(company, job)
        return self.voice.spoken[before:]


@pytest.fixture
def house(tmp_path: Path, dialplan: Path, voice: Whistler) -> House:
    return House(tmp_path / "home", dialplan, voice)


def edit(dialplan: Path, old: str, new: str) -> None:
    file = dialplan / "phrases" / "ru.toml"
    text = file.read_text("utf-8")
    assert old in text
    file.write_text(text.replace(old, new, 1), "utf-8")


async def test_every_prompt_is_ready_before_anybody_calls(house: House) -> None:
    await house.prepare()
    prompts = house.narrator.of(NORTH)
    assert set(prompts) >= {*SPOKEN, *STATIC, *PROMPTS, *house.rules.prompts()}
    assert not set(prompts) & set(JOB_PROMPTS)


async def test_the_robot_greets_in_the_company_s_name_in_full(house: House) -> None:
    await house.prepare()
    greetings = [text for text in house.voice.spoken if "Это робот" in text]
    assert "Это робот, управляющая компания «Северная»." in greetings[0]
    assert house.narrator.of(NORTH)["survey_welcome"] != house.narrator.of(NOBODY)["survey_welcome"]


async def test_what_names_no_company_is_rendered_once_for_all(house: House) -> None:
    await house.prepare(NORTH, replace(NORTH, id=8, code="river", name="Речная"))
    assert sum("Спасибо за оценку" in text for text in house.voice.spoken) == 1
    assert sum("Это робот" in text for text in house.voice.spoken) == 3  # two companies, and nobody's


async def test_a_job_is_named_by_its_day_where_she_lives_what_it_was_and_the_house(house: House) -> None:
    await house.prepare()
    short, full = await house.said_of(JOB)
    assert short == (
        "Заявка от пятнадцатого ноября: засор канализации. Омск, улица Лесная, дом 15, корпус 2."
    ), "half past nine in the evening in London is the next day in Omsk"
    assert full == "Заявка номер 7042 от пятнадцатого ноября: засор канализации. Квартира 12."


async def test_before_she_has_confirmed_nothing_personal_is_said(house: House) -> None:
    await house.prepare()
    short, full = await house.said_of(JOB)
    for personal in ("Смирнов", "7042", "12"):
        assert personal not in short
    assert "Смирнов" not in full


async def test_what_is_not_known_of_a_job_is_left_out(house: House) -> None:
    await house.prepare()
    bare = replace(JOB, address=None, flat=None, category="own_word")
    assert await house.said_of(bare) == [
        "Заявка от пятнадцатого ноября: обращение к диспетчеру. .",
        "Заявка номер 7042 от пятнадцатого ноября: обращение к диспетчеру. .",
    ]


async def test_in_english_a_job_is_named_in_english(tmp_path: Path, dialplan: Path, voice: Whistler) -> None:
    house = House(tmp_path / "home", dialplan, voice, "en")
    await house.prepare()
    short, _ = await house.said_of(JOB)
    assert short.startswith("Your request of November the fifteenth: a blocked sewer.")


async def test_what_is_written_short_is_read_in_full(house: House) -> None:
    await house.prepare()
    for written, read in (
        ("г. Москва, ул. Лесная, д. 5", "город Москва, улица Лесная, дом 5"),
        ("г.Москва, пр-т Мира, д.5 к.2", "город Москва, проспект Мира, дом 5 корпус 2"),
        ("д. Ивановка, ул. Садовая, 3", "д. Ивановка, улица Садовая, 3"),
        ("ТСЖ «Уют»", "товарищество собственников жилья «Уют»"),
        ("проспект Мира, 1", "проспект Мира, 1"),
    ):
        short, *_ = await house.said_of(replace(JOB, address=written))
        assert short.endswith(f": засор канализации. {read}.")


async def test_every_day_of_the_year_has_words_of_its_own(house: House) -> None:
    await house.prepare()
    said = set()
    for month, day in [(1, day) for day in range(1, 32)] + [(month, 2) for month in range(2, 13)]:
        short, *_ = await house.said_of(replace(JOB, registered_at=datetime(2026, month, day, 9, tzinfo=UTC)))
        said.add(short.partition(":")[0])
    assert len(said) == 31 + 11
    some = {
        "первого января",
        "четвёртого января",
        "двадцать второго января",
        "тридцать первого января",
        "второго мая",
    }
    assert said >= {f"Заявка от {day}" for day in some}


async def test_the_prompts_of_a_job_lie_over_its_company_s(house: House) -> None:
    await house.prepare()
    prompts = await house.narrator.of_job(NORTH, JOB)
    assert set(prompts) == {*house.narrator.of(NORTH), *JOB_PROMPTS}
    for name in JOB_PROMPTS:
        assert prompts[name].parent == house.jobs
        assert prompts[name].with_suffix(".wav").is_file()


async def test_a_company_nobody_knows_is_asked_for_in_nobody_s_name(house: House) -> None:
    await house.prepare()
    for company in (None, replace(NORTH, id=99)):
        prompts = await house.narrator.of_job(company, JOB)
        assert prompts["survey_welcome"] == house.narrator.of(NOBODY)["survey_welcome"]


async def test_a_company_s_own_words_name_its_jobs(house: House) -> None:
    own = replace(NORTH, phrases={"survey_job": "Вы звонили нам: {about}."})
    await house.prepare(own)
    short, _ = await house.said_of(JOB, own)
    assert short == "Вы звонили нам: засор канализации."


async def test_a_second_attempt_finds_its_prompts_ready_and_keeps_them_for_longer(house: House) -> None:
    await house.prepare()
    prompts = await house.narrator.of_job(NORTH, JOB)
    file = prompts["survey_job"].with_suffix(".wav")
    os.utime(file, (0, 0))
    assert await house.said_of(JOB) == []
    assert file.stat().st_mtime > 0


async def test_prompts_of_jobs_long_over_are_swept(house: House) -> None:
    await house.prepare()
    old, new = [await house.narrator.of_job(NORTH, replace(JOB, ticket=number)) for number in (1, 2)]
    now = datetime.now(UTC)
    long_ago = (now - JOBS_KEPT - timedelta(minutes=1)).timestamp()
    for form in FORMS:
        os.utime(old["survey_job_full"].with_suffix(form), (long_ago, long_ago))
    (house.jobs / ".making-half").mkdir()
    assert house.narrator.sweep_jobs(now) == len(FORMS)
    assert not old["survey_job_full"].with_suffix(".wav").exists()
    assert new["survey_job_full"].with_suffix(".wav").exists()
    assert house.narrator.sweep_jobs(now) == 0
    assert house.narrator.of(NORTH)["survey_welcome"].with_suffix(".wav").exists()


async def test_sweeping_before_the_first_job_finds_nothing(house: House) -> None:
    assert house.narrator.sweep_jobs(datetime.now(UTC)) == 0


async def test_what_names_a_flat_is_for_the_hotline_only(house: House) -> None:
    await house.prepare()
    await house.narrator.of_job(NORTH, JOB)
    assert house.jobs.stat().st_mode & 0o077 == 0


async def test_a_dialplan_copied_before_an_update_still_speaks(house: House) -> None:
    """It lacks the robot's phrases; an emergency line must not stay down for that."""
    file = house.dialplan / "phrases" / "ru.toml"
    file.write_text(file.read_text("utf-8").partition("# Робот спрашивает")[0], "utf-8")
    edit(house.dialplan, "Такой кнопки в меню нет.", "Нет такой кнопки.")
    await house.prepare()
    assert len(await house.said_of(JOB)) == len(JOB_PROMPTS)
    assert "Нет такой кнопки." in house.voice.spoken


@pytest.mark.parametrize(
    ("old", "new", "why"),
    [
        ("января, февраля,", "января,", "words_months: 11 words, 12 are wanted"),
        ("первого, второго,", "первого,", "words_days: 30 words, 31 are wanted"),
        ("ул. = улица", "ул. улица", "words_short: 'ул. улица' is not like 'ул. = улица'"),
        ("{about}. {address}.", "{about}. {adress}.", "no value for {adress}; did you mean 'address'"),
        ("{about}. {address}.", "{about}. Квартира {flat}.", "survey_job: no value for {flat}"),
    ],
)
async def test_an_edit_that_could_name_no_job_is_refused_before_it_is_in_force(
    house: House, old: str, new: str, why: str
) -> None:
    edit(house.dialplan, old, new)
    with pytest.raises(DialplanError) as refused:
        await house.prepare()
    assert why in str(refused.value)


async def test_without_a_voice_a_job_cannot_be_named_and_it_says_so(house: House) -> None:
    await house.prepare()
    house.narrator._jobs.voice = None
    with pytest.raises(MissingPart, match="survey_job"):
        await house.narrator.of_job(NORTH, JOB)
