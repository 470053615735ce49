const { base } = document.body.dataset;
const INTERVAL = 2_000;
const POINTS = 60; // of a tile's line

const $ = (id) => document.getElementById(id);
const number = new Intl.NumberFormat('en', { maximumFractionDigits: 0 });
const compact = new Intl.NumberFormat('en', { notation: 'compact', maximumFractionDigits: 1 });

// The figures worth a glance; rates are how fast a counter grows.
const tiles = [
  { title: 'Sessions', read: (s) => s.stats.sessions },
  { title: 'Connections', read: (s) => s.stats.conns },
  { title: 'Channels', read: (s) => s.stats.channels },
  { title: 'Published / s', read: (s) => s.stats.published, rate: true },
  { title: 'Delivered / s', read: (s) => s.stats.delivered, rate: true },
  { title: 'Refused / s', read: (s) => s.stats.refused + s.stats.unpublished, rate: true },
];

let before = null; // the state read last

function make(tag, { text, className, children = [], ...attributes } = {}) {
  const element = document.createElement(tag);
  if (text !== undefined) element.textContent = text;
  if (className) element.className = className;
  for (const [name, value] of Object.entries(attributes)) element.setAttribute(name, value);
  element.append(...children);
  return element;
}

const code = (text) => make('code', { text });
const tag = (text) => make('span', { className: 'tag', text });

// A table keeps its rows as long as they say the same, so that selecting text survives the next reading.
function fill(id, rows, empty) {
  const body = $(id);
  const made = rows.map((cells) => make('tr', { children: cells.map(cell) }));
  if (made.length === 0) made.push(make('tr', { children: [make('td', { text: empty, className: 'empty', colspan: 11 })] }));
  const next = make('tbody', { children: made });
  if (next.textContent !== body.textContent || body.children.length !== made.length) body.replaceChildren(...made);
}

function cell(content) {
  if (typeof content === 'number') return make('td', { className: 'number', text: number.format(content) });
  if (Array.isArray(content)) return make('td', { children: content });
  return make('td', { children: [content] });
}

function perSecond(now, read) {
  if (!before || now.read <= before.read) return 0;
  return Math.max(0, (read(now) - read(before)) / ((now.read - before.read) / 1000));
}

const SVG = 'http://www.w3.org/2000/svg';

function startTiles() {
  for (const tile of tiles) {
    tile.values = [];
    tile.figure = make('b', { text: '–' });
    const line = document.createElementNS(SVG, 'svg');
    line.setAttribute('viewBox', `0 0 ${POINTS} 24`);
    line.setAttribute('preserveAspectRatio', 'none');
    line.setAttribute('aria-hidden', 'true');
    tile.line = document.createElementNS(SVG, 'polyline');
    tile.line.setAttribute('vector-effect', 'non-scaling-stroke');
    line.append(tile.line);
    $('tiles').append(make('article', { className: 'card tile', children: [make('span', { text: tile.title }), tile.figure, line] }));
  }
}

function drawTiles(state) {
  for (const tile of tiles) {
    const value = tile.rate ? perSecond(state, tile.read) : tile.read(state);
    tile.figure.textContent = value < 10_000 ? number.format(value) : compact.format(value);
    tile.values.push(value);
    if (tile.values.length > POINTS) tile.values.shift();
    const top = Math.max(1, ...tile.values);
    const offset = POINTS - tile.values.length;
    tile.line.setAttribute('points', tile.values.map((v, i) => `${offset + i},${(23 - (v / top) * 22).toFixed(1)}`).join(' '));
  }
}

function duration(seconds) {
  const days = Math.floor(seconds / 86_400);
  const clock = new Date(Math.floor(seconds % 86_400) * 1000).toISOString().slice(11, 19);
  return days ? `${days} d ${clock}` : clock;
}

const labelled = ({ name, labels }) => {
  const pairs = Object.entries(labels ?? {}).map(([key, value]) => `${key}=${value}`);
  return pairs.length ? `${name} {${pairs.join(', ')}}` : name;
};

function drawTables(state) {
  fill('nodes', state.nodes.map((n) => [
    [make('b', { text: n.name }), n.local ? ' (this one)' : ''], n.state ?? '', n.address ? code(n.address) : '', n.version ?? '', duration(n.uptime),
    n.lag * 1000, n.sessions, n.channels, n.publishRate, n.deliverRate, n.gaps,
  ]), 'No node: this one is stopping.');
  fill('channels', state.channels.map((c) => [code(c.name), c.subscribers]), 'No channel has a subscriber on this node.');
  $('channels-note').textContent = state.stats.channels > state.channels.length ? `the first ${state.channels.length} of ${number.format(state.stats.channels)}` : '';
  fill('endpoints', state.endpoints.map((e) => [code(e.path), e.sessions, e.pending]), 'No SocketCluster endpoint.');
  fill('plugins', state.plugins.map((p) => [
    [make('b', { text: p.name }), p.version ? ` ${p.version}` : ''], p.prefix ? code(p.prefix) : '',
    state.routes.filter((r) => r.plugin === p.name).length, (p.procedures ?? []).map(tag), p.hooks.map(tag),
  ]), 'No plugin.');
  fill('hooks', state.hooks.map((h) => [h.point, h.plugins.map(tag)]), 'No plugin has registered a hook.');
  fill('routes', state.routes.map((r) => [code(r.path), r.method ? `${r.kind} ${r.method}` : r.kind, r.plugin || 'server']), 'No route.');
  const earlier = new Map(before?.figures.map((f) => [labelled(f), f.value]));
  fill('figures', state.figures.map((f) => {
    const name = labelled(f);
    const rate = f.kind === 'counter' && earlier.has(name) ? perSecond(state, (s) => (s === state ? f.value : earlier.get(name))) : '';
    return [code(name), f.help, f.value, rate];
  }), 'No figures.');
}

function drawPages(pages) {
  $('pages').hidden = pages.length === 0;
  $('pages').replaceChildren(...pages.map((p) => make('a', { href: p.href, text: p.title, title: `of plugin ${p.plugin}` })));
}

function link(state, text) {
  $('link').dataset.state = state;
  $('link').textContent = text;
}

async function read() {
  try {
    const answer = await fetch(`${base}/state`, { cache: 'no-store' });
    if (answer.status === 401) return location.reload(); // the login has ended
    if (!answer.ok) throw new Error(`answered ${answer.status}`);
    const state = { ...(await answer.json()), read: performance.now() };
    $('uptime').textContent = duration(state.uptime);
    drawTiles(state);
    drawTables(state);
    if (!before) drawPages(state.pages);
    before = state;
    link('live', 'live');
  } catch (error) {
    link('lost', 'no answer');
  }
  setTimeout(read, INTERVAL);
}

startTiles();
read();
