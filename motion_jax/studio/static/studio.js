// What all pages share: requests, forms, jobs that go on, and regions that are fetched anew.
import './film.js';
import './who.js';
import './run.js';
import './player.js';
import './live.js';
import './browse.js';
import { dancing } from './dance.js';
import { copied, pause, say, send, w, wrong } from './core.js';

const project = document.body.dataset.project;

// --- buttons, lists and forms that send one request --------------------------------------------

const after = (answer) => {
  if (answer.say) say(answer.say);
  // What is to be read before the page changes.
  if (answer.note) { wrong(answer.note, answer.go); soon(); } else if (answer.go) location.href = answer.go;
  else if (answer.reload) location.reload();
  else soon();
};

async function during(button, work) {
  const label = button?.textContent;
  if (button) button.disabled = true;
  if (button?.dataset.busy) button.textContent = button.dataset.busy;
  try { after(await work()); } catch (error) { /* said already */ } finally {
    if (button) button.disabled = false;
    if (button?.dataset.busy) button.textContent = label;
  }
}

document.addEventListener('click', (event) => {
  const button = event.target.closest('button');
  if (!button) return;
  if (button.dataset.copy) return copied(button.dataset.copy);
  if (button.dataset.send) during(button, () => send(button.dataset.send, JSON.parse(button.dataset.body || '{}')));
});

document.addEventListener('change', (event) => {
  const select = event.target;
  if (select.dataset.send) during(select, () => send(select.dataset.send, { [select.dataset.field]: select.value }));
  if ('go' in select.dataset) select.form.submit();
});

function plain(form) {
  const body = JSON.parse(form.dataset.body || '{}');
  for (const input of form.elements) {
    if (!input.name) continue;
    if (input.type === 'radio' && !input.checked) continue;
    const number = input.value === '' ? null : Number(input.value);
    body[input.name] = input.dataset.kind === 'number' ? number : input.value;
  }
  return body;
}

// Of a verb's form only what was changed; the server knows the defaults.
function asked(form) {
  const body = { values: {} };
  for (const input of form.elements) {
    if ('name' in input.dataset) body.name = input.value;
    else if ('first' in input.dataset) body.first = [input.value];
    else if ('settings' in input.dataset) body.settings = input.value;
    else if (!input.name) continue;
    else if (input.type === 'checkbox') {
      if (input.checked !== (input.dataset.default === 'True')) body.values[input.name] = input.checked;
    } else if (input.multiple) {
      body.values[input.name] = [...input.selectedOptions].map((option) => option.value);
    } else if (input.dataset.kind === 'list') { if (input.value) body.values[input.name] = [input.value]; }
    else if ('unset' in input.dataset && Number(input.value) === Number(input.dataset.unset)) continue;
    else if (input.value !== '') body.values[input.name] = input.value;
  }
  return body;
}

// How far a form's work is, while its request lasts, or that of another tab.
async function follow(form, going) {
  const part = form.querySelector('[data-part="copying"]');
  for (;;) {
    const now = await fetch(form.dataset.progress).then((answer) => answer.json()).catch(() => ({ share: null }));
    part.hidden = now.share === null;
    part.querySelector('p').textContent = now.text || '';
    if (now.share !== null) part.querySelector('progress').value = now.share;
    if (now.share === null && !going()) return;
    await pause(500);
  }
}

document.addEventListener('submit', (event) => {
  const form = event.target, button = event.submitter;
  if (form.dataset.form) {
    event.preventDefault();
    let going = true;
    if (form.dataset.progress) follow(form, () => going);
    during(button, () => send(form.dataset.form, plain(form)).finally(() => { going = false; }));
  } else if (form.dataset.do) {
    event.preventDefault();
    const body = asked(form);
    if (form.id === 'dance') dancing(body, button?.value === 'preview');
    during(button, () => send(form.dataset.do, body));
  }
});

