/**
 * A real ext4 on a loop device, whose power can be cut: `EXT4_IOC_SHUTDOWN` without a flush of the journal stops the file
 * system at once, what was not synced is lost, and mounting again recovers it as after a power failure. Needs root.
 *
 * Whatever happens, the mount and its loop device go: at `dispose`, at the end of this process, or, where that was killed,
 * when the next one makes a volume.
 */
import { execFileSync, spawnSync } from 'node:child_process';
import {
  closeSync,
  mkdirSync,
  mkdtempSync,
  openSync,
  readdirSync,
  readSync,
  rmdirSync,
  rmSync,
  truncateSync,
  writeFileSync,
  writeSync,
} from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';

const NAME = 'sop-volume-';
/** The ioctl `_IOR('X', 125, u32)` with the flag "no log flush". */
const CUT = `
import fcntl, os, struct, sys
fd = os.open(sys.argv[1], os.O_RDONLY)
fcntl.ioctl(fd, 0x8004587d, struct.pack('I', 2))
`;

const mounted = new Set<LoopVolume>();
process.on('exit', () => {
  for (const volume of mounted) volume.dispose();
});

function run(program: string, ...args: string[]): void {
  execFileSync(program, args, { stdio: ['ignore', 'ignore', 'pipe'] });
}

export class LoopVolume {
  /** Where it is mounted. */
  readonly path: string;
  /** Where the image lies. */
  protected readonly backing: string;
  readonly #home: string;
  readonly #image: string;

  /** With `backingBytes` the image lies in a tmpfs of that size, where it has room for its metadata and journal from the start. */
  constructor(sizeBytes: number, backingBytes = 0) {
    sweep();
    this.#home = mkdtempSync(join(tmpdir(), `${NAME}${process.pid}-`));
    this.backing = join(this.#home, 'backing');
    mkdirSync(this.backing);
    this.#image = join(this.backing, 'image');
    this.path = join(this.#home, 'mount');
    mkdirSync(this.path);
    mounted.add(this);
    try {
      if (backingBytes > 0) run('mount', '-t', 'tmpfs', '-o', `size=${backingBytes}`, 'tmpfs', this.backing);
      writeFileSync(this.#image, '');
      truncateSync(this.#image, sizeBytes);
      const fixed = backingBytes > 0 ? ['-b', '4096', '-N', '1024', '-J', 'size=4', '-E', 'lazy_itable_init=0'] : [];
      run('mkfs.ext4', '-q', '-F', '-m', '0', ...fixed, this.#image);
      if (backingBytes > 0) occupyMetadata(this.#image);
      this.mount();
    } catch (error) {
      this.dispose();
      throw error;
    }
  }

  mount(...options: string[]): void {
    // The loop device is let go of by the kernel with the last unmount.
    run('mount', '-t', 'ext4', '-o', ['loop', ...options].join(','), this.#image, this.path);
  }

  /** Nobody may have a file open on it. */
  unmount(): void {
    run('umount', this.path);
  }

  /** The power is gone now: no byte reaches the disk any more, every call on an open file fails. Takes some 20 ms. */
  cut(): void {
    run('python3', '-c', CUT, this.path);
  }

  dispose(): void {
    if (!mounted.delete(this)) return;
    clear(this.#home);
  }

  [Symbol.dispose](): void {
    this.dispose();
  }
}

/**
 * A disk that can fail: the image has no room to grow, so that the device answers a write of any new block with an error.
 *
 * Metadata and the journal have their room from the start. A file system whose metadata can not be written loses what it had
 * answered for (seen here with an ext4 without a journal: the header of a log, written and synced before the first failure, read as
 * zeros after it), and no database can do anything about that.
 */
export class FailingVolume extends LoopVolume {
  /** From now on; until `mend`. */
  fail(): void {
    const ballast = openSync(join(this.backing, 'ballast'), 'w');
    const piece = new Uint8Array(4096);
    try {
      for (;;) writeSync(ballast, piece);
    } catch (error) {
      if ((error as NodeJS.ErrnoException).code !== 'ENOSPC') throw error;
    } finally {
      closeSync(ballast);
    }
  }

  mend(): void {
    rmSync(join(this.backing, 'ballast'));
  }
}

const BLOCK = 4096;
/** Superblock, descriptors, bitmaps and tables of inodes of a small ext4 lie in front, all groups' together. */
const FRONT_BLOCKS = 512;

/** Writes what is there over itself: a hole that is read as zeros becomes a page. */
function occupyMetadata(image: string): void {
  const journal = execFileSync('debugfs', ['-R', 'stat <8>', image], { stdio: ['ignore', 'pipe', 'ignore'] });
  const extents = [...String(journal).matchAll(/\(\d+(?:-\d+)?\):(\d+)(?:-(\d+))?/g)];
  if (extents.length === 0) throw new Error('where the journal lies is not known');
  const ranges = extents.map(([, first, last = first]) => [Number(first), Number(last)]);
  const file = openSync(image, 'r+');
  const block = new Uint8Array(BLOCK);
  for (const [first, last] of [[0, FRONT_BLOCKS - 1], ...ranges] as [number, number][]) {
    for (let at = first; at <= last; at++) {
      readSync(file, block, 0, BLOCK, at * BLOCK);
      writeSync(file, block, 0, BLOCK, at * BLOCK);
    }
  }
  closeSync(file);
}

function clear(home: string): void {
  spawnSync('umount', ['-l', join(home, 'mount')], { stdio: 'ignore' });
  spawnSync('umount', ['-l', join(home, 'backing')], { stdio: 'ignore' });
  rmSync(home, { recursive: true, force: true });
}

/** Volumes of processes that are gone. */
function sweep(): void {
  for (const name of readdirSync(tmpdir())) {
    const pid = Number(new RegExp(`^${NAME}(\\d+)-`).exec(name)?.[1] ?? 0);
    if (pid > 0 && !isAlive(pid)) clear(join(tmpdir(), name));
  }
}

function isAlive(pid: number): boolean {
  try {
    process.kill(pid, 0);
    return true;
  } catch (error) {
    return (error as NodeJS.ErrnoException).code === 'EPERM';
  }
}

/** Why there can be no such volume here; undefined where there can. */
export function whyNoVolume(): string | undefined {
  if (process.platform !== 'linux') return 'needs Linux';
  if (process.getuid?.() !== 0) return 'needs root';
  try {
    const volume = new LoopVolume(8 << 20);
    try {
      volume.cut();
    } finally {
      volume.dispose();
    }
    return undefined;
  } catch (error) {
    return `no loop-mounted ext4 here: ${String((error as { stderr?: Buffer }).stderr ?? error).trim()}`;
  }
}

/** A folder seen through a mount that refuses every write; undefined where this user may not mount. */
export function readOnlyView(folder: string): { path: string; [Symbol.dispose](): void } | undefined {
  const path = mkdtempSync(join(tmpdir(), 'sop-view-'));
  const remove = (): void => {
    spawnSync('umount', ['-l', path], { stdio: 'ignore' });
    // Never recursively: what lies below may still be somebody's folder.
    rmdirSync(path);
  };
  try {
    run('mount', '--bind', folder, path);
    run('mount', '-o', 'remount,bind,ro', path);
  } catch {
    remove();
    return undefined;
  }
  return { path, [Symbol.dispose]: remove };
}
