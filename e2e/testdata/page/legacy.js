// The same with the callbacks of versions up to 14, whose build is a global.
const port = Number(new URLSearchParams(location.search).get('port'));

function start(n) {
  const list = document.getElementById(`subscriber-${n}`);
  const socket = globalThis.socketCluster.create({ hostname: '127.0.0.1', port, multiplex: false });
  const channel = socket.subscribe('testChannel');
  channel.watch((data) => list.append(Object.assign(document.createElement('li'), { textContent: JSON.stringify(data) })));
  channel.on('subscribe', () => { list.dataset.state = 'subscribed'; });
}

start(1);
start(2);

const send = document.getElementById('send');
const raw = new WebSocket(`ws://127.0.0.1:${port}/ws`);
raw.onopen = () => { send.disabled = false; };
send.onclick = () => raw.send('{"hello":"npm"}');
