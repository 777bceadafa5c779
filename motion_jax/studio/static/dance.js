// The form of a dance: what belongs to it depends on who dances and after which film.
import { by } from './core.js';

const form = by('dance');

// Someone to dance is a run, or a person's own frames.
export function dancing(body, preview) {
  const who = by('who').value;
  if (who.startsWith('runs/')) body.values.run = who;
  else {
    Object.assign(body.values, { data: who, method: 'nearest' });
    delete body.values.step;
    delete body.values.background;
  }
  const film = form.elements.source.selectedOptions[0];
  if (!by('sound').checked && !('silent' in film.dataset)) body.values.audio = 'drop';
  if (!preview) return;
  const start = Number(body.values.start || 0);
  const end = Number(body.values.end || film.dataset.seconds);
  body.preview = true;
  body.end = body.values.end || '';
  body.values.end = String(Math.min(start + Number(form.dataset.preview), end));
}

// Real frames have no states of learning and only their own background, and a silent film no sound to keep.
function fitting() {
  const learnt = by('who').value.startsWith('runs/');
  for (const field of form.querySelectorAll('[data-learnt]')) field.hidden = !learnt;
  form.querySelector('[data-sound]').hidden = 'silent' in (form.elements.source.selectedOptions[0]?.dataset ?? {});
}

if (form) {
  form.addEventListener('input', fitting);
  // Who was chosen in one film is nobody in another.
  by('source').addEventListener('change', () => by('dance-at')?.remove());
  fitting();
}
