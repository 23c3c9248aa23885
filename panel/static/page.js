// The dispatchers' page: asks the API what is owed now and shows it. Everything is set as text, never as markup.
"use strict";

const SOON = 3 * 60; // seconds left from which on a row is amber
const POLL = 5000; // also while events come: what a phone does now is no event
const AGAIN = 3000;

let words = {};
let login = sessionStorage.getItem("login");
let board = null; // the last answer of /api/now
let ahead = 0; // by how many milliseconds the server's clock is ahead of this one
let listening = null;
let asked = false;
let again = false; // something has changed while we asked
let me = null;

const $ = (selector, root = document) => root.querySelector(selector);

function word(name, fields = {}) {
  return (words.page[name] ?? name).replace(/\{(\w+)\}/g, (_, field) => fields[field] ?? "");
}

function named(room, code) {
  return words[room]?.[code] ?? (room === "why" ? words.outcome[code] : undefined) ?? code ?? "";
}

function element(tag, className, ...content) {
  const made = document.createElement(tag);
  if (className) made.className = className;
  made.append(...content.filter((part) => part !== null && part !== undefined && part !== ""));
  return made;
}

// the API

class Unknown extends Error {}

async function ask(path, body) {
  const request = { headers: { Authorization: login }, cache: "no-store", credentials: "omit" };
  if (body) Object.assign(request, { method: "POST", body: JSON.stringify(body) });
  const answer = await fetch(path, request);
  if (answer.status === 401) throw new Unknown();
  const content = await answer.json();
  if (!answer.ok) throw new Error(words.refusal[content.code] ?? words.survey_refusal[content.code] ?? content.error);
  return content;
}

function basic(extension, password) {
  const bytes = new TextEncoder().encode(`${extension}:${password}`);
  return "Basic " + btoa(String.fromCharCode(...bytes));
}

// who is here

async function enter() {
  me = await ask("/api/me");
  sessionStorage.setItem("login", login);
  $("#me").textContent = me.role === "admin" ? word("admin") : `${me.name} ${me.title}`;
  show(true);
  listen();
  await look();
}

function leave() {
  sessionStorage.removeItem("login");
  login = board = me = null;
  listening?.abort();
  $("#rows").replaceChildren();
  forget_surveys();
  for (const dialog of document.querySelectorAll("dialog")) dialog.close();
  show(false);
}

function show(inside) {
  $("#door").hidden = inside;
  for (const id of ["#desk", "#me", "#leave"]) $(id).hidden = !inside;
}

$("#login").addEventListener("submit", async (event) => {
  event.preventDefault();
  const { extension, password } = event.target.elements;
  const error = $(".error", event.target);
  login = extension.value.trim() ? basic(extension.value.trim(), password.value) : `Bearer ${password.value}`;
  try {
    await enter();
    event.target.reset();
    error.hidden = true;
  } catch (problem) {
    login = null;
    error.textContent = problem instanceof Unknown ? word("wrong_login") : problem.message;
    error.hidden = false;
  }
});
$("#leave").addEventListener("click", leave);

// what is owed now

async function look() {
  if (!login) return;
  if (asked) {
    again = true;
    return;
  }
  asked = true;
  try {
    await Promise.all([look_at_promises(), look_at_surveys()]);
    entitle();
    $("#away").hidden = true;
  } catch (problem) {
    if (problem instanceof Unknown) leave();
    else {
      $("#away").textContent = word("away", { at: board ? clock(board.now, true) : "–" });
      $("#away").hidden = false;
    }
  } finally {
    asked = false;
  }
  if (again) {
    again = false;
    look();
  }
}

async function look_at_promises() {
  if (!$("#day").hidden) return;
  board = await ask("/api/now");
  ahead = Date.parse(board.now) - Date.now();
  draw(board.promises, board.counts);
}

function entitle() {
  const { open, broken } = board?.counts ?? { open: 0, broken: 0 };
  const owed = broken ? `(${broken}!) ` : open ? `(${open}) ` : "";
  document.title = `${surveys?.handed_over.length ? "☎ " : ""}${owed}Дозвон`;
}

