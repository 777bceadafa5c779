// Films: sent in pieces, recorded, cut.
import { answered, by, clock, pause, quietly, w, wrong } from './core.js';

const PIECE = 4 * 1024 * 1024;
const upload = by('upload');

// Sends a file from where the server has it; a break of the network is waited out.
async function sent(file, name, shown) {
  const place = upload.dataset.upload;
  const begun = await quietly(place, { name: file.name, size: file.size, changed: file.lastModified });
  let { received } = begun, failed = 0;
  while (received < file.size) {
    shown(received / file.size);
    try {
      const body = file.slice(received, received + PIECE);
      const headers = { 'content-type': 'application/octet-stream' };
      const response = await fetch(`${place}/${begun.upload}?offset=${received}`, { method: 'PUT', headers, body });
      if (response.status >= 400 && response.status < 500) throw await answered(response).catch((why) => why);
      ({ received } = await answered(response));
      failed = 0;
    } catch (error) {
      if (!(error instanceof TypeError) || (failed += 1) > 30) throw error;
      await pause(1000);
    }
  }
  shown(1);
  return quietly(`${place}/${begun.upload}/finish`, { name });
}

async function take(file, name = '') {
  const row = document.createElement('p'), bar = document.createElement('progress'), text = document.createElement('span');
  bar.max = 1;
  bar.setAttribute('aria-label', file.name);
  row.append(text, bar);
  by('uploading').append(row);
  try {
    return await sent(file, name, (share) => {
      bar.value = share;
      text.textContent = share < 1 ? w('sending', file.name, Math.floor(share * 100)) : w('reading', file.name);
    });
  } catch (error) {
    // It stays beside those that were taken.
    bar.remove();
    row.className = 'bad';
    row.setAttribute('role', 'alert');
    text.textContent = error.message.includes(file.name) ? error.message : `${file.name}: ${error.message}`;
    return null;
  }
}

async function takeAll(files) {
  const made = [];
  for (const old of by('uploading').querySelectorAll('.bad')) old.remove();
  for (const file of files) made.push(await take(file));
  if (made.includes(null)) return;
  location.href = made.length === 1 ? made[0].go : location.href;
}

if (upload) {
  const drop = upload.querySelector('.drop'), input = by('file');
  input.onchange = () => takeAll([...input.files]);
  for (const kind of ['dragover', 'dragleave', 'drop']) {
    drop.addEventListener(kind, (event) => {
      event.preventDefault();
      drop.classList.toggle('over', kind === 'dragover');
      if (kind === 'drop') takeAll([...event.dataTransfer.files]);
    });
  }
}

// --- recording ------------------------------------------------------------------------------------

let stream = null, watching = 0;

// A small picture of the camera tells whether there is light.
function light(video) {
  const canvas = document.createElement('canvas');
  canvas.width = 32; canvas.height = 24;
  const pen = canvas.getContext('2d', { willReadFrequently: true });
  pen.drawImage(video, 0, 0, 32, 24);
  const data = pen.getImageData(0, 0, 32, 24).data;
  let sum = 0;
  for (let i = 0; i < data.length; i += 4) sum += 0.3 * data[i] + 0.59 * data[i + 1] + 0.11 * data[i + 2];
  return sum / (data.length / 4);
}

// What the server's pose says of how one stands; "" where it says nothing.
async function stance(video) {
  const canvas = document.createElement('canvas');
  canvas.width = 320; canvas.height = Math.round(320 * video.videoHeight / video.videoWidth);
  canvas.getContext('2d').drawImage(video, 0, 0, canvas.width, canvas.height);
  const body = await new Promise((done) => { canvas.toBlob(done, 'image/jpeg', 0.8); });
  const headers = { 'content-type': 'application/octet-stream' };
  return (await answered(await fetch(by('record').dataset.guide, { method: 'POST', headers, body }))).hint;
}

async function look() {
  const video = by('camera'), hint = by('hint');
  const bright = light(video);
  let text = bright < 50 ? w('more_light') : bright > 215 ? w('less_light') : w('stand_in');
  try {
    const said = await stance(video);
    if (bright >= 50 && bright <= 215 && said) text = w(`stand_${said}`);
  } catch (error) { /* The studio is away; the outline is there all the same. */ }
  if (!watching) return;
  if (hint.textContent !== text) hint.textContent = text;
  hint.hidden = false;
  watching = setTimeout(look, 500);
}

// Browsers give a camera to https and to this machine alone: elsewhere that is said at once.
const noCamera = by('no-camera');
if (noCamera && !navigator.mediaDevices) {
  noCamera.hidden = false;
  for (const part of noCamera.querySelectorAll('[data-part="port"]')) part.textContent = location.port || '80';
  for (const part of noCamera.querySelectorAll('[data-part="machine"]')) part.textContent = location.hostname;
  for (const id of ['camera-on', 'live-go']) if (by(id)) by(id).disabled = true;
}

