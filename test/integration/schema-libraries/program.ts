/**
 * The schema libraries that people use, from the outside: definitions infer their types and writes are checked by them. Run by
 * schema-libraries.test.ts, and type-checked there: it needs what other tests do not.
 */
import assert from 'node:assert/strict';
import { type as ark } from 'arktype';
import * as v from 'valibot';
import { z } from 'zod';
import { Database, defineStore, InvalidValueError } from '../../../src/index.ts';

const orders = defineStore('zod', {
  keySchema: z.object({ region: z.string(), id: z.number(), status: z.enum(['new', 'paid']) }),
  value: z.object({ mail: z.email(), total: z.number().min(0), note: z.string().trim().default('none') }),
  key: ['region', 'id'],
  rideOn: ['status'],
  indexes: { byStatus: ['status', 'id'], byMail: { fields: ['mail'], unique: true } },
});
const users = defineStore('valibot', {
  keySchema: v.string(),
  value: v.object({ name: v.pipe(v.string(), v.minLength(2)), age: v.number() }),
  indexes: { byAge: ['age'] },
});
const pages = defineStore('arktype', {
  value: ark({ title: 'string > 0', 'tags?': 'string[]' }),
  indexes: { byTag: { of: (_, value) => value.tags ?? [], many: true, version: 1 } },
});

const db = await Database.memory();
await db.write(async (tx) => {
  const s = tx.store(orders);
  await s.add({ region: 'EU', id: 1, status: 'new' }, { mail: 'a@b.org', total: 1, note: ' x ' });
  assert.equal((await s.get({ region: 'EU', id: 1 }))?.note, 'x');
  const status: 'new' | 'paid' | undefined = (await s.index('byStatus').first())?.index.status;
  assert.equal(status, 'new');
  assert.throws(
    () => s.put({ region: 'EU', id: 2, status: 'new' }, { mail: 'nobody', total: -1, note: '' }),
    (error) => {
      assert(error instanceof InvalidValueError);
      assert.deepEqual((error.details.issues as { path: string }[]).map(({ path }) => path).sort(), ['mail', 'total']);
      return true;
    },
  );
  // @ts-expect-error no such status
  await assert.rejects(s.updateKey({ region: 'EU', id: 1, status: 'lost' }));
  // @ts-expect-error a field is missing
  assert.throws(() => s.put({ region: 'EU', id: 2, status: 'new' }, { mail: 'a@c.org' }));

  const u = tx.store(users);
  u.put('ada', { name: 'Ada', age: 36 });
  assert.throws(() => u.put('b', { name: 'B', age: 1 }), /value name/);
  const age: number | undefined = (await u.index('byAge').last())?.index.age;
  assert.equal(age, 36);
  // @ts-expect-error another type
  assert.throws(() => u.put('c', { name: 'Cid', age: '1' }));

  const p = tx.store(pages);
  p.put(1, { title: 'one', tags: ['a', 'b'] });
  p.put(2, { title: 'two', tags: ['b'] });
  assert.throws(() => p.put(3, { title: '' }), /value title/);
  const tags: string[] = (await p.index('byTag').range({ keysOnly: true }).toArray()).map(({ index }) => index);
  assert.deepEqual(tags, ['a', 'b', 'b']);
  // @ts-expect-error tags are strings
  assert.throws(() => p.put(4, { title: 'four', tags: [1] }));
});
await db.close();
console.log('all as it should be');