function draw(promises, counts) {
  $("#rows").replaceChildren(...promises.map(row));
  const total = counts.open + counts.broken;
  $("#empty").hidden = promises.length === total && total > 0;
  $("#empty").textContent = total ? word("more", { n: total }) : word("nobody");
  count("#counts", counts, ["broken", "open", "kept_today", "broken_today"], ["broken", "broken_today"]);
  tick();
}

function count(place, counts, names, bad) {
  $(place).replaceChildren(...names.map((name) =>
    element("div", bad.includes(name) && counts[name] ? "bad" : "",
      element("dt", "", word(name)), element("dd", "", String(counts[name] ?? "–")))));
}

function row(promise) {
  const left = element("div", "left");
  const lives = !promise.closed_at;
  if (lives) left.dataset.due = promise.due_at;
  else {
    left.textContent = named("status", promise.status);
    left.classList.add("word");
  }
  const name = element("button", "name", promise.name ?? promise.phone ?? word("hidden"));
  name.addEventListener("click", () => detail(promise.id));
  const made = element("div", `row promise ${promise.status}`,
    left,
    element("div", "who", name,
      promise.name ? element("div", "phone", promise.phone ?? word("hidden")) : null,
      element("div", "small", place(promise))),
    element("div", "what", element("div", "", named("category", promise.category)),
      element("div", "small", [named("outcome", promise.reason),
        promise.missed > 1 ? word("missed", { n: promise.missed }) : ""].filter(Boolean).join(", ")),
      element("div", "small", promise.company)),
    state(promise, lives),
    element("div", "moves", ...(lives ? ["keep", "postpone", "withdraw"] : ["reopen"]).map((move) => {
      const button = element("button", "", word(move));
      button.addEventListener("click", () => ask_for(move, promise));
      button.disabled = move === "postpone" && !promise.phone;
      return button;
    })));
  made.setAttribute("role", "row");
  for (const cell of made.children) cell.setAttribute("role", "cell");
  return made;
}

function place(promise) {
  const flat = promise.flat ? word("flat", { number: promise.flat }) : "";
  return [promise.address, flat].filter(Boolean).join(", ");
}

function state(promise, lives) {
  const told = element("div", "state");
  if (promise.calls_herself) told.append(element("div", "going", named("stage", "calls_herself")));
  else if (promise.stage)
    told.append(element("div", "going", named("stage", promise.stage).replace("{who}", promise.dispatcher ?? "")));
  else if (lives) told.append(element("div", "", coming(promise)));
  if (promise.why) told.append(element("div", promise.status === "broken" ? "why" : "small", named("why", promise.why)));
  if (promise.attempts) told.append(element("div", "small", word("tries", { n: promise.attempts })));
  return told;
}

function coming(promise) {
  if (!promise.next_attempt_at) return promise.phone ? "" : word("by_hand");
  const later = Date.parse(promise.next_attempt_at) > Date.now() + ahead;
  return later ? word("next", { at: clock(promise.next_attempt_at) }) : word("soon");
}

function tick() {
  for (const left of document.querySelectorAll("[data-due]")) {
    const seconds = Math.ceil((Date.parse(left.dataset.due) - Date.now() - ahead) / 1000);
    left.textContent = (seconds < 0 ? "−" : "") + span(Math.abs(seconds));
    left.parentElement.classList.toggle("soon", seconds >= 0 && seconds <= SOON);
    left.parentElement.classList.toggle("broken", seconds < 0);
  }
}

function span(seconds) {
  const two = (n) => String(n).padStart(2, "0");
  const [hours, minutes] = [Math.floor(seconds / 3600), Math.floor(seconds / 60) % 60];
  return (hours ? `${hours}:${two(minutes)}` : String(minutes).padStart(2, "0")) + `:${two(seconds % 60)}`;
}