export async function camera(video) {
  if (!navigator.mediaDevices) throw new Error(w('no_camera_here'));
  try {
    const made = await navigator.mediaDevices.getUserMedia({ video: { width: { ideal: 1280 }, height: { ideal: 720 } }, audio: false });
    video.srcObject = made;
    await video.play();
    return made;
  } catch (error) {
    throw new Error(w(error.name === 'NotAllowedError' ? 'no_camera_allowed' : 'no_camera'));
  }
}

async function opened() {
  const video = by('camera');
  by('record').querySelector('.stage').hidden = false;
  try {
    stream = await camera(video);
  } catch (error) {
    by('record').querySelector('.stage').hidden = true;
    return wrong(error.message);
  }
  by('camera-on').hidden = true;
  by('record-go').disabled = false;
  watching = setTimeout(look, 300);
}

async function record() {
  const button = by('record-go'), seconds = Number(by('record-seconds').value), count = by('count');
  button.disabled = true;
  clearTimeout(watching);
  watching = 0;
  for (let left = 5; left > 0; left -= 1) { count.textContent = left; await pause(1000); }
  count.textContent = '';
  const kind = ['video/webm;codecs=vp9', 'video/webm;codecs=vp8', 'video/webm', 'video/mp4'].find((one) => MediaRecorder.isTypeSupported(one));
  const recorder = new MediaRecorder(stream, { mimeType: kind, videoBitsPerSecond: 8e6 }), parts = [];
  recorder.ondataavailable = (event) => parts.push(event.data);
  const ended = new Promise((done) => { recorder.onstop = done; });
  recorder.start(1000);
  const stop = () => { if (recorder.state !== 'inactive') recorder.stop(); };
  button.disabled = false;
  button.textContent = w('stop_recording');
  button.onclick = stop;
  for (let left = seconds; left > 0 && recorder.state !== 'inactive'; left -= 1) {
    by('hint').textContent = w('recording', left);
    await pause(1000);
  }
  stop();
  await ended;
  stream.getTracks().forEach((track) => track.stop());
  button.disabled = true;
  const name = `${w('recorded')} ${new Date().toLocaleString(document.documentElement.lang)}`;
  const ending = kind.includes('mp4') ? 'mp4' : 'webm';
  const made = await take(new File(parts, `recording.${ending}`, { type: kind }), name);
  if (made) location.href = made.go;
}

if (by('record')) {
  by('camera-on').onclick = opened;
  by('record-go').onclick = record;
}

// --- cutting --------------------------------------------------------------------------------------

const trim = by('trim');
if (trim) {
  const player = by('player'), start = by('start'), end = by('end'), frame = by('frame'), all = Number(end.max);
  let waiting = 0;
  // How much is left of the film: little, or very little, is said at once.
  const short = by('short'), pictures = Number(short.dataset.pictures);
  const left = () => {
    const kept = pictures * Math.min(1, (Number(end.value) - Number(start.value)) / Number(trim.dataset.seconds));
    const few = kept < Number(short.dataset.few);
    short.hidden = kept >= Number(short.dataset.some);
    short.querySelector('[data-part="few"]').hidden = !few;
    short.querySelector('[data-part="some"]').hidden = few;
    for (const count of short.querySelectorAll('[data-part="count"]')) count.textContent = Math.round(kept);
  };
  const moved = (input) => {
    const least = 0.2;
    if (input === start && Number(start.value) > Number(end.value) - least) start.value = Number(end.value) - least;
    if (input === end && Number(end.value) < Number(start.value) + least) end.value = Number(start.value) + least;
    by('start-at').textContent = clock(Number(start.value));
    by('end-at').textContent = clock(Number(end.value));
    by('cut-before').style.width = `${100 * start.value / all}%`;
    by('cut-after').style.width = `${100 - 100 * end.value / all}%`;
    left();
    if (player.readyState) { player.currentTime = Number(input.value); return; }
    // What this browser cannot play is shown as pictures.
    clearTimeout(waiting);
    waiting = setTimeout(() => { frame.hidden = false; frame.src = `${trim.dataset.still}?time=${input.value}`; }, 150);
  };
  start.oninput = () => moved(start);
  end.oninput = () => moved(end);
  player.ontimeupdate = () => { by('now').style.left = `${100 * player.currentTime / all}%`; };
  for (const button of trim.querySelectorAll('[data-edge]')) {
    button.onclick = () => {
      const input = by(button.dataset.edge);
      input.value = player.currentTime;
      input.dispatchEvent(new Event('input', { bubbles: true }));
    };
  }
  player.onerror = () => { by('unplayable').hidden = false; };
}
