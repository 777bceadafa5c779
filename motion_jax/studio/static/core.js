// Requests, and what is said to people.
const words = JSON.parse(document.getElementById('words').textContent);

// A text by its key; {0}, {1} are the values.
export const w = (key, ...values) => values.reduce((text, value, i) => text.replace(`{${i}}`, value), words[key] ?? key);

export function say(text) {
  const line = document.createElement('p');
  line.textContent = text;
  document.getElementById('said').append(line);
  setTimeout(() => line.remove(), 6000);
}

// Something went wrong: stays until it is read. go: the page that comes then.
export function wrong(text, go = '') {
  const line = document.createElement('p'), close = document.createElement('button');
  line.textContent = text;
  close.textContent = w(go ? 'go_on' : 'close');
  close.className = 'quiet';
  close.onclick = () => { line.remove(); if (go) location.href = go; };
  line.append(close);
  document.getElementById('wrong').replaceChildren(line);
}

// A question with two answers; resolves to whether it was the first.
function question(text, yes, no) {
  const line = document.createElement('p'), buttons = [yes, no].map((label) => {
    const button = document.createElement('button');
    button.textContent = label;
    return button;
  });
  line.className = 'question';
  line.append(`${text} `, ...buttons);
  by('wrong').replaceChildren(line);
  // What changes nothing is what Enter does.
  buttons[1].focus();
  return new Promise((done) => {
    buttons.forEach((button, i) => { button.onclick = () => { line.remove(); done(i === 0); }; });
  });
}

export async function answered(response) {
  const answer = await response.json().catch(() => ({}));
  if (!response.ok) throw new Error(answer.error || w('failed'));
  return answer;
}

// A change: JSON there, JSON back. Asks where the answer is a question; throws what is wrong.
export async function quietly(address, body = {}) {
  const headers = { 'content-type': 'application/json' };
  const options = { method: 'POST', headers, body: JSON.stringify(body) };
  const response = await fetch(address, options).catch(() => { throw new Error(w('away')); });
  const answer = await answered(response);
  if (!answer.ask) return answer;
  return quietly(address, { ...body, [await question(answer.ask, answer.yes, answer.no) ? 'twice' : 'drop']: true });
}

// The same, and says what is wrong.
export async function send(address, body = {}) {
  try {
    return await quietly(address, body);
  } catch (error) {
    wrong(error.message);
    throw error;
  }
}

export async function copied(text) {
  try {
    await navigator.clipboard.writeText(text);
  } catch (error) {
    // Without https, browsers have another way only.
    const area = document.createElement('textarea');
    area.value = text;
    document.body.append(area);
    area.select();
    document.execCommand('copy');
    area.remove();
  }
  say(w('copied'));
}

// A place in a film: "1:05.2".
export const clock = (seconds) => `${Math.floor(seconds / 60)}:${(seconds % 60).toFixed(1).padStart(4, '0')}`.replace('.', w('point'));
export const by = (id) => document.getElementById(id);
export const pause = (ms) => new Promise((done) => setTimeout(done, ms));
