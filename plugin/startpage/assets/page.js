import { Client } from './client.js';

const { endpoint, raw, channel } = document.body.dataset;
const ROWS = 200; // messages kept in each list
const PENDING = 1_000; // sent messages whose arrival is timed
const SAMPLES = 101; // latencies behind the median

const $ = (selector, root = document) => root.querySelector(selector);
const $$ = (selector, root = document) => [...root.querySelectorAll(selector)];
const byTest = (name) => $(`[data-test="${name}"]`);
const socketURL = (path) => Object.assign(new URL(path, location.href), { protocol: location.protocol.replace('http', 'ws') }).href;

// What a raw message becomes on the channel: JSON as it is, other text as a string.
function asPayload(text) {
  try {
    return JSON.parse(text);
  } catch {
    return text;
  }
}

const latency = {
  sent: new Map(), // payload as JSON → when it left
  samples: [],

  started(payload) {
    const key = JSON.stringify(payload);
    this.sent.delete(key);
    this.sent.set(key, performance.now());
    if (this.sent.size > PENDING) this.sent.delete(this.sent.keys().next().value);
  },

  ended(payload) {
    const start = this.sent.get(JSON.stringify(payload));
    if (start === undefined) return null;
    const took = performance.now() - start;
    this.samples.push(took);
    if (this.samples.length > SAMPLES) this.samples.shift();
    this.show(took);
    return took;
  },

  show(took) {
    const sorted = [...this.samples].sort((a, b) => a - b);
    byTest('latency').textContent = milliseconds(took);
    byTest('latency-median').textContent = milliseconds(sorted[sorted.length >> 1]);
  },
};

function milliseconds(n) {
  return `${n < 10 ? n.toFixed(1) : Math.round(n)} ms`;
}

function show(element, state, text = state) {
  element.dataset.state = state;
  element.textContent = text;
}

function notice(text) {
  const element = $('#notice');
  element.textContent = text;
  element.hidden = text === '';
}

function element(tag, className, text) {
  const made = document.createElement(tag);
  made.className = className;
  made.textContent = text;
  return made;
}

const calm = matchMedia('(prefers-reduced-motion: reduce)');

// A pulse runs along a thread, one at a time: a burst shows as a flow, not as a jam.
function makePulse(thread) {
  let running = false;
  return () => {
    if (running || calm.matches || document.hidden) return;
    running = true;
    const animation = thread.animate(
      [{ strokeDashoffset: 14, opacity: 1 }, { strokeDashoffset: -100, opacity: 1 }],
      { duration: 480, easing: 'cubic-bezier(.4,0,.3,1)' },
    );
    animation.onfinish = () => (running = false);
  };
}

// A list that follows its end until the reader scrolls away. Nothing is measured while messages come in: that would cost
// a layout each, and show as latency.
function makeLog(list) {
  let following = true;
  let due = false;
  list.addEventListener('scroll', () => (following = list.scrollHeight - list.scrollTop - list.clientHeight < 40));
  return (className, text, meta) => {
    const item = element('li', className, '');
    item.append(element('code', 'payload', text), element('span', 'meta', meta));
    list.append(item);
    if (list.children.length > ROWS) list.firstChild.remove();
    if (due || !following) return;
    due = true;
    requestAnimationFrame(() => {
      due = false;
      list.scrollTop = list.scrollHeight;
    });
  };
}

// One subscriber card: a client of its own, its messages and its buttons.
function startSubscriber(card) {
  const number = card.dataset.subscriber;
  const client = new Client(socketURL(endpoint));
  const part = (name) => $(`[data-part="${name}"]`, card);
  const state = byTest(`subscriber-${number}-state`);
  const add = makeLog(byTest(`subscriber-${number}-messages`));
  const pulse = makePulse($(`#thread-${number}`));
  const count = byTest(`subscriber-${number}-count`);
  let received = 0;
  let subscribed = false;

  function settle() {
    subscribed = client.channels.includes(channel);
    part('subscribe').textContent = subscribed ? 'Unsubscribe' : 'Subscribe';
    part('connect').textContent = client.state === 'closed' ? 'Connect' : 'Disconnect';
    part('subscribe').disabled = client.state !== 'open';
    part('session').textContent = client.id ? `session ${client.id}` : 'no session';
    if (client.state === 'open') show(state, subscribed ? 'subscribed' : 'open');
    else show(state, client.state);
  }

  async function subscribe() {
    try {
      await client.subscribe(channel);
    } catch (error) {
      add('error', error.message, 'subscribe');
    }
    settle();
  }

  client.addEventListener('state', ({ detail }) => {
    settle();
    state.title = detail.reason;
  });
  client.addEventListener('message', ({ detail }) => {
    const took = latency.ended(detail.data);
    count.textContent = String(++received);
    add('', JSON.stringify(detail.data), took === null ? '' : milliseconds(took));
    pulse();
  });
  client.addEventListener('refused', ({ detail }) => {
    add('error', detail.error.message, 'subscribe');
    settle();
  });
  client.addEventListener('kicked', ({ detail }) => {
    add('error', detail.message ?? 'kicked out', 'kicked');
    settle();
  });
  part('subscribe').addEventListener('click', () => {
    if (!subscribed) return subscribe();
    client.unsubscribe(channel);
    settle();
  });
  part('connect').addEventListener('click', () => (client.state === 'closed' ? client.connect() : client.disconnect()));
  part('publish').addEventListener('submit', async (event) => {
    event.preventDefault();
    const payload = asPayload($('input', card).value);
    latency.started(payload);
    try {
      await client.publish(channel, payload);
    } catch (error) {
      add('error', error.message, 'publish');
    }
  });

  subscribe();
  client.connect();
}

