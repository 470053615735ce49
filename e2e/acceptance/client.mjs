// A client from npm, unmodified, on a leash: it subscribes to testChannel, prints what happens as lines of JSON, and does
// what lines of JSON tell it. Usage: client.mjs MAJOR HOSTNAME PORT
import { createRequire } from 'node:module';
import { createInterface } from 'node:readline';

const require = createRequire(new URL('../clients/package.json', import.meta.url));
const [major, hostname, port] = [Number(process.argv[2]), process.argv[3], Number(process.argv[4])];
const { create, connect } = require(`scc${major}`);

const now = () => performance.timeOrigin + performance.now();
const tell = (event, more) => process.stdout.write(`${JSON.stringify({ event, at: now(), ...more })}\n`);
const plain = (error) => ({ name: error?.name ?? '', message: error?.message ?? String(error) });

/** Versions from 15 on: streams and promises. */
function modern() {
  const socket = create({ hostname, port });
  const watch = async (stream, take) => { for await (const e of stream) take(e); };
  const failures = major === 18 ? () => {} : watch; // version 18 loses events where two listeners wait at one place
  watch(socket.listener('connect'), (e) => tell('connect', { authenticated: e.isAuthenticated }));
  failures(socket.listener('error'), ({ error }) => tell('error', { error: plain(error) }));
  const subscribe = (name) => {
    const channel = socket.subscribe(name);
    watch(channel.listener('subscribe'), () => tell('subscribe', { channel: name }));
    failures(channel.listener('subscribeFail'), ({ error }) => tell('subscribeFail', { channel: name, error: plain(error) }));
    watch(channel, (data) => tell('message', { channel: name, data }));
  };
  return {
    subscribe,
    unsubscribe: (name) => socket.unsubscribe(name),
    publish: (name, data) => socket.invokePublish(name, data),
    call: (name, data) => socket.invoke(name, data),
    authenticate: (token) => socket.authenticate(token),
    token: () => socket.signedAuthToken,
  };
}

/** Versions up to 14: callbacks. */
function legacy() {
  const socket = (create ?? connect)({ hostname, port });
  socket.on('connect', (status) => tell('connect', { authenticated: status.isAuthenticated }));
  socket.on('error', (error) => tell('error', { error: plain(error) }));
  const answer = (start) => new Promise((resolve, reject) => start((error, data) => (error ? reject(error) : resolve(data))));
  const subscribe = (name) => {
    const channel = socket.subscribe(name);
    channel.on('subscribe', () => tell('subscribe', { channel: name }));
    channel.on('subscribeFail', (error) => tell('subscribeFail', { channel: name, error: plain(error) }));
    channel.watch((data) => tell('message', { channel: name, data }));
  };
  return {
    subscribe,
    unsubscribe: (name) => socket.unsubscribe(name),
    publish: (name, data) => answer((done) => socket.publish(name, data, done)),
    call: (name, data) => answer((done) => socket.emit(name, data, done)),
    authenticate: (token) => answer((done) => socket.authenticate(token, done)),
    token: () => socket.signedAuthToken,
  };
}

const client = major >= 15 ? modern() : legacy();
client.subscribe('testChannel');

client.freeze = () => Atomics.wait(new Int32Array(new SharedArrayBuffer(4)), 0, 0); // for ever: it answers nothing more

for await (const line of createInterface({ input: process.stdin })) {
  const { order, what, args } = JSON.parse(line);
  try {
    tell('done', { order, data: await client[what](...args) });
  } catch (error) {
    tell('done', { order, error: plain(error) });
  }
}
process.exit(0);
