// One face for two generations of socketcluster-client: the streams of versions 15 to 20, the callbacks of 5 to 14.
import { createRequire } from 'node:module';

const require = createRequire(import.meta.url);
const minbin = require('sc-codec-min-bin');

/** Everything that a client needs to reach the endpoint, in the options of all versions. */
function options(url, codec) {
  const u = new URL(url);
  const o = {
    hostname: u.hostname, port: Number(u.port), path: u.pathname, secure: u.protocol === 'wss:',
    autoReconnect: false, multiplex: false, ackTimeout: 10000, connectTimeout: 10000,
    authTokenName: `e2e.${Math.random()}`
  };
  return codec === 'minbin' ? { ...o, codecEngine: minbin } : o;
}

/** Versions 15 to 20. */
class Streams {
  constructor(version, codec, url, protocolVersion = 2) {
    this.label = `client ${version} ${codec} protocol ${protocolVersion}`;
    this.endings = [];
    this.errors = [];
    // version 18 has a mode, on by default, in which listeners see nothing of what came before
    this.socket = require(`scc${version}`).create({ ...options(url, codec), protocolVersion, usabilityMode: false, autoConnect: false });
    this.#watch('error', ({ error }) => this.errors.push(`${error.name}: ${error.message}`));
    this.#watch('disconnect', ({ code }) => this.endings.push(code));
    this.#watch('connectAbort', ({ code }) => this.endings.push(code));
  }
  async #watch(event, take) { for await (const e of this.socket.listener(event)) take(e); }
  async open() {
    const connected = this.socket.listener('connect').once(10000);
    this.socket.connect();
    this.status = await connected;
    return this.status;
  }
  async subscribe(channel) {
    const c = this.socket.subscribe(channel);
    const got = [];
    (async () => { for await (const data of c) got.push(data); })();
    if (c.state !== 'subscribed') await c.listener('subscribe').once(10000);
    return got;
  }
  unsubscribe(channel) { this.socket.unsubscribe(channel); }
  publish(channel, data) { return this.socket.invokePublish(channel, data); }
  call(procedure, data) { return this.socket.invoke(procedure, data); }
  async authenticate(token) { await this.socket.authenticate(token); }
  async deauthenticate() { await this.socket.deauthenticate(); }
  get authState() { return this.socket.authState; }
  get user() { return this.socket.authToken && this.socket.authToken.username; }
  close() { this.socket.disconnect(); }
}

/** Versions 5 to 14. */
class Callbacks {
  constructor(version, codec, url) {
    this.label = `client ${version} ${codec} protocol 1`;
    this.endings = [];
    this.errors = [];
    const lib = require(`scc${version}`);
    this.make = () => (lib.create || lib.connect)(options(url, codec)); // it connects by itself
  }
  open() {
    this.socket = this.make();
    this.socket.on('error', (e) => this.errors.push(`${e.name}: ${e.message}`));
    this.socket.on('disconnect', (code) => this.endings.push(code));
    this.socket.on('connectAbort', (code) => this.endings.push(code));
    return this.#wait('connect', (done) => this.socket.on('connect', (status) => { this.status = status; done(null, status); }));
  }
  async subscribe(channel) {
    const c = this.socket.subscribe(channel);
    const got = [];
    c.watch((data) => got.push(data));
    if (c.state !== c.SUBSCRIBED) await this.#wait('subscribe', (done) => c.on('subscribe', () => done()));
    return got;
  }
  unsubscribe(channel) { this.socket.unsubscribe(channel); }
  publish(channel, data) { return this.#wait('publish', (done) => this.socket.publish(channel, data, done)); }
  call(procedure, data) { return this.#wait(procedure, (done) => this.socket.emit(procedure, data, done)); }
  authenticate(token) { return this.#wait('authenticate', (done) => this.socket.authenticate(token, done)); }
  deauthenticate() { return this.#wait('deauthenticate', (done) => this.socket.deauthenticate(done)); }
  get authState() { return this.socket.authState; }
  get user() { const t = this.socket.getAuthToken(); return t && t.username; }
  close() { this.socket.disconnect(); }
  /** Turns a callback into a promise that does not wait for ever. */
  #wait(what, start) {
    return new Promise((resolve, reject) => {
      const timer = setTimeout(() => reject(new Error(`${what}: nothing within 10 s`)), 10000);
      start((error, value) => { clearTimeout(timer); if (error) reject(error); else resolve(value); });
    });
  }
}

const generations = [20, 19, 18, 17, 16, 15, 14, 13, 10, 8, 5];

/** One client of each generation and codec, and the newest as one that speaks the old protocol. */
export function crowd(url) {
  const all = ['json', 'minbin'].flatMap((codec) => generations.map((v) => new (v >= 15 ? Streams : Callbacks)(v, codec, url)));
  return [...all, new Streams(20, 'json', url, 1)];
}
