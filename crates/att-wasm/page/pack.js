// A model in one file, as `att export-web` writes it (crates/att-wasm/src/pack.rs says what is in it).

const MAGIC = "ATTPACK1";

const CRC_TABLE = Uint32Array.from({ length: 256 }, (_, byte) => {
  let crc = byte;
  for (let bit = 0; bit < 8; bit++) crc = crc & 1 ? (crc >>> 1) ^ 0xedb88320 : crc >>> 1;
  return crc;
});

/** The CRC-32 of gzip and PNG. */
function crc32(bytes) {
  let crc = ~0;
  for (const byte of bytes) crc = (crc >>> 8) ^ CRC_TABLE[(crc ^ byte) & 255];
  return ~crc >>> 0;
}

/** The files of a packed model, as `[[name, bytes]]`. Fails where it is none, or not whole. */
export function unpack(bytes, from) {
  const start = MAGIC.length + 4;
  const text = new TextDecoder();
  if (bytes.length < start || text.decode(bytes.subarray(0, MAGIC.length)) !== MAGIC) {
    throw new Error(`${from} is not a packed model: write one with att export-web`);
  }
  const length = new DataView(bytes.buffer, bytes.byteOffset).getUint32(MAGIC.length, true);
  let at = start + length;
  let index;
  try {
    index = JSON.parse(text.decode(bytes.subarray(start, at)));
  } catch {
    throw new Error(`${from} is damaged: its index can't be read; copy it again`);
  }
  return index.files.map(({ name, len, crc32: expected }) => {
    const file = bytes.subarray(at, at + len);
    at += len;
    if (file.length !== len || crc32(file) !== expected) {
      throw new Error(`${from} is damaged in ${name}: copy it again`);
    }
    return [name, file];
  });
}
