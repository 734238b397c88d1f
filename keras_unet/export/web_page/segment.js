/* From an image to its mask: resizing, tiles and PNG. The arithmetic is that of
   tflite/client.py in the run folder; nothing here knows of the page. */

/** The tiles along one axis of `size` pixels, as `told` in settings.json lays them. */
class Axis {
  constructor(size, told) {
    const { tile, margin, padding, stride, blind } = told;
    this.tile = tile;
    this.predicted = tile - 2 * margin;
    const step = 2 ** told.halvings;
    let least = Math.ceil(size / step) * step;
    if (padding === "valid") {
      const trim = 4 * (step - 1);
      least = step * (Math.ceil((size + trim) / step) + 4) + trim;
    }
    const padded = Math.max(least, tile);
    this.before = Math.floor(((padding === "valid" ? least : padded) - size) / 2);
    this.offset = this.before - margin;
    this.size = size;
    const last = padded - tile;
    const count = 1 + Math.ceil(last / stride);
    this.starts = Array.from({ length: count }, (_, i) => Math.min(i * stride, last));
    this.whole = this.starts.at(-1) + this.predicted;
    this.weights = this.weigh(stride, blind, padding);
  }

  /** Returns which of the image's pixels the tile at `start` holds: mirrored beyond. */
  pixels(start) {
    const period = Math.max(2 * (this.size - 1), 1);
    return Int32Array.from({ length: this.tile }, (_, i) => {
      const place = (((start - this.before + i) % period) + period) % period;
      return Math.min(place, period - place);
    });
  }

  /** Returns a weight for each prediction of each tile; over a pixel they sum to 1. */
  weigh(stride, blind, padding) {
    const ramp = this.predicted - stride - 2 * blind;
    const rising = Float32Array.from({ length: this.predicted }, (_, i) =>
      Math.min(Math.max((i + 0.5 - blind) / Math.max(ramp, 0.5), 0), 1));
    const raw = this.starts.map((start, tile) => {
      const first = tile === 0, last = tile === this.starts.length - 1;
      return rising.map((rise, i) => {
        if (padding === "valid") return last || start + i < this.starts[tile + 1] ? 1 : 0;
        return (first ? 1 : rise) * (last ? 1 : rising[this.predicted - 1 - i]);
      });
    });
    const total = new Float32Array(this.whole);
    raw.forEach((tile, k) => tile.forEach((w, i) => { total[this.starts[k] + i] += w; }));
    return raw.map((tile, k) => tile.map((w, i) => w / total[this.starts[k] + i]));
  }
}

/** Which of `old` pixels each of `size` new ones is made of, and their shares:
    shrinking averages, growing blends. */
class Spans {
  constructor(old, size) {
    const scale = old / size;
    this.first = new Int32Array(size);
    this.shares = Array.from({ length: size }, (_, i) => {
      if (scale > 1) return this.averaged(i, scale, old);
      const place = Math.min(Math.max((i + 0.5) * scale - 0.5, 0), old - 1);
      this.first[i] = place;
      const share = place - this.first[i];
      return share > 0 ? [1 - share, share] : [1];
    });
  }

  averaged(i, scale, old) {
    const begin = i * scale, end = (i + 1) * scale;
    const first = Math.floor(begin), last = Math.min(Math.ceil(end), old);
    this.first[i] = first;
    return Array.from({ length: last - first }, (_, k) =>
      Math.max(Math.min(first + k + 1, end) - Math.max(first + k, begin), 0) / scale);
  }
}

/** An ImageData as the network sees it: float32 RGB of another size, by rows. */
class Seen {
  constructor(image, [height, width], bands) {
    this.image = image;
    this.height = height;
    this.width = width;
    this.bands = bands.length ? bands : [0, 1, 2];
    this.down = new Spans(image.height, height);
    this.across = new Spans(image.width, width);
    this.narrow = new Map();
  }

  /** Returns rows top..bottom, (rows, width, 3). */
  rows(top, bottom) {
    const length = 3 * this.width;
    const made = new Float32Array((bottom - top) * length);
    for (let row = top; row < bottom; row++) {
      const into = made.subarray((row - top) * length, (row - top + 1) * length);
      const first = this.down.first[row];
      this.down.shares[row].forEach((share, k) => {
        const from = this.narrowed(first + k);
        for (let i = 0; i < length; i++) into[i] += share * from[i];
      });
      for (const old of this.narrow.keys()) if (old < first) this.narrow.delete(old);
    }
    return made;
  }

  /** Returns one row of the image at the width that is seen. */
  narrowed(row) {
    if (!this.narrow.has(row)) this.narrow.set(row, this.narrowRow(row));
    return this.narrow.get(row);
  }

