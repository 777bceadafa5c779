// Files of this machine, folder by folder, for an input that takes a path.
import { answered, by, w, wrong } from './core.js';

function entry(label, act, kind = '') {
  const line = document.createElement('li'), button = document.createElement('button');
  button.type = 'button';
  button.className = `quiet ${kind}`;
  button.textContent = label;
  button.onclick = act;
  line.append(button);
  return line;
}

async function show(button, path) {
  const input = by(button.dataset.browse), box = by(button.getAttribute('aria-controls'));
  let now;
  try {
    now = await answered(await fetch(`${button.dataset.place}?path=${encodeURIComponent(path)}`));
  } catch (error) {
    return wrong(error instanceof TypeError ? w('away') : error.message);
  }
  const take = (chosen) => {
    input.value = chosen;
    input.dispatchEvent(new Event('input', { bubbles: true }));
    box.hidden = true;
    button.setAttribute('aria-expanded', 'false');
    input.focus();
  };
  const inside = (name) => `${now.path.replace(/\/$/, '')}/${name}`;
  const title = document.createElement('p'), list = document.createElement('ul');
  title.textContent = now.path;
  list.className = 'browsed';
  if (now.parent) list.append(entry(`↑ ${w('browse_up')}`, () => show(button, now.parent)));
  list.append(entry(w('browse_use'), () => take(now.path), 'use'));
  for (const name of now.folders) list.append(entry(`${name}/`, () => show(button, inside(name))));
  for (const name of now.files) list.append(entry(name, () => take(inside(name))));
  box.replaceChildren(title, list);
  box.hidden = false;
  button.setAttribute('aria-expanded', 'true');
  list.querySelector('button').focus();
}

for (const button of document.querySelectorAll('[data-browse]')) {
  button.onclick = () => {
    const box = by(button.getAttribute('aria-controls'));
    if (box.hidden) return show(button, by(button.dataset.browse).value || '~');
    box.hidden = true;
    button.setAttribute('aria-expanded', 'false');
  };
}
