/** What the command line and salvage read of files that may be anything, as targets of the fuzzer. */
import { Writable } from 'node:stream';
import { crc32c } from '../../src/base/checksum.ts';
import { readU32, writeU32 } from '../../src/base/bytes.ts';
import { CsvSource } from '../../src/cli/csv-source.ts';
import { Drawing } from '../../src/cli/dump-draw.ts';
import { dumpFile } from '../../src/cli/dump-file.ts';
import { DumpFolder } from '../../src/cli/dump-folder.ts';
import { dumpLog } from '../../src/cli/dump-log.ts';
import { rowText } from '../../src/cli/dump-rows.ts';
import { readImportLine, splitRow } from '../../src/cli/import-command.ts';
import { readLines } from '../../src/cli/lines.ts';
import { Output } from '../../src/cli/output.ts';
import { quoteWord, splitWords } from '../../src/cli/shell-words.ts';
import { encodeStoreDefinition } from '../../src/codec/store-definition.ts';
import { Uuid } from '../../src/codec/uuid.ts';
import { parseEpochName } from '../../src/log/epoch-file.ts';
import { payloadChecksum } from '../../src/log/batch.ts';
import { ImageCache } from '../../src/node/image-cache.ts';
import { BackupTarget } from '../../src/storage/backup-target.ts';
import { DatabaseFolder } from '../../src/storage/database-folder.ts';
import { readBatch, readDamagedLog, walkBatch } from '../../src/storage/salvage-log.ts';
import { findForests, walkTree } from '../../src/storage/salvage-trees.ts';
import { parseSegmentFileName, Segments } from '../../src/storage/segments.ts';
import * as system from '../../src/storage/system-stores.ts';
import { BUILD_BEGINS, encodeIndexState } from '../../src/store/index-state.ts';
import { FOLDER, type FolderBytes, readOnlyEnv, writableEnv } from '../corruption/bytes-env.ts';
import { idOf } from '../corruption/statements.ts';
import { chunks, type Target, textOf, words } from './fuzz.ts';
import { BY_NAME, PLAIN } from './sample-definitions.ts';

/** Twice what there is, many times over: who reads more goes round in circles. */
const READ_LIMIT = 1 << 26;

function silence(): Drawing {
  const nowhere = (): Writable => new Writable({ write: (_chunk, _encoding, done) => done() });
  return new Drawing(new Output({ stdout: nowhere(), stderr: nowhere() }, { json: false, colours: false }), 100);
}

/** A folder with one file in the place of what was there. */
function with1(folder: FolderBytes, path: string, bytes: Uint8Array): ReturnType<typeof readOnlyEnv> {
  return readOnlyEnv(new Map(folder).set(path, bytes), READ_LIMIT);
}

function dumpTargets(folder: FolderBytes): Target[] {
  const id = idOf(folder);
  const drawing = silence();
  const [log, epoch] = [...folder].find(([path, { length }]) => path.startsWith('log/') && length > 8192) as [
    string,
    Uint8Array,
  ];
  const segments = [...folder].filter(([path]) => path.startsWith('data/'));
  const [segment] = segments[0] as [string, Uint8Array];
  const draw = async (path: string, bytes: Uint8Array): Promise<void> => {
    const found = new DumpFolder(FOLDER, with1(folder, path, bytes));
    found.id = id.slice();
    try {
      await dumpFile(found, drawing, `${FOLDER}/${path}`, 40);
      if (path === log) await dumpLog(found, drawing, `${parseEpochName(log.slice(4))}:1`, 40);
    } finally {
      await found.close();
    }
  };
  const rows: readonly (readonly [number, Uint8Array])[] = [
    [system.CATALOG_STORE, encodeStoreDefinition({ ...PLAIN, indexes: [BY_NAME] })],
    [system.PIN_STORE, new Uint8Array(72).fill(1)],
    [system.PREPARED_STORE, new Uint8Array(40).fill(1)],
    [system.INDEX_STATE_STORE, encodeIndexState(BUILD_BEGINS).subarray(1)],
  ];
  return [
    {
      name: 'dump-epoch',
      seeds: [epoch.slice(0, 16 * 1024)],
      allowedNames: ['UsageError'],
      repair: (bytes) => repairLog(bytes, id),
      run: (bytes) => draw(log, bytes),
    },
    {
      name: 'dump-segment',
      seeds: segments.map(([, bytes]) => bytes.slice(0, 16 * 1024)),
      run: (bytes) => draw(segment, bytes),
    },
    {
      name: 'dump-row',
      seeds: rows.map(([storeId, row]) => Uint8Array.from([storeId, ...row])),
      // Said by its bytes where it is malformed.
      run: (bytes) => rowText(bytes[0] ?? 0, bytes, 1, Math.max(1, bytes.length)),
    },
  ];
}