  narrowRow(row) {
    const { data, width } = this.image;
    const [red, green, blue] = this.bands;
    const made = new Float32Array(3 * this.width);
    for (let x = 0; x < this.width; x++) {
      const shares = this.across.shares[x];
      let from = 4 * (row * width + this.across.first[x]);
      for (let k = 0; k < shares.length; k++, from += 4) {
        made[3 * x] += shares[k] * data[from + red];
        made[3 * x + 1] += shares[k] * data[from + green];
        made[3 * x + 2] += shares[k] * data[from + blue];
      }
    }
    return made;
  }
}

/** Returns (h, w, channels), mirrored vertical, horizontal or, of a square, diagonal. */
function flipped(array, [height, width, channels], flip) {
  const source = {
    vertical: (y, x) => (height - 1 - y) * width + x,
    horizontal: (y, x) => y * width + width - 1 - x,
    diagonal: (y, x) => x * width + y,
  }[flip];
  const made = new Float32Array(array.length);
  for (let y = 0; y < height; y++) {
    for (let x = 0; x < width; x++) {
      const from = source(y, x);
      const at = (y * width + x) * channels;
      for (let c = 0; c < channels; c++) made[at + c] = array[from * channels + c];
    }
  }
  return made;
}

/** Returns the mean of `network` over a tile and its flipped forms. */
async function meanOver(network, tile, sizes, flips) {
  if (!flips.length) return network(tile);
  const [flip, ...rest] = flips;
  const mean = await meanOver(network, tile, sizes, rest);
  const other = await meanOver(network, flipped(tile, sizes.tile, flip), sizes, rest);
  const back = flipped(other, sizes.found, flip);
  return mean.map((value, i) => (value + back[i]) / 2);
}

/** Returns the nearest whole number, of two the even one, as Python's round does. */
function roundedToEven(number) {
  const up = Math.round(number);
  return up - number === 0.5 && up % 2 ? up - 1 : up;
}

/**
 * Returns the probability of an ImageData as the network sees it:
 * {height, width, kept, values}, of two classes the second one's alone.
 *
 * network: from a tile, float32 (h, w, 3), to a promise of float32 (h', w', classes).
 * told: of settings.json.
 * after: is told, and waited for, after each tile how many of how many are done.
 */
export async function probabilityOf(image, network, told, after = async () => {}) {
  const share = told.resolution;
  const own = [image.height, image.width];
  const size = share ? own.map((side) => Math.max(1, roundedToEven(side * share))) : told.image_size;
  const seen = new Seen(image, size, told.bands);
  const rows = new Axis(size[0], told.rows), columns = new Axis(size[1], told.columns);
  const classes = told.classes, kept = classes > 2 ? classes : 1;
  const sums = new Float32Array(rows.whole * columns.whole * kept);
  const sizes = {
    tile: [rows.tile, columns.tile, 3],
    found: [rows.predicted, columns.predicted, classes],
  };
  let done = 0;
  for (const [row, top] of rows.starts.entries()) {
    const band = bandOf(seen, rows.pixels(top));
    for (const [column, left] of columns.starts.entries()) {
      const tile = tileOf(band, columns.pixels(left), seen.width);
      const found = await meanOver(network, tile, sizes, told.flips);
      const weights = [rows.weights[row], columns.weights[column]];
      addTile(sums, columns.whole, [top, left], found, weights, classes, kept);
      await after(++done, rows.starts.length * columns.starts.length);
    }
  }
  return cropped(sums, columns.whole, [rows.offset, columns.offset], size, kept);
}

/** Returns the rows of the image that a row of tiles holds. */
function bandOf(seen, pixels) {
  let first = seen.height, last = 0;
  for (const row of pixels) [first, last] = [Math.min(first, row), Math.max(last, row)];
  // Rows are narrowed again where the band before had them: little, beside the network.
  seen.narrow.clear();
  const some = seen.rows(first, last + 1);
  const length = 3 * seen.width;
  return Array.from(pixels, (row) => some.subarray((row - first) * length, (row - first + 1) * length));
}

function tileOf(band, pixels) {
  const made = new Float32Array(3 * band.length * pixels.length);
  let at = 0;
  for (const row of band) {
    for (const x of pixels) {
      made[at++] = row[3 * x];
      made[at++] = row[3 * x + 1];
      made[at++] = row[3 * x + 2];
    }
  }
  return made;
}

function addTile(sums, width, [top, left], found, [down, across], classes, kept) {
  for (let y = 0; y < down.length; y++) {
    for (let x = 0; x < across.length; x++) {
      const weight = down[y] * across[x];
      const at = ((top + y) * width + left + x) * kept;
      const from = (y * across.length + x) * classes + classes - kept;
      for (let c = 0; c < kept; c++) sums[at + c] += found[from + c] * weight;
    }
  }
}

function cropped(sums, whole, [top, left], [height, width], kept) {
  if (!top && !left && whole === width && sums.length === height * width * kept) {
    return { height, width, kept, values: sums };
  }
  const values = new Float32Array(height * width * kept);
  for (let y = 0; y < height; y++) {
    const from = ((top + y) * whole + left) * kept;
    values.set(sums.subarray(from, from + width * kept), y * width * kept);
  }
  return { height, width, kept, values };
}

