// The WebSocket library of SocketCluster's server, as an echo: the largest message of the conformance suite, compression.
import { WebSocketServer } from 'ws';

const server = new WebSocketServer({ host: '127.0.0.1', port: 0, maxPayload: 16 << 20, perMessageDeflate: true });
server.on('connection', (socket) => {
  socket.on('error', () => {});
  socket.on('message', (data, binary) => socket.send(data, { binary }));
});
server.on('listening', () => console.log(`ws://127.0.0.1:${server.address().port}/`));
