// Films: frame by frame, slowly, in a loop, two in step. Listens to the page, whose parts may be new.
const player = (node) => node?.closest?.('[data-player]') ?? document.querySelector('[data-player]');
const films = (box) => [...box.querySelectorAll('video')];

function toggle(box) {
  const all = films(box), [first] = all;
  if (first.paused) all.forEach((film) => { film.currentTime = first.currentTime; film.play(); });
  else all.forEach((film) => film.pause());
}

// Films of the studio keep the source's times; 25 a second is the finest step that all show.
function step(box, count) {
  const all = films(box), [first] = all;
  const time = Math.max(0, first.currentTime + count / 25);
  all.forEach((film) => { film.pause(); film.currentTime = time; });
}

// As large as fits, without bars.
const shaped = (film) => { if (film.videoWidth) film.style.setProperty('--ratio', film.videoWidth / film.videoHeight); };
document.addEventListener('loadedmetadata', (event) => { if (event.target.closest?.('[data-player]')) shaped(event.target); }, true);
document.querySelectorAll('[data-player] > video').forEach(shaped);

document.addEventListener('click', (event) => {
  const button = event.target.closest('button'), box = button && player(button);
  if (!box) return;
  if ('play' in button.dataset) toggle(box);
  if (button.dataset.frame) step(box, Number(button.dataset.frame));
});

document.addEventListener('change', (event) => {
  const input = event.target, box = player(input);
  if (!box) return;
  if ('loop' in input.dataset) films(box)[0].loop = input.checked;
  if ('speed' in input.dataset) films(box).forEach((film) => { film.playbackRate = Number(input.value); });
});

document.addEventListener('keydown', (event) => {
  const box = player();
  if (!box || event.target.matches('input, select, textarea') || event.ctrlKey || event.metaKey || event.altKey) return;
  if (event.key === ',' || event.key === '.') { step(box, event.key === ',' ? -1 : 1); event.preventDefault(); }
  if (event.key === 'k') toggle(box);
});

// The second film follows the first one's controls; one that is shorter waits at its end.
for (const box of document.querySelectorAll('[data-together]')) {
  const [first, ...rest] = films(box);
  const follow = () => rest.forEach((film) => {
    const time = Math.min(first.currentTime, Number.isFinite(film.duration) ? film.duration : Infinity);
    if (Math.abs(film.currentTime - time) > 0.06) film.currentTime = time;
    if (!first.paused && film.paused && time < film.duration) film.play();
  });
  rest.forEach((film) => { film.loop = false; });
  first.addEventListener('play', () => rest.forEach((film) => film.play()));
  first.addEventListener('pause', () => { rest.forEach((film) => film.pause()); follow(); });
  first.addEventListener('seeked', follow);
  first.addEventListener('timeupdate', follow);
}
