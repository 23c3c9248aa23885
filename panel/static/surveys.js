// What the robot asks and hears: whom it hands over now and why, the latest ratings, numbers that opt out.
"use strict";

const LOW = 2; // a rating up to this is a complaint

let surveys = null; // the last answer of /api/surveys/now
let shown_handed = "[]";

async function look_at_surveys() {
  surveys = await ask("/api/surveys/now");
  const { handed_over: handed, latest, counts } = surveys;
  if (JSON.stringify(handed) !== shown_handed) {
    shown_handed = JSON.stringify(handed); // a reader of screens says it once
    $("#handed-rows").replaceChildren(...handed.map(handed_over));
    $("#handed").hidden = !handed.length;
  }
  count("#rating-counts", { ...counts, average: counts.average && counts.average.toLocaleString(words.language,
    { maximumFractionDigits: 1, minimumFractionDigits: 1 }) },
    ["calling", "rated", "average", "low", "not_understood"], ["low"]);
  $("#rating-rows").replaceChildren(...latest.map(rating));
  $("#no-ratings").hidden = latest.length > 0;
}

function forget_surveys() {
  surveys = null;
  shown_handed = "[]";
  for (const place of ["#handed-rows", "#rating-rows"]) $(place).replaceChildren();
  $("#handed").hidden = true;
}

// a code of surveys in words; why may be what the last call came to, or a person's own
function coded(room, code) {
  return words.survey[room]?.[code] ?? words.survey.outcome[code] ?? code ?? "";
}

function is_low(survey) {
  return survey.result === "not_done" || (survey.rating && survey.rating <= LOW);
}

function mark(survey) {
  const stars = survey.rating;
  const made = stars ? element("div", "mark", String(stars), element("small", "", ` ${word("of_five")}`))
    : element("div", "mark word", coded("result", survey.result ?? "human"));
  made.classList.toggle("low", Boolean(is_low(survey)));
  return made;
}

function who(survey) {
  const name = element("button", "name", survey.name ?? survey.phone);
  name.addEventListener("click", () => detail_of_survey(survey.id));
  return element("div", "who", name, survey.name ? element("div", "phone", survey.phone) : null,
    element("div", "small", place(survey)));
}

function job(survey) {
  return [word("ticket", { n: survey.ticket }), named("category", survey.category), survey.company].filter(Boolean).join(" · ");
}

// what the ears did not know is three dots
function spoken(text) {
  return text.replaceAll("[unk]", "…");
}

function comment(survey) {
  if (survey.transcript) return element("div", "said", `«${spoken(survey.transcript)}»`);
  return survey.comment_s ? element("div", "small", word("comment", { n: Math.round(survey.comment_s) })) : null;
}

function handed_over(survey) {
  const stage = named("stage", survey.stage).replace("{who}", survey.dispatcher ?? "");
  const mine = Boolean(survey.dispatcher) && survey.dispatcher === me?.name;
  const made = element("div", `handed${mine ? " mine" : ""}`,
    mark(survey), who(survey),
    element("div", "job", element("div", "", job(survey)), comment(survey),
      element("div", "small", [survey.content, survey.done && word("was_done", { what: survey.done })].filter(Boolean).join(" → ")),
      survey.reopened ? element("div", "small", word("reopened")) : null),
    element("div", "state", element("div", "going", mine && survey.stage === "ringing_dispatcher" ? word("your_phone") : stage)));
  return made;
}

function rating(survey) {
  return element("div", "rating",
    mark(survey), who(survey),
    element("div", "job", comment(survey), element("div", "small", [job(survey), survey.by && coded("by", survey.by),
      survey.reopened && word("reopened"), survey.dispatcher && word("with", { who: survey.dispatcher })].filter(Boolean).join(" · "))),
    element("time", "", clock(survey.answered_at)));
}

// one survey

