// What a module for wasm32-wasip1 asks of its system: files in memory that can only be read, a clock, random
// numbers, and what it complains of. Numbers and layouts are those of WASI's preview 1.

const OK = 0;
const BADF = 8;
const INVAL = 28;
const ISDIR = 31;
const NOENT = 44;
const NOTDIR = 54;
const ROFS = 69;

const DIRECTORY = 3;
const REGULAR = 4;

/** The file descriptor of the folder "/", which is open from the start. */
const ROOT = 3;
/** What creates, replaces or shortens a file. */
const WRITING = 1 | 8;

/** The system of one module. */
export class Wasi {
  constructor() {
    /** Bytes by path, such as "g2p/config.toml"; there are no other folders than those in paths. */
    this.files = new Map();
    /** What the module has written to its standard error: the words of a panic. */
    this.complaint = "";
    this.memory = null;
    this.open = new Map([[ROOT, { path: "", bytes: null, at: 0 }]]);
    this.decoder = new TextDecoder();
  }

  get view() {
    return new DataView(this.memory.buffer);
  }

  text(at, length) {
    return this.decoder.decode(new Uint8Array(this.memory.buffer, at, length));
  }

  /** The parts of memory that a list of vectors names. */
  *vectors(at, count) {
    for (let i = 0; i < count; i++) {
      const [start, length] = [0, 4].map((part) => this.view.getUint32(at + 8 * i + part, true));
      yield new Uint8Array(this.memory.buffer, start, length);
    }
  }

  /** What is at a path in an open folder: bytes of a file, null of a folder, undefined if there is nothing. */
  find(fd, at, length) {
    const parts = `${this.open.get(fd)?.path}/${this.text(at, length)}`.split("/");
    const path = parts.filter((part) => part !== "" && part !== ".").join("/");
    const isFolder = path === "" || [...this.files.keys()].some((file) => file.startsWith(`${path}/`));
    return { path, bytes: this.files.get(path) ?? (isFolder ? null : undefined), at: 0 };
  }

  /** What is known of a file or folder. */
  describe({ bytes }, at) {
    new Uint8Array(this.memory.buffer, at, 64).fill(0);
    this.view.setUint8(at + 16, bytes ? REGULAR : DIRECTORY);
    this.view.setBigUint64(at + 24, 1n, true);
    this.view.setBigUint64(at + 32, BigInt(bytes?.length ?? 0), true);
    return OK;
  }

  /** Fills vectors with the bytes of a file from a place on; how many they were is written to `count`. */
  read(bytes, from, vectors, length, count) {
    let read = 0;
    for (const vector of this.vectors(vectors, length)) {
      const part = bytes.subarray(from + read, from + read + vector.length);
      vector.set(part);
      read += part.length;
    }
    this.view.setUint32(count, read, true);
    return read;
  }

  /** An empty list: of arguments, of the environment. */
  empty(count, size) {
    this.view.setUint32(count, 0, true);
    this.view.setUint32(size, 0, true);
    return OK;
  }

  /** The functions, by the names that modules import them by. */
  get imports() {
    const file = (fd, then) => {
      const file = this.open.get(fd);
      if (!file) return BADF;
      return file.bytes ? then(file) : ISDIR;
    };
    return {
      args_sizes_get: (count, size) => this.empty(count, size),
      args_get: () => OK,
      environ_sizes_get: (count, size) => this.empty(count, size),
      environ_get: () => OK,
      clock_time_get: (_clock, _precision, at) => {
        const now = performance.timeOrigin + performance.now();
        this.view.setBigUint64(at, BigInt(Math.round(now * 1e6)), true);
        return OK;
      },
      random_get: (at, length) => {
        // The browser gives no more than this at a time.
        for (let done = 0; done < length; done += 65536) {
          const part = Math.min(65536, length - done);
          crypto.getRandomValues(new Uint8Array(this.memory.buffer, at + done, part));
        }
        return OK;
      },
      sched_yield: () => OK,
      proc_exit: (code) => {
        throw new Error(`the module has ended itself with status ${code}`);
      },
      fd_prestat_get: (fd, at) => {
        if (fd !== ROOT) return BADF;
        this.view.setUint32(at, 0, true); // a folder
        this.view.setUint32(at + 4, 1, true);
        return OK;
      },
      fd_prestat_dir_name: (fd, at) => {
        if (fd !== ROOT) return BADF;
        this.view.setUint8(at, "/".charCodeAt(0));
        return OK;
      },
      path_open: (folder, _flags, at, length, how, _rights, _inherited, _more, opened) => {
        const found = this.find(folder, at, length);
        if (how & WRITING) return ROFS;
        if (found.bytes === undefined) return NOENT;
        if (found.bytes && how & 2) return NOTDIR;
        let fd = ROOT + 1;
        while (this.open.has(fd)) fd += 1;
        this.open.set(fd, found);
        this.view.setUint32(opened, fd, true);
        return OK;
      },
      path_filestat_get: (folder, _flags, at, length, into) => {
        const found = this.find(folder, at, length);
        return found.bytes === undefined ? NOENT : this.describe(found, into);
      },
      fd_filestat_get: (fd, into) => this.open.has(fd) ? this.describe(this.open.get(fd), into) : BADF,
      fd_fdstat_get: (fd, into) => {
        if (!this.open.has(fd)) return BADF;
        new Uint8Array(this.memory.buffer, into, 24).fill(0);
        this.view.setUint8(into, this.open.get(fd).bytes ? REGULAR : DIRECTORY);
        for (const rights of [8, 16]) this.view.setBigUint64(into + rights, 0xffff_ffff_ffff_ffffn, true);
        return OK;
      },
      fd_read: (fd, vectors, length, count) => file(fd, (one) => {
        one.at += this.read(one.bytes, one.at, vectors, length, count);
        return OK;
      }),
      fd_pread: (fd, vectors, length, from, count) => file(fd, (one) => {
        this.read(one.bytes, Number(from), vectors, length, count);
        return OK;
      }),
      fd_seek: (fd, offset, whence, at) => file(fd, (one) => {
        const place = [0, one.at, one.bytes.length][whence] + Number(offset);
        if (!(place >= 0)) return INVAL;
        one.at = place;
        this.view.setBigUint64(at, BigInt(place), true);
        return OK;
      }),
      fd_close: (fd) => this.open.delete(fd) ? OK : BADF,
      fd_write: (fd, vectors, length, count) => {
        if (fd !== 1 && fd !== 2) return BADF;
        let written = 0;
        for (const vector of this.vectors(vectors, length)) {
          this.complaint += this.decoder.decode(vector);
          written += vector.length;
        }
        this.view.setUint32(count, written, true);
        return OK;
      },
    };
  }
}