// What one would type for a form as it is filled in; said anew while its part of the page is open.
async function spell(part) {
  const form = part.closest('form'), body = asked(form);
  if (form.id === 'dance') dancing(body, false);
  const headers = { 'content-type': 'application/json' };
  const answer = await fetch(form.dataset.do, { method: 'POST', headers, body: JSON.stringify({ ...body, spell: true }) }).catch(() => null);
  const said = answer ? await answer.json() : { error: w('away') };
  part.querySelector('code').textContent = said.command || said.why || said.error;
  const button = part.querySelector('[data-copy]');
  button.dataset.copy = said.command || '';
  button.hidden = !said.command;
}

for (const part of document.querySelectorAll('[data-spell]')) {
  let waiting = 0;
  part.addEventListener('toggle', () => { if (part.open) spell(part); });
  part.closest('form').addEventListener('input', () => {
    clearTimeout(waiting);
    if (part.open) waiting = setTimeout(() => spell(part), 300);
  });
}

// A form for a second try holds what it held at the first one.
function filled(form, { values = {}, name = '', first = [], settings = '' }) {
  const set = (input, value) => {
    if (!input || [].concat(value).join(' ') === (input.type === 'checkbox' ? String(input.checked) : input.value)) return;
    if (input.type === 'checkbox') input.checked = value === true;
    else if (input.multiple) for (const one of input.options) one.selected = [].concat(value).includes(one.value);
    else input.value = [].concat(value).join(' ');
    // What is folded away is to be seen.
    for (let fold = input.closest('details'); fold; fold = fold.parentElement.closest('details')) fold.open = true;
    input.dispatchEvent(new Event('input', { bubbles: true }));
  };
  for (const [key, value] of Object.entries(values)) {
    // Of two by that name the page's own one.
    const found = form.elements.namedItem(key);
    set(found instanceof RadioNodeList ? found[0] : found, value);
  }
  if (values.at && form.id === 'prepare') { form.elements.person.querySelector('#by-picture').hidden = false; form.elements.person.value = ''; }
  const sound = form.querySelector('#sound');
  if (sound && values.audio === 'drop') sound.checked = false;
  if (name) set(form.querySelector('[data-name]'), name);
  if (first.length) set(form.querySelector('[data-first]'), first);
  if (settings) set(form.querySelector('[data-settings]'), settings);
}

for (const form of document.querySelectorAll('form[data-fill]')) filled(form, JSON.parse(form.dataset.fill));

// How long the form's work takes in all, said before it begins.
for (const part of document.querySelectorAll('[data-takes]')) {
  const form = part.closest('form');
  let waiting = 0;
  const say = async () => {
    const headers = { 'content-type': 'application/json' };
    const answer = await fetch(form.dataset.do, { method: 'POST', headers, body: JSON.stringify({ ...asked(form), takes: true }) }).catch(() => null);
    const said = answer ? await answer.json() : {};
    part.textContent = said.takes || said.why || said.error || w('away');
  };
  form.addEventListener('input', () => { clearTimeout(waiting); waiting = setTimeout(say, 300); });
  // What a browser has kept of an earlier visit counts, too.
  say();
}

// --- jobs -----------------------------------------------------------------------------------------

// Of the page as it was made: what has changed since is fetched at once.
let version = document.body.dataset.state, timer = 0, states = {};

function told(row) {
  if (row.stopping) return w(row.verb === 'train' ? 'stopping_saves' : 'stopping');
  if (row.state === 'waiting') return w('place', row.place);
  if (row.state !== 'running') return '';
  const parts = [`${Math.floor(row.share * 100)} %`];
  if (row.stage) parts.push(row.stage);
  if (row.left) parts.push(w('left', row.left));
  return parts.join(' · ');
}

function line(row) {
  if (row.state !== 'running') return row.line;
  const { step, steps, total_step: all } = row.step;
  // Of several parts the steps are counted through, as samples are named.
  if (step) return all > step ? w('step_of_part', all, row.stage) : w('step', step, steps);
  if (row.total) return `${row.task}: ${row.done} / ${row.total}`;
  return row.line;
}

