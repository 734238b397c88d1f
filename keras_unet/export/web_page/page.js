/* The page: an image or the camera in, its mask over it out. */

import { above, classesAt, foregroundAt, pngOf, probabilityOf } from "./segment.js";

const $ = (id) => document.getElementById(id);
const MOST_PIXELS = 40_000_000; // Four bytes each, several times over: tabs have 2 GB.
const STRENGTH = 140; // Of the mask's colour over the image, out of 255.

/** What a person can do something about, as a sentence. */
class Told extends Error {}

let settings, network, threshold;
let shown = null; // {name, size, probability or ids}: what is on the page.
let turn = 0; // Of what was asked last; what was asked before gives up.
let stream = null; // Of the camera.
let spent = 0; // Milliseconds in the network, of the last image.

function say(text) {
  $("error").textContent = "";
  $("status").textContent = text;
}

function complain(error) {
  if (!(error instanceof Told)) console.error(error);
  $("status").textContent = "";
  $("progress").hidden = true;
  const memory = error instanceof RangeError;
  $("error").textContent = error instanceof Told ? error.message
    : memory ? "The image is too large for this browser's memory: give a smaller one."
    : `Something went wrong: ${error.message}`;
}

/* Settings and the network */

async function load() {
  say("Loading the network…");
  settings = await (await fetched("settings.json")).json();
  threshold = settings.threshold;
  describe();
  network = await loadNetwork();
  say("Ready. Choose an image, drop one here, or use the camera.");
  keepForOffline().catch(() => {});
}

async function fetched(address) {
  const came = await fetch(address).catch(() => null);
  if (came?.ok) return came;
  const cause = came ? `status ${came.status}` : "no answer";
  throw new Told(`${address} could not be loaded (${cause}). Is the web server still running?`);
}

function describe() {
  const { title, kind, bytes, names, notes } = settings;
  document.title = `Segment an image: ${title}`;
  const size = bytes < 1e5 ? `${Math.ceil(bytes / 1e3)} kB` : `${(bytes / 1e6).toFixed(1)} MB`;
  $("about").textContent = `“${title}” (${kind}, ${size}) finds: ${names.slice(1).join(", ")}.`;
  $("notes").replaceChildren(...notes.map((note) => element("li", note)));
  $("with-threshold").hidden = settings.classes > 2;
  $("about-threshold").textContent = `A pixel is ${names[1]} where that is more probable than this.`;
  $("threshold").value = threshold;
  $("threshold-value").textContent = Number(threshold.toFixed(4));
  $("camera").disabled = !navigator.mediaDevices?.getUserMedia;
  if ($("camera").disabled) $("camera").title = "The camera needs https, or localhost";
}

/** Returns a function from a tile (h, w, 3) to a promise of probability, float32. */
async function loadNetwork() {
  const { runtime, model, output } = settings;
  const bytes = new Uint8Array(await (await fetched(model)).arrayBuffer());
  let litert;
  try {
    litert = await import("@litertjs/core");
    await litert.loadLiteRt(new URL(runtime, document.baseURI).href);
  } catch (error) {
    console.error(error);
    const where = new URL(runtime, document.baseURI).host;
    throw new Told(`The runtime could not be loaded from ${where}. Without a way there, export again with --web-runtime.`);
  }
  const compiled = await litert.loadAndCompile(bytes, { accelerator: "wasm" });
  const [{ shape, dtype }] = compiled.getInputDetails();
  return async (tile) => {
    // Loops, because the typed arrays' own "from" takes ten times as long.
    const given = dtype === "uint8" ? new Uint8Array(tile.length) : tile;
    if (given !== tile) for (let i = 0; i < tile.length; i++) given[i] = tile[i] + 0.5;
    const input = new litert.Tensor(given, Array.from(shape));
    const begun = performance.now();
    const [came] = await compiled.run([input]);
    const values = came.toTypedArray();
    spent += performance.now() - begun;
    const found = new Float32Array(values);
    if (output) for (let i = 0; i < found.length; i++) found[i] = (found[i] - output.zero) * output.scale;
    input.delete();
    came.delete();
    return found;
  };
}

/** Has the service worker keep what this page was made of. */
async function keepForOffline() {
  if (!navigator.serviceWorker) return;
  navigator.serviceWorker.addEventListener("message", ({ data }) => {
    $("offline").textContent = data === "kept" ? "The page is kept here and works offline." : "";
  });
  await navigator.serviceWorker.register("service-worker.js");
  const worker = (await navigator.serviceWorker.ready).active;
  const loaded = performance.getEntriesByType("resource").map(({ name }) => name);
  const page = ["./", "index.html"].map((name) => new URL(name, document.baseURI).href);
  worker.postMessage([...new Set([...page, ...loaded])].filter((name) => /^https?:/.test(name)));
}

