/**
 * Several layers of one store as one sorted sequence: write buffer, memory tables, runs, tree, newest first.
 *
 *  1. Of entries with one key the highest version counts; at equal version the earlier layer, but an entry over one that
 *     its layer's range removal of that version hides: a transaction's records count over its own removed ranges.
 *  2. An entry of version v is hidden by any layer's range removal of version t with v < t <= that layer's snapshot.
 *  3. Going forward, every layer stands at its first entry not before the current key, or at its end; backward likewise.
 *     `#mask` holds the layers that stand at the current key itself.
 *  4. MISS of a layer is passed on. What the other layers did is kept, and the repeated call goes on from there. The
 *     current key is kept apart, so that another call finds it as well.
 *  5. Keys of layers whose bytes can move (all but memory) are copied when the layer moves; a cell is handed out only
 *     if its layer moved last or was refreshed.
 *
 *  6. An increment is added to what the other layers have under its key (increments.ts). Where these are not all there are,
 *     which is where removed keys are shown, what is left of it is shown as `partial`.
 *
 * A write buffer among the layers may change between two moves; its layer is then put in place again.
 */
import { assert } from '../base/assert.ts';
import { compareBytes } from '../base/bytes.ts';
import { MAX_KEY_BYTES } from '../base/limits.ts';
import { addAmounts, createdCell, INCREMENT_HEAD_BYTES, incrementedCell } from '../codec/counter.ts';
import { OP_INCREMENT, OP_PUT } from '../log/record.ts';
import { AT, END, type EntryCursor, MISS, type Step } from '../node/entry-cursor.ts';
import { BASE_NOTHING, baseVersion, incrementBase } from './increments.ts';
import { BEHIND_ALL, type RangeRemovals, RemovalWindow } from './range-removals.ts';
import { type CursorIndex, RecordCursor } from './record-cursor.ts';

export interface CursorLayer {
  readonly cursor: EntryCursor;
  /** Range removals of this layer. A `RecordCursor` brings its own. */
  readonly removals?: RangeRemovals | undefined;
  /** Absolute: which of the removals count. */
  readonly snapshot: number;
  /** No entry of this layer is newer. Lets it skip over removed ranges instead of walking them. */
  readonly newest?: number;
}

/** A cursor whose bytes may move away under it, and which can show its entry again without a search. */
export interface RefreshableCursor extends EntryCursor {
  /** Makes the fields valid again: AT, or MISS with nothing changed. */
  refresh(): Step;
}

export interface LayeredCursorOptions {
  /** Show removed and hidden keys too, as `removed`. */
  readonly showRemoved?: boolean;
}

const FORWARD = 1;
const BACKWARD = -1;
type Direction = typeof FORWARD | typeof BACKWARD;

/** Calls that may be under way after a MISS. */
const NO_CALL = 0;
const NEXT = 1;
const PREVIOUS = 2;
const SEEK = 3;
const SEEK_BEFORE = 4;
const FIRST = 5;
const LAST = 6;

/** What a layer has still to do before the current call can look at it. */
const NOTHING = 0;
const STEP = 1;
const TO_TARGET = 2;
const PAST_ANCHOR = 3;
const TO_EDGE = 4;
const SKIP = 5;

const NO_BYTES = new Uint8Array(0);

export class LayeredCursor implements EntryCursor {
  keyBytes: Uint8Array = NO_BYTES;
  keyStart = 0;
  keyEnd = 0;
  cellBytes: Uint8Array = NO_BYTES;
  cellStart = 0;
  cellEnd = 0;
  version = 0;
  removed = false;
  partial = false;

  readonly #count: number;
  readonly #showRemoved: boolean;
  readonly #cursors: EntryCursor[] = [];
  readonly #newest: number[] = [];
  /** Layers in memory: their keys stay where they are. */
  readonly #stable: boolean[] = [];
  /** Layers whose removals are looked at, and where these come from. */
  readonly #removing: number[] = [];
  readonly #sources: { readonly removals?: RangeRemovals | undefined }[] = [];
  readonly #snapshots: number[] = [];
  readonly #windows: (RemovalWindow | undefined)[] = [];
  /** Write buffers among the layers: index and its `changes` when the layer last moved. */
  readonly #changing: (CursorIndex | undefined)[] = [];
  readonly #changes: number[] = [];
  #anyChanging = false;

