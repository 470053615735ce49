// A SocketCluster server as it comes: one process, every option at its default.
import http from 'node:http';
import socketClusterServer from 'socketcluster-server';

const server = http.createServer();
socketClusterServer.attach(server);
server.listen(0, '127.0.0.1', () => console.log(`ws://127.0.0.1:${server.address().port}/socketcluster/`));