function clock(moment, exact = false) {
  const at = new Date(moment);
  const today = at.toDateString() === new Date(Date.now() + ahead).toDateString();
  const time = at.toLocaleTimeString(words.language,
    { hour: "2-digit", minute: "2-digit", hourCycle: "h23", ...(exact && { second: "2-digit" }) });
  return today ? time : `${at.toLocaleDateString(words.language, { day: "2-digit", month: "2-digit" })} ${time}`;
}

// a day

async function show_day() {
  const choosing = $("#day");
  try {
    const { promises } = await ask(`/api/promises?day=${choosing.value}&by=due&most=500`);
    $("#rows").replaceChildren(...promises.map(row));
    $("#empty").hidden = promises.length > 0;
    $("#empty").textContent = word("none_that_day");
    tick();
  } catch (problem) {
    problem instanceof Unknown ? leave() : tell_trouble(problem);
  }
}

function choose(day) {
  $("#show-now").setAttribute("aria-pressed", String(!day));
  $("#show-day").setAttribute("aria-pressed", String(day));
  $("#day").hidden = !day;
  if (day) {
    $("#day").value ||= local(new Date(Date.now() + ahead)).slice(0, 10);
    show_day();
  } else look();
}

$("#show-now").addEventListener("click", () => choose(false));
$("#show-day").addEventListener("click", () => choose(true));
$("#day").addEventListener("change", (event) => event.target.value && show_day());

function local(date) {
  return new Date(date - date.getTimezoneOffset() * 60000).toISOString().slice(0, 16);
}

function tell_trouble(problem) {
  $("#away").textContent = `${word("failed")}: ${problem.message}`;
  $("#away").hidden = false;
}

// moves

let moving = null;

function ask_for(move, promise) {
  moving = { move, promise };
  const dialog = $("#move");
  const form = $("form", dialog);
  form.reset();
  $("h2", dialog).textContent = word(move);
  $(".whom", dialog).textContent = [promise.name, promise.phone ?? word("hidden"), place(promise)].filter(Boolean).join(", ");
  $(".question", dialog).textContent = word(move === "keep" ? "keep_how" : `${move}_why`);
  $(".until", dialog).hidden = move !== "postpone";
  form.elements.until.required = move === "postpone";
  if (move === "postpone") {
    form.elements.until.value = local(new Date(Date.now() + ahead + 30 * 60000));
  }
  const notes = {
    postpone: promise.status === "open" ? word("due_stands", { at: clock(promise.due_at) }) : "",
    withdraw: promise.status === "broken" ? word("breach_stays") : "",
    reopen: word("not_a_talk"),
  };
  $(".note", dialog).textContent = notes[move] ?? "";
  $(".error", dialog).hidden = true;
  dialog.showModal();
  form.elements.reason.focus();
}

$("#move form").addEventListener("submit", async (event) => {
  event.preventDefault();
  const { move, promise } = moving;
  const { until, reason } = event.target.elements;
  const body = { [move === "keep" ? "how" : "reason"]: reason.value };
  if (move === "postpone") body.until = new Date(until.value).toISOString();
  const save = $(".save", event.target);
  save.disabled = true;
  try {
    await ask(`/api/promises/${promise.id}/${move}`, body);
    $("#move").close();
    $("#detail").close();
    $("#day").hidden ? await look() : await show_day();
  } catch (problem) {
    if (problem instanceof Unknown) return leave();
    $(".error", event.target).textContent = problem.message;
    $(".error", event.target).hidden = false;
  } finally {
    save.disabled = false;
  }
});
$("#move .cancel").addEventListener("click", () => $("#move").close());

// one promise

