// p5 1: the browser's camera drives the person. It also runs in p5's editor: start the server with
// --allow-origin and the address that the sketch names when it is not let in.
const SERVER = new URLSearchParams(location.search).get('server') || 'ws://127.0.0.1:8000';
let camera, socket, person = null, number = 0, said = 'Allow the camera.';

function setup() {
  createCanvas(windowWidth, windowHeight);
  camera = createCapture(VIDEO, connect);
  camera.hide();
}

function draw() {
  background(34);
  beside(camera.elt, camera.elt.videoWidth, camera.elt.videoHeight, 0);
  if (person) beside(person, person.width, person.height, width / 2);
  fill(221);
  textSize(16);
  text(said, 12, height - 14);
}

// As large as it fits into a half of the canvas.
function beside(picture, w, h, left) {
  if (!w) return;
  const scale = min(width / 2 / w, (height - 40) / h);
  const x = left + (width / 2 - scale * w) / 2, y = (height - 40 - scale * h) / 2;
  drawingContext.drawImage(picture, x, y, scale * w, scale * h);
}

function connect() {
  socket = new WebSocket(SERVER + '/v1/stream');
  socket.binaryType = 'arraybuffer';
  socket.onopen = send;
  socket.onclose = () => { said = 'No server (any more), or it does not let in ' + location.origin; };
  socket.onmessage = async event => {
    if (typeof event.data === 'string') {
      said = JSON.parse(event.data).error;
    } else {
      const taken = new DataView(event.data).getFloat64(8, true);
      person = await createImageBitmap(new Blob([event.data.slice(16)], {type: 'image/jpeg'}));
      said = round(performance.now() - taken * 1000) + ' ms old';
    }
    send();
  };
}

// One frame is on its way at a time: the next is taken when the answer has come.
async function send() {
  const canvas = new OffscreenCanvas(camera.elt.videoWidth, camera.elt.videoHeight);
  canvas.getContext('2d').drawImage(camera.elt, 0, 0);
  const jpeg = await canvas.convertToBlob({type: 'image/jpeg', quality: 0.85});
  const head = new DataView(new ArrayBuffer(16));
  head.setBigUint64(0, BigInt(number++), true);
  head.setFloat64(8, performance.now() / 1000, true);
  socket.send(new Blob([head, jpeg]));
}

function windowResized() {
  resizeCanvas(windowWidth, windowHeight);
}
