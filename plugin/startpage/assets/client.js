// A SocketCluster client small enough to read: protocol 2, JSON, publish, subscribe, call, tokens.
// Applications take socketcluster-client from npm; this one exists so that the page needs nothing from outside.

const CALL_TIMEOUT = 10_000;
const RETRY_FIRST = 500;
const RETRY_MOST = 15_000;
// The close codes after which a client of this protocol stays away.
const isFinal = (code) => code === 1000 || code >= 4500;

/**
 * Client keeps one connection to an endpoint, its subscriptions and its token across reconnects.
 * It dispatches "state" (detail: {state, reason}), "message" (detail: {channel, data}), "refused" (a subscription that
 * is not taken up again; detail: {channel, error}), "kicked" (detail: {channel, message}) and "token" (detail: {token}).
 */
export class Client extends EventTarget {
  #url;
  #socket = null;
  #cid = 0;
  #calls = new Map(); // cid → {resolve, reject, timer}
  #channels = new Set(); // wanted, whether or not connected
  #attempts = 0;
  #retry = 0;
  #watch = 0; // timer of the next ping
  #patience = 30_000;

  state = 'closed'; // closed | connecting | open
  id = '';
  token; // shown at each connection; the server sets and removes it

  constructor(url, token = null) {
    super();
    this.#url = url;
    this.token = token;
  }

  get channels() {
    return [...this.#channels];
  }

  connect() {
    if (this.state !== 'closed') return;
    clearTimeout(this.#retry);
    this.#become('connecting');
    const socket = new WebSocket(this.#url);
    this.#socket = socket;
    socket.onopen = () => this.#handshake(socket);
    socket.onmessage = ({ data }) => this.#receive(data);
    socket.onclose = ({ code, reason }) => this.#lost(code, reason);
  }

  disconnect() {
    clearTimeout(this.#retry);
    this.#attempts = 0;
    if (this.#socket) this.#socket.close(1000);
    else this.#become('closed', 'disconnected');
  }

  /** Resolves when the server has acknowledged: what is published from then on arrives. */
  async subscribe(channel) {
    this.#channels.add(channel);
    if (this.state !== 'open') return;
    try {
      await this.call('#subscribe', { channel });
    } catch (error) {
      // A lost connection is no refusal: the next one subscribes again.
      if (this.state === 'open') this.#channels.delete(channel);
      throw error;
    }
  }

  unsubscribe(channel) {
    if (this.#channels.delete(channel) && this.state === 'open') {
      this.#send({ event: '#unsubscribe', data: channel });
    }
  }

  publish(channel, data) {
    return this.call('#publish', { channel, data });
  }

  /** Resolves with the procedure's result. The error has the name that the server has given it. */
  call(procedure, data) {
    if (this.state !== 'open') return Promise.reject(new Error('not connected'));
    return this.#ask(procedure, data);
  }

  /** Sends an event that is not answered, and is lost where there is no connection. */
  transmit(event, data) {
    if (this.state === 'open') this.#send({ event, data });
  }

  async #handshake(socket) {
    try {
      const { id, pingTimeout } = await this.#ask('#handshake', { authToken: this.token });
      this.id = id;
      this.#patience = pingTimeout;
    } catch {
      socket.close(4003);
      return;
    }
    this.#attempts = 0;
    this.#heard();
    const wanted = this.channels;
    this.#become('open');
    for (const channel of wanted) this.subscribe(channel).catch((error) => this.#emit('refused', { channel, error }));
  }

  #receive(text) {
    if (text === '') {
      this.#socket.send('');
      this.#heard();
      return;
    }
    let packets;
    try {
      packets = JSON.parse(text);
    } catch {
      return; // raw text, such as the ping of protocol 1
    }
    for (const packet of Array.isArray(packets) ? packets : [packets]) this.#handle(packet);
  }

  #handle(packet) {
    if (packet === null || typeof packet !== 'object') return;
    if (typeof packet.rid === 'number') {
      this.#settle(packet.rid, packet);
      return;
    }
    const { event, data, cid } = packet;
    if (event === '#publish' && this.#channels.has(data?.channel)) this.#emit('message', data);
    if (event === '#kickOut' && this.#channels.delete(data?.channel)) this.#emit('kicked', data);
    if (event !== '#setAuthToken' && event !== '#removeAuthToken') return;
    this.token = data?.token ?? null;
    if (cid) this.#send({ rid: cid });
    this.#emit('token', { token: this.token });
  }

  #ask(event, data) {
    const cid = ++this.#cid;
    return new Promise((resolve, reject) => {
      const timer = setTimeout(() => this.#settle(cid, { error: { message: `no answer to ${event}` } }), CALL_TIMEOUT);
      this.#calls.set(cid, { resolve, reject, timer });
      this.#send({ event, data, cid });
    });
  }

  #settle(cid, { data, error }) {
    const call = this.#calls.get(cid);
    if (!call) return;
    this.#calls.delete(cid);
    clearTimeout(call.timer);
    if (error == null) call.resolve(data);
    else call.reject(Object.assign(new Error(), typeof error === 'object' ? error : { message: String(error) }));
  }

  #send(packet) {
    this.#socket.send(JSON.stringify(packet));
  }

  /** A server that is silent for its own ping timeout is gone. */
  #heard() {
    clearTimeout(this.#watch);
    const socket = this.#socket;
    this.#watch = setTimeout(() => {
      // Not waiting for the close to be answered: nobody is there to do it.
      socket.onclose = socket.onmessage = null;
      socket.close(4000);
      this.#lost(4000, '');
    }, this.#patience);
  }

  #lost(code, reason) {
    this.#socket = null;
    this.id = '';
    clearTimeout(this.#watch);
    for (const cid of [...this.#calls.keys()]) this.#settle(cid, { error: { message: 'the connection was lost' } });
    this.#become('closed', reason || `closed with ${code}`);
    if (isFinal(code)) return;
    const ceiling = Math.min(RETRY_MOST, RETRY_FIRST * 2 ** this.#attempts++);
    this.#retry = setTimeout(() => this.connect(), ceiling * (0.5 + Math.random() / 2));
  }

  #become(state, reason = '') {
    this.state = state;
    this.#emit('state', { state, reason });
  }

  #emit(type, detail) {
    this.dispatchEvent(new CustomEvent(type, { detail }));
  }
}
