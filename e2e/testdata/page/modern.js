// Two clients of the npm package's own browser build, as its documentation uses it, and a plain WebSocket.
import { create } from './socketcluster-client.min.js';

const port = Number(new URLSearchParams(location.search).get('port'));

async function start(n) {
  const list = document.getElementById(`subscriber-${n}`);
  const socket = create({ hostname: '127.0.0.1', port });
  const channel = socket.subscribe('testChannel');
  (async () => {
    for await (const data of channel) list.append(Object.assign(document.createElement('li'), { textContent: JSON.stringify(data) }));
  })();
  await channel.listener('subscribe').once();
  list.dataset.state = 'subscribed';
}

start(1);
start(2);

const send = document.getElementById('send');
const raw = new WebSocket(`ws://127.0.0.1:${port}/ws`);
raw.onopen = () => { send.disabled = false; };
send.onclick = () => raw.send('{"hello":"npm"}');
