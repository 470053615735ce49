#!/usr/bin/env node
// Unmodified clients of every generation and both codecs, all at once on one endpoint.
//   node clients.mjs --url ws://127.0.0.1:8000/fx-auto/             a fixture: with calls, log-in and log-out
//   node clients.mjs --url ws://127.0.0.1:8000/ --auth-key KEY      any server: log-in by a token signed with KEY
import assert from 'node:assert/strict';
import crypto from 'node:crypto';
import { crowd } from './adapters.mjs';

const option = (name, fallback) => { const i = process.argv.indexOf(`--${name}`); return i < 0 ? fallback : process.argv[i + 1]; };
const url = option('url');
const authKey = option('auth-key', null);
const each = Number(option('messages', 20));
const room = `e2e room ${crypto.randomBytes(4).toString('hex')} é漢🚀`;

const sleep = (ms) => new Promise((r) => setTimeout(r, ms));
const faults = [];
const clients = crowd(url);
process.on('uncaughtException', (e) => faults.push(['a client library', e.stack]));
process.on('unhandledRejection', (e) => faults.push(['a client library', (e && e.stack) || e]));

async function attempt(name, act, c) {
  if (c.failed) return;
  try { await act(c); } catch (e) { c.failed = true; faults.push([c.label, `${name}: ${(e && e.message) || e}; endings ${c.endings}; errors ${c.errors}`]); }
}

/** Does a step for every client at once, and notes who fails at it. */
async function step(name, act) {
  await Promise.all(clients.map((c) => attempt(name, act, c)));
  console.log(`${name}: ${clients.filter((c) => !c.failed).length} of ${clients.length}`);
}

async function until(what, fn, ms = 10000) {
  for (const end = Date.now() + ms; ; await sleep(10)) {
    const v = fn();
    if (v) return v;
    if (Date.now() > end) throw new Error(`${what}: not so within ${ms} ms`);
  }
}

/** Every client publishes, and every client hears all of all, each publisher's messages in order. */
async function converse(topic) {
  await step(`${topic}: publish`, async (c) => { for (let i = 0; i < each; i++) await c.publish(room, { topic, from: c.label, i, text: 'é漢🚀', none: null }); });
  const authors = clients.filter((c) => !c.failed).map((c) => c.label);
  await step(`${topic}: hear`, async (c) => {
    const heard = () => c.heard.filter((m) => m.topic === topic);
    await until(`${authors.length * each} messages, has ${heard().length}`, () => heard().length >= authors.length * each).catch((e) => { throw new Error(`${e.message}: now ${heard().length}`); });
    for (const from of authors) {
      const wanted = Array.from({ length: each }, (_, i) => ({ topic, from, i, text: 'é漢🚀', none: null }));
      assert.deepEqual(heard().filter((m) => m.from === from), wanted, `what ${from} has published`);
    }
    assert.equal(heard().length, authors.length * each, 'each message once');
  });
}

const b64 = (x) => Buffer.from(typeof x === 'string' ? x : JSON.stringify(x)).toString('base64url');
function signed(claims) {
  const head = `${b64({ alg: 'HS256', typ: 'JWT' })}.${b64({ ...claims, exp: Math.floor(Date.now() / 1000) + 600 })}`;
  return `${head}.${crypto.createHmac('sha256', authKey).update(head).digest('base64url')}`;
}

async function logIn(c) {
  if (authKey) await c.authenticate(signed({ username: c.label }));
  else await c.call('login', { username: c.label });
  await until('the token', () => c.authState === 'authenticated' && (authKey || c.user === c.label));
  if (!authKey) assert.equal((await c.call('whoami', null)).authToken.username, c.label);
}

async function logOut(c) {
  if (authKey) await c.deauthenticate();
  else await c.call('logout', null);
  await until('the end of the token', () => c.authState === 'unauthenticated');
  if (!authKey) assert.equal((await c.call('whoami', null)).authState, 'unauthenticated');
}

async function calls(c) {
  assert.deepEqual(await c.call('echo', { to: [c.label, 1.5, null] }), { to: [c.label, 1.5, null] });
  assert.equal(await c.call('sum', { a: 20, b: 22 }), 42);
  // not the procedure fail: up to version 10 that name is an event of the client's own
  await assert.rejects(c.call('blocked.rpc', 1), { name: 'BlockedProcedureError', message: 'Procedure is blocked', procedure: 'blocked.rpc' });
}

const t0 = Date.now();
// One behind the other: this one process must not keep the first ones' pings waiting while it sets up all the rest.
for (const c of clients) await attempt('connect', async () => { const s = await c.open(); assert.ok(s.id && s.isAuthenticated === false, JSON.stringify(s)); }, c);
await step('are connected', async (c) => assert.deepEqual(c.endings, []));
await step('subscribe', async (c) => { c.heard = await c.subscribe(room); });
await converse('first');
if (!authKey) await step('call', calls);
await step('log in', logIn);
await step('log out', logOut);
const stay = 2.3 * Math.max(...clients.map((c) => (c.status && c.status.pingTimeout) || 0));
await sleep(Math.max(0, stay - (Date.now() - t0)));
await step(`stay for ${Math.round(stay)} ms`, async (c) => assert.deepEqual(c.endings, [], 'it was disconnected'));
await converse('second');
await step('unsubscribe', async (c) => { c.unsubscribe(room); c.heard.length = 0; await c.publish(`${room} other`, 'behind the unsubscription'); });
await step('publish to the empty room', (c) => c.publish(room, { topic: 'nobody' }));
await step('hear nothing more', async (c) => assert.deepEqual(c.heard.filter((m) => m.topic === 'nobody'), []));
await step('no errors', async (c) => assert.deepEqual([c.errors, c.endings], [[], []]));
for (const c of clients) c.close();
await sleep(50);

for (const [who, what] of faults) console.log(`FAIL ${who}: ${what}`);
console.log(`${((Date.now() - t0) / 1000).toFixed(1)} s`);
console.log(`${clients.filter((c) => !c.failed).length} passed, ${Math.max(faults.length, clients.filter((c) => c.failed).length)} failed`);
process.exit(faults.length ? 1 : 0);
