// A plain WebSocket on a leash, in the way of client.mjs. Usage: raw.mjs URL [PROTOCOL …]
import { createRequire } from 'node:module';
import { createInterface } from 'node:readline';

const require = createRequire(new URL('../clients/package.json', import.meta.url));
const WebSocket = require('ws');

const now = () => performance.timeOrigin + performance.now();
const tell = (event, more) => process.stdout.write(`${JSON.stringify({ event, at: now(), ...more })}\n`);

const socket = new WebSocket(process.argv[2], process.argv.slice(3));
socket.on('open', () => tell('connect', { data: socket.protocol }));
socket.on('message', (data) => tell('message', { data: data.toString() }));
socket.on('close', (code) => tell('close', { code }));
socket.on('error', (error) => tell('error', { error: { name: error.name, message: error.message } }));

const send = (data) => new Promise((resolve, reject) => {
  const at = now();
  socket.send(data, (error) => (error ? reject(error) : resolve(at)));
});
const deeds = {
  send,
  binary: (base64) => send(Buffer.from(base64, 'base64')),
  size: (n) => send('x'.repeat(n)),
  // count sends numbered messages, with a text or without.
  count: async (n, text) => {
    for (let i = 1; i <= n; i++) send(JSON.stringify({ n: i, text }));
    return send('"end"');
  },
};

for await (const line of createInterface({ input: process.stdin })) {
  const { order, what, args } = JSON.parse(line);
  try {
    tell('done', { order, data: await deeds[what](...args) });
  } catch (error) {
    tell('done', { order, error: { name: error.name, message: error.message } });
  }
}
process.exit(0);