/** Calls `use` with each row of the probability at another size, bilinear. */
function eachRow({ height, width, kept, values }, size, use) {
  const down = places(height, size.height), across = places(width, size.width);
  const narrow = new Float32Array(width * kept), row = new Float32Array(size.width * kept);
  for (let y = 0; y < size.height; y++) {
    const above = down.low[y] * width * kept, below = down.high[y] * width * kept;
    for (let i = 0; i < narrow.length; i++) {
      narrow[i] = values[above + i] + (values[below + i] - values[above + i]) * down.share[y];
    }
    for (let x = 0; x < size.width; x++) {
      const left = across.low[x] * kept, right = across.high[x] * kept;
      for (let c = 0; c < kept; c++) {
        row[x * kept + c] = narrow[left + c] + (narrow[right + c] - narrow[left + c]) * across.share[x];
      }
    }
    use(y, row);
  }
}

function places(old, size) {
  const low = new Int32Array(size), high = new Int32Array(size), share = new Float32Array(size);
  for (let i = 0; i < size; i++) {
    const place = (i + 0.5) * (old / size) - 0.5;
    const floor = Math.floor(place);
    low[i] = Math.max(floor, 0);
    high[i] = Math.min(Math.ceil(place), old - 1);
    share[i] = place - floor;
  }
  return { low, high, share };
}

/** Returns the foreground's probability at a size, float32, of two classes. */
export function foregroundAt(found, size) {
  const made = new Float32Array(size.height * size.width);
  eachRow(found, size, (y, row) => made.set(row, y * size.width));
  return made;
}

/** Returns the most probable class of each pixel at a size, of more than two. */
export function classesAt(found, size) {
  const made = new Uint8Array(size.height * size.width);
  const kept = found.kept;
  eachRow(found, size, (y, row) => {
    for (let x = 0; x < size.width; x++) {
      let best = 0;
      for (let c = 1; c < kept; c++) if (row[x * kept + c] > row[x * kept + best]) best = c;
      made[y * size.width + x] = best;
    }
  });
  return made;
}

/** Returns 1 where the probability is above the threshold, else 0. */
export function above(probability, threshold) {
  // As float32, like what it is compared with.
  const limit = Math.fround(threshold);
  const made = new Uint8Array(probability.length);
  for (let i = 0; i < made.length; i++) made[i] = probability[i] > limit ? 1 : 0;
  return made;
}

const CHECKS = Uint32Array.from({ length: 256 }, (_, n) => {
  for (let k = 0; k < 8; k++) n = n & 1 ? 0xedb88320 ^ (n >>> 1) : n >>> 1;
  return n;
});

function chunk(kind, body) {
  const made = new Uint8Array(12 + body.length);
  const view = new DataView(made.buffer);
  view.setUint32(0, body.length);
  for (let i = 0; i < 4; i++) made[4 + i] = kind.charCodeAt(i);
  made.set(body, 8);
  let check = 0xffffffff;
  for (const byte of made.subarray(4, 8 + body.length)) {
    check = CHECKS[(check ^ byte) & 255] ^ (check >>> 8);
  }
  view.setUint32(8 + body.length, ~check);
  return made;
}

/**
 * Returns class ids as a PNG file, a Blob, in the values that `predict` writes: grey of
 * 8 bits, of 16 where a value is above 255, or RGB. A canvas would write RGBA.
 */
export async function pngOf(ids, { height, width }, values) {
  const colours = Array.isArray(values[0]);
  const deep = !colours && Math.max(...values) > 255;
  const bytes = values.map((value) => (colours ? value : deep ? [value >> 8, value & 255] : [value]));
  const each = bytes[0].length;
  const raw = new Uint8Array(height * (1 + width * each));
  let at = 0;
  for (let y = 0; y < height; y++) {
    at++; // The row's filter: none.
    for (let x = 0; x < width; x++) {
      for (const byte of bytes[ids[y * width + x]]) raw[at++] = byte;
    }
  }
  const packed = new Blob([raw]).stream().pipeThrough(new CompressionStream("deflate"));
  const header = new Uint8Array(13);
  new DataView(header.buffer).setUint32(0, width);
  new DataView(header.buffer).setUint32(4, height);
  header.set([deep ? 16 : 8, colours ? 2 : 0], 8);
  const parts = [
    Uint8Array.of(0x89, 0x50, 0x4e, 0x47, 0x0d, 0x0a, 0x1a, 0x0a),
    chunk("IHDR", header),
    chunk("IDAT", new Uint8Array(await new Response(packed).arrayBuffer())),
    chunk("IEND", new Uint8Array(0)),
  ];
  return new Blob(parts, { type: "image/png" });
}