/* From an image to the mask on the page */

async function open(file) {
  const mine = ++turn;
  stopCamera();
  $("progress").hidden = true;
  say(`Segmenting ${file.name}…`);
  try {
    const image = await decoded(file);
    await ready;
    if (mine !== turn) return;
    await segment(image, file.name, mine);
    if (mine === turn) say(`Done in ${$("whole-time").textContent}: ${inWords()}.`);
  } catch (error) {
    if (mine === turn) complain(error);
  }
}

/** Returns the pixels of a file as an upright ImageData, without colour management. */
async function decoded(file) {
  let bitmap;
  try {
    bitmap = await createImageBitmap(file, { colorSpaceConversion: "none" });
  } catch {
    throw new Told(`${file.name} is no image that this browser reads. JPEG, PNG and WebP are read; TIFF and others by python -m keras_unet.predict.`);
  }
  const { width, height } = bitmap;
  if (width * height > MOST_PIXELS) {
    const found = Math.round((width * height) / 1e6);
    throw new Told(`${file.name} has ${found} megapixels, this page takes up to ${MOST_PIXELS / 1e6}. python -m keras_unet.predict takes more.`);
  }
  const image = pixelsOf(bitmap, width, height);
  bitmap.close();
  return image;
}

function pixelsOf(source, width, height) {
  const canvas = new OffscreenCanvas(width, height);
  const context = canvas.getContext("2d", { alpha: false, willReadFrequently: true });
  context.drawImage(source, 0, 0);
  return context.getImageData(0, 0, width, height);
}

async function segment(image, name, mine) {
  const begun = performance.now();
  const size = { height: image.height, width: image.width };
  spent = 0;
  let drawn = begun;
  const found = await probabilityOf(image, network, settings, async (done, all) => {
    if (mine === turn && all > 1 && performance.now() - drawn > 100) {
      $("progress").hidden = false;
      $("progress").value = done / all;
      await new Promise((resolve) => setTimeout(resolve));
      drawn = performance.now();
    }
    if (mine !== turn) throw new Told("");
  });
  $("progress").hidden = true;
  shown = { name, size };
  if (settings.classes > 2) shown.ids = classesAt(found, size);
  else shown.probability = foregroundAt(found, size);
  draw(image);
  $("network-time").textContent = duration(spent);
  $("whole-time").textContent = duration(performance.now() - begun);
  $("size").textContent = `${size.width} × ${size.height}`;
}

function draw(image) {
  for (const id of ["image", "mask"]) Object.assign($(id), shown.size);
  $("image").getContext("2d").putImageData(image, 0, 0);
  $("result").style.setProperty("--ratio", image.width / image.height);
  $("empty").hidden = true;
  $("result").hidden = $("found").hidden = false;
  $("stage").classList.add("full");
  $("download").disabled = false;
  drawMask();
}

function drawMask() {
  const { size, probability } = shown;
  if (probability) shown.ids = above(probability, threshold);
  const colours = settings.colours.map(([red, green, blue], id) =>
    // A word of the pixels' bytes, in the order that all of today's devices have.
    ((id ? STRENGTH : 0) << 24) | (blue << 16) | (green << 8) | red);
  const layer = new ImageData(size.width, size.height);
  const words = new Int32Array(layer.data.buffer);
  const counts = new Array(colours.length).fill(0);
  const ids = shown.ids;
  for (let i = 0; i < words.length; i++) {
    words[i] = colours[ids[i]];
    counts[ids[i]]++;
  }
  outline(words, ids, size.width);
  shown.shares = counts.map((count) => count / ids.length);
  $("mask").getContext("2d").putImageData(layer, 0, 0);
  list();
}

/** Makes the mask's colour opaque along the edges of what was found. */
function outline(words, ids, width) {
  for (let i = 0; i < ids.length; i++) {
    const id = ids[i];
    if (!id) continue;
    const x = i % width;
    const alike = (x === 0 || ids[i - 1] === id) && (x === width - 1 || ids[i + 1] === id)
      && (i < width || ids[i - width] === id) && (i + width >= ids.length || ids[i + width] === id);
    if (!alike) words[i] |= 0xff << 24;
  }
}

function element(kind, text) {
  const made = document.createElement(kind);
  made.textContent = text;
  return made;
}