/** Header and first batch of a log file. */
function repairLog(bytes: Uint8Array, id: Uint8Array): void {
  if (bytes.length < 12 * 1024) return;
  writeU32(bytes, 4092, crc32c(bytes, 0, 4092));
  const batch = bytes.subarray(8192);
  const length = readU32(batch, 8);
  if (length > batch.length || length < 76) return;
  writeU32(batch, 68, payloadChecksum(batch, 0, length));
  writeU32(batch, 72, crc32c(batch, 0, 72, crc32c(id)));
}

function salvageTargets(folder: FolderBytes): Target[] {
  const id = idOf(folder);
  const [log, epoch] = [...folder].find(([path, { length }]) => path.startsWith('log/') && length > 8192) as [
    string,
    Uint8Array,
  ];
  const images = [...folder].filter(([path, bytes]) => path.startsWith('data/') && bytes[6] === 1);
  const [path, segment] = images.at(-1) as [string, Uint8Array];
  const ignore = (): void => {};
  return [
    {
      name: 'salvage-log',
      seeds: [epoch.slice(0, 16 * 1024)],
      repair: (bytes) => repairLog(bytes, id),
      run: (bytes) => {
        const env = with1(folder, log, bytes);
        const { batches } = readDamagedLog(env, FOLDER, id, ignore);
        const file = env.files.open(`${FOLDER}/${log}`, { mode: 'read' });
        for (const batch of batches) {
          if (batch.epoch !== parseEpochName(log.slice(4))) continue;
          const cursor = walkBatch(readBatch(file, batch), batch, log);
          while (cursor.nextTransaction());
        }
      },
    },
    {
      name: 'salvage-forest',
      seeds: [segment.slice(-16 * 1024), segment.slice(0, 16 * 1024)],
      run: (bytes) => {
        const env = with1(folder, path, Uint8Array.from(Buffer.concat([segment.subarray(0, 4096), bytes])));
        const found = new Segments(env, `${FOLDER}/data`);
        const cache = new ImageCache({ limitBytes: 16 * 8192, reader: found, names: found });
        for (const forest of findForests(found).slice(0, 4)) {
          walkTree(cache, system.FOREST_STORE, forest, { entry: ignore, lost: ignore });
        }
        found.close();
      },
    },
  ];
}

function markTarget(): Target {
  const id = new Uint8Array(16).fill(0xab);
  return {
    name: 'backup-mark',
    seeds: words('ab'.repeat(16), ''),
    allowed: ['BACKUP_INCOMPLETE', 'BACKUP_REFUSED'],
    run: (bytes) => {
      const folder = new Map([['backup-incomplete', bytes]]);
      const target = new BackupTarget(writableEnv(folder, 1), FOLDER, { id, features: [] });
      target.open();
      target.close();
      new DatabaseFolder(readOnlyEnv(folder, READ_LIMIT), FOLDER).readIdentity();
    },
  };
}

