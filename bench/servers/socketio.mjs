// A Socket.IO server as it comes, over WebSocket only: rooms are the channels, and the event has the channel's name.
import http from 'node:http';
import { Server } from 'socket.io';

const server = http.createServer();
const io = new Server(server, { transports: ['websocket'] });
io.on('connection', (socket) => {
  socket.on('join', (channel, done) => {
    socket.join(channel);
    done();
  });
  socket.on('publish', (channel, data, done) => {
    io.to(channel).emit(channel, data);
    done?.();
  });
});
server.listen(0, '127.0.0.1', () => console.log(`ws://127.0.0.1:${server.address().port}/socket.io/?EIO=4&transport=websocket`));