function show(row) {
  for (const article of document.querySelectorAll(`[data-job="${row.number}"]`)) {
    const part = (name) => article.querySelector(`[data-part="${name}"]`);
    part('state').className = `badge ${row.state}`;
    part('state').textContent = row.said;
    part('text').textContent = told(row);
    part('line').textContent = line(row);
    const bar = part('bar');
    bar.hidden = row.state !== 'running';
    if (row.share > 0) bar.value = row.share; else bar.removeAttribute('value');
  }
}

function notice(row) {
  const before = states[row.number];
  states[row.number] = row.state;
  if (!before || before === row.state || !['done', 'failed', 'killed'].includes(row.state)) return;
  const text = `${row.title}: ${w(row.state === 'done' ? 'is_done' : 'is_wrong')}`;
  say(text);
  if (localStorage.getItem('notify') && 'Notification' in window && Notification.permission === 'granted') new Notification(text);
}

async function look() {
  clearTimeout(timer);
  try {
    const now = await (await fetch(`/p/${project}/state`)).json();
    const running = now.jobs.filter((row) => ['running', 'waiting'].includes(row.state));
    const count = document.getElementById('running');
    count.hidden = !running.length;
    count.textContent = running.length;
    count.title = w('running', running.length);
    now.jobs.forEach(notice);
    if (version && version !== now.version) await refresh();
    version = now.version;
    now.jobs.forEach(show);
  } catch (error) { /* The studio is away; it will be back. */ }
  // Pages that nobody sees ask rarely.
  timer = setTimeout(look, document.hidden ? 5000 : 1000);
}

const soon = () => { if (project) look(); };
document.addEventListener('visibilitychange', () => { if (!document.hidden) soon(); });

// --- regions that are fetched anew when something changed ------------------------------------------

function inUse(region) {
  const focus = document.activeElement;
  const typing = region.contains(focus) && focus.matches('input:not([type=range]), select');
  return typing || [...region.querySelectorAll('video')].some((video) => !video.paused);
}

async function refresh() {
  const regions = [...document.querySelectorAll('[data-live]')];
  if (!regions.length) return;
  const text = await (await fetch(location.href, { headers: { accept: 'text/html' } })).text();
  const fresh = new DOMParser().parseFromString(text, 'text/html');
  for (const old of regions) {
    const next = fresh.getElementById(old.id);
    // What a page was waiting for is there now, and the page is another one.
    if (!next && old.dataset.gone === 'reload') return location.reload();
    if (!next || next.outerHTML === old.dataset.html || inUse(old)) continue;
    const open = [...old.querySelectorAll('details')].map((one) => one.open);
    const html = next.outerHTML, button = document.activeElement?.closest?.('button, a, summary, input');
    const place = button && old.contains(button) ? [...old.querySelectorAll('button, a, summary, input')].indexOf(button) : -1;
    old.replaceWith(next);
    next.dataset.html = html;
    next.querySelectorAll('details').forEach((one, i) => { if (open[i]) one.open = true; });
    if (place >= 0) next.querySelectorAll('button, a, summary, input')[place]?.focus();
    next.dispatchEvent(new CustomEvent('fresh', { bubbles: true, detail: old }));
  }
  plans();
}

// The choices of a person who was never looked at are reckoned now.
async function plans() {
  const wanted = document.querySelector('[data-plan]');
  if (wanted && !wanted.dataset.asked) {
    wanted.dataset.asked = '1';
    try { await send(wanted.dataset.plan, { person: wanted.dataset.person }); soon(); } catch (error) { /* said */ }
  }
}

for (const form of document.querySelectorAll('form[data-progress]')) follow(form, () => false);
document.querySelectorAll('[data-live]').forEach((one) => { one.dataset.html = one.outerHTML; });
if (project) look();
plans();