function importTargets(): Target[] {
  const info = {
    name: 'x',
    key: [{ field: 'a' }, { field: 'b' }],
    rideOn: ['c'],
    values: 'inline',
    raw: false,
  } as never;
  const plain = { name: 'x', key: undefined, rideOn: [], values: 'inline', raw: false } as never;
  const allowed = ['INVALID_ARGUMENT', 'INVALID_KEY', 'INVALID_VALUE', 'LIMIT_EXCEEDED'];
  const allowedNames = ['UsageError'];
  const csvWords = words('"', '""', ',', ';', '\t', '\n', '\r\n', '\ufeff', '__proto__', '2026-02-30', '1e999', 'true');
  return [
    {
      name: 'import-line',
      seeds: words(
        '{"sop":1,"store":{"name":"people","key":["a",{"field":"b","order":"desc"}],"rideOn":["c"],"values":"separate"}}',
        '{"sop":1,"store":{"name":"hits","counter":"bigint"}}',
        '{"key":{"a":1,"b":2},"value":{"$date":"2026-01-01T00:00:00Z"},"version":3}',
        '{"a":1,"b":"x","c":null,"d":[1]}',
      ),
      dictionary: words(
        '"sop":1',
        '"store":',
        '"key":',
        '"value":',
        '"__proto__":',
        '"$map":[',
        'null',
        '[[[[',
        '1e999',
      ),
      allowed,
      allowedNames,
      run: (bytes) => {
        for (const [shape, id] of [[info, undefined] as const, [plain, 'a'] as const]) {
          readImportLine(textOf(bytes), shape, id);
        }
      },
    },
    ...['auto', 'typed'].map(
      (kind): Target => ({
        name: `csv-import-${kind}`,
        seeds: words('\ufeffa;b;c\r\n1;x;2026-01-01\r\n2;"y\nz";\r\n', 'a,b,c\n1,true,1e5\n007,"",x\n', 'a\tb\n1\t2\n'),
        dictionary: csvWords,
        allowed,
        allowedNames,
        run: async (bytes) => {
          const options =
            kind === 'auto' ? {} : { types: 'a:bigint,b:json,*:date', columns: 'a,b,c', 'omit-empty': true };
          const source = new CsvSource(options, undefined);
          for await (const rows of source.rows(readLines(chunks(bytes)), true)) {
            for (const row of rows) splitRow(source.toRecord(row), info, undefined);
          }
          source.describe();
        },
      }),
    ),
  ];
}

function wordTargets(): Target[] {
  return [
    {
      name: 'shell-words',
      seeds: words(`put people {"a":[1,2]} 'x y' "5"`, 'scan s a=[1 \\', "name='it''s'"),
      dictionary: words('{', '}', '[', ']', '"', "'", '\\', '='),
      run: (bytes) => {
        const { words: found, open } = splitWords(textOf(bytes));
        if (open) return;
        for (const word of found) {
          if (word.includes("'") && quoteWord(word) !== word) continue;
          const again = splitWords(quoteWord(word)).words;
          if (again.length !== 1 || again[0] !== word) throw new Error(`${JSON.stringify(word)} does not come back`);
        }
      },
    },
    {
      name: 'names',
      seeds: words('000000000001.log', '84bf1364e94c-1.seg', '00112233-4455-6677-8899-aabbccddeeff'),
      allowed: ['INVALID_ARGUMENT'],
      run: (bytes) => {
        const text = textOf(bytes);
        parseEpochName(text);
        parseSegmentFileName(text);
        Uuid.parse(text);
      },
    },
  ];
}

/** `closed`: with trees; `chained`: with a log. */
export function toolTargets(closed: FolderBytes, chained: FolderBytes): Target[] {
  return [
    ...dumpTargets(withLog(closed, chained)),
    ...salvageTargets(withLog(closed, chained)),
    markTarget(),
    ...importTargets(),
    ...wordTargets(),
  ];
}

/** The one that has both. */
function withLog(closed: FolderBytes, chained: FolderBytes): FolderBytes {
  const hasBoth = (folder: FolderBytes): boolean =>
    [...folder].some(([path, { length }]) => path.startsWith('log/') && length > 8192) &&
    [...folder].some(([path, bytes]) => path.startsWith('data/') && bytes[6] === 1);
  return hasBoth(chained) ? chained : closed;
}
