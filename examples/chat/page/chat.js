// The chat in the browser: what is asked of the server and what is done with its answers. view.js knows the page.

import { Client } from './client.js';
import * as view from './view.js';

const TYPING_EVERY = 2_000; // told at most so often
const TYPING_LASTS = 3_500; // shown so long after it was told

// A tab is a person, so that you can talk to yourself in two of them; a chat for many takes localStorage.
const storage = sessionStorage;
const endpoint = new URL('/socketcluster/', location.href.replace(/^http/, 'ws')).href;
const client = new Client(endpoint, storage.getItem('token'));

let room = ''; // where we are
let change = 0; // of the list of people
let typists = new Map(); // name → timer
let typed = -Infinity; // when we told it

// The server believes the token, the page only reads it. Its middle part is JSON in base64url.
function nameIn(token) {
  if (!token) return '';
  const octets = Uint8Array.from(atob(token.split('.')[1].replace(/-/g, '+').replace(/_/g, '/')), (c) => c.charCodeAt(0));
  return JSON.parse(new TextDecoder().decode(octets)).name;
}

client.addEventListener('state', ({ detail }) => {
  view.showState(detail.state, detail.reason);
  if (detail.state === 'open') arrive();
});

// The server has set or removed our token. It is kept, so that a reload and a new connection bring it again.
client.addEventListener('token', ({ detail }) => {
  if (detail.token) storage.setItem('token', detail.token);
  else storage.removeItem('token');
  arrive();
});

client.addEventListener('message', ({ detail: { channel, data } }) => {
  if (channel === 'rooms') view.showCount(data);
  else if (channel === `room/${room}`) hear(data);
});

client.addEventListener('refused', ({ detail }) => view.notice(detail.error.message));

// With a token the chat is open, at the first connection as at each later one: what was missed meanwhile is in the history.
async function arrive() {
  const name = nameIn(client.token);
  view.showUser(name);
  if (!name) {
    leave();
    return;
  }
  try {
    await client.subscribe('rooms');
    const rooms = await client.call('rooms');
    view.showRooms(rooms, enter);
    await enter(room || rooms[0].name);
  } catch (error) {
    complain(error);
  }
}

function leave() {
  for (const channel of client.channels) client.unsubscribe(channel);
  room = '';
}

// Subscribing comes first and the history second: in between nothing is lost, and what comes twice is shown once.
async function enter(name) {
  if (room !== name) {
    if (room) client.unsubscribe(`room/${room}`);
    room = name;
    view.showRoom(name);
  }
  change = 0;
  forgetTypists();
  try {
    await client.subscribe(`room/${name}`);
    const history = await client.call('history', { room: name });
    if (room === name) history.forEach(hear);
  } catch (error) {
    complain(error);
  }
}

// hear takes what is published to our room.
function hear(said) {
  switch (said.kind) {
    case 'message':
      view.showMessage(said, said.from === nameIn(client.token));
      stopTyping(said.from);
      break;
    case 'people':
      if (said.change <= change) return; // overtaken on the way
      change = said.change;
      view.showPeople(said.names);
      break;
    case 'typing':
      if (said.from !== nameIn(client.token)) startTyping(said.from);
      break;
  }
}

function startTyping(name) {
  clearTimeout(typists.get(name));
  typists.set(name, setTimeout(() => stopTyping(name), TYPING_LASTS));
  view.showTyping([...typists.keys()]);
}

function stopTyping(name) {
  clearTimeout(typists.get(name));
  if (typists.delete(name)) view.showTyping([...typists.keys()]);
}

function forgetTypists() {
  for (const name of [...typists.keys()]) stopTyping(name);
}

// A lost connection is no news: it comes back, and arrive with it.
function complain(error) {
  if (client.state === 'open') view.notice(error.message);
}

view.onLogin(async (name) => {
  try {
    await client.call('login', { name });
    view.notice('');
  } catch (error) {
    view.notice(error.message);
  }
});

view.onLogout(() => client.call('logout').catch(complain));

view.onInput(() => {
  if (performance.now() - typed < TYPING_EVERY) return;
  typed = performance.now();
  client.transmit('typing', { room });
});

view.onSend(async (text) => {
  typed = -Infinity;
  try {
    await client.publish(`room/${room}`, { text });
    view.notice('');
  } catch (error) {
    view.notice(error.message);
    view.giveBack(text);
  }
});

view.showUser(nameIn(client.token));
client.connect();