  /** Per layer: where it stands. */
  readonly #steps: Step[] = [];
  readonly #actions: number[] = [];
  readonly #layerKeys: Uint8Array[] = [];
  readonly #keyStarts: number[] = [];
  readonly #keyEnds: number[] = [];
  readonly #versions: Float64Array;
  readonly #gone: boolean[] = [];
  /** Gone by a removed range of the layer itself. */
  readonly #hidden: boolean[] = [];
  readonly #copies: Uint8Array[] = [];
  readonly #movedAt: number[] = [];

  #waits = false;
  #direction: Direction = FORWARD;
  #positioned = false;
  #call = NO_CALL;
  #missing = -1;
  #busy = false;
  #mask = 0;
  #winner = -1;
  /** The best layer beside those of the mask, -1 for none, and its key. */
  #second = -1;
  #secondKey: Uint8Array = NO_BYTES;
  #secondStart = 0;
  #secondEnd = 0;
  /** Layers that are not at their end. */
  #alive = 0;
  #tick = 0;
  #validSince = 0;
  #lastUnstable = 0;
  #hidingLayer = -1;
  #hiddenInRow = 0;

  /** The current key, and where it is copied to if it lies where it might be lost. */
  #anchor: Uint8Array = NO_BYTES;
  #anchorCopy: Uint8Array = NO_BYTES;
  #anchorStart = 0;
  #anchorEnd = 0;
  #target: Uint8Array = NO_BYTES;
  #targetStart = 0;
  #targetEnd = 0;

  constructor(layers: readonly CursorLayer[], options: LayeredCursorOptions = {}) {
    assert(layers.length <= 31, 'no more layers than bits in a mask');
    this.#count = layers.length;
    this.#showRemoved = options.showRemoved === true;
    this.#versions = new Float64Array(layers.length);
    for (const layer of layers) this.#addLayer(layer);
  }

