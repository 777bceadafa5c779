// A run: its samples through time, and its losses.
import { by, w } from './core.js';

function samples() {
  const region = by('samples');
  return region?.dataset.steps ? { region, steps: JSON.parse(region.dataset.steps), place: region.dataset.place } : null;
}

function draw() {
  const found = samples(), slider = by('step');
  if (!found || !slider) return;
  const step = found.steps[Number(slider.value)];
  by('step-at').textContent = step;
  by('after').src = `${found.place}/${step}.png`;
  const wipe = Number(by('wipe').value);
  by('before').style.clipPath = `inset(0 ${100 - wipe}% 0 0)`;
}

document.addEventListener('input', (event) => { if (['step', 'wipe'].includes(event.target.id) && samples()) draw(); });

// New samples: who looks at the newest goes on to it, who looks back stays.
document.addEventListener('fresh', (event) => {
  if (event.target.id !== 'samples') return;
  const old = event.detail.querySelector('#step'), now = by('step');
  if (old && now && Number(old.value) < Number(old.max)) now.value = old.value;
  if (old && by('wipe')) by('wipe').value = event.detail.querySelector('#wipe').value;
  draw();
});
draw();

const notify = by('notify');
if (notify) {
  notify.checked = Boolean(localStorage.getItem('notify'));
  notify.onchange = async () => {
    if (notify.checked && 'Notification' in window) await Notification.requestPermission();
    if (notify.checked) localStorage.setItem('notify', '1'); else localStorage.removeItem('notify');
  };
}

// --- curves ---------------------------------------------------------------------------------------

const SVG = 'http://www.w3.org/2000/svg', WIDE = 640, HIGH = 160, LEFT = 56, LOW = 24;

function element(name, values, text) {
  const made = document.createElementNS(SVG, name);
  for (const [key, value] of Object.entries(values)) made.setAttribute(key, value);
  if (text !== undefined) made.textContent = text;
  return made;
}

function plot(name, steps, values) {
  const points = steps.map((step, i) => [step, values[i]]).filter(([, value]) => Number.isFinite(value));
  if (points.length < 2) return null;
  const xs = points.map((p) => p[0]), ys = points.map((p) => p[1]);
  const [x0, x1, y0, y1] = [Math.min(...xs), Math.max(...xs), Math.min(0, ...ys), Math.max(...ys)];
  const x = (value) => LEFT + (value - x0) / (x1 - x0 || 1) * (WIDE - LEFT - 8);
  const y = (value) => HIGH - LOW - (value - y0) / (y1 - y0 || 1) * (HIGH - LOW - 10);
  const svg = element('svg', { viewBox: `0 0 ${WIDE} ${HIGH}`, role: 'img', 'aria-label': w('curve', name, ys[0].toPrecision(3), ys.at(-1).toPrecision(3)) });
  svg.append(element('line', { x1: LEFT, x2: WIDE, y1: y(y0), y2: y(y0) }));
  svg.append(element('path', { d: points.map(([a, b], i) => `${i ? 'L' : 'M'}${x(a).toFixed(1)} ${y(b).toFixed(1)}`).join('') }));
  svg.append(element('text', { x: LEFT - 6, y: y(y1) + 8, 'text-anchor': 'end' }, y1.toPrecision(3)));
  svg.append(element('text', { x: LEFT - 6, y: y(y0), 'text-anchor': 'end' }, y0.toPrecision(2)));
  svg.append(element('text', { x: WIDE - 8, y: HIGH - 6, 'text-anchor': 'end' }, w('at_step', x1)));
  const figure = document.createElement('figure'), title = document.createElement('figcaption');
  figure.className = 'plot';
  title.textContent = name;
  figure.append(title, svg);
  return figure;
}

const curves = by('curves');
async function curve() {
  if (!curves.open) return;
  const found = await (await fetch(curves.dataset.place)).json();
  const plots = Object.entries(found.curves).map(([name, values]) => plot(name, found.steps, values));
  by('plots').replaceChildren(...plots.filter(Boolean));
}
if (curves) {
  curves.addEventListener('toggle', curve);
  setInterval(curve, 5000);
}