// The raw sender: no protocol, one frame a message.
function startSender() {
  const state = byTest('raw-state');
  const input = $('#raw-input');
  const hint = $('#raw-hint');
  const waiting = [];
  let socket = null;
  let opened = false;
  let sent = 0;

  function connect() {
    show(state, 'connecting');
    opened = false;
    socket = new WebSocket(socketURL(raw));
    socket.onopen = () => {
      opened = true;
      show(state, 'open');
      notice('');
      for (const text of waiting.splice(0)) transmit(text);
    };
    socket.onclose = ({ code, reason }) => {
      socket = null;
      show(state, 'closed');
      waiting.length = 0;
      if (!opened) notice(`${raw} does not accept this page: it may need a token, or no plugin serves it.`);
      else if (code !== 1000 && code !== 1001) notice(`${raw} was closed with ${code}${reason ? `: ${reason}` : ''}. The next message opens it again.`);
    };
  }

  function transmit(text) {
    latency.started(asPayload(text));
    socket.send(text);
    byTest('raw-count').textContent = String(++sent);
  }

  function send(text) {
    if (socket?.readyState === WebSocket.OPEN) return transmit(text);
    waiting.push(text);
    if (!socket) connect();
  }

  function describe() {
    const isJSON = typeof asPayload(input.value) !== 'string' || input.value.trim().startsWith('"');
    hint.textContent = isJSON ? 'JSON: arrives as it is' : 'Not JSON: arrives as a string';
  }

  $('#raw-form').addEventListener('submit', (event) => {
    event.preventDefault();
    send(input.value);
  });
  input.addEventListener('input', describe);
  input.addEventListener('keydown', (event) => {
    if (event.key === 'Enter' && (event.ctrlKey || event.metaKey)) $('#raw-form').requestSubmit();
  });
  $('#raw-burst').addEventListener('click', () => {
    const first = sent + 1;
    for (let n = 0; n < 100; n++) send(JSON.stringify({ number: first + n }));
  });

  describe();
  connect();
}

// Tabs as WAI-ARIA describes them: one in the tab order, arrows move between them.
function startTabs(list) {
  const tabs = $$('[role="tab"]', list);
  const select = (chosen, focus) => {
    for (const tab of tabs) {
      const is = tab === chosen;
      tab.setAttribute('aria-selected', String(is));
      tab.tabIndex = is ? 0 : -1;
      $(`#${tab.getAttribute('aria-controls')}`).hidden = !is;
    }
    if (focus) chosen.focus();
  };
  const steps = { ArrowRight: 1, ArrowLeft: -1, Home: -Infinity, End: Infinity };
  list.addEventListener('click', ({ target }) => tabs.includes(target) && select(target));
  list.addEventListener('keydown', (event) => {
    const step = steps[event.key];
    if (step === undefined) return;
    event.preventDefault();
    const at = tabs.indexOf(document.activeElement) + step;
    const to = Number.isFinite(at) ? (at + tabs.length) % tabs.length : at < 0 ? 0 : tabs.length - 1;
    select(tabs[to], true);
  });
  list.hidden = false;
  select(tabs[0]);
}

async function copy(button, code) {
  try {
    await navigator.clipboard.writeText(code.textContent);
    button.textContent = 'Copied';
  } catch {
    // No clipboard outside a secure context: select it, the reader presses the keys.
    getSelection().selectAllChildren(code);
    button.textContent = 'Selected';
  }
  setTimeout(() => (button.textContent = 'Copy'), 1500);
}

function startCopying() {
  for (const button of $$('.copy')) {
    button.hidden = false;
    button.addEventListener('click', () => copy(button, $('[data-code]', button.closest('.panel'))));
  }
}

startTabs($('[role="tablist"]'));
startCopying();
for (const card of $$('[data-subscriber]')) startSubscriber(card);
startSender();
