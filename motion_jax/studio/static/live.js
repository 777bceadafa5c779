// The live view: a camera's frames there, the person's pictures back, the newest only.
import { by, pause, send, w, wrong } from './core.js';
import { camera } from './film.js';

const SIDE = 480, HEAD = 16;
const view = by('live');
let stream = null, socket = null, job = null;

const says = (text) => { by('live-says').textContent = text; };

async function begin() {
  by('live-go').disabled = true;
  by('live-end').disabled = false;
  by('live-views').hidden = false;
  try {
    stream = await camera(by('live-camera'));
    says(w('live_loading'));
    ({ job } = await send(view.dataset.place, { run: by('live-run').value }));
    await ready();
    open();
  } catch (error) {
    if (error.message) wrong(error.message);
    end();
  }
}

async function ready() {
  while (job) {
    const now = await (await fetch(`${view.dataset.place}/${job}`)).json();
    if (now.ready) return;
    if (now.error || ['failed', 'killed', 'stopped', 'done'].includes(now.state)) throw new Error(now.error || w('live_ended'));
    if (now.state === 'waiting') says(w('live_waits'));
    await pause(500);
  }
  throw new Error('');
}

function open() {
  const video = by('live-camera'), canvas = document.createElement('canvas'), sent = new Map(), ages = [];
  let number = 0, under = 0, picture = null;
  socket = new WebSocket(`${view.dataset.place.replace(/^/, location.origin.replace(/^http/, 'ws'))}/${job}/frames`);
  socket.binaryType = 'arraybuffer';
  // Two under way keep the machine busy; a third would only be older.
  const next = async () => {
    if (!socket || socket.readyState !== 1 || under >= 2) return;
    under += 1;
    const scale = Math.min(1, SIDE / video.videoHeight);
    canvas.width = Math.round(video.videoWidth * scale);
    canvas.height = Math.round(video.videoHeight * scale);
    const pen = canvas.getContext('2d');
    if (by('live-mirror').checked) { pen.translate(canvas.width, 0); pen.scale(-1, 1); }
    pen.drawImage(video, 0, 0, canvas.width, canvas.height);
    const taken = performance.now();
    const blob = await new Promise((done) => { canvas.toBlob(done, 'image/jpeg', 0.85); });
    const data = new Uint8Array(HEAD + blob.size), head = new DataView(data.buffer);
    head.setBigUint64(0, BigInt(number), true);
    head.setFloat64(8, taken / 1000, true);
    data.set(new Uint8Array(await blob.arrayBuffer()), HEAD);
    sent.set(number, taken);
    number += 1;
    if (socket?.readyState === 1) socket.send(data);
  };
  socket.onopen = () => { says(w('live_goes')); next(); };
  // A frame that was passed over has no answer: ask again when nothing came for a while.
  const ask = setInterval(() => { if (performance.now() - last > 1000) under = 0; next(); }, 33);
  let last = performance.now();
  socket.onmessage = async (event) => {
    last = performance.now();
    under = Math.max(0, under - 1);
    if (typeof event.data === 'string') { says(JSON.parse(event.data).error || ''); next(); return; }
    const which = Number(new DataView(event.data).getBigUint64(0, true));
    next();
    picture = await createImageBitmap(new Blob([event.data.slice(HEAD)], { type: 'image/jpeg' }));
    const shown = by('live-picture');
    if (shown.width !== picture.width || shown.height !== picture.height) { shown.width = picture.width; shown.height = picture.height; }
    shown.getContext('2d').drawImage(picture, 0, 0);
    shown.hidden = false;
    by('live-empty').hidden = true;
    by('live-made').hidden = false;
    const taken = sent.get(which);
    for (const old of sent.keys()) if (old <= which) sent.delete(old);
    if (taken === undefined) return;
    ages.push([last, performance.now() - taken]);
    while (ages[0][0] < last - 2000) ages.shift();
    const sorted = ages.map((one) => one[1]).sort((a, b) => a - b);
    by('live-age').textContent = w('live_age', Math.round(sorted[sorted.length >> 1]), (ages.length / 2).toFixed(0));
    shown.dataset.number = which;
  };
  socket.onclose = () => { clearInterval(ask); if (socket) { says(w('live_ended')); end(); } };
}

async function end() {
  const old = socket, stopped = job;
  socket = null; job = null;
  old?.close();
  stream?.getTracks().forEach((track) => track.stop());
  stream = null;
  by('live-go').disabled = false;
  by('live-end').disabled = true;
  says('');
  if (stopped) await send(`${view.dataset.place.replace(/live$/, 'jobs')}/${stopped}/stop`).catch(() => {});
}

if (view) {
  by('live-go').onclick = begin;
  by('live-end').onclick = end;
  // What one sees of oneself is what is sent.
  const mirror = by('live-mirror'), mirrored = () => by('live-camera').classList.toggle('mirrored', mirror.checked);
  mirror.onchange = mirrored;
  mirrored();
  const run = by('live-run'), spelled = () => {
    const text = `motion-jax live --run ${run.value}`, typed = by('live-typed');
    typed.querySelector('code').textContent = text;
    typed.querySelector('[data-copy]').dataset.copy = text;
  };
  run.onchange = spelled;
  spelled();
  // A page that is closed leaves no server behind.
  addEventListener('pagehide', () => {
    if (job) fetch(`${view.dataset.place.replace(/live$/, 'jobs')}/${job}/stop`, { method: 'POST', keepalive: true, headers: { 'content-type': 'application/json' }, body: '{}' });
  });
}