async function detail_of_survey(id) {
  let survey;
  try {
    survey = await ask(`/api/surveys/${id}`);
  } catch (problem) {
    return problem instanceof Unknown ? leave() : tell_trouble(problem);
  }
  const dialog = $("#survey");
  $("h2", dialog).textContent = word("survey", { id: survey.id });
  const facts = [
    [word("who"), [survey.name, survey.phone, place(survey)].filter(Boolean).join(", ")],
    [word("what"), job(survey)],
    [word("content"), survey.content],
    [word("done"), survey.done],
    [word("rating"), survey.rating && `${survey.rating} ${word("of_five")}`],
    [word("state"), [coded("status", survey.status), survey.result && coded("result", survey.result)].filter(Boolean).join(", ")],
    [word("why"), survey.why && coded("why", survey.why)],
    [word("agreed"), survey.agreed_at && clock(survey.agreed_at)],
    [word("next_call"), survey.next_attempt_at && clock(survey.next_attempt_at)],
    [word("no_more"), survey.opted_out_at && word("since", { at: clock(survey.opted_out_at) })],
  ];
  $(".facts", dialog).replaceChildren(...listed(facts));
  $(".timeline", dialog).replaceChildren(...story(survey));
  const no_more = $(".no-more", dialog);
  no_more.hidden = Boolean(survey.opted_out_at);
  no_more.onclick = () => ask_for_no_more(survey.phone);
  dialog.showModal();
}

// calls, what was heard in them, answers: in one order of time
function story(survey) {
  const told = [
    ...survey.calls.map((call) => [call.placed_at, word("attempt", { n: call.attempt }), coded("outcome", call.outcome) || word("goes_on"),
      call.answered_by && word("with", { who: call.answered_by }), call.comment_s && word("comment", { n: Math.round(call.comment_s) }),
      call.transcript && `«${spoken(call.transcript)}»`]),
    ...survey.facts.map((fact) => [fact.at, coded("fact", fact.kind), ...evidence(fact.detail)]),
    ...survey.answers.map((answer) => [answer.at, [coded("result", answer.result), answer.rating].filter(Boolean).join(": "),
      coded("by", answer.by), ...evidence(answer.detail)]),
    ...survey.history.map((entry) => [entry.at, coded("history", entry.what), entry.who === "hotline" ? "" : entry.who,
      entry.detail.reason, entry.detail.why && coded("why", entry.detail.why), entry.detail.rating]),
  ];
  return told.sort(([one], [two]) => Date.parse(one) - Date.parse(two)).map((event) => happened(...event));
}

// the words with how sure the ears were of each, the key, or what it was taken for
function evidence({ words: pairs, text, confidences, key, noise, took, rating }) {
  const heard = pairs ?? (text ?? "").split(" ").filter(Boolean).map((one, n) => [one, confidences?.[n]]);
  return [
    heard.map(([one, sure]) => (sure === undefined ? spoken(one) : `${spoken(one)} ${Math.round(100 * sure)} %`)).join(", "),
    key && word("key", { key }),
    noise && coded("result", noise),
    took && word("taken_for", { what: took === "rating" ? rating : coded("took", took) }),
  ];
}

$("#survey .close").addEventListener("click", () => $("#survey").close());

// no more calls of the robot

async function ask_for_no_more(phone = "") {
  const dialog = $("#opt-out");
  const form = $("form", dialog);
  form.reset();
  form.elements.phone.value = phone;
  $(".error", form).hidden = $(".done", form).hidden = true;
  dialog.showModal();
  form.elements[phone ? "reason" : "phone"].focus();
  await show_opt_outs();
}

async function show_opt_outs() {
  try {
    const { opt_outs } = await ask("/api/opt-outs?most=10");
    $("#opt-out .timeline").replaceChildren(...opt_outs.map((entry) =>
      happened(entry.since, entry.phone, coded("how", entry.how), entry.who, entry.reason)));
  } catch (problem) {
    problem instanceof Unknown ? leave() : tell_trouble(problem);
  }
}

$("#no-more").addEventListener("click", () => ask_for_no_more());
$("#opt-out .close").addEventListener("click", () => $("#opt-out").close());
$("#opt-out form").addEventListener("submit", async (event) => {
  event.preventDefault();
  const { phone, reason } = event.target.elements;
  const [done, error, save] = [".done", ".error", ".save"].map((part) => $(part, event.target));
  save.disabled = true;
  done.hidden = error.hidden = true;
  try {
    const entry = await ask("/api/opt-outs", { phone: phone.value, reason: reason.value });
    done.textContent = word(entry.new ? "no_more_done" : "no_more_known", { phone: entry.phone, at: clock(entry.since), who: entry.who });
    done.hidden = false;
    event.target.reset();
    await show_opt_outs();
    await look();
  } catch (problem) {
    if (problem instanceof Unknown) return leave();
    error.textContent = problem.message;
    error.hidden = false;
  } finally {
    save.disabled = false;
  }
});