function percent(share) {
  return `${(100 * share).toFixed(1)}\u00a0%`;
}

/** Lists the classes with their colours and shares; of many, those that were found. */
function list() {
  const few = settings.names.length <= 12;
  const rows = settings.names.map((name, id) => {
    if (!id || !(few || shown.shares[id])) return null;
    const row = element("li", "");
    const swatch = element("i", "");
    swatch.style.background = `rgb(${settings.colours[id].join(" ")})`;
    row.append(swatch, element("span", name), element("span", percent(shown.shares[id])));
    return row;
  });
  $("legend").replaceChildren(...rows.filter(Boolean));
  $("result").setAttribute("aria-label", `${shown.name} with its mask: ${inWords()}`);
}

/** Returns the largest three classes with their shares. */
function inWords() {
  const found = shown.shares.map((share, id) => [share, id]).filter(([share, id]) => id && share);
  const parts = found.sort(([one], [other]) => other - one)
    .map(([share, id]) => `${settings.names[id]} ${percent(share)}`);
  if (parts.length > 3) parts.splice(3, parts.length, `${parts.length - 3} more`);
  return parts.join(", ") || "nothing found";
}

function duration(milliseconds) {
  return milliseconds < 10_000 ? `${Math.round(milliseconds)} ms` : `${(milliseconds / 1e3).toFixed(1)} s`;
}

async function download() {
  const png = await pngOf(shown.ids, shown.size, settings.values);
  const link = document.createElement("a");
  link.href = URL.createObjectURL(png);
  link.download = `${shown.name.replace(/\.[^.]*$/, "")}_mask.png`;
  link.click();
  setTimeout(() => URL.revokeObjectURL(link.href), 60_000);
  say(`Saved as ${link.download}, ${shown.size.width} × ${shown.size.height}.`);
}

/* The camera */

async function startCamera() {
  const mine = ++turn;
  say("Asking for the camera…");
  try {
    const wanted = { facingMode: "environment", width: { ideal: 640 } };
    const came = await navigator.mediaDevices.getUserMedia({ video: wanted });
    if (mine !== turn) return came.getTracks().forEach((track) => track.stop());
    stream = came;
  } catch (error) {
    if (mine !== turn) return;
    const refused = "The camera was not allowed. The browser's settings for this page allow it again.";
    return complain(new Told(error.name === "NotAllowedError" ? refused : "No camera could be opened."));
  }
  $("camera").textContent = "Stop camera";
  try {
    await ready;
    $("video").srcObject = stream;
    await $("video").play();
    say("The camera runs. Stop it to keep the last image.");
    await follow(mine);
  } catch (error) {
    if (mine === turn) complain(error);
  }
  if (mine === turn) stopCamera();
}

async function follow(mine) {
  const video = $("video");
  while (mine === turn && stream) {
    const image = pixelsOf(video, video.videoWidth, video.videoHeight);
    await segment(image, "camera", mine);
    await new Promise((resolve) => requestAnimationFrame(resolve));
  }
}

function stopCamera() {
  stream?.getTracks().forEach((track) => track.stop());
  stream = null;
  $("video").srcObject = null;
  $("progress").hidden = true;
  $("camera").textContent = "Use camera";
}

/* What a person does */

$("file").addEventListener("change", ({ target }) => {
  if (target.files.length) open(target.files[0]);
  target.value = ""; // So that the same file may be chosen again.
});

$("camera").addEventListener("click", () => {
  if (!stream) return startCamera();
  turn++;
  stopCamera();
  say(shown ? `The camera stopped: ${inWords()}.` : "The camera stopped.");
});

$("threshold").addEventListener("input", ({ target }) => {
  threshold = Number(target.value);
  $("threshold-value").textContent = threshold;
  if (shown) drawMask();
});

$("threshold").addEventListener("change", () => {
  if (shown) say(`Above ${threshold}: ${inWords()}.`);
});

$("show").addEventListener("change", ({ target }) => { $("mask").hidden = !target.checked; });

$("download").addEventListener("click", () => download().catch(complain));

for (const kind of ["dragover", "dragleave", "drop"]) {
  document.addEventListener(kind, (event) => {
    event.preventDefault();
    $("stage").classList.toggle("over", kind === "dragover");
    if (kind !== "drop") return;
    const [file] = event.dataTransfer.files;
    if (file) open(file);
    else complain(new Told("What was dropped is no file: drop an image from a folder."));
  });
}

const ready = load();
ready.catch(complain);