async function detail(id) {
  let promise;
  try {
    promise = await ask(`/api/promises/${id}`);
  } catch (problem) {
    return problem instanceof Unknown ? leave() : tell_trouble(problem);
  }
  const dialog = $("#detail");
  $("h2", dialog).textContent = word("promise", { id: promise.id });
  const facts = [
    [word("who"), [promise.name, promise.phone ?? word("hidden"), place(promise)].filter(Boolean).join(", ")],
    [word("what"), [named("category", promise.category), promise.company].filter(Boolean).join(", ")],
    [word("state"), named("status", promise.status)],
    [word("due_at"), clock(promise.due_at, true)],
    [word("reached_at"), promise.reached_at && clock(promise.reached_at, true)],
    [word("why"), named("why", promise.why)],
    [word("clause"), promise.clause],
  ];
  $(".facts", dialog).replaceChildren(...listed(facts));
  $(".timeline", dialog).replaceChildren(...timeline(promise));
  const reopen = $(".reopen", dialog);
  reopen.hidden = !promise.closed_at;
  reopen.onclick = () => ask_for("reopen", promise);
  dialog.showModal();
}

function listed(facts) {
  return facts.filter(([, value]) => value).flatMap(([name, value]) => [element("dt", "", name), element("dd", "", value)]);
}

function happened(at, what, ...parts) {
  return element("li", "", element("time", "", clock(at, true)), element("span", "", what),
    element("span", "small", parts.filter(Boolean).join(" · ")));
}

function timeline(promise) {
  const told = new Map(promise.tried.map((attempt) => [attempt.call_id, attempt]));
  const calls = new Map(promise.calls.map((call) => [call.id, call]));
  return promise.history.map((entry) => {
    const { detail: more } = entry;
    const attempt = told.get(more.call);
    const call = calls.get(more.call);
    const parts = [
      entry.who === "hotline" ? "" : entry.who,
      more.reason && !more.call ? more.reason : named("outcome", more.reason),
      more.how,
      more.why && named("why", more.why),
      more.outcome && named("why", more.outcome),
      attempt && word("attempt", { n: attempt.attempt }),
      attempt?.accepted_by && word("with", { who: attempt.accepted_by }),
      call?.message_s && word("message", { n: Math.round(call.message_s) }),
      more.until && word("till", { at: clock(more.until) }),
      more.next && word("then", { at: clock(more.next) }),
      more.clause,
    ];
    return happened(entry.at, named("history", entry.what), ...parts);
  });
}

$("#detail .close").addEventListener("click", () => $("#detail").close());

// events: fetch instead of EventSource, which cannot show a login

async function listen() {
  listening?.abort();
  const mine = (listening = new AbortController());
  while (login && !mine.signal.aborted) {
    try {
      const answer = await fetch("/api/events", {
        headers: { Authorization: login }, signal: mine.signal, cache: "no-store", credentials: "omit",
      });
      if (answer.ok) await hear(answer.body.getReader());
    } catch {
      // the page polls meanwhile
    }
    await new Promise((again) => setTimeout(again, AGAIN));
  }
}

async function hear(reader) {
  const decoder = new TextDecoder();
  let text = "";
  for (;;) {
    const { done, value } = await reader.read();
    if (done) return;
    text += decoder.decode(value, { stream: true });
    const events = text.split("\n\n");
    text = events.pop();
    if (events.some((event) => event.startsWith("event: changed"))) look();
  }
}

async function look_at_line() {
  const pill = $("#line");
  try {
    const { well } = await (await fetch("/health", { cache: "no-store" })).json();
    pill.textContent = word(well ? "line_well" : "line_ill");
    pill.classList.toggle("bad", !well);
    pill.hidden = false;
  } catch {
    pill.hidden = true;
  }
}

async function start() {
  words = await (await fetch("/words.json")).json();
  document.documentElement.lang = words.language;
  for (const place of document.querySelectorAll("[data-word]")) place.textContent = word(place.dataset.word);
  setInterval(tick, 500);
  setInterval(look, POLL);
  setInterval(look_at_line, POLL);
  look_at_line();
  if (!login) return show(false);
  try {
    await enter();
  } catch (problem) {
    problem instanceof Unknown ? leave() : (show(true), listen(), look());
  }
}
document.addEventListener("DOMContentLoaded", start); // all our scripts are there by then
