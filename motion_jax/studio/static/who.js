// Which person of a film is meant: clicked on in a frame.
import { answered, by, clock, w, wrong } from './core.js';

const who = by('pick');
let asked = 0, waiting = 0, seen = null;

// The person at a time and place, as --at takes it; "" for none.
function choose(at, button) {
  by('at').value = at;
  const select = by('person'), option = by('by-picture');
  option.hidden = !at;
  if (at) select.value = '';
  else if (select.value === '') select.value = 'largest';
  for (const box of by('boxes').children) box.setAttribute('aria-pressed', String(box === button));
  const link = by('dance-like');
  link.hidden = !at;
  link.href = `${who.dataset.dance}&at=${encodeURIComponent(at)}`;
  if (at) by('who-says').textContent = w('who_chosen', clock(seen.time));
}

function box(one, i) {
  const made = document.createElement('button'), [left, top, right, bottom] = one.box.map((share) => 100 * share);
  made.type = 'button';
  made.setAttribute('aria-label', w('who_person', i + 1));
  made.setAttribute('aria-pressed', 'false');
  made.textContent = i + 1;
  Object.assign(made.style, { left: `${left}%`, top: `${top}%`, width: `${right - left}%`, height: `${bottom - top}%` });
  made.onclick = () => choose(one.at, made);
  return made;
}

async function look() {
  const number = asked += 1, time = by('moment').value;
  choose('');
  by('moment-at').textContent = clock(Number(time));
  by('who-says').textContent = w('who_looking');
  by('moment-picture').src = `${who.dataset.place}/still?time=${time}`;
  by('boxes').replaceChildren();
  try {
    const found = await answered(await fetch(`${who.dataset.place}/people?time=${time}`));
    if (number !== asked) return;
    seen = found;
    by('boxes').replaceChildren(...(found.people || []).map(box));
    by('who-says').textContent = w(found.people === null ? 'who_unknown' : found.people.length ? 'who_click' : 'who_nobody');
  } catch (error) {
    if (number === asked) { by('who-says').textContent = ''; wrong(error.message); }
  }
}

if (who) {
  who.ontoggle = () => {
    if (!who.open || seen) return;
    const now = by('player').currentTime;
    if (now > 0) by('moment').value = now;
    look();
  };
  by('moment').oninput = () => { clearTimeout(waiting); waiting = setTimeout(look, 300); };
  // Somebody without a box, whom the quick look has not found.
  by('boxes').onclick = (event) => {
    if (event.target !== by('boxes') || !seen) return;
    const whole = by('boxes').getBoundingClientRect();
    const x = Math.round((event.clientX - whole.left) / whole.width * seen.width);
    const y = Math.round((event.clientY - whole.top) / whole.height * seen.height);
    const mark = document.createElement('span');
    mark.className = 'mark';
    Object.assign(mark.style, { left: `${100 * x / seen.width}%`, top: `${100 * y / seen.height}%` });
    by('boxes').querySelector('.mark')?.remove();
    by('boxes').append(mark);
    choose(`${seen.time.toFixed(3)}s,${x},${y}`, mark);
  };
  by('person').addEventListener('change', () => { if (by('person').value) { choose(''); by('boxes').querySelector('.mark')?.remove(); } });
  // A moment that is cut off cannot say who is meant.
  by('prepare').addEventListener('input', (event) => {
    if (!['start', 'end'].includes(event.target.id) || !by('at').value) return;
    // Chosen here, or in the form that this one is filled as.
    const time = seen ? seen.time : parseFloat(by('at').value);
    if (time >= Number(by('start').value) && time < Number(by('end').value)) return;
    choose('');
    by('who-says').textContent = w('who_outside');
  });
}