  #addLayer(layer: CursorLayer): void {
    const { cursor } = layer;
    const at = this.#cursors.length;
    const index = cursor instanceof RecordCursor ? cursor.index : undefined;
    const isBuffer = index !== undefined && !index.linked;
    this.#cursors.push(cursor);
    this.#newest.push(layer.newest ?? Number.POSITIVE_INFINITY);
    this.#stable.push(index !== undefined);
    // A table's later removals are none of this snapshot's business, a buffer's are.
    if (isBuffer || (index ?? layer).removals !== undefined) this.#removing.push(at);
    this.#sources.push(index ?? layer);
    this.#snapshots.push(layer.snapshot);
    this.#windows.push(undefined);
    this.#changing.push(isBuffer ? index : undefined);
    this.#anyChanging ||= isBuffer;
    this.#changes.push(0);
    this.#steps.push(END);
    this.#actions.push(NOTHING);
    this.#layerKeys.push(NO_BYTES);
    this.#keyStarts.push(0);
    this.#keyEnds.push(0);
    this.#gone.push(false);
    this.#hidden.push(false);
    this.#copies.push(NO_BYTES);
    this.#movedAt.push(0);
  }

  get isStable(): boolean {
    return this.#stable[this.#winner] === true;
  }

  get waits(): boolean {
    return this.#waits;
  }

  set waits(waits: boolean) {
    this.#waits = waits;
    for (const cursor of this.#cursors) cursor.waits = waits;
  }

  seek(key: Uint8Array, start: number, end: number): Step {
    return this.#goTo(SEEK, FORWARD, key, start, end);
  }

  seekBefore(key: Uint8Array, start: number, end: number): Step {
    return this.#goTo(SEEK_BEFORE, BACKWARD, key, start, end);
  }

  first(): Step {
    return this.#goToEdge(FIRST, FORWARD);
  }

  last(): Step {
    return this.#goToEdge(LAST, BACKWARD);
  }

  next(): Step {
    return this.#isPlain(FORWARD) ? this.#step(NEXT, FORWARD) : this.#move(NEXT, FORWARD);
  }

  previous(): Step {
    return this.#isPlain(BACKWARD) ? this.#step(PREVIOUS, BACKWARD) : this.#move(PREVIOUS, BACKWARD);
  }

  load(): Promise<void> {
    const missing = this.#cursors[this.#missing];
    return missing === undefined ? Promise.resolve() : missing.load();
  }

  // ---- calls ----

  #goTo(call: number, direction: Direction, key: Uint8Array, start: number, end: number): Step {
    const same =
      this.#call === call && compareBytes(key, start, end, this.#target, this.#targetStart, this.#targetEnd) === 0;
    if (!same || this.#hasChanged()) this.#begin(call, direction, TO_TARGET);
    this.#target = key;
    this.#targetStart = start;
    this.#targetEnd = end;
    const step = this.#run();
    // The caller may use its array for something else before it calls again.
    if (step === MISS) this.#target = key.slice(start, end);
    else this.#target = NO_BYTES;
    this.#targetStart = 0;
    this.#targetEnd = step === MISS ? end - start : 0;
    return step;
  }

  #goToEdge(call: number, direction: Direction): Step {
    if (this.#call !== call || this.#hasChanged()) this.#begin(call, direction, TO_EDGE);
    return this.#run();
  }

  #begin(call: number, direction: Direction, action: number): void {
    this.#call = call;
    this.#direction = direction;
    this.#busy = true;
    this.#hiddenInRow = 0;
    for (let i = 0; i < this.#count; i++) this.#actions[i] = action;
  }

  /** One layer alone stands at the current key and nothing else is to be done first. */
  #isPlain(direction: Direction): boolean {
    return (
      this.#call === NO_CALL &&
      this.#positioned &&
      this.#direction === direction &&
      this.#mask === 1 << this.#winner &&
      !this.#hasChanged()
    );
  }

  /** The usual step (20 ns over that of the layer itself): its layer moves and still comes before the second. */
  #step(call: number, direction: Direction): Step {
    const winner = this.#winner;
    const cursor = this.#cursors[winner] as EntryCursor;
    const step = direction === FORWARD ? cursor.next() : cursor.previous();
    if (step === MISS) {
      this.#call = call;
      this.#hiddenInRow = 0;
      this.#missing = winner;
      this.#actions[winner] = STEP;
      this.#busy = true;
      return MISS;
    }
    if (step === AT && !cursor.removed && this.#comesFirst(cursor, direction) && !this.#isHidden(winner, cursor)) {
      this.#publishMoved(winner, cursor);
      return AT;
    }
    this.#call = call;
    this.#hiddenInRow = 0;
    this.#validSince = this.#tick;
    this.#take(winner, cursor, step);
    this.#pickAfter(winner);
    return this.#settle();
  }

  #comesFirst(cursor: EntryCursor, direction: Direction): boolean {
    if (this.#second < 0) return true;
    const order = compareBytes(
      cursor.keyBytes,
      cursor.keyStart,
      cursor.keyEnd,
      this.#secondKey,
      this.#secondStart,
      this.#secondEnd,
    );
    return order * direction < 0;
  }

  #isHidden(layer: number, cursor: EntryCursor): boolean {
    if (this.#removing.length === 0) return false;
    return this.#hidingVersion(layer, cursor.version, cursor.keyBytes, cursor.keyStart, cursor.keyEnd) !== 0;
  }

  /** Shows the entry of a layer that moved just now. */
  #publishMoved(layer: number, cursor: EntryCursor): void {
    const { keyBytes, keyStart, keyEnd, cellBytes } = cursor;
    this.keyBytes = keyBytes;
    this.keyStart = keyStart;
    this.keyEnd = keyEnd;
    this.cellBytes = cellBytes;
    this.cellStart = cursor.cellStart;
    this.cellEnd = cursor.cellEnd;
    this.version = cursor.version;
    this.removed = false;
    this.#dropAnchor(layer, keyBytes, keyStart, keyEnd);
  }

  /** Keeps the current key where no move reaches it. */
  #dropAnchor(layer: number, key: Uint8Array, start: number, end: number): void {
    if (this.#stable[layer]) {
      this.#anchor = key;
      this.#anchorStart = start;
      this.#anchorEnd = end;
      return;
    }
    if (this.#anchorCopy.length < end - start) this.#anchorCopy = copyBuffer(end - start);
    const copy = this.#anchorCopy;
    for (let i = start, j = 0; i < end; i++, j++) copy[j] = key[i] as number;
    this.#anchor = copy;
    this.#anchorStart = 0;
    this.#anchorEnd = end - start;
  }

  #move(call: number, direction: Direction): Step {
    if (this.#call !== call) {
      if (!this.#positioned) {
        this.#call = NO_CALL;
        return END;
      }
      const turned = this.#call !== NO_CALL || direction !== this.#direction;
      this.#hiddenInRow = 0;
      if (turned) this.#begin(call, direction, PAST_ANCHOR);
      else {
        this.#call = call;
        if (this.#anyChanging) this.#placeChanged();
        this.#stepMask();
      }
    } else if (this.#anyChanging) this.#placeChanged();
    return this.#run();
  }

  /** Layers at the current key step on, unless they have something else to do. */
  #stepMask(): void {
    this.#busy = true;
    for (let mask = this.#mask, i = 0; mask !== 0; mask >>>= 1, i++) {
      if ((mask & 1) !== 0 && this.#actions[i] === NOTHING) this.#actions[i] = STEP;
    }
  }

  /** A buffer that changed since its layer moved is entered again behind the current key. */
  #placeChanged(): void {
    for (let i = 0; i < this.#count; i++) {
      const index = this.#changing[i];
      if (index === undefined || index.changes === this.#changes[i]) continue;
      this.#actions[i] = PAST_ANCHOR;
      this.#busy = true;
    }
  }

  #hasChanged(): boolean {
    if (!this.#anyChanging) return false;
    for (let i = 0; i < this.#count; i++) {
      const index = this.#changing[i];
      if (index !== undefined && index.changes !== this.#changes[i]) return true;
    }
    return false;
  }

  /** Lets the layers do what they have to do until an entry can be shown. */
  #run(): Step {
    this.#validSince = this.#tick;
    return this.#settle();
  }

  #settle(): Step {
    for (;;) {
      if (this.#busy && !this.#act()) return MISS;
      const winner = this.#winner;
      if (winner < 0) {
        this.#call = NO_CALL;
        this.#positioned = false;
        return END;
      }
      const hiding = this.#removing.length === 0 ? 0 : this.#hidingWinner(winner);
      let removed = hiding !== 0 || (this.#gone[winner] as boolean);
      let total: Uint8Array | undefined;
      this.partial = false;
      if (removed && hiding === 0 && (this.#cursors[winner] as EntryCursor).partial === true) {
        if (this.#addUp(winner) === MISS) return MISS;
        total = this.#total;
        removed = total === undefined || this.partial;
      }
      if (removed && !this.#showRemoved) {
        this.#passOver(hiding);
        continue;
      }
      if (total === undefined && !this.#stable[winner] && this.#mustRefresh(winner)) {
        if (this.#refresh(winner, this.#cursors[winner] as EntryCursor) === MISS) {
          this.#missing = winner;
          return MISS;
        }
      }
      this.#publish(winner, removed, hiding);
      if (total !== undefined) this.#showCell(total);
      return AT;
    }
  }

  #showCell(cell: Uint8Array): void {
    this.cellBytes = cell;
    this.cellStart = 0;
    this.cellEnd = cell.length;
  }

  // ---- increments ----

  /** What `#addUp` made: a cell, or an increment where `partial`; undefined where there is no entry. */
  #total: Uint8Array | undefined;

  /** Adds the winner, an increment, to the newest entry that it counts over. */
  #addUp(winner: number): Step {
    const { cellBytes, cellStart, cellEnd } = this.#cursors[winner] as EntryCursor;
    const sum = cellBytes.slice(cellStart, cellEnd);
    let layer = winner;
    let version = this.#versions[winner] as number;
    let base = this.#baseOf(winner);
    for (;;) {
      const next = this.#newestBetween(this.#above(layer, base, version), version);
      if (next >= 0) {
        const cursor = this.#cursors[next] as EntryCursor;
        layer = next;
        version = this.#versions[next] as number;
        if (this.#removing.length > 0 && this.#hidingWinner(next) !== 0) return this.#addToNothing(sum);
        if (this.#gone[next]) {
          if (cursor.partial !== true) return this.#addToNothing(sum);
          addIncrement(sum, cursor.cellBytes, cursor.cellStart, cursor.cellEnd);
          base = this.#baseOf(next);
          continue;
        }
        if (!this.#stable[next] && this.#mustRefresh(next) && this.#refresh(next, cursor) === MISS) {
          this.#missing = next;
          return MISS;
        }
        this.#total = incrementedCell(cursor.cellBytes, cursor.cellStart, cursor.cellEnd, sum, 0, sum.length);
        return AT;
      }
      if (base === 0) return this.#addToUnknown(sum, winner);
      if (base === BASE_NOTHING) return this.#addToNothing(sum);
      const { arena, baseNumber } = (this.#cursors[layer] as RecordCursor).index;
      const op = (arena.words[base] as number) & 0xff;
      const start = arena.cellStart(base);
      const end = start + arena.cellLength(base);
      if (op === OP_PUT) {
        this.#total = incrementedCell(arena.bytes, start, end, sum, 0, sum.length);
        return AT;
      }
      if (op !== OP_INCREMENT) return this.#addToNothing(sum);
      addIncrement(sum, arena.bytes, start, end);
      version = baseNumber + (arena.words[base + 2] as number);
      base = incrementBase(arena.words, base);
    }
  }

  /** The base of the increment at which a layer stands. */
  #baseOf(layer: number): number {
    if (!this.#stable[layer]) return 0;
    const { index, address } = this.#cursors[layer] as RecordCursor;
    return incrementBase(index.arena.words, address);
  }

  #above(layer: number, base: number, version: number): number {
    if (base === 0) return -1;
    const key = this.#layerKeys[layer] as Uint8Array;
    const { index } = this.#cursors[layer] as RecordCursor;
    return baseVersion(index, base, key, this.#keyStarts[layer] as number, this.#keyEnds[layer] as number, version);
  }

  /** Of the layers at the current key the one with the newest entry above one version and below another; -1 for none. */
  #newestBetween(above: number, below: number): number {
    let newest = -1;
    for (let mask = this.#mask, i = 0; mask !== 0; mask >>>= 1, i++) {
      const version = this.#versions[i] as number;
      if ((mask & 1) === 0 || version >= below || version <= above) continue;
      const newer = newest < 0 ? 1 : version - (this.#versions[newest] as number);
      if (newer > 0 || (newer === 0 && this.#hidden[newest] && !this.#hidden[i])) newest = i;
    }
    return newest;
  }

  #addToNothing(sum: Uint8Array): Step {
    this.#total = createdCell(sum, 0, sum.length);
    return AT;
  }

  /** No layer has an entry for it to be added to. */
  #addToUnknown(sum: Uint8Array, layer: number): Step {
    const key = this.#layerKeys[layer] as Uint8Array;
    const start = this.#keyStarts[layer] as number;
    const end = this.#keyEnds[layer] as number;
    if (!this.#showRemoved || this.#hidingVersion(-1, 0, key, start, end) !== 0) return this.#addToNothing(sum);
    this.#total = sum;
    this.partial = true;
    return AT;
  }

  #mustRefresh(layer: number): boolean {
    const movedAt = this.#movedAt[layer] as number;
    return movedAt <= this.#validSince || (this.#waits && movedAt !== this.#lastUnstable);
  }

  #publish(winner: number, removed: boolean, hiding: number): void {
    const cursor = this.#cursors[winner] as EntryCursor;
    this.keyBytes = this.#layerKeys[winner] as Uint8Array;
    this.keyStart = this.#keyStarts[winner] as number;
    this.keyEnd = this.#keyEnds[winner] as number;
    this.cellBytes = cursor.cellBytes;
    this.cellStart = cursor.cellStart;
    this.cellEnd = removed ? cursor.cellStart : cursor.cellEnd;
    this.version = hiding !== 0 ? hiding : (this.#versions[winner] as number);
    this.removed = removed;
    this.#dropAnchor(winner, this.keyBytes, this.keyStart, this.keyEnd);
    this.#call = NO_CALL;
    this.#positioned = true;
  }

  // ---- layers ----

  /** Does what is to be done, then finds the layer that comes first; false on a MISS. */
  #act(): boolean {
    const alone = this.#mask === 1 << this.#winner ? this.#winner : -1;
    let others = false;
    for (let i = 0; i < this.#count; i++) {
      if (this.#actions[i] === NOTHING) continue;
      if (i !== alone || this.#actions[i] !== STEP) others = true;
      if (this.#perform(i) === MISS) {
        this.#missing = i;
        // What was done so far is not known to be in order any more.
        this.#mask = 0;
        return false;
      }
      this.#actions[i] = NOTHING;
    }
    this.#busy = false;
    if (others || alone < 0) this.#pick();
    else this.#pickAfter(alone);
    return true;
  }

  /** As `#pick`, where only the layer moved that was alone at the current key. */
  #pickAfter(layer: number): void {
    if (this.#steps[layer] === AT) {
      const second = this.#second;
      if (second < 0) return;
      const order = this.#compare(layer, second) * this.#direction;
      if (order < 0) return;
      if (order > 0 && this.#alive === 2) {
        this.#winner = second;
        this.#mask = 1 << second;
        this.#setSecond(layer);
        return;
      }
    }
    this.#pick();
  }

  #setSecond(layer: number): void {
    this.#second = layer;
    if (layer < 0) return;
    this.#secondKey = this.#layerKeys[layer] as Uint8Array;
    this.#secondStart = this.#keyStarts[layer] as number;
    this.#secondEnd = this.#keyEnds[layer] as number;
  }

  #compare(a: number, b: number): number {
    return compareBytes(
      this.#layerKeys[a] as Uint8Array,
      this.#keyStarts[a] as number,
      this.#keyEnds[a] as number,
      this.#layerKeys[b] as Uint8Array,
      this.#keyStarts[b] as number,
      this.#keyEnds[b] as number,
    );
  }

  /** Winner, mask and second from all layers. */
  #pick(): void {
    let first = -1;
    let winner = -1;
    let mask = 0;
    let alive = 0;
    for (let i = 0; i < this.#count; i++) {
      if (this.#steps[i] !== AT) continue;
      alive++;
      const order = first < 0 ? -1 : this.#compare(i, first) * this.#direction;
      if (order < 0) {
        first = i;
        winner = i;
        mask = 1 << i;
      } else if (order === 0) {
        mask |= 1 << i;
        const newer = (this.#versions[i] as number) - (this.#versions[winner] as number);
        if (newer > 0 || (newer === 0 && this.#hidden[winner] && !this.#hidden[i])) winner = i;
      }
    }
    let second = -1;
    for (let i = 0; i < this.#count; i++) {
      if (this.#steps[i] !== AT || (mask & (1 << i)) !== 0) continue;
      if (second < 0 || this.#compare(i, second) * this.#direction < 0) second = i;
    }
    this.#winner = winner;
    this.#mask = mask;
    this.#alive = alive;
    this.#setSecond(second);
  }

  #perform(layer: number): Step {
    const cursor = this.#cursors[layer] as EntryCursor;
    const forward = this.#direction === FORWARD;
    const action = this.#actions[layer] as number;
    let step: Step;
    if (action === STEP) step = forward ? cursor.next() : cursor.previous();
    else if (action === TO_TARGET) step = seekWith(cursor, forward, this.#target, this.#targetStart, this.#targetEnd);
    else if (action === TO_EDGE) step = forward ? cursor.first() : cursor.last();
    else if (action === SKIP) step = this.#skip(cursor, forward);
    else {
      step = seekWith(cursor, forward, this.#anchor, this.#anchorStart, this.#anchorEnd);
      if (step === AT && forward && this.#isAtAnchor(cursor)) {
        this.#actions[layer] = STEP;
        step = cursor.next();
      }
    }
    if (step !== MISS) this.#take(layer, cursor, step);
    return step;
  }

  #isAtAnchor(cursor: EntryCursor): boolean {
    const { keyBytes, keyStart, keyEnd } = cursor;
    return compareBytes(keyBytes, keyStart, keyEnd, this.#anchor, this.#anchorStart, this.#anchorEnd) === 0;
  }

  #refresh(layer: number, cursor: EntryCursor): Step {
    const key = this.#layerKeys[layer] as Uint8Array;
    const step =
      'refresh' in cursor
        ? (cursor as RefreshableCursor).refresh()
        : cursor.seek(key, this.#keyStarts[layer] as number, this.#keyEnds[layer] as number);
    if (step === MISS) return MISS;
    assert(step === AT, 'an entry of an immutable layer is found again');
    this.#movedAt[layer] = ++this.#tick;
    this.#lastUnstable = this.#tick;
    return AT;
  }

  /** Notes where a layer came to stand. */
  #take(layer: number, cursor: EntryCursor, step: Step): void {
    this.#steps[layer] = step;
    const index = this.#changing[layer];
    if (index !== undefined) this.#changes[layer] = index.changes;
    // Also a layer that came to its end may have loaded something over the bytes of others.
    if (!this.#stable[layer]) this.#lastUnstable = ++this.#tick;
    if (step !== AT) return;
    this.#versions[layer] = cursor.version;
    this.#gone[layer] = cursor.removed;
    this.#hidden[layer] = (this.#stable[layer] as boolean) && (cursor as RecordCursor).hidden;
    if (this.#stable[layer]) {
      this.#layerKeys[layer] = cursor.keyBytes;
      this.#keyStarts[layer] = cursor.keyStart;
      this.#keyEnds[layer] = cursor.keyEnd;
    } else this.#copyKey(layer, cursor);
  }

  #copyKey(layer: number, cursor: EntryCursor): void {
    const from = cursor.keyBytes;
    const start = cursor.keyStart;
    const length = cursor.keyEnd - start;
    let copy = this.#copies[layer] as Uint8Array;
    if (copy.length < length) {
      copy = copyBuffer(length);
      this.#copies[layer] = copy;
    }
    for (let i = 0; i < length; i++) copy[i] = from[start + i] as number;
    this.#layerKeys[layer] = copy;
    this.#keyStarts[layer] = 0;
    this.#keyEnds[layer] = length;
    this.#movedAt[layer] = this.#tick;
  }

  // ---- range removals ----

  #hidingWinner(layer: number): number {
    return this.#hidingVersion(
      layer,
      this.#versions[layer] as number,
      this.#layerKeys[layer] as Uint8Array,
      this.#keyStarts[layer] as number,
      this.#keyEnds[layer] as number,
    );
  }

  /** The version of a visible range removal that is newer than the layer's entry and covers it; 0 for none. */
  #hidingVersion(layer: number, version: number, key: Uint8Array, start: number, end: number): number {
    for (const other of this.#removing) {
      if (other === layer && this.#stable[layer]) continue;
      const removals = (this.#sources[other] as CursorLayer).removals;
      if (removals === undefined) continue;
      let window = this.#windows[other];
      if (window === undefined || window.removals !== removals) {
        window = new RemovalWindow(removals, this.#snapshots[other] as number);
        this.#windows[other] = window;
      }
      const hiding = window.versionAt(key, start, end);
      if (hiding > version) {
        this.#hidingLayer = other;
        return hiding;
      }
    }
    return 0;
  }

  /** Moves on from an entry that is not shown; from the second one in a range removal on, to the end of that range. */
  #passOver(hiding: number): void {
    this.#hiddenInRow = hiding === 0 ? 0 : this.#hiddenInRow + 1;
    this.#stepMask();
    if (this.#hiddenInRow < 2) return;
    for (let i = 0; i < this.#count; i++) {
      if (this.#actions[i] === STEP && (this.#newest[i] as number) < hiding) this.#actions[i] = SKIP;
    }
  }

  #skip(cursor: EntryCursor, forward: boolean): Step {
    const window = this.#windows[this.#hidingLayer] as RemovalWindow;
    const { removals } = window;
    const bound = forward ? window.upper : window.lower;
    if (bound === BEHIND_ALL) return END;
    return seekWith(cursor, forward, removals.boundBytes(), removals.boundStart(bound), removals.boundEnd(bound));
  }
}

function addIncrement(sum: Uint8Array, from: Uint8Array, start: number, end: number): void {
  assert(end - start === sum.length, 'all increments of a store are of one length');
  addAmounts(sum, INCREMENT_HEAD_BYTES, from, start, end);
}

function seekWith(cursor: EntryCursor, forward: boolean, key: Uint8Array, start: number, end: number): Step {
  return forward ? cursor.seek(key, start, end) : cursor.seekBefore(key, start, end);
}

function copyBuffer(length: number): Uint8Array {
  return new Uint8Array(length <= 128 ? 128 : Math.max(length, MAX_KEY_BYTES));
}
