// Words counted, packed and unpacked, kept as buffers: what a server in JavaScript asks of malloc beside
// its own heap. Deterministic; prints one line.
const zlib = require("zlib");
const crypto = require("crypto");

let seed = 7;
const random = (end) => (seed = (seed * 1103515245 + 12345) % 2147483648) % end;

const lines = [];
for (let i = 0; i < 20000; i++) {
  lines.push(`line ${i} ${"word".repeat(random(12))} ${random(1000)}`);
}
const text = lines.join("\n");
const kept = new Map();
let packed = 0;
for (let round = 0; round < 60; round++) {
  const piece = text.slice(random(text.length / 2), text.length - random(1000));
  const small = zlib.gzipSync(piece);
  packed += small.length;
  if (zlib.gunzipSync(small).toString() !== piece) throw new Error("unpacked differs");
  for (let i = 0; i < 1500; i++) {
    const key = crypto.createHash("md5").update(`${round} ${random(4000)}`).digest("hex");
    kept.set(key, Buffer.from(lines[random(lines.length)]));
    if (kept.size > 20000) kept.delete(kept.keys().next().value);
  }
}
console.log(`${lines.length} lines, ${packed} bytes packed, ${kept.size} kept`);
